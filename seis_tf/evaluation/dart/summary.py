"""The main numbers of a DART network's evaluation as one table: the network, and below it the classical answers."""

from __future__ import annotations

from seis_tf.evaluation.dart.figures import SHORT
from seis_tf.evaluation.dart.metrics import DartMetrics
from seis_tf.evaluation.report.cells import PARTS, with_interval
from seis_tf.evaluation.report.units import count


def summary(metrics: DartMetrics) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets."""
    rows = []
    for name, found in metrics.main_scores.methods.items():
        rows.append(
            [
                SHORT[name],
                with_interval(found.explained_ahead, found.explained_far.interval),
                with_interval(found.explained_far.first_minus_this, found.explained_far.first_minus_this_interval),
                with_interval(found.mse_m2, None, 2),
                with_interval(found.mse_ratio, None),
                with_interval(found.mw.mae_mw, None, 2),
            ]
        )
    events = count(metrics.main_scores.events, "earthquake")
    title = f"{PARTS[metrics.main]}: {events}, {metrics.window_min} min seen"
    scores = (
        "wave explained",
        "network better by",
        "slip MSE (m²)",
        "over that of the mean",
        "Mw: mean absolute error",
    )
    return title, ["", *scores], rows
