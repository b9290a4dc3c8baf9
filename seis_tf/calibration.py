"""Temperature scaling: one number that makes a model's probabilities as sure as they deserve to be (Guo et al. 2017).

The temperature is fitted on validation records and goes with the run (`calibration.json`) into every answer and export.
It changes no answer, only how sure it is.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar

from seis_tf.config import write_json

FILE = "calibration.json"
_RANGE = (0.05, 20.0)
_TINY = np.finfo(np.float32).tiny  # as the exported graph clips


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T) of probabilities [..., class], float64."""
    logits = np.log(np.maximum(probabilities, _TINY, dtype=np.float64)) / temperature
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature with the smallest log loss, between 0.05 and 20.

    Args:
        labels: int [record], of records that the model was not trained on.
        probabilities: [record, class].

    Raises:
        ValueError: there are no records.
    """
    if not len(labels):
        raise ValueError("temperature: expected validation records, received none")
    logits = np.log(np.maximum(probabilities, _TINY, dtype=np.float64))
    true = logits[np.arange(len(labels)), labels]

    def loss(sharpness: float) -> float:
        """Mean log loss at T = 1 / sharpness, in which it is convex."""
        scaled = sharpness * logits
        highest = scaled.max(axis=1)
        return float(np.mean(highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) - sharpness * true))

    found = minimize_scalar(loss, bounds=(1 / _RANGE[1], 1 / _RANGE[0]), method="bounded", options={"xatol": 1e-6})
    return float(1 / found.x)


def write_calibration(run_folder: Path, temperature: float, records: int) -> None:
    """Writes `calibration.json`; entries of other stages stay."""
    path = Path(run_folder) / FILE
    tree = json.loads(path.read_text()) if path.is_file() else {}
    write_json(path, tree | {"temperature": temperature, "fitted_on": f"{records} validation records"})


def read_temperature(run_folder: Path) -> float | None:
    """The run's temperature; None where it was never fitted."""
    path = Path(run_folder) / FILE
    return json.loads(path.read_text()).get("temperature") if path.is_file() else None
