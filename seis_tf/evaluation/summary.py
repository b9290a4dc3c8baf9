"""The main numbers of an evaluation as one table: the model, and below it what needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seis_tf.evaluation.dart.figures import SHORT
from seis_tf.evaluation.report.units import count

_SCORES = {"balanced_accuracy": 3, "accuracy": 3, "macro_f1": 3, "log_loss": 3, "ece": 3}
_PARTS = {"test": "test split", "all": "all records"}


def summary(metrics: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets.

    Args:
        metrics: the content of an evaluation's `metrics.json`.
    """
    return _waveforms(metrics) if metrics["task"] == "waveforms" else _dart(metrics)


def with_interval(value: float | None, ends: list[float] | None, digits: int = 3) -> str:
    """ "0.913 (0.880 to 0.941)"; nothing for no value."""
    if value is None:
        return ""
    words = f"{value:.{digits}f}"
    return words if not ends or None in ends else f"{words} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"


def _waveforms(metrics: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    part = metrics["main"]
    main = metrics["splits"][part]
    intervals = main.get("intervals", {})
    rows = [[metrics["model"], *(with_interval(main[name], intervals.get(name)) for name in _SCORES)]]
    rows += trivial_rows(metrics, tuple(_SCORES))
    title = f"{_PARTS[part]}: {count(main['records'], 'record')} of {count(main['groups'], 'event')}"
    return title, ["", *(name.replace("_", " ") for name in _SCORES)], rows


def trivial_rows(metrics: Mapping[str, Any], scores: tuple[str, ...]) -> list[list[str]]:
    """A row of the main part's scores for each trivial predictor; they give classes, so no score of probabilities."""
    rows = []
    for name, found in metrics.get("trivial", {}).items():
        own = found["splits"][metrics["main"]]
        ends = {"balanced_accuracy": own.get("interval")}
        rows.append([f"{name} (trivial)", *(with_interval(own.get(score), ends.get(score)) for score in scores)])
    return rows


def _dart(metrics: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    main = metrics["splits"][metrics["main"]]
    rows = []
    for name, found in main["methods"].items():
        beside = found.get("explained_far", {})
        rows.append(
            [
                SHORT[name],
                with_interval(found["explained"]["far"], beside.get("interval")),
                with_interval(beside.get("first_minus_this"), beside.get("first_minus_this_interval")),
                with_interval(found["mse_m2"], None, 2),
                with_interval(found["mse_ratio"], None),
                with_interval(found["mw"]["mae_mw"], None, 2),
            ]
        )
    title = f"{_PARTS[metrics['main']]}: {count(main['events'], 'earthquake')}, {metrics['window_min']} min seen"
    scores = (
        "wave explained",
        "network better by",
        "slip MSE (m²)",
        "over that of the mean",
        "Mw: mean absolute error",
    )
    return title, ["", *scores], rows
