"""The job `waveforms` as training sees it: spectrograms in, class probabilities out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.dataset.tables import Table
from seis_tf.settings.networks import CnnSettings, MlpSettings
from seis_tf.settings.training import TrainJob
from seis_tf.training import losses
from seis_tf.training.inputs import Data
from seis_tf.training.task import Network, Task
from seis_tf.waveforms.networks import cnn, cnn_parameters, mlp, mlp_parameters
from seis_tf.waveforms.training_data import classification_data


def features(job: TrainJob) -> tuple[str, ...]:
    """Augmentation starts from the waveforms."""
    names = ("spectrogram", "label", "group")
    return (*names, "waveform") if job.training.augment.active else names


def data(table: Table, job: TrainJob, rows: np.ndarray) -> Data:
    """Standardised spectrograms and labels."""
    return classification_data(table, job.training, rows)


def depends_on_rows(job: TrainJob, info: DatasetInfo) -> bool:
    """Statistics over the data set and class weights are those of the training records."""
    return info.job["standardise"] == "dataset" or job.training.class_weights != "none"


def _mlp(settings: MlpSettings, info: DatasetInfo, seed: int, l2: float) -> keras.Model:
    return mlp(*_sizes(info), **_arguments(settings), seed=seed, l2=l2)


def _cnn(settings: CnnSettings, info: DatasetInfo, seed: int, l2: float) -> keras.Model:
    return cnn(*_sizes(info), **_arguments(settings), seed=seed, l2=l2)


def _sizes(info: DatasetInfo) -> tuple[tuple[int, ...], int]:
    return info.feature("spectrogram").shape, len(info.class_names)


def _arguments(settings: MlpSettings | CnnSettings) -> dict[str, Any]:
    return settings.model_dump(exclude={"kind"})


TASK = Task(
    name="waveforms",
    networks={
        "mlp": Network(MlpSettings, _mlp, lambda settings, info: mlp_parameters(*_sizes(info), settings.hidden)),
        "cnn": Network(
            CnnSettings,
            _cnn,
            lambda settings, info: cnn_parameters(
                *_sizes(info), settings.filters, settings.kernel, settings.pool, settings.stem, settings.dense
            ),
        ),
    },
    features=features,
    data=data,
    loss=lambda table, job, rows: losses.cross_entropy,
    loss_weights=lambda job: None,
    metrics={
        "accuracy": lambda labels, p: float(np.mean(p.argmax(-1) == labels)),
        "balanced_accuracy": lambda labels, p: float(balanced_accuracy_score(labels, p.argmax(-1))),
    },
    objective="val_loss",
    possible_job=lambda job, info: job,
    depends_on_rows=depends_on_rows,
)
