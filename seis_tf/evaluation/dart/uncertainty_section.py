"""How sure a DART answer is, in a report: scores before and after calibration, stated against measured coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from seis_tf.evaluation.report.figures import QUIET, colour, new_figure, styled
from seis_tf.evaluation.report.page import Picture, Section, Table
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.stats.intervals import coverage_limits

QUANTITIES = {"mw": "Mw", "peak_m": "peak ahead", "forecast_m": "wave ahead", "weights_m": "slip"}
DRAWS = {"ensemble": "ensemble", "network": "one network", "dropout": "MC dropout"}
_CM = 100.0
_UNITS = {"mw": ("", 1.0, 3), "peak_m": (" cm", _CM, 1), "forecast_m": (" cm", _CM, 2), "weights_m": (" m", 1.0, 2)}
_NOTHING = "–"
Found = Mapping[str, Any]


def uncertainty_section(metrics: Found) -> Section:
    """The section of one evaluation."""
    found = metrics["uncertainty"]
    if found is None:
        words = (
            "No intervals were fitted: that needs the run's own data set with at least 39 validation events whose "
            "records hold enough for a magnitude and next to no gaps, and such events to judge them on."
        )
        return Section("How sure is it?", [words])
    main = next(iter(found["draws"]))
    own, levels = found["draws"][main], found["levels"]
    stated = _levels(levels)
    perfect = _ranges(found["limits"]["perfect"])
    fitted_on, tested_on = count(found["fitted_on"], "validation event"), count(found["tested_on"], "other event")
    bins = count(len(found["edges"]) + 1, "bin")
    events = found.get("events", {"valid": found["fitted_on"], "test": found["tested_on"]})
    without = [
        f"{events[p] - found[key]:,} of {events[p]:,}" for p, key in (("valid", "fitted_on"), ("test", "tested_on"))
    ]
    text = [
        f"Intervals of {stated} were fitted to the errors on {fitted_on} (conformal, lower and upper end apart, "
        f"in {bins} of the predicted magnitude) and are judged on {tested_on}. Of so many independent events a "
        f"perfect interval covers {perfect} in 99 of 100 trials; one fitted on these validation events scatters more, "
        f"{_ranges(found['limits']['conformal'])}. Peaks and waves are pooled over the gauges ahead, and those of one "
        "event are alike; of a wave those minutes are judged in which one is forecast, for the calm before is no feat.",
        f"{without[0]} validation and {without[1]} other events are in none of these numbers: the network finds no "
        "slip, their records hold too few samples or too little signal for a magnitude, or a buoy or more than is "
        "allowed is missing. An answer says which of these it is and has no interval; which it is follows from the "
        "records alone, so the intervals keep their promise for all others. For those events nothing is promised.",
        "Raw is what the spread of the draws alone says, as if they were normal: it knows nothing of noise and of the "
        "errors of the Green's functions. CRPS measures a whole predictive distribution, in the unit of what is "
        "predicted; climatology answers every event with all that happened in training.",
    ]
    tables = [_scores_table(found), _bins_table(own, levels)]
    figure = reliability(
        {QUANTITIES[name]: own[name]["reliability"] for name in ("mw", "peak_m") if name in own}, found["tested_on"]
    )
    caption = "Stated against measured coverage; grey: where 99 % of perfect intervals would be."
    return Section("How sure is it?", text, tables, [Picture("reliability", figure, caption, "wide")])


def window_tables(found: Mapping[int, Found]) -> list[Table]:
    """Coverage and CRPS of Mw, peak and wave by window length.

    Args:
        found: window to the entry `uncertainty` of its metrics; windows without one are left out.
    """
    tables = []
    for name in ("mw", "peak_m", "forecast_m"):
        rows = []
        for minutes, each in found.items():
            own = next(iter(each["draws"].values())).get(name)
            if own is not None:
                rows.append([f"{minutes} min", *_row(name, own, True)])
        if rows:
            tables.append(Table(["", *_HEADER], rows, f"Intervals of {QUANTITIES[name]}, test events", [0]))
    return tables


@styled
def reliability(series: Mapping[str, Mapping[str, Sequence[float]]], events: int) -> Figure:
    """Stated against measured coverage, a panel for each quantity.

    Args:
        series: name of a quantity to `stated` and the measured coverage of each kind of intervals.
        events: that were tested, for the band.
    """
    figure = new_figure(4.8 * len(series), 4.0)
    panels = figure.subplots(1, len(series), sharey=True, squeeze=False)[0]
    for axes, (name, values) in zip(panels, series.items(), strict=True):
        stated = np.array(values["stated"])
        limits = np.array([coverage_limits(events, level) for level in stated])
        axes.fill_between(stated, *limits.T, color=QUIET, alpha=0.25, lw=0)
        axes.plot([0, 1], [0, 1], color=QUIET, lw=1, ls=":", label="honest")
        for k, kind in enumerate(key for key in ("calibrated", "raw") if key in values):
            axes.plot(stated, values[kind], "os"[k] + ("-", "--")[k], c=colour(k), ms=3.5, lw=1.2, label=kind)
        axes.set(xlim=(0, 1), ylim=(0, 1), box_aspect=1, xlabel="stated coverage", title=name)
    panels[0].set_ylabel("measured coverage")
    panels[0].legend(loc="upper left")
    return figure


_HEADER = ("CRPS", "climatology", "raw CRPS", "raw coverage", "coverage", "width of 80 %")


def _scores_table(found: Found) -> Table:
    rows = []
    for name, words in QUANTITIES.items():
        for number, (kind, scores) in enumerate((k, s) for k, s in found["draws"].items() if name in s):
            cells = _row(name, scores[name], not number)
            rows.append([f"{words}, {DRAWS[kind]}", *cells])
    covered = f"Coverage of {_levels(found['levels'])} intervals and CRPS, test events"
    return Table(["", *_HEADER], rows, covered)


def _row(name: str, own: Found, with_climatology: bool) -> list[str]:
    raw, fitted = own["raw"], own["calibrated"]
    return [
        _amount(name, fitted["crps"]),
        _amount(name, own["climatology"]["crps"]) if with_climatology else "",
        _amount(name, raw["crps"]),
        _parts(raw["coverage"]) if "coverage" in raw else _NOTHING,
        _parts(fitted["coverage"]),
        _amount(name, fitted["width"][1]),
    ]


def _bins_table(own: Found, levels: Sequence[float]) -> Table:
    header = ["", "events", "Mw", "Mw, 99 % range", *(["peak ahead"] if "peak_m" in own else [])]
    rows = []
    for words, key in (("predicted", "by_predicted_mw"), ("true", "by_true_mw")):
        for number, each in enumerate(own["mw"][key]):
            limits = [coverage_limits(each["events"], level) for level in levels]
            peak = [_parts(np.mean(own["peak_m"][key][number]["coverage"], axis=0))] if "peak_m" in own else []
            cells = [f"{each['events']:,}", _parts(each["coverage"][0]), _ranges(limits)]
            rows.append([f"{words} Mw {_between(each)}", *cells, *peak])
    caption = (
        "Coverage by magnitude. It is promised where the predicted magnitude is the same; of events with one true "
        "magnitude it can't be where the records say little, as answers are then drawn to the middle"
    )
    return Table(header, rows, caption)


def _between(each: Found) -> str:
    if each["from"] is None:
        return "all" if each["to"] is None else f"to {each['to']:.2f}"
    return f"above {each['from']:.2f}" if each["to"] is None else f"{each['from']:.2f} to {each['to']:.2f}"


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
