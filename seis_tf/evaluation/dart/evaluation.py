"""Stage 8 of task dart: a run -> what it is worth beside least squares: metrics, predictions, figures and a report.

The network, plain and smoothed NNLS and the hybrid of both answer the same windows with the same masks; the mean of the
training weights and no slip at all stand below them. Strengths are chosen on validation events only, and intervals are
over events. Intervals of the network's answers are fitted on validation events and go with the run.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dart.inversion import Choice, peak_amplitude
from seis_tf.evaluation.dart import scores
from seis_tf.evaluation.dart.calibrate import calibrate
from seis_tf.evaluation.dart.judged import JudgedDart, judge
from seis_tf.evaluation.dart.methods import NETWORK, TRUE_SLIP, Answers, Methods
from seis_tf.evaluation.dart.report import report_of
from seis_tf.evaluation.dart.scores import THRESHOLD_M, WaveErrors
from seis_tf.evaluation.dart.uncertainty_fit import sureness
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.evaluation.report.page import write_report
from seis_tf.files import write_atomically, write_json
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
) -> dict[str, Any]:
    """Judges a DART network beside the classical answers and writes what was found.

    Args:
        run_folder: a finished run of task dart, or its folder.
        data: another data set with the same window, buoys and sources, of which every record is judged whatever its
            split; the results go to `evaluations/<name>/` in the run. By default the run's own, judged by its splits.
        dataset: the run's own, where it is not found from the run.
        threshold_m: height of a wave that an alarm is given for.
        draws: bootstrap samples of events for the intervals.
        progress: told the steps done and the steps in all.
        say: told where the run's calibration is fitted only now, or can't be.

    Returns:
        The content of `metrics.json`.

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
    if not judged.own:
        out = run.folder / "evaluations" / f"{judged.dataset.resolve().name}-{judged.info.fingerprint[:8]}"
        out.mkdir(parents=True, exist_ok=True)
    metrics = metrics_of(judged, threshold_m, draws)
    progress(3, _STEPS)
    sure = sureness(judged)
    metrics["uncertainty"] = None if sure is None else sure.metrics
    metrics["calibration"] = calibration.get("fitted_on", "")
    progress(4, _STEPS)
    write_atomically(out / "predictions.csv", predictions_csv(judged).encode())
    write_report(out, report_of(judged, metrics, None if sure is None else sure.intervals))
    progress(5, _STEPS)
    write_json(out / "metrics.json", metrics)
    progress(_STEPS, _STEPS)
    return metrics


def metrics_of(judged: JudgedDart, threshold_m: float = THRESHOLD_M, draws: int = 1000) -> dict[str, Any]:
    """Everything that is told of a run in numbers but how sure it is: what `metrics.json` holds."""
    run, true, main = judged.run, judged.windows.true, judged.rows[judged.main]
    gains = _peak_gains(judged)
    splits = {
        part: _scores(judged, judged.methods, rows, _rows_of(judged.answers, rows), threshold_m, draws, gains)
        for part, rows in judged.rows.items()
    }
    far = true.far_columns
    members = [
        WaveErrors.of(replace(true, waves_m=true.waves_m[main]), judged.forecast(weights[main])).explained(far)
        for weights in judged.answers.members
    ]
    seen = judged.windows.rows(main)
    return {
        "task": "dart",
        "model": run.config.job.model.kind,
        "parameters": run.parameters,
        "members": run.members,
        "dataset": str(judged.dataset),
        "fingerprint": judged.info.fingerprint,
        "simulated": judged.info.simulated,
        "seen": judged.seen,
        "main": judged.main,
        "window_min": true.window_min,
        "step_min": judged.record.step_min,
        "buoys": list(judged.record.buoys),
        "gauges": list(true.gauge_names),
        "far": list(true.far),
        "threshold_m": threshold_m,
        "truth": "waves of the true slip" if judged.from_slip else "waves of the data set",
        "chosen": {name: _chosen(getattr(judged.methods, name)) for name in ("smoothing", "pull")},
        "seconds_per_event": judged.methods.seconds(seen.level_m, seen.mask),
        "splits": splits,
        "member_explained_far": scores.over_seeds(members),
        "conditions": {
            name: _scores(
                judged, methods, main[left], methods.answer(windows.level_m, windows.mask), threshold_m, 0, {}
            )
            for name, windows, left, methods in _conditions(judged, seen)
        },
    }


def predictions_csv(judged: JudgedDart) -> str:
    """A line for each event and answer, beside a line of what is true: magnitude, peaks after the window, slip."""
    true, text = judged.windows.true, io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    peaks = [f"peak_{name}_m" for name in true.gauge_names]
    slips = [f"slip_{name}_m" for name in judged.greens.source_names]
    writer.writerow(["split", "record_id", "method", "mw", *peaks, *slips])
    answers = {"truth": (judged.windows.weights_m, judged.columns["mw"], true.waves_m)}
    for name in WRITTEN:
        if name in judged.answers.weights_m:
            weights = judged.answers.weights_m[name]
            answers[name] = (weights, judged.answers.mw[name], judged.forecast(weights))
    heights = {name: peak_amplitude(true.after(waves)) for name, (_, _, waves) in answers.items()}
    for part, rows in judged.rows.items():
        for row in rows:
            for name, (weights, mw, _) in answers.items():
                numbers = (max(mw[row], 0), *heights[name][row], *weights[row])
                about = (part, judged.columns["record_id"][row], name)
                writer.writerow([*about, *(f"{number:.4g}" for number in numbers)])
    return text.getvalue()


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
    gains: dict[str, np.ndarray],
) -> dict[str, Any]:
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
        found[name] = {
            **scores.weight_scores(weights, predicted, methods.mean_m),
            "mw": scores.magnitude_scores(mw, all_mw[name]),
            **scores.forecast_scores(true, forecast, threshold_m),
        }
        if name in gains:
            expected, peaks = (peak_amplitude(true.after(waves)[:, :, true.far_columns]) for waves in (None, forecast))
            found[name]["peaks_corrected"] = {
                "gains": dict(zip(true.far, gains[name].tolist(), strict=True)),
                **scores.peak_scores(expected, peaks * gains[name]),
            }
    if draws and len(rows) > 1:
        for name, intervals in scores.beside(errors, true.far_columns, NETWORK, draws).items():
            found[name]["explained_far"] = intervals
    return {"events": len(rows), "methods": found}


def _peak_gains(judged: JudgedDart) -> dict[str, np.ndarray]:
    """Each method's gains at the far gauges [gauge], fitted on validation events; none where those are not at hand."""
    valid, far = judged.valid, judged.windows.true.far_columns
    if valid is None:
        return {}
    if judged.own:
        answered = _rows_of(judged.answers, judged.rows["valid"])
    else:
        answered = judged.methods.answer(valid.level_m, valid.mask)
    expected = peak_amplitude(valid.true.after()[:, :, far])
    return {
        name: scores.peak_gains(expected, peak_amplitude(valid.true.after(judged.forecast(weights))[:, :, far]))
        for name, weights in answered.weights_m.items()
    }


def _conditions(judged: JudgedDart, seen: Windows) -> Iterator[tuple[str, Windows, np.ndarray, Methods]]:
    """The main part's windows changed: each buoy silent in turn, and with no noise and twice of it.

    Who inverts knows which buoys are silent: strengths are chosen anew for that. Nobody knows the noise beforehand: for
    that they stay.
    """
    everyone = np.arange(len(seen.level_m))
    buoys = judged.record.buoys
    for column, name in enumerate(buoys if len(buoys) > 1 else ()):
        windows, left = seen.without(column)
        methods = judged.methods
        if judged.valid is not None and methods.smoothing is not None:
            methods = methods.chosen_on(judged.valid.without(column)[0], judged.greens)
        yield f"without {name}", windows, left, methods
    true = seen.true
    if judged.from_slip or not set(buoys) <= set(true.gauge_names):
        return
    columns = [list(true.gauge_names).index(name) for name in buoys]
    step = judged.record.step_min
    wave = true.waves_m[:, step : true.window_min + 1 : step, columns]
    for factor, name in ((0, "no noise or tide"), (2, "twice the noise and tide")):
        level = np.where(seen.mask, wave + factor * (seen.level_m - wave), 0)
        yield name, replace(seen, level_m=level), everyone, judged.methods


def _chosen(choice: Choice | None) -> dict[str, Any] | None:
    if choice is None:
        return None
    scores = {f"{strength:.3g}": score for strength, score in choice.scores.items()}
    return {"strength": choice.strength, "scores": scores}
