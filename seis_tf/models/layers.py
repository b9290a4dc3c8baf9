"""Keras layers for both tasks: forms of known layers that can be mapped over a stack of models and compiled.

`UnfoldConv1D` and `StackableDropout` compute what `Conv1D` and `Dropout` compute. They exist because a stack of models
trained as one (`training/stack.py`) maps a model over a leading axis of its weights: a convolution with a batch of
filters has no such form, and Keras's dropout would draw one mask for all models.
"""

from __future__ import annotations

import keras
import tensorflow as tf

# Largest samples of records whose power float32 holds, down to its floor, at any usual sampling rate.
_ORDINARY = (1e-9, 1e12)


def _scale(values: tf.Tensor, ordinary: tuple[float, float]) -> tf.Tensor:
    """A factor for each record [batch, 1 ...] that brings its squares into the range of float32; mostly 1."""
    peak = tf.reduce_max(tf.abs(values), axis=list(range(1, len(values.shape))), keepdims=True)
    fine = ((peak >= ordinary[0]) & (peak <= ordinary[1])) | (peak == 0)
    # One over the largest float32 would be too small for a normal number.
    return tf.where(fine, tf.ones_like(peak), 1 / tf.clip_by_value(peak, 1e-37, 1e37))


@keras.saving.register_keras_serializable("seis_tf")
class UnfoldConv1D(keras.layers.Conv1D):
    """`Conv1D` (same padding, stride 1) computed as unfold and matrix product: same weights, same answer.

    Four to five times faster on small inputs on a CPU under XLA, and it can be mapped over a stack of filters.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        kwargs["padding"] = "same"
        super().__init__(filters, kernel_size, **kwargs)
        if self.strides != (1,) or self.dilation_rate != (1,) or self.groups != 1:
            received = f"{self.strides[0]}, {self.dilation_rate[0]} and {self.groups}"
            raise ValueError(f"UnfoldConv1D: expected strides, dilation and groups of 1, received {received}")

    def call(self, inputs):
        """[batch, sample, channel] -> [batch, sample, filter]."""
        width, length = self.kernel_size[0], inputs.shape[1]
        left = (width - 1) // 2
        padded = tf.pad(inputs, [[0, 0], [left, width - 1 - left], [0, 0]])
        columns = tf.concat([padded[:, k : k + length] for k in range(width)], axis=-1)
        kernel = tf.reshape(self.kernel, [width * inputs.shape[-1], self.filters])
        outputs = tf.reshape(tf.reshape(columns, [-1, width * inputs.shape[-1]]) @ kernel, [-1, length, self.filters])
        return self.activation(outputs + self.bias if self.use_bias else outputs)


@keras.saving.register_keras_serializable("seis_tf")
class ReshapeMaxPool1D(keras.layers.Layer):
    """Max pooling of 2 with stride 2 (an odd last sample is dropped), as reshape and maximum."""

    def call(self, inputs):
        """[batch, sample, channel] -> [batch, sample // 2, channel]."""
        half = inputs.shape[1] // 2
        return tf.reduce_max(tf.reshape(inputs[:, : 2 * half], [-1, half, 2, inputs.shape[2]]), axis=2)


@keras.saving.register_keras_serializable("seis_tf")
class StackableDropout(keras.layers.Layer):
    """Dropout whose rate and random state are weights, so that each model of a stack has its own.

    The state is (model, step); every training call with `stateless_call` advances the step. The uniforms come from the
    Threefry-2x32 block cipher with 20 rounds (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), a
    hash of state and position: elementwise integer operations only, so it maps over a stack and compiles.
    """

    def __init__(self, rate: float, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"dropout rate: expected 0 <= rate < 1, received {rate}")
        self.initial_rate, self.initial_seed = float(rate), int(seed)

    def build(self, input_shape):
        """Makes the weights: `rate`, and `state` = (seed, step)."""
        self.rate = self.add_weight(
            name="rate",
            shape=(),
            trainable=False,
            initializer=keras.initializers.Constant(self.initial_rate),
            autocast=False,  # a rate of eight bits would not be the rate that was asked for
        )
        self.state = self.add_weight(
            name="state", shape=(2,), dtype="int32", trainable=False, initializer=_fixed([self.initial_seed, 0])
        )

    def call(self, inputs, training=False):
        """Any shape, unchanged but in training; a training call advances the step of the random state."""
        if not training:
            return inputs
        state = tf.convert_to_tensor(self.state)
        uniform = threefry_uniform(state, inputs)
        self.state.assign(state + tf.constant([0, 1], tf.int32))
        rate = tf.convert_to_tensor(self.rate)
        return tf.where(uniform >= rate, inputs / tf.cast(1 - rate, inputs.dtype), tf.zeros_like(inputs))

    def get_config(self):
        """What `__init__` takes, for saved models."""
        return super().get_config() | {"rate": self.initial_rate, "seed": self.initial_seed}


def dropouts(model: keras.Model) -> list[StackableDropout]:
    """The layers of a model that draw; none where there is no dropout."""
    return [layer for layer in model.layers if isinstance(layer, StackableDropout)]


def _fixed(values):
    return lambda shape, dtype=None: tf.constant(values, dtype or tf.int32)


def threefry2x32(key0: tf.Tensor, key1: tf.Tensor, counter: tf.Tensor) -> tf.Tensor:
    """First output word of Threefry-2x32-20 for the counters (counter, 0), uint32 of the counter's shape."""
    parity = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(key0, key1), tf.constant(0x1BD11BDA, tf.uint32))
    keys = (key0, key1, parity)
    x0, x1 = counter + keys[0], tf.zeros_like(counter) + keys[1]
    for i in range(5):  # five groups of four rounds, each followed by a key injection
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[i % 2]:
            x0 = x0 + x1
            x1 = tf.bitwise.bitwise_xor(_rotate_left(x1, rotation), x0)
        x0 = x0 + keys[(i + 1) % 3]
        x1 = x1 + keys[(i + 2) % 3] + tf.constant(i + 1, tf.uint32)
    return x0


def threefry_uniform(state: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Uniform numbers in [0, 1), one for each element of `like`, from the integer state [2]."""
    positions = tf.cast(tf.reshape(tf.range(tf.size(like)), tf.shape(like)), tf.uint32)
    bits = threefry2x32(tf.cast(state[0], tf.uint32), tf.cast(state[1], tf.uint32), positions)
    return tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.uint32)), tf.float32) * 2.0**-24


def _rotate_left(x: tf.Tensor, bits: int) -> tf.Tensor:
    return tf.bitwise.bitwise_or(
        tf.bitwise.left_shift(x, tf.constant(bits, tf.uint32)),
        tf.bitwise.right_shift(x, tf.constant(32 - bits, tf.uint32)),
    )


@keras.saving.register_keras_serializable("seis_tf")
class Logarithm(keras.layers.Layer):
    """log x, natural."""

    def call(self, x):
        """Any shape -> the same shape."""
        return tf.math.log(x)


@keras.saving.register_keras_serializable("seis_tf")
class StackMembers(keras.layers.Layer):
    """Outputs of an ensemble's members, each [batch, ...], as one tensor [batch, member, ...]."""

    def call(self, outputs):
        """List of [batch, ...] -> [batch, member, ...]."""
        return tf.stack(outputs, axis=1)
