"""What a 20-trial search makes of each model: scores of the untouched test split before and after.

    python benchmarks/searches.py [--data ../shared/data] [--models mlp,cnn,conv1d] [--work FOLDER]

Before: the published settings (MLP of the exercise, CNN with its default widths, DART network of Liu 2021). After: the
best of 20 random trials, found on train and validation records alone, by grouped folds where events are few. Both are
trained from 5 seeds on the train split and judged once on the test split; where the trials were shorter than the
published training, the best is trained that long as well. Beside the spread over seeds stands the 95 %
interval from drawing test events: the former says nothing of how few events there are. MLP and CNN see the laboratory
records of `--data`, the DART network 1,300 simulated earthquakes. Writes benchmarks/searches.json; with `--work` a
search that was stopped goes on, and its report.html stays there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from seis_tf import runs, tasks
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dataset.shards import SPLITS
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.stats.paired import bootstrap_balanced_accuracy, bootstrap_mean
from seis_tf.settings.base import load_settings
from seis_tf.settings.data import DartJob, WaveformJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainJob
from seis_tf.synthetic import fakequake_files, fakequakes
from seis_tf.tuning import report, search
from seis_tf.waveforms.prepare import prepare_waveforms

SEEDS, DRAWS, EVENTS, TRIALS = 5, 2000, 1300, 20


@dataclass(frozen=True)
class Row:
    """One search.

    Attributes:
        preset: what is searched from, and trained for comparison; None for the model's defaults.
        settings: of the search.
        base: settings that are not searched, where they differ from the preset.
        space: changes of the model's space.
    """

    preset: str | None
    settings: dict
    base: dict = field(default_factory=dict)
    space: dict = field(default_factory=dict)


ROWS = {
    # Few events: one validation split of them would be learned by heart.
    "mlp": Row("exercise", {"objective": "val_balanced_accuracy", "folds": 4, "epochs": 40}),
    # A quarter of the cells, and widths that train in seconds: the whole space would take hours on two cores.
    "cnn": Row(
        None,
        {"objective": "val_balanced_accuracy", "folds": 3, "epochs": 20},
        base={"model": {"stem": [2, 2]}},
        space={
            "model.filters": {"kind": "widths", "layers": [2, 3], "values": [8, 16, 32]},
            "model.kernel": 3,
        },
    ),
    # All is compared by the slip's error, so its weight beside the wave's is not searched.
    "conv1d": Row(
        "published",
        {"objective": "val_mse", "folds": 0, "epochs": 100},
        space={"training.loss.wave_weight": "default"},
    ),
}


def main() -> None:
    """Prints one line a model and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--models", default=",".join(ROWS))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    results = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        for model in arguments.models.split(","):
            results[model] = measure(model, ROWS[model], dataset_for(model, arguments.data, work), work)
            arguments.out.write_text(json.dumps(results, indent=2) + "\n")
            show(model, results[model])


def dataset_for(model: str, data: Path, work: Path) -> Path:
    """The data set of a model, prepared as the commands do it by default."""
    folder = work / ("dart" if model == "conv1d" else "lab")
    if (folder / "dataset.json").is_file():
        return folder
    if model != "conv1d":
        prepare_waveforms(data / "lab", folder, WaveformJob.model_validate({"split": {"method": "hash"}}))
        return folder
    greens = load_greens()
    quakes = fakequakes.simulate(FakequakeSettings(), greens, EVENTS, 0)
    fakequake_files.write_fakequakes(work / "quakes", quakes, greens, raw=0)
    prepare_dart(work / "quakes", folder, DartJob.model_validate({"record": {"window_min": 45}}))
    return folder


def measure(model: str, row: Row, dataset: Path, work: Path) -> dict:
    """Searches, trains both ways from each seed, and opens the test split once for each."""
    started = time.perf_counter()
    space_file = work / f"{model}-space.json"
    space_file.write_text(json.dumps(row.space))
    config = work / f"{model}-base.json"
    config.write_text(json.dumps(row.base))
    settings = search.settings_for(model, config, preset=row.preset, trials=TRIALS, **row.settings)
    rows = search.search(dataset, work / f"search-{model}", settings, space_file=space_file)
    report.write(work / f"search-{model}", settings, rows)
    seconds = time.perf_counter() - started
    before = TrainJob.model_validate(preset_tree(model, row.preset))
    after = load_settings(TrainJob, work / f"search-{model}" / "best.json", {})
    ways = {"before": before, "after": after}
    if after.training.epochs < before.training.epochs:
        longer = after.training.model_copy(update={"epochs": before.training.epochs})
        ways["after, trained as long as before"] = after.model_copy(update={"training": longer})
    found = {name: _judged(job, dataset, work / f"run-{model}-{i}") for i, (name, job) in enumerate(ways.items())}
    draws = {name: judged.pop("draws") for name, judged in found.items()}
    for name, judged in list(found.items())[1:]:
        judged["minus_before"] = judged["mean"] - found["before"]["mean"]
        judged["minus_before_interval"] = np.quantile(draws[name] - draws["before"], [0.025, 0.975]).tolist()
    return {
        "search": settings.model_dump(mode="json"),
        "failed_trials": sum(row["status"] != "COMPLETED" for row in rows),
        "search_seconds": seconds,
        "best_validation": rows[0]["score"],
        "jobs": {name: job.model_dump(mode="json") for name, job in ways.items()},
        "test": found,
    }


def _judged(job: TrainJob, dataset: Path, out: Path) -> dict:
    seeds = {"members": SEEDS, "seed": 0}
    job = job.model_copy(update={"training": job.training.model_copy(update=seeds)})
    run = runs.train(dataset, job, out, resume=out.is_dir())
    table = tasks.load_table(job, dataset, SPLITS)
    train, test = table.rows["train"], table.rows["test"]
    answers = run.predict([v[test] for v in tasks.task_of(job.model).data(table, job, train).inputs])
    scores, draws = (_classes if job.model.task == "waveforms" else _slip)(table, train, test, answers)
    groups = table["group"][test]
    return {
        "records": len(test),
        "events": len(np.unique(groups)),
        "seeds": scores.tolist(),
        "mean": float(scores.mean()),
        "spread_over_seeds": float(scores.std(ddof=1)),
        "interval": np.quantile(draws, [0.025, 0.975]).tolist(),
        "draws": draws,
    }


def _classes(table: Table, train: np.ndarray, test: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Balanced accuracy of each seed, and of drawn events (mean over seeds)."""
    labels, classes = table["label"][test].astype(int), answers.argmax(-1)
    scores = np.array([balanced_accuracy_score(labels, chosen) for chosen in classes])
    n_classes = len(table.info.class_names)
    return scores, bootstrap_balanced_accuracy(labels, classes, table["group"][test], n_classes, DRAWS)


def _slip(table: Table, train: np.ndarray, test: np.ndarray, answers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared slip error over that of the training records' mean slip: of each seed, and of drawn events."""
    slip = table["weights_m"].astype(np.float64)
    errors = np.square(answers - slip[test]).mean(axis=-1)
    constant = np.square(slip[train].mean(axis=0) - slip[test]).mean(axis=-1)
    parts = [bootstrap_mean(v, table["group"][test], DRAWS) for v in (errors.mean(axis=0), constant)]
    return errors.mean(axis=1) / constant.mean(), parts[0] / parts[1]


def show(model: str, result: dict) -> None:
    """The lines of one model."""
    score = "balanced accuracy" if model in ("mlp", "cnn") else "slip error over that of the mean"
    before = result["test"]["before"]
    print(
        f"\n{model}: {score} of {before['records']} test records, {before['events']} events; "
        f"search {result['search_seconds']:.0f} s, {result['failed_trials']} trials failed"
    )
    for name, found in result["test"].items():
        low, high = found["interval"]
        print(f"  {name}: {found['mean']:.3f} +- {found['spread_over_seeds']:.3f} (seeds) [{low:.3f}, {high:.3f}]")
        if name != "before":
            low, high = found["minus_before_interval"]
            print(f"    minus before {found['minus_before']:+.3f} [{low:+.3f}, {high:+.3f}] (95 %, events)", flush=True)


if __name__ == "__main__":
    main()
