"""The main numbers of a DART network's evaluation as one table: the network, and below it the classical answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seis_tf.evaluation.dart.figures import SHORT
from seis_tf.evaluation.report.cells import PARTS, with_interval
from seis_tf.evaluation.report.units import count


def summary(metrics: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets."""
    main = metrics["splits"][metrics["main"]]
    rows = []
    for name, found in main["methods"].items():
        beside = found.get("explained_far", {})
        rows.append(
            [
                SHORT[name],
                with_interval(found["explained"]["far"], beside.get("interval")),
                with_interval(beside.get("first_minus_this"), beside.get("first_minus_this_interval")),
                with_interval(found["mse_m2"], None, 2),
                with_interval(found["mse_ratio"], None),
                with_interval(found["mw"]["mae_mw"], None, 2),
            ]
        )
    title = f"{PARTS[metrics['main']]}: {count(main['events'], 'earthquake')}, {metrics['window_min']} min seen"
    scores = (
        "wave explained",
        "network better by",
        "slip MSE (m²)",
        "over that of the mean",
        "Mw: mean absolute error",
    )
    return title, ["", *scores], rows
