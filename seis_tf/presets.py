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
}
DEFAULTS = {"mlp": {"model": {"kind": "mlp"}}, "cnn": {"model": {"kind": "cnn"}}, "conv1d": PRESETS["published"][1]}


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
