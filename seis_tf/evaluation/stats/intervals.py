"""Intervals that hold what they promise: conformal correction of a predictor's errors on validation records.

A prediction has a centre and a difficulty, how large its error is expected to be. The score (truth - centre) /
difficulty of a new record is as likely to come anywhere between the sorted scores of n validation records, so that it
lies between the k-th smallest and the k-th largest in (n + 1 - 2k) of n + 1 cases (Vovk et al. 2005; Lei et al. 2018).
Both ends are taken from the signed scores, so a biased centre is corrected too. Scores are kept apart by bins of what
is known when the answer is given (Mondrian), and the promise holds in each of them. The error model's three numbers
come from the same records: in simulations that costs 95 % intervals 1.5 points of coverage at 40 records, 0.4 at 200.

All scores together are a predictive distribution as well, which the CRPS judges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import optimize, stats

from seis_tf.evaluation.stats.crps import sorted_crps
from seis_tf.settings.base import Settings

LEVELS = (0.5, 0.8, 0.95)
TINY = 1e-6  # the smallest difficulty: where nothing ever happens (no slip, no wave yet) no error is expected
_ROUNDS = 8
_EXACT = 1e-9  # 0.2 * 5 and such are whole numbers


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a predictor says of one quantity of some records, each array [record, .., channel].

    Attributes:
        centre: the answer.
        spread: standard deviation over an ensemble or over dropout's draws; 0 where there is only one answer.
        size: what errors may grow with, beside the spread: the height of a wave, say.
    """

    centre: np.ndarray
    spread: np.ndarray
    size: np.ndarray


class QuantityIntervals(Settings):
    """How wide the intervals of one quantity are.

    Attributes:
        scale: of each channel, a, b, c >= 0 of the difficulty's square a + b spread^2 + c size^2.
        lower: [bin][channel][level], in difficulties from the centre.
        upper: likewise.
        never_negative: ends below 0 are 0.
        calm_below: of a wave, the part of its greatest local height below which a minute counts as calm; calm minutes
            have the even bins, others the odd ones. 0 where there is no such distinction.
    """

    scale: tuple[tuple[float, float, float], ...] = Field(min_length=1)
    lower: tuple[tuple[tuple[float, ...], ...], ...] = Field(min_length=1)
    upper: tuple[tuple[tuple[float, ...], ...], ...] = Field(min_length=1)
    never_negative: bool = False
    calm_below: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if min(map(min, self.scale)) < 0:
            raise ValueError(f"scale: expected numbers of 0 or more, received {min(map(min, self.scale))}")
        for name in ("lower", "upper"):
            channels = {len(rows) for rows in getattr(self, name)}
            if channels != {len(self.scale)}:
                raise ValueError(
                    f"{name}: expected {len(self.scale)} channels in each bin, received {sorted(channels)}"
                )
        if np.any(np.array(self.lower) > np.array(self.upper)):
            raise ValueError("lower: expected at most upper, received more")
        return self

    def bounds(self, predicted: Predicted, bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends [record, .., channel, level].

        Args:
            predicted: the answers.
            bins: int, of a shape that broadcasts to [record, .., channel].
        """
        width = difficulty(predicted, np.array(self.scale))[..., np.newaxis]
        channels = np.arange(len(self.scale))
        low, high = (
            predicted.centre[..., np.newaxis] + width * np.array(ends)[bins, channels]
            for ends in (self.lower, self.upper)
        )
        return (np.maximum(low, 0), np.maximum(high, 0)) if self.never_negative else (low, high)


def normal_quantity(levels: Sequence[float] = LEVELS, never_negative: bool = False) -> QuantityIntervals:
    """As if members were drawn from a normal distribution around the truth: what one has without validation events."""
    ends = [float(stats.norm.ppf(0.5 + level / 2)) for level in levels]
    lower, upper = [[[-end for end in ends]]], [[ends]]
    return QuantityIntervals(scale=[(0, 1, 0)], lower=lower, upper=upper, never_negative=never_negative)


class Intervals(Settings):
    """All that a run's intervals are made with, as `calibration.json` holds it.

    Attributes:
        samples: whose spread it is, in words.
        events: validation events that it was fitted on; 0 for none.
        levels: of the intervals.
        edges: inner edges of the bins of the predicted magnitude.
        gauges: order of the channels of waves and peaks.
        quantities: name of a quantity to its intervals.
    """

    samples: str = ""
    events: int = Field(0, ge=0)
    levels: tuple[float, ...] = LEVELS
    edges: tuple[float, ...] = ()
    gauges: tuple[str, ...] = ()
    quantities: dict[str, QuantityIntervals]

    @model_validator(mode="after")
    def _all_fit(self) -> Self:
        for name, own in self.quantities.items():
            expected = ((len(self.edges) + 1) * (2 if own.calm_below else 1), len(self.levels))
            for ends in (own.lower, own.upper):
                received = (len(ends), len(ends[0][0]))
                if received != expected:
                    raise ValueError(f"{name}: expected {expected} bins and levels, received {received}")
        return self


def difficulty(predicted: Predicted, scale: np.ndarray) -> np.ndarray:
    """Expected size of the error, float64 [record, .., channel].

    Args:
        predicted: spread and size.
        scale: [channel, 3], a, b, c of the square a + b spread^2 + c size^2; one row is for all channels.
    """
    a, b, c = np.asarray(scale, dtype=float).T
    return np.sqrt(np.maximum(a + b * np.square(predicted.spread) + c * np.square(predicted.size), TINY**2))


def fit_scale(error: np.ndarray, predicted: Predicted) -> np.ndarray:
    """a, b, c of the difficulty from errors: least squares of their squares, weighted as for normal errors.

    Args:
        error: truth - centre [record, .., channel].
        predicted: spread and size, likewise.

    Returns:
        float64 [channel, 3], none negative.
    """
    n_channels = error.shape[-1]
    squares = np.square(error, dtype=float).reshape(-1, n_channels)
    parts = [np.square(v, dtype=float).reshape(-1, n_channels) for v in (predicted.spread, predicted.size)]
    return np.stack([_fit_channel(squares[:, k], parts[0][:, k], parts[1][:, k]) for k in range(n_channels)])


def _fit_channel(squares: np.ndarray, spread2: np.ndarray, size2: np.ndarray) -> np.ndarray:
    design = np.stack([np.ones_like(squares), spread2, size2], axis=1)
    # Columns of one height: the solver's tolerance knows nothing of units.
    height = np.maximum(design.max(axis=0), TINY**2)
    variance = np.full_like(squares, max(squares.mean(), TINY**2))
    for _ in range(_ROUNDS):  # the variance of a squared normal error is 2 variance^2: weights by the last round's
        scale = optimize.nnls(design / height / variance[:, None], squares / variance)[0] / height
        # Not below a hundredth of the mean: a few points without error must not have all the weight.
        variance = np.maximum(design @ scale, 0.01 * squares.mean() + TINY**2)
    return scale


def smallest_count(level: float) -> int:
    """Validation records that an interval of this level needs at least."""
    return math.ceil(2 / (1 - level) - 1 - _EXACT)


def end_ranks(count: int, level: float) -> tuple[int, int]:
    """Which of the sorted scores are the ends of an interval, counted from 1.

    Returns:
        floor((n + 1) (1 - level) / 2) and its counterpart from above, ceil((n + 1) (1 + level) / 2).

    Raises:
        ValueError: too few records: the interval would have no end.
    """
    low = math.floor((count + 1) * (1 - level) / 2 + _EXACT)
    if low < 1:
        expected = f"at least {smallest_count(level)} validation records for {100 * level:g} % intervals"
        raise ValueError(f"intervals: expected {expected}, received {count}")
    return low, count + 1 - low


@dataclass(frozen=True, eq=False)
class Conformal:
    """The correction of one quantity.

    Attributes:
        scale: [channel, 3] of the difficulty.
        scores: bin -> channel -> sorted scores of the validation records.
        never_negative, calm_below: see `QuantityIntervals`.
    """

    scale: np.ndarray
    scores: list[list[np.ndarray]]
    never_negative: bool = False
    calm_below: float = 0.0

    def settings(self, levels: Sequence[float] = LEVELS) -> QuantityIntervals:
        """The ends of these levels, as they are stored.

        Raises:
            ValueError: a bin has too few records for a level.
        """
        places = [[[end_ranks(len(s), level) for level in levels] for s in channels] for channels in self.scores]
        lower, upper = (
            [
                [[float(s[ranks[end] - 1]) for ranks in row] for s, row in zip(channels, rows, strict=True)]
                for channels, rows in zip(self.scores, places, strict=True)
            ]
            for end in (0, 1)
        )
        own = {"never_negative": self.never_negative, "calm_below": self.calm_below}
        return QuantityIntervals(scale=self.scale.tolist(), lower=lower, upper=upper, **own)

    def crps(self, truth: np.ndarray, predicted: Predicted, bins: np.ndarray) -> np.ndarray:
        """Of the predictive distribution centre + difficulty x scores, [record, .., channel].

        Args:
            truth: of the records, likewise.
            predicted: of the records.
            bins: as for `QuantityIntervals.bounds`.
        """
        width = difficulty(predicted, self.scale)
        z = (truth - predicted.centre) / width
        found, bins = np.empty(z.shape), np.broadcast_to(bins, z.shape)
        for number, channels in enumerate(self.scores):
            for k, scores in enumerate(channels):
                here = bins[..., k] == number
                found[..., k][here] = sorted_crps(scores, z[..., k][here])
        return found * width  # CRPS has the unit of what is predicted


def fit_conformal(truth: np.ndarray, predicted: Predicted, bins: np.ndarray, n_bins: int, **options: Any) -> Conformal:
    """Error model and scores from validation records.

    Args:
        truth: [record, .., channel].
        predicted: of the same records.
        bins: int, of a shape that broadcasts to [record, .., channel].
        n_bins: how many bins there are.
        options: `never_negative` and `calm_below` of the result.

    Raises:
        ValueError: a bin without records.
    """
    error = np.asarray(truth, dtype=float) - predicted.centre
    scale = fit_scale(error, predicted)
    scores, bins = error / difficulty(predicted, scale), np.broadcast_to(bins, error.shape)
    kept = [[np.sort(scores[..., k][bins[..., k] == b]) for k in range(len(scale))] for b in range(n_bins)]
    counts = [min(map(len, channels)) for channels in kept]
    if not all(counts):
        raise ValueError(f"intervals: expected validation records in each of {n_bins} bins, received {counts}")
    return Conformal(scale, kept, **options)


def bin_edges(values: np.ndarray, records_a_bin: int, most: int) -> np.ndarray:
    """Inner edges of bins with about equal numbers of records: at most `most` bins of about `records_a_bin` or more."""
    n_bins = max(min(most, len(values) // records_a_bin), 1)
    edges: list[float] = []
    for edge in np.quantile(values, np.arange(1, n_bins) / n_bins):
        # Equal values can't be parted: an edge that would leave next to nothing on one side is none.
        if np.bincount(bin_of(values, np.array([*edges, edge])), minlength=len(edges) + 2).min() >= records_a_bin / 2:
            edges.append(float(edge))
    return np.array(edges)


def bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Number of the bin of each value: how many edges lie below it."""
    return np.searchsorted(edges, values, side="left")


def coverage_limits(
    count: int, level: float, calibrated_on: int | None = None, confidence: float = 0.99
) -> tuple[float, float]:
    """Between which parts of the records a good interval covers in `confidence` of all trials.

    Args:
        count: records tested.
        level: of the interval.
        calibrated_on: validation records, whose own scatter is then part of it (a beta-binomial distribution); None for
            an interval that covers with probability `level` exactly (a binomial one).
        confidence: how often; half of what is left lies on either side.
    """
    if calibrated_on is None:
        found = stats.binom(count, level)
    else:
        low, high = end_ranks(calibrated_on, level)
        found = stats.betabinom(count, high - low, calibrated_on + 1 - (high - low))
    low, high = (float(found.ppf(p)) / count for p in ((1 - confidence) / 2, (1 + confidence) / 2))
    return low, high
