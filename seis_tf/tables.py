"""A data set in memory: arrays of all records with their groups, and which rows each split has.

Training, k-fold, learning curves and search work on such a table; a fold is a list of rows and costs no copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from seis_tf import pipeline, shards, spectrograms
from seis_tf.augmentation import Augmentation
from seis_tf.dataset_info import DatasetInfo, check_filled
from seis_tf.layers import Standardise
from seis_tf.settings.training import TrainingSettings
from seis_tf.training import Data, class_weights


@dataclass
class Table:
    """Records of some splits, one after the other.

    Attributes:
        info: of the data set.
        columns: feature name to array [record, ...].
        rows: split name to the rows it has.
    """

    info: DatasetInfo
    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


def load(folder: Path | str, splits: Sequence[str], features: Sequence[str], *, filled: bool = False) -> Table:
    """Reads splits into memory; nothing of any other split is opened.

    Args:
        folder: the data set.
        splits: in the order wanted.
        features: names; those that the data set lacks are left out.
        filled: whether each of the splits must hold records.

    Raises:
        ValueError: no such data set; a shard is damaged; none of the features is there; a split holds no records.
    """
    info = pipeline.open_dataset(folder)
    if filled:
        check_filled(folder, info, splits)
    names = [name for name in features if info.has(name)]
    if not names:
        received = [feature.name for feature in info.features]
        raise ValueError(f"{folder}: expected one of the features {list(features)}, received {received}")
    bounds = np.cumsum([0] + [info.splits[split].records for split in splits])
    rows = {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(splits)}
    return Table(info, shards.load_arrays(Path(folder), info, splits, names), rows)


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
    norm = pipeline.standardiser(info)
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
