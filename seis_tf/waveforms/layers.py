"""Keras layers of waveforms: the spectrogram in the graph, the twin of `spectrograms.py`, and its standardisation."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from seis_tf.models.layers import _ORDINARY, _scale
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.waveforms.spectrograms import SQUARES, transform_matrix


@keras.saving.register_keras_serializable("seis_tf")
class Spectrogram(keras.layers.Layer):
    """Waveforms [batch, sample] -> spectrograms [batch, frequency, time], as `spectrograms.spectrograms`."""

    def __init__(self, settings: SpectrogramSettings | dict, sampling_rate_hz: float, **kwargs):
        super().__init__(**kwargs)
        self.settings = SpectrogramSettings.model_validate(settings)
        self.sampling_rate_hz = float(sampling_rate_hz)

    def call(self, waveforms):
        """[batch, sample] in source units -> power, or its log10, [batch, frequency, time]."""
        settings = self.settings
        n_frequencies, n_frames = settings.shape(waveforms.shape[-1])
        matrix = tf.constant(transform_matrix(settings, self.sampling_rate_hz), tf.float32)
        scale = _scale(waveforms, _ORDINARY)
        waveforms = waveforms * scale
        if settings.detrend != "none":
            waveforms = waveforms - tf.reduce_mean(waveforms, axis=-1, keepdims=True)
        frames = tf.signal.frame(waveforms, settings.nperseg, settings.nperseg - settings.noverlap)
        parts = tf.square(
            tf.reshape(tf.reshape(frames, [-1, settings.nperseg]) @ matrix, [-1, n_frames, matrix.shape[1]])
        )
        power = tf.transpose(parts[..., :n_frequencies] + parts[..., n_frequencies:], [0, 2, 1])
        scale = scale[:, :, None]
        if not settings.log:
            return power / scale / scale
        floor = settings.log_floor * tf.reduce_max(power, axis=(1, 2), keepdims=True)
        power = tf.maximum(power, tf.maximum(floor, np.finfo(np.float32).tiny))
        return (tf.math.log(power) - 2 * tf.math.log(scale)) / np.log(10).astype(np.float32)

    def get_config(self):
        """What `__init__` takes, for saved models."""
        return super().get_config() | {
            "settings": self.settings.model_dump(mode="json"),
            "sampling_rate_hz": self.sampling_rate_hz,
        }


@keras.saving.register_keras_serializable("seis_tf")
class Standardise(keras.layers.Layer):
    """Spectrograms [batch, frequency, time] to mean 0 and deviation 1: of each record, or of the training records.

    Args:
        mode: "record", "dataset" or "none".
        mean: [frequency] of the training records, for mode "dataset".
        std: [frequency], likewise.
    """

    def __init__(self, mode: str, mean: list[float] | None = None, std: list[float] | None = None, **kwargs):
        super().__init__(**kwargs)
        if mode not in ("record", "dataset", "none"):
            raise ValueError(f"Standardise mode: expected record, dataset or none, received {mode!r}")
        if mode == "dataset" and (mean is None or std is None):
            raise ValueError("Standardise mode dataset: expected mean and std per frequency, received none")
        self.mode, self.mean, self.std = mode, mean, std

    def call(self, spectrograms):
        """[batch, frequency, time] -> the same shape, standardised; a record without any spread becomes 0."""
        if self.mode == "record":
            spectrograms = spectrograms * _scale(spectrograms, SQUARES)
            centred = spectrograms - tf.reduce_mean(spectrograms, axis=(1, 2), keepdims=True)
            spread = tf.sqrt(tf.reduce_mean(tf.square(centred), axis=(1, 2), keepdims=True))
            return tf.math.divide_no_nan(centred, spread)
        if self.mode == "dataset":
            mean = tf.constant(self.mean, tf.float32)[:, None]
            return tf.math.divide_no_nan(spectrograms - mean, tf.constant(self.std, tf.float32)[:, None])
        return spectrograms

    def get_config(self):
        """What `__init__` takes, for saved models."""
        return super().get_config() | {"mode": self.mode, "mean": self.mean, "std": self.std}
