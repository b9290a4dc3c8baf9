"""What the DART network is trained on: windows and masks in, slip out; buoys that fall silent; the loss."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from seis_tf.dart.unit_sources import load_greens
from seis_tf.dataset import tables
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.settings.training import LossSettings, RedrawSettings, TrainJob
from seis_tf.training import losses
from seis_tf.training.inputs import Data

FEATURES = ("water_level_m", "mask", "weights_m", "mw", "group", "record_id", "truth_m")


def training_data(table: tables.Table, job: TrainJob, train: np.ndarray) -> Data:
    """Inputs [record, minute, buoy] and slip [record, source]; missing samples are 0 in the level and in the mask.

    Args:
        table: of a DART data set.
        job: the mask as an input, weights by level, noise that is drawn anew (see `possible_job`), buoys that fall
            silent.
        train: rows of the training records, whose mean weight is 1.
    """
    settings = possible_job(job, table.info).training
    level, mask = table["water_level_m"], table["mask"]
    arrays = (level, mask) if job.model.use_mask else (level,)
    shown = arrays
    if settings.redraw_noise is not None:
        shown = (_clean_windows(table) * mask, *arrays[1:])
    changes = _Changes(settings.redraw_noise, settings.buoy_dropout, job.model.use_mask)
    weights = None
    if settings.level_weights:
        weights = 1 / levels(level, mask)
        weights = (weights / weights[train].mean()).astype(np.float32)
    active = settings.redraw_noise is not None or settings.buoy_dropout
    return Data(
        arrays,
        table["weights_m"],
        weights,
        training_inputs=shown if active else None,
        transform=changes if active else None,
    )


def possible_job(job: TrainJob, info: DatasetInfo) -> TrainJob:
    """The job as it can be trained on a data set: without `redraw_noise` where waves without noise are not known.

    The published prototype's `.mat` files hold none, nor do raw records of buoys. A warning says what was changed.
    """
    if job.training.redraw_noise is None or not (reason := _no_clean_windows(info)):
        return job
    warnings.warn(f"training without drawing noise anew: redraw_noise: {reason}", stacklevel=3)
    return job.model_copy(update={"training": job.training.model_copy(update={"redraw_noise": None})})


def levels(level_m: np.ndarray, mask: np.ndarray, floor_m: float = 0.01) -> np.ndarray:
    """Root mean square of each record's samples [record, minute, buoy] -> [record], in m, with a floor for calm water.

    A function of what the network sees: weighting by the true wave would teach it to expect the wrong mean.
    """
    power = np.square(level_m * mask).sum(axis=(1, 2)) / np.maximum(mask.sum(axis=(1, 2)), 1)
    return np.sqrt(power + floor_m**2)


def loss(table: tables.Table, settings: LossSettings, train: np.ndarray):
    """Squared slip error, with the wave's misfit at all gauges where it has a weight."""
    if (weights := loss_weights(settings)) is None:
        return losses.squared_error
    info = table.info
    gauges = info.forecast_gauges or info.gauge_names
    greens = load_greens(info.job.get("greens")).select(info.source_names, gauges)
    return losses.slip_and_wave(greens.eta_m, table["weights_m"][train], *weights)


def loss_weights(settings: LossSettings) -> tuple[float, float] | None:
    """Of slip and wave; None where the loss is the plain slip error."""
    plain = settings.wave_weight == 0 and settings.slip_weight == 1
    return None if plain else (settings.slip_weight, settings.wave_weight)


def noise_factor(settings: RedrawSettings, n_steps: int, step_min: float) -> np.ndarray:
    """L with L @ L.T the covariance of a record's noise [step, step] in m^2.

    White noise, a first-order autoregressive process, and what detiding leaves: the sum of three constituents (24.84,
    12.42 and 6.21 h) of random phase, each with a third of the variance.
    """
    lag = np.abs(np.subtract.outer(np.arange(n_steps), np.arange(n_steps))) * step_min
    covariance = settings.white_m**2 * np.eye(n_steps) + settings.red_m**2 * np.exp(-lag / settings.red_min)
    for period_h in (24.84, 12.42, 6.21):
        covariance += settings.tide_m**2 / 3 * np.cos(2 * np.pi * lag / (60 * period_h))
    return np.linalg.cholesky(covariance + 1e-12 * np.eye(n_steps))


def _no_clean_windows(info: DatasetInfo) -> str:
    """Why a data set's windows without noise are not known; "" where they are."""
    if info.has("truth_m") and set(info.gauge_names) <= set(info.forecast_gauges):
        return ""
    received = list(info.forecast_gauges) if info.has("truth_m") else "no gauge"
    return f"expected a data set with the true wave at {list(info.gauge_names)}, received it at {received}"


def _clean_windows(table: tables.Table) -> np.ndarray:
    info = table.info
    columns = [info.forecast_gauges.index(name) for name in info.gauge_names]
    step = info.job["record"]["step_min"]
    minutes = step * np.arange(1, info.feature("water_level_m").shape[0] + 1)
    return np.ascontiguousarray(table["truth_m"][:, minutes][:, :, columns])


@dataclass(frozen=True)
class _Changes:
    """Noise drawn anew, and one buoy's record taken away in a part of the training windows.

    The same draw for the same seed and batch, and for all members of a stack: what a member sees does not depend on the
    company it is in.
    """

    noise: RedrawSettings | None
    buoy_dropout: float
    has_mask: bool

    def __call__(self, inputs: Sequence[tf.Tensor], seed: tf.Tensor) -> list[tf.Tensor]:
        n_steps, n_buoys = inputs[0].shape[2:]
        shape = [1, tf.shape(inputs[0])[1]]
        key = tf.stack([seed[0], seed[1] * 100003 + seed[2]])
        changed = list(inputs)
        if self.noise is not None:
            factor = tf.constant(noise_factor(self.noise, n_steps, self.noise.step_min), tf.float32)
            drawn = tf.random.stateless_normal([*shape, n_steps, n_buoys], key + 2)
            noisy = inputs[0] + tf.einsum("ij,mbjk->mbik", factor, drawn)
            changed[0] = noisy * inputs[1] if self.has_mask else noisy
        if self.buoy_dropout:
            silent = tf.random.stateless_uniform(shape, key, maxval=n_buoys, dtype=tf.int32)
            happens = tf.random.stateless_uniform(shape, key + 1) < self.buoy_dropout
            heard = 1 - tf.one_hot(silent, n_buoys) * tf.cast(happens, tf.float32)[..., None]
            changed = [v * heard[:, :, None, :] for v in changed]
        return changed
