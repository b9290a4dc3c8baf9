"""Settings of `train`: a network, and one training of it."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from seis_tf.settings.base import Rate, Settings
from seis_tf.settings.networks import ModelSettings


class AugmentSettings(Settings):
    """Changes of the training records, drawn anew each epoch."""

    shift_fraction: float = Field(default=0.0, ge=0, le=0.5, description="largest time shift, as a part of the record")
    gain_db: float = Field(
        default=0.0, ge=0, description="standard deviation of the gain (matters without standardisation)"
    )
    noise_probability: float = Field(default=0.0, ge=0, le=1, description="how often another noise record is added")
    noise_snr_db: tuple[float, float] = Field(default=(0.0, 20.0), description="range of the SNR after adding noise")

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return bool(self.shift_fraction or self.gain_db or self.noise_probability)


class LossSettings(Settings):
    """What the DART network is fitted to: squared slip error, and squared error of the wave that the slip makes."""

    slip_weight: float = Field(default=1.0, ge=0)
    wave_weight: float = Field(default=0.0, ge=0, description="of the wave's misfit, in units of its variance")


class RedrawSettings(Settings):
    """Noise of buoy records that is drawn anew each epoch, on the noise-free wave; the defaults are the simulator's."""

    white_m: float = Field(default=0.005, gt=0)
    red_m: float = Field(default=0.002, ge=0, description="standard deviation of a first-order autoregressive noise")
    red_min: float = Field(default=30.0, gt=0, description="its correlation time")
    tide_m: float = Field(default=0.003, ge=0, description="standard deviation of what detiding leaves")
    step_min: float = Field(default=1.0, gt=0, description="time step of the window")


class TrainingSettings(Settings):
    """One training, whatever the model."""

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1, description="of SGD, Nesterov's")
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled from the gradient, as in AdamW")
    clip_norm: float | None = Field(default=None, gt=0, description="largest global norm of the gradients")
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_epochs: int = Field(default=0, ge=0)
    final_fraction: float = Field(
        default=0.01, gt=0, le=1, description="rate of the last epoch as a part of learning_rate"
    )
    l2: float = Field(
        default=0.0, ge=0, description="Keras's meaning: l2 * sum(w^2) of the kernels is added to the loss"
    )
    batch_size: int = Field(default=50, gt=0)
    epochs: int = Field(default=100, gt=0)
    early_stopping: int | None = Field(
        default=None, gt=0, description="epochs without improvement after which training stops"
    )
    monitor: str = Field(default="val_loss", description="what early stopping and the best checkpoint look at")
    keep: Literal["best", "last"] = Field(default="best", description="which epoch's weights the run ends with")
    class_weights: Literal["none", "balanced"] = "none"
    members: int = Field(
        default=1, ge=1, le=64, description="models trained together from different seeds: an ensemble"
    )
    seed: int = Field(default=0, ge=0, lt=2**31)
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="bfloat16: layers compute in it, weights and the output layer stay float32"
    )
    device: str | None = Field(default=None, description="where to train, e.g. /GPU:1 or /CPU:0; TensorFlow chooses")
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    buoy_dropout: Rate = Field(default=0.0, description="how often a buoy's record is taken away in training")
    level_weights: bool = Field(
        default=False, description="DART: records weigh 1 / their level, so that small events count"
    )
    redraw_noise: RedrawSettings | None = Field(
        default=None, description="DART: draw the records' noise anew each epoch"
    )


class AnswerSettings(Settings):
    """DART: what a record must hold for a magnitude, and for intervals. How the defaults were found: `enough.py`."""

    min_samples: float = Field(
        default=0.5, ge=0, le=1, description="part of the window's samples; below it no magnitude"
    )
    min_signal_m: float = Field(
        default=0.007, ge=0, description="standard deviation about each buoy's mean; below it no magnitude"
    )
    max_missing: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="part of the window; with more of it missing, or a whole buoy, no intervals",
    )


class TrainJob(Settings):
    """All of `train`."""

    model: ModelSettings
    training: TrainingSettings = TrainingSettings()
    answer: AnswerSettings = AnswerSettings()


def learning_rate_at(settings: TrainingSettings, epoch: int) -> float:
    """Learning rate of one epoch (counted from 0)."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * (epoch + 1) / (settings.warmup_epochs + 1)
    span = max(settings.epochs - settings.warmup_epochs - 1, 1)
    part = min((epoch - settings.warmup_epochs) / span, 1.0)
    if settings.schedule == "cosine":
        return settings.learning_rate * (
            settings.final_fraction + (1 - settings.final_fraction) * (1 + math.cos(math.pi * part)) / 2
        )
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.final_fraction**part
    return settings.learning_rate
