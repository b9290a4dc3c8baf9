"""How each task is exported: the only module of `serve.export` that imports both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from seis_tf.runs import Run
from seis_tf.serve.export import card_dart, card_waveforms, check_dart, check_waveforms
from seis_tf.serve.export.calibration import Calibration
from seis_tf.serve.export.card import CardParts
from seis_tf.serve.export.dart_graph import Forecaster
from seis_tf.serve.export.signature import Graph
from seis_tf.serve.export.waveform_graph import Classifier


@dataclass(frozen=True)
class TaskExport:
    """One task as it is exported.

    Attributes:
        graph: (run, its calibration) -> the graph that is saved.
        check: (report, what answers, run, graph, test records); adds to the report whether the answers are the run's.
        card: the model card's parts.
    """

    graph: Callable[[Run, Calibration], Graph]
    check: Callable[..., None]
    card: CardParts


def _classifier(run: Run, calibration: Calibration) -> Graph:
    return Classifier(run.model, run.config.info, calibration.temperature)


def _forecaster(run: Run, calibration: Calibration) -> Graph:
    return Forecaster(run.model, run.config.info, calibration.intervals, run.config.job.answer)


EXPORTS: dict[str, TaskExport] = {
    "waveforms": TaskExport(
        _classifier,
        check_waveforms.answers,
        CardParts(card_waveforms.what, card_waveforms.scores, card_waveforms.calibration, card_waveforms.limits),
    ),
    "dart": TaskExport(
        _forecaster,
        check_dart.answers,
        CardParts(card_dart.what, card_dart.scores, card_dart.calibration, card_dart.limits),
    ),
}
