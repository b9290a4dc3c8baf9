"""Stage 8: a run -> what it is worth: `metrics.json`, `predictions.csv`, `figures/` and `report.html`.

A classifier is judged on the splits of its own data, test events being those that neither training nor any setting saw,
or on every record of another data set. Trivial predictors are compared with it, and intervals are over events.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dataset import shards, tables
from seis_tf.dataset.dataset_info import SPLITS, DatasetInfo, check_filled
from seis_tf.evaluation.report.page import write_report
from seis_tf.evaluation.report.record_figures import scales_of
from seis_tf.evaluation.results import judged_on
from seis_tf.evaluation.stats import scores
from seis_tf.evaluation.stats.classification import ProbabilityScores, SplitScores, all_scores
from seis_tf.evaluation.waveforms import trivial
from seis_tf.evaluation.waveforms.calibrate import RECALL, calibrate, probabilities, thresholds_of
from seis_tf.evaluation.waveforms.judged import Judged
from seis_tf.evaluation.waveforms.metrics import Threshold, TrivialScores, TrivialSplit, WaveformMetrics
from seis_tf.evaluation.waveforms.report import report_of
from seis_tf.evaluation.waveforms.trivial import Predictor
from seis_tf.files import as_csv, write_atomically, write_json
from seis_tf.names import check_names
from seis_tf.runs import Run, dataset_of, find_dataset, is_same, load_run

FEATURES = (
    "spectrogram", "waveform", "label", "group", "record_id", "station", "snr_db", "peak_amplitude", "clipped",
)  # fmt: skip
_STEPS = 5


def evaluate(
    run_folder: Run | Path | str,
    data: Path | str | None = None,
    *,
    dataset: Path | str | None = None,
    draws: int = 1000,
    recall: float = RECALL,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda words: None,
) -> WaveformMetrics:
    """Judges a classifier and writes what was found.

    Args:
        run_folder: a finished run of task waveforms, or its folder.
        data: another data set, of which every record is judged whatever its split, and the results go to
            `evaluations/<name>/` in the run. The run's own data set (by its fingerprint; perhaps moved) is judged by
            its splits, with the results in the run folder.
        dataset: the run's own, where it is not found from the run.
        draws: bootstrap samples of events for the intervals; 0 for none.
        recall: part of each class that its threshold is to find, chosen on validation records.
        progress: called with the steps done and the steps in all.
        say: called with a sentence where the run's calibration is fitted only now, or can't be.

    Returns:
        The metrics, which `metrics.json` holds.

    Raises:
        ValueError: no finished run, its data set is gone or changed, or `data` has other classes, shapes,
            sampling rate or spectrogram settings.
    """
    run = run_folder if isinstance(run_folder, Run) else load_run(run_folder)
    run.check_task("waveforms")
    progress(0, _STEPS)
    folder = dataset_of(run, dataset) if data is None else Path(data)
    info = shards.load_dataset(folder)
    own = is_same(info, run.config.info)
    calibrated = calibrate(run, folder if own else dataset, say)
    temperature = calibrated.get("temperature", 1.0)
    if own:
        judged, out = _judge_own(run, folder, temperature, progress), run.folder
    else:
        judged = _judge_other(run, folder, info, temperature, find_dataset(run, dataset), progress)
        out = run.folder / "evaluations" / f"{folder.resolve().name}-{info.fingerprint[:8]}"
        out.mkdir(parents=True, exist_ok=True)
    metrics = metrics_of(judged, draws, recall, calibrated.get("fitted_on", ""))
    progress(3, _STEPS)
    write_atomically(out / "predictions.csv", predictions_csv(judged).encode())
    write_report(out, report_of(judged, metrics, scales_of(judged.info)))
    progress(4, _STEPS)
    write_json(out / "metrics.json", metrics.tree())
    progress(_STEPS, _STEPS)
    return metrics


def metrics_of(judged: Judged, draws: int = 1000, recall: float = RECALL, calibration: str = "") -> WaveformMetrics:
    """All numbers of an evaluation.

    Args:
        judged: what was judged.
        draws: bootstrap samples of events for the intervals; 0 for none.
        recall: part of each class that its threshold is to find.
        calibration: what the temperature was fitted on, in words.
    """
    return WaveformMetrics(
        **judged_on(judged.run, judged.dataset, judged.info),
        grouped=judged.info.grouped,
        seen_groups=judged.seen_groups,
        class_names=list(judged.info.class_names),
        main=judged.main,
        temperature=judged.temperature,
        thresholds=_thresholds(judged, recall),
        splits={part: _split_scores(judged, rows, draws) for part, rows in judged.rows.items()},
        trivial={p.name: _trivial_scores(p, judged, draws) for p in judged.predictors},
        calibration=calibration,
    )


def _split_scores(judged: Judged, rows: np.ndarray, draws: int) -> SplitScores:
    """Scores of the model for some records, of its unscaled probabilities, and over the members of an ensemble."""
    columns = judged.columns
    labels, groups = columns["label"][rows], columns["group"][rows]
    snr_db = columns["snr_db"][rows] if "waveform" in columns else None
    found = all_scores(labels, judged.probabilities[rows], groups, judged.info.class_names, snr_db=snr_db, draws=draws)
    more: dict[str, Any] = {"unscaled": ProbabilityScores(**scores.headline_scores(labels, judged.unscaled[rows]))}
    if judged.run.members > 1:
        each = [scores.headline_scores(labels, member[rows]) for member in judged.members.astype(np.float64)]
        more["members"] = {name: scores.summary([row[name] for row in each]) for name in scores.HEADLINES}
    return found.model_copy(update=more)


def predictions_csv(judged: Judged) -> str:
    """One line a record: where it is from, what is true, what was answered, with which probabilities."""
    names, columns = judged.info.class_names, judged.columns
    about = ("record_id", "group", "station")
    measured = ("snr_db", "peak_amplitude", "clipped")
    header = ["split", *about, "class", "predicted_class", *(f"probability_{n}" for n in names), *measured]
    lines = []
    probabilities = judged.probabilities
    for part, rows in judged.rows.items():
        for row in rows:
            lines.append(
                [part, *(columns[name][row] for name in about), names[columns["label"][row]],
                 names[probabilities[row].argmax()], *(f"{p:.6g}" for p in probabilities[row]),
                 *(f"{columns[name][row]:.6g}" for name in measured)]
            )  # fmt: skip
    return as_csv(header, lines)


def check_like(folder: Path | str, expected: DatasetInfo, received: DatasetInfo) -> None:
    """Refuses another data set whose records a model of the first can't take as they are.

    Raises:
        ValueError: another task, other classes or another order, other shapes, sampling rate or spectrogram settings.
    """
    shards.check_task(folder, received, expected.task)
    check_names(f"{folder}: classes", expected.class_names, received.class_names)
    shapes = [i.feature("spectrogram").shape for i in (expected, received)]
    pairs: dict[str, tuple[Any, Any]] = {"spectrogram shape": (shapes[0], shapes[1])}
    pairs["sampling rate in Hz"] = (expected.sampling_rate_hz, received.sampling_rate_hz)
    mine, theirs = (info.job.get("spectrogram", {}) for info in (expected, received))
    pairs |= {f"spectrogram {key}": (mine.get(key), theirs.get(key)) for key in sorted(mine.keys() | theirs.keys())}
    for what, (wanted, given) in pairs.items():
        if wanted != given:
            raise ValueError(f"{folder}: {what}: expected {wanted}, received {given}")


def _judge_own(run: Run, folder: Path, temperature: float, progress: Callable[[int, int], None]) -> Judged:
    table = tables.load(folder, SPLITS, FEATURES)
    check_filled(folder, table.info, ("test",))
    progress(1, _STEPS)
    members = probabilities(run, table["spectrogram"])
    progress(2, _STEPS)
    predictors = _fit_trivial(table, table.rows["train"])
    return Judged(run, table.info, folder, table.columns, table.rows, members, temperature, predictors, None)


def _judge_other(
    run: Run,
    folder: Path,
    info: DatasetInfo,
    temperature: float,
    home: Path | None,
    progress: Callable[[int, int], None],
) -> Judged:
    check_like(folder, run.config.info, info)
    table = tables.load(folder, SPLITS, FEATURES)
    rows = {"all": np.concatenate([table.rows[split] for split in SPLITS])}
    progress(1, _STEPS)
    members = probabilities(run, table["spectrogram"])
    progress(2, _STEPS)
    predictors, seen = [], None
    if home is not None:
        train = tables.load(home, ("train",), (*trivial.FEATURES, "group"))
        predictors = _fit_trivial(train, train.rows["train"])
        seen = len(np.intersect1d(train["group"], table["group"]))
    return Judged(run, info, folder, table.columns, rows, members, temperature, predictors, seen)


def _thresholds(judged: Judged, recall: float) -> dict[str, Threshold]:
    """The probability from which on a class is called, for a wished-for recall; and what that gives on new events."""
    if "valid" not in judged.rows:
        return {}
    (labels, p), (true, test) = (
        (judged.columns["label"][rows], judged.probabilities[rows]) for rows in map(judged.rows.get, ("valid", "test"))
    )
    found = {}
    for name, threshold in thresholds_of(labels, p, judged.info.class_names, recall).items():
        k = judged.info.class_names.index(name)
        called, is_class = test[:, k] >= threshold, true == k
        found[name] = Threshold(
            threshold=threshold,
            wished_recall=recall,
            recall=float(called[is_class].mean()) if is_class.any() else None,
            precision=float(is_class[called].mean()) if called.any() else None,
        )
    return found


def _fit_trivial(table: tables.Table, rows: np.ndarray) -> list[Predictor]:
    scales = scales_of(table.info)
    return trivial.fit_all(table.columns, rows, table.info.class_names, scales.frequencies, scales.log)


def _trivial_scores(predictor: Predictor, judged: Judged, draws: int) -> TrivialScores:
    """Scores of a trivial predictor, and by how much the model is better on the same resampled events."""
    n_classes = len(judged.info.class_names)
    predicted = predictor.predict(judged.columns)
    answered = judged.probabilities.argmax(axis=1)
    parts = {}
    for part, rows in judged.rows.items():
        labels, groups = judged.columns["label"][rows], judged.columns["group"][rows]
        simple, model = (scores.confusion_matrix(labels, answers[rows], n_classes) for answers in (predicted, answered))
        intervals = {}
        if draws and len(np.unique(groups)) > 1:
            sampled = [
                scores.balanced_accuracy(
                    scores.bootstrap_confusions(labels, answers[rows], groups, n_classes, draws, seed=0)
                )
                for answers in (predicted, answered)
            ]
            intervals["interval"] = scores.interval(sampled[0])
            intervals["model_minus_this_interval"] = scores.interval(sampled[1] - sampled[0])
        parts[part] = TrivialSplit(
            accuracy=float(scores.accuracy(simple)),
            balanced_accuracy=float(scores.balanced_accuracy(simple)),
            macro_f1=float(scores.macro_f1(simple)),
            model_minus_this=float(scores.balanced_accuracy(model) - scores.balanced_accuracy(simple)),
            **intervals,
        )
    return TrivialScores(about=predictor.about, splits=parts)
