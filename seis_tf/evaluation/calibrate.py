"""A run's calibration: fitted once on its validation records, when it was trained, and then used by all that follows.

A classifier has a temperature (and thresholds for a wished-for recall), a DART network the intervals of its answers;
both lie in the run's `calibration.json`. The commands `train` and `import-weights` end with it. What needs it of a run
that has none, because it was made before or from Python, fits it first and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf import runs, tasks
from seis_tf.dataset import shards, tables
from seis_tf.evaluation.dart import uncertainty, uncertainty_fit
from seis_tf.evaluation.stats.calibration import (
    fit_temperature,
    read_calibration,
    recall_thresholds,
    with_temperature,
    write_calibration,
)
from seis_tf.runs import Run
from seis_tf.waveforms import training_data as waveform_training

RECALL = 0.95
VERSION = 1  # of how intervals are fitted; those of another version are fitted again where the data set is at hand


def calibrate(
    run: Run, dataset: Path | str | None = None, say: Callable[[str], None] = lambda words: None
) -> dict[str, Any]:
    """The content of a run's `calibration.json`, fitted now where the run has none.

    Args:
        run: a finished run.
        dataset: its data set, where that is not found from the run.
        say: told what is fitted, and what can't be.

    Returns:
        The content: `temperature` and `thresholds`, or `intervals` (None where there were too few events), and
        `fitted_on` in words. Nothing where the run has none and its data set is not at hand.

    Raises:
        ValueError: the file is no calibration, or `dataset` is not the run's.
    """
    stored = read_calibration(run.folder)
    classifier = tasks.is_classifier(run.config.job.model)
    if "temperature" in stored if classifier else "intervals" in stored and stored.get("version") == VERSION:
        return stored
    folder = runs.find_dataset(run, dataset)
    if folder is None:
        if not stored:
            say(
                f"{run.folder}: not calibrated, and its data set is not at hand: answers are as sure as the network "
                "gives them; name the data set with --dataset"
            )
        return stored
    entries = _temperature_of(run, folder) if classifier else _intervals_of(run, folder)
    write_calibration(run.folder, entries)
    say(f"{run.folder}: calibration {entries['fitted_on']}")
    return read_calibration(run.folder)


def probabilities(run: Run, power: np.ndarray, block: int = 1024) -> np.ndarray:
    """A classifier's answers as they are, standardised as the run's own training records were.

    Args:
        run: a classifier.
        power: spectrograms [record, frequency, time].
        block: records at once.

    Returns:
        [member, record, class].
    """
    layer = waveform_training.standardiser(run.config.info)
    starts = range(0, len(power), block)
    return np.concatenate([run.predict([layer(power[i : i + block]).numpy()]) for i in starts], axis=1)


def thresholds_of(labels: np.ndarray, p: np.ndarray, class_names: tuple[str, ...], recall: float) -> dict[str, float]:
    """Class to the probability from which on that part of it is found; without classes that have no records."""
    found = recall_thresholds(labels, p, recall)
    return {name: value for name, value in zip(class_names, found, strict=True) if value is not None}


def _temperature_of(run: Run, folder: Path) -> dict[str, Any]:
    info = shards.load_dataset(folder)
    if not info.splits["valid"].records:
        return {"temperature": 1.0, "thresholds": {}, "fitted_on": "not fitted: the data set has no validation records"}
    table = tables.load(folder, ("valid",), ("spectrogram", "label", "group"))
    unscaled = probabilities(run, table["spectrogram"]).mean(axis=0, dtype=np.float64)
    temperature = fit_temperature(table["label"], unscaled, table["group"])
    scaled = with_temperature(unscaled, temperature)
    events = len(np.unique(table["group"]))
    return {
        "temperature": temperature,
        "thresholds": thresholds_of(table["label"], scaled, info.class_names, RECALL),
        "fitted_on": f"fitted on {len(unscaled)} validation records of {events} events",
    }


def _intervals_of(run: Run, folder: Path) -> dict[str, Any]:
    events = shards.load_dataset(folder).splits["valid"].records
    intervals = uncertainty_fit.fitted_intervals(run, folder) if events else None
    if intervals is None:
        words = f"not fitted: {uncertainty.fewest()} validation events or more are needed, the data set has {events}"
        return {"intervals": None, "version": VERSION, "fitted_on": words}
    words = f"fitted on {intervals.events} validation events"
    return {"intervals": intervals.model_dump(mode="json"), "version": VERSION, "fitted_on": words}
