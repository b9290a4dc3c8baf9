"""The classifiers of spectrograms: functions that return functional Keras models."""

from __future__ import annotations

import math

import keras
from keras import layers

from seis_tf.models.pieces import dense_layer, dropout_layer, l2_regularizer


def mlp(
    input_shape: tuple[int, int],
    n_classes: int,
    hidden: tuple[int, ...] = (20,),
    *,
    activation: str = "relu",
    dropout: float = 0.0,
    l2: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """A fully connected classifier of spectrograms.

    Args:
        input_shape: [frequency, time].
        n_classes: outputs.
        hidden: units of each hidden layer.
        activation: of the hidden layers.
        dropout: rate after each hidden layer.
        l2: Keras's L2 factor on all kernels.
        seed: of the initial weights (Glorot uniform, as scikit-learn's `MLPClassifier`) and of the dropout.

    Returns:
        `spectrogram` [batch, frequency, time] -> `probabilities` [batch, class].
    """
    inputs = keras.Input(input_shape, name="spectrogram")
    x = layers.Flatten(name="flatten")(inputs)
    for i, units in enumerate(hidden):
        x = dense_layer(units, f"hidden_{i + 1}", l2, seed + i, activation)(x)
        x = dropout_layer(x, dropout, seed + i, f"dropout_{i + 1}")
    outputs = dense_layer(n_classes, "probabilities", l2, seed + len(hidden), "softmax")(x)
    return keras.Model(inputs, outputs, name="mlp")


def mlp_parameters(input_shape: tuple[int, int], n_classes: int, hidden: tuple[int, ...]) -> int:
    """Weights and biases of `mlp`: the sum over layers of (inputs + 1) x outputs."""
    sizes = [math.prod(input_shape), *hidden, n_classes]
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))


def cnn(
    input_shape: tuple[int, int],
    n_classes: int,
    filters: tuple[int, ...] = (8, 16, 32),
    *,
    kernel: int = 3,
    pool: int = 2,
    stem: tuple[int, int] = (1, 1),
    dense: int = 20,
    activation: str = "relu",
    dropout: float = 0.3,
    l2: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """A convolutional classifier of spectrograms: Conv2D-MaxPool blocks, one dense layer, dropout, softmax.

    Its many arguments are one for each field of `CnnSettings`, beside shapes, L2 and seed.

    Args:
        input_shape: [frequency, time].
        n_classes: outputs.
        filters: of each block; a block is a convolution with same padding and a max pooling.
        kernel: side of the kernels.
        pool: side and stride of the pools.
        stem: [frequency, time] cells that are averaged before the first block; (1, 1) for none.
        dense: units of the hidden layer; 0 for none.
        activation: of convolutions and hidden layer.
        dropout: rate before the softmax.
        l2: Keras's L2 factor on all kernels.
        seed: of the initial weights and of the dropout.

    Returns:
        `spectrogram` [batch, frequency, time] -> `probabilities` [batch, class].

    Raises:
        ValueError: the pools leave nothing.
    """
    _check_blocks(input_shape, filters, pool, stem)
    inputs = keras.Input(input_shape, name="spectrogram")
    x = layers.Reshape((*input_shape, 1), name="channel")(inputs)
    if stem != (1, 1):
        x = layers.AveragePooling2D(stem, name="stem")(x)
    for i, width in enumerate(filters):
        x = layers.Conv2D(
            width,
            kernel,
            padding="same",
            activation=activation,
            kernel_regularizer=l2_regularizer(l2),
            kernel_initializer=keras.initializers.GlorotUniform(seed + i),
            name=f"conv_{i + 1}",
        )(x)
        x = layers.MaxPooling2D(pool, name=f"pool_{i + 1}")(x)
    x = layers.Flatten(name="flatten")(x)
    if dense:
        x = dense_layer(dense, "dense", l2, seed + len(filters), activation)(x)
    x = dropout_layer(x, dropout, seed, "dropout")
    outputs = dense_layer(n_classes, "probabilities", l2, seed + len(filters) + 1, "softmax")(x)
    return keras.Model(inputs, outputs, name="cnn")


def cnn_parameters(
    input_shape: tuple[int, int],
    n_classes: int,
    filters: tuple[int, ...],
    kernel: int = 3,
    pool: int = 2,
    stem: tuple[int, int] = (1, 1),
    dense: int = 20,
) -> int:
    """Weights and biases of `cnn`: (kernel^2 x in + 1) x out a block, then the dense layers."""
    total, channels = 0, 1
    height, width = input_shape[0] // stem[0], input_shape[1] // stem[1]
    for n in filters:
        total += (kernel * kernel * channels + 1) * n
        channels, height, width = n, height // pool, width // pool
    sizes = [channels * height * width, *([dense] if dense else []), n_classes]
    return total + sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))


def _check_blocks(input_shape: tuple[int, int], filters: tuple[int, ...], pool: int, stem: tuple[int, int]) -> None:
    smallest = min(size // step for size, step in zip(input_shape, stem, strict=True))
    most = 0
    while smallest // pool ** (most + 1):  # no logarithm, which is not exact
        most += 1
    if smallest < 1 or len(filters) > most:
        raise ValueError(
            f"cnn: expected at most {most} blocks for an input of {input_shape} and a stem of {stem} "
            f"({smallest} // {pool}^blocks >= 1), received {len(filters)}"
        )
