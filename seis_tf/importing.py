"""Weights that were trained elsewhere -> a run folder, to be evaluated and exported as any other."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np

from seis_tf import runs, tasks
from seis_tf.dart.prototype import assign, read_weights, settings_of
from seis_tf.dart.training_data import FEATURES
from seis_tf.dataset import tables
from seis_tf.dataset.shards import DatasetInfo, load_dataset
from seis_tf.settings.training import TrainingSettings, TrainJob


def import_run(path: Path | str, dataset: Path | str, out: Path | str, *, activation: str = "leaky_relu") -> runs.Run:
    """A run folder from a prototype's weights, to be evaluated and exported as any other.

    Args:
        path: the weights.
        dataset: says window, buoys and sources, which must be in the order that the prototype was trained with.
        out: the run folder to make.
        activation: as for `settings_of`.

    Raises:
        ValueError: the weights don't fit the data set, or `out` is taken.
    """
    weights, info = read_weights(path), load_dataset(Path(dataset))
    settings = settings_of(weights, activation=activation)
    _check_sizes(weights, info)
    job = TrainJob(model=settings, training=TrainingSettings(epochs=1, keep="last"))
    model = tasks.build(settings, info)
    assign(model, weights)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    imported = f"{Path(path).name}, SHA-256 {digest}"
    return runs.keep_imported(model, job, dataset, Path(out), imported, _losses(model, dataset))


def _check_sizes(weights: dict[str, np.ndarray], info: DatasetInfo) -> None:
    for what, names, count in (
        ("buoys", info.gauge_names, weights["conv1.weight"].shape[1]),
        ("sources", info.source_names, weights["lin2.bias"].size),
    ):
        if len(names) != count:
            raise ValueError(f"weights: expected {len(names)} {what} {list(names)}, received {count}")


def _losses(model: keras.Model, dataset: Path | str) -> dict[str, float]:
    """Mean squared slip error of training and validation records, as a training's history has it."""
    table = tables.load(dataset, ("train", "valid"), FEATURES, filled=True)
    slip = model.predict(table["water_level_m"], batch_size=256, verbose=0)
    error = np.square(slip - table["weights_m"]).mean(axis=1)
    train, valid = (float(error[table.rows[split]].mean()) for split in ("train", "valid"))
    return {"epoch": 0.0, "loss": train, "val_loss": valid, "val_mse": valid}
