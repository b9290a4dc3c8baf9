"""Many fits of one job, over folds, seeds and training sizes, as few stacks of models: what the studies are made of.

Fits that share their data are trained as one stack where the architecture allows it; the compiled step is the same for
all folds, seeds and sizes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seis_tf import tasks
from seis_tf.dataset import tables
from seis_tf.dataset.shards import SPLITS
from seis_tf.evaluation.stats.folds import Fold
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.settings.training import TrainJob
from seis_tf.training.inputs import FitInputs, Member
from seis_tf.training.loop import Fit, fit
from seis_tf.training.scores import smaller_is_better

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trial:
    """One fit that is to be done.

    Attributes:
        fold: number of the fold.
        seed: of initial weights, order and dropout.
        rows: what is fitted to, chosen by, and tested on.
        size: which of several training sizes this is.
    """

    fold: int
    seed: int
    rows: Fold
    size: int = 0


@dataclass(frozen=True)
class Trained:
    """One fit that was done.

    Attributes:
        trial: what was to be fitted.
        outputs: of the model for every record of the table [record, ...].
        history: scores by epoch.
        best_epoch: by what the training monitors.
    """

    trial: Trial
    outputs: np.ndarray
    history: list[dict[str, float]]
    best_epoch: int


@dataclass
class Seconds:
    """Where the time of a study went.

    Attributes:
        fitting: epochs, without the first one's compilation.
        setup: building models and compiling.
        fits: how many models were fitted.
    """

    fitting: float = 0.0
    setup: float = 0.0
    fits: int = 0


def load_table(job: TrainJob, dataset: Path | str, splits: Sequence[str] = SPLITS) -> tables.Table:
    """The records of a study in memory, with what scores and folds need.

    Raises:
        ValueError: the model is not for the data set's task.
    """
    return tasks.load_table(job, dataset, tuple(splits), evaluation_of(job.model).features)


def labels_of(table: tables.Table) -> np.ndarray:
    """Class of each record; all 0 for a task without classes."""
    return table["label"] if "label" in table.columns else np.zeros(len(table["group"]), np.int64)


def groups_of(table: tables.Table, by: str) -> np.ndarray:
    """What is kept whole by the folds: the event ("group") or the station of each record.

    Raises:
        ValueError: another word, or a data set without stations.
    """
    if by == "group":
        return table["group"]
    if by != "station":
        raise ValueError(f"folds by: expected group or station, received {by!r}")
    stations = table.columns.get("station", np.array([""]))
    if not np.all(stations != ""):
        raise ValueError("folds by station: expected the station of every record, received records without one")
    return stations


def in_all(progress: Progress, number: int, count: int) -> Progress:
    """The progress of one of several equal parts, in hundredths."""
    return lambda done, total: progress(100 * number + 100 * done // max(total, 1), 100 * count)


def trials_of(job: TrainJob, folds: Sequence[Fold], seeds: int) -> list[Trial]:
    """A fit of each fold from each seed, `job.training.seed` on; fold by fold."""
    first = job.training.seed
    return [Trial(n, seed, fold) for n, fold in enumerate(folds) for seed in range(first, first + seeds)]


def fit_trials(
    job: TrainJob, table: tables.Table, trials: Sequence[Trial], progress: Progress = lambda done, total: None
) -> tuple[list[Trained], Seconds]:
    """Fits all trials.

    Args:
        job: model and training; its own seed and members are not used.
        table: the records.
        trials: what is to be fitted.
        progress: called with the epochs done and the epochs in all, over all stacks.

    Returns:
        The fits in the order of the trials, and where the time went.

    Raises:
        ValueError: a loss or a weight is not finite.
    """
    job, trials = _without_idle_validation(job, trials)
    seconds, done = Seconds(fits=len(trials)), {}
    stacks = _stacks(job, table, trials)
    total = len(stacks) * job.training.epochs
    built: dict[int, keras.Model] = {}  # by seed: folds and sizes start from the same weights
    # One loss for all: its scale is a constant of the compiled step.
    task = tasks.task_of(job.model)
    loss = task.loss(table, job, trials[0].rows.train)
    for number, places in enumerate(stacks):
        chosen = [trials[i] for i in places]
        started = time.perf_counter()
        data = task.data(table, job, chosen[0].rows.train)
        for seed in {trial.seed for trial in chosen} - built.keys():
            built[seed] = tasks.build(job.model, table.info, seed=seed, l2=job.training.l2)
        models = [built[trial.seed] for trial in chosen]
        members = [Member(t.rows.train, t.rows.valid, t.seed) for t in chosen]
        prepared = time.perf_counter() - started
        base = number * job.training.epochs
        fitted = fit(
            models, FitInputs(data, members, loss, task.metrics), job.training,
            on_epoch=lambda p, base=base: progress(base + p.epoch, total),
        )  # fmt: skip
        epochs = [row["seconds"] for row in fitted.progress.history[0]]
        compiling = max(fitted.first_step_seconds - (float(np.median(epochs[1:])) if len(epochs) > 1 else 0.0), 0.0)
        seconds.setup += prepared + compiling
        seconds.fitting += fitted.seconds - compiling
        for i, outputs, k in zip(places, predict_members(fitted, data.inputs), range(len(places)), strict=True):
            best = int(fitted.progress.best_epoch[k])
            done[i] = Trained(trials[i], outputs, fitted.progress.history[k], best)
    return [done[i] for i in range(len(trials))], seconds


def predict_members(fitted: Fit, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Outputs [member, record, ...] of all records; members that can't be mapped answer one after the other."""
    tensors = [tf.constant(v) for v in inputs]
    members = fitted.progress.members
    if fitted.stack.stackable:
        return fitted.stack.predict(fitted.state, tensors)
    return np.concatenate([fitted.stack.predict(fitted.state.part([k]), tensors) for k in range(members)])


def score(job: TrainJob, table: tables.Table, trained: Trained, rows: np.ndarray) -> dict[str, float]:
    """Scores of one fit on some records, as the task has them."""
    return evaluation_of(job.model).score(table, trained.outputs, rows, trained.trial.rows.train)


def main_score(job: TrainJob) -> tuple[str, bool]:
    """The main score of a task, and whether larger is better."""
    name = evaluation_of(job.model).main_score
    return name, not smaller_is_better(name)


def _without_idle_validation(job: TrainJob, trials: Sequence[Trial]) -> tuple[TrainJob, list[Trial]]:
    """Where training chooses nothing by validation records, they are fitted to as well."""
    if job.training.keep == "best" or job.training.early_stopping is not None:
        return job, list(trials)
    job = job.model_copy(update={"training": job.training.model_copy(update={"monitor": "loss"})})
    nothing = np.array([], int)
    merged = []
    for trial in trials:
        train = np.sort(np.concatenate([trial.rows.train, trial.rows.valid]))
        merged.append(replace(trial, rows=Fold(train, nothing, trial.rows.test)))
    return job, merged


def _stacks(job: TrainJob, table: tables.Table, trials: Sequence[Trial]) -> list[list[int]]:
    """Trials that are trained together: of one size, and of one data where that depends on the training records."""
    data_by_rows = tasks.task_of(job.model).depends_on_rows(job, table.info)
    groups: dict[tuple, list[int]] = {}
    for i, trial in enumerate(trials):
        key = (trial.size, trial.rows.train.tobytes() if data_by_rows else b"")
        groups.setdefault(key, []).append(i)
    return list(groups.values())
