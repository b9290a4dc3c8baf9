"""A classifier's temperature and thresholds, fitted once on the validation records of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dataset import shards, tables
from seis_tf.evaluation.calibrated import Say, calibrated
from seis_tf.evaluation.stats.calibration import fit_temperature, recall_thresholds, with_temperature
from seis_tf.runs import Run
from seis_tf.waveforms import training_data

RECALL = 0.95


def calibrate(run: Run, dataset: Path | str | None = None, say: Say = lambda words: None) -> dict[str, Any]:
    """`temperature`, `thresholds` and `fitted_on` of a classifier; see `evaluation.calibrated.calibrated`."""
    return calibrated(run, dataset, say, lambda stored: "temperature" in stored, _temperature_of)


def probabilities(run: Run, power: np.ndarray, block: int = 1024) -> np.ndarray:
    """A classifier's answers as they are, standardised as the run's own training records were.

    Args:
        run: a classifier.
        power: spectrograms [record, frequency, time].
        block: records at once.

    Returns:
        [member, record, class].
    """
    layer = training_data.standardiser(run.config.info)
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
