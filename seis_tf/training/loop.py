"""The training loop: one model, or a stack of models, fitted to data in memory.

Folds, seeds, ensemble members, learning-curve points and trials of a search are members of one stack: each has its own
training and validation records, seed, learning rate, L2 and dropout. A single model is a stack of one. The order of an
epoch's records follows from seed and epoch alone, so training that is taken up again ends with the same weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from seis_tf.settings.training import TrainingSettings, learning_rate_at
from seis_tf.training.architecture import architecture
from seis_tf.training.batches import Batches, epoch_batches
from seis_tf.training.finite import NotFiniteError, Steps, rows_at_fault
from seis_tf.training.inputs import FitInputs, Member
from seis_tf.training.optimizers import Optimizer
from seis_tf.training.progress import Progress
from seis_tf.training.scores import smaller_is_better
from seis_tf.training.stack import CompiledStack, Rates, Records, compiled
from seis_tf.training.state import StackState


@dataclass
class Fit:
    """A training that ended."""

    stack: CompiledStack
    progress: Progress
    keep: str
    seconds: float
    first_step_seconds: float

    @property
    def state(self) -> StackState:
        """The weights that count: of each member's best epoch, or of the last."""
        return self.progress.best if self.keep == "best" else self.progress.state

    def predict(self, inputs: Sequence[np.ndarray], rows: np.ndarray | None = None) -> np.ndarray:
        """Outputs [member, record, ...]."""
        return self.stack.predict(self.state, [tf.constant(v) for v in inputs], rows=rows)

    def model(self, member: int, like: keras.Model) -> keras.Model:
        """A Keras model with one member's weights."""
        return self.stack.assign(keras.models.clone_model(like), self.state, member)


def fit(
    models: Sequence[keras.Model],
    inputs: FitInputs,
    settings: TrainingSettings,
    *,
    progress: Progress | None = None,
    on_epoch: Callable[[Progress], bool | None] = lambda progress: None,
    failed_go_on: bool = False,
) -> Fit:
    """Fits the members of a stack, together where the architecture allows it and one after the other where not.

    Args:
        models: one for each member, of one architecture: they give the initial weights.
        inputs: data, members, loss and metrics.
        settings: of the training.
        progress: to go on from (of the same call, stopped earlier).
        on_epoch: called after each epoch; True stops the training.
        failed_go_on: a member whose loss or weights are not finite has the loss NaN from then on and the others are
            trained on; by default it ends the training.

    Returns:
        The fitted stack with the history of each member.

    Raises:
        ValueError: nothing to fit, models of different architecture, or the monitored score is not computed.
        NotFiniteError: after an epoch the loss or a weight is not finite.
    """
    check(models, inputs, settings)
    optimizer = Optimizer(settings.optimizer, settings.momentum, settings.weight_decay, settings.clip_norm)
    stack = compiled(models[0], optimizer, inputs.loss, inputs.data.transform, settings.precision)
    with tf.device(settings.device):
        if progress is None:
            progress = _start(stack, models, inputs.members)
        loop = _Loop(stack, models, inputs, settings, failed_go_on)
        started, first = time.perf_counter(), 0.0
        while progress.epoch < settings.epochs and not _stopped(progress, settings).all():
            loop.epoch(progress)
            first = first or time.perf_counter() - started
            if on_epoch(progress):
                break
    return Fit(stack, progress, settings.keep, time.perf_counter() - started, first)


class _Loop:
    """What stays the same from epoch to epoch: the data on the device and the members' rates."""

    def __init__(
        self,
        stack: CompiledStack,
        models: Sequence[keras.Model],
        inputs: FitInputs,
        settings: TrainingSettings,
        failed_go_on: bool,
    ):
        self.stack, self.models, self.settings, self.failed_go_on = stack, models, settings, failed_go_on
        self.data, self.members, self.metrics = inputs.data, inputs.members, inputs.metrics
        # Of the loss that was given: the stack's may be an equal one with other weights.
        part_weights = getattr(inputs.loss, "part_weights", None)
        if part_weights is None and any(m.loss_weights is not None for m in self.members):
            raise ValueError("loss_weights: expected none for a loss without parts, received some")
        self.loss_weights = [part_weights if m.loss_weights is None else m.loss_weights for m in self.members]
        self.inputs = [tf.constant(v) for v in self.data.inputs]
        training_inputs, weights = self.data.training_inputs, self.data.weights
        self.records = Records(
            self.inputs if training_inputs is None else [tf.constant(v) for v in training_inputs],
            tf.constant(self.data.targets),
            tf.constant(np.ones(len(self.data.targets), np.float32) if weights is None else weights),
        )
        # Members that can't be mapped take turns; each turn is a stack of one.
        members = range(len(self.members))
        self.groups = [list(members)] if stack.stackable else [[k] for k in members]
        self.valid_rows, self.valid_sizes = _padded_rows([m.valid for m in self.members])

    def epoch(self, progress: Progress) -> None:
        """One epoch of every member that has not stopped, its scores and the best weights so far."""
        started = time.perf_counter()
        runs = ~_stopped(progress, self.settings)
        parts = [self._train(progress, group, runs[group]) for group in self.groups]
        state = parts[0][0] if len(parts) == 1 else StackState.joined([state for state, _ in parts])
        losses = np.concatenate([loss for _, loss in parts])
        failed = runs & ~(self.stack.finite(state) & np.isfinite(losses))
        if failed.any() and not self.failed_go_on:
            raise self._failure(progress, int(failed.argmax()), losses)
        losses[failed] = np.nan
        scores = self._scores(state)
        for k in np.flatnonzero(runs):
            if not np.isfinite(scores[k].get("val_loss", 0.0)) and not self.failed_go_on:
                raise NotFiniteError(int(k), progress.epoch + 1, "a validation loss that is not", self._odd(state, k))
        rate = learning_rate_at(self.settings, progress.epoch)
        seconds = time.perf_counter() - started
        progress.state, progress.epoch = state, progress.epoch + 1
        for k in np.flatnonzero(runs):
            row = {"epoch": progress.epoch, "loss": float(losses[k]), **scores[k]}
            scale = self._rate(self.members[k]) / self.settings.learning_rate
            progress.history[k].append(row | {"learning_rate": rate * scale, "seconds": seconds})
        self._keep_best(progress)

    def _rate(self, member: Member) -> float:
        return self.settings.learning_rate if member.learning_rate is None else member.learning_rate

    def _train(self, progress: Progress, group: list[int], runs: np.ndarray) -> tuple[StackState, np.ndarray]:
        """State and mean loss [member] of a group of members after an epoch.

        Args:
            progress: before the epoch.
            group: numbers of the members.
            runs: bool [member of the group], which have not stopped.
        """
        if not runs.any():
            return progress.state.part(group), np.full(len(group), np.nan)
        # A member that has stopped keeps its weights unchanged.
        batches = self._batches(progress.epoch, group).of(runs)
        state, losses = self._steps(progress.epoch, group)(progress.state.part(group), batches)
        sizes = batches.present.sum(axis=2)
        # Where a member had no step its loss is NaN; any other NaN is a training that failed, and must be seen.
        return state, np.where(sizes > 0, losses * sizes, 0).sum(axis=0) / np.maximum(sizes.sum(axis=0), 1)

    def _batches(self, epoch: int, group: list[int]) -> Batches:
        members = [self.members[k] for k in group]
        return epoch_batches(members, epoch, self.settings.batch_size, self.data.companions)

    def _steps(self, epoch: int, group: list[int]) -> Steps:
        """A function that runs steps of an epoch for a group of members, with their rates."""
        settings, members = self.settings, [self.members[k] for k in group]
        schedule = learning_rate_at(settings, epoch) / settings.learning_rate
        rates = Rates(
            np.array([schedule * self._rate(m) for m in members]),
            np.array([settings.l2 if m.l2 is None else m.l2 for m in members]),
            None if self.loss_weights[0] is None else np.array([self.loss_weights[k] for k in group]),
        )
        seed = (members[0].seed, epoch)
        return lambda state, batches: self.stack.run(state, self.records, batches, rates, seed)

    def _failure(self, progress: Progress, member: int, losses: np.ndarray) -> NotFiniteError:
        """The error of a member that is not finite after this epoch, with the records that cause it."""
        group = next(group for group in self.groups if member in group)
        what = "weights that are not" if np.isfinite(losses[member]) else f"the loss {losses[member]}"
        rows = rows_at_fault(
            self.stack,
            self._steps(progress.epoch, group),
            progress.state.part(group),
            _start(self.stack, self.models, self.members).state.part(group),
            self._batches(progress.epoch, group),
            group.index(member),
            [v.numpy() for v in (*self.records.inputs, self.records.targets)],
        )
        return NotFiniteError(member, progress.epoch + 1, what, rows)

    def _odd(self, state: StackState, member: int) -> np.ndarray:
        """Validation records whose loss is not finite; none where most are so, as then the weights are at fault."""
        rows = self.members[member].valid
        outputs = self.stack.predict(state.part([member]), self.inputs, rows=rows[None].astype(np.int32))[0]
        targets = tf.constant(self.data.targets[rows])
        each = self.stack.loss_of_each(targets, tf.constant(outputs), self.loss_weights[member]).numpy()
        odd = rows[~np.isfinite(each)]
        return odd if 2 * len(odd) <= len(rows) else rows[:0]

    def _scores(self, state: StackState) -> list[dict[str, float]]:
        if not self.valid_rows.shape[1]:
            return [{} for _ in self.members]
        outputs = np.concatenate(
            [self.stack.predict(state.part(group), self.inputs, rows=self.valid_rows[group]) for group in self.groups]
        )
        scores = []
        for k, size in enumerate(self.valid_sizes):
            rows = self.valid_rows[k, :size]
            targets, out = self.data.targets[rows], outputs[k, :size]
            each = self.stack.loss_of_each(tf.constant(targets), tf.constant(out), self.loss_weights[k]).numpy()
            weights = np.ones(size) if self.data.weights is None else self.data.weights[rows]
            values = {"val_loss": float(np.average(each, weights=weights))}
            scores.append(
                values | {f"val_{name}": float(metric(targets, out)) for name, metric in self.metrics.items()}
            )
        return scores

    def _keep_best(self, progress: Progress) -> None:
        values = np.array([history[-1][self.settings.monitor] for history in progress.history])
        signed = values if smaller_is_better(self.settings.monitor) else -values
        better = signed < progress.best_value  # never for NaN, nor for the last value of a member that has stopped
        progress.best_value = np.where(better, signed, progress.best_value)
        progress.best_epoch = np.where(better, progress.epoch, progress.best_epoch)
        if better.all():
            progress.best = progress.state
        elif better.any():
            progress.best = _chosen(better, progress.state, progress.best)


def _start(stack: CompiledStack, models: Sequence[keras.Model], members: Sequence[Member]) -> Progress:
    state = stack.initial_state(models, [m.dropout for m in members], [m.seed for m in members])
    n = len(members)
    return Progress(state, state, np.full(n, np.inf), np.zeros(n, int), history=[[] for _ in members])


def _stopped(progress: Progress, settings: TrainingSettings) -> np.ndarray:
    """Which members have gone too long without improvement, bool [member]."""
    if settings.early_stopping is None:
        return np.zeros(progress.members, bool)
    trained = np.array([len(history) for history in progress.history])
    return trained - progress.best_epoch >= settings.early_stopping


def check(models: Sequence[keras.Model], inputs: FitInputs, settings: TrainingSettings) -> None:
    """Raises what `fit` would raise, before anything is written or trained."""
    members = inputs.members
    if len(models) != len(members) or not members:
        raise ValueError(
            f"fit: expected a model for each member, received {len(models)} models, {len(members)} members"
        )
    for k, member in enumerate(members):
        if not len(member.train):
            raise ValueError(f"fit: expected training records, received none for member {k}")
        if bool(len(member.valid)) != bool(len(members[0].valid)):
            raise ValueError(f"fit: expected validation records for all members or none, received a mix at member {k}")
    for k, model in enumerate(models):
        if model is not models[0] and architecture(model) != architecture(models[0]):
            raise ValueError(f"fit: expected models of one architecture, received another for member {k}")
    devices = ["/" + device.name.rpartition("/device:")[2] for device in tf.config.list_logical_devices()]
    if settings.device is not None and settings.device not in devices:
        raise ValueError(f"device: expected one of {devices}, received {settings.device!r}")
    known = ["loss"] + (["val_loss", *(f"val_{name}" for name in inputs.metrics)] if len(members[0].valid) else [])
    if settings.monitor not in known:
        raise ValueError(f"monitor: expected one of {known}, received {settings.monitor!r}")
    smaller_is_better(settings.monitor)


def _padded_rows(rows: Sequence[np.ndarray]) -> tuple[np.ndarray, list[int]]:
    sizes = [len(r) for r in rows]
    padded = np.zeros((len(rows), max(sizes)), np.int32)
    for k, r in enumerate(rows):
        padded[k, : len(r)] = r
    return padded, sizes


def _chosen(mask: np.ndarray, new: StackState, old: StackState) -> StackState:
    return new.map(lambda a, b: tf.where(tf.reshape(mask, [-1] + [1] * (len(a.shape) - 1)), a, b), old)
