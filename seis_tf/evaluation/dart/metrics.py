"""The metrics of a DART network, typed: `metrics.json` of a run of task dart.

Numbers that are not defined (a slope of equal values, a magnitude without slip) are None. The scores of each answer are
made in `scores.py`, those of its intervals in `uncertainty.py`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from seis_tf.evaluation.results import Interval, Result, RunMetrics, Spread


class PeakScores(Result):
    """How predicted peaks lie to true ones.

    Attributes:
        count: peaks.
        bias_m: mean of predicted - true, m.
        std_m: standard deviation of predicted - true, m.
        true_on_predicted: slope of the least-squares line (with intercept) of true on predicted peaks; above 1 large
            waves are under-predicted.
        predicted_on_true: slope of predicted on true peaks.
        r2: squared correlation, the product of both slopes.
    """

    count: int
    bias_m: float
    std_m: float
    true_on_predicted: float | None
    predicted_on_true: float | None
    r2: float | None


class PeakGains(Result):
    """What peaks are multiplied with: gauge ahead to its gain."""

    gains: dict[str, float]


class CorrectedPeaks(PeakScores, PeakGains):
    """Scores of peaks after the gains; in the file the gains come first."""


class ArrivalScores(Result):
    """Arrival times: `count` waves, `missed` without a forecast wave; of the others predicted - true, minutes."""

    count: int
    missed: int
    mean_min: float | None
    std_min: float | None
    mae_min: float | None


class MagnitudeScores(Result):
    """Predicted - true Mw of the `count` events but those `without_slip`: mean, deviation, mean absolute value."""

    count: int
    without_slip: int
    mean_mw: float | None
    std_mw: float | None
    mae_mw: float | None


class AlarmScores(Result):
    """Alarms for peaks of at least a threshold.

    Attributes:
        threshold_m: height that an alarm is given for.
        right: waves with an alarm.
        missed: waves without one.
        false: alarms without a wave.
        no_wave: neither; called `calm` in the file.
        missed_rate: part of the waves that were missed.
        false_rate: alarms among the cases without a wave.
        false_share: part of the alarms that were false.
    """

    threshold_m: float
    right: int
    missed: int
    false: int
    no_wave: int = Field(validation_alias="calm", serialization_alias="calm")
    missed_rate: float | None
    false_rate: float | None
    false_share: float | None


class Compared(Result):
    """Intervals of an answer's explained variance at the gauges ahead; nothing where no wave comes.

    Attributes:
        interval: of the explained variance.
        first_minus_this: what the network explains more; absent for the network itself.
        first_minus_this_interval: of the difference, on the same resampled events.
    """

    interval: Interval | None = None
    first_minus_this: float | None = None
    first_minus_this_interval: Interval | None = None


class MethodScores(Result):
    """Scores of one answer: the network, least squares, and so on.

    Attributes:
        mse_m2: mean squared slip error.
        mse_ratio: over that of the mean training slip.
        mw: of the magnitude.
        explained: part of the wave's variance that is explained, by gauge, and pooled over those ahead ("far").
        peaks: of the peaks ahead.
        arrival: of the arrival ahead.
        alarms: of the gauges ahead.
        peaks_corrected: after gains fitted on validation events.
        explained_far: intervals of `explained["far"]`.
    """

    mse_m2: float
    mse_ratio: float | None
    mw: MagnitudeScores
    explained: dict[str, float | None]
    peaks: PeakScores
    arrival: ArrivalScores
    alarms: AlarmScores
    peaks_corrected: CorrectedPeaks | None = None
    explained_far: Compared = Compared()

    @property
    def explained_ahead(self) -> float | None:
        """Explained variance pooled over the gauges ahead."""
        return self.explained["far"]


class PartScores(Result):
    """Scores of all answers for a number of events."""

    events: int
    methods: dict[str, MethodScores]


class Strength(Result):
    """A regularisation strength, and the scores on validation events that it was chosen by."""

    strength: float
    scores: dict[str, float] = {}


class Strengths(Result):
    """Of the smoothed NNLS and of the hybrid; None where there was nothing to choose on."""

    smoothing: Strength | None
    pull: Strength | None


class AnswerSeconds(Result):
    """Seconds an event: of many answered together, and of one alone."""

    batch: float
    alone: float


class IntervalScores(Result):
    """Scores of a predictive distribution; lists are by level.

    Attributes:
        crps: in the unit of the quantity.
        coverage: part of the truths inside.
        below: part of the truths below the lower end.
        width: mean width.
    """

    crps: float
    coverage: list[float] | None = None
    below: list[float] | None = None
    width: list[float] | None = None


class BinCoverage(Result):
    """Coverage [channel][level] of the events of one bin of the magnitude, open where an end is None."""

    from_mw: float | None = Field(validation_alias="from", serialization_alias="from")
    to_mw: float | None = Field(validation_alias="to", serialization_alias="to")
    events: int
    coverage: list[list[float]]


class StatedCoverage(Result):
    """Measured coverage of many stated levels, after calibration, and of the spread alone where there is one."""

    stated: list[float]
    calibrated: list[float]
    raw: list[float] | None = None


class QuantityScores(Result):
    """Intervals of one quantity.

    Attributes:
        climatology: of answering with all that happened in training.
        raw: of the spread of the draws alone.
        calibrated: of the fitted intervals.
        by_gauge: gauge ahead to coverage by level.
        by_predicted_mw: coverage by the predicted magnitude.
        by_true_mw: coverage by the true magnitude.
        reliability: stated against measured coverage.
    """

    climatology: IntervalScores
    raw: IntervalScores
    calibrated: IntervalScores
    by_gauge: dict[str, list[float]] | None = None
    by_predicted_mw: list[BinCoverage] = []
    by_true_mw: list[BinCoverage] = []
    reliability: StatedCoverage | None = None


class CoverageLimits(Result):
    """[low, high] by level that the coverage of perfect and of conformal intervals keeps in 99 % of trials."""

    perfect: list[Interval]
    conformal: list[Interval]


class UncertaintyMetrics(Result):
    """Whether intervals hold.

    Attributes:
        levels: of the intervals.
        fitted_on: validation events whose answers get intervals.
        tested_on: judged events, likewise.
        events: "valid" and "test" to all events.
        edges: inner edges of the bins of the predicted magnitude.
        limits: that coverage should keep.
        draws: kind of draws ("ensemble", "network", "dropout") to scores by quantity; the run's own come first.
    """

    levels: list[float]
    fitted_on: int
    tested_on: int
    events: dict[str, int] = {}
    edges: list[float]
    limits: CoverageLimits
    draws: dict[str, dict[str, QuantityScores]]

    @property
    def without_intervals(self) -> tuple[str, str]:
        """Validation and judged events whose answers get none, such as "5 of 100"."""
        counts = (("valid", self.fitted_on), ("test", self.tested_on))
        valid, test = (
            f"{self.events.get(part, used) - used:,} of {self.events.get(part, used):,}" for part, used in counts
        )
        return valid, test


class DartMetrics(RunMetrics):
    """All numbers of one evaluation, after those of `RunMetrics`.

    Attributes:
        seen: events of another data set that are also among the training events; None where not known.
        main: the part that counts, "test" or "all".
        window_min: end of what was recorded.
        step_min: minutes a sample.
        buoys: that were recorded.
        gauges: whose waves are forecast.
        far: those of them that lie ahead.
        threshold_m: height that an alarm is given for.
        truth: where the true waves are from.
        chosen: regularisation strengths.
        seconds_per_event: method to the time of an answer.
        splits: part of the events to scores.
        member_explained_far: explained variance of single members; None without waves.
        conditions: what was changed, in words, to scores of the main part.
        uncertainty: of the intervals; None where none could be fitted.
        calibration: what the intervals were fitted on, in words.
    """

    task: Literal["dart"]
    seen: int | None = None
    main: str
    window_min: int
    step_min: int
    buoys: list[str]
    gauges: list[str]
    far: list[str]
    threshold_m: float
    truth: str = ""
    chosen: Strengths
    seconds_per_event: dict[str, AnswerSeconds]
    splits: dict[str, PartScores]
    member_explained_far: Spread | None = None
    conditions: dict[str, PartScores] = {}
    uncertainty: UncertaintyMetrics | None = None
    calibration: str = ""

    @property
    def main_scores(self) -> PartScores:
        """Scores of the part that counts."""
        return self.splits[self.main]
