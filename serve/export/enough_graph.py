"""The rules of `seis_tf/dart/enough.py` in the graph: whether a record holds enough for a magnitude and for intervals.

In: levels and masks [batch, minute, buoy]. Out: flags, counts and reasons [batch].
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from seis_tf.dart import enough
from seis_tf.settings.training import AnswerSettings

_ROUNDING = 1e-6  # as `enough.py`


def sample_counts(there: tf.Tensor) -> tf.Tensor:
    """Samples of each buoy, bool [batch, minute, buoy] -> int32 [batch, buoy]."""
    return tf.reduce_sum(tf.cast(there, tf.int32), axis=1)


def signal_m(level: tf.Tensor, there: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Standard deviation of the samples about each buoy's mean in m, as `enough.signal_m`, float32 [batch].

    Args:
        level: [batch, minute, buoy], 0 where there is no sample.
        there: bool, likewise.
        counts: of `sample_counts`.
    """
    mean = tf.reduce_sum(level, axis=1) / tf.cast(tf.maximum(counts, 1), tf.float32)
    deviation = tf.where(there, level - mean[:, None], tf.zeros_like(level))
    freedom = tf.reduce_sum(counts, axis=1) - tf.reduce_sum(tf.cast(counts > 0, tf.int32), axis=1)
    return tf.sqrt(tf.reduce_sum(tf.square(deviation), axis=(1, 2)) / tf.cast(tf.maximum(freedom, 1), tf.float32))


def samples_part(counts: tf.Tensor, steps: int) -> tf.Tensor:
    """Part of the window's samples that were recorded, float32 [batch]."""
    return tf.cast(tf.reduce_sum(counts, axis=1), tf.float32) / (steps * counts.shape[1])


def enough_samples(counts: tf.Tensor, steps: int, limits: AnswerSettings) -> tf.Tensor:
    """As `enough.enough_samples`, bool [batch]."""
    part = samples_part(counts, steps)
    return (part > 0) & (part >= limits.min_samples - _ROUNDING)


def complete(counts: tf.Tensor, steps: int, limits: AnswerSettings) -> tf.Tensor:
    """As `enough.complete`, bool [batch]."""
    return _every_buoy(counts) & (1 - samples_part(counts, steps) <= limits.max_missing + _ROUNDING)


def reason(
    bad_level: tf.Tensor, samples: tf.Tensor, signal: tf.Tensor, slip: tf.Tensor, texts: Sequence[str]
) -> tf.Tensor:
    """Why no magnitude is given, string [batch]; "" where one is.

    Args:
        bad_level: bool [batch], whether a level can't be water column.
        samples: bool [batch], whether there are enough samples.
        signal: bool [batch], whether there is enough signal.
        slip: bool [batch], whether there is any slip.
        texts: for levels, samples, signal and slip; the first fault's text is given.
    """
    return _first([bad_level, *map(tf.logical_not, (samples, signal, slip))], texts)


def interval_reason(valid: tf.Tensor, counts: tf.Tensor, steps: int, limits: AnswerSettings) -> tf.Tensor:
    """Why no intervals are given, string [batch]; "" where they are."""
    texts = ("no intervals: there is no magnitude", *enough.short_interval_reasons(limits))
    needed = (valid, _every_buoy(counts), complete(counts, steps, limits))
    return _first([tf.logical_not(holds) for holds in needed], texts)


def _every_buoy(counts: tf.Tensor) -> tf.Tensor:
    return tf.reduce_all(counts > 0, axis=1)


def _first(conditions: Sequence[tf.Tensor], texts: Sequence[str]) -> tf.Tensor:
    """The text of each record's first condition that holds, string [batch]; "" where none does."""
    number = tf.zeros_like(conditions[0], tf.int32)
    for k, holds in reversed(list(enumerate(conditions, start=1))):
        number = tf.where(holds, k, number)
    return tf.gather(tf.constant(["", *texts]), number)
