"""Uncertainty of DART answers in a report: scores before and after calibration, stated against measured coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from seis_tf.evaluation.dart.metrics import BinCoverage, QuantityScores, StatedCoverage, UncertaintyMetrics
from seis_tf.evaluation.report.figures import QUIET, colour, new_figure, styled
from seis_tf.evaluation.report.page import Picture, Section, Table
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.stats.intervals import coverage_limits

QUANTITIES = {"mw": "Mw", "peak_m": "peak ahead", "forecast_m": "wave ahead", "weights_m": "slip"}
DRAWS = {"ensemble": "ensemble", "network": "one network", "dropout": "MC dropout"}
_CM = 100.0
_UNITS = {"mw": ("", 1.0, 3), "peak_m": (" cm", _CM, 1), "forecast_m": (" cm", _CM, 2), "weights_m": (" m", 1.0, 2)}
_NOTHING = "–"


def uncertainty_section(found: UncertaintyMetrics | None) -> Section:
    """The section of one evaluation; of None it says why there are no intervals."""
    if found is None:
        words = (
            "No intervals were fitted: that needs the run's own data set with at least 39 validation events whose "
            "records hold enough for a magnitude and next to no gaps, and such events to judge them on."
        )
        return Section("Uncertainty", [words])
    main = next(iter(found.draws))
    first, levels = found.draws[main], found.levels
    stated = _levels(levels)
    perfect = _ranges(found.limits.perfect)
    fitted_on, tested_on = count(found.fitted_on, "validation event"), count(found.tested_on, "other event")
    bins = count(len(found.edges) + 1, "bin")
    text = [
        f"Intervals of {stated} were fitted to the errors on {fitted_on} (conformal, lower and upper end apart, "
        f"in {bins} of the predicted magnitude) and are judged on {tested_on}. Of so many independent events a "
        f"perfect interval covers {perfect} in 99 of 100 trials; one fitted on these validation events scatters more, "
        f"{_ranges(found.limits.conformal)}. Peaks and waves are pooled over the gauges ahead, and those of one "
        "event are alike; of a wave only those minutes are judged in which one is forecast.",
        f"{found.without_intervals[0]} validation and {found.without_intervals[1]} other events are in none of these "
        "numbers: the network finds no slip, their records hold too few samples or too little signal for a magnitude, "
        "or a buoy or more than is allowed is missing. An answer says which of these it is and has no interval; which "
        "it is follows from the records alone, so the intervals hold for all others. Those have no stated coverage.",
        "Raw is what the spread of the draws alone says, as if they were normal: it holds neither noise nor errors of "
        "the Green's functions. CRPS measures a whole predictive distribution, in the unit of what is "
        "predicted; climatology answers every event with all that happened in training.",
    ]
    tables = [_scores_table(found), _bins_table(first, levels)]
    stated_coverage = {QUANTITIES[name]: first[name].reliability for name in ("mw", "peak_m") if name in first}
    figure = reliability({name: each for name, each in stated_coverage.items() if each}, found.tested_on)
    caption = "Stated against measured coverage; grey: where 99 % of perfect intervals would be."
    return Section("Uncertainty", text, tables, [Picture("reliability", figure, caption, "wide")])


def window_tables(found: Mapping[int, UncertaintyMetrics]) -> list[Table]:
    """Coverage and CRPS of Mw, peak and wave by window length.

    Args:
        found: window to its scores; windows without one are left out.
    """
    tables = []
    for name in ("mw", "peak_m", "forecast_m"):
        rows = []
        for minutes, each in found.items():
            scores = next(iter(each.draws.values())).get(name)
            if scores is not None:
                rows.append([f"{minutes} min", *_row(name, scores, True)])
        if rows:
            tables.append(Table(["", *_HEADER], rows, f"Intervals of {QUANTITIES[name]}, test events", [0]))
    return tables


@styled
def reliability(series: Mapping[str, StatedCoverage], events: int) -> Figure:
    """Stated against measured coverage, a panel for each quantity.

    Args:
        series: name of a quantity to its coverage.
        events: that were tested, for the band.
    """
    figure = new_figure(4.8 * len(series), 4.0)
    panels = figure.subplots(1, len(series), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, series.items(), strict=True):
        stated = np.array(values.stated)
        limits = np.array([coverage_limits(events, level) for level in stated])
        axes.fill_between(stated, *limits.T, color=QUIET, alpha=0.25, lw=0)
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":", label="perfect")
        kinds = {"calibrated": values.calibrated} | ({} if values.raw is None else {"raw": values.raw})
        for k, (kind, measured) in enumerate(kinds.items()):
            axes.plot(stated, measured, "os"[k] + ("-", "--")[k], c=colour(k), ms=3.5, lw=1.2, label=kind)
        axes.set(xlim=(0, 1), ylim=(0, 1), box_aspect=1, xlabel="stated coverage", title=name)
    panels[0].set_ylabel("measured coverage")
    panels[0].legend(loc="upper left")
    return figure


_HEADER = ("CRPS", "climatology", "raw CRPS", "raw coverage", "coverage", "width of 80 %")


def _scores_table(found: UncertaintyMetrics) -> Table:
    rows = []
    for name, words in QUANTITIES.items():
        for number, (kind, scores) in enumerate((k, s) for k, s in found.draws.items() if name in s):
            cells = _row(name, scores[name], not number)
            rows.append([f"{words}, {DRAWS[kind]}", *cells])
    covered = f"Coverage of {_levels(found.levels)} intervals and CRPS, test events"
    return Table(["", *_HEADER], rows, covered)


def _row(name: str, scores: QuantityScores, with_climatology: bool) -> list[str]:
    raw, fitted = scores.raw, scores.calibrated
    return [
        _amount(name, fitted.crps),
        _amount(name, scores.climatology.crps) if with_climatology else "",
        _amount(name, raw.crps),
        _parts(raw.coverage) if raw.coverage else _NOTHING,
        _parts(fitted.coverage) if fitted.coverage else _NOTHING,
        _amount(name, fitted.width[1]) if fitted.width else _NOTHING,
    ]


def _bins_table(first: Mapping[str, QuantityScores], levels: Sequence[float]) -> Table:
    mw, peak = first["mw"], first.get("peak_m")
    header = ["", "events", "Mw", "Mw, 99 % range", *(["peak ahead"] if peak else [])]
    rows = []
    for words, bins, peak_bins in (
        ("predicted", mw.by_predicted_mw, peak.by_predicted_mw if peak else None),
        ("true", mw.by_true_mw, peak.by_true_mw if peak else None),
    ):
        for number, each in enumerate(bins):
            limits = [coverage_limits(each.events, level) for level in levels]
            of_peak = [_parts(np.mean(peak_bins[number].coverage, axis=0))] if peak_bins else []
            cells = [f"{each.events:,}", _parts(each.coverage[0]), _ranges(limits)]
            rows.append([f"{words} Mw {_between(each)}", *cells, *of_peak])
    caption = (
        "Coverage by magnitude. It holds for each predicted magnitude; of events with one true magnitude it "
        "can't where the records say little, as answers are then drawn to the middle"
    )
    return Table(header, rows, caption)


def _between(each: BinCoverage) -> str:
    if each.from_mw is None:
        return "all" if each.to_mw is None else f"to {each.to_mw:.2f}"
    return f"above {each.from_mw:.2f}" if each.to_mw is None else f"{each.from_mw:.2f} to {each.to_mw:.2f}"


def _amount(name: str, value: float) -> str:
    unit, scale, digits = _UNITS[name]
    return f"{scale * value:.{digits}f}{unit}"


def _levels(levels: Sequence[float]) -> str:
    return f"{' / '.join(f'{100 * level:g}' for level in levels)} %"


def _parts(values: Sequence[float]) -> str:
    """Parts in percent: "50.9 / 80.2 / 95.1 %"."""
    return f"{' / '.join(f'{100 * value:.1f}' for value in values)} %"


def _ranges(limits: Sequence[Sequence[float]]) -> str:
    return f"{' / '.join(f'{100 * low:.1f} to {100 * high:.1f}' for low, high in limits)} %"
