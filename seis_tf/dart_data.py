"""What the DART network is trained on: windows and masks in, slip out; buoys that fall silent; the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from seis_tf import losses, tables
from seis_tf.config import LossSettings, TrainJob
from seis_tf.training import Data
from seis_tf.unit_sources import load_greens

FEATURES = ("water_level_m", "mask", "weights_m", "mw", "group", "record_id", "truth_m")


def training_data(table: tables.Table, job: TrainJob) -> Data:
    """Inputs [record, minute, buoy] and slip [record, source]; missing samples are 0 in the level and in the mask."""
    level, mask = table["water_level_m"], table["mask"]
    inputs = (level, mask) if job.model.use_mask else (level,)
    transform = _BuoyDropout(job.training.buoy_dropout) if job.training.buoy_dropout else None
    return Data(inputs, table["weights_m"], transform=transform)


def loss(table: tables.Table, settings: LossSettings, train: np.ndarray):
    """Squared slip error, with the wave's misfit where it has a weight."""
    if settings.wave_weight == 0 and settings.slip_weight == 1:
        return losses.squared_error
    info = table.info
    greens = load_greens(info.job.get("greens")).select(info.source_names, info.gauge_names)
    return losses.slip_and_wave(greens.eta_m, table["weights_m"][train], settings.slip_weight, settings.wave_weight)


@dataclass(frozen=True)
class _BuoyDropout:
    """Takes one buoy's record away in a part of the training windows; the same draw for the same seed."""

    rate: float

    def __call__(self, inputs: Sequence[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        members, batch, _, n_buoys = inputs[0].shape
        shape = [members, tf.shape(inputs[0])[1]]
        key = tf.stack([seed[0], seed[1] * 100003 + seed[2]])
        silent = tf.random.stateless_uniform(shape, key, maxval=n_buoys, dtype=tf.int32)
        happens = tf.random.stateless_uniform(shape, key + 1) < self.rate
        heard = 1 - tf.one_hot(silent, n_buoys) * tf.cast(happens, tf.float32)[..., None]
        return [v * heard[:, :, None, :] for v in inputs]
