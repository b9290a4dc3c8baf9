"""The job `dart` as training sees it: windows of buoy records in, slip of the unit sources out."""

from __future__ import annotations

import keras
import numpy as np

from seis_tf.dart import training_data
from seis_tf.dart.networks import conv1d, conv1d_parameters, conv1d_widths, slip_mlp, slip_mlp_parameters
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.settings.networks import Conv1dSettings, SlipMlpSettings
from seis_tf.training.task import Network, Task


def _conv1d(settings: Conv1dSettings, info: DatasetInfo, seed: int, l2: float) -> keras.Model:
    return conv1d(*_sizes(info), **settings.model_dump(exclude={"kind"}), seed=seed, l2=l2)


def _slip_mlp(settings: SlipMlpSettings, info: DatasetInfo, seed: int, l2: float) -> keras.Model:
    return slip_mlp(*_sizes(info), **settings.model_dump(exclude={"kind"}), seed=seed, l2=l2)


def _conv1d_parameters(settings: Conv1dSettings, info: DatasetInfo) -> int:
    window_min, n_buoys, n_sources = _sizes(info)
    channels = n_buoys * (2 if settings.use_mask else 1)
    return conv1d_parameters(channels, n_sources, conv1d_widths(window_min, settings.widths), settings.dense)


def _sizes(info: DatasetInfo) -> tuple[int, int, int]:
    """Minutes of the window, buoys, unit sources."""
    return (*info.feature("water_level_m").shape, len(info.source_names))


TASK = Task(
    name="dart",
    networks={
        "conv1d": Network(Conv1dSettings, _conv1d, _conv1d_parameters),
        "slip_mlp": Network(
            SlipMlpSettings, _slip_mlp, lambda own, info: slip_mlp_parameters(*_sizes(info), own.hidden)
        ),
    },
    features=lambda job: training_data.FEATURES,
    data=training_data.training_data,
    loss=lambda table, job, rows: training_data.loss(table, job.training.loss, rows),
    loss_weights=lambda job: training_data.loss_weights(job.training.loss),
    metrics={"mse": lambda targets, outputs: float(np.mean((outputs - targets) ** 2))},
    objective="val_mse",
    possible_job=training_data.possible_job,
    depends_on_rows=lambda job, info: False,
)
