"""The signals of simulated lab records: labquake, active-source pulse, background noise, and the geometry they share.

Sensors sit on two faces of a block. A labquake (AE) starts on the plane between them: P and S spikes, each followed by
an exponentially decaying coda, through an omega-square source, one attenuation pole of the path and the recorder's
low-pass. An active-source shot (UP) is one pulse below 1 MHz at the top face and its reflections from the other faces
(image sources). Noise is white, red, a band of 2 to 5 MHz and a few lines, the same kind behind every class.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft, signal

from seis_tf.settings.simulation import LabquakeSettings


def source_position(random: np.random.Generator, class_index: int, settings: LabquakeSettings) -> np.ndarray:
    """[x, y, z] in m: a labquake on the middle plane, a shot on the top face; noise has one that nothing comes from."""
    x, y, z = settings.block_m
    if class_index == 1:
        return np.array([random.uniform(0, x), random.uniform(0.3 * y, 0.7 * y), z])
    return np.array([random.uniform(0, x), y / 2, random.uniform(0.2 * z, 0.8 * z)])


def path_lengths(source_m: np.ndarray, sensors: np.ndarray, settings: LabquakeSettings) -> np.ndarray:
    """m [sensor, path]: the straight path, then those reflected once from each side and the bottom.

    Sensors are in two rows on the faces y = 0 and y = width. A path "reflected" from the sensor's own face is the
    straight one again, of the same length: it is no arrival of its own.
    """
    x, y, z = settings.block_m
    columns = math.ceil(settings.n_sensors / 2)
    sensor_m = np.stack(
        [(sensors // 2 + 0.5) * x / columns, (sensors % 2) * y, z * (0.4 + 0.2 * (sensors // 2 % 2))], axis=1
    )
    sources = [source_m]
    for axis, face in ((0, 0.0), (0, x), (1, 0.0), (1, y), (2, 0.0)):
        image = source_m.copy()
        image[axis] = 2 * face - image[axis]
        sources.append(image)
    return np.linalg.norm(sensor_m[:, None, :] - np.stack(sources), axis=2)


def _filtered(excitation: np.ndarray, response: np.ndarray, n_fft: int) -> np.ndarray:
    """Excitation [record, sample] through a causal frequency response; padded, so that nothing wraps around."""
    n_samples = excitation.shape[1]
    return fft.irfft(fft.rfft(excitation, n_fft) * response, n_fft)[:, :n_samples]


def _frequencies(settings: LabquakeSettings) -> tuple[np.ndarray, int]:
    n_fft = fft.next_fast_len(2 * settings.length_samples, real=True)
    return fft.rfftfreq(n_fft, 1 / settings.sampling_rate_hz), n_fft


def _low_pass(frequency_hz: np.ndarray, corner_hz: float) -> np.ndarray:
    """Response of an analogue Butterworth filter of order 4: causal, so that nothing arrives before the onset."""
    return signal.freqs(*signal.butter(4, corner_hz, analog=True), worN=frequency_hz)[1]


def labquake_records(
    random: np.random.Generator,
    p_sample: np.ndarray,
    s_sample: np.ndarray,
    distance_m: np.ndarray,
    corner_hz: float,
    settings: LabquakeSettings,
) -> np.ndarray:
    """Noise-free velocity of a labquake, [record, sample], any unit: spikes and codas through source and path."""
    n_records, n_samples = len(p_sample), settings.length_samples
    frequency_hz, n_fft = _frequencies(settings)
    decay_samples = random.uniform(*settings.coda_s) * settings.sampling_rate_hz
    polarity = random.choice([-1.0, 1.0], (2, n_records))
    p_strength, s_strength = random.uniform(0.5, 1.5, n_records), random.uniform(1.5, 4.0, n_records)

    rows = np.arange(n_records)
    coda = random.standard_normal((n_records, n_samples))
    excitation = np.zeros((n_records, n_samples))
    for onset, strength in ((p_sample, p_strength), (s_sample, s_strength)):
        after = np.arange(n_samples) - onset[:, None]
        excitation += 0.25 * strength[:, None] * np.where(after >= 0, np.exp(-np.maximum(after, 0) / decay_samples), 0)
    excitation *= coda
    excitation[rows, p_sample] += polarity[0] * p_strength
    excitation[rows, s_sample] += polarity[1] * s_strength

    relative = 1j * frequency_hz / corner_hz
    # Omega-square displacement (Brune 1970), differentiated once.
    source = relative / (1 + relative) ** 2
    # One pole instead of exp(-pi f t / Q), which is not causal by itself.
    path_hz = settings.quality * settings.p_velocity_m_s / (math.pi * distance_m[:, None])
    path = 1 / (1 + 1j * frequency_hz / path_hz)
    return _filtered(excitation, source * path * _low_pass(frequency_hz, settings.max_hz), n_fft)


def pulse_records(
    random: np.random.Generator, p_sample: np.ndarray, paths_m: np.ndarray, settings: LabquakeSettings
) -> np.ndarray:
    """Noise-free record of an active-source shot, [record, sample], any unit: the same pulse on every path."""
    frequency_hz, n_fft = _frequencies(settings)
    excitation = np.zeros((len(p_sample), settings.length_samples))
    delay_s = (paths_m - paths_m[:, :1]) / settings.p_velocity_m_s
    arrival = np.rint(p_sample[:, None] + delay_s * settings.sampling_rate_hz).astype(int)
    strength = settings.reflection * paths_m[:, :1] / paths_m
    strength[:, 0] = 1.0
    own_face = (delay_s < 1e-9) & (np.arange(paths_m.shape[1]) > 0)
    rows, paths = np.nonzero((arrival < settings.length_samples) & ~own_face)
    np.add.at(excitation, (rows, arrival[rows, paths]), strength[rows, paths])
    pulse_hz = settings.pulse_hz * 10 ** random.normal(0, 0.01)
    relative = 1j * frequency_hz / pulse_hz
    resonance = relative / (1 + relative / 1.5 + relative**2)
    return _filtered(excitation, resonance * _low_pass(frequency_hz, 2 * settings.pulse_hz), n_fft)


def noise_records(random: np.random.Generator, n_records: int, settings: LabquakeSettings) -> np.ndarray:
    """Stationary coloured noise [record, sample] of root mean square 1: white, red, band and lines."""
    frequency_hz, n_fft = _frequencies(settings)
    low_hz, high_hz = settings.noise_band_hz
    # Shares of the power: the event changes them by a few dB.
    white, red, band, lines = np.array([0.1, 0.35, 0.4, 0.15]) * 10 ** random.normal(0, 0.15, 4)
    lorentz = 1 / (1 + (frequency_hz / 200e3) ** 2)
    plateau = 1 / (1 + (low_hz / np.maximum(frequency_hz, 1.0)) ** 8) / (1 + (frequency_hz / high_hz) ** 16)
    power = white / frequency_hz.size + red * lorentz / lorentz.sum() + band * plateau / plateau.sum()
    spectrum = random.standard_normal((2, n_records, frequency_hz.size))
    noise = fft.irfft((spectrum[0] + 1j * spectrum[1]) * np.sqrt(power), n_fft)[:, : settings.length_samples]
    noise *= math.sqrt((white + red + band) / np.mean(noise**2))

    time_s = np.arange(settings.length_samples) / settings.sampling_rate_hz
    line_hz = np.array(settings.noise_lines_hz) * 10 ** random.normal(0, 0.002, len(settings.noise_lines_hz))
    phase = random.uniform(0, 2 * math.pi, (n_records, len(line_hz), 1))
    if len(line_hz):
        waves = np.cos(2 * math.pi * line_hz[:, None] * time_s + phase)
        noise += math.sqrt(2 * lines / len(line_hz)) * waves.sum(axis=1)
    return noise / np.sqrt(np.mean(noise**2, axis=1, keepdims=True))
