"""Stage 8 of task dart: a run -> what it is worth beside least squares: metrics, predictions, figures and a report.

The network, plain and smoothed NNLS and the hybrid of both answer the same windows with the same masks; the mean of the
training weights and no slip at all are compared, too. Strengths are chosen on validation events only, and intervals are
over events. Intervals of the network's answers are fitted on validation events and go with the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from seis_tf.dart.inversion import Choice, peak_amplitude
from seis_tf.evaluation.dart import scores
from seis_tf.evaluation.dart.calibrate import calibrate
from seis_tf.evaluation.dart.judged import JudgedDart, judge
from seis_tf.evaluation.dart.methods import NETWORK, TRUE_SLIP, Answers, Methods
from seis_tf.evaluation.dart.metrics import (
    AnswerSeconds,
    DartMetrics,
    MethodScores,
    PartScores,
    Strength,
    Strengths,
)
from seis_tf.evaluation.dart.report import report_of
from seis_tf.evaluation.dart.scores import THRESHOLD_M, WaveErrors
from seis_tf.evaluation.dart.uncertainty_fit import uncertainty_of
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.evaluation.report.page import write_report
from seis_tf.evaluation.results import judged_on
from seis_tf.files import as_csv, write_atomically, write_json
from seis_tf.runs import Run, load_run

WRITTEN = (NETWORK, "hybrid", "smoothed_nnls", "nnls")
_STEPS = 6


def evaluate(
    run_folder: Run | Path | str,
    data: Path | str | None = None,
    *,
    dataset: Path | str | None = None,
    threshold_m: float = THRESHOLD_M,
    draws: int = 1000,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda words: None,
) -> DartMetrics:
    """Judges a DART network beside the classical answers and writes what was found.

    Args:
        run_folder: a finished run of task dart, or its folder.
        data: another data set with the same window, buoys and sources, of which every record is judged whatever its
            split; the results go to `evaluations/<name>/` in the run. By default the run's own, judged by its splits.
        dataset: the run's own, where it is not found from the run.
        threshold_m: height of a wave that an alarm is given for.
        draws: bootstrap samples of events for the intervals.
        progress: called with the steps done and the steps in all.
        say: called with a sentence where the run's calibration is fitted only now, or can't be.

    Returns:
        The metrics, which `metrics.json` holds.

    Raises:
        ValueError: no finished run of task dart, its data set is gone or changed, or `data` has another window, or
            other buoys or sources, or another order.
    """
    run = run_folder if isinstance(run_folder, Run) else load_run(run_folder)
    run.check_task("dart")
    progress(0, _STEPS)
    calibration = calibrate(run, dataset, say)
    judged = judge(run, data, dataset)
    progress(2, _STEPS)
    out = run.folder
    if not judged.is_own_data:
        out = run.folder / "evaluations" / f"{judged.dataset.resolve().name}-{judged.info.fingerprint[:8]}"
        out.mkdir(parents=True, exist_ok=True)
    metrics = metrics_of(judged, threshold_m, draws)
    progress(3, _STEPS)
    uncertainty = uncertainty_of(judged)
    found = None if uncertainty is None else uncertainty.metrics
    metrics = metrics.model_copy(update={"uncertainty": found, "calibration": calibration.get("fitted_on", "")})
    progress(4, _STEPS)
    write_atomically(out / "predictions.csv", predictions_csv(judged).encode())
    write_report(out, report_of(judged, metrics, None if uncertainty is None else uncertainty.intervals))
    progress(5, _STEPS)
    write_json(out / "metrics.json", metrics.tree())
    progress(_STEPS, _STEPS)
    return metrics


def metrics_of(judged: JudgedDart, threshold_m: float = THRESHOLD_M, draws: int = 1000) -> DartMetrics:
    """All numbers of an evaluation but those of the intervals (`uncertainty`) and `calibration`.

    Args:
        judged: what was judged.
        threshold_m: height of a wave that an alarm is given for.
        draws: bootstrap samples of events for the intervals; 0 for none.
    """
    true, main = judged.windows.true, judged.rows[judged.main]
    gains = _peak_gains(judged)
    members = [
        WaveErrors.of(replace(true, waves_m=true.waves_m[main]), judged.forecast(weights[main])).explained(
            true.far_columns
        )
        for weights in judged.answers.members
    ]
    windows = judged.windows.rows(main)
    seconds = judged.methods.seconds(windows.level_m, windows.mask)
    return DartMetrics(
        **judged_on(judged.run, judged.dataset, judged.info),
        seen=judged.seen,
        main=judged.main,
        window_min=true.window_min,
        step_min=judged.record.step_min,
        buoys=list(judged.record.buoys),
        gauges=list(true.gauge_names),
        far=list(true.far),
        threshold_m=threshold_m,
        truth="waves of the true slip" if judged.from_slip else "waves of the data set",
        chosen=Strengths(smoothing=_strength(judged.methods.smoothing), pull=_strength(judged.methods.pull)),
        seconds_per_event={name: AnswerSeconds(**found) for name, found in seconds.items()},
        splits={
            part: _scores(judged, judged.methods, rows, _rows_of(judged.answers, rows), threshold_m, draws, gains)
            for part, rows in judged.rows.items()
        },
        member_explained_far=scores.over_seeds(members),
        conditions={
            name: _scores(
                judged, methods, main[kept], methods.answer(changed.level_m, changed.mask), threshold_m, 0, {}
            )
            for name, changed, kept, methods in _conditions(judged, windows)
        },
    )


def predictions_csv(judged: JudgedDart) -> str:
    """A line for each event and answer, beside a line of what is true: magnitude, peaks after the window, slip."""
    true = judged.windows.true
    peaks = [f"peak_{name}_m" for name in true.gauge_names]
    slips = [f"slip_{name}_m" for name in judged.greens.source_names]
    answers = {"truth": (judged.windows.weights_m, judged.columns["mw"], true.waves_m)}
    for name in WRITTEN:
        if name in judged.answers.weights_m:
            weights = judged.answers.weights_m[name]
            answers[name] = (weights, judged.answers.mw[name], judged.forecast(weights))
    heights = {name: peak_amplitude(true.after(waves)) for name, (_, _, waves) in answers.items()}
    lines = []
    for part, rows in judged.rows.items():
        for row in rows:
            for name, (weights, mw, _) in answers.items():
                numbers = (max(mw[row], 0), *heights[name][row], *weights[row])
                about = (part, judged.columns["record_id"][row], name)
                lines.append([*about, *(f"{number:.4g}" for number in numbers)])
    return as_csv(["split", "record_id", "method", "mw", *peaks, *slips], lines)


def _rows_of(answers: Answers, rows: np.ndarray) -> Answers:
    pick = {key: {name: values[rows] for name, values in getattr(answers, key).items()} for key in ("weights_m", "mw")}
    return Answers(answers.members[:, rows], **pick)


def _scores(
    judged: JudgedDart,
    methods: Methods,
    rows: np.ndarray,
    answers: Answers,
    threshold_m: float,
    draws: int,
    gains: dict[str, dict[str, float]],
) -> PartScores:
    """Scores of all methods' answers for some records, and of the true slip; peaks again after these gains."""
    true = replace(judged.windows.true, waves_m=judged.windows.true.waves_m[rows])
    weights, mw = judged.windows.weights_m[rows], judged.columns["mw"][rows]
    all_weights, all_mw = dict(answers.weights_m), dict(answers.mw)
    if not judged.from_slip:
        # No answer, but the most that one could hope for: what is left is the error of the Green's functions.
        all_weights[TRUE_SLIP], all_mw[TRUE_SLIP] = weights, mw
    found, errors = {}, {}
    for name, predicted in all_weights.items():
        forecast = judged.forecast(predicted)
        errors[name] = WaveErrors.of(true, forecast)
        expected, peaks = (peak_amplitude(true.after(waves)[:, :, true.far_columns]) for waves in (None, forecast))
        corrected = {}
        if name in gains:
            corrected["peaks_corrected"] = scores.corrected_peak_scores(expected, peaks, gains[name])
        mse, ratio = scores.weight_scores(weights, predicted, methods.mean_m)
        found[name] = MethodScores(
            mse_m2=mse,
            mse_ratio=ratio,
            mw=scores.magnitude_scores(mw, all_mw[name]),
            explained=scores.explained_by_gauge(true, forecast),
            peaks=scores.peak_scores(expected, peaks),
            arrival=scores.arrival_scores(true, forecast),
            alarms=scores.alarm_scores(expected, peaks, threshold_m),
            **corrected,
        )
    if draws and len(rows) > 1:
        for name, compared in scores.beside(errors, true.far_columns, NETWORK, draws).items():
            found[name] = found[name].model_copy(update={"explained_far": compared})
    return PartScores(events=len(rows), methods=found)


def _peak_gains(judged: JudgedDart) -> dict[str, dict[str, float]]:
    """Each method's gains by gauge ahead, fitted on validation events; none where those are not at hand."""
    valid, far = judged.valid, judged.windows.true.far_columns
    if valid is None:
        return {}
    if judged.is_own_data:
        answered = _rows_of(judged.answers, judged.rows["valid"])
    else:
        answered = judged.methods.answer(valid.level_m, valid.mask)
    expected = peak_amplitude(valid.true.after()[:, :, far])
    found = {}
    for name, weights in answered.weights_m.items():
        peaks = peak_amplitude(valid.true.after(judged.forecast(weights))[:, :, far])
        found[name] = dict(zip(judged.windows.true.far, scores.peak_gains(expected, peaks).tolist(), strict=True))
    return found


def _conditions(judged: JudgedDart, recorded: Windows) -> Iterator[tuple[str, Windows, np.ndarray, Methods]]:
    """The main part's windows changed: each buoy silent in turn, and with no noise and twice of it.

    Regularisation strengths are chosen again when a buoy is silent (known in operation), but not when the noise
    changes (unknown).

    Yields:
        name, changed windows, which of the events they are, and the methods that answer them.
    """
    all_events = np.arange(len(recorded.level_m))
    buoys = judged.record.buoys
    for column, name in enumerate(buoys if len(buoys) > 1 else ()):
        windows, kept = recorded.without(column)
        methods = judged.methods
        if judged.valid is not None and methods.smoothing is not None:
            methods = methods.chosen_on(judged.valid.without(column)[0], judged.greens)
        yield f"without {name}", windows, kept, methods
    true = recorded.true
    if judged.from_slip or not set(buoys) <= set(true.gauge_names):
        return
    columns = [list(true.gauge_names).index(name) for name in buoys]
    step = judged.record.step_min
    wave = true.waves_m[:, step : true.window_min + 1 : step, columns]
    for factor, name in ((0, "no noise or tide"), (2, "twice the noise and tide")):
        level = np.where(recorded.mask, wave + factor * (recorded.level_m - wave), 0)
        yield name, replace(recorded, level_m=level), all_events, judged.methods


def _strength(choice: Choice | None) -> Strength | None:
    if choice is None:
        return None
    by_strength = {f"{strength:.3g}": score for strength, score in choice.scores.items()}
    return Strength(strength=choice.strength, scores=by_strength)
