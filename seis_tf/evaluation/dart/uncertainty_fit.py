"""A judged DART run -> intervals of its answers, fitted on its validation events and tested on the others.

Both with those events alone whose answers get intervals (`enough.has_intervals`): with slip, with samples and signal
enough for a magnitude, and next to nothing missing. That is what they are for; of other answers nothing is promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf.dart import enough
from seis_tf.dart.unit_sources import GreensFunctions
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.dart import uncertainty
from seis_tf.evaluation.dart.draws import bins_of, draws_of, member_magnitudes, truth_of
from seis_tf.evaluation.dart.judged import JudgedDart, validation_windows
from seis_tf.evaluation.dart.methods import network_of
from seis_tf.evaluation.dart.metrics import UncertaintyMetrics
from seis_tf.evaluation.dart.uncertainty import WAVES, calibrate
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.evaluation.stats.intervals import LEVELS, Intervals
from seis_tf.evaluation.stats.mc_dropout import PASSES, dropout_samples
from seis_tf.models.layers import dropouts
from seis_tf.runs import Run, single_model
from seis_tf.settings.training import AnswerSettings

ENSEMBLE, ALONE, DROPOUT = "ensemble", "network", "dropout"
_PARTS = ("valid", "test")
Slips = tuple[np.ndarray, np.ndarray]  # of validation and of judged events, [draw, event, source]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Intervals of a run's answers, and their scores.

    Attributes:
        metrics: the entry `uncertainty` of `metrics.json`.
        intervals: of the run's own answers, as they go with it.
    """

    metrics: UncertaintyMetrics
    intervals: Intervals


def uncertainty_of(judged: JudgedDart) -> Uncertainty | None:
    """Intervals and their scores; None where there are no validation events, or too few whose answers get intervals.

    Waves are left out where the true ones are not known: those of the true slip come from the very functions of the
    forecast.
    """
    if judged.valid is None or judged.train is None:
        return None
    test = judged.windows.rows(judged.rows[judged.main])
    waves = not judged.from_slip and _knows_waves(judged.run.config.info, judged.greens)
    windows = {"train": judged.train, "valid": judged.valid, "test": test}
    slips, limits = _slips(judged, judged.valid, test), judged.run.config.job.answer
    own = next(iter(slips.values()))
    valid, tested = (_given(slip, windows[p], judged.greens, limits) for slip, p in zip(own, _PARTS, strict=True))
    if not uncertainty.enough(valid.sum()) or not tested.any():
        return None
    return assess(slips, windows, judged.greens, _words(judged.run), waves, limits)


def fitted_intervals(run: Run, dataset: Path) -> Intervals | None:
    """Intervals of a run's own answers, as `uncertainty_of` has them, from its validation events.

    None where too few of their answers get intervals.
    """
    valid, greens = validation_windows(run, dataset)
    truth = truth_of(valid, greens)
    if not _knows_waves(run.config.info, greens):
        truth = {name: values for name, values in truth.items() if name not in WAVES}
    slips = network_of(run)(valid.level_m, valid.mask)
    given = _given(slips, valid, greens, run.config.job.answer)
    if not uncertainty.enough(int(given.sum())):
        return None
    truth = {name: values[given] for name, values in truth.items()}
    fitted = calibrate(truth, draws_of(slips[:, given], greens, valid.true.window_min))
    return fitted.intervals(_words(run), greens.gauge_names)


def _knows_waves(info: DatasetInfo, greens: GreensFunctions) -> bool:
    return info.has("truth_m") and set(greens.gauge_names) <= set(info.forecast_gauges)


def assess(
    slips: dict[str, Slips],
    windows: dict[str, Windows],
    greens: GreensFunctions,
    words: str,
    waves: bool = True,
    limits: AnswerSettings = AnswerSettings(),
) -> Uncertainty:
    """Fits intervals on validation events and scores them on test events, for each kind of draws.

    Args:
        slips: kind of draws to their slip for validation and test events; the first kind's intervals are kept.
        windows: of "train" (for climatology), "valid" and "test" events.
        greens: functions of the gauges of the windows' waves.
        words: whose draws the first are.
        waves: whether true waves are known.
        limits: which answers get intervals.

    Raises:
        ValueError: too few validation events whose answers get intervals.
    """
    truth = {part: truth_of(own, greens) for part, own in windows.items()}
    for own in () if waves else truth.values():
        for name in WAVES:
            own.pop(name, None)
    true, found, kept, tested_on = windows["test"].true, {}, None, 0
    for kind, both in slips.items():
        given = [_given(slip, windows[part], greens, limits) for slip, part in zip(both, _PARTS, strict=True)]
        if kept and not uncertainty.enough(given[0].sum()):
            continue
        valid, test = (draws_of(s[:, rows], greens, true.window_min) for s, rows in zip(both, given, strict=True))
        true_valid, true_test = (
            {name: own[rows] for name, own in truth[part].items()} for part, rows in zip(_PARTS, given, strict=True)
        )
        calibration = calibrate(true_valid, valid)
        found[kind] = uncertainty.scores(
            truth["train"], true_test, test, calibration, greens.gauge_names, true.far_columns
        )
        if kept is None:
            kept, tested_on = calibration, len(true_test["mw"])
    if kept is None:
        raise ValueError("intervals: expected at least one kind of draws, received none")
    metrics = UncertaintyMetrics(
        levels=list(LEVELS),
        fitted_on=kept.events,
        tested_on=tested_on,
        events={part: len(truth[part]["mw"]) for part in _PARTS},
        edges=kept.edges.tolist(),
        limits=uncertainty.limits(tested_on, kept.events),
        draws=found,
    )
    return Uncertainty(metrics, kept.intervals(words, greens.gauge_names))


def _given(slip_m: np.ndarray, windows: Windows, greens: GreensFunctions, limits: AnswerSettings) -> np.ndarray:
    """Which answers [draw, event, source] get intervals, bool [event]."""
    mw = member_magnitudes(slip_m, greens.area_m2).mean(axis=0)
    return enough.has_intervals(windows.level_m, windows.mask, mw, limits)


def wave_band(
    intervals: Intervals, slip_m: np.ndarray, greens: GreensFunctions, window_min: int, level: float = 0.8
) -> tuple[np.ndarray, np.ndarray] | None:
    """Ends of one event's wave from minute 0 on, each [minute, gauge]; None where waves have no intervals.

    Args:
        intervals: of the run.
        slip_m: [draw, source].
        greens: functions of the gauges, in the order of the intervals'.
        window_min: end of what was seen.
        level: one of the intervals'.
    """
    if "forecast_m" not in intervals.quantities:
        return None
    fitted = intervals.quantities["forecast_m"]
    draws = draws_of(slip_m[:, np.newaxis], greens, window_min, whole=True)
    bins = bins_of("forecast_m", draws, np.array(intervals.edges), fitted.calm_below > 0)
    both = fitted.bounds(draws["forecast_m"].predicted, bins)
    lower, upper = (ends[0, ..., intervals.levels.index(level)] for ends in both)
    return lower, upper


def _words(run: Run) -> str:
    members = run.members
    return f"ensemble of {members} members" if members > 1 else "one network"


def _slips(judged: JudgedDart, valid: Windows, test: Windows) -> dict[str, Slips]:
    """The run's own answers, and MC dropout of its first member where that has dropout."""
    rows = judged.rows
    if judged.is_own_data:
        own = (judged.answers.members[:, rows["valid"]], judged.answers.members[:, rows["test"]])
    else:
        own = (judged.methods.network(valid.level_m, valid.mask), judged.answers.members[:, rows[judged.main]])
    slips = {ENSEMBLE if judged.run.members > 1 else ALONE: own}
    model = single_model(judged.run)
    if dropouts(model):
        inputs = [
            [np.where(part.mask, part.level_m, 0).astype(np.float32), part.mask.astype(np.float32)][: len(model.inputs)]
            for part in (valid, test)
        ]
        of_valid, of_test = (dropout_samples(model, values, PASSES) for values in inputs)
        slips[DROPOUT] = (of_valid, of_test)
    return slips
