"""The main numbers of a classifier's evaluation as one table: the model, and below it what needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seis_tf.evaluation.report.cells import PARTS, with_interval
from seis_tf.evaluation.report.units import count

_SCORES = {"balanced_accuracy": 3, "accuracy": 3, "macro_f1": 3, "log_loss": 3, "ece": 3}


def summary(metrics: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets."""
    part = metrics["main"]
    main = metrics["splits"][part]
    intervals = main.get("intervals", {})
    rows = [[metrics["model"], *(with_interval(main[name], intervals.get(name)) for name in _SCORES)]]
    rows += trivial_rows(metrics, tuple(_SCORES))
    title = f"{PARTS[part]}: {count(main['records'], 'record')} of {count(main['groups'], 'event')}"
    return title, ["", *(name.replace("_", " ") for name in _SCORES)], rows


def trivial_rows(metrics: Mapping[str, Any], scores: tuple[str, ...]) -> list[list[str]]:
    """A row of the main part's scores for each trivial predictor; they give classes, so no score of probabilities."""
    rows = []
    for name, found in metrics.get("trivial", {}).items():
        own = found["splits"][metrics["main"]]
        ends = {"balanced_accuracy": own.get("interval")}
        rows.append([f"{name} (trivial)", *(with_interval(own.get(score), ends.get(score)) for score in scores)])
    return rows
