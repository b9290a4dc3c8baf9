"""Scores of a training as Keras metrics, where Keras has none."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("seis_tf")
class BalancedAccuracy(keras.metrics.Metric):
    """Mean over classes of the part of their records that is classified right, as scikit-learn's.

    Classes without records do not count. Not weighted.

    Args:
        n_classes: outputs of the network.
        name: in the history.
    """

    def __init__(self, n_classes: int, name: str = "balanced_accuracy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.right = self.add_weight(name="right", shape=(n_classes,), initializer="zeros")
        self.records = self.add_weight(name="records", shape=(n_classes,), initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds integer labels [batch] (or [batch, 1]) and probabilities [batch, class]."""
        labels = tf.reshape(tf.cast(y_true, tf.int32), [-1])
        of_class = tf.one_hot(labels, self.n_classes)
        right = tf.cast(tf.argmax(y_pred, axis=-1, output_type=tf.int32) == labels, tf.float32)
        self.right.assign_add(tf.reduce_sum(of_class * right[:, None], axis=0))
        self.records.assign_add(tf.reduce_sum(of_class, axis=0))

    def result(self):
        """The score of all records since the last reset."""
        records = tf.convert_to_tensor(self.records)
        recalls = tf.math.divide_no_nan(tf.convert_to_tensor(self.right), records)
        return tf.math.divide_no_nan(tf.reduce_sum(recalls), tf.reduce_sum(tf.cast(records > 0, tf.float32)))

    def get_config(self):
        """For saving."""
        return super().get_config() | {"n_classes": self.n_classes}
