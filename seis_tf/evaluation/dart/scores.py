"""Scores of slip, waves, peaks, arrivals, magnitudes and alarms: arrays in, typed numbers out.

Numbers that can't be had (a slope of equal values, a magnitude without slip) are None, so that the result is JSON.
Waves are metres of water column [event, minute, gauge]; peaks are the highest crests of what comes after the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seis_tf.dart.inversion import arrival_minute
from seis_tf.evaluation.dart.metrics import (
    AlarmScores,
    ArrivalScores,
    Compared,
    CorrectedPeaks,
    MagnitudeScores,
    PeakScores,
)
from seis_tf.evaluation.results import Spread
from seis_tf.evaluation.stats.scores import group_draws, interval, summary

THRESHOLD_M = 0.1
# Arrival times are judged of waves at least this high.
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
) -> tuple[float, float | None]:
    """Mean squared slip error, and its ratio to that of a constant answer (None where that is 0 or not known).

    Args:
        true_m: [event, source].
        predicted_m: likewise.
        constant_m: [source], the mean of the training weights; None where it is not known.
    """
    mse = float(np.mean((true_m - predicted_m) ** 2, dtype=np.float64))
    constant = None if constant_m is None else float(np.mean((true_m - constant_m) ** 2, dtype=np.float64))
    return mse, mse / constant if constant else None


def explained_by_gauge(true: TrueWaves, forecast_m: np.ndarray) -> dict[str, float | None]:
    """Explained variance pooled over the far gauges ("far"), and of each gauge.

    Args:
        true: the waves to come.
        forecast_m: [event, minute, gauge], at least as long.
    """
    errors = WaveErrors.of(true, forecast_m)
    by_gauge = {name: errors.explained([column]) for column, name in enumerate(true.gauge_names)}
    return {"far": errors.explained(true.far_columns)} | by_gauge


def peak_scores(true_m: np.ndarray, predicted_m: np.ndarray) -> PeakScores:
    """How predicted peaks lie to true ones; a scatter alone hides that large waves are under-predicted.

    Args:
        true_m: [..] metres.
        predicted_m: likewise.
    """
    true, predicted = (np.asarray(values, dtype=np.float64).ravel() for values in (true_m, predicted_m))
    error = predicted - true
    spread = np.cov(true, predicted, bias=True)
    r2 = None
    if spread[0, 0] > 0 and spread[1, 1] > 0:
        r2 = float(spread[0, 1] ** 2 / (spread[0, 0] * spread[1, 1]))
    return PeakScores(
        count=int(true.size),
        bias_m=float(error.mean()),
        std_m=float(error.std()),
        true_on_predicted=float(spread[0, 1] / spread[1, 1]) if spread[1, 1] > 0 else None,
        predicted_on_true=float(spread[0, 1] / spread[0, 0]) if spread[0, 0] > 0 else None,
        r2=r2,
    )


def corrected_peak_scores(true_m: np.ndarray, predicted_m: np.ndarray, gains: dict[str, float]) -> CorrectedPeaks:
    """The same of predicted peaks [event, gauge] multiplied with each gauge's gain."""
    scores = peak_scores(true_m, predicted_m * list(gains.values()))
    return CorrectedPeaks(gains=gains, **scores.model_dump())


def peak_gains(true_m: np.ndarray, predicted_m: np.ndarray) -> np.ndarray:
    """What forecast peaks are to be multiplied with at each gauge: least squares through the origin.

    A forecast of the likeliest wave has lower peaks than the waves that come, and so have Green's functions whose
    errors smooth interfering waves. Correcting a forecast by regression on earlier cases is what weather services do
    (model output statistics, Glahn and Lowry 1972).

    Args:
        true_m: [event, gauge] of events that are not judged.
        predicted_m: likewise.

    Returns:
        float64 [gauge]; 1 where nothing was predicted at all.
    """
    true, predicted = (np.asarray(values, np.float64) for values in (true_m, predicted_m))
    energy = np.square(predicted).sum(axis=0)
    return np.divide((true * predicted).sum(axis=0), energy, out=np.ones_like(energy), where=energy > 0)


def arrival_scores(true: TrueWaves, forecast_m: np.ndarray) -> ArrivalScores:
    """Arrival times at the far gauges, of waves that had not come by the window's end and are 1 cm high or more.

    Args:
        true: the waves.
        forecast_m: [event, minute, gauge].
    """
    far = true.far_columns
    waves = true.waves_m[:, :, far]
    arrival = arrival_minute(waves)
    expected = (arrival > true.window_min) & (np.abs(waves).max(axis=1) >= ARRIVAL_FLOOR_M)
    error = arrival_minute(forecast_m[:, : waves.shape[1], far])[expected] - arrival[expected]
    known = error[np.isfinite(error)]
    mean, std, mae = _error_summary(known)
    return ArrivalScores(
        count=int(expected.sum()), missed=len(error) - len(known), mean_min=mean, std_min=std, mae_min=mae
    )


def magnitude_scores(true: np.ndarray, predicted: np.ndarray) -> MagnitudeScores:
    """Error of the moment magnitude: mean, standard deviation, mean absolute value.

    Args:
        true: [event].
        predicted: [event]; 0 or less, or minus infinity, is an answer without slip, counted in `without_slip` alone.
    """
    has_slip = np.isfinite(predicted) & (predicted > 0)
    mean, std, mae = _error_summary((predicted - true)[has_slip])
    return MagnitudeScores(count=len(true), without_slip=int(np.sum(~has_slip)), mean_mw=mean, std_mw=std, mae_mw=mae)


def alarm_scores(
    true_peaks_m: np.ndarray, predicted_peaks_m: np.ndarray, threshold_m: float = THRESHOLD_M
) -> AlarmScores:
    """Alarms for peaks of at least a threshold.

    Args:
        true_peaks_m: [event, gauge] metres.
        predicted_peaks_m: likewise.
        threshold_m: of an alarm.
    """
    came, warned = true_peaks_m >= threshold_m, predicted_peaks_m >= threshold_m
    cases = (came & warned, came & ~warned, ~came & warned, ~came & ~warned)
    right, missed, false, no_wave = (int(np.sum(case)) for case in cases)
    return AlarmScores(
        threshold_m=threshold_m,
        right=right,
        missed=missed,
        false=false,
        no_wave=no_wave,
        missed_rate=missed / (right + missed) if right + missed else None,
        false_rate=false / (false + no_wave) if false + no_wave else None,
        false_share=false / (right + false) if right + false else None,
    )


def beside(errors: Mapping[str, WaveErrors], columns: Sequence[int], first: str, draws: int) -> dict[str, Compared]:
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
        return {name: Compared() for name in errors}
    sampled = {name: each.resampled(columns, draws) for name, each in errors.items()}
    found = {name: Compared(interval=interval(values)) for name, values in sampled.items()}
    for name in errors.keys() - {first}:
        other = errors[name].explained(columns)
        if other is not None:  # the same waves for all: known where the first is
            gap = interval(sampled[first] - sampled[name])
            more = {"first_minus_this": value - other, "first_minus_this_interval": gap}
            found[name] = found[name].model_copy(update=more)
    return found


def over_seeds(values: Sequence[float | None]) -> Spread | None:
    """Mean and standard deviation of a score over the members of an ensemble."""
    known = [value for value in values if value is not None]
    return summary(known) if known else None


def _error_summary(error: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """Mean, standard deviation and mean absolute value; None of nothing."""
    if not error.size:
        return None, None, None
    return float(error.mean()), float(error.std()), float(np.abs(error).mean())
