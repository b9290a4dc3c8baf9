"""Conformal intervals in the graph: the same rules as `evaluation/stats/intervals.py` and `evaluation/dart/draws.py`.

In: tensors of answers and spreads [batch, ..]. Out: bins, heights, and the ends of intervals as tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from seis_tf.evaluation.dart.draws import SMOOTHING_MIN
from seis_tf.evaluation.stats.intervals import TINY, QuantityIntervals


def magnitude_bins(mw: tf.Tensor, edges: Sequence[float]) -> tf.Tensor:
    """Bin of each predicted magnitude [batch]: how many edges lie below it, int32 [batch]."""
    return tf.reduce_sum(tf.cast(mw[:, None] > tf.constant(edges, tf.float32, [1, len(edges)]), tf.int32), axis=1)


def local_height(wave_m: tf.Tensor) -> tf.Tensor:
    """Root mean square of the minutes around each minute [batch, minute, gauge], as `draws.local_height`."""
    # Padding does not count in the mean. A running sum would be rounded by a high wave long after it has passed.
    return tf.sqrt(tf.nn.avg_pool1d(tf.square(wave_m), 2 * SMOOTHING_MIN + 1, 1, "SAME"))


def no_wave(height_m: tf.Tensor, window_min: int, part: float) -> tf.Tensor:
    """Whether next to no wave is forecast, bool [batch, minute, gauge]; `part` as `QuantityIntervals.calm_below`."""
    return height_m < part * tf.reduce_max(height_m[:, window_min + 1 :], axis=1, keepdims=True)


def bounds(
    intervals: QuantityIntervals, centre: tf.Tensor, spread: tf.Tensor, size: tf.Tensor, bins: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Lower and upper ends [batch, .., channel, level], as `QuantityIntervals.bounds`.

    Args:
        intervals: of the quantity.
        centre: the answer, [batch, .., channel].
        spread: over the members, likewise.
        size: what errors may grow with beside the spread, likewise.
        bins: int32, of a shape that broadcasts to the same.
    """
    a, b, c = (tf.constant(column, tf.float32) for column in np.array(intervals.scale, float).T)
    width = tf.sqrt(tf.maximum(a + b * tf.square(spread) + c * tf.square(size), np.float32(TINY**2)))
    # A single row of numbers is for all channels.
    channels = tf.constant(np.arange(centre.shape[-1]) % len(intervals.scale), tf.int32)
    zeros = tf.zeros_like(centre, tf.int32)
    places = tf.stack([bins + zeros, channels + zeros], axis=-1)
    ends = []
    for numbers in (intervals.lower, intervals.upper):
        end = centre[..., None] + width[..., None] * tf.gather_nd(tf.constant(numbers, tf.float32), places)
        ends.append(tf.maximum(end, 0.0) if intervals.never_negative else end)
    return ends[0], ends[1]
