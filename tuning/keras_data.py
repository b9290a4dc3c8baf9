"""`tf.data` for Keras's `fit`: batches of another size, and pairs of inputs and targets with weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras_tuner as kt
import numpy as np
import tensorflow as tf


def count_records(data: tf.data.Dataset) -> int:
    """How many records a pass over batches has, by reading them.

    Raises:
        keras_tuner.errors.FatalValueError: it has no end.
    """
    if data.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise kt.errors.FatalValueError("x: expected steps_per_epoch with an endless data set, received none")
    zero = tf.constant(0, tf.int64)
    return int(data.reduce(zero, lambda n, batch: n + tf.shape(tf.nest.flatten(batch)[0], tf.int64)[0]))


def rebatched(data: tf.data.Dataset, batch_size: int, records: int | None) -> tf.data.Dataset:
    """Batches of another size.

    Args:
        data: batches of any size.
        batch_size: of the result; its last batch may be smaller.
        records: that a pass has; None where the caller gives Keras a number of steps. Of a data set whose number of
            batches is not known Keras takes one step too many in each epoch, which moves the weights.
    """
    batches = data.rebatch(batch_size)
    if records is None:
        return batches
    return batches.apply(tf.data.experimental.assert_cardinality(math.ceil(records / batch_size)))


def weighted_pairs(
    data: tf.data.Dataset,
    features: Sequence[str],
    pair: Callable[[dict[str, tf.Tensor]], tuple[Any, tf.Tensor]],
    weights: np.ndarray | None,
) -> tf.data.Dataset:
    """What `fit` takes.

    Args:
        data: records by feature name, or pairs, or pairs with weights, which stay as they are.
        features: that records must have.
        pair: of records, inputs and targets.
        weights: of each class, by its number; None for none.

    Raises:
        keras_tuner.errors.FatalValueError: records without these features.
    """
    if isinstance(data.element_spec, dict):
        if not set(features) <= set(data.element_spec):
            raise kt.errors.FatalValueError(
                f"records: expected the features {list(features)}, received {list(data.element_spec)}"
            )
        data = data.map(pair, num_parallel_calls=tf.data.AUTOTUNE)
    spec = data.element_spec
    if weights is not None and isinstance(spec, tuple) and len(spec) == 2:
        data = data.map(lambda x, y: (x, y, tf.gather(tf.constant(weights), y)))
    return data.prefetch(tf.data.AUTOTUNE)
