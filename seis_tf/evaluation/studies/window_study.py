"""How long must one wait? One source of events prepared, trained on and judged for windows of several lengths.

OUT/window-045/dataset and OUT/window-045/run hold each length's data set and judged run; OUT/window_study.csv has a
line for each length and method, OUT/window_uncertainty.csv one for each length, quantity and kind of draws, and
OUT/report.html the figure. A study that was interrupted goes on where it was.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seis_tf import runs
from seis_tf.dart.prepare import prepare_dart
from seis_tf.evaluation.dart import evaluation as dart_evaluation
from seis_tf.evaluation.dart.figures import SHORT, against_window
from seis_tf.evaluation.dart.methods import NETWORK, TRUE_SLIP
from seis_tf.evaluation.dart.scores import THRESHOLD_M
from seis_tf.evaluation.dart.sections import RIVAL, number_text
from seis_tf.evaluation.dart.uncertainty_section import window_tables
from seis_tf.evaluation.report.page import Picture, Report, Section, Table, simulated_notice, write_report
from seis_tf.evaluation.report.units import listed
from seis_tf.files import write_atomically, write_json
from seis_tf.settings.data import DartJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.training import TrainJob

WINDOWS_MIN = (15, 20, 30, 45, 60, 90)
# Column of the table: where it is found in a method's scores.
_COLUMNS = {
    "explained_far": ("explained", "far"),
    "mse_m2": ("mse_m2",),
    "mse_ratio": ("mse_ratio",),
    "true_on_predicted": ("peaks", "true_on_predicted"),
    "true_on_corrected": ("peaks_corrected", "true_on_predicted"),
    "predicted_on_true": ("peaks", "predicted_on_true"),
    "peak_bias_m": ("peaks", "bias_m"),
    "peak_r2": ("peaks", "r2"),
    "mw_mean": ("mw", "mean_mw"),
    "mw_mae": ("mw", "mae_mw"),
    "arrival_mae_min": ("arrival", "mae_min"),
    "missed_rate": ("alarms", "missed_rate"),
    "false_share": ("alarms", "false_share"),
}
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
Rows = list[dict[str, Any]]


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
) -> Rows:
    """Prepares, trains and judges for each window, and writes table, figure and report.

    Args:
        source: events as `prepare_dart` takes them, with records at least as long as the longest window.
        out: folder of the study; what is finished there of the same jobs is not done again.
        windows: lengths in minutes.
        job: how records become windows; its own window length is not used.
        train: model and training for every window; by default the published network's.
        threshold_m: of an alarm.
        draws: bootstrap samples of events for the intervals.
        say: told what happens.

    Returns:
        A row for each window and method, as in `window_study.csv`; of test events.

    Raises:
        ValueError: no windows, the source is too short for one, or `out` holds a study of other jobs.
    """
    if not windows or len(set(windows)) < len(windows):
        raise ValueError(f"windows: expected lengths in minutes, each once, received {list(windows)}")
    train = TrainJob.model_validate(preset_tree("conv1d", "published")) if train is None else train
    out, found = Path(out), {}
    for minutes in sorted(windows):
        own = job.model_copy(update={"record": job.record.model_copy(update={"window_min": minutes})})
        own = DartJob.model_validate(own.model_dump())  # a window that is no multiple of the step is refused here
        folder = out / f"window-{minutes:03d}"
        say(f"{minutes} min: data set")
        prepare_dart(source, folder / "dataset", own)
        say(f"{minutes} min: training")
        run = runs.train(folder / "dataset", train, folder / "run", resume=True)
        say(f"{minutes} min: judging")
        found[minutes] = dart_evaluation.evaluate(run, threshold_m=threshold_m, draws=draws)
    rows = [row for minutes, metrics in found.items() for row in study_rows(minutes, metrics)]
    write_atomically(out / "window_study.csv", _as_csv(rows).encode())
    sure = [row for minutes, metrics in found.items() for row in uncertainty_rows(minutes, metrics)]
    if sure:
        write_atomically(out / "window_uncertainty.csv", _as_csv(sure).encode())
    write_report(out, study_report(rows, found))
    write_json(out / "metrics.json", {"task": "window study", "rows": rows, "uncertainty": sure})
    return rows


def study_rows(window_min: int, metrics: dict[str, Any]) -> Rows:
    """The main scores of every method of one evaluation, a flat row each."""
    main = metrics["splits"][metrics["main"]]
    rows = []
    for name, scores in main["methods"].items():
        row: dict[str, Any] = {"window_min": window_min, "method": name, "events": main["events"]}
        for column, path in _COLUMNS.items():
            value = scores
            for key in path:
                value = value.get(key) if value else None
            row[column] = value
        beside = scores.get("explained_far", {})
        for column, key in (("explained_far", "interval"), ("network_better_by", "first_minus_this_interval")):
            row[f"{column}_low"], row[f"{column}_high"] = beside.get(key, (None, None))
        row["seconds_per_event"] = metrics["seconds_per_event"].get(name, {}).get("alone")
        rows.append(row)
    return rows


def uncertainty_rows(window_min: int, metrics: dict[str, Any]) -> Rows:
    """Coverage, width and CRPS of one evaluation: a flat row for each quantity and kind of draws; none without."""
    found = metrics.get("uncertainty")
    rows = []
    for kind, quantities in (found or {"draws": {}})["draws"].items():
        for name, own in quantities.items():
            row: dict[str, Any] = {"window_min": window_min, "draws": kind, "quantity": name}
            row |= {"fitted_on": found["fitted_on"], "tested_on": found["tested_on"]}
            row["climatology_crps"] = own["climatology"]["crps"]
            for stage in ("raw", "calibrated"):
                row[f"{stage}_crps"] = own[stage]["crps"]
                for score in ("coverage", "width"):
                    values = own[stage].get(score, [None] * len(found["levels"]))
                    for level, value in zip(found["levels"], values, strict=True):
                        row[f"{stage}_{score}_{100 * level:g}"] = value
            rows.append(row)
    return rows


def study_report(rows: Rows, found: dict[int, dict[str, Any]]) -> Report:
    """The page of a study.

    Args:
        rows: of all windows.
        found: window to the content of its `metrics.json`.
    """
    windows, first = list(found), next(iter(found.values()))
    methods = [name for name in _SHOWN if any(row["method"] == name for row in rows)]
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
    events = listed(sorted({f"{metrics['splits'][metrics['main']]['events']:,}" for metrics in found.values()}))
    text = [
        f"The same {events} test earthquakes in each window. The wave to come is that after the window at "
        f"{listed(first['far'])}; explained variance is 1 - SSE / SS pooled over events. Smoothing and pull are chosen "
        "for each window on validation events. True slip is what the true slip gives through the Green's functions "
        f"that all answers use. Alarms are for peaks of {first['threshold_m']:g} m or more. Axes end where a hopeless "
        "answer would squeeze the others."
    ]
    return Report(
        title="How long must one wait?",
        asked=(
            f"How good are slip and forecast {windows[0]} to {windows[-1]} minutes after an earthquake, from "
            f"{listed(first['buoys'])}, and when is the network better than least squares?"
        ),
        answer=_answer(rows, windows),
        notices=[simulated_notice()] * first["simulated"],
        sections=[
            Section("Error against window length", text, (), [Picture("windows", figure, "Test events.", "wide")]),
            Section("In numbers", ["Each window's own report is in window-MMM/run/report.html."], tables),
            *_sureness(found),
        ],
    )


def _sureness(found: dict[int, dict[str, Any]]) -> list[Section]:
    known = {minutes: each["uncertainty"] for minutes, each in found.items() if each.get("uncertainty")}
    if not known:
        return []
    text = (
        "Intervals of the network fitted on validation events, conformal, in bins of the predicted magnitude. Raw is "
        "what the spread of the draws alone says. CRPS is of the whole predictive distribution; climatology answers "
        "every event with all that happened in training. Each window's report says more."
    )
    return [Section("How sure is it?", [text], window_tables(known))]


def _answer(rows: Rows, windows: Sequence[int]) -> str:
    """Who explains most of the wave to come, and when."""
    explained = {
        window: {name: _value(rows, window, name, "explained_far") for name in (NETWORK, "hybrid", RIVAL)}
        for window in windows
        if _value(rows, window, NETWORK, "explained_far") is not None
    }
    if not explained:
        return "There is no wave to come in this data: nothing can be said."
    ahead = [f"{window}" for window, values in explained.items() if values[NETWORK] > values[RIVAL]]
    where = f"more of the wave to come than smoothed NNLS at {listed(ahead)} minutes" if ahead else ""
    where = where or "less of the wave to come than smoothed NNLS at every window"
    sure = [f"{w}" for w in explained if (_value(rows, w, RIVAL, "network_better_by_low") or 0) > 0]
    if sure:
        where += f" (at {listed(sure)} the 95 % interval over events says so too)"
    best: dict[str, list[str]] = {}
    for window, values in explained.items():
        best.setdefault(max(values, key=values.get), []).append(f"{window}")
    words = [f"{SHORT[name]} at {listed(minutes)} minutes" for name, minutes in best.items()]
    last, values = list(explained.items())[-1]
    shares = [f"{SHORT[name]} {100 * value:.0f} %" for name, value in values.items()]
    return (
        f"The network explains {where}. The best answer is {listed(words)}. With {last} minutes they explain: "
        f"{', '.join(shares)}."
    )


def _value(rows: Rows, window: int, method: str, column: str) -> float | None:
    return next((row[column] for row in rows if row["window_min"] == window and row["method"] == method), None)


def _as_csv(rows: Rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        numbers = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        writer.writerow({key: "" if value is None else value for key, value in numbers.items()})
    return text.getvalue()
