"""How well MLP, CNN and the baselines classify real records of events that they never saw.

    python benchmarks/real_records.py [--data ../shared/data] [--rows lab,lab-ae-noise,field,field-hhz] [--seeds 3]

Four tasks: the laboratory and the field records, and their honest halves (AE against noise; HHZ files only). Five folds
grouped by event and stratified by class. Every method chooses among its own candidates (real_methods.py: the same two
spectrograms for all that take one, and two ways of training) by one grouped split of each fold's training records,
from one seed, and is then fitted to all training records of the fold from each seed. Prints balanced accuracy,
accuracy and macro F1 with their deviation over folds, and the difference of the CNN to each other method with its
95 % interval from drawing events; writes benchmarks/real_records.json.

`--work DIR` keeps data sets and answers there: an interrupted run goes on, and more seeds or methods add to it.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from real_methods import NETWORKS, SPECTROGRAMS, Candidate, methods
from sklearn.model_selection import StratifiedGroupKFold

from seis_tf.dataset import tables
from seis_tf.dataset.shards import SPLITS
from seis_tf.evaluation.stats import scores
from seis_tf.settings.data import WaveformJob
from seis_tf.waveforms.prepare import prepare_waveforms

ROWS = {
    "lab": ("lab", None),
    "lab-ae-noise": ("lab", ("AE", "noise")),
    "field": ("field", None),
    "field-hhz": ("field", "HHZ"),
}
SCORES = {
    "balanced_accuracy": scores.balanced_accuracy,
    "accuracy": scores.accuracy,
    "macro_f1": scores.macro_f1,
}
FEATURES = ("spectrogram", "waveform", "label", "group", "record_id", "peak_amplitude")
DRAWS = 2000


def records(data: Path, row: str, spectrogram: dict, work: Path) -> tables.Table:
    """All records of a task in memory, in the order of their names; the split of the data set is not used."""
    folder, part = ROWS[row]
    source = data / folder
    if not (work / "dataset.json").is_file():
        with tempfile.NamedTemporaryFile("w", newline="", suffix=".csv") as labels:
            writer = csv.writer(labels)
            writer.writerow(["file", "class", "group"])
            for path in sorted(source.glob("*/*.mseed")):
                wanted = part is None or path.parent.name in part or path.stem.endswith(f"_{part}")
                if wanted:
                    writer.writerow([path.relative_to(source), path.parent.name, path.stem.split("_")[1]])
            labels.flush()
            job = {
                "source": {"labels_csv": labels.name},
                "record": {"length_samples": 4000 if folder == "field" else 1024},
                "spectrogram": spectrogram,
            }
            prepare_waveforms(source, work, WaveformJob.model_validate(job))
    table = tables.load(work, SPLITS, FEATURES)
    order = np.argsort(table["record_id"])
    return tables.Table(table.info, {name: column[order] for name, column in table.columns.items()}, table.rows)


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Grouped by event, stratified by class as far as events allow."""
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels, groups))


def answers_of(
    method: str, candidates: dict[str, Candidate], found: dict[str, tables.Table], cuts: list, seeds: int, work: Path
) -> tuple[np.ndarray, list[str]]:
    """Probabilities [seed, record, class] from the folds that leave a record out, and the candidate of each fold."""
    table = next(iter(found.values()))
    labels, groups, classes = table["label"].astype(int), table["group"], len(table.info.class_names)
    out = np.zeros((seeds, len(labels), classes), np.float32)
    names = []

    def answer(name: str, k: int, train: np.ndarray, test: np.ndarray, seed: int, choosing: bool) -> np.ndarray:
        candidate = candidates[name]
        seed = seed if candidate.seeded else 0
        file = work / method / f"{name}-fold{k}-{'choice' if choosing else 'test'}-seed{seed}.npy"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, candidate.answer(found[candidate.spectrogram], train, test, seed, choosing))
        return np.load(file)

    for k, (train, test) in enumerate(cuts):
        a, b = (train[rows] for rows in folds(labels[train], groups[train], 4, 100 + k)[0])
        inner = {}
        if len(candidates) > 1:
            for name in candidates:
                guess = answer(name, k, a, b, 0, True).argmax(-1)
                inner[name] = float(scores.balanced_accuracy(scores.confusion_matrix(labels[b], guess, classes)))
        names.append(max(inner, key=inner.get) if inner else next(iter(candidates)))
        for seed in range(seeds):
            out[seed, test] = answer(names[-1], k, train, test, seed, False)
    return out, names


def confusions(answers: np.ndarray, labels: np.ndarray, cuts: list) -> np.ndarray:
    """Counts [fold, seed, true, predicted]."""
    classes = answers.shape[-1]
    return np.array(
        [[scores.confusion_matrix(labels[test], a[test].argmax(-1), classes) for a in answers] for _, test in cuts]
    )


def summary(answers: np.ndarray, labels: np.ndarray, cuts: list) -> dict[str, dict]:
    """Each score's mean and deviation over folds, and its value [fold, seed]."""
    counts = confusions(answers, labels, cuts)
    found = {}
    for name, score in SCORES.items():
        values = score(counts)
        found[name] = scores.summary(values.mean(axis=1)).tree() | {"by_fold": np.round(values, 4).tolist()}
    return found


def difference(ours: np.ndarray, theirs: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> dict[str, dict]:
    """Each score of ours minus theirs, folds pooled, mean over seeds; 95 % interval from drawing events, paired."""

    def of(answers: np.ndarray) -> dict[str, tuple[float, np.ndarray]]:
        classes = answers.shape[-1]
        whole = np.array([scores.confusion_matrix(labels, a.argmax(-1), classes) for a in answers])
        drawn = np.array(
            [scores.bootstrap_confusions(labels, a.argmax(-1), groups, classes, DRAWS, seed=0) for a in answers]
        )
        return {name: (score(whole).mean(), score(drawn).mean(axis=0)) for name, score in SCORES.items()}

    mine, other = of(ours), of(theirs)
    return {
        name: {
            "difference": float(mine[name][0] - other[name][0]),
            "interval": scores.interval(mine[name][1] - other[name][1]),
        }
        for name in SCORES
    }


def measure(row: str, data: Path, seeds: int, wanted: list[str], work: Path) -> dict:
    """All methods of one row."""
    found = {
        name: records(data, row, spectrogram, work / f"{row}-{name}")
        for name, spectrogram in SPECTROGRAMS[ROWS[row][0]].items()
    }
    table = next(iter(found.values()))
    labels, groups = table["label"].astype(int), table["group"]
    cuts = folds(labels, groups, 5, 0)
    answers, chosen = {}, {}
    for method, candidates in methods(row).items():
        if method in wanted:
            answers[method], chosen[method] = answers_of(method, candidates, found, cuts, seeds, work / row)
            mean = summary(answers[method], labels, cuts)["balanced_accuracy"]["mean"]
            print(f"  {row}, {method}: {mean:.3f}, chosen {dict(Counter(chosen[method]))}", flush=True)
    for method in NETWORKS:
        if method in answers and seeds > 1:
            answers[f"{method}, {seeds} averaged"] = answers[method].mean(axis=0, keepdims=True)
    others = [method for method in answers if method != "CNN" and "CNN" in answers]
    return {
        "records": len(labels),
        "events": len(set(groups)),
        "seeds": seeds,
        "scores": {method: summary(a, labels, cuts) for method, a in answers.items()},
        "chosen_by_fold": chosen,
        "cnn_minus": {method: difference(answers["CNN"], answers[method], labels, groups) for method in others},
    }


def show(row: str, result: dict) -> None:
    """Prints a row's table."""
    print(f"\n{row}: {result['records']} records, {result['events']} events, {result['seeds']} seeds")
    print(f"  {'':26s} {'balanced accuracy':18s} {'accuracy':16s} {'macro F1':16s} CNN minus this: the same three")
    for method, values in result["scores"].items():
        cells = "  ".join(f"{v['mean']:.3f} +- {v['std']:.3f}" for v in values.values())
        pairs = result["cnn_minus"].get(method, {}).values()
        signs = "  ".join(
            f"{p['difference']:+.3f} [{p['interval'][0]:+.3f}, {p['interval'][1]:+.3f}]"
            + ("*" if p["interval"][0] * p["interval"][1] > 0 else "")
            for p in pairs
        )
        print(f"  {method:26s} {cells}  {signs}")
    print("  * the interval does not hold 0", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", default="", help="names with ; between; by default all")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.is_file() else {}
    with tempfile.TemporaryDirectory() as scratch:
        for row in options.rows.split(","):
            wanted = options.methods.split(";") if options.methods else list(methods(row))
            results[row] = measure(row, options.data, options.seeds, wanted, options.work or Path(scratch))
            show(row, results[row])
            options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
