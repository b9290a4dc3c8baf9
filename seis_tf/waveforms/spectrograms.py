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

# Sizes of numbers whose squares float32 holds with digits and a sum of many to spare.
SQUARES = (1e-12, 1e15)
TOO_STRONG = "expected power that 32-bit floats hold, received NaN or Inf (the signal is too strong, or not finite)"
CONSTANT = "expected a signal, received a record whose spectrogram is constant: no signal, or too weak"
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
    samples = np.ascontiguousarray(waveforms, dtype=np.float32)
    shape = (len(samples), n_frequencies, n_frames)
    powers = np.empty(shape, np.float32) if out is None else out
    if powers.shape != shape or powers.dtype != np.float32:
        raise ValueError(f"out: expected float32 {shape}, received {powers.dtype} {powers.shape}")
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = _transform(samples, settings, sampling_rate_hz, powers)
        # Squares that float32 does not hold; the logarithm is taken in float64, a linear power may still be too large.
        for row in np.flatnonzero(beyond):
            exact = np.empty((1, *shape[1:]))
            _transform(samples[row : row + 1].astype(np.float64), settings, sampling_rate_hz, exact)
            powers[row] = exact[0]
    return powers


def _transform(
    samples: np.ndarray, settings: SpectrogramSettings, sampling_rate_hz: float, powers: np.ndarray
) -> np.ndarray:
    """Fills `powers` in its own precision; bool [record], for which records that precision does not do."""
    dtype, n_frequencies = powers.dtype, powers.shape[1]
    tiny = np.finfo(dtype).tiny
    matrix = np.ascontiguousarray(transform_matrix(settings, sampling_rate_hz).T, dtype=dtype)
    if settings.detrend != "none":
        # An offset that each frame's trend removal takes away anyway would cost float32 its last digits.
        samples = samples - samples.mean(axis=-1, keepdims=True)
    frames = np.lib.stride_tricks.sliding_window_view(samples, settings.nperseg, axis=-1)
    frames = frames[:, :: settings.nperseg - settings.noverlap].transpose(0, 2, 1)
    beyond = np.empty(len(samples), bool)
    for first in range(0, len(samples), _BLOCK):
        parts = matrix @ np.ascontiguousarray(frames[first : first + _BLOCK])
        np.square(parts, out=parts)
        power = np.add(parts[:, :n_frequencies], parts[:, n_frequencies:], out=powers[first : first + _BLOCK])
        floor = settings.log_floor * power.max(axis=(1, 2), keepdims=True)
        beyond[first : first + _BLOCK] = ~((floor >= tiny) & np.isfinite(floor))[:, 0, 0]
        if settings.log:
            np.maximum(power, np.maximum(floor, tiny), out=power)
            np.log10(power, out=power)
    return beyond


def unusable(powers: np.ndarray) -> list[str]:
    """Why a model can't use each spectrogram of [record, frequency, time]; "" where it can.

    What is smaller than the smallest normal number of float32 counts as 0, as it does in TensorFlow.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        high, low = powers.max(axis=(1, 2)), powers.min(axis=(1, 2))
        varies = high - low >= np.finfo(np.float32).tiny
    finite = np.isfinite(high) & np.isfinite(low)
    return [("" if v else CONSTANT) if f else TOO_STRONG for f, v in zip(finite, varies, strict=True)]


def standardise(spectrogram: np.ndarray) -> np.ndarray:
    """Each record of [record, frequency, time] minus its mean, over its standard deviation (0 where that is 0)."""
    peak = np.abs(spectrogram).max(axis=(-2, -1), keepdims=True)
    extreme = (peak > 0) & ((peak < SQUARES[0]) | (peak > SQUARES[1]))
    if extreme.any():
        spectrogram = spectrogram / np.where(extreme, peak, np.float32(1))
    centred = spectrogram - spectrogram.mean(axis=(-2, -1), keepdims=True)
    spread = centred.std(axis=(-2, -1), keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def power_spectrum(waveforms: np.ndarray, sampling_rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Amplitude spectra of whole windows: frequencies in Hz [frequency], |X| in units/Hz [record, frequency]."""
    taper = signal.get_window(("tukey", 0.1), waveforms.shape[-1])
    amplitude = np.abs(np.fft.rfft(signal.detrend(waveforms, axis=-1) * taper, axis=-1)) / sampling_rate_hz
    return np.fft.rfftfreq(waveforms.shape[-1], 1 / sampling_rate_hz), amplitude
