"""Shards -> `tf.data`: what a user's own training script reads.

Everything is checked against `dataset.json` first: a model or a script that expects another task, order or shape is
refused with both printed. Of a stream batches are cut before records are parsed: a batch at once is twice as fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import tensorflow as tf

from seis_tf.dataset import examples, shards
from seis_tf.dataset.dataset_info import check_filled
from seis_tf.dataset.shards import open_dataset

_READ_BYTES = 8 << 20
Dataset: TypeAlias = "tf.data.Dataset[Any]"


def records(
    folder: Path | str,
    split: str,
    features: Sequence[str],
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int | tuple[int, ...] = 0,
    in_memory: bool = False,
    shuffle_buffer: int = 4096,
    drop_remainder: bool = False,
) -> Dataset:
    """Batches of parsed records, as on disk.

    The call of users' own training scripts: its options are those of `tf.data`, each with a default.

    Args:
        folder: the data set.
        split: "train", "valid" or "test".
        features: names; the others are not parsed.
        batch_size: records a batch; the last may be smaller unless `drop_remainder`.
        shuffle: whether records come in a random order, drawn anew each pass.
        seed: of that order.
        in_memory: read these features of the whole split once, now, and take batches from memory, in an order of
            all records. Otherwise each pass reads the shards again, and the order is that of a buffer; before the
            first, the checksums of the shards are compared, which reads them once more.
        shuffle_buffer: records that are held to draw from, where they are not all in memory.
        drop_remainder: leave out a last batch that is not full.

    Returns:
        Dicts of tensors [batch, ...].

    Raises:
        ValueError: no such data set, split or feature; the split holds no records.
        DamagedShardError: a shard is missing, has another size or another checksum than `dataset.json` says.
    """
    info = open_dataset(folder)
    if split not in info.splits:
        raise ValueError(f"{folder}: expected a split of {list(info.splits)}, received {split!r}")
    check_filled(folder, info, (split,))
    parsed = [info.feature(name) for name in features]
    full, rest = divmod(info.splits[split].records, batch_size)
    count, order_seed = full + (rest > 0 and not drop_remainder), as_seed(seed) if shuffle else None
    if in_memory:
        columns = shards.load_arrays(Path(folder), info, (split,), features)
        batches = _gathered(columns, info.splits[split].records, count, batch_size, order_seed, drop_remainder)
    else:
        stored = _streamed(list(shards.checked_paths(Path(folder), info, split)), order_seed, shuffle_buffer)
        batches = stored.batch(batch_size, drop_remainder=drop_remainder).map(
            lambda payloads: examples.parse_batch(payloads, parsed), num_parallel_calls=tf.data.AUTOTUNE
        )
    return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(tf.data.AUTOTUNE)


def _streamed(paths: list[Path], seed: int | None, buffer: int) -> Dataset:
    """Serialized records; with a seed those of four files at a time, files and what is held of records shuffled."""
    names = [str(path) for path in paths]
    if seed is None:
        return tf.data.TFRecordDataset(names, buffer_size=_READ_BYTES)
    files = tf.data.Dataset.from_tensor_slices(names).shuffle(len(names), seed=seed, reshuffle_each_iteration=True)
    stored = files.interleave(
        lambda path: tf.data.TFRecordDataset(path, buffer_size=_READ_BYTES),
        cycle_length=min(len(names), 4),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    return stored.shuffle(buffer, seed=seed, reshuffle_each_iteration=True)


def _gathered(
    columns: dict[str, np.ndarray], n_records: int, count: int, batch_size: int, seed: int | None, all_full: bool
) -> Dataset:
    """Batches of arrays; with a seed in an order of all records that each pass draws anew."""
    variables = {name: _variable(column) for name, column in columns.items()}

    def one_pass(draw: tf.Tensor) -> Dataset:
        order = tf.range(n_records, dtype=tf.int64)
        if seed is not None:
            # TensorFlow's type stubs lack tf.random.experimental.
            order = cast(Any, tf.random).experimental.stateless_shuffle(order, tf.stack([draw, draw]))

        def batch(number: tf.Tensor) -> dict[str, tf.Tensor]:
            rows = order[number * batch_size : (number + 1) * batch_size]
            rows = tf.ensure_shape(rows, [batch_size if all_full else None])
            return {name: tf.gather(column, rows) for name, column in variables.items()}

        return tf.data.Dataset.range(count).map(batch)

    return tf.data.Dataset.random(seed=seed or 0, rerandomize_each_iteration=True).take(1).flat_map(one_pass)


def _variable(column: np.ndarray) -> tf.Variable:
    """The array as TensorFlow sees it, without a copy: `tf.data` copies constants that its functions hold."""
    with tf.device("CPU"):
        tensor = (
            tf.constant(column) if column.dtype.kind == "U" else tf.experimental.dlpack.from_dlpack(column.__dlpack__())
        )
        return tf.Variable(tensor, trainable=False)


def as_seed(seed: int | tuple[int, ...]) -> int:
    """A 31-bit seed that any number or tuple of numbers gives."""
    return int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:4], "big") >> 1
