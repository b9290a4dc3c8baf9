"""Calibration that a run has, or that is fitted now; how it is fitted, each task says in its own `calibrate.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seis_tf import runs
from seis_tf.evaluation.stats.calibration import read_calibration, write_calibration
from seis_tf.runs import Run

Say = Callable[[str], None]


def calibrated(
    run: Run,
    dataset: Path | str | None,
    say: Say,
    is_fitted: Callable[[dict[str, Any]], bool],
    fit: Callable[[Run, Path], dict[str, Any]],
) -> dict[str, Any]:
    """The content of a run's `calibration.json`, fitted now where the run has none.

    Args:
        run: a finished run.
        dataset: its data set, where that is not found from the run.
        say: called with what is fitted, and what can't be.
        is_fitted: whether the content is complete and of this version.
        fit: (run, its data set) -> the entries, with `fitted_on` in words.

    Returns:
        The content. Nothing where the run has none and its data set is not at hand.

    Raises:
        ValueError: the file is no calibration, or `dataset` is not the run's.
    """
    stored = read_calibration(run.folder)
    if is_fitted(stored):
        return stored
    folder = runs.find_dataset(run, dataset)
    if folder is None:
        if not stored:
            say(
                f"{run.folder}: not calibrated, and its data set is not at hand: probabilities are as the network "
                "gives them; name the data set with --dataset"
            )
        return stored
    entries = fit(run, folder)
    write_calibration(run.folder, entries)
    say(f"{run.folder}: calibration {entries['fitted_on']}")
    return read_calibration(run.folder)
