"""Changes of waveforms in training, before the transform: noise, shifts in time, gain; drawn anew for each batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.settings.training import AugmentSettings
from seis_tf.waveforms.layers import Spectrogram


class Augmentation:
    """Waveforms of one training batch -> changed spectrograms; the same draw for the same seed.

    Args:
        info: of the data set, which must hold waveforms.
        settings: what is changed and how much.
    """

    def __init__(self, info: DatasetInfo, settings: AugmentSettings):
        if not info.has("waveform"):
            raise ValueError("augment: expected a data set with waveforms, received one with spectrograms only")
        self.settings = settings
        self.n_samples = info.feature("waveform").shape[0]
        if settings.noise_probability and "noise" not in info.class_names:
            raise ValueError(f"noise_probability: expected a class noise, received classes {list(info.class_names)}")
        self.noise_class = info.class_names.index("noise") if "noise" in info.class_names else None
        self.spectrogram = Spectrogram(
            SpectrogramSettings.model_validate(info.job["spectrogram"]), info.sampling_rate_hz
        )

    def is_noise(self, labels: np.ndarray) -> np.ndarray:
        """Which records may be added to others."""
        return labels == self.noise_class if self.noise_class is not None else np.zeros(len(labels), bool)

    def __call__(self, waveforms: tf.Tensor, noise: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Changed spectrograms [batch, frequency, time], before standardisation.

        Args:
            waveforms: [batch, sample].
            noise: [batch, sample], a noise record for each.
            seed: int32 [2].
        """
        batch, settings = tf.shape(waveforms)[0], self.settings
        draws = tf.random.stateless_uniform([4, batch], seed)
        if settings.noise_probability:
            snr_db = settings.noise_snr_db[0] + draws[0] * (settings.noise_snr_db[1] - settings.noise_snr_db[0])
            ratio = tf.math.divide_no_nan(rms(waveforms), rms(noise)) * tf.pow(10.0, -snr_db / 20)[:, None]
            added = tf.where(draws[1] < settings.noise_probability, tf.sign(draws[3] - 0.5), 0.0)[:, None]
            # Turned round by a random part of its length, so that few noise records make many.
            turns = tf.random.stateless_uniform([batch, 1], seed + 5, maxval=self.n_samples, dtype=tf.int32)
            noise = tf.gather(noise, (tf.range(self.n_samples)[None] + turns) % self.n_samples, batch_dims=1)
            waveforms = waveforms + added * ratio * noise
        if settings.shift_fraction:
            largest = settings.shift_fraction * self.n_samples
            waveforms = shift(waveforms, tf.cast(tf.round((2 * draws[2] - 1) * largest), tf.int32))
        if settings.gain_db:
            gain_db = tf.random.stateless_normal([batch, 1], seed + 3) * settings.gain_db
            waveforms = waveforms * tf.pow(10.0, gain_db / 20)
        return self.spectrogram(waveforms)


def shift(waveforms: tf.Tensor, samples: tf.Tensor) -> tf.Tensor:
    """Moves each record in time; what is moved out comes in mirrored at the other end, so that no edge is made.

    Args:
        waveforms: [batch, sample].
        samples: int32 [batch], positive to later, at most the length less one.
    """
    length = waveforms.shape[-1]
    index = tf.range(length)[None, :] - samples[:, None]
    index = tf.abs(index)
    index = tf.where(index >= length, 2 * (length - 1) - index, index)
    return tf.gather(waveforms, index, batch_dims=1)


def rms(waveforms: tf.Tensor) -> tf.Tensor:
    """Standard deviation about the mean [record, 1] of waveforms [record, sample] of any finite float32 values."""
    # Of the waveform over its peak: the square of a sample above 1.8e19 is no float32, nor is that of one below 1e-23.
    peak = tf.reduce_max(tf.abs(waveforms), axis=-1, keepdims=True)
    scaled = tf.math.divide_no_nan(waveforms, peak)
    centred = scaled - tf.reduce_mean(scaled, axis=-1, keepdims=True)
    return peak * tf.sqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True))
