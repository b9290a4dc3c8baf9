"""The networks and their search spaces as KerasTuner's `HyperModel`s, for scripts that use KerasTuner itself.

    hypermodel = MlpHyperModel("DATASET")
    tuner = keras_tuner.RandomSearch(hypermodel, objective=hypermodel.objective, max_trials=20)
    tuner.search(train, validation_data=valid, epochs=30)

Parameters and their ranges are those of `seis-tf tune`, under the same names ("model.hidden.0",
"training.learning_rate"). Training is Keras's `fit`.
"""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import keras
import keras_tuner as kt
import numpy as np
import tensorflow as tf

from seis_tf import tasks
from seis_tf.dataset import tables
from seis_tf.dataset.dataset_info import DatasetInfo, check_filled
from seis_tf.dataset.shards import check_task, open_dataset
from seis_tf.settings.base import flat, merge
from seis_tf.settings.networks import network_settings
from seis_tf.settings.spaces import Space, Widths
from seis_tf.settings.training import TrainJob, learning_rate_at
from seis_tf.training.losses import class_weights
from seis_tf.training.optimizers import Optimizer
from seis_tf.training.scores import smaller_is_better
from seis_tf.tuning import keras_data, spaces
from seis_tf.tuning.keras_metrics import BalancedAccuracy
from seis_tf.waveforms.training_data import standardiser

# Of `training`: what Keras's `fit` does not do here. The values are those of a training without it, or of KerasTuner,
# which keeps the epoch with the best objective.
_WITHOUT = {
    "buoy_dropout": 0.0,
    "level_weights": False,
    "redraw_noise": None,
    "members": 1,
    "precision": "float32",
    "device": None,
    "early_stopping": None,
    "keep": "best",
}
_REFUSED = (*_WITHOUT, "augment", "monitor")


class NetworkHyperModel(kt.HyperModel, ABC):
    """What the hypermodels of all kinds of networks have in common.

    `search()` and `fit` take what `keras.Model.fit` takes, with arrays or `tf.data`. A `tf.data.Dataset` holds pairs
    (as `waveforms.training_data.classification` gives) or the records of `dataset.pipeline.records` with the features
    `features`, from which the pairs are made. It is batched anew with the trial's batch size, for which its records are
    counted once before the first trial; with `steps_per_epoch` they are not.

    What changes or weighs single records (`augment`, `buoy_dropout`, `level_weights`, `redraw_noise`) is not applied,
    also where `seis-tf train` has it by default: such data are the caller's to pass. KerasTuner's own ways do what
    `members`, `keep`, `early_stopping`, `precision` and `device` do in `seis-tf train`.

    Keras's `val_loss` includes the L2 term. `val_loss_without_l2` is what `seis-tf train` calls `val_loss`.

    Args:
        dataset: its folder, or its `DatasetInfo`. Of a folder nothing but `dataset.json` and, for the loss of DART
            networks, the train split's slips are read. With a `DatasetInfo` alone DART networks are fitted to the
            slip only, and `training.loss.wave_weight` is not searched.
        space_file: TOML or JSON that narrows, widens or fixes parameters, as `seis-tf tune --space` takes it.
        base: settings that are not searched, as a tree like `{"training": {"momentum": 0.8}}`.
        name: as in `keras_tuner.HyperModel`.
        tunable: likewise.

    Attributes:
        info: of the data set.
        space: parameter name to its range.
        objective: what `seis-tf tune` minimises for this network, for the tuner's `objective`.
        features: that records of `dataset.pipeline.records` must have.

    Raises:
        ValueError: a data set of another task, or settings that can't be or that `fit` does not apply.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        dataset: DatasetInfo | Path | str,
        *,
        space_file: Path | str | None = None,
        base: Mapping[str, Any] | None = None,
        name: str | None = None,
        tunable: bool = True,
    ):
        super().__init__(name=name or self.kind, tunable=tunable)
        self.folder = None if isinstance(dataset, DatasetInfo) else Path(dataset)
        self.info = dataset if isinstance(dataset, DatasetInfo) else open_dataset(dataset)
        self._task = tasks.TASKS[network_settings(self.kind).task]
        check_task(self.folder or "data set", self.info, self._task.name)
        shapes = {feature.name: feature.shape for feature in self.info.features}
        self.space = spaces.space_of(self.kind, None if space_file is None else Path(space_file), shapes)
        self._base: dict[str, Any] = {"training": dict(_WITHOUT)}
        fixed = list(flat(dict(base or {})))
        _check_applied([*fixed, *(self.space if space_file else ())])
        self._prepare_loss(fixed)
        merge(self._base, dict(base or {}))
        self._defaults = flat(spaces.job_of(self.kind, {}, {}, self._base).model_dump())
        self._narrow()
        self._builds: Counter[str] = Counter()
        self._counted: tuple[tf.data.Dataset | None, int] = (None, 0)

    @property
    def objective(self) -> kt.Objective:
        """What `seis-tf tune` minimises by default."""
        name = self._task.objective
        direction = "min" if smaller_is_better(name) else "max"
        return kt.Objective("val_loss_without_l2" if name == "val_loss" else name, direction)

    def job(self, hp: kt.HyperParameters) -> TrainJob:
        """The settings that these hyperparameters stand for, as `seis-tf train --config` takes them.

        Raises:
            ValueError: values that can't be.
        """
        return spaces.job_of(self.kind, self.space, spaces.declare(self.space, hp, self._defaults), self._base)

    def build(self, hp: kt.HyperParameters) -> keras.Model:
        """The compiled network.

        First weights and dropout follow from `training.seed`; each further build of the same hyperparameters takes the
        next seed, so that the executions of a trial differ.

        Args:
            hp: gets the parameters of `space` that it does not have yet.
        """
        job = self.job(hp)
        values = json.dumps(hp.values, sort_keys=True, default=str)
        seed = job.training.seed + self._builds[values]
        self._builds[values] += 1
        model = tasks.build(job.model, self.info, seed=seed, l2=job.training.l2)
        settings = job.training
        optimizer = Optimizer(settings.optimizer, settings.momentum, settings.weight_decay, settings.clip_norm)
        loss, loss_metric, metrics = self._losses(job)
        model.compile(
            optimizer=optimizer.as_keras(settings.learning_rate),
            loss=loss,
            metrics=metrics,
            weighted_metrics=[loss_metric],
        )
        # Without its variables Hyperband would lose the optimizer's state where a trial goes on from another.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp: kt.HyperParameters, model: keras.Model, *args, **kwargs) -> keras.callbacks.History:
        """Trains with the batch size, class weights, schedule and epochs of the hyperparameters.

        Epochs are those passed to `search()` (or by Hyperband), and else `training.epochs`. Class weights are those of
        the data set's train split, for training and validation data, unless the caller gives weights.

        Args:
            hp: of the trial.
            model: as `build` gave it.
            *args: as for `keras.Model.fit`.
            **kwargs: likewise.

        Raises:
            keras_tuner.errors.FatalValueError: an argument that a hyperparameter decides, or data whose batch size
                can't be set.
        """
        settings = self.job(hp.copy()).training
        given = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        if "batch_size" in given:
            raise _fatal("batch_size", "training.batch_size", given["batch_size"])
        if "epochs" in given and "training.epochs" in self.space:
            raise _fatal("epochs", "training.epochs", given["epochs"])
        weighted = "class_weight" in given or "sample_weight" in given
        weights = None if weighted else self.weights_of_classes(settings.class_weights)
        self._set_batches(given, settings.batch_size)
        self._set_pairs(given, weights)
        given.setdefault("epochs", settings.epochs)
        if settings.schedule != "constant" or settings.warmup_epochs:
            planned = settings.model_copy(update={"epochs": given["epochs"]})
            schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: learning_rate_at(planned, epoch))
            given["callbacks"] = [schedule, *(given.get("callbacks") or [])]
        return model.fit(**given)

    @property
    @abstractmethod
    def features(self) -> tuple[str, ...]:
        """Names for `dataset.pipeline.records`."""

    @abstractmethod
    def _losses(self, job: TrainJob) -> tuple[Any, keras.metrics.Metric, list[keras.metrics.Metric]]:
        """The loss, the same as a weighted metric without the L2 term, and the task's metrics."""

    @abstractmethod
    def pair(self, record: dict[str, tf.Tensor]) -> tuple[Any, tf.Tensor]:
        """Inputs and targets of records as they are on disk."""

    def _prepare_loss(self, fixed: list[str]) -> None:
        """Sees to it that the loss can be computed with what is known; `fixed` are the names in `base`."""

    def weights_of_classes(self, kind: str) -> np.ndarray | None:
        """Weights [class] that give each class of the train split the same total."""
        if kind == "none" or not self.info.class_names:
            return None
        counts = [self.info.splits["train"].class_counts.get(name, 0) for name in self.info.class_names]
        classes = np.arange(len(counts))
        labels = np.concatenate([np.repeat(classes, counts), classes])  # one of each at the end, to read the weight of
        weights = class_weights(labels, np.arange(sum(counts)), kind)
        return None if weights is None else weights[-len(counts) :]

    def _narrow(self) -> None:
        """Takes out the layers with which the network can't be built for this data set (more pools than samples).

        KerasTuner builds the largest network before it starts, and would not start.
        """
        for name, parameter in self.space.items():
            if not isinstance(parameter, Widths):
                continue
            fewest, most = parameter.layers
            for layers in range(most, fewest - 1, -1):
                narrowed: Space = {name: parameter.model_copy(update={"layers": (fewest, layers)})}
                values = {f"{name}.layers": layers} | {f"{name}.{i}": parameter.values[0] for i in range(layers)}
                job = spaces.job_of(self.kind, narrowed, values, self._base)
                try:
                    tasks.build(job.model, self.info)
                except ValueError:
                    if layers == fewest:
                        raise
                else:
                    self.space |= narrowed
                    break

    def _set_batches(self, given: dict[str, Any], batch_size: int) -> None:
        """Batches of the trial's size, of arrays by Keras, of `tf.data` by batching it anew."""
        x = given.get("x")
        if isinstance(x, tf.data.Dataset):
            if "steps_per_epoch" not in given and x is not self._counted[0]:
                self._counted = x, keras_data.count_records(x)
            given["x"] = keras_data.rebatched(x, batch_size, None if "steps_per_epoch" in given else self._counted[1])
            given["shuffle"] = False  # the data set's own business: with the default Keras warns that it can't
        elif isinstance(x, np.ndarray | tf.Tensor | list | tuple | dict):
            given["batch_size"] = batch_size
        else:
            raise kt.errors.FatalValueError(
                f"x: expected arrays or a tf.data.Dataset, so that training.batch_size can be set, received {type(x)}"
            )

    def _set_pairs(self, given: dict[str, Any], weights: np.ndarray | None) -> None:
        """Pairs of inputs and targets, with the weights of their classes."""
        if isinstance(given["x"], tf.data.Dataset):
            given["x"] = self.pairs(given["x"], weights)
        elif weights is not None and "y" in given:
            given["sample_weight"] = weights[np.asarray(given["y"])]
        valid = given.get("validation_data")
        if isinstance(valid, tf.data.Dataset):
            given["validation_data"] = self.pairs(valid, weights)
        elif isinstance(valid, tuple | list) and len(valid) == 2 and weights is not None:
            given["validation_data"] = (*valid, weights[np.asarray(valid[1])])

    def pairs(self, data: tf.data.Dataset, weights: np.ndarray | None) -> tf.data.Dataset:
        """Inputs, targets and perhaps weights of a data set of records or of pairs."""
        return keras_data.weighted_pairs(data, self.features, self.pair, weights)


class _ClassifierHyperModel(NetworkHyperModel):
    """Spectrograms in, probabilities out, fitted by cross-entropy."""

    @property
    def features(self) -> tuple[str, ...]:
        return ("spectrogram", "label")

    def _losses(self, job):
        classes = len(self.info.class_names)
        metrics = [keras.metrics.SparseCategoricalAccuracy(name="accuracy"), BalancedAccuracy(classes)]
        metric = keras.metrics.SparseCategoricalCrossentropy(name="loss_without_l2")
        return keras.losses.SparseCategoricalCrossentropy(name="cross_entropy"), metric, metrics

    def pair(self, record):
        return standardiser(self.info)(record["spectrogram"]), record["label"]


class _SlipHyperModel(NetworkHyperModel):
    """Buoy records in, slip out, fitted by squared slip error, with the wave's misfit where that has a weight."""

    def _prepare_loss(self, fixed: list[str]) -> None:
        if self.folder is not None:
            check_filled(self.folder, self.info, ("train",))
            self._slips = tables.load(self.folder, ("train",), ("weights_m",))
            return
        if parts := [name for name in fixed if name.startswith("training.loss.")]:
            raise ValueError(
                f"{parts[0]}: expected the data set's folder for the loss of the wave, received a DatasetInfo"
            )
        self.space = {name: p for name, p in self.space.items() if not name.startswith("training.loss.")}
        self._base["training"]["loss"] = {"slip_weight": 1.0, "wave_weight": 0.0}

    @property
    def features(self) -> tuple[str, ...]:
        return (
            ("water_level_m", "mask", "weights_m")
            if self._defaults["model.use_mask"]
            else ("water_level_m", "weights_m")
        )

    def _losses(self, job):
        loss: Any = "mse"
        metric = keras.metrics.MeanSquaredError(name="loss_without_l2")
        if self._task.loss_weights(job) is not None:
            loss = self._task.loss(self._slips, job, self._slips.rows["train"])
            metric = keras.metrics.MeanMetricWrapper(loss, name="loss_without_l2")
        return loss, metric, [keras.metrics.MeanSquaredError(name="mse")]

    def pair(self, record):
        *inputs, target = (record[name] for name in self.features)
        return tuple(inputs) if len(inputs) > 1 else inputs[0], target


class MlpHyperModel(_ClassifierHyperModel):
    """The fully connected classifier of spectrograms; see `NetworkHyperModel` and `settings.networks.MlpSettings`."""

    kind = "mlp"


class CnnHyperModel(_ClassifierHyperModel):
    """The convolutional classifier of spectrograms; see `NetworkHyperModel` and `settings.networks.CnnSettings`."""

    kind = "cnn"


class Conv1DHyperModel(_SlipHyperModel):
    """The 1-D convolutional slip network; see `NetworkHyperModel` and `settings.networks.Conv1dSettings`."""

    kind = "conv1d"


class SlipMlpHyperModel(_SlipHyperModel):
    """The fully connected slip network; see `NetworkHyperModel` and `settings.networks.SlipMlpSettings`."""

    kind = "slip_mlp"


def _check_applied(names: list[str]) -> None:
    for name in names:
        if name.startswith("training.") and name.split(".")[1] in _REFUSED:
            raise ValueError(
                f"{name}: expected a setting that Keras's fit applies, received one of {', '.join(_REFUSED)}; "
                "give changed records or callbacks to search(), or use seis-tf tune"
            )


def _fatal(argument: str, parameter: str, received: Any) -> Exception:
    return kt.errors.FatalValueError(
        f"{argument}: expected none beside the hyperparameter {parameter}, received {received}; "
        f'to fix it: hp.Fixed("{parameter}", {received}) in the tuner\'s hyperparameters'
    )
