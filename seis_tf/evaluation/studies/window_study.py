"""How long must one wait? One source of events prepared, trained on and judged for windows of several lengths.

OUT/window-045/dataset and OUT/window-045/run hold each length's data set and judged run; OUT/window_study.csv has a
line for each length and method, OUT/window_uncertainty.csv one for each length, quantity and kind of draws, and
OUT/report.html the figure. A study that was interrupted goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf import runs
from seis_tf.dart.prepare import prepare_dart
from seis_tf.evaluation.dart import evaluation as dart_evaluation
from seis_tf.evaluation.dart.figures import SHORT, against_window
from seis_tf.evaluation.dart.methods import NETWORK, TRUE_SLIP
from seis_tf.evaluation.dart.metrics import DartMetrics, UncertaintyMetrics
from seis_tf.evaluation.dart.scores import THRESHOLD_M
from seis_tf.evaluation.dart.sections import RIVAL, number_text
from seis_tf.evaluation.dart.uncertainty_section import window_tables
from seis_tf.evaluation.report.page import Picture, Report, Section, Table, notices_of
from seis_tf.evaluation.report.units import listed
from seis_tf.evaluation.results import Result
from seis_tf.evaluation.studies.writing import write_study
from seis_tf.files import rows_as_csv
from seis_tf.settings.data import DartJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.training import TrainJob

WINDOWS_MIN = (15, 20, 30, 45, 60, 90)
_PANELS = {
    "explained_far": "Explained variance of the wave to come",
    "true_on_predicted": "Slope of true on predicted peaks",
    "mse_ratio": "Slip MSE over that of the mean slip",
    "mw_mae": "Mean absolute error of Mw",
    "missed_rate": "Missed alarms, part of the waves",
    "false_share": "False alarms, part of the alarms",
}
_TABLE_ONLY = {"true_on_corrected": "The same slope after a gain for each gauge, fitted on validation events"}
_SHOWN = (NETWORK, "hybrid", RIVAL, "nnls", "mean", TRUE_SLIP)


class WindowRow(Result):
    """The main scores of one method with one window, of test events; the columns of `window_study.csv`.

    None where a score is not defined or was not computed. `explained_far` and the peaks are of the gauges ahead,
    `_low` and `_high` are ends of 95 % intervals over events.
    """

    window_min: int
    method: str
    events: int
    explained_far: float | None
    mse_m2: float
    mse_ratio: float | None
    true_on_predicted: float | None
    true_on_corrected: float | None
    predicted_on_true: float | None
    peak_bias_m: float
    peak_r2: float | None
    mw_mean: float | None
    mw_mae: float | None
    arrival_mae_min: float | None
    missed_rate: float | None
    false_share: float | None
    explained_far_low: float | None
    explained_far_high: float | None
    network_better_by_low: float | None
    network_better_by_high: float | None
    seconds_per_event: float | None

    def column(self, name: str) -> float | None:
        """One of the scores by its name."""
        return getattr(self, name)


class WindowStudy(Result):
    """A study of window lengths: `metrics.json`.

    Attributes:
        task: "window study".
        rows: a row for each window and method.
        uncertainty: a row for each window, quantity and kind of draws, as in `window_uncertainty.csv`; its columns
            depend on the levels of the intervals.
    """

    task: str
    rows: list[WindowRow]
    uncertainty: list[dict[str, Any]]


def window_study(
    source: Path | str,
    out: Path | str,
    windows: Sequence[int] = WINDOWS_MIN,
    *,
    job: DartJob = DartJob(),
    train: TrainJob | None = None,
    threshold_m: float = THRESHOLD_M,
    draws: int = 1000,
    say: Callable[[str], None] = lambda words: None,
) -> WindowStudy:
    """Prepares, trains and judges for each window, and writes table, figure and report.

    Its many arguments are the settings of the study, each with a default.

    Args:
        source: events as `prepare_dart` takes them, with records at least as long as the longest window.
        out: folder of the study; what is finished there of the same jobs is not done again.
        windows: lengths in minutes.
        job: how records become windows; its own window length is not used.
        train: model and training for every window; by default the published network's.
        threshold_m: of an alarm.
        draws: bootstrap samples of events for the intervals.
        say: called with a sentence for each step.

    Returns:
        The result, which `metrics.json` holds.

    Raises:
        ValueError: no windows, the source is too short for one, or `out` holds a study of other jobs.
    """
    if not windows or len(set(windows)) < len(windows):
        raise ValueError(f"windows: expected lengths in minutes, each once, received {list(windows)}")
    train = TrainJob.model_validate(preset_tree("conv1d", "published")) if train is None else train
    out, found = Path(out), {}
    for minutes in sorted(windows):
        changed = job.model_copy(update={"record": job.record.model_copy(update={"window_min": minutes})})
        changed = DartJob.model_validate(changed.model_dump())  # refuses a window that is no multiple of the step
        folder = out / f"window-{minutes:03d}"
        say(f"{minutes} min: data set")
        prepare_dart(source, folder / "dataset", changed)
        say(f"{minutes} min: training")
        run = runs.train(folder / "dataset", train, folder / "run", resume=True)
        say(f"{minutes} min: judging")
        found[minutes] = dart_evaluation.evaluate(run, threshold_m=threshold_m, draws=draws)
    rows = [row for minutes, metrics in found.items() for row in study_rows(minutes, metrics)]
    uncertainty = [row for minutes, metrics in found.items() for row in uncertainty_rows(minutes, metrics.uncertainty)]
    tables = {"window_study.csv": _as_csv([row.tree() for row in rows])}
    if uncertainty:
        tables["window_uncertainty.csv"] = _as_csv(uncertainty)
    study = WindowStudy(task="window study", rows=rows, uncertainty=uncertainty)
    write_study(out, "metrics", study, study_report(rows, found), tables)
    return study


def study_rows(window_min: int, metrics: DartMetrics) -> list[WindowRow]:
    """The main scores of every method of one evaluation, a flat row each."""
    main = metrics.main_scores
    rows = []
    for name, scores in main.methods.items():
        low, high = scores.explained_far.interval or (None, None)
        better_low, better_high = scores.explained_far.first_minus_this_interval or (None, None)
        seconds, corrected = metrics.seconds_per_event.get(name), scores.peaks_corrected
        rows.append(
            WindowRow(
                window_min=window_min,
                method=name,
                events=main.events,
                explained_far=scores.explained_ahead,
                mse_m2=scores.mse_m2,
                mse_ratio=scores.mse_ratio,
                true_on_predicted=scores.peaks.true_on_predicted,
                true_on_corrected=None if corrected is None else corrected.true_on_predicted,
                predicted_on_true=scores.peaks.predicted_on_true,
                peak_bias_m=scores.peaks.bias_m,
                peak_r2=scores.peaks.r2,
                mw_mean=scores.mw.mean_mw,
                mw_mae=scores.mw.mae_mw,
                arrival_mae_min=scores.arrival.mae_min,
                missed_rate=scores.alarms.missed_rate,
                false_share=scores.alarms.false_share,
                explained_far_low=low,
                explained_far_high=high,
                network_better_by_low=better_low,
                network_better_by_high=better_high,
                seconds_per_event=None if seconds is None else seconds.alone,
            )
        )
    return rows


def uncertainty_rows(window_min: int, found: UncertaintyMetrics | None) -> list[dict[str, Any]]:
    """Coverage, width and CRPS of one evaluation: a flat row for each quantity and kind of draws; none without."""
    if found is None:
        return []
    rows = []
    for kind, quantities in found.draws.items():
        for name, scores in quantities.items():
            row: dict[str, Any] = {"window_min": window_min, "draws": kind, "quantity": name}
            row |= {"fitted_on": found.fitted_on, "tested_on": found.tested_on}
            row |= {"climatology_crps": scores.climatology.crps}
            for stage, found_scores in (("raw", scores.raw), ("calibrated", scores.calibrated)):
                row[f"{stage}_crps"] = found_scores.crps
                for score, values in (("coverage", found_scores.coverage), ("width", found_scores.width)):
                    for level, value in zip(found.levels, values or [None] * len(found.levels), strict=True):
                        row[f"{stage}_{score}_{100 * level:g}"] = value
            rows.append(row)
    return rows


def study_report(rows: Sequence[WindowRow], found: dict[int, DartMetrics]) -> Report:
    """The page of a study.

    Args:
        rows: of all windows.
        found: window to its evaluation.
    """
    windows, first = list(found), next(iter(found.values()))
    methods = [name for name in _SHOWN if any(row.method == name for row in rows)]
    series = {
        column: {name: [_value(rows, window, name, column) for window in windows] for name in methods}
        for column in _PANELS | _TABLE_ONLY
    }
    series["true_on_predicted"].pop("mean", None)  # one answer to every event has no slope
    figure = against_window(
        windows, {title: series[column] for column, title in _PANELS.items()}, {_PANELS["true_on_predicted"]: 1.0}
    )
    header = ["", *(f"{window} min" for window in windows)]
    tables = [
        Table(header, [[SHORT[name], *map(number_text, values)] for name, values in series[column].items()], title, [0])
        for column, title in (_PANELS | _TABLE_ONLY).items()
    ]
    events = listed(sorted({f"{metrics.main_scores.events:,}" for metrics in found.values()}))
    text = [
        f"The same {events} test earthquakes in each window. The wave to come is that after the window at "
        f"{listed(first.far)}; explained variance is 1 - SSE / SS pooled over events. Smoothing and pull are chosen "
        "for each window on validation events. True slip is what the true slip gives through the Green's functions "
        f"that all answers use. Alarms are for peaks of {first.threshold_m:g} m or more. Axes end where a much worse "
        "answer would squeeze the others."
    ]
    return Report(
        title="How long must one wait?",
        asked=(
            f"How good are slip and forecast {windows[0]} to {windows[-1]} minutes after an earthquake, from "
            f"{listed(first.buoys)}, and when is the network better than least squares?"
        ),
        answer=_answer(rows, windows),
        notices=notices_of(first.simulated),
        sections=[
            Section("Error against window length", text, (), [Picture("windows", figure, "Test events.", "wide")]),
            Section("In numbers", ["Each window's own report is in window-MMM/run/report.html."], tables),
            *_uncertainty_sections(found),
        ],
    )


def _uncertainty_sections(found: dict[int, DartMetrics]) -> list[Section]:
    known = {minutes: each.uncertainty for minutes, each in found.items() if each.uncertainty is not None}
    if not known:
        return []
    text = (
        "Intervals of the network fitted on validation events, conformal, in bins of the predicted magnitude. Raw is "
        "what the spread of the draws alone says. CRPS is of the whole predictive distribution; climatology answers "
        "every event with all that happened in training. Each window's report says more."
    )
    return [Section("Uncertainty", [text], window_tables(known))]


def _answer(rows: Sequence[WindowRow], windows: Sequence[int]) -> str:
    """Which answer explains most of the wave to come, and with which window."""
    explained: dict[int, dict[str, float]] = {}
    for window in windows:
        known = {name: _value(rows, window, name, "explained_far") for name in (NETWORK, "hybrid", RIVAL)}
        if known[NETWORK] is not None:
            explained[window] = {name: -np.inf if value is None else value for name, value in known.items()}
    if not explained:
        return "There is no wave to come in this data: nothing can be said."
    ahead = [f"{window}" for window, values in explained.items() if values[NETWORK] > values[RIVAL]]
    where = f"more of the wave to come than smoothed NNLS at {listed(ahead)} minutes" if ahead else ""
    where = where or "less of the wave to come than smoothed NNLS at every window"
    clear = [f"{w}" for w in explained if (_value(rows, w, RIVAL, "network_better_by_low") or 0) > 0]
    if clear:
        where += f" (at {listed(clear)} the 95 % interval over events says so too)"
    best: dict[str, list[str]] = {}
    for window, values in explained.items():
        best.setdefault(max(values.items(), key=lambda item: item[1])[0], []).append(f"{window}")
    words = [f"{SHORT[name]} at {listed(minutes)} minutes" for name, minutes in best.items()]
    last, values = list(explained.items())[-1]
    shares = [f"{SHORT[name]} {100 * value:.0f} %" for name, value in values.items() if np.isfinite(value)]
    return (
        f"The network explains {where}. The best answer is {listed(words)}. With {last} minutes they explain: "
        f"{', '.join(shares)}."
    )


def _value(rows: Sequence[WindowRow], window: int, method: str, column: str) -> float | None:
    found = (row.column(column) for row in rows if row.window_min == window and row.method == method)
    return next(found, None)


def _as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """As CSV, with six digits."""
    return rows_as_csv([{key: f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()} for row in rows])
