"""From a training job to what `training.fit` needs: the model, the data, the members, the loss and the scores.

The one place that knows both tasks; `train`, `compare`, `learning-curve` and `tune` all come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from seis_tf.dart import networks as dart_networks
from seis_tf.dart import training_data as dart_training
from seis_tf.dataset import shards, tables
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.settings.training import CnnSettings, MlpSettings, ModelSettings, SlipMlpSettings, TrainJob
from seis_tf.training import losses
from seis_tf.training.loop import Data, Member, Metric
from seis_tf.training.stack import Loss
from seis_tf.waveforms import networks as waveform_networks
from seis_tf.waveforms import training_data as waveform_training

WAVEFORM_FEATURES = ("spectrogram", "label", "group")


@dataclass(frozen=True)
class Task:
    """All that `fit` is called with."""

    data: Data
    members: list[Member]
    loss: Loss
    metrics: dict[str, Metric]


def task_of(job: TrainJob, dataset: Path | str) -> Task:
    """The training of a run: its members are fitted to the train split and scored on the valid split.

    Raises:
        ValueError: the model is not for the data set's task.
    """
    table = load_table(job, dataset, ("train", "valid"), filled=True)
    train, valid = table.rows["train"], table.rows["valid"]
    seeds = range(job.training.seed, job.training.seed + job.training.members)
    members = [Member(train, valid, seed) for seed in seeds]
    return Task(data_of(job, table, train), members, loss_of(job, table, train), metrics_of(job.model))


def load_table(job: TrainJob, dataset: Path | str, splits: tuple[str, ...], *, filled: bool = False) -> tables.Table:
    """The records that this job trains on or is judged by, in memory.

    Raises:
        ValueError: the model is not for the data set's task; one of the splits is empty and should be `filled`.
    """
    task = "waveforms" if is_classifier(job.model) else "dart"
    shards.open_dataset(dataset, task=task)
    if task == "dart":
        return tables.load(dataset, splits, dart_training.FEATURES, filled=filled)
    extra = ("waveform",) if job.training.augment.active else ()
    return tables.load(dataset, splits, WAVEFORM_FEATURES + extra, filled=filled)


def record_names(dataset: Path | str, rows: Sequence[int]) -> list[str]:
    """Which records these rows of a training are, with what is odd about their values."""
    names = ("record_id", "waveform", "spectrogram", "water_level_m")
    table = tables.load(dataset, ("train", "valid"), names)
    found = []
    for row in rows:
        values = next(table[name][row] for name in names[1:] if name in table.columns)
        odd = np.count_nonzero(~np.isfinite(values))
        about = f"{odd} values are not finite" if odd else f"largest value {np.abs(values).max():.3g}"
        found.append(f"{table['record_id'][row]} ({about})")
    return found


def data_of(job: TrainJob, table: tables.Table, train: np.ndarray) -> Data:
    """Inputs and targets for these training rows."""
    if is_classifier(job.model):
        return waveform_training.classification_data(table, job.training, train)
    return dart_training.training_data(table, job, train)


def possible_job(job: TrainJob, info: DatasetInfo) -> TrainJob:
    """The job without what a data set can't give; a warning says what was changed."""
    return job if is_classifier(job.model) else dart_training.possible_job(job, info)


def loss_of(job: TrainJob, table: tables.Table, train: np.ndarray) -> Loss:
    """What is minimised."""
    if is_classifier(job.model):
        return losses.cross_entropy
    return dart_training.loss(table, job.training.loss, train)


def loss_weights_of(job: TrainJob) -> tuple[float, float] | None:
    """Weights of the loss's parts, where it has parts."""
    return None if is_classifier(job.model) else dart_training.loss_weights(job.training.loss)


def metrics_of(model: ModelSettings) -> dict[str, Metric]:
    """Validation scores beside the loss."""
    if not is_classifier(model):
        return {"mse": lambda targets, outputs: float(np.mean((outputs - targets) ** 2))}
    return {
        "accuracy": lambda labels, p: float(np.mean(p.argmax(-1) == labels)),
        "balanced_accuracy": lambda labels, p: float(balanced_accuracy_score(labels, p.argmax(-1))),
    }


def is_classifier(model: ModelSettings) -> bool:
    """Whether the model is for task waveforms."""
    return isinstance(model, (MlpSettings, CnnSettings))


def build(settings: ModelSettings, info: DatasetInfo, *, seed: int = 0, l2: float = 0.0) -> keras.Model:
    """The network of these settings for this data set.

    Raises:
        ValueError: sizes that can't be.
    """
    common = settings.model_dump(exclude={"kind"}) | {"seed": seed, "l2": l2}
    if is_classifier(settings):
        function = waveform_networks.mlp if isinstance(settings, MlpSettings) else waveform_networks.cnn
        return function(info.feature("spectrogram").shape, len(info.class_names), **common)
    window_min, n_buoys = info.feature("water_level_m").shape
    function = dart_networks.slip_mlp if isinstance(settings, SlipMlpSettings) else dart_networks.conv1d
    return function(window_min, n_buoys, len(info.source_names), **common)


def parameter_formula(settings: ModelSettings, info: DatasetInfo) -> int:
    """Trainable parameters by the closed formula."""
    if isinstance(settings, MlpSettings):
        return waveform_networks.mlp_parameters(
            info.feature("spectrogram").shape, len(info.class_names), settings.hidden
        )
    if isinstance(settings, CnnSettings):
        sizes = (settings.filters, settings.kernel, settings.pool, settings.stem, settings.dense)
        return waveform_networks.cnn_parameters(info.feature("spectrogram").shape, len(info.class_names), *sizes)
    window_min, n_buoys = info.feature("water_level_m").shape
    if isinstance(settings, SlipMlpSettings):
        return dart_networks.slip_mlp_parameters(window_min, n_buoys, len(info.source_names), settings.hidden)
    channels = n_buoys * (2 if settings.use_mask else 1)
    widths = dart_networks.conv1d_widths(window_min, settings.widths)
    return dart_networks.conv1d_parameters(channels, len(info.source_names), widths, settings.dense)
