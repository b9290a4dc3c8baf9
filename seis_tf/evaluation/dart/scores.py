"""Scores of slip, waves, peaks, arrivals, magnitudes and alarms: arrays in, numbers out.

Numbers that can't be had (a slope of equal values, a magnitude without slip) are None, so that the result is JSON.
Waves are metres of water column [event, minute, gauge]; peaks are the highest crests of what comes after the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seis_tf.dart.inversion import arrival_minute, peak_amplitude
from seis_tf.evaluation.stats.scores import group_draws, interval, summary

THRESHOLD_M = 0.1
# Of a wave lower than this nobody asks when it comes.
ARRIVAL_FLOOR_M = 0.01


@dataclass(frozen=True, eq=False)
class TrueWaves:
    """What the forecasts of some events are held against.

    Attributes:
        waves_m: [event, minute, gauge], minutes 0, 1, 2, ...
        window_min: end of what was seen; later minutes are judged.
        gauge_names: order of the last axis.
        far: those of them that lie ahead: no record of theirs was seen.
    """

    waves_m: np.ndarray
    window_min: int
    gauge_names: Sequence[str]
    far: Sequence[str]

    def __post_init__(self) -> None:
        n_minutes = self.waves_m.shape[1]
        if n_minutes <= self.window_min + 1:
            raise ValueError(f"waves: expected minutes after the window's {self.window_min}, received {n_minutes}")

    @property
    def far_columns(self) -> list[int]:
        """Places of the far gauges."""
        return [list(self.gauge_names).index(name) for name in self.far]

    def after(self, waves_m: np.ndarray | None = None) -> np.ndarray:
        """The part of these waves (or of a forecast of them) after the window."""
        waves = self.waves_m if waves_m is None else waves_m[:, : self.waves_m.shape[1]]
        return waves[:, self.window_min + 1 :]


@dataclass(frozen=True, eq=False)
class WaveErrors:
    """Squared error and energy of each event's wave after the window, [event, gauge], m^2 times minutes."""

    error: np.ndarray
    energy: np.ndarray

    @classmethod
    def of(cls, true: TrueWaves, forecast_m: np.ndarray) -> WaveErrors:
        """Errors of a forecast [event, minute, gauge] that is at least as long as the truth."""
        # One memory order for both sums, so that no wave at all scores exactly 0.
        after = true.after().astype(np.float64, order="C")
        error = np.subtract(after, true.after(forecast_m), order="C")
        return cls(np.sum(error**2, axis=1), np.sum(after**2, axis=1))

    def explained(self, columns: Sequence[int]) -> float | None:
        """1 - (sum of squared errors) / (sum of squares), pooled over events and these gauges."""
        energy = self.energy[:, columns].sum()
        return float(1 - self.error[:, columns].sum() / energy) if energy > 0 else None

    def resampled(self, columns: Sequence[int], draws: int, seed: int = 0) -> np.ndarray:
        """The same of `draws` samples of whole events with replacement; the same seed draws the same events."""
        counts = group_draws(len(self.error), draws, seed)
        error, energy = (counts @ values[:, columns].sum(axis=1) for values in (self.error, self.energy))
        return 1 - np.divide(error, energy, out=np.full(draws, np.nan), where=energy > 0)


def weight_scores(
    true_m: np.ndarray, predicted_m: np.ndarray, constant_m: np.ndarray | None
) -> dict[str, float | None]:
    """Mean squared slip error, and its ratio to that of a constant answer.

    Args:
        true_m, predicted_m: [event, source].
        constant_m: [source], the mean of the training weights; None where it is not known.
    """
    mse = float(np.mean((true_m - predicted_m) ** 2, dtype=np.float64))
    constant = None if constant_m is None else float(np.mean((true_m - constant_m) ** 2, dtype=np.float64))
    return {"mse_m2": mse, "mse_ratio": mse / constant if constant else None}


def forecast_scores(true: TrueWaves, forecast_m: np.ndarray, threshold_m: float = THRESHOLD_M) -> dict:
    """Everything that is told of forecasts.

    Args:
        true: the waves to come.
        forecast_m: [event, minute, gauge], at least as long.
        threshold_m: of an alarm.

    Returns:
        `explained` by gauge and pooled over the far ones ("far"); of the far gauges' waves pooled, `peaks`, `arrival`
        and `alarms`.
    """
    errors, far = WaveErrors.of(true, forecast_m), true.far_columns
    explained = {"far": errors.explained(far)}
    explained |= {name: errors.explained([column]) for column, name in enumerate(true.gauge_names)}
    true_peaks, peaks = (peak_amplitude(true.after(waves)[:, :, far]) for waves in (None, forecast_m))
    return {
        "explained": explained,
        "peaks": peak_scores(true_peaks, peaks),
        "arrival": arrival_scores(true, forecast_m),
        "alarms": alarm_scores(true_peaks, peaks, threshold_m),
    }


def peak_scores(true_m: np.ndarray, predicted_m: np.ndarray) -> dict[str, float | int | None]:
    """How predicted peaks lie to true ones; a scatter alone hides that large waves are under-predicted.

    Args:
        true_m, predicted_m: [..] metres.

    Returns:
        `count`; `bias_m` and `std_m` of predicted - true; slopes of the least-squares lines (with intercept) of true on
        predicted (above 1: large waves are under-predicted) and of predicted on true; `r2`, the squared correlation,
        which is the product of both slopes.
    """
    true, predicted = (np.asarray(values, dtype=np.float64).ravel() for values in (true_m, predicted_m))
    error = predicted - true
    spread = np.cov(true, predicted, bias=True)
    r2 = None
    if spread[0, 0] > 0 and spread[1, 1] > 0:
        r2 = float(spread[0, 1] ** 2 / (spread[0, 0] * spread[1, 1]))
    return {
        "count": int(true.size),
        "bias_m": float(error.mean()),
        "std_m": float(error.std()),
        "true_on_predicted": float(spread[0, 1] / spread[1, 1]) if spread[1, 1] > 0 else None,
        "predicted_on_true": float(spread[0, 1] / spread[0, 0]) if spread[0, 0] > 0 else None,
        "r2": r2,
    }


def peak_gains(true_m: np.ndarray, predicted_m: np.ndarray) -> np.ndarray:
    """What forecast peaks are to be multiplied with at each gauge: least squares through the origin.

    A forecast of the likeliest wave has lower peaks than the waves that come, and so have Green's functions whose
    errors smooth interfering waves. Correcting a forecast by regression on earlier cases is what weather services do
    (model output statistics, Glahn and Lowry 1972).

    Args:
        true_m, predicted_m: [event, gauge] of events that are not judged.

    Returns:
        float64 [gauge]; 1 where nothing was predicted at all.
    """
    true, predicted = (np.asarray(values, np.float64) for values in (true_m, predicted_m))
    energy = np.square(predicted).sum(axis=0)
    return np.divide((true * predicted).sum(axis=0), energy, out=np.ones_like(energy), where=energy > 0)


def arrival_scores(true: TrueWaves, forecast_m: np.ndarray) -> dict[str, float | int | None]:
    """Arrival times at the far gauges, of waves that had not come by the window's end and are 1 cm high or more.

    Args:
        true: the waves.
        forecast_m: [event, minute, gauge].

    Returns:
        `count`; `missed`, how many of these have no forecast wave at all; of the others mean, standard deviation and
        mean absolute value of predicted - true, minutes.
    """
    far = true.far_columns
    waves = true.waves_m[:, :, far]
    arrival = arrival_minute(waves)
    expected = (arrival > true.window_min) & (np.abs(waves).max(axis=1) >= ARRIVAL_FLOOR_M)
    error = arrival_minute(forecast_m[:, : waves.shape[1], far])[expected] - arrival[expected]
    known = error[np.isfinite(error)]
    found = {"count": int(expected.sum()), "missed": int(len(error) - len(known))}
    return found | _error_summary(known, "min")


def magnitude_scores(true: np.ndarray, predicted: np.ndarray) -> dict[str, float | int | None]:
    """Error of the moment magnitude: mean, standard deviation, mean absolute value.

    Args:
        true: [event].
        predicted: [event]; 0 or less, or minus infinity, is an answer without slip, counted in `without_slip` alone.
    """
    has_slip = np.isfinite(predicted) & (predicted > 0)
    error = (predicted - true)[has_slip]
    return {"count": int(len(true)), "without_slip": int(np.sum(~has_slip))} | _error_summary(error, "mw")


def alarm_scores(
    true_peaks_m: np.ndarray, predicted_peaks_m: np.ndarray, threshold_m: float = THRESHOLD_M
) -> dict[str, float | int | None]:
    """Alarms for peaks of at least a threshold.

    Args:
        true_peaks_m, predicted_peaks_m: [event, gauge] metres.
        threshold_m: of an alarm.

    Returns:
        Counts `right`, `missed`, `false`, `calm`; `missed_rate` of the waves that came, `false_rate` of those that
        didn't, `false_share` of the alarms given.
    """
    came, warned = true_peaks_m >= threshold_m, predicted_peaks_m >= threshold_m
    cases = (came & warned, came & ~warned, ~came & warned, ~came & ~warned)
    right, missed, false, calm = (int(np.sum(case)) for case in cases)
    return {
        "threshold_m": threshold_m,
        "right": right,
        "missed": missed,
        "false": false,
        "calm": calm,
        "missed_rate": missed / (right + missed) if right + missed else None,
        "false_rate": false / (false + calm) if false + calm else None,
        "false_share": false / (right + false) if right + false else None,
    }


def beside(errors: Mapping[str, WaveErrors], columns: Sequence[int], first: str, draws: int) -> dict[str, dict]:
    """Intervals of the explained variance of several answers, and of by how much the first is better.

    Args:
        errors: name of an answer to its errors for the same events.
        columns: gauges that are pooled.
        first: the answer that the others are compared with.
        draws: samples of events, the same for all answers.

    Returns:
        Name to `interval`, and for all but the first `first_minus_this` and its interval.
    """
    value = errors[first].explained(columns)
    if value is None:  # no waves at all: nothing to compare
        return {name: {} for name in errors}
    sampled = {name: each.resampled(columns, draws) for name, each in errors.items()}
    found: dict[str, dict] = {name: {"interval": interval(values)} for name, values in sampled.items()}
    for name in errors.keys() - {first}:
        found[name]["first_minus_this"] = value - errors[name].explained(columns)
        found[name]["first_minus_this_interval"] = interval(sampled[first] - sampled[name])
    return found


def over_seeds(values: Sequence[float | None]) -> dict[str, float] | None:
    """Mean and standard deviation of a score over the members of an ensemble."""
    known = [value for value in values if value is not None]
    return summary(known) if known else None


def _error_summary(error: np.ndarray, unit: str) -> dict[str, float | None]:
    if not error.size:
        return {f"mean_{unit}": None, f"std_{unit}": None, f"mae_{unit}": None}
    return {
        f"mean_{unit}": float(error.mean()),
        f"std_{unit}": float(error.std()),
        f"mae_{unit}": float(np.abs(error).mean()),
    }
