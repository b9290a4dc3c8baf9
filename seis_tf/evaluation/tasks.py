"""How each task is judged: the one place of `evaluation` that knows both jobs."""

from __future__ import annotations

from seis_tf.evaluation.dart.study import EVALUATION as DART
from seis_tf.evaluation.study import Evaluation
from seis_tf.evaluation.waveforms.study import EVALUATION as WAVEFORMS
from seis_tf.settings.networks import NetworkSettings

EVALUATIONS: dict[str, Evaluation] = {"waveforms": WAVEFORMS, "dart": DART}


def evaluation_of(model: NetworkSettings) -> Evaluation:
    """How the task is judged that a network is for."""
    return EVALUATIONS[model.task]
