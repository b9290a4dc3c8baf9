"""Settings that have a name, because somebody published them or because they were found to be good here."""

from __future__ import annotations

import copy
from typing import Any

from seis_tf.settings.networks import CnnSettings, Conv1dSettings, network_settings

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
    "published": ("conv1d", {"model": {"kind": "conv1d"}, **Conv1dSettings.defaults}),
    # Found on inner folds of real laboratory and field records: no hidden layer before the softmax, averaging 2 x 2
    # cells first, and other noise records added to most training records.
    "noisy": (
        "cnn",
        {
            "model": {"kind": "cnn", **CnnSettings.defaults["model"]},
            "training": CnnSettings.defaults["training"]
            | {"keep": "last", "augment": {"noise_probability": 0.8, "noise_snr_db": [0.0, 20.0]}},
        },
    ),
}


def preset_tree(model: str, preset: str | None) -> dict[str, Any]:
    """The settings of a preset, or the defaults of a model, as a tree to lay other settings over.

    Raises:
        ValueError: there is no such model or preset, or the preset is for another model.
    """
    settings = network_settings(model)
    if preset is None:
        tree = copy.deepcopy(settings.defaults)
        return tree | {"model": {"kind": model} | tree.get("model", {})}
    if preset not in PRESETS:
        raise ValueError(f"preset: expected one of {list(PRESETS)}, received {preset!r}")
    kind, tree = PRESETS[preset]
    if kind != model:
        raise ValueError(f"preset {preset}: expected model {kind}, received {model}")
    return copy.deepcopy(tree)
