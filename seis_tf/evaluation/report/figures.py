"""Arrays -> figures of scores, one function a figure; no file is read or written here.

Figures are made for a column of a page that may be a phone's: narrow, large letters, distinguished not by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from seis_tf.evaluation.stats.classification import SnrScores
from seis_tf.evaluation.stats.scores import Reliability

# Okabe and Ito's palette: distinguished with every kind of colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, QUIET = "#1f2933", "#7b8794"
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
}
styled = matplotlib.rc_context(_STYLE)  # decorates every function that makes a figure


def new_figure(width_in: float = 4.8, height_in: float = 3.6) -> Figure:
    """An empty figure of the house's size."""
    return Figure(figsize=(width_in, height_in), layout="constrained")


def colour(number: int) -> str:
    """The colour of class, model or split number so-and-so."""
    return COLOURS[number % len(COLOURS)]


@styled
def loss_curves(history: Sequence[Sequence[Mapping[str, float]]], best_epochs: Sequence[int], kept: str) -> Figure:
    """Training and validation loss by epoch; one thin line for each member of an ensemble.

    Args:
        history: member -> epoch -> scores, with "epoch", "loss" and, where there were validation records, "val_loss".
        best_epochs: of each member.
        kept: "best" or "last", which weights the run ended with.
    """
    figure = new_figure()
    axes = figure.subplots()
    for column, name, number in (("loss", "training", 0), ("val_loss", "validation", 1)):
        for k, rows in enumerate(history):
            if column in rows[0]:
                values = [row[column] for row in rows]
                label = name if k == 0 else None
                width = 1.8 if len(history) == 1 else 0.9
                axes.plot(
                    [row["epoch"] for row in rows], values, _DASHES[number], c=colour(number), lw=width, label=label
                )
    for k, best in enumerate(best_epochs):
        label = f"best epoch, {'kept' if kept == 'best' else 'not kept'}" if k == 0 else None
        axes.axvline(best, color=QUIET, lw=1, ls=":", label=label)
    losses = [row[c] for rows in history for row in rows for c in ("loss", "val_loss") if c in row]
    if min(losses) > 0 and max(losses) / min(losses) > 20:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="loss", title="Loss while training")
    axes.legend()
    return figure


@styled
def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str], title: str) -> Figure:
    """Counts [true, answered], shaded by the part of each true class."""
    confusion = np.asarray(confusion)
    n_classes = len(class_names)
    parts = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure = new_figure(4.8, 4.2)
    axes = figure.subplots()
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
    size = 10 if n_classes <= 5 else 7
    for i, j in np.ndindex(confusion.shape):
        text = f"{confusion[i, j]}\n{100 * parts[i, j]:.0f} %" if n_classes <= 8 else str(confusion[i, j])
        axes.text(j, i, text, ha="center", va="center", size=size, color="white" if parts[i, j] > 0.55 else INK)
    axes.set_xticks(range(n_classes), class_names, rotation=30 if n_classes > 3 else 0)
    axes.set_yticks(range(n_classes), class_names)
    axes.grid(False)
    axes.set(xlabel="answered", ylabel="true class", title=title)
    return figure


@styled
def roc_curves(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Each class against the rest: found against falsely alarmed, over all thresholds."""
    figure = new_figure()
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":", label="chance")
    for k, name, dash in _classes_with_curves(labels, class_names):
        false, true, _ = roc_curve(labels == k, probabilities[:, k])
        area = np.trapezoid(true, false)
        axes.plot(false, true, dash, c=colour(k), label=f"{name} (area {area:.3f})")
    axes.set(xlabel="false alarms, part of the other classes", ylabel="found, part of the class")
    axes.set(title="ROC, each class against the rest", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower right")
    return figure


@styled
def precision_recall_curves(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Each class against the rest: how many answers are right when so many records are found."""
    figure = new_figure()
    axes = figure.subplots()
    for k, name, dash in _classes_with_curves(labels, class_names):
        precision, recall, _ = precision_recall_curve(labels == k, probabilities[:, k])
        area = -np.sum(np.diff(recall) * precision[:-1])  # the definition of average precision
        axes.plot(recall, precision, dash, c=colour(k), label=f"{name} (area {area:.3f})", drawstyle="steps-post")
    axes.set(xlabel="recall: part of the class that is found", ylabel="precision: part of the answers that is right")
    axes.set(title="Precision and recall", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.legend(loc="lower left")
    return figure


@styled
def reliability_diagram(found: Mapping[str, Reliability]) -> Figure:
    """Confidence against how often it was right, in bins of equal mass, with two binomial deviations; counts below.

    Args:
        found: name, e.g. "before scaling", to its bins.
    """
    figure = new_figure(4.8, 4.4)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
    low = min(float(r.confidence.min()) for r in found.values())
    axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":", label="honest")
    for k, (name, bins) in enumerate(found.items()):
        spread = 2 * np.sqrt(bins.accuracy * (1 - bins.accuracy) / bins.records)
        axes.errorbar(
            bins.confidence, bins.accuracy, np.minimum(spread, 1), fmt=_MARKERS[k] + "-", c=colour(k), ms=4, lw=1,
            capsize=0, label=f"{name} (ECE {bins.ece:.3f})",
        )  # fmt: skip
        counts.vlines(bins.confidence, 0, bins.records, color=colour(k), lw=2.5, alpha=0.7)
    axes.set(ylabel="part that was right", title="Are the probabilities calibrated?", ylim=(-0.03, 1.06))
    axes.set_xlim(min(low, 0.9) - 0.03, 1.02)
    axes.legend(loc="lower right" if low < 0.8 else "lower left")
    counts.set(xlabel="probability of the answer, mean of each bin", ylabel="records", ylim=(0, None))
    return figure


@styled
def recall_by_snr(rows: Sequence[SnrScores], class_names: Sequence[str]) -> Figure:
    """Part of each class that is found by signal-to-noise ratio, with the records of each bin.

    Args:
        rows: as `classification.by_snr` gives them.
        class_names: in order.
    """
    figure = new_figure()
    axes = figure.subplots()
    for k, (name, marker) in enumerate(zip(class_names, cycle(_MARKERS), strict=False)):
        known = [(i, row.recall[name], row.class_records[name]) for i, row in enumerate(rows)]
        known = [(i, recall, records) for i, recall, records in known if recall is not None]
        if known:
            places, recalls, records = zip(*known, strict=True)
            axes.plot(places, recalls, marker + "-", c=colour(k), label=name, lw=1.2, ms=5)
            axes.scatter(places, recalls, s=8 + 5 * np.sqrt(records), marker=marker, color=colour(k), zorder=3)
    names = [f"{_bin_name(row)}\n{row.records}" for row in rows]
    axes.set_xticks(range(len(rows)), names)
    axes.set(xlabel="signal-to-noise ratio in dB, and records", ylabel="part that is found", ylim=(-0.05, 1.08))
    axes.set_title("Recall by signal-to-noise ratio")
    axes.legend(loc="lower right")
    return figure


@styled
def score_comparison(rows: Sequence[tuple[str, float, Sequence[float] | None]], xlabel: str, title: str) -> Figure:
    """Scores with their intervals below each other, the first one marked.

    Args:
        rows: name, value, [low, high] or None.
        xlabel: the score.
        title: over the figure.
    """
    figure = new_figure(4.8, 1.2 + 0.36 * len(rows))
    axes = figure.subplots()
    for i, (_, value, bounds) in enumerate(rows):
        shade = colour(0) if i == 0 else QUIET
        if bounds is not None:
            axes.plot(bounds, [i, i], color=shade, lw=3, alpha=0.45, solid_capstyle="butt")
        axes.plot(value, i, "o", color=shade, ms=7)
        axes.annotate(f"{value:.3f}", (value, i), (0, 6), textcoords="offset points", ha="center", size=8.5)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.margins(x=0.09)
    axes.grid(False, axis="y")
    axes.set(xlabel=xlabel, title=title)
    return figure


@styled
def peak_amplitudes(peaks: np.ndarray, labels: np.ndarray, class_names: Sequence[str], unit: str) -> Figure:
    """How far peak amplitude alone tells the classes apart: histograms on a log axis.

    Args:
        peaks: [record], above 0.
        labels: int [record].
        class_names: in order.
        unit: of the peaks.
    """
    figure = new_figure()
    axes = figure.subplots()
    low, high = np.log10(peaks.min()), np.log10(peaks.max())
    edges = np.logspace(low - 0.01, high + 0.01, 30)
    for k, name in enumerate(class_names):
        if np.any(labels == k):
            axes.hist(peaks[labels == k], edges, color=colour(k), alpha=0.25)
            axes.hist(
                peaks[labels == k], edges, color=colour(k), histtype="step", lw=1.5, ls=_DASHES[k % 4], label=name
            )
    axes.set_xscale("log")
    axes.set(xlabel=f"peak amplitude ({unit})", ylabel="records", title="Peak amplitude by class")
    axes.legend()
    return figure


@styled
def band_scatter(
    low: np.ndarray, high: np.ndarray, labels: np.ndarray, class_names: Sequence[str], band_names: tuple[str, str]
) -> Figure:
    """Mean amplitude in one frequency band against that in another, by class, on log axes.

    Args:
        low: [record], above 0.
        high: likewise.
        labels: int [record].
        class_names: in order.
        band_names: of `low` and `high`.
    """
    figure = new_figure()
    axes = figure.subplots()
    for k, (name, marker) in enumerate(zip(class_names, cycle(_MARKERS), strict=False)):
        rows = labels == k
        axes.scatter(low[rows], high[rows], s=12, marker=marker, color=colour(k), alpha=0.55, lw=0, label=name)
    axes.set(xscale="log", yscale="log", title="Amplitude in two bands")
    axes.set(xlabel=f"mean amplitude, {band_names[0]}", ylabel=f"mean amplitude, {band_names[1]}")
    axes.legend()
    return figure


def _classes_with_curves(labels: np.ndarray, class_names: Sequence[str]):
    for k, name in enumerate(class_names):
        if 0 < np.count_nonzero(labels == k) < len(labels):
            yield k, name, _DASHES[k % len(_DASHES)]


def _bin_name(row: SnrScores) -> str:
    low, high = row.from_db, row.to_db
    if low is None:
        return "all" if high is None else f"< {high:g}"
    return f"> {low:g}" if high is None else f"{low:g}–{high:g}"
