"""Stage 8: a run -> what it is worth: `metrics.json`, `predictions.csv`, `figures/` and `report.html`.

A classifier is judged on the splits of its own data, test events being those that neither training nor any setting saw,
or on every record of another data set. Trivial predictors stand beside it, and intervals are over events.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf import jobs, pipeline, shards, tables
from seis_tf.files import write_atomically, write_json
from seis_tf.judgement import calibration, dart_evaluation, scores, trivial
from seis_tf.judgement.evaluation_report import report_of
from seis_tf.judgement.record_figures import scales_of
from seis_tf.judgement.report import write_report
from seis_tf.judgement.trivial import Predictor
from seis_tf.names import check_names
from seis_tf.runs import Run, load_run
from seis_tf.shards import SPLITS, DatasetInfo

FEATURES = (
    "spectrogram", "waveform", "label", "group", "record_id", "station", "snr_db", "peak_amplitude", "clipped",
)  # fmt: skip
_STEPS = 5


@dataclass(frozen=True)
class Judged:
    """A run and what it answered.

    Attributes:
        run: the run.
        info: of the data set that it is judged on.
        dataset: that data set's folder, as it was named.
        columns: feature name to [record, ...]; spectrograms not standardised.
        rows: part ("train", "valid", "test"; or "all" of another data set) to its records.
        members: probabilities of each member before scaling [member, record, class].
        temperature: that the mean over members is scaled with.
        predictors: trivial ones, fitted on the run's training records; none where those are not at hand.
        seen_groups: events of another data set that are also among the run's training events; None where not known.
    """

    run: Run
    info: DatasetInfo
    dataset: Path
    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    members: np.ndarray
    temperature: float
    predictors: list[Predictor]
    seen_groups: int | None

    @property
    def main(self) -> str:
        """The part that counts."""
        return "all" if "all" in self.rows else "test"

    @property
    def unscaled(self) -> np.ndarray:
        """Mean probabilities over members, as the model gives them [record, class]."""
        return self.members.mean(axis=0, dtype=np.float64)

    @property
    def probabilities(self) -> np.ndarray:
        """The same after temperature scaling: what an export answers."""
        return calibration.with_temperature(self.unscaled, self.temperature)


def evaluate(
    run_folder: Path | str,
    data: Path | str | None = None,
    *,
    draws: int = 1000,
    recall: float = 0.95,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Judges a classifier and writes what was found; a run of task dart goes to `dart_evaluation.evaluate`.

    Args:
        run_folder: a finished run.
        data: another data set, of which every record is judged whatever its split, and the results go to
            `evaluations/<name>/` in the run. The run's own data set (by its fingerprint; perhaps moved) is judged by
            its splits, with the results in the run folder, and the temperature is fitted on its validation split.
        draws: bootstrap samples of events for the intervals; 0 for none.
        recall: part of each class that its threshold is to find, chosen on validation records.
        progress: told the steps done and the steps in all.

    Returns:
        The content of `metrics.json`.

    Raises:
        ValueError: no finished run, its data set is gone or changed, or `data` has other classes, shapes,
            sampling rate or spectrogram settings.
    """
    run = load_run(run_folder)
    if not jobs.is_classifier(run.config.job.model):
        return dart_evaluation.evaluate(run, data, draws=draws, progress=progress)
    progress(0, _STEPS)
    folder = Path(run.config.dataset if data is None else data)
    info = shards.load_dataset(folder)
    own = _is_same(info, run.config.info)
    if own:
        judged, out = _judge_own(run, folder, progress), run.folder
    elif data is None:
        raise ValueError(
            f"{folder}: expected data set {run.config.info.fingerprint[:12]} that {run.folder} was trained on, "
            f"received {info.fingerprint[:12]} (or other settings); name the right one with --data"
        )
    else:
        judged = _judge_other(run, folder, info, progress)
        out = run.folder / "evaluations" / f"{folder.resolve().name}-{info.fingerprint[:8]}"
        out.mkdir(parents=True, exist_ok=True)
    metrics = metrics_of(judged, draws, recall)
    progress(3, _STEPS)
    if own:
        calibration.write_calibration(run.folder, _calibration_of(judged, metrics))
    write_atomically(out / "predictions.csv", predictions_csv(judged).encode())
    write_report(out, report_of(judged, metrics, scales_of(judged.info)))
    progress(4, _STEPS)
    write_json(out / "metrics.json", metrics)
    progress(_STEPS, _STEPS)
    return metrics


def metrics_of(judged: Judged, draws: int = 1000, recall: float = 0.95) -> dict[str, Any]:
    """Everything that is told of a run in numbers: what `metrics.json` holds."""
    columns, names = judged.columns, judged.info.class_names
    config = judged.run.config
    has_waveforms = "waveform" in columns
    parts = {}
    for part, rows in judged.rows.items():
        labels, groups = columns["label"][rows], columns["group"][rows]
        snr_db = columns["snr_db"][rows] if has_waveforms else None
        found = scores.all_scores(labels, judged.probabilities[rows], groups, names, snr_db=snr_db, draws=draws)
        unscaled = scores.headline_scores(labels, judged.unscaled[rows])
        found["unscaled"] = {name: unscaled[name] for name in ("log_loss", "brier", "ece")}
        if judged.run.members > 1:
            each = [scores.headline_scores(labels, member[rows]) for member in judged.members.astype(np.float64)]
            found["members"] = {name: scores.summary([row[name] for row in each]) for name in scores.HEADLINES}
        parts[part] = found
    return {
        "task": "waveforms",
        "model": config.job.model.kind,
        "parameters": sum(v.value.shape.num_elements() for v in judged.run.model.trainable_variables)
        // judged.run.members,
        "members": judged.run.members,
        "dataset": str(judged.dataset),
        "fingerprint": judged.info.fingerprint,
        "simulated": judged.info.simulated,
        "grouped": judged.info.grouped,
        "seen_groups": judged.seen_groups,
        "class_names": list(names),
        "main": judged.main,
        "temperature": judged.temperature,
        "thresholds": _thresholds(judged, recall),
        "splits": parts,
        "trivial": {p.name: _trivial_scores(p, judged, draws) for p in judged.predictors},
    }


def predictions_csv(judged: Judged) -> str:
    """One line a record: where it is from, what is true, what was answered, with which probabilities."""
    names, columns = judged.info.class_names, judged.columns
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    about = ("record_id", "group", "station")
    measured = ("snr_db", "peak_amplitude", "clipped")
    writer.writerow(["split", *about, "true", "predicted", *(f"p_{name}" for name in names), *measured])
    probabilities = judged.probabilities
    for part, rows in judged.rows.items():
        for row in rows:
            writer.writerow(
                [part, *(columns[name][row] for name in about), names[columns["label"][row]],
                 names[probabilities[row].argmax()], *(f"{p:.6g}" for p in probabilities[row]),
                 *(f"{columns[name][row]:.6g}" for name in measured)]
            )  # fmt: skip
    return text.getvalue()


def check_like(folder: Path | str, expected: DatasetInfo, received: DatasetInfo) -> None:
    """Refuses another data set whose records a model of the first can't take as they are.

    Raises:
        ValueError: another task, other classes or another order, other shapes, sampling rate or spectrogram settings.
    """
    if received.task != expected.task:
        raise ValueError(f"{folder}: expected a data set of task {expected.task}, received {received.task}")
    check_names(f"{folder}: classes", expected.class_names, received.class_names)
    pairs = {"spectrogram shape": tuple(i.feature("spectrogram").shape for i in (expected, received))}
    pairs["sampling rate in Hz"] = (expected.sampling_rate_hz, received.sampling_rate_hz)
    mine, theirs = (info.job.get("spectrogram", {}) for info in (expected, received))
    pairs |= {f"spectrogram {key}": (mine.get(key), theirs.get(key)) for key in sorted(mine.keys() | theirs.keys())}
    for what, (wanted, given) in pairs.items():
        if wanted != given:
            raise ValueError(f"{folder}: {what}: expected {wanted}, received {given}")


def _judge_own(run: Run, folder: Path, progress: Callable[[int, int], None]) -> Judged:
    table = tables.load(folder, SPLITS, FEATURES, filled=True)
    progress(1, _STEPS)
    members = _predict(run, table["spectrogram"])
    progress(2, _STEPS)
    valid = table.rows["valid"]
    unscaled = members[:, valid].mean(axis=0, dtype=np.float64)
    temperature = calibration.fit_temperature(table["label"][valid], unscaled, table["group"][valid])
    predictors = _fit_trivial(table, table.rows["train"])
    return Judged(run, table.info, folder, table.columns, table.rows, members, temperature, predictors, None)


def _judge_other(run: Run, folder: Path, info: DatasetInfo, progress: Callable[[int, int], None]) -> Judged:
    check_like(folder, run.config.info, info)
    table = tables.load(folder, SPLITS, FEATURES)
    rows = {"all": np.concatenate([table.rows[split] for split in SPLITS])}
    progress(1, _STEPS)
    members = _predict(run, table["spectrogram"])
    progress(2, _STEPS)
    temperature = calibration.read_temperature(run.folder) or 1.0
    train = _own_training_records(run)
    predictors, seen = [], None
    if train is not None:
        predictors = _fit_trivial(train, train.rows["train"])
        seen = len(np.intersect1d(train["group"], table["group"]))
    return Judged(run, info, folder, table.columns, rows, members, temperature, predictors, seen)


def _thresholds(judged: Judged, recall: float) -> dict[str, Any]:
    """The probability from which on a class is called, for a wished-for recall; and what that gives on new events."""
    if "valid" not in judged.rows:
        return {}
    (labels, p), (true, test) = (
        (judged.columns["label"][rows], judged.probabilities[rows]) for rows in map(judged.rows.get, ("valid", "test"))
    )
    found = {}
    for k, threshold in enumerate(calibration.recall_thresholds(labels, p, recall)):
        if threshold is None:
            continue
        called, own = test[:, k] >= threshold, true == k
        found[judged.info.class_names[k]] = {
            "threshold": threshold,
            "wished_recall": recall,
            "recall": float(called[own].mean()) if own.any() else None,
            "precision": float(own[called].mean()) if called.any() else None,
        }
    return found


def _calibration_of(judged: Judged, metrics: dict[str, Any]) -> dict[str, Any]:
    valid = judged.rows["valid"]
    events = len(np.unique(judged.columns["group"][valid]))
    return {
        "temperature": judged.temperature,
        "thresholds": {name: row["threshold"] for name, row in metrics["thresholds"].items()},
        "fitted_on": f"{len(valid)} validation records of {events} events",
    }


def _own_training_records(run: Run) -> tables.Table | None:
    """The records that the run was trained on, where they still are where they were."""
    folder = Path(run.config.dataset)
    if not (folder / "dataset.json").is_file() or not _is_same(shards.load_dataset(folder), run.config.info):
        return None
    return tables.load(folder, ("train",), (*trivial.FEATURES, "group"))


def _is_same(info: DatasetInfo, own: DatasetInfo) -> bool:
    return info.fingerprint == own.fingerprint and info.job == own.job


def _predict(run: Run, power: np.ndarray, block: int = 1024) -> np.ndarray:
    """Probabilities [member, record, class], standardised as the run's own training records were."""
    layer = pipeline.standardiser(run.config.info)
    starts = range(0, len(power), block)
    return np.concatenate([run.predict([layer(power[i : i + block]).numpy()]) for i in starts], axis=1)


def _fit_trivial(table: tables.Table, rows: np.ndarray) -> list[Predictor]:
    scales = scales_of(table.info)
    return trivial.fit_all(table.columns, rows, table.info.class_names, scales.frequencies, scales.log)


def _trivial_scores(predictor: Predictor, judged: Judged, draws: int) -> dict[str, Any]:
    """Scores of a trivial predictor, and by how much the model is better on the same resampled events."""
    n_classes = len(judged.info.class_names)
    predicted = predictor.predict(judged.columns)
    answered = judged.probabilities.argmax(axis=1)
    parts = {}
    for part, rows in judged.rows.items():
        labels, groups = judged.columns["label"][rows], judged.columns["group"][rows]
        own, model = (scores.confusion_matrix(labels, answers[rows], n_classes) for answers in (predicted, answered))
        found: dict[str, Any] = {
            "accuracy": float(scores.accuracy(own)),
            "balanced_accuracy": float(scores.balanced_accuracy(own)),
            "macro_f1": float(scores.macro_f1(own)),
            "model_minus_this": float(scores.balanced_accuracy(model) - scores.balanced_accuracy(own)),
        }
        if draws and len(np.unique(groups)) > 1:
            sampled = [
                scores.balanced_accuracy(
                    scores.bootstrap_confusions(labels, answers[rows], groups, n_classes, draws, seed=0)
                )
                for answers in (predicted, answered)
            ]
            found["interval"] = scores.interval(sampled[0])
            found["model_minus_this_interval"] = scores.interval(sampled[1] - sampled[0])
        parts[part] = found
    return {"about": predictor.about, "splits": parts}
