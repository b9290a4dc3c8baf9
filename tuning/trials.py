"""Trials of a search -> scores: trials of one architecture are trained as one stack, with the loop that `train` uses.

A trial is one job; its members are the folds and seeds that it is scored by. Only the train and valid splits are read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from seis_tf import tasks
from seis_tf.dataset import tables
from seis_tf.evaluation.stats import folds
from seis_tf.settings.training import TrainJob
from seis_tf.training.inputs import Data, FitInputs, Member
from seis_tf.training.loop import fit
from seis_tf.training.progress import Progress
from seis_tf.training.scores import best_row

# Settings that are values of the compiled step, not a part of it: trials that differ in these only share a stack.
VALUES = {"learning_rate", "l2", "seed", "loss"}


@dataclass(frozen=True)
class TrialJob:
    """One trial to be run.

    Attributes:
        trial_id: the oracle's.
        job: what is trained; its `epochs` are those at which the trial ends.
        goes_on_from: a trial whose checkpoint this one starts from (Hyperband's promotion).
    """

    trial_id: str
    job: TrainJob
    goes_on_from: str | None = None


@dataclass
class Outcome:
    """How a trial ended: scores by name (mean over folds and seeds) with their spread, or why it failed."""

    scores: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    epochs: int = 0
    failure: str | None = None


FAILURES = (ValueError, MemoryError, tf.errors.ResourceExhaustedError, tf.errors.InvalidArgumentError)


class Trainer:
    """Runs trials on one data set, which is read once.

    Args:
        dataset: the data set's folder; its test split is never opened.
        example: any job of the search: model kind, augmentation and class weights are the same in all trials.
        n_folds: grouped folds of train and valid together; 0 scores on the valid split.
        executions: seeds a trial is trained with.
        objective: the score that decides which epoch counts, in jobs that keep their best epoch.
        folder: where the trials' checkpoints lie.
        max_parameters: a larger network is a failed trial.
    """

    def __init__(
        self,
        dataset: Path,
        example: TrainJob,
        n_folds: int,
        executions: int,
        objective: str,
        folder: Path,
        max_parameters: int = 10**8,
    ):
        self.task = tasks.task_of(example.model)
        self.table = tasks.load_table(example, dataset, ("train", "valid"), filled=True)
        self.max_parameters = max_parameters
        self.example, self.executions, self.objective, self.folder = example, executions, objective, folder
        self.cuts = _cuts(self.table, n_folds)
        self._data: dict[str, Data] = {}

    def run(
        self,
        trials: Sequence[TrialJob],
        on_epoch: Callable[[Sequence[TrialJob], Progress], None] = lambda trials, p: None,
    ) -> dict[str, Outcome]:
        """Trains the trials, those of one architecture together.

        Args:
            trials: any.
            on_epoch: called with the trials of a stack and its progress after each epoch.

        Returns:
            Trial id to outcome; a trial that can't be trained has its reason and does not stop the others.
        """
        return {key: o for group in self.groups(trials) for key, o in self._run_group(group, on_epoch).items()}

    def groups(self, trials: Sequence[TrialJob]) -> list[list[TrialJob]]:
        """The trials in as few stacks as there are architectures, batch sizes, update rules and kinds of loss."""
        groups: dict[str, list[TrialJob]] = {}
        for trial in trials:
            groups.setdefault(self._key(trial), []).append(trial)
        return list(groups.values())

    def _run_group(self, group: list[TrialJob], on_epoch) -> dict[str, Outcome]:
        try:
            return self._fit(group, on_epoch)
        except FAILURES as err:
            if len(group) == 1:
                reason = " ".join(str(err).split()) or type(err).__name__
                return {group[0].trial_id: Outcome(failure=reason[:500])}
        # Together they are too large, or one of them is at fault: each alone tells which.
        return {key: outcome for trial in group for key, outcome in self._run_group([trial], on_epoch).items()}

    def _fit(self, group: list[TrialJob], on_epoch) -> dict[str, Outcome]:
        job, info = group[0].job, self.table.info
        self._check_size(job)
        members = [member for trial in group for member in self._members(trial.job)]
        # Initial weights follow from architecture and seed alone: rates and L2 are values of the members.
        built = {seed: tasks.build(job.model, info, seed=seed) for seed in {member.seed for member in members}}
        size = len(members) // len(group)
        settings = job.training.model_copy(update={"monitor": self.objective, "early_stopping": None, "members": 1})
        loss = self.task.loss(self.table, job, self.cuts[0][0])
        done = fit(
            [built[member.seed] for member in members],
            FitInputs(self._data_of(job), members, loss, self.task.metrics),
            settings,
            progress=self._joined_checkpoints(group),
            on_epoch=lambda progress: on_epoch(group, progress),
            failed_go_on=True,  # one trial's failure is not that of the others in its stack
        )
        outcomes = {}
        for i, trial in enumerate(group):
            part = done.progress.part(range(i * size, (i + 1) * size))
            outcomes[trial.trial_id] = self._outcome(part, settings.keep)
            self._save(trial, part)
        return outcomes

    def _check_size(self, job: TrainJob) -> None:
        count = tasks.parameter_formula(job.model, self.table.info)
        if count > self.max_parameters:
            raise ValueError(f"expected at most {self.max_parameters:,} parameters, received {count:,}")

    def _members(self, job: TrainJob) -> list[Member]:
        settings, rate = job.training, getattr(job.model, "dropout", None)
        seeds = [settings.seed + i for i in range(self.executions)]
        return [
            Member(train, valid, seed, settings.learning_rate, settings.l2, rate, self.task.loss_weights(job))
            for train, valid in self.cuts
            for seed in seeds
        ]

    def _data_of(self, job: TrainJob) -> Data:
        """The inputs, made once; statistics over the data set are those of all records that a search may see."""
        key = json.dumps([getattr(job.model, "use_mask", False), job.training.buoy_dropout])
        if key not in self._data:
            rows = self.cuts[0][0] if len(self.cuts) == 1 else np.arange(len(self.table))
            self._data[key] = self.task.data(self.table, job, rows)
        return self._data[key]

    def _outcome(self, part: Progress, keep: str) -> Outcome:
        """Scores of the epoch that such a training keeps: what `train` with the same job would end with."""
        last = [h[-1]["loss"] for h in part.history]
        if not np.isfinite(last).all():
            first, value = next((r["epoch"], r["loss"]) for h in part.history for r in h if not np.isfinite(r["loss"]))
            words = f"expected finite loss and weights, received loss {value} in epoch {first:.0f}"
            return Outcome(epochs=part.epoch, failure=words)
        rows = [h[-1] if keep == "last" else best_row(h, self.objective) for h in part.history]
        names = [name for name in rows[0] if name.startswith("val_")]
        return Outcome(
            {name: float(np.mean([row[name] for row in rows])) for name in names},
            {name: float(np.std([row[name] for row in rows])) for name in names},
            part.epoch,
        )

    def _key(self, trial: TrialJob) -> str:
        """Equal for trials that can be one stack."""
        model = trial.job.model.model_dump(mode="json")
        # Whether there is dropout is architecture, its rate is a value.
        model["dropout"] = bool(model.get("dropout"))
        settings = trial.job.training.model_dump(mode="json", exclude=VALUES)
        # Likewise whether the loss has parts.
        parts, start = self.task.loss_weights(trial.job) is not None, self._checkpoint_of(trial)
        return json.dumps([model, settings, parts, start.epoch if start else 0])

    def _joined_checkpoints(self, group: list[TrialJob]) -> Progress | None:
        parts = [self._checkpoint_of(trial) for trial in group]
        return Progress.joined([p for p in parts if p is not None]) if all(p is not None for p in parts) else None

    def _checkpoint_of(self, trial: TrialJob) -> Progress | None:
        """Where the trial was when it was stopped, or where the trial that it goes on from ended."""
        for trial_id in (trial.trial_id, trial.goes_on_from):
            if trial_id is not None and (path := checkpoint_path(self.folder, trial_id)).is_file():
                return Progress.load(path)
        return None

    def _save(self, trial: TrialJob, part: Progress) -> None:
        path = checkpoint_path(self.folder, trial.trial_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.save(path)

    def save_checkpoint(self, group: Sequence[TrialJob], progress: Progress) -> None:
        """Checkpoints of running trials, so that a kill loses at most the epochs since."""
        size = progress.members // len(group)
        for i, trial in enumerate(group):
            self._save(trial, progress.part(range(i * size, (i + 1) * size)))


def checkpoint_path(folder: Path, trial_id: str) -> Path:
    """The checkpoint of a trial; the folder keeps the name that searches of earlier versions have."""
    return folder / "stands" / f"{trial_id}.npz"


def _cuts(table: tables.Table, n_folds: int) -> list[tuple[np.ndarray, np.ndarray]]:
    if not n_folds:
        return [(table.rows["train"], table.rows["valid"])]
    groups = table["group"]
    labels = table["label"].astype(int) if table.info.class_names else np.zeros(len(groups), int)
    cuts = folds.grouped_folds(labels, groups, n_folds)
    return [(np.concatenate([fold.train, fold.valid]), fold.test) for fold in cuts]
