"""What the networks are fitted to: functions of (targets, outputs) that give one number a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

_TINY = 1e-7  # Keras's epsilon


def cross_entropy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """-log of the probability of the true class.

    Args:
        labels: integer [record].
        probabilities: [record, class].
    """
    true = tf.one_hot(labels, probabilities.shape[-1], dtype=probabilities.dtype)
    return -tf.reduce_sum(true * tf.math.log(tf.clip_by_value(probabilities, _TINY, 1.0)), axis=-1)


def squared_error(weights_m: tf.Tensor, predicted_m: tf.Tensor) -> tf.Tensor:
    """Mean over sources of the squared slip error, m^2 [record]."""
    return tf.reduce_mean(tf.square(predicted_m - weights_m), axis=-1)


@dataclass(frozen=True)
class SlipAndWave:
    """Squared slip error plus the squared error of the wave that the slip makes.

    Args:
        factor: [source, k] with factor @ factor.T the Gram matrix of the Green's functions, divided by the variance of
            the training waves, as nested tuples so that equal losses are one compilation.
        part_weights: of the slip's and of the wave's part. Losses that differ in these only are equal: a compiled step
            is given them as values.
    """

    factor: tuple[tuple[float, ...], ...]
    part_weights: tuple[float, float] = field(compare=False)

    def __call__(
        self, weights_m: tf.Tensor, predicted_m: tf.Tensor, weights: Sequence[float | tf.Tensor] | None = None
    ) -> tf.Tensor:
        """[record]; `weights` are others than the loss's own."""
        slip_weight, wave_weight = self.part_weights if weights is None else weights
        error = predicted_m - weights_m
        wave = tf.matmul(error[..., None, :], tf.constant(self.factor, error.dtype))[..., 0, :]
        slip = tf.reduce_mean(tf.square(error), axis=-1)
        return slip_weight * slip + wave_weight * tf.reduce_sum(tf.square(wave), axis=-1)


def slip_and_wave(greens: np.ndarray, weights_m: np.ndarray, slip_weight: float, wave_weight: float) -> SlipAndWave:
    """The loss for these Green's functions and training slips.

    Args:
        greens: metres a metre of slip [source, minute, gauge].
        weights_m: slip of the training events [event, source], for the scale of the waves.
        slip_weight: of the slip's part.
        wave_weight: of the wave's part.
    """
    flat = greens.reshape(len(greens), -1).astype(np.float64)
    gram = flat @ flat.T
    mean_square = np.einsum("es,st,et->", weights_m, gram, weights_m) / len(weights_m)
    values, vectors = np.linalg.eigh(gram / mean_square)
    factor = vectors * np.sqrt(np.maximum(values, 0))
    return SlipAndWave(tuple(map(tuple, factor.tolist())), (slip_weight, wave_weight))


def class_weights(labels: np.ndarray, train: np.ndarray, kind: str) -> np.ndarray | None:
    """Weights [record] that give every class of the training rows the same total; None for kind "none"."""
    if kind == "none":
        return None
    counts = np.bincount(labels[train], minlength=labels.max() + 1)
    return (len(train) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[labels].astype(np.float32)
