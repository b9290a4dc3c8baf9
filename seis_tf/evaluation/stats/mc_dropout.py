"""Monte Carlo dropout: a network asked many times with its dropout active, as draws of what it might have learned.

Gal and Ghahramani (2016), "Dropout as a Bayesian approximation". Nothing of the network is changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from seis_tf.models.layers import dropouts

PASSES = 20
_BLOCK = 1024  # records in one call


def dropout_samples(
    model: keras.Model, inputs: Sequence[np.ndarray], passes: int = PASSES, seed: int = 0
) -> np.ndarray:
    """Answers with dropout active; every record and pass has masks of its own.

    Args:
        model: a single one, with dropout.
        inputs: of the model, arrays [record, ...].
        passes: how often each record is answered.
        seed: of the masks.

    Returns:
        [pass, record, ...].

    Raises:
        ValueError: the model has no dropout.
    """
    layers = dropouts(model)
    if not layers:
        raise ValueError(f"dropout: expected a model with dropout layers, received {model.name} without")
    before = [layer.state.numpy() for layer in layers]
    specs = [tf.TensorSpec((None, *value.shape[1:]), tf.float32) for value in model.inputs]
    answer = tf.function(
        lambda *values: model(values if len(values) > 1 else values[0], training=True), input_signature=specs
    )
    found = []
    try:
        for number, layer in enumerate(layers):
            layer.state.assign([(seed * 1000 + number) % 2**31, 0])
        for start in range(0, len(inputs[0]), _BLOCK):
            block = [tf.constant(values[start : start + _BLOCK]) for values in inputs]
            found.append(np.stack([answer(*block).numpy() for _ in range(passes)]))
    finally:
        for layer, state in zip(layers, before, strict=True):
            layer.state.assign(state)
    return np.concatenate(found, axis=1)
