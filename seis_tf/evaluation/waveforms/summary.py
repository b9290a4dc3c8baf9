"""The main numbers of a classifier's evaluation as one table: the model, and below it what needs no network."""

from __future__ import annotations

from seis_tf.evaluation.report.cells import PARTS, with_interval
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.waveforms.metrics import WaveformMetrics

_SCORES = ("balanced_accuracy", "accuracy", "macro_f1", "log_loss", "ece")


def summary(metrics: WaveformMetrics) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets."""
    main = metrics.main_scores
    rows = [[metrics.model, *(with_interval(main.headline(name), main.intervals.get(name)) for name in _SCORES)]]
    rows += trivial_rows(metrics, _SCORES)
    title = f"{PARTS[metrics.main]}: {count(main.records, 'record')} of {count(main.groups, 'event')}"
    return title, ["", *(name.replace("_", " ") for name in _SCORES)], rows


def trivial_rows(metrics: WaveformMetrics, scores: tuple[str, ...]) -> list[list[str]]:
    """A row of the main part's scores for each trivial predictor; they give classes, so no score of probabilities."""
    rows = []
    for name, predictor in metrics.trivial.items():
        split = predictor.splits[metrics.main]
        values = {"accuracy": split.accuracy, "balanced_accuracy": split.balanced_accuracy, "macro_f1": split.macro_f1}
        ends = {"balanced_accuracy": split.interval}
        rows.append([f"{name} (trivial)", *(with_interval(values.get(score), ends.get(score)) for score in scores)])
    return rows
