"""Figures of studies: learning curves, differences with intervals, an epoch study."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from seis_tf.evaluation.report.figures import INK, QUIET, colour, new_figure, styled


@styled
def learning_curve(
    records: np.ndarray, parts: dict[str, tuple[np.ndarray, np.ndarray]], ylabel: str, title: str, log: bool
) -> Figure:
    """Score against training size: mean over folds and seeds, a band of one deviation over all fits.

    Args:
        records: mean training records of each size [size].
        parts: name ("training", "new events") to (mean [size], deviation [size]).
        ylabel: the score.
        title: over the figure.
        log: whether the score has a log axis.
    """
    figure = new_figure()
    axes = figure.subplots()
    for k, (name, (mean, spread)) in enumerate(parts.items()):
        axes.fill_between(records, mean - spread, mean + spread, color=colour(k), alpha=0.18, lw=0)
        axes.plot(records, mean, "o-" if k else "s--", c=colour(k), ms=4.5, label=name)
    axes.set_xscale("log")
    axes.set_xticks(records, [f"{n:,.0f}" for n in records])
    axes.minorticks_off()
    if log:
        axes.set_yscale("log")
    axes.set(xlabel="training records", ylabel=ylabel, title=title)
    axes.legend(loc="best")
    return figure


@styled
def spreads(records: np.ndarray, data: np.ndarray, seeds: np.ndarray, ylabel: str) -> Figure:
    """How much of a score's spread comes from which events were drawn, and how much from the seed.

    Args:
        records: mean training records of each size [size].
        data: standard deviation over folds, that of the seeds taken out [size].
        seeds: standard deviation over seeds within a fold [size].
        ylabel: the score.
    """
    figure = new_figure(4.8, 3.2)
    axes = figure.subplots()
    places = np.arange(len(records))
    axes.bar(places - 0.2, data, 0.4, color=colour(0), label="which events")
    axes.bar(places + 0.2, seeds, 0.4, color=colour(1), hatch="//", label="which seed")
    axes.set_xticks(places, [f"{n:,.0f}" for n in records])
    axes.set(xlabel="training records", ylabel=f"standard deviation of {ylabel}", title="Where the spread comes from")
    axes.legend()
    return figure


@styled
def differences(rows: Sequence[tuple[str, float, Sequence[float]]], xlabel: str, title: str) -> Figure:
    """Differences with their intervals, and the line of no difference.

    Args:
        rows: name, value, [low, high].
        xlabel: what differs.
        title: over the figure.
    """
    figure = new_figure(4.8, 1.25 + 0.36 * len(rows))
    axes = figure.subplots()
    axes.axvline(0, color=INK, lw=1)
    for i, (_, value, bounds) in enumerate(rows):
        clear = bounds[0] > 0 or bounds[1] < 0
        axes.plot(bounds, [i, i], color=colour(0) if clear else QUIET, lw=3, alpha=0.5, solid_capstyle="butt")
        axes.plot(value, i, "o", color=colour(0) if clear else QUIET, ms=7)
        axes.annotate(f"{value:+.3f}", (value, i), (0, 6), textcoords="offset points", ha="center", size=8.5)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.12)
    axes.grid(False, axis="y")
    axes.set(xlabel=xlabel, title=title)
    return figure


@styled
def fold_scores(names: Sequence[str], values: np.ndarray, ylabel: str) -> Figure:
    """The score of every fold for each model, the same fold joined by a line.

    Args:
        names: of the models.
        values: mean over seeds [model, fold].
        ylabel: the score.
    """
    figure = new_figure()
    axes = figure.subplots()
    places = np.arange(len(names))
    for fold in values.T:
        axes.plot(places, fold, "-", color=QUIET, lw=0.9, alpha=0.7)
    for k, row in enumerate(values):
        axes.plot(np.full(len(row), k), row, "o", color=colour(k), ms=5)
        axes.plot([k - 0.18, k + 0.18], [row.mean()] * 2, color=colour(k), lw=3)
    axes.set_xticks(places, names, rotation=20 if max(map(len, names)) * len(names) > 40 else 0)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set(ylabel=ylabel, title="Fold by fold")
    return figure


@styled
def epoch_study(epochs: np.ndarray, losses: dict[str, np.ndarray], best: int, ylabel: str) -> Figure:
    """Training, validation and test loss over a long training, with the epoch that validation would choose.

    Args:
        epochs: [epoch].
        losses: name to [epoch].
        best: the epoch with the lowest validation loss.
        ylabel: the loss.
    """
    figure = new_figure(4.8, 3.8)
    axes = figure.subplots()
    for k, (name, values) in enumerate(losses.items()):
        axes.plot(epochs, values, ("-", "--", "-.")[k % 3], c=colour(k), lw=1.4, label=name)
    axes.axvline(best, color=QUIET, lw=1, ls=":", label=f"best on validation: {best}")
    low = min(float(np.min(v)) for v in losses.values())
    if low > 0 and max(float(np.max(v)) for v in losses.values()) / low > 10:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=ylabel, title="Loss over a long training")
    axes.legend()
    return figure
