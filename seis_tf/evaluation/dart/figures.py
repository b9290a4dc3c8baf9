"""DART judgements -> figures: waves of an event, scores of all methods, peaks, magnitudes, error against window length.

One function a figure, arrays in; no file is read or written here. Maps are in `dart_maps.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from seis_tf.evaluation.report.figures import COLOURS, INK, QUIET, new_figure, styled

# Name of a method: colour, dash, marker. Other names get what is left.
LOOKS = {
    "network": (COLOURS[0], "-", "o"),
    "hybrid": (COLOURS[2], (0, (5, 1, 1, 1)), "D"),
    "smoothed_nnls": (COLOURS[1], "--", "s"),
    "nnls": (COLOURS[3], ":", "^"),
    "mean": (QUIET, "-.", "v"),
    "zero": (QUIET, ":", "x"),
    "true_slip": (INK, (0, (1, 1)), "*"),
}
SHORT = {
    "network": "network",
    "hybrid": "hybrid",
    "smoothed_nnls": "smoothed NNLS",
    "nnls": "plain NNLS",
    "mean": "mean slip",
    "zero": "zero",
    "true_slip": "true slip",
}
# Explained variance below this is drawn at the edge: how far below zero an answer is does not matter.
LOWEST = -0.5
_CM = 100.0


@styled
def event_waves(
    level_m: np.ndarray,
    mask: np.ndarray,
    buoys: Sequence[str],
    gauges: Sequence[str],
    forecasts_m: Mapping[str, np.ndarray],
    window_min: int,
    title: str,
    *,
    step_min: int = 1,
    truth_m: np.ndarray | None = None,
    band_m: Sequence[np.ndarray] | None = None,
    last_min: int = 240,
) -> Figure:
    """What was recorded, what was fitted to it, and how it goes on: a panel for each gauge.

    Its many arguments are the curves and labels of one figure, which are drawn and not passed on.

    Args:
        level_m: [sample, buoy], metres; the first sample is one step after the origin.
        mask: True where there is a sample, likewise.
        buoys: that were recorded.
        gauges: order of the waves' last axis; buoys among them are drawn on the left, others on the right.
        forecasts_m: name of a method to its wave [minute, gauge] from minute 0 on.
        window_min: end of the window.
        title: over the figure.
        step_min: minutes a sample.
        truth_m: the wave without noise [minute, gauge]; None where not known.
        band_m: lower and upper ends of the first method's 80 % intervals, each [minute, gauge]; drawn after the window.
        last_min: end of the time axis.
    """
    seen = [name for name in gauges if name in buoys]
    ahead = [name for name in gauges if name not in buoys]
    columns = [names for names in (seen, ahead) if names]
    rows = max(map(len, columns))
    figure = new_figure(9.6 if len(columns) > 1 else 4.8, 1.0 + 1.45 * rows)
    panels = figure.subplots(rows, len(columns), sharex=True, squeeze=False)
    minutes = (1 + np.arange(len(level_m))) * step_min
    for column, names in enumerate(columns):
        for row in range(rows):
            axes = panels[row, column]
            if row >= len(names):
                axes.set_visible(False)
                continue
            name = names[row]
            waves = {method: wave[:, list(gauges).index(name)] for method, wave in forecasts_m.items()}
            true = None if truth_m is None else truth_m[:, list(gauges).index(name)]
            if band_m is not None:
                ends = [values[window_min:, list(gauges).index(name)] * _CM for values in band_m]
                minute, shade = window_min + np.arange(len(ends[0])), _look(next(iter(waves)), 0)[0]
                axes.fill_between(minute, *ends, color=shade, alpha=0.18, lw=0, label="80 % interval")
            _draw_waves(axes, waves, true, window_min)
            words = f"{name}, ahead" if name in ahead else name
            if name in buoys:
                buoy = list(buoys).index(name)
                there = mask[:, buoy] > 0
                level = np.where(there, level_m[:, buoy], np.nan) * _CM
                # Single samples between gaps make no line.
                axes.plot(minutes, level, color=INK, lw=1.0, marker=".", ms=3, label="recorded", zorder=4)
                if not there.all():
                    words += f", {there.sum()} of {len(there)} samples" if there.any() else ", silent"
            axes.set_title(words, size=9.5)
            axes.set_xlim(0, last_min)
            if row == len(names) - 1:
                axes.set_xlabel("time after the origin (min)")
                axes.tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("water (cm)")
    found = {label: line for axes in panels.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=min(len(found), 5))
    _title(figure, title)
    return figure


@styled
def scores_by_method(rows: Sequence[tuple[str, float | None, Sequence[float] | None]], title: str) -> Figure:
    """Explained variance of each method with its interval; what is far below zero is drawn at the edge.

    Args:
        rows: method, value, [low, high] or None.
        title: over the figure.
    """
    rows = [row for row in rows if row[1] is not None]
    figure = new_figure(4.8, 1.2 + 0.42 * len(rows))
    axes = figure.subplots()
    for i, (name, value, bounds) in enumerate(rows):
        shade, _, marker = _look(name, i)
        place = max(value, LOWEST)
        if bounds is not None:
            axes.plot(np.maximum(bounds, LOWEST), [i, i], color=shade, lw=3, alpha=0.45, solid_capstyle="butt")
        axes.plot(place, i, "<" if value < LOWEST else marker, color=shade, ms=7)
        axes.annotate(_number(value), (place, i), (0, 6), textcoords="offset points", ha="center", size=8.5)
    axes.axvline(0, color=QUIET, lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), [SHORT.get(name, name) for name, _, _ in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.8), xlim=(LOWEST - 0.08, 1.06), title=title, xlabel="explained variance")
    axes.grid(False, axis="y")
    return figure


@styled
def scatter(
    true: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    unit: str,
    title: str,
    *,
    slopes: Mapping[str, float | None] | None = None,
    threshold: float | None = None,
) -> Figure:
    """True against predicted values, a panel for each method, with the line that they should lie on.

    Args:
        true: [value].
        predicted: method to [value].
        unit: of the axes, "m" or "Mw".
        title: over the figure.
        slopes: of the least-squares line of true on predicted, drawn through the means.
        threshold: of an alarm; drawn for both axes.
    """
    figure = new_figure(max(4.8, 3.2 * len(predicted)), 4.0)
    panels = figure.subplots(1, len(predicted), sharey=True, squeeze=False)[0]
    everything = np.concatenate([true, *predicted.values()])
    low, high = float(everything.min()), float(everything.max())
    ends = np.array([low, high]) + (0.04 * (high - low) or 0.1) * np.array([-1, 1])
    for i, (axes, (name, values)) in enumerate(zip(panels, predicted.items(), strict=True)):
        shade, _, marker = _look(name, i)
        axes.plot(ends, ends, color=QUIET, lw=1, ls=":", label="1 : 1")
        if threshold is not None:
            for line in (axes.axhline, axes.axvline):
                line(threshold, color=QUIET, lw=0.6)
        axes.scatter(values, true, s=11, color=shade, marker=marker if marker != "x" else "o", alpha=0.4, lw=0)
        slope = (slopes or {}).get(name)
        if slope is not None:
            fitted = true.mean() + slope * (ends - values.mean())
            axes.plot(ends, fitted, color=shade, lw=1.6, label=f"slope {slope:.2f}")
            axes.legend(loc="upper left")
        axes.set(xlim=ends, ylim=ends, box_aspect=1, xlabel=f"predicted ({unit})", title=SHORT.get(name, name))
    panels[0].set_ylabel(f"true ({unit})")
    _title(figure, title)
    return figure


@styled
def by_condition(rows: Mapping[str, Mapping[str, float | None]], title: str) -> Figure:
    """Explained variance of several methods where something is missing or worse.

    Args:
        rows: condition to method to value.
        title: over the figure.
    """
    figure = new_figure(9.6, 1.1 + 0.42 * len(rows))
    axes = figure.subplots()
    methods = list(dict.fromkeys(method for values in rows.values() for method in values))
    for k, method in enumerate(methods):
        shade, _, marker = _look(method, k)
        known = [(values[method], i) for i, values in enumerate(rows.values()) if values.get(method) is not None]
        if known:
            value, place = np.array(known).T
            place = place + 0.13 * (k - (len(methods) - 1) / 2)
            axes.plot(np.maximum(value, LOWEST), place, marker, color=shade, ms=6, label=SHORT.get(method, method))
    for place in np.arange(len(rows) - 1) + 0.5:
        axes.axhline(place, color="#e4e7eb", lw=0.8)
    axes.axvline(0, color=QUIET, lw=0.8, ls=":")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(LOWEST - 0.08, 1.06), title=title, xlabel="explained variance")
    axes.grid(False, axis="y")
    figure.legend(loc="outside lower center", ncols=len(methods))
    return figure


@styled
def against_window(
    windows_min: Sequence[int],
    scores: Mapping[str, Mapping[str, Sequence[float | None]]],
    goals: Mapping[str, float] | None = None,
) -> Figure:
    """How long must one wait: scores of the methods against the window's length, a panel for each score.

    Args:
        windows_min: lengths.
        scores: title of a score -> method -> value for each length; None where there is none.
        goals: title of a score -> what a perfect answer has; drawn as a thin line.
    """
    columns = 2 if len(scores) > 1 else 1
    rows = -(-len(scores) // columns)
    figure = new_figure(4.8 * columns, 0.5 + 3.1 * rows)
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
    for axes, (title, methods) in zip(panels, scores.items(), strict=False):
        for k, (name, values) in enumerate(methods.items()):
            shade, dash, marker = _look(name, k)
            numbers = np.array([np.nan if value is None else value for value in values], dtype=float)
            axes.plot(windows_min, numbers, marker=marker, ls=dash, color=shade, ms=5, label=SHORT.get(name, name))
        _cut(axes, methods)
        if goals is not None and title in goals:
            axes.axhline(goals[title], color=QUIET, lw=0.8, ls=":")
        axes.set_title(title)
        axes.xaxis.set_major_locator(FixedLocator(list(windows_min)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelbottom=True)
        axes.set_xlabel("window (min)")
    for axes in panels[len(scores) :]:
        axes.set_visible(False)
    found = {label: line for axes in panels for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=3 if columns == 1 else 6)
    return figure


@styled
def detidings(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], window_min: float, title: str) -> Figure:
    """What several ways of detiding leave of one record.

    Args:
        curves: name to minutes after the origin and metres, each [sample].
        window_min: end of what a causal way may use.
        title: over the figure.
    """
    figure = new_figure(9.6, 4.0)
    axes = figure.subplots()
    axes.axvspan(0, window_min, color="#f0f3f7", lw=0, zorder=0)
    axes.axvline(window_min, color=INK, lw=0.8, ls=":")
    dashes = ("-", "--", ":", "-.")
    for k, (name, (minutes, level)) in enumerate(curves.items()):
        axes.plot(minutes, level * _CM, ls=dashes[k % 4], color=COLOURS[k % len(COLOURS)], lw=1.4, label=name)
    axes.set(xlabel="time after the origin (min)", ylabel="water (cm)", title=title)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _title(figure: Figure, title: str) -> None:
    figure.suptitle(f"{title}\n", x=0.01, ha="left", size=11, weight="bold", linespacing=0.6)


def _cut(axes: Axes, methods: Mapping[str, Sequence[float | None]]) -> None:
    """Ends the axis some way outside the middle half of the values, so that a hopeless answer squeezes no other."""
    values = np.array([v for series in methods.values() for v in series if v is not None], dtype=float)
    if values.size < 4:
        return
    low, high = np.quantile(values, [0.25, 0.75])
    spread = 1.5 * (high - low)  # Tukey's rule for outliers
    bottom, top = max(values.min(), low - spread), min(values.max(), high + spread)
    margin = 0.06 * (top - bottom) or 0.1
    axes.set_ylim(bottom - margin, top + margin)


def _draw_waves(axes: Axes, waves: Mapping[str, np.ndarray], true: np.ndarray | None, window_min: int) -> None:
    axes.axvspan(0, window_min, color="#f0f3f7", lw=0, zorder=0)
    axes.axvline(window_min, color=INK, lw=0.8, ls=":", label="end of the window")
    if true is not None:
        axes.plot(np.arange(len(true)), true * _CM, color="#9aa5b1", lw=3, label="truth")
    for k, (name, wave) in enumerate(waves.items()):
        shade, dash, _ = _look(name, k)
        axes.plot(np.arange(len(wave)), wave * _CM, ls=dash, color=shade, lw=1.5, label=SHORT.get(name, name))


def _look(name: str, number: int) -> tuple:
    return LOOKS.get(name, (COLOURS[number % len(COLOURS)], "-", "o"))


def _number(value: float) -> str:
    return f"{value:.3f}" if value > -10 else f"{value:.3g}"
