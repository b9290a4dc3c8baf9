"""Which end of a score is the better one, for every score of every task, and the best epoch by it."""

import numpy as np

from seis_tf import tasks
from seis_tf.evaluation.stats.scores import HEADLINES
from seis_tf.evaluation.studies import fitting
from seis_tf.settings.networks import CnnSettings, Conv1dSettings, MlpSettings, SlipMlpSettings
from seis_tf.settings.training import TrainJob
from seis_tf.training.scores import best_row, smaller_is_better

# Of each score of each task, by its definition: errors and losses are to be small, parts that are right large.
BETTER_SMALL = {"loss", "log_loss", "brier", "ece", "mse", "mse_ratio"}
BETTER_LARGE = {"accuracy", "balanced_accuracy", "macro_f1"}


def test_every_score_of_every_task_has_its_better_end():
    kinds = (MlpSettings(), CnnSettings(), Conv1dSettings(), SlipMlpSettings())
    computed = {"loss", *HEADLINES, *(name for kind in kinds for name in tasks.task_of(kind).metrics)}
    computed |= {fitting.main_score(TrainJob(model=kind))[0] for kind in kinds}
    assert computed <= BETTER_SMALL | BETTER_LARGE
    for name in BETTER_SMALL | BETTER_LARGE:
        assert smaller_is_better(name) == smaller_is_better(f"val_{name}") == (name in BETTER_SMALL)
    for kind in kinds:
        name, larger = fitting.main_score(TrainJob(model=kind))
        assert larger == (name in BETTER_LARGE)


def test_the_best_row_of_a_history_is_the_first_best_and_never_a_nan():
    history = [{"val_mse": v, "val_accuracy": v} for v in (np.nan, 3.0, 1.0, 5.0, 1.0, 5.0)]
    assert best_row(history, "val_mse") is history[2]
    assert best_row(history, "val_accuracy") is history[3]
