"""The tasks there are, and from a training job to what `training.loop.fit` needs.

The one place that knows both jobs: `train`, the studies and `tune` come through here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seis_tf.dart.task import TASK as DART
from seis_tf.dataset import shards, tables
from seis_tf.dataset.dataset_info import DatasetInfo
from seis_tf.settings.networks import NetworkSettings
from seis_tf.settings.training import TrainJob
from seis_tf.training.inputs import FitInputs, Member
from seis_tf.training.task import Model, Network, Task
from seis_tf.waveforms.task import TASK as WAVEFORMS

TASKS: dict[str, Task] = {task.name: task for task in (WAVEFORMS, DART)}


def task_of(model: NetworkSettings) -> Task:
    """The task that a network is for."""
    return TASKS[model.task]


def network_of(model: NetworkSettings) -> Network:
    """How a network is built."""
    return task_of(model).networks[model.kind]


def fit_inputs(job: TrainJob, dataset: Path | str) -> FitInputs:
    """The training of a run: its members are fitted to the train split and scored on the valid split.

    Raises:
        ValueError: the model is not for the data set's task.
    """
    task, table = task_of(job.model), load_table(job, dataset, ("train", "valid"), filled=True)
    train, valid = table.rows["train"], table.rows["valid"]
    seeds = range(job.training.seed, job.training.seed + job.training.members)
    members = [Member(train, valid, seed) for seed in seeds]
    return FitInputs(task.data(table, job, train), members, task.loss(table, job, train), task.metrics)


def load_table(
    job: TrainJob, dataset: Path | str, splits: tuple[str, ...], extra: tuple[str, ...] = (), *, filled: bool = False
) -> tables.Table:
    """The records that this job trains on or is judged by, in memory.

    Args:
        job: says the features.
        dataset: the data set's folder.
        splits: that are read.
        extra: further features.
        filled: whether each of the splits must hold records.

    Raises:
        ValueError: the model is not for the data set's task; one of the splits is empty and must be `filled`.
    """
    task = task_of(job.model)
    shards.open_dataset(dataset, task=task.name)
    return tables.load(dataset, splits, (*task.features(job), *extra), filled=filled)


def record_names(dataset: Path | str, rows: Sequence[int]) -> list[str]:
    """Which records these rows of a training are, with what is odd about their values."""
    names = ("record_id", "waveform", "spectrogram", "water_level_m")
    table = tables.load(dataset, ("train", "valid"), names)
    names_and_values: list[str] = []
    for row in rows:
        values = next(table[name][row] for name in names[1:] if name in table.columns)
        odd = np.count_nonzero(~np.isfinite(values))
        about = f"{odd} values are not finite" if odd else f"largest value {np.abs(values).max():.3g}"
        names_and_values.append(f"{table['record_id'][row]} ({about})")
    return names_and_values


def possible_job(job: TrainJob, info: DatasetInfo) -> TrainJob:
    """The job without what a data set can't give; a warning says what was changed."""
    return task_of(job.model).possible_job(job, info)


def build(settings: NetworkSettings, info: DatasetInfo, *, seed: int = 0, l2: float = 0.0) -> Model:
    """The network of these settings for this data set.

    Raises:
        ValueError: sizes that can't be.
    """
    return network_of(settings).build(settings, info, seed, l2)


def parameter_formula(settings: NetworkSettings, info: DatasetInfo) -> int:
    """Trainable parameters by the closed formula."""
    return network_of(settings).parameters(settings, info)
