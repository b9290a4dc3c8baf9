"""How well MLP, CNN and the baselines classify real records of events that they never saw.

    python benchmarks/real_records.py [--data ../shared/data] [--rows lab,lab-ae-noise,field,field-hhz] [--seeds 3]

Four tasks: the laboratory and the field records, and their honest halves (AE against noise; HHZ files only). Five folds
grouped by event and stratified by class. The baselines run beside the networks on the same folds: the largest class, a
logistic regression on log peak amplitude, one on mean and deviation of each frequency row, scikit-learn's MLP with Adam
and with SGD. The CNN's settings are chosen for each fold among a short list by one grouped split of that fold's
training records alone. Prints a table and the event-paired interval of the difference; writes
benchmarks/real_records.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from seis_tf import jobs, tables
from seis_tf.config import merge
from seis_tf.prepare import prepare_waveforms
from seis_tf.presets import preset_tree
from seis_tf.settings.data import WaveformJob
from seis_tf.settings.training import TrainJob
from seis_tf.shards import SPLITS
from seis_tf.training import Member, fit

LAB = {"nperseg": 20, "noverlap": 10, "nfft": 128}
FIELD = {"nperseg": 78, "noverlap": 39, "nfft": 128}
FINE = {"nperseg": 200, "noverlap": 160, "nfft": 256}  # 0.5 Hz instead of 1.3 Hz between independent frequencies
ROWS = {
    "lab": ("lab", None),
    "lab-ae-noise": ("lab", ("AE", "noise")),
    "field": ("field", None),
    "field-hhz": ("field", "HHZ"),
}
# What the choice inside each training fold is between: a spectrogram and changes of the preset.
CANDIDATES = {
    "lab": {
        "noisy": (LAB, {}),
        "noisy, rate 1e-3": (LAB, {"training": {"learning_rate": 1e-3}}),
        "clean": (LAB, {"training": {"augment": {"noise_probability": 0.0}}}),
    },
    "field": {
        "noisy": (FIELD, {}),
        "noisy, fine": (FINE, {"model": {"stem": [4, 2]}}),
        "clean": (FIELD, {"training": {"augment": {"noise_probability": 0.0}}}),
    },
}
EPOCHS = {"field": 30}  # six times as many records as in the other rows; 80 elsewhere


def records(data: Path, row: str, spectrogram: dict, work: Path) -> tables.Table:
    """All records of a task in memory, in the order of their names; the split of the data set is not used."""
    folder, part = ROWS[row]
    source = data / folder
    labels = work / f"{row}.csv"
    with open(labels, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "group"])
        for path in sorted(source.glob("*/*.mseed")):
            wanted = part is None or path.parent.name in part or path.stem.endswith(f"_{part}")
            if wanted:
                writer.writerow([path.relative_to(source), path.parent.name, path.stem.split("_")[1]])
    length = 4000 if folder == "field" else 1024
    job = WaveformJob.model_validate(
        {
            "source": {"labels_csv": str(labels)},
            "record": {"length_samples": length},
            "spectrogram": spectrogram,
        }
    )
    prepare_waveforms(source, work / row, job)
    features = ("spectrogram", "waveform", "label", "group", "record_id", "peak_amplitude")
    table = tables.load(work / row, SPLITS, features)
    order = np.argsort(table["record_id"])
    return tables.Table(table.info, {name: column[order] for name, column in table.columns.items()}, table.rows)


def folds(labels: np.ndarray, groups: np.ndarray, count: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Grouped by event, stratified by class as far as events allow."""
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels, groups))


def network(table: tables.Table, tree: dict, cuts: list, seeds: list[int]) -> np.ndarray:
    """Probabilities [cut, seed, record] of the records left out, NaN elsewhere."""
    job = TrainJob.model_validate(tree)
    labels = table["label"].astype(int)
    out = np.full((len(cuts), len(seeds), len(labels), labels.max() + 1), np.nan, np.float32)
    for k, (train, test) in enumerate(cuts):
        members = [Member(train, test[:0], seed) for seed in seeds]
        models = [jobs.build(job.model, table.info, seed=seed, l2=job.training.l2) for seed in seeds]
        settings = job.training.model_copy(update={"monitor": "loss", "keep": "last"})
        data = tables.classification_data(table, settings, train)
        done = fit(models, data, members, settings, jobs.loss_of(job, table, train))
        out[k][:, test] = done.stack.predict(
            done.state, [data.inputs[0]], rows=np.tile(test.astype(np.int32), (len(seeds), 1))
        )
    return out


def chosen_cnn(row: str, found: dict[str, tables.Table], cuts: list, seeds: list[int]) -> tuple[np.ndarray, list[str]]:
    """The CNN with the candidate that is best on one inner split of each fold's training records."""
    candidates = CANDIDATES[ROWS[row][0]]
    first = next(iter(found.values()))
    labels, groups = first["label"].astype(int), first["group"]
    trees = {}
    for name, (_, change) in candidates.items():
        trees[name] = preset_tree("cnn", "noisy")
        trees[name]["training"]["epochs"] = EPOCHS.get(row, 80)
        merge(trees[name], change)
    parts, names = [], []
    for k, (train, test) in enumerate(cuts):
        a, b = folds(labels[train], groups[train], 4, 100 + k)[0]
        scores = {}
        for name, tree in trees.items():
            answers = network(found[name], tree, [(train[a], train[b])], seeds[:1])[0, 0, train[b]]
            scores[name] = balanced_accuracy_score(labels[train[b]], answers.argmax(-1))
        best = max(scores, key=scores.get)
        parts.append(network(found[best], trees[best], [(train, test)], seeds)[0])
        names.append(best)
        print(f"  fold {k}: {best} of {scores}", flush=True)
    return np.stack(parts), names


def baselines(table: tables.Table, cuts: list, seeds: list[int]) -> dict[str, np.ndarray]:
    """Probabilities [cut, seed, record, class] of each baseline."""
    labels = table["label"].astype(int)
    power = tables.standardised(table, np.arange(len(labels)))
    flat = power.reshape(len(power), -1)
    peak = np.log10(table["peak_amplitude"])[:, None]
    rows = np.concatenate([power.mean(axis=2), power.std(axis=2)], axis=1)
    kinds = {
        "largest class": (None, None),
        "peak amplitude": (peak, lambda seed: LogisticRegression(class_weight="balanced", max_iter=2000)),
        "linear": (rows, lambda seed: LogisticRegression(max_iter=2000)),
        "linear, balanced": (rows, lambda seed: LogisticRegression(class_weight="balanced", max_iter=2000)),
        "MLP, Adam (scikit-learn)": (flat, lambda seed: MLPClassifier((20,), random_state=seed)),
        "MLP, SGD (scikit-learn)": (flat, lambda seed: MLPClassifier((20,), solver="sgd", random_state=seed)),
    }
    answers = {}
    for name, (features, make) in kinds.items():
        drawn = seeds if "MLP" in name else seeds[:1]
        out = np.full((len(cuts), len(drawn), len(labels), labels.max() + 1), np.nan, np.float32)
        for k, (train, test) in enumerate(cuts):
            for i, seed in enumerate(drawn):
                if make is None:
                    out[k, i, test] = np.eye(labels.max() + 1)[np.bincount(labels[train]).argmax()]
                    continue
                scaled = make(seed) if "MLP" in name else make_pipeline(StandardScaler(), make(seed))
                out[k, i, test] = scaled.fit(features[train], labels[train]).predict_proba(features[test])
        answers[name] = out
    return answers


def fold_scores(answers: np.ndarray, labels: np.ndarray, cuts: list) -> np.ndarray:
    """Balanced accuracy [cut, seed]."""
    return np.array(
        [
            [balanced_accuracy_score(labels[test], a[test].argmax(-1)) for a in answers[k]]
            for k, (_, test) in enumerate(cuts)
        ]
    )


def paired_interval(ours: np.ndarray, theirs: np.ndarray, labels, groups, cuts, draws: int = 2000) -> tuple[float, ...]:
    """Difference of balanced accuracy, pooled over folds, averaged over seeds; its 95 % interval over drawn events."""
    hits = []
    for answers in (ours, theirs):
        right = np.full((answers.shape[1], len(labels)), np.nan)
        for k, (_, test) in enumerate(cuts):
            right[:, test] = answers[k][:, test].argmax(-1) == labels[test]
        hits.append(right.mean(axis=0))
    events, index = np.unique(groups, return_inverse=True)
    n_classes = labels.max() + 1
    # Per event and class: records, and hits of both; a draw of events is then a sum.
    table = np.zeros((3, len(events), n_classes))
    for values, row in zip((np.ones(len(labels)), *hits), table, strict=True):
        np.add.at(row, (index, labels), values)
    rng = np.random.default_rng(0)

    def difference(chosen) -> float:
        count, mine, other = table[:, chosen].sum(axis=1)
        present = count > 0
        return float(np.mean((mine - other)[present] / count[present]))

    samples = [difference(rng.integers(0, len(events), len(events))) for _ in range(draws)]
    return (difference(np.arange(len(events))), *np.quantile(samples, [0.025, 0.975]).tolist())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--rows", default=",".join(ROWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("real_records.json"))
    options = parser.parse_args()
    seeds, results = list(range(options.seeds)), {}
    if options.out.is_file():
        results = json.loads(options.out.read_text())
    for row in options.rows.split(","):
        started = time.perf_counter()
        found = {}
        for name, (spectrogram, _) in CANDIDATES[ROWS[row][0]].items():
            with tempfile.TemporaryDirectory() as work:
                found[name] = records(options.data, row, spectrogram, Path(work))
        table = next(iter(found.values()))
        labels, groups = table["label"].astype(int), table["group"]
        cuts = folds(labels, groups, 5, 0)
        answers = baselines(table, cuts, seeds)
        answers["MLP"] = network(
            table, preset_tree("mlp", None) | {"training": {"batch_size": 50, "epochs": 40}}, cuts, seeds
        )
        answers["CNN"], names = chosen_cnn(row, found, cuts, seeds)
        scores = {name: fold_scores(a, labels, cuts) for name, a in answers.items()}
        strongest = max((n for n in scores if n not in ("CNN", "MLP")), key=lambda n: scores[n].mean())
        interval = paired_interval(answers["CNN"], answers[strongest], labels, groups, cuts)
        results[row] = {
            "records": len(labels),
            "events": len(set(groups)),
            "balanced_accuracy": {
                n: [float(s.mean()), float(s.mean(axis=1).std()), s.tolist()] for n, s in scores.items()
            },
            "cnn_settings_by_fold": names,
            "strongest_baseline": strongest,
            "cnn_minus_strongest": interval,
            "seconds": time.perf_counter() - started,
        }
        print(f"\n{row}: {len(labels)} records, {len(set(groups))} events, {results[row]['seconds']:.0f} s")
        for name, s in scores.items():
            print(f"  {name:26s} {s.mean():.3f} +- {s.mean(axis=1).std():.3f}   folds {np.round(s.mean(axis=1), 3)}")
        low, high = interval[1:]
        print(
            f"  CNN minus {strongest}: {interval[0]:+.3f} [{low:+.3f}, {high:+.3f}] (95 %, events); {names}", flush=True
        )
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
