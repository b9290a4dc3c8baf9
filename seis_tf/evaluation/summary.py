"""The main numbers of an evaluation as one table: the model, and below it what needs no network."""

from __future__ import annotations

from seis_tf.evaluation.results import Metrics
from seis_tf.evaluation.tasks import EVALUATIONS


def summary(metrics: Metrics) -> tuple[str, list[str], list[list[str]]]:
    """Title, header and rows of the main part's scores, with 95 % intervals over events in brackets.

    Args:
        metrics: of an evaluation.
    """
    return EVALUATIONS[metrics.task].summary(metrics)
