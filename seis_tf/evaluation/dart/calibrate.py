"""Intervals of a DART network's answers, fitted once on the validation events of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seis_tf.dataset import shards
from seis_tf.evaluation.calibrated import Say, calibrated
from seis_tf.evaluation.dart import uncertainty, uncertainty_fit
from seis_tf.runs import Run

VERSION = 1  # of how intervals are fitted; those of another version are fitted again where the data set is at hand


def calibrate(run: Run, dataset: Path | str | None = None, say: Say = lambda words: None) -> dict[str, Any]:
    """`intervals` (None where there were too few events) and `fitted_on`; see `evaluation.calibrated.calibrated`."""
    return calibrated(run, dataset, say, _is_fitted, _intervals_of)


def _is_fitted(stored: dict[str, Any]) -> bool:
    return "intervals" in stored and stored.get("version") == VERSION


def _intervals_of(run: Run, folder: Path) -> dict[str, Any]:
    events = shards.load_dataset(folder).splits["valid"].records
    intervals = uncertainty_fit.fitted_intervals(run, folder) if events else None
    if intervals is None:
        words = f"not fitted: {uncertainty.fewest()} validation events or more are needed, the data set has {events}"
        return {"intervals": None, "version": VERSION, "fitted_on": words}
    words = f"fitted on {intervals.events} validation events"
    return {"intervals": intervals.model_dump(mode="json"), "version": VERSION, "fitted_on": words}
