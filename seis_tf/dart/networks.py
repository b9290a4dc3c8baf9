"""The networks from buoy records to slip: functions that return functional Keras models."""

from __future__ import annotations

import math
from typing import Literal

import keras
from keras import layers

from seis_tf.dart.layers import RecordScale, ScaledSoftplus
from seis_tf.models.layers import Logarithm, ReshapeMaxPool1D, UnfoldConv1D
from seis_tf.models.pieces import dense_layer, dropout_layer, l2_regularizer

CONV1D_WIDTHS = {
    3: (20, 40, 80),
    4: (20, 20, 40, 60),
    5: (20, 20, 40, 40, 80),
    6: (20, 20, 40, 40, 80, 80),
}


def conv1d(
    window_min: int,
    n_buoys: int,
    n_sources: int,
    widths: tuple[int, ...] | None = None,
    *,
    dense: int = 40,
    dropout: float = 0.3,
    activation: str = "leaky_relu",
    negative_slope: float = 0.01,
    output: Literal["relu", "softplus"] = "relu",
    use_mask: bool = False,
    l2: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """The 1-D convolutional network of Liu (2021) from buoy records to slip, for any window.

    Stages of convolution (kernel 3), activation and max pooling of 2 until one sample is left, then two dense layers.
    For 45 minutes, 3 buoys and 31 sources it is the published network, with 22,891 parameters. Long, and with many
    arguments, as there is one for each field of `Conv1dSettings`, beside shapes, L2 and seed.

    Args:
        window_min: samples of the window at one a minute.
        n_buoys: input channels.
        n_sources: outputs.
        widths: channels of each stage; by default those listed in `CONV1D_WIDTHS`.
        dense: units of the hidden layer.
        dropout: rate after the hidden layer.
        activation: after each convolution; the published one is LeakyReLU.
        negative_slope: of LeakyReLU.
        output: what keeps the slip non-negative.
        use_mask: whether the mask is a second set of input channels; the published network has none.
        l2: Keras's L2 factor on all kernels.
        seed: of the initial weights and of the dropout.

    Returns:
        `water_level_m` [batch, minute, buoy] (and `mask`, likewise, with `use_mask`) -> `weights_m` [batch, source].

    Raises:
        ValueError: the stages do not end at one sample.
    """
    widths = conv1d_widths(window_min, widths)
    level = keras.Input((window_min, n_buoys), name="water_level_m")
    inputs, x = [level], level
    if use_mask:
        mask = keras.Input((window_min, n_buoys), name="mask")
        inputs.append(mask)
        x = layers.Concatenate(name="level_and_mask")([level, mask])
    for i, width in enumerate(widths):
        x = UnfoldConv1D(
            width,
            3,
            kernel_regularizer=l2_regularizer(l2),
            kernel_initializer=_torch_uniform(seed + i),
            name=f"conv_{i + 1}",
        )(x)
        x = _activate(x, activation, negative_slope, f"activation_{i + 1}")
        x = ReshapeMaxPool1D(name=f"pool_{i + 1}")(x)
    x = layers.Reshape((widths[-1],), name="squeeze")(x)
    x = layers.Dense(
        dense, kernel_regularizer=l2_regularizer(l2), kernel_initializer=_torch_uniform(seed + 100), name="linear_1"
    )(x)
    x = dropout_layer(x, dropout, seed, "dropout")
    outputs = layers.Dense(
        n_sources,
        output,
        kernel_regularizer=l2_regularizer(l2),
        kernel_initializer=_torch_uniform(seed + 101),
        name="weights_m",
    )(x)
    return keras.Model(inputs if use_mask else level, outputs, name="conv1d")


def conv1d_widths(window_min: int, widths: tuple[int, ...] | None) -> tuple[int, ...]:
    """The channels of each stage, given or by default.

    Raises:
        ValueError: halving the window once a stage does not end at exactly one sample.
    """
    if window_min < 2:
        raise ValueError(f"window_min: expected at least 2 minutes, received {window_min}")
    stages = int(math.log2(window_min))
    if widths is None:
        if stages in CONV1D_WIDTHS:
            return CONV1D_WIDTHS[stages]
        return tuple(20 * 2 ** (i // 2) for i in range(stages))
    if len(widths) != stages:
        lengths = [window_min // 2**i for i in range(len(widths) + 1)]
        raise ValueError(
            f"widths: expected {stages} stages for {window_min} minutes (floor(log2({window_min})) = {stages}, so that "
            f"one sample is left), received {len(widths)}: {' -> '.join(map(str, lengths))} samples"
        )
    return tuple(widths)


def conv1d_parameters(n_channels: int, n_sources: int, widths: tuple[int, ...], dense: int = 40) -> int:
    """Weights and biases of `conv1d`: (3 x in + 1) x out a stage, then the two dense layers."""
    total = 0
    for width in widths:
        total += (3 * n_channels + 1) * width
        n_channels = width
    return total + (n_channels + 1) * dense + (dense + 1) * n_sources


def slip_mlp(
    window_min: int,
    n_buoys: int,
    n_sources: int,
    hidden: tuple[int, ...] = (256, 256, 256),
    *,
    activation: str = "silu",
    dropout: float = 0.1,
    floor_m: float = 0.01,
    gain: float = 20.0,
    use_mask: bool = True,
    l2: float = 0.0,
    seed: int = 0,
) -> keras.Model:
    """A fully connected network from buoy records to slip, which sees each record's shape and its level apart.

    Its many arguments are one for each field of `SlipMlpSettings`, beside shapes, L2 and seed.

    Args:
        window_min: samples of the window.
        n_buoys: records.
        n_sources: outputs.
        hidden: units of each hidden layer; one as wide as the one before it is residual.
        activation: of the hidden layers.
        dropout: rate after each hidden layer.
        floor_m: see `RecordScale`.
        gain: see `ScaledSoftplus`.
        use_mask: always; here so that all networks of the job are called alike.
        l2: Keras's L2 factor on all kernels.
        seed: of the initial weights and of the dropout.

    Returns:
        `water_level_m` and `mask` [batch, minute, buoy] -> `weights_m` [batch, source].

    Raises:
        ValueError: `use_mask` is False.
    """
    if not use_mask:
        raise ValueError("slip_mlp: expected use_mask, received False")
    level = keras.Input((window_min, n_buoys), name="water_level_m")
    mask = keras.Input((window_min, n_buoys), name="mask")
    scaled, scale = RecordScale(floor_m, name="scale")(level, mask)
    parts = [layers.Flatten(name="shape")(scaled), layers.Flatten(name="present")(mask), Logarithm(name="level")(scale)]
    x = layers.Concatenate(name="features")(parts)
    for i, units in enumerate(hidden):
        y = dense_layer(units, f"hidden_{i + 1}", l2, seed + i, activation)(x)
        y = dropout_layer(y, dropout, seed + i, f"dropout_{i + 1}")
        x = layers.Add(name=f"skip_{i + 1}")([x, y]) if i and units == hidden[i - 1] else y
    x = dense_layer(n_sources, "slip", l2, seed + len(hidden), "linear")(x)
    return keras.Model([level, mask], ScaledSoftplus(gain, name="weights_m")(x, scale), name="slip_mlp")


def slip_mlp_parameters(window_min: int, n_buoys: int, n_sources: int, hidden: tuple[int, ...]) -> int:
    """Weights and biases of `slip_mlp`: its inputs are the samples, their mask and the level."""
    sizes = [2 * window_min * n_buoys + 1, *hidden, n_sources]
    return sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))


def _activate(x, activation: str, negative_slope: float, name: str):
    if activation == "leaky_relu":
        return layers.LeakyReLU(negative_slope, name=name)(x)
    return layers.Activation(activation, name=name)(x)


def _torch_uniform(seed: int) -> keras.initializers.Initializer:
    """PyTorch's default for weights, U(-1/sqrt(fan_in), 1/sqrt(fan_in)): variance 1 / (3 fan_in)."""
    return keras.initializers.VarianceScaling(1 / 3, mode="fan_in", distribution="uniform", seed=seed)
