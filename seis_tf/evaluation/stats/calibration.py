"""Temperature scaling: one number that calibrates a model's probabilities (Guo et al. 2017).

The temperature is fitted on validation records and goes with the run (`calibration.json`) into every answer and export.
It changes no answer, only its probability. Records of one event are alike, so a few events say little about it: a prior
holds it near 1 until enough events ask for another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from seis_tf.files import write_json

FILE = "calibration.json"
_RANGE = (0.05, 20.0)
_PRIOR_STD = (0.25, 1.0)  # of log T below and above 0
_TINY = np.finfo(np.float32).tiny  # as the exported graph clips


def with_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(log p / T) of probabilities [..., class], float64."""
    logits = np.log(np.maximum(probabilities, _TINY, dtype=np.float64)) / temperature
    scaled = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return scaled / scaled.sum(axis=-1, keepdims=True)


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray | None = None) -> float:
    """The temperature, between 0.05 and 20, with the smallest log loss, a prior about 1 included.

    Maximum a posteriori: the mean log loss counts as that of as many independent records as there are events, and log T
    has a normal prior with mean 0 and deviation 1 above, 0.25 below 0: making answers surer than the network gives them
    needs better evidence, for a wrong answer of high probability costs most.

    Args:
        labels: int [record], of records that the model was not trained on.
        probabilities: [record, class].
        groups: event of each record [record]; None where each is its own.

    Raises:
        ValueError: there are no records.
    """
    if not len(labels):
        raise ValueError("temperature: expected validation records, received none")
    events = len(labels) if groups is None else len(np.unique(groups))
    logits = np.log(np.maximum(probabilities, _TINY, dtype=np.float64))
    true = logits[np.arange(len(labels)), labels]

    def loss(log_temperature: float) -> float:
        sharpness = np.exp(-log_temperature)
        scaled = sharpness * logits
        highest = scaled.max(axis=1)
        each = highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1)) - sharpness * true
        spread = _PRIOR_STD[0] if log_temperature < 0 else _PRIOR_STD[1]
        return float(events * np.mean(each) + log_temperature**2 / (2 * spread**2))

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def recall_thresholds(labels: np.ndarray, probabilities: np.ndarray, recall: float) -> list[float | None]:
    """For each class the largest probability from which on at least such a part of the class is found.

    Args:
        labels: int [record].
        probabilities: [record, class].
        recall: above 0 to 1.

    Returns:
        thresholds in the order of the classes; None for a class without records.

    Raises:
        ValueError: a recall that can't be.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall: expected above 0 and up to 1, received {recall:g}")
    thresholds: list[float | None] = []
    for k in range(probabilities.shape[1]):
        own = np.sort(probabilities[labels == k, k])[::-1]
        # The smallest number of records that is at least the part asked for; 1e-9 for 0.1 * 30 = 3.0000000000000004.
        thresholds.append(float(own[int(np.ceil(recall * len(own) - 1e-9)) - 1]) if len(own) else None)
    return thresholds


def write_calibration(run_folder: Path, entries: dict[str, Any]) -> None:
    """Writes `calibration.json`; entries of other stages stay."""
    write_json(Path(run_folder) / FILE, read_calibration(run_folder) | entries)


def read_calibration(run_folder: Path) -> dict[str, Any]:
    """The content of `calibration.json`; nothing where there is none.

    Raises:
        ValueError: the file is no JSON object.
    """
    path = Path(run_folder) / FILE
    if not path.is_file():
        return {}
    try:
        tree = json.loads(path.read_text())
    except ValueError as err:
        raise ValueError(f"{path}: expected JSON, received {err}") from err
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a JSON object, received {type(tree).__name__}")
    return tree
