"""Keras layers of the DART networks: the level of a record, and slip that is not negative."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("seis_tf")
class RecordScale(keras.layers.Layer):
    """A record's level apart from its shape.

    Waves are proportional to slip, so a network need not learn the same shape once for each magnitude.

    Args:
        floor_m: added to the root mean square, so that a record of noise is not blown up.
    """

    def __init__(self, floor_m: float, **kwargs):
        super().__init__(**kwargs)
        self.floor_m = float(floor_m)

    def call(self, level, mask):
        """[batch, minute, buoy] twice -> the level over its scale, likewise, and the scale in m [batch, 1]."""
        count = tf.maximum(tf.reduce_sum(mask, axis=(1, 2)), 1.0)
        power = tf.reduce_sum(tf.square(level * mask), axis=(1, 2)) / count
        scale = tf.sqrt(power + self.floor_m**2)[:, None]
        return level * mask / scale[:, :, None], scale

    def get_config(self):
        """What `__init__` takes, for saved models."""
        return super().get_config() | {"floor_m": self.floor_m}


@keras.saving.register_keras_serializable("seis_tf")
class ScaledSoftplus(keras.layers.Layer):
    """softplus(x) times the record's scale and a gain: never negative, and proportional to the level.

    Args:
        gain: metres of output that a metre of level stands for.
    """

    def __init__(self, gain: float, **kwargs):
        super().__init__(**kwargs)
        self.gain = float(gain)

    def call(self, x, scale):
        """x [batch, source] and the scale in m [batch, 1] -> slip in m [batch, source]."""
        return tf.math.softplus(x) * scale * self.gain

    def get_config(self):
        """What `__init__` takes, for saved models."""
        return super().get_config() | {"gain": self.gain}
