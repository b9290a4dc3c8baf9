"""Which settings `train mlp` and `train cnn` should have by default.

    python benchmarks/defaults.py [--models mlp,cnn] [--data ../shared/data] [--work DIR]

Real laboratory and field records (all, and the HHZ files alone) and 900 simulated labquakes, prepared as
`prepare waveforms` does it by default (field: 65 x 101 cells as well), three folds grouped by event. As in `train`, the
records of a fold that are not tested are divided once more by event: a quarter for validation, by which some settings
choose the epoch. Each row changes the preset `exercise`, or `noisy` without its added noise: noise needs a noise class
and waveforms, and defaults must work on every data set. Prints balanced accuracy (mean over folds and seeds) on each
data set, its mean over the first three, and the mean log loss; writes benchmarks/defaults.json. Settings whose results
are there already are not measured again.
"""

from __future__ import annotations

import argparse
import copy
import json
import tempfile
from pathlib import Path

import numpy as np
from real_methods import SPECTROGRAMS
from real_records import FEATURES, folds, records

from seis_tf import tasks
from seis_tf.dataset import tables
from seis_tf.dataset.shards import SPLITS
from seis_tf.evaluation.stats import scores
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.settings.base import merge
from seis_tf.settings.data import WaveformJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.settings.training import TrainJob
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.training.inputs import FitInputs, Member
from seis_tf.training.loop import fit
from seis_tf.waveforms import training_data as waveform_training
from seis_tf.waveforms.prepare import prepare_waveforms

SETS = ("lab", "field-hhz", "simulated")  # of every row; "field", which is large, of the rows in WITH_FIELD
WITH_FIELD = (
    "former default",
    "preset exercise",
    "rate 3e-3, class weights",
    "rate 3e-3, class weights, 40 epochs",
    "rate 3e-3, class weights, 100 epochs",
    "class weights, batches of 200, 200 epochs",
    "rate 3e-3, class weights, 100 units",
    "preset noisy",
    "preset noisy without noise",
    "the best epoch kept",
    "40 epochs",
    "rate 1e-3",
    "rate 1e-3, the best epoch kept",
)
PRESETS = {"mlp": "exercise", "cnn": "noisy"}
SEEDS = {"mlp": 2, "cnn": 1}
FOLDS = 3
FORMER = {
    "mlp": {
        "model": {"kind": "mlp"},
        "training": {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 50, "epochs": 100, "keep": "best"},
    },
    "cnn": {
        "model": {"kind": "cnn"},
        "training": {"optimizer": "adam", "learning_rate": 1e-3, "batch_size": 50, "epochs": 100, "keep": "best"},
    },
}
# What is changed, by the name of the row; "data" holds changes of the records (see `Evaluation.changed`).
CHANGES: dict[str, dict[str, dict]] = {
    "mlp": {
        "preset exercise": {},
        "rate 3e-4": {"training": {"learning_rate": 3e-4}},
        "rate 3e-3": {"training": {"learning_rate": 3e-3}},
        "Adam, rate 1e-4": {"training": {"optimizer": "adam", "learning_rate": 1e-4}},
        "Adam, rate 1e-3": {"training": {"optimizer": "adam", "learning_rate": 1e-3}},
        "rate 1e-2": {"training": {"learning_rate": 1e-2}},
        "rate 3e-3, 40 epochs": {"training": {"learning_rate": 3e-3, "epochs": 40}},
        "rate 3e-3, class weights": {"training": {"learning_rate": 3e-3, "class_weights": "balanced"}},
        "rate 3e-3, class weights, 40 epochs": {
            "training": {"learning_rate": 3e-3, "class_weights": "balanced", "epochs": 40}
        },
        "rate 3e-3, class weights, 100 epochs": {
            "training": {"learning_rate": 3e-3, "class_weights": "balanced", "epochs": 100}
        },
        "class weights, batches of 200, 200 epochs": {
            "training": {"class_weights": "balanced", "batch_size": 200, "epochs": 200}
        },
        "rate 3e-3, class weights, 100 units": {
            "model": {"hidden": [100]},
            "training": {"learning_rate": 3e-3, "class_weights": "balanced"},
        },
        "60 epochs": {"training": {"epochs": 60}},
        "60 epochs, the best kept": {"training": {"epochs": 60, "keep": "best"}},
        "class weights": {"training": {"class_weights": "balanced"}},
        "L2 1e-2": {"training": {"l2": 1e-2}},
        "batches of 20": {"training": {"batch_size": 20}},
        "batches of 200": {"training": {"batch_size": 200}},
        "100 units": {"model": {"hidden": [100]}},
        "50 and 20 units": {"model": {"hidden": [50, 20]}},
        "dropout 0.3": {"model": {"dropout": 0.3}},
        "linear power": {"data": {"log": False}},
        "standardised over the data set": {"data": {"standardise": "dataset"}},
    },
    "cnn": {
        "preset noisy without noise": {},
        "no class weights": {"training": {"class_weights": "none"}},
        "40 epochs": {"training": {"epochs": 40}},
        "rate 1e-3": {"training": {"learning_rate": 1e-3}},
        "the best epoch kept": {"training": {"keep": "best"}},
        "rate 1e-3, the best epoch kept": {"training": {"learning_rate": 1e-3, "keep": "best"}},
        "dense 20": {"model": {"dense": 20}},
        "dropout 0.3": {"model": {"dropout": 0.3}},
        "standardised over the data set": {"data": {"standardise": "dataset"}},
    },
}


def rows_of(model: str) -> dict[str, tuple[dict, dict]]:
    """Name of a row to its job's tree and to the changes of its records."""
    base = preset_tree(model, PRESETS[model])
    base["training"].pop("augment", None)
    found = {"former default": (FORMER[model], {})}
    if model == "cnn":
        found["preset noisy"] = (preset_tree("cnn", "noisy"), {})
    for name, change in CHANGES[model].items():
        tree = copy.deepcopy(base)
        merge(tree, {part: change[part] for part in ("model", "training") if part in change})
        found[name] = (tree, change.get("data", {}))
    return found


def prepared(name: str, data: Path, work: Path) -> tables.Table:
    """A data set in memory."""
    if name != "simulated":
        return records(data, name, SPECTROGRAMS[name.split("-")[0]]["coarse"], work / f"{name}-coarse")
    if not (work / "simulated").is_dir():
        write_labquakes(work / "simulated", LabquakeSettings(), 900, seed=0)
    if not (work / "simulated-data" / "dataset.json").is_file():
        prepare_waveforms(work / "simulated", work / "simulated-data", WaveformJob())
    return tables.load(work / "simulated-data", SPLITS, FEATURES)


def measure(tree: dict, data_changes: dict, table: tables.Table, seeds: int) -> dict[str, list]:
    """Scores [fold, seed] of a job on grouped folds."""
    job = TrainJob.model_validate(tree)
    if data_changes:
        table = evaluation_of(job.model).changed(table, data_changes)
    labels, groups = table["label"].astype(int), table["group"]
    found: dict[str, list] = {"balanced_accuracy": [], "log_loss": []}
    for k, (rest, test) in enumerate(folds(labels, groups, FOLDS, 0)):
        train, valid = (rest[rows] for rows in folds(labels[rest], groups[rest], 4, 100 + k)[0])
        data = waveform_training.classification_data(table, job.training, train)
        members = [Member(train, valid, seed) for seed in range(seeds)]
        models = [tasks.build(job.model, table.info, seed=seed, l2=job.training.l2) for seed in range(seeds)]
        task = tasks.task_of(job.model)
        inputs = FitInputs(data, members, task.loss(table, job, train), task.metrics)
        done = fit(models, inputs, job.training)
        answers = done.stack.predict(
            done.state, [data.inputs[0]], rows=np.tile(test.astype(np.int32), (len(members), 1))
        )
        values = [scores.headline_scores(labels[test], a.astype(np.float64)) for a in answers]
        for name, rows in found.items():
            rows.append([round(value[name], 4) for value in values])
    return found


def show(model: str, results: dict[str, dict]) -> None:
    """Prints the table of a model."""
    print(f"\n{model:34s} " + "  ".join(f"{name:>9s}" for name in SETS) + "       mean   log loss    field")
    for name, by_set in results.items():
        if not all(s in by_set for s in SETS):
            continue
        means = [np.mean(by_set[s]["balanced_accuracy"]) for s in SETS]
        loss = np.mean([np.mean(by_set[s]["log_loss"]) for s in SETS])
        field = f"{np.mean(by_set['field']['balanced_accuracy']):9.3f}" if "field" in by_set else ""
        print(f"{name:34s} " + "  ".join(f"{m:9.3f}" for m in (*means, np.mean(means), loss)) + field, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--models", default="mlp,cnn")
    parser.add_argument("--rows", default="", help="names with ; between; by default all")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        for model in options.models.split(","):
            mine = results.setdefault(model, {})
            found = {name: prepared(name, options.data, work) for name in (*SETS, "field")}
            for name, (tree, data_changes) in rows_of(model).items():
                if options.rows and name not in options.rows.split(";"):
                    continue
                for dataset, table in found.items():
                    if dataset == "field" and name not in WITH_FIELD:
                        continue
                    if dataset not in mine.setdefault(name, {}):
                        mine[name][dataset] = measure(tree, data_changes, table, SEEDS[model])
                        options.out.write_text(json.dumps(results, indent=1) + "\n")
                show(model, {name: mine[name]})
            show(model, mine)


if __name__ == "__main__":
    main()
