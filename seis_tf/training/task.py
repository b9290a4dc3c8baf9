"""What a job must say so that its data sets can be trained on: `Task`, and `Network` for each kind of network.

A job fills in one `Task` (`waveforms/task.py`, `dart/task.py`); `tasks.py` lists them. What is judged and served of a
task is registered in the same way in `evaluation` and `serve`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import keras
import numpy as np

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.dataset.tables import Table
from seis_tf.settings.networks import NetworkSettings
from seis_tf.settings.training import TrainJob
from seis_tf.training.inputs import Data, Loss, Metric

Model: TypeAlias = keras.Model


@dataclass(frozen=True)
class Network:
    """One kind of network.

    Attributes:
        settings: the class of its settings.
        build: (settings, data set, seed, L2 factor) -> the Keras model.
        parameters: (settings, data set) -> number of its weights by a closed formula.
    """

    settings: type[NetworkSettings]
    build: Callable[[NetworkSettings, DatasetInfo, int, float], keras.Model]
    parameters: Callable[[NetworkSettings, DatasetInfo], int]


@dataclass(frozen=True)
class Task:
    """One job as the training sees it. Rows are those of the training records: statistics are theirs alone.

    Attributes:
        name: as in `dataset.json`.
        networks: by kind.
        features: job -> the features that training reads.
        data: (table, job, rows) -> inputs, targets, record weights and augmentation.
        loss: (table, job, rows) -> what is minimised.
        loss_weights: job -> weights of the loss's parts; None where it has none.
        metrics: name -> (targets, outputs) -> validation score beside the loss.
        objective: what a search minimises or maximises by default.
        possible_job: (job, data set) -> the job without what the data set can't give; a warning says what was changed.
        depends_on_rows: (job, data set) -> whether `data` differs between sets of training rows.
    """

    name: str
    networks: dict[str, Network]
    features: Callable[[TrainJob], tuple[str, ...]]
    data: Callable[[Table, TrainJob, np.ndarray], Data]
    loss: Callable[[Table, TrainJob, np.ndarray], Loss]
    loss_weights: Callable[[TrainJob], tuple[float, float] | None]
    metrics: dict[str, Metric]
    objective: str
    possible_job: Callable[[TrainJob, DatasetInfo], TrainJob]
    depends_on_rows: Callable[[TrainJob, DatasetInfo], bool]
