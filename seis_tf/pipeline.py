"""Shards -> `tf.data`, and shards -> arrays in memory: what training, evaluation and a user's own script read.

Everything is checked against `dataset.json` first: a model or a script that expects another task, order or shape is
refused with both printed. Batches are cut before records are parsed, because parsing a batch at once is twice as fast.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from seis_tf import examples, shards
from seis_tf.layers import Spectrogram, Standardise
from seis_tf.names import check_names
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.settings.training import AugmentSettings
from seis_tf.shards import DatasetInfo


def open_dataset(
    folder: Path | str,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    gauge_names: Sequence[str] | None = None,
    source_names: Sequence[str] | None = None,
    features: Sequence[examples.Feature] = (),
) -> DatasetInfo:
    """Reads and checks `dataset.json`; what is given must be what the data set has, in its order.

    Raises:
        ValueError: the data set is unfinished or is not what is expected; names both.
    """
    info = shards.load_dataset(Path(folder))
    if task is not None and info.task != task:
        raise ValueError(f"{folder}: expected a data set of task {task}, received {info.task}")
    for what, expected, received in (
        ("classes", class_names, info.class_names),
        ("buoys", gauge_names, info.gauge_names),
        ("sources", source_names, info.source_names),
    ):
        if expected is not None:
            check_names(f"{folder}: {what}", expected, received)
    for feature in features:
        received = info.feature(feature.name)
        if received != feature:
            raise ValueError(
                f"{folder}: feature {feature.name}: expected {feature.dtype} {feature.shape}, "
                f"received {received.dtype} {received.shape}"
            )
    return info


def records(
    folder: Path | str,
    split: str,
    features: Sequence[str],
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int | tuple[int, ...] = 0,
    shuffle_buffer: int = 4096,
    cache: bool = False,
    deterministic: bool = True,
    drop_remainder: bool = False,
) -> tf.data.Dataset:
    """Batches of parsed records, as on disk.

    Args:
        folder: the data set.
        split: "train", "valid" or "test".
        features: names of those wanted; the others are not even parsed.
        batch_size: records a batch; the last may be smaller unless `drop_remainder`.
        shuffle: whether files and records come in a random order, drawn anew each pass.
        seed: of that order.
        shuffle_buffer: records that are held to draw from.
        cache: keep the serialized records in memory after the first pass.
        deterministic: the same order each time; False may be faster with many files.
        drop_remainder: leave out a last batch that is not full.

    Returns:
        Dicts of tensors [batch, ...].

    Raises:
        ValueError: no such data set, split or feature.
        DamagedShardError: a shard is missing or has another size.
    """
    info = open_dataset(folder)
    if split not in info.splits:
        raise ValueError(f"{folder}: expected a split of {list(info.splits)}, received {split!r}")
    wanted = [info.feature(name) for name in features]
    paths = [str(path) for path in shards.shard_paths(Path(folder), info, split)]
    number = _as_seed(seed)
    stored = tf.data.TFRecordDataset(paths, buffer_size=8 << 20)
    if shuffle:
        files = tf.data.Dataset.from_tensor_slices(paths)
        files = files.shuffle(len(paths), seed=number, reshuffle_each_iteration=True)
        stored = files.interleave(
            lambda path: tf.data.TFRecordDataset(path, buffer_size=8 << 20),
            cycle_length=min(len(paths), 4),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=deterministic,
        )
    if cache:
        stored = stored.cache()
    if shuffle:
        stored = stored.shuffle(shuffle_buffer, seed=number, reshuffle_each_iteration=True)
    batches = stored.batch(batch_size, drop_remainder=drop_remainder)
    parsed = batches.map(
        lambda payloads: examples.parse_batch(payloads, wanted),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=deterministic,
    )
    full, rest = divmod(info.splits[split].records, batch_size)
    known = tf.data.experimental.assert_cardinality(full + (rest > 0 and not drop_remainder))
    return parsed.apply(known).prefetch(tf.data.AUTOTUNE)


def classification(
    folder: Path | str,
    split: str,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    cache: bool = True,
    augment: AugmentSettings | None = None,
) -> tf.data.Dataset:
    """What a spectrogram classifier is fitted on: standardised spectrograms and labels, ready for `model.fit`.

    Args:
        folder: a data set of task waveforms.
        split: "train", "valid" or "test".
        batch_size: records a batch.
        shuffle: for training.
        seed: of order and augmentation.
        cache: keep the records in memory after the first pass.
        augment: changes of the waveforms, for training only.

    Returns:
        Pairs of float32 [batch, frequency, time] and int64 [batch].
    """
    info = open_dataset(folder, task="waveforms")
    norm = standardiser(info)
    if augment is None or not augment.active:
        batches = records(folder, split, ("spectrogram", "label"), batch_size, shuffle=shuffle, seed=seed, cache=cache)
        return batches.map(lambda r: (norm(r["spectrogram"]), r["label"]), num_parallel_calls=tf.data.AUTOTUNE)
    if split != "train":
        raise ValueError(f"augment: expected split train, received {split}")
    change = Augmentation(info, augment)
    pool = load_arrays(folder, info, "train", ("waveform", "label"))
    noise = pool["waveform"][change.is_noise(pool["label"])]
    batches = records(folder, split, ("waveform", "label"), batch_size, shuffle=shuffle, seed=seed, cache=cache)

    def changed(record, number):
        step = tf.stack([tf.constant(seed, tf.int32), tf.cast(number % (1 << 30), tf.int32)])
        partners = tf.random.stateless_uniform(
            tf.shape(record["label"]), step + 7, maxval=max(len(noise), 1), dtype=tf.int32
        )
        partner = tf.gather(tf.constant(noise), partners) if len(noise) else record["waveform"]
        return norm(change(record["waveform"], partner, step)), record["label"]

    draws = tf.data.Dataset.random(seed=_as_seed(seed), rerandomize_each_iteration=True)
    return tf.data.Dataset.zip(batches, draws).map(changed, num_parallel_calls=tf.data.AUTOTUNE)


def load_arrays(folder: Path | str, info: DatasetInfo, split: str, features: Sequence[str]) -> dict[str, np.ndarray]:
    """One split in memory, every checksum checked, in the order on disk.

    Returns:
        Name to array [record, ...]; strings as an array of `str`.
    """
    columns: dict[str, list] = {name: [] for name in features}
    for name in features:
        info.feature(name)
    for record in shards.iterate(Path(folder), info, split):
        for name, column in columns.items():
            column.append(record[name])
    return {name: _as_array(column, info.feature(name)) for name, column in columns.items()}


def standardiser(info: DatasetInfo) -> Standardise:
    """The layer that standardises as the data set's settings say, with the statistics of its training records."""
    return Standardise(
        info.job["standardise"], info.normalisation.get("mean"), info.normalisation.get("std"), name="standardise"
    )


class Augmentation:
    """Waveforms of one training batch -> changed spectrograms; the same draw for the same seed.

    Args:
        info: of the data set, which must hold waveforms.
        settings: what is changed and how much.
    """

    def __init__(self, info: DatasetInfo, settings: AugmentSettings):
        if not info.has("waveform"):
            raise ValueError("augment: expected a data set with waveforms, received one with spectrograms only")
        self.settings = settings
        self.n_samples = info.feature("waveform").shape[0]
        if settings.noise_probability and "noise" not in info.class_names:
            raise ValueError(f"noise_probability: expected a class noise, received classes {list(info.class_names)}")
        self.noise_class = info.class_names.index("noise") if "noise" in info.class_names else None
        self.spectrogram = Spectrogram(
            SpectrogramSettings.model_validate(info.job["spectrogram"]), info.sampling_rate_hz
        )

    def is_noise(self, labels: np.ndarray) -> np.ndarray:
        """Which records may be added to others."""
        return labels == self.noise_class if self.noise_class is not None else np.zeros(len(labels), bool)

    def __call__(self, waveforms: tf.Tensor, noise: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Changed spectrograms [batch, frequency, time], before standardisation.

        Args:
            waveforms: [batch, sample].
            noise: [batch, sample], a noise record for each.
            seed: int32 [2].
        """
        batch, settings = tf.shape(waveforms)[0], self.settings
        draws = tf.random.stateless_uniform([4, batch], seed)
        if settings.noise_probability:
            snr_db = settings.noise_snr_db[0] + draws[0] * (settings.noise_snr_db[1] - settings.noise_snr_db[0])
            ratio = tf.math.divide_no_nan(_rms(waveforms), _rms(noise)) * tf.pow(10.0, -snr_db / 20)[:, None]
            added = tf.where(draws[1] < settings.noise_probability, tf.sign(draws[3] - 0.5), 0.0)[:, None]
            # Turned round by a random part of its length, so that few noise records make many.
            turns = tf.random.stateless_uniform([batch, 1], seed + 5, maxval=self.n_samples, dtype=tf.int32)
            noise = tf.gather(noise, (tf.range(self.n_samples)[None] + turns) % self.n_samples, batch_dims=1)
            waveforms = waveforms + added * ratio * noise
        if settings.shift_fraction:
            largest = settings.shift_fraction * self.n_samples
            waveforms = shift(waveforms, tf.cast(tf.round((2 * draws[2] - 1) * largest), tf.int32))
        if settings.gain_db:
            gain_db = tf.random.stateless_normal([batch, 1], seed + 3) * settings.gain_db
            waveforms = waveforms * tf.pow(10.0, gain_db / 20)
        return self.spectrogram(waveforms)


def shift(waveforms: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
    """Moves each record in time; what is moved out comes in mirrored at the other end, so that no edge is made.

    Args:
        waveforms: [batch, sample].
        samples: int32 [batch], positive to later, at most the length less one.
    """
    length = waveforms.shape[-1]
    index = tf.range(length)[None, :] - samples[:, None]
    index = tf.abs(index)
    index = tf.where(index >= length, 2 * (length - 1) - index, index)
    return tf.gather(waveforms, index, batch_dims=1)


def _rms(waveforms: tf.Tensor) -> tf.Tensor:
    centred = waveforms - tf.reduce_mean(waveforms, axis=-1, keepdims=True)
    return tf.sqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True))


def _as_array(column: list, feature: examples.Feature) -> np.ndarray:
    if feature.dtype == "string":
        return np.array(column, dtype=str)
    return np.stack(column) if column else np.zeros((0, *feature.shape), feature.dtype)


def _as_seed(seed: int | tuple[int, ...]) -> int:
    return int.from_bytes(hashlib.sha256(repr(seed).encode()).digest()[:4], "big") >> 1
