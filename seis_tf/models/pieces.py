"""Pieces that the networks of both jobs are built of."""

from __future__ import annotations

import keras
from keras import layers

from seis_tf.models.layers import StackableDropout


def dense_layer(units: int, name: str, l2: float, seed: int, activation: str) -> layers.Dense:
    """A dense layer with Glorot uniform kernel from `seed` and Keras's L2 factor `l2` (0 for none)."""
    return layers.Dense(
        units,
        activation,
        kernel_regularizer=l2_regularizer(l2),
        kernel_initializer=keras.initializers.GlorotUniform(seed),
        name=name,
    )


def dropout_layer(x, rate: float, seed: int, name: str):
    """`x` after dropout; `x` itself where `rate` is 0."""
    return StackableDropout(rate, seed, name=name)(x) if rate else x


def l2_regularizer(factor: float):
    """Keras's L2 regularizer; None where `factor` is 0."""
    return keras.regularizers.L2(factor) if factor else None
