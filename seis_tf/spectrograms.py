"""Waveform -> log power [frequency, time], with SciPy's definition: once in NumPy, once in a TensorFlow graph.

Everything that `scipy.signal.spectrogram` does to one frame (remove its trend, multiply by the window, transform,
scale) is linear in the frame. So it is folded into one real matrix [sample in frame, 2 x frequency], and a spectrogram
is a framing and one matrix product. Both versions use the same matrix.
"""

from __future__ import annotations

import functools

import numpy as np
from scipy import signal

from seis_tf.settings.data import SpectrogramSettings

_BLOCK = 16  # records transformed together: more than fits the processor's cache is three times slower
_WINDOWS = {"tukey": ("tukey", 0.25), "hann": "hann", "hamming": "hamming", "boxcar": "boxcar"}


@functools.lru_cache(maxsize=32)
def transform_matrix(settings: SpectrogramSettings, sampling_rate_hz: float) -> np.ndarray:
    """The matrix that takes a frame to the scaled real and imaginary parts of its spectrum.

    Returns:
        float64 [nperseg, 2 x (nfft // 2 + 1)]; the sum of the squares of column k and of column k + nfft // 2 + 1 of
        `frames @ matrix` is the one-sided power, in units^2/Hz (density) or units^2 (spectrum), as
        `scipy.signal.spectrogram` gives it.
    """
    n, nfft = settings.nperseg, settings.nfft
    window = signal.get_window(_WINDOWS[settings.window], n)  # periodic, as scipy.signal.spectrogram asks for it
    # Each basis vector is a frame: what the trend removal makes of the identity is the removal as a matrix.
    frames = np.eye(n) if settings.detrend == "none" else signal.detrend(np.eye(n), axis=-1, type=settings.detrend)
    spectrum = np.fft.rfft(frames * window, nfft, axis=-1)
    power_scale = 1 / (sampling_rate_hz * np.sum(window**2)) if settings.scaling == "density" else np.sum(window) ** -2
    one_sided = np.full(nfft // 2 + 1, 2.0)
    one_sided[0] = 1.0
    if nfft % 2 == 0:
        one_sided[-1] = 1.0  # zero frequency and Nyquist have no twin at negative frequency
    spectrum *= np.sqrt(power_scale * one_sided)
    matrix = np.concatenate([spectrum.real, spectrum.imag], axis=1)
    matrix.setflags(write=False)
    return matrix


def axes(settings: SpectrogramSettings, n_samples: int, sampling_rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz [frequency] and times of the frames' centres in s [time]."""
    _, n_frames = settings.shape(n_samples)
    hop = settings.nperseg - settings.noverlap
    frequencies = np.fft.rfftfreq(settings.nfft, 1 / sampling_rate_hz)
    return frequencies, (np.arange(n_frames) * hop + settings.nperseg / 2) / sampling_rate_hz


def spectrograms(
    waveforms: np.ndarray, settings: SpectrogramSettings, sampling_rate_hz: float, out: np.ndarray | None = None
) -> np.ndarray:
    """Spectrograms of a batch of waveforms (the NumPy version).

    Args:
        waveforms: float [record, sample].
        settings: window, overlap, scaling, logarithm.
        sampling_rate_hz: samples per second.
        out: float32 array for the result, to use memory again: new memory can cost more than the transform.

    Returns:
        float32 [record, frequency, time]: power as `scipy.signal.spectrogram`, or its log10 with everything below
        `log_floor` times the record's largest power raised to that floor.

    Raises:
        ValueError: the waveforms are shorter than a frame, or `out` has another shape or dtype.
    """
    n_frequencies, n_frames = settings.shape(waveforms.shape[-1])
    matrix = np.ascontiguousarray(transform_matrix(settings, sampling_rate_hz).T, dtype=np.float32)
    samples = np.ascontiguousarray(waveforms, dtype=np.float32)
    if settings.detrend != "none":
        # An offset that each frame's trend removal takes away anyway would cost float32 its last digits.
        samples = samples - samples.mean(axis=-1, keepdims=True)
    frames = np.lib.stride_tricks.sliding_window_view(samples, settings.nperseg, axis=-1)
    frames = frames[:, :: settings.nperseg - settings.noverlap].transpose(0, 2, 1)
    shape = (len(samples), n_frequencies, n_frames)
    powers = np.empty(shape, np.float32) if out is None else out
    if powers.shape != shape or powers.dtype != np.float32:
        raise ValueError(f"out: expected float32 {shape}, received {powers.dtype} {powers.shape}")
    for first in range(0, len(samples), _BLOCK):
        parts = matrix @ np.ascontiguousarray(frames[first : first + _BLOCK])
        np.square(parts, out=parts)
        power = np.add(parts[:, :n_frequencies], parts[:, n_frequencies:], out=powers[first : first + _BLOCK])
        if settings.log:
            floor = settings.log_floor * power.max(axis=(1, 2), keepdims=True)
            np.maximum(power, np.maximum(floor, np.finfo(np.float32).tiny), out=power)
            np.log10(power, out=power)
    return powers


def standardise(spectrogram: np.ndarray) -> np.ndarray:
    """Each record of [record, frequency, time] minus its mean, over its standard deviation (0 where that is 0)."""
    centred = spectrogram - spectrogram.mean(axis=(-2, -1), keepdims=True)
    spread = centred.std(axis=(-2, -1), keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def power_spectrum(waveforms: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude spectra of whole windows: frequencies in Hz [frequency], |X| in units/Hz [record, frequency]."""
    taper = signal.get_window(("tukey", 0.1), waveforms.shape[-1])
    amplitude = np.abs(np.fft.rfft(signal.detrend(waveforms, axis=-1) * taper, axis=-1)) / sampling_rate_hz
    return np.fft.rfftfreq(waveforms.shape[-1], 1 / sampling_rate_hz), amplitude
