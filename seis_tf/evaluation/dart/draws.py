"""Draws of slip -> magnitude, peaks and waves, each with mean, spread, and what errors may grow with.

Draws are the members of a deep ensemble or the passes of MC dropout; a single network is one draw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seis_tf.dart.unit_sources import GreensFunctions, magnitude
from seis_tf.evaluation.stats.intervals import Predicted, bin_of

if TYPE_CHECKING:
    from seis_tf.evaluation.dart.windows import Windows

WAVE_STEP_MIN = 5  # the wave is smooth: every fifth minute says all
SMOOTHING_MIN = 10  # to either side, of the wave's local height
NO_SIGNAL_BELOW = 0.1  # of the greatest local height: before the wave and long after it
_BLOCK = 128  # events whose waves are made together


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of one quantity.

    Attributes:
        samples: [draw, event, .., channel].
        centre: the answer [event, .., channel]; the draws' mean, but of a peak the crest of the mean wave.
        size: what errors may grow with, [event, .., channel].
        no_signal: of waves, where next to none is forecast, bool [event, minute, gauge].
    """

    samples: np.ndarray
    centre: np.ndarray
    size: np.ndarray
    no_signal: np.ndarray | None = None

    @property
    def predicted(self) -> Predicted:
        """Answer, and spread over the draws."""
        return Predicted(self.centre, self.samples.std(axis=0, dtype=float), self.size)


def draws_of(slip_m: np.ndarray, greens: GreensFunctions, window_min: int, *, whole: bool = False) -> dict[str, Draws]:
    """What draws of slip say of magnitude, slip, peaks and waves.

    Args:
        slip_m: [draw, event, source].
        greens: functions of the gauges.
        window_min: end of what was seen: peaks are of what comes after it.
        whole: the wave's minutes 0, 1, 2, ...; by default every fifth one after the window.

    Returns:
        `mw` [draw, event, 1], `weights_m` [draw, event, source], `peak_m` [draw, event, gauge], `forecast_m` [draw,
        event, minute, gauge]. Mw is as `member_magnitudes` has it.
    """
    mw = member_magnitudes(slip_m, greens.area_m2)[..., np.newaxis]
    minutes = slice(None) if whole else slice(window_min + 1, None, WAVE_STEP_MIN)
    parts = []
    for start in range(0, slip_m.shape[1], _BLOCK):
        waves = greens.waves(slip_m[:, start : start + _BLOCK].astype(np.float32))
        mean = waves.mean(axis=0, dtype=float)
        height = local_height(mean)
        no_signal = height < NO_SIGNAL_BELOW * height[:, window_min + 1 :].max(axis=1, keepdims=True)
        peaks = [wave[..., window_min + 1 :, :].max(axis=-2) for wave in (waves, mean)]
        parts.append((*peaks, waves[:, :, minutes], *(v[:, minutes] for v in (mean, height, no_signal))))
    drawn, one = ((0, 2), (1, 3, 4, 5))  # in the drawn ones events are the second axis
    peaks, waves = (np.concatenate([part[i] for part in parts], axis=1) for i in drawn)
    peak, mean, height, no_signal = (np.concatenate([part[i] for part in parts]) for i in one)
    slip = slip_m.mean(axis=0, dtype=float)
    return {
        "mw": Draws(mw, mw.mean(axis=0), np.zeros_like(mw[0])),
        "weights_m": Draws(slip_m, slip, slip),
        "peak_m": Draws(peaks, peak, peak),
        "forecast_m": Draws(waves, mean, height, no_signal),
    }


def member_magnitudes(slip_m: np.ndarray, area_m2: np.ndarray) -> np.ndarray:
    """Magnitudes of draws of slip [draw, event, source] -> [draw, event].

    No slip has no magnitude: a draw without slip takes the mean of the others, so that it changes neither the mean nor
    brings 0 into it. Where no draw has slip all are 0.
    """
    mw = np.maximum(magnitude(slip_m, area_m2), 0)
    has_slip = mw > 0
    return np.where(has_slip, mw, mw.sum(axis=0) / np.maximum(has_slip.sum(axis=0), 1))


def local_height(wave_m: np.ndarray) -> np.ndarray:
    """Root mean square of a wave in the minutes around each minute, fewer at its ends: [event, minute, gauge]."""
    n = wave_m.shape[1]
    sums = np.cumsum(np.pad(np.square(wave_m, dtype=float), [(0, 0), (1, 0), (0, 0)]), axis=1)
    last = np.minimum(np.arange(n) + SMOOTHING_MIN + 1, n)
    first = np.maximum(np.arange(n) - SMOOTHING_MIN, 0)
    return np.sqrt(np.maximum(sums[:, last] - sums[:, first], 0) / (last - first)[:, np.newaxis])


def truth_of(windows: Windows, greens: GreensFunctions) -> dict[str, np.ndarray]:
    """The same of the true slip and the true waves, without the first axis.

    Waves are left out where they end before the Green's functions do.
    """
    mw = magnitude(windows.weights_m, greens.area_m2)[..., np.newaxis]
    found = {"mw": mw, "weights_m": windows.weights_m}
    if windows.true.waves_m.shape[1] >= len(greens.time_min):
        after = windows.true.after()
        found |= {"peak_m": after.max(axis=1), "forecast_m": after[:, ::WAVE_STEP_MIN]}
    return found


def bins_of(name: str, draws: Mapping[str, Draws], edges: np.ndarray, split_by_signal: bool) -> np.ndarray:
    """Bins of the predicted magnitude, int, of a shape that broadcasts to [event, .., channel].

    Args:
        name: of the quantity.
        draws: of the same events.
        edges: inner edges of the magnitude's bins.
        split_by_signal: whether each of them is two, the first for minutes without a signal.
    """
    drawn = draws[name]
    bins = bin_of(draws["mw"].centre[:, 0], edges).reshape(-1, *(1,) * (drawn.size.ndim - 1))
    return 2 * bins + ~drawn.no_signal if split_by_signal and drawn.no_signal is not None else bins
