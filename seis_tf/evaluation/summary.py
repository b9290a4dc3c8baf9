"""The main numbers of an evaluation as one table: the model, and below it what needs no network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seis_tf.evaluation.tasks import EVALUATIONS


def summary(metrics: Mapping[str, Any]) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets.

    Args:
        metrics: the content of an evaluation's `metrics.json`.
    """
    return EVALUATIONS[metrics["task"]].summary(metrics)
