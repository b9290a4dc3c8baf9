"""A judged DART run -> the sections of its report, each built of figures and of sentences made from the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from seis_tf.evaluation.dart import figures as dart_figures
from seis_tf.evaluation.dart.figures import SHORT
from seis_tf.evaluation.dart.methods import NETWORK, TRUE_SLIP
from seis_tf.evaluation.dart.metrics import DartMetrics, MethodScores
from seis_tf.evaluation.dart.sections import (
    RIVAL,
    capital_text,
    conditions_section,
    examples_section,
    gauges_section,
    method_section,
    number_text,
    peaks_section,
    time_text,
)
from seis_tf.evaluation.dart.uncertainty_section import uncertainty_section
from seis_tf.evaluation.report.page import KeyNumber, Picture, Report, Section, Table, notices_of
from seis_tf.evaluation.report.sections import PARTS, loss_picture
from seis_tf.evaluation.report.units import count, listed, percent
from seis_tf.evaluation.stats.intervals import Intervals

if TYPE_CHECKING:
    from seis_tf.evaluation.dart.judged import JudgedDart


def report_of(judged: JudgedDart, metrics: DartMetrics, intervals: Intervals | None = None) -> Report:
    """The page of one evaluation.

    Args:
        judged: what was judged.
        metrics: its numbers.
        intervals: of the run's answers; None where there were too few validation events.
    """
    sections = [
        _scores_section(judged, metrics),
        gauges_section(metrics),
        peaks_section(judged, metrics),
        uncertainty_section(metrics.uncertainty),
        examples_section(judged, metrics, intervals),
        conditions_section(metrics),
        method_section(judged, metrics),
    ]
    return Report(
        title=f"{judged.run.folder.resolve().name}: {_words(judged)} on {judged.dataset.resolve().name}",
        asked=(
            f"What can be said {metrics.window_min} minutes after an earthquake from {listed(metrics.buoys)}? "
            f"How well does a {_words(judged)} with {metrics.parameters:,} parameters find the slip and the wave to "
            "come, and is it better than least squares?"
        ),
        answer=_answer(metrics),
        key_numbers=_key_numbers(metrics),
        notices=_notices(judged),
        sections=sections,
    )


def _answer(metrics: DartMetrics) -> str:
    main = metrics.main_scores
    network = main.methods[NETWORK]
    rival = RIVAL if RIVAL in main.methods else "nnls"
    other = main.methods[rival]
    value, rival_value = network.explained_ahead, other.explained_ahead
    if value is None or rival_value is None:
        return "There is no wave to come in this data: nothing can be said."
    words = (
        f"It explains {percent(value)} of the wave to come at {listed(metrics.far)} "
        f"({count(main.events, 'earthquake')}{_interval(network.explained_far.interval)})."
    )
    words += f" {capital_text(SHORT[rival])} explains {percent(rival_value)}"
    bounds, difference = other.explained_far.first_minus_this_interval, other.explained_far.first_minus_this
    if bounds is None or difference is None:
        return f"{words}."
    verdict = "better" if bounds[0] > 0 else "worse" if bounds[1] < 0 else "not clearly better or worse"
    return (
        f"{words}: the network is {verdict}, by {100 * difference:+.1f} points "
        f"({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f}). {_slope_words(main.methods)}"
    )


def _slope_words(methods: dict[str, MethodScores]) -> str:
    slope = methods[NETWORK].peaks.true_on_predicted
    if slope is None:
        return ""
    limit = methods[TRUE_SLIP].peaks.true_on_predicted if TRUE_SLIP in methods else None
    best = "" if limit is None else f" (the true slip, through the same Green's functions: {limit:.2f})"
    if 0.95 <= slope <= 1.05:
        return f"It neither under- nor over-predicts large waves: slope of true on predicted peaks {slope:.2f}{best}."
    verb = "under" if slope > 1 else "over"
    return f"It {verb}-predicts large waves: true peaks grow {slope:.2f} times as fast as predicted ones{best}."


def _key_numbers(metrics: DartMetrics) -> list[KeyNumber]:
    network = metrics.main_scores.methods[NETWORK]
    interval = network.explained_far.interval
    seconds = metrics.seconds_per_event[NETWORK]
    detail = f"95 % interval over events {interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
    return [
        KeyNumber(number_text(network.explained_ahead), "explained variance of the wave to come", detail),
        KeyNumber(
            number_text(network.peaks.true_on_predicted, 2),
            "slope of true on predicted peaks",
            "1 is right; above 1 large waves are under-predicted",
        ),
        KeyNumber(
            number_text(network.mw.mae_mw, 2),
            "mean absolute error of Mw",
            f"mean error {number_text(network.mw.mean_mw, 2, '+')}",
        ),
        KeyNumber(time_text(seconds.alone), "for one event", f"{time_text(seconds.batch)} an event in a batch"),
    ]


def _notices(judged: JudgedDart) -> list[str]:
    notices = notices_of(judged.info.simulated)
    if judged.from_slip:
        notices.append(
            "No waves in the data: truth is what the true slip makes by the very Green's functions of the inversion, "
            "which flatters every answer."
        )
    if judged.seen:
        notices.append(
            f"Seen before: {count(judged.seen, 'earthquake')} of this data set are also in the training data; scores "
            "are not those of new events."
        )
    if not judged.is_own_data and judged.seen is None:
        notices.append(
            "The training data is not where it was: no smoothed NNLS, no hybrid, no mean slip, and it was not checked "
            "whether events of this data set were trained on."
        )
    return notices


def _scores_section(judged: JudgedDart, metrics: DartMetrics) -> Section:
    parts, main = metrics.splits, metrics.main_scores
    header = ["", "explained", "95 % interval", "network better by", "slip MSE (m²)", "/ constant", "time"]
    rows, dots = [], []
    for name, found in main.methods.items():
        interval, difference = found.explained_far.interval, found.explained_far.first_minus_this
        gap = found.explained_far.first_minus_this_interval
        better = "" if gap is None else f"{difference:+.3f} ({gap[0]:+.3f} to {gap[1]:+.3f})"
        between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
        seconds = metrics.seconds_per_event.get(name)
        rows.append(
            [SHORT[name], number_text(found.explained_ahead), between, better, number_text(found.mse_m2, 2),
             number_text(found.mse_ratio), time_text(seconds.alone) if seconds else ""]
        )  # fmt: skip
        dots.append((name, found.explained_ahead, interval))
    tables = [
        Table(header, rows, f"All answers, {PARTS[judged.main]} ({count(main.events, 'earthquake')})", strong=[0])
    ]
    if len(parts) > 1:
        header = ["explained variance", *(f"{PARTS[part]} ({found.events:,})" for part, found in parts.items())]
        body = [
            [SHORT[name], *(number_text(found.methods[name].explained_ahead) for found in parts.values())]
            for name in main.methods
        ]
        tables.append(Table(header, body, "By part of the data", strong=[0]))
    text = [
        f"Explained variance is 1 - SSE / SS, pooled over events, of the wave after minute {metrics.window_min} at "
        f"{listed(metrics.far)}, which lie ahead; 1 is perfect, 0 is no better than no wave at all, below 0 is "
        "worse. The hybrid is NNLS pulled towards the network; mean slip is the mean of the training weights, whatever "
        "was recorded, and the constant that slip errors are compared with. Time is of one event alone."
    ]
    if TRUE_SLIP in main.methods:
        text.append(
            "True slip is no answer, but what the true slip itself gives through the Green's functions that all "
            "answers use: what it leaves is the error of these functions, which no better slip takes away."
        )
    spread = metrics.member_explained_far
    if metrics.members > 1 and spread is not None:
        text.append(
            f"The network is an ensemble: its {metrics.members} members alone reach {spread.mean:.3f} with a "
            f"deviation of {spread.std:.3f} over seeds."
        )
    title = f"Wave to come explained, {PARTS[judged.main]}"
    caption = "Explained variance at the gauges ahead; bars are 95 % intervals from resampling events."
    pictures = [Picture("scores", dart_figures.scores_by_method(dots, title), caption), loss_picture(judged.run)]
    return Section("How good it is", text, tables, pictures)


def _words(judged: JudgedDart) -> str:
    name = judged.run.config.job.model.title
    return name if judged.run.members == 1 else f"{name} ensemble of {judged.run.members}"


def _interval(bounds: Sequence[float] | None) -> str:
    return "" if bounds is None else f"; 95 % interval {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %"
