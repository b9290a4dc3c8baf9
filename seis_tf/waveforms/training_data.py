"""What a spectrogram classifier is trained on: from shards by `tf.data`, or from a table in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from seis_tf.dataset import shards
from seis_tf.dataset.dataset_info import DatasetInfo
from seis_tf.dataset.pipeline import as_seed, records
from seis_tf.dataset.shards import open_dataset
from seis_tf.dataset.tables import Table
from seis_tf.settings.training import AugmentSettings, TrainingSettings
from seis_tf.training.inputs import Data
from seis_tf.training.losses import class_weights
from seis_tf.waveforms import spectrograms
from seis_tf.waveforms.augmentation import Augmentation
from seis_tf.waveforms.layers import Standardise


def classification(
    folder: Path | str,
    split: str,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    in_memory: bool = True,
    augment: AugmentSettings | None = None,
) -> tf.data.Dataset:
    """What a spectrogram classifier is fitted on: standardised spectrograms and labels, ready for `model.fit`.

    Args:
        folder: a data set of task waveforms.
        split: "train", "valid" or "test".
        batch_size: records a batch.
        shuffle: for training.
        seed: of order and augmentation.
        in_memory: as in `records`.
        augment: changes of the waveforms, for training only.

    Returns:
        Pairs of float32 [batch, frequency, time] and int64 [batch].
    """
    info = open_dataset(folder, task="waveforms")
    norm = standardiser(info)
    if augment is None or not augment.active:
        batches = records(
            folder, split, ("spectrogram", "label"), batch_size, shuffle=shuffle, seed=seed, in_memory=in_memory
        )
        return batches.map(lambda r: (norm(r["spectrogram"]), r["label"]), num_parallel_calls=tf.data.AUTOTUNE)
    if split != "train":
        raise ValueError(f"augment: expected split train, received {split}")
    change = Augmentation(info, augment)
    pool = shards.load_arrays(Path(folder), info, ("train",), ("waveform", "label"))
    noise = pool["waveform"][change.is_noise(pool["label"])]
    batches = records(folder, split, ("waveform", "label"), batch_size, shuffle=shuffle, seed=seed, in_memory=in_memory)

    def changed(record, number):
        step = tf.stack([tf.constant(seed, tf.int32), tf.cast(number % (1 << 30), tf.int32)])
        partners = tf.random.stateless_uniform(
            tf.shape(record["label"]), step + 7, maxval=max(len(noise), 1), dtype=tf.int32
        )
        partner = tf.gather(tf.constant(noise), partners) if len(noise) else record["waveform"]
        return norm(change(record["waveform"], partner, step)), record["label"]

    draws = tf.data.Dataset.random(seed=as_seed(seed), rerandomize_each_iteration=True)
    return tf.data.Dataset.zip(batches, draws).map(changed, num_parallel_calls=tf.data.AUTOTUNE)


def standardiser(info: DatasetInfo) -> Standardise:
    """The layer that standardises as the data set's settings say, with the statistics of its training records."""
    return Standardise(
        info.job["standardise"], info.normalisation.get("mean"), info.normalisation.get("std"), name="standardise"
    )


def classification_data(table: Table, settings: TrainingSettings, train: np.ndarray) -> Data:
    """What a spectrogram classifier is trained on.

    Args:
        table: with `spectrogram`, `label`, and `waveform` where records are augmented.
        settings: class weights and augmentation.
        train: rows of the training records: statistics and class weights are theirs alone.

    Returns:
        Standardised spectrograms, labels, weights, and the augmentation.
    """
    info, labels = table.info, table["label"].astype(np.int32)
    inputs = (standardised(table, train),)
    weights = class_weights(labels, train, settings.class_weights)
    if not settings.augment.active:
        return Data(inputs, labels, weights)
    change = Augmentation(info, settings.augment)
    norm = standardiser(info)
    if info.job["standardise"] == "dataset":
        norm = Standardise("dataset", *(v.tolist() for v in statistics(table["spectrogram"][train])))
    return Data(
        inputs,
        labels,
        weights,
        training_inputs=(table["waveform"],),
        transform=_Change(repr((info.fingerprint, info.job, settings.augment, norm.get_config())), change, norm),
        companions=np.flatnonzero(change.is_noise(labels)) if settings.augment.noise_probability else None,
    )


def standardised(table: Table, train: np.ndarray) -> np.ndarray:
    """Spectrograms as a model sees them; statistics over the data set are those of the training rows."""
    mode, power = table.info.job["standardise"], table["spectrogram"]
    if mode == "record":
        return np.concatenate([spectrograms.standardise(power[i : i + 256]) for i in range(0, len(power), 256)])
    if mode == "dataset":
        mean, std = statistics(power[train])
        # A frequency that never varies in training tells nothing later: 0, as the layer has it.
        scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
        return ((power - mean[:, None]) * scale[:, None]).astype(np.float32)
    return power


def statistics(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation for each frequency [frequency] of spectrograms [record, frequency, time]."""
    return power.mean(axis=(0, 2), dtype=np.float64), power.std(axis=(0, 2), dtype=np.float64)


@dataclass(frozen=True)
class _Change:
    """Waveforms of each member's batch and their companions -> standardised changed spectrograms.

    Equal for equal keys, so that folds and seeds share one compilation.
    """

    key: str
    change: Augmentation = field(compare=False)
    norm: Standardise = field(compare=False)

    def __call__(self, inputs: Sequence[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        waveforms = inputs[0]
        members, batch, samples = waveforms.shape
        companions = inputs[1] if len(inputs) > 1 else waveforms
        flat = [tf.reshape(v, [-1, samples]) for v in (waveforms, companions)]
        spectrogram = self.norm(self.change(*flat, seed[:2] * 1000003 + seed[2]))
        return [tf.reshape(spectrogram, [members, -1, *spectrogram.shape[1:]])]
