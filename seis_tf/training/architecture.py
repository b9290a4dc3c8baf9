"""What two models share that can be trained as one stack, and whether a model can be mapped over a stack at all."""

from __future__ import annotations

import json
from typing import Any

import keras

from seis_tf.models.layers import StackableDropout

# Parts of a layer's configuration that are values of its variables, or terms of the loss, and not architecture.
_VALUES = ("kernel_initializer", "kernel_regularizer", "seed", "build_config")


def is_stackable(model: keras.Model) -> bool:
    """Whether every layer can be mapped over a stack of weights (and gains from XLA on a CPU)."""
    unmapped = (keras.layers.Conv2D, keras.layers.Dropout, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else model.layers
    return not any(
        isinstance(layer, unmapped) or type(layer) in (keras.layers.Conv1D, keras.layers.MaxPooling1D)
        for layer in layers
    )


def architecture(model: keras.Model) -> str:
    """The model's configuration as JSON, without what differs between members of a stack."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key not in _VALUES}
        return [strip(value) for value in node] if isinstance(node, (list, tuple)) else node

    tree = strip(model.get_config())
    for layer in tree["layers"]:
        if layer["class_name"] == StackableDropout.__name__:
            layer["config"]["rate"] = 0.5  # any: the rate is a variable
    return json.dumps(tree, sort_keys=True, default=str)
