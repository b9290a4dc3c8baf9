"""Simulated tsunamigenic earthquakes ("fakequakes") with known slip, and what buoys record of them.

Records are made with Green's functions that differ from those an inversion has: each source and buoy has its own
stretch of time and its own amplitude, drawn anew for each event, and slip may be finer than a unit source. Inverting
with the very functions that made the data would look better than any real case (the "inverse crime").

Every event has random generators of its own, seeded by (seed, index, purpose): event 17 is the same event whether 20 or
20,000 are simulated, and switching on a gap or a noise changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import interpolate, signal

from seis_tf.dart.unit_sources import GreensFunctions, distance_km, grid_position
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic.slip import random_slip

SUBSAMPLES = 4  # Green's functions are kept every 15 s, so that linear interpolation between them is exact enough
SEISMIC_SPEED_KM_S = 3.5  # of the surface waves that shake a bottom pressure sensor
# Hours; what is left after a day's mean, diurnal and semidiurnal terms were fitted and taken out wanders like these.
_RESIDUAL_PERIODS_H = (24.84, 12.42, 6.21)
_STREAMS = ("slip", "functions", "noise", "tide", "shaking", "gaps", "raw")


@dataclass(frozen=True, eq=False)
class Fakequakes:
    """Simulated events; axis 0 of every array is the event.

    Attributes:
        ids: one a event, made of seed and index.
        source_names, buoy_names, gauge_names: order of the axes.
        weights_m: float64 [event, source], slip on the unit sources, metres.
        mw: float64 [event].
        windows_m: float32 [event, minute, buoy], observed water column at minutes 1, 2, ...; NaN where missing.
        truth_m: float32 [event, minute, gauge], the same without noise at all gauges, minutes 0, 1, 2, ...
        settings: what they were made with.
        seed: likewise.
    """

    ids: tuple[str, ...]
    source_names: tuple[str, ...]
    buoy_names: tuple[str, ...]
    gauge_names: tuple[str, ...]
    weights_m: np.ndarray
    mw: np.ndarray
    windows_m: np.ndarray
    truth_m: np.ndarray
    settings: FakequakeSettings
    seed: int


def simulate(
    settings: FakequakeSettings,
    greens: GreensFunctions,
    count: int,
    seed: int,
    *,
    first: int = 0,
    subfaults: np.ndarray | None = None,
    progress: Callable[[int], None] | None = None,
) -> Fakequakes:
    """Simulates events `first`, `first + 1`, ... of a seed.

    Args:
        settings: slip, errors, noise, gaps.
        greens: functions of the unit sources at all gauges; the buoys must be among them.
        count: number of events.
        seed: of all events.
        first: index of the first event.
        subfaults: float32 [source, 4, gauge, minute], functions of 1 m of slip on the 2 x 2 parts of each unit source,
            in the order (shallow, deep) x (towards the lower number, towards the higher one), as `tools/greens` makes
            them. Slip is then drawn on the parts, and its mean over the four is the truth. The four share the
            perturbation of their source.
        progress: called with the number of events done.

    Returns:
        The events.

    Raises:
        ValueError: a buoy is unknown, the record is longer than the functions, subfaults have another shape, or the
            seismic wave is asked for where positions are unknown.
    """
    observed = _check(settings, greens, subfaults)
    functions = greens.eta_m[:, np.newaxis] if subfaults is None else subfaults
    curves = _upsample(functions)
    grid = grid_position(greens.source_names)
    parts = _part_offsets(functions.shape[1])
    minutes, n_gauges = len(greens.time_min), len(greens.gauge_names)
    weights = np.empty((count, len(grid)))
    mw = np.empty(count)
    truth = np.empty((count, minutes, n_gauges), np.float32)
    windows = np.empty((count, settings.record_min, len(observed)), np.float32)
    for i in range(count):
        streams = generators(seed, first + i)
        mw[i] = streams["slip"].uniform(settings.slip.mw_min, settings.slip.mw_max)
        position = (grid[:, np.newaxis] + parts).reshape(-1, 2)
        slip = random_slip(position, np.repeat(grid, len(parts), axis=0), mw[i], streams["slip"], settings)
        slip = slip.reshape(len(grid), -1)
        weights[i] = slip.mean(axis=1)
        truth[i] = _waves(curves, slip, streams["functions"], settings)
        windows[i] = truth[i, 1 : settings.record_min + 1, observed].T
        windows[i] += disturbances(settings, greens, weights[i], np.arange(1, settings.record_min + 1), streams)
        windows[i][missing(settings, settings.record_min, len(observed), streams["gaps"])] = np.nan
        if progress is not None:
            progress(i + 1)
    ids = tuple(f"fq{seed}-{first + i:06d}" for i in range(count))
    names = (greens.source_names, settings.buoys, greens.gauge_names)
    return Fakequakes(ids, *names, weights, mw, windows, truth, settings, seed)


def generators(seed: int, index: int) -> dict[str, np.random.Generator]:
    """Independent random generators of one event, one for each purpose."""
    return {name: np.random.default_rng([seed, index, stream]) for stream, name in enumerate(_STREAMS)}


def _check(settings: FakequakeSettings, greens: GreensFunctions, subfaults: np.ndarray | None) -> list[int]:
    few = greens.select(gauges=settings.buoys)
    if settings.record_min > greens.time_min[-1]:
        raise ValueError(f"record_min: expected at most {greens.time_min[-1]} minutes, received {settings.record_min}")
    n_sources, n_gauges, n_minutes = greens.eta_m.shape
    if subfaults is not None and subfaults.shape != (n_sources, 4, n_gauges, n_minutes):
        expected = (n_sources, 4, n_gauges, n_minutes)
        raise ValueError(f"subfaults: expected [source, part, gauge, minute] {expected}, received {subfaults.shape}")
    places = np.concatenate([few.gauge_lonlat.ravel(), greens.source_table[:, :2].ravel()])
    if settings.seismic_wave_m and not np.isfinite(places).all():
        raise ValueError("seismic_wave_m: expected positions of all buoys and sources, received functions without them")
    return [greens.gauge_names.index(name) for name in settings.buoys]


def _part_offsets(count: int) -> np.ndarray:
    """Centres of a unit source's parts from its own centre, [part, 2] along strike and down dip, in unit sources."""
    if count == 1:
        return np.zeros((1, 2))
    return np.array([[along, down] for down in (-0.25, 0.25) for along in (-0.25, 0.25)])


def _upsample(functions: np.ndarray) -> np.ndarray:
    """[.., minute] -> float32 [.., sample] every 15 s, by cubic spline."""
    minutes = np.arange(functions.shape[-1])
    fine = np.arange((len(minutes) - 1) * SUBSAMPLES + 1) / SUBSAMPLES
    return interpolate.CubicSpline(minutes, functions, axis=-1)(fine).astype(np.float32)


def _waves(curves: np.ndarray, slip_m: np.ndarray, rng: np.random.Generator, settings: FakequakeSettings) -> np.ndarray:
    """Waves with each source's and buoy's own error of arrival and amplitude.

    A function f(t) becomes a f(t (1 + e)): all arrivals come earlier by the part e of their travel time. After the end
    of the stretched function its last value is held.

    Args:
        curves: float32 [source, part, gauge, sample] every 15 s.
        slip_m: [source, part].
        rng: the event's generator; it draws for all sources, broken or not.
        settings: errors.

    Returns:
        float32 [minute, gauge].
    """
    n_sources, n_parts, n_gauges, n_samples = curves.shape
    errors = rng.standard_normal((2, n_sources, 1, n_gauges))
    stretch, amplitude = 1 + settings.arrival_error * errors[0], np.exp(settings.amplitude_error * errors[1])
    broken = np.flatnonzero(slip_m.sum(axis=1))
    minutes = np.arange((n_samples - 1) // SUBSAMPLES + 1)
    sample = (stretch[broken, :, :, np.newaxis] * (SUBSAMPLES * minutes)).clip(0, n_samples - 1)
    left = np.minimum(sample.astype(np.int64), n_samples - 2)
    part = (sample - left).astype(np.float32)
    chosen = curves[broken]
    start = np.arange(chosen[..., 0].size).reshape(chosen.shape[:-1])[..., np.newaxis] * n_samples
    flat, at = chosen.reshape(-1), start + left
    values = flat[at] * (1 - part) + flat[at + 1] * part
    scale = (slip_m[broken, :, np.newaxis] * amplitude[broken]).astype(np.float32)
    return np.einsum("spg,spgt->tg", scale, values)


def disturbances(
    settings: FakequakeSettings,
    greens: GreensFunctions,
    weights_m: np.ndarray,
    minutes: np.ndarray,
    streams: dict[str, np.random.Generator],
) -> np.ndarray:
    """What a buoy's detided record holds beside the tsunami: instrument noise, tide residual, seismic wave.

    Args:
        settings: their sizes.
        greens: positions of sources and buoys.
        weights_m: [source], where the seismic wave comes from.
        minutes: [sample], equally spaced.
        streams: the event's generators.

    Returns:
        float64 [sample, buoy], metres.
    """
    n_buoys, step = len(settings.buoys), minutes[1] - minutes[0] if len(minutes) > 1 else 1
    white = streams["noise"].standard_normal((len(minutes), n_buoys))
    kicks = streams["noise"].standard_normal((len(minutes), n_buoys))
    memory = np.exp(-step / settings.noise_red_min)
    # The first kick has the stationary spread, later ones what keeps it.
    kicks[1:] *= np.sqrt(1 - memory**2)
    red = signal.lfilter([1], [1, -memory], kicks, axis=0)
    result = settings.noise_white_m * white + settings.noise_red_m * red
    if settings.tide_residual_m:
        size = streams["tide"].standard_normal((len(_RESIDUAL_PERIODS_H), 1, n_buoys))
        phase = streams["tide"].uniform(0, 2 * np.pi, size.shape)
        angle = 2 * np.pi * minutes[np.newaxis, :, np.newaxis] / (60 * np.reshape(_RESIDUAL_PERIODS_H, (-1, 1, 1)))
        # Each term has variance 1/2, whatever its phase.
        scale = settings.tide_residual_m * np.sqrt(2 / len(_RESIDUAL_PERIODS_H))
        result += scale * np.sum(size * np.sin(angle + phase), axis=0)
    if settings.seismic_wave_m:
        result += _seismic_wave(settings, greens, weights_m, minutes, streams["shaking"])
    return result


def seismic_arrival_min(greens: GreensFunctions, weights_m: np.ndarray, buoys: tuple[str, ...]) -> np.ndarray:
    """Minutes after which surface waves from the centre of the slip reach the buoys, float64 [buoy]."""
    centre = np.average(greens.source_table[:, :2], axis=0, weights=weights_m)
    return distance_km(centre, greens.select(gauges=buoys).gauge_lonlat) / (SEISMIC_SPEED_KM_S * 60)


def _seismic_wave(settings, greens, weights_m, minutes, rng) -> np.ndarray:
    """A decaying oscillation with a period of 20 to 40 s, which samples every minute see as erratic values."""
    n_buoys = len(settings.buoys)
    after = minutes[:, np.newaxis] - seismic_arrival_min(greens, weights_m, settings.buoys)
    period, phase = rng.uniform(20 / 60, 40 / 60, n_buoys), rng.uniform(0, 2 * np.pi, n_buoys)
    size = settings.seismic_wave_m * np.exp(0.5 * rng.standard_normal(n_buoys))
    decay = np.exp(-np.maximum(after, 0) / settings.seismic_wave_decay_min)
    return np.where(after >= 0, size * decay * np.sin(2 * np.pi * after / period + phase), 0.0)


def missing(settings: FakequakeSettings, n_minutes: int, n_buoys: int, rng: np.random.Generator) -> np.ndarray:
    """Which samples at minutes 1, 2, ... don't exist, bool [minute, buoy]; never all of them."""
    minute = np.arange(1, n_minutes + 1)[:, np.newaxis]
    length = rng.integers(1, settings.gap_max_min + 1, n_buoys)
    start = rng.integers(1, n_minutes + 1, n_buoys)
    has_gap = rng.random(n_buoys) < settings.gap_probability
    result = has_gap & (minute >= start) & (minute < start + length)
    trigger, quarter = rng.uniform(0, settings.trigger_max_min, n_buoys), rng.integers(0, 15, n_buoys)
    if settings.mixed_sampling:
        result |= (minute < trigger) & (minute % 15 != quarter)
    silent = rng.random(n_buoys) < settings.silent_probability
    kept = rng.integers(n_buoys)
    if silent.all():
        silent[kept] = False
    if np.all(result | silent):
        # A short record whose only talking buoy lost it all in a gap: that buoy keeps its last sample.
        result[-1, np.flatnonzero(~silent)[0]] = False
    return result | silent
