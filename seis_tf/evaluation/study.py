"""What a job must say so that its networks can be judged and studied: `Evaluation`.

`evaluation/tasks.py` lists those of the two jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.calibrated import Say
from seis_tf.evaluation.results import Metrics, Result, Spread
from seis_tf.evaluation.stats.folds import Fold
from seis_tf.evaluation.stats.paired import McNemar
from seis_tf.runs import Run
from seis_tf.settings.training import TrainJob


@dataclass(frozen=True)
class Variant:
    """One change of an ablation.

    Attributes:
        name: for the table.
        model: changed settings of the model.
        training: changed settings of the training.
        data: changes of the records, as `Evaluation.changed` takes them.
    """

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def job(self, base: TrainJob) -> TrainJob:
        """The changed job."""
        tree = base.model_dump()
        return TrainJob.model_validate(
            tree | {"model": tree["model"] | self.model, "training": tree["training"] | self.training}
        )


@dataclass(frozen=True)
class Paired:
    """How two models' answers to the same records differ in the main score.

    Attributes:
        gains: each event's part of the difference [group]; they add up to it.
        drawn: the difference in resampled events [draw].
        mcnemar: McNemar's test, for a task with right and wrong answers.
    """

    gains: np.ndarray
    drawn: np.ndarray
    mcnemar: McNemar | None = None


class FoldSpread(Spread):
    """A score over folds, and its value in each."""

    by_fold: list[float]


@dataclass(frozen=True)
class Evaluation:
    """One job as it is judged.

    Attributes:
        evaluate: (run, other data set or None, options) -> metrics; writes them and the report.
        metrics: their type, which `metrics.json` is read with.
        calibrate: (run, its data set where not found from the run, say) -> content of `calibration.json`.
        summary: metrics -> title, header and rows of the main scores.
        features: that folds and scores of the studies need beside those of the training.
        main_score: the main score of the task.
        score: (table, outputs, rows, training rows) -> scores by name.
        values: (table, outputs, rows) -> one value for each record that `compare` takes: class, or error.
        compare: (table, values of one and of the other [seed, record], groups, draws) -> how they differ.
        trivial: (table, folds) -> scores of the trivial predictors on the same folds, by name.
        variants: (job, data set) -> what an ablation asks of every model of its kind.
        changed: (table, changes) -> the same records, otherwise prepared.
    """

    evaluate: Callable[..., Metrics]
    metrics: type[Result]
    calibrate: Callable[[Run, Path | str | None, Say], dict[str, Any]]
    summary: Callable[[Any], tuple[str, list[str], list[list[str]]]]
    features: tuple[str, ...]
    main_score: str
    score: Callable[[Table, np.ndarray, np.ndarray, np.ndarray], dict[str, float]]
    values: Callable[[Table, np.ndarray, np.ndarray], np.ndarray]
    compare: Callable[[Table, np.ndarray, np.ndarray, np.ndarray, int], Paired]
    trivial: Callable[[Table, Sequence[Fold]], dict[str, FoldSpread]]
    variants: Callable[[TrainJob, DatasetInfo], list[Variant]]
    changed: Callable[[Table, dict[str, Any]], Table]


OPTIMIZERS = tuple(Variant(f"optimizer {name}", training={"optimizer": name}) for name in ("sgd", "adam"))


def unknown_changes(changes: dict[str, Any], known: set[str]) -> None:
    """Refuses changes of records that a job does not know.

    Raises:
        ValueError: names those that it knows.
    """
    if unknown := sorted(changes.keys() - known):
        raise ValueError(f"ablation: expected changes of {', '.join(sorted(known))}, received {unknown}")
