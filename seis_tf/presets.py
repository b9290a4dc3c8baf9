"""Settings that have a name, because somebody published them or because they were found to be good here."""

from __future__ import annotations

import copy
from typing import Any

PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    # The exercise's starting point in scikit-learn's meaning: its L2 term is alpha / (2 x batch) in Keras's terms with
    # alpha 0.001 and batches of 50, and its SGD has Nesterov momentum 0.9.
    "exercise": (
        "mlp",
        {
            "model": {"kind": "mlp", "hidden": [20]},
            "training": {
                "optimizer": "sgd",
                "momentum": 0.9,
                "learning_rate": 0.001,
                "l2": 0.001 / (2 * 50),
                "batch_size": 50,
                "epochs": 20,
                "keep": "last",
            },
        },
    ),
    # Liu (2021): Adam at 5e-4, batches of 20, 300 epochs of squared slip error.
    "published": (
        "conv1d",
        {
            "model": {"kind": "conv1d"},
            "training": {"optimizer": "adam", "learning_rate": 5e-4, "batch_size": 20, "epochs": 300, "keep": "last"},
        },
    ),
    # Found on inner folds of real laboratory and field records: no hidden layer before the softmax, averaging 2 x 2
    # cells first, and other noise records added to most training records.
    "noisy": (
        "cnn",
        {
            "model": {"kind": "cnn", "stem": [2, 2], "dense": 0, "dropout": 0.5},
            "training": {
                "optimizer": "adam",
                "learning_rate": 3e-3,
                "weight_decay": 0.01,
                "schedule": "cosine",
                "warmup_epochs": 2,
                "batch_size": 32,
                "epochs": 80,
                "class_weights": "balanced",
                "keep": "last",
                "augment": {"noise_probability": 0.8, "noise_snr_db": [0.0, 20.0]},
            },
        },
    ),
}
_SLIP_MLP = {
    "model": {"kind": "slip_mlp"},
    "training": {
        "optimizer": "adam",
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_epochs": 3,
        "batch_size": 64,
        "epochs": 60,
        "loss": {"slip_weight": 0.005, "wave_weight": 1.0},
        "level_weights": True,
        "buoy_dropout": 0.3,
        "redraw_noise": {},
        "keep": "last",
    },
}
# Best balanced accuracy over laboratory, field and simulated records (benchmarks/defaults.py). They ask nothing
# of the data set: noise can be added only where there is a class noise and the waveforms are stored.
_CLASSIFIERS = {
    "mlp": copy.deepcopy(PRESETS["exercise"][1]),
    "cnn": copy.deepcopy(PRESETS["noisy"][1]),
}
_CLASSIFIERS["mlp"]["training"] |= {"learning_rate": 3e-3, "class_weights": "balanced", "epochs": 40}
del _CLASSIFIERS["cnn"]["training"]["augment"]
_CLASSIFIERS["cnn"]["training"]["keep"] = "best"
DEFAULTS = {
    **_CLASSIFIERS,
    "conv1d": PRESETS["published"][1],
    "slip_mlp": _SLIP_MLP,
}


def preset_tree(model: str, preset: str | None) -> dict[str, Any]:
    """The settings of a preset, or the defaults of a model, as a tree to lay other settings over.

    Raises:
        ValueError: there is no such model or preset, or the preset is for another model.
    """
    if model not in DEFAULTS:
        raise ValueError(f"model: expected one of {list(DEFAULTS)}, received {model!r}")
    if preset is None:
        return copy.deepcopy(DEFAULTS[model])
    if preset not in PRESETS:
        raise ValueError(f"preset: expected one of {list(PRESETS)}, received {preset!r}")
    kind, tree = PRESETS[preset]
    if kind != model:
        raise ValueError(f"preset {preset}: expected model {kind}, received {model}")
    return copy.deepcopy(tree)
