"""Uncertainty of a DART answer: intervals of magnitude, slip, peaks and waves, and their measured coverage.

The spread of an ensemble or of MC dropout holds what training left open, but neither the records' noise nor errors of
the Green's functions, so alone it is far too narrow. The intervals are fitted to the errors on validation events
(`intervals.py`), in bins of the predicted magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seis_tf.evaluation.dart.draws import NO_SIGNAL_BELOW, Draws, bins_of
from seis_tf.evaluation.dart.metrics import (
    BinCoverage,
    CoverageLimits,
    IntervalScores,
    QuantityScores,
    StatedCoverage,
)
from seis_tf.evaluation.stats.crps import sample_crps, sorted_crps
from seis_tf.evaluation.stats.intervals import (
    LEVELS,
    Conformal,
    Intervals,
    Predicted,
    bin_edges,
    bin_of,
    coverage_limits,
    fit_conformal,
    normal_quantity,
    smallest_count,
)

WAVES = ("peak_m", "forecast_m")  # of gauges; the others are of the source
NEVER_NEGATIVE = ("mw", "weights_m", "peak_m")  # a crest is at least the sea at rest
RECORDS_A_BIN = 150
MOST_BINS = 4
Truth = Mapping[str, np.ndarray]  # as `draws.truth_of` gives it
STATED = tuple(np.round(np.arange(0.05, 0.96, 0.05), 2).tolist())
_TRUE_EDGES = np.arange(6.0, 10.0, 0.5)
_FEWEST = 30  # events of a bin that is reported


@dataclass(frozen=True, eq=False)
class Calibration:
    """Intervals fitted on validation events.

    Attributes:
        events: how many.
        edges: inner edges of the bins of the predicted magnitude.
        quantities: name to its correction.
    """

    events: int
    edges: np.ndarray
    quantities: dict[str, Conformal]

    def bins(self, name: str, draws: Mapping[str, Draws]) -> np.ndarray:
        """Of each prediction of a quantity."""
        return bins_of(name, draws, self.edges, self.quantities[name].calm_below > 0)

    def intervals(self, samples: str, gauges: Sequence[str]) -> Intervals:
        """As they go with the run."""
        quantities = {name: own.settings() for name, own in self.quantities.items()}
        common = {"samples": samples, "events": self.events, "gauges": tuple(gauges)}
        return Intervals(edges=tuple(self.edges.tolist()), quantities=quantities, **common)


def fewest() -> int:
    """Validation events that all intervals need."""
    return smallest_count(max(LEVELS))


def enough(events: int) -> bool:
    """Whether so many validation events allow all intervals."""
    return events >= fewest()


def calibrate(truth: Truth, draws: Mapping[str, Draws]) -> Calibration:
    """Fits the intervals of all quantities whose truth is known.

    Raises:
        ValueError: too few events.
    """
    events = len(truth["mw"])
    if not enough(events):
        expected = f"at least {fewest()} validation events"
        raise ValueError(f"intervals: expected {expected}, received {events}")
    edges = bin_edges(draws["mw"].centre[:, 0], RECORDS_A_BIN, MOST_BINS)
    return Calibration(events, edges, {name: _fit(name, own, draws, edges) for name, own in truth.items()})


def _fit(name: str, truth: np.ndarray, draws: Mapping[str, Draws], edges: np.ndarray) -> Conformal:
    predicted, n_bins, options = draws[name].predicted, len(edges) + 1, {"never_negative": name in NEVER_NEGATIVE}
    if draws[name].no_signal is not None:
        apart = bins_of(name, draws, edges, True)
        fewest = min(np.bincount(gauge.ravel(), minlength=2 * n_bins).min() for gauge in np.moveaxis(apart, -1, 0))
        if enough(fewest):  # else one gauge has a signal in every minute, or in none
            return fit_conformal(truth, predicted, apart, 2 * n_bins, calm_below=NO_SIGNAL_BELOW, **options)
    return fit_conformal(truth, predicted, bins_of(name, draws, edges, False), n_bins, **options)


def scores(
    train: Truth,
    truth: Truth,
    draws: Mapping[str, Draws],
    calibration: Calibration,
    gauges: Sequence[str],
    far: list[int],
) -> dict[str, QuantityScores]:
    """Whether intervals hold, how wide they are, and the CRPS, before and after calibration, by quantity.

    Of a wave only those minutes are judged in which one is forecast: there is no signal to predict before it.

    Args:
        train: what was true of the training events, for climatology: that distribution as everybody's answer.
        truth: of test events.
        draws: for the same.
        calibration: from other events.
        gauges: names, in the order of the waves' channels.
        far: numbers of the gauges that count.
    """
    found = {}
    for name in calibration.quantities:
        if name in truth:
            part = _Part(far if name in WAVES else slice(None), draws[name].no_signal)
            found[name] = _quantity_scores(name, train, truth, draws, calibration, part, gauges)
    return found


def _quantity_scores(
    name: str,
    train: Truth,
    truth: Truth,
    draws: Mapping[str, Draws],
    calibration: Calibration,
    part: _Part,
    gauges: Sequence[str],
) -> QuantityScores:
    """Scores of one quantity in the channels and minutes of `part`; the other arguments as those of `scores`."""
    conformal = calibration.quantities[name]
    predicted, bins = draws[name].predicted, calibration.bins(name, draws)
    ends = conformal.settings().bounds(predicted, bins)
    raw: dict[str, list[float]] = {}
    if len(draws[name].samples) > 1:
        normal = normal_quantity(never_negative=name in NEVER_NEGATIVE).bounds(predicted, np.zeros(1, int))
        raw = _interval_scores(truth[name], normal, part)
    optional = {}
    columns = np.arange(truth[name].shape[-1])[part.columns]
    if name == "peak_m":
        optional["by_gauge"] = {gauges[k]: _inside(truth[name], ends)[:, k].mean(axis=0).tolist() for k in columns}
    if name in ("mw", "peak_m"):
        inside = _inside(truth[name], ends)[:, part.columns]
        optional["by_predicted_mw"] = _by_bin(inside, bins[:, 0], calibration.edges)
        optional["by_true_mw"] = _by_bin(inside, bin_of(truth["mw"][:, 0], _TRUE_EDGES), _TRUE_EDGES)
        optional["reliability"] = _reliability(truth[name], predicted, conformal, bins, part)
    return QuantityScores(
        climatology=IntervalScores(crps=part.mean(climatology_crps(train[name], truth[name]))),
        raw=IntervalScores(crps=part.mean(sample_crps(draws[name].samples, truth[name])), **raw),
        calibrated=IntervalScores(
            crps=part.mean(conformal.crps(truth[name], predicted, bins)),
            **_interval_scores(truth[name], ends, part),
        ),
        **optional,
    )


def climatology_crps(train: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of always answering with all that happened in training, minute by minute and channel by channel."""
    past, future = np.sort(train.reshape(len(train), -1), axis=0), truth.reshape(len(truth), -1)
    return np.stack([sorted_crps(*pair) for pair in zip(past.T, future.T, strict=True)], axis=1).reshape(truth.shape)


def limits(count: int, calibrated_on: int) -> CoverageLimits:
    """Coverage that perfect intervals of each level, and conformal ones, keep in 99 % of all trials."""
    perfect = [list(coverage_limits(count, level)) for level in LEVELS]
    fitted = [list(coverage_limits(count, level, calibrated_on)) for level in LEVELS]
    return CoverageLimits(perfect=perfect, conformal=fitted)


@dataclass(frozen=True, eq=False)
class _Part:
    """Which channels and minutes count."""

    columns: list[int] | slice
    no_signal: np.ndarray | None  # bool [event, minute, channel]: minutes left out

    def mean(self, values: np.ndarray) -> float:
        """Of values [event, .., channel]."""
        return self.means(values[..., np.newaxis])[0]

    def means(self, values: np.ndarray) -> list[float]:
        """Of values [event, .., channel, level], for each level."""
        chosen = values[..., self.columns, :]
        if self.no_signal is not None:
            chosen = chosen[~self.no_signal[..., self.columns]]
        return chosen.reshape(-1, values.shape[-1]).mean(axis=0, dtype=float).tolist()


def _inside(truth: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Whether the truth lies in each interval, [.., channel, level]."""
    return (ends[0] <= truth[..., np.newaxis]) & (truth[..., np.newaxis] <= ends[1])


def _interval_scores(truth: np.ndarray, ends: tuple[np.ndarray, np.ndarray], part: _Part) -> dict[str, list[float]]:
    return {
        "coverage": part.means(_inside(truth, ends)),
        "below": part.means(truth[..., np.newaxis] < ends[0]),
        "width": part.means(ends[1] - ends[0]),
    }


def _by_bin(inside: np.ndarray, bins: np.ndarray, edges: np.ndarray) -> list[BinCoverage]:
    """Coverage [channel][level] in each bin with enough events."""
    bounds = [None, *(float(edge) for edge in edges), None]
    return [
        BinCoverage(
            from_mw=bounds[number],
            to_mw=bounds[number + 1],
            events=int(np.sum(bins == number)),
            coverage=inside[bins == number].mean(axis=0).tolist(),
        )
        for number in range(len(bounds) - 1)
        if np.sum(bins == number) >= _FEWEST
    ]


def _reliability(
    truth: np.ndarray, predicted: Predicted, conformal: Conformal, bins: np.ndarray, part: _Part
) -> StatedCoverage:
    """Measured coverage of many stated levels, before and after calibration."""
    calibrated = conformal.settings(STATED).bounds(predicted, bins)
    raw = {}
    if np.any(predicted.spread):
        normal = normal_quantity(STATED).bounds(predicted, np.zeros(1, int))
        raw["raw"] = part.means(_inside(truth, normal))
    return StatedCoverage(stated=list(STATED), calibrated=part.means(_inside(truth, calibrated)), **raw)
