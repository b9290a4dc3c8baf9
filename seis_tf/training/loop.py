"""The training loop: one model, or a stack of models, fitted to data in memory.

Folds, seeds, ensemble members, learning-curve points and trials of a search are members of one stack: each has its own
training and validation records, seed, learning rate, L2 and dropout. A single model is a stack of one. The order of an
epoch's records follows from seed and epoch alone, so training that is taken up again ends with the same weights.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from seis_tf.settings.training import TrainingSettings, learning_rate_at
from seis_tf.training.finite import NotFiniteError, Steps, rows_at_fault
from seis_tf.training.optimizers import Optimizer
from seis_tf.training.progress import Progress
from seis_tf.training.stack import CompiledStack, Loss, StackState, Transform, architecture, compiled

Metric = Callable[[np.ndarray, np.ndarray], float]
# Of every score that a training, a study or an evaluation computes: whether a smaller value is the better one.
_SMALLER_IS_BETTER = {
    "loss": True,
    "log_loss": True,
    "brier": True,
    "ece": True,
    "mse": True,
    "mse_ratio": True,
    "accuracy": False,
    "balanced_accuracy": False,
    "macro_f1": False,
}


@dataclass(frozen=True)
class Data:
    """Records in memory, and what of them a model is shown.

    Args:
        inputs: arrays [record, ...], as the model takes them.
        targets: [record, ...].
        weights: float32 [record], in the loss; ones by default.
        training_inputs: what `transform` turns into a training batch; by default the inputs themselves.
        transform: (training inputs of a batch, int32 seed [3]) -> inputs of the model; drawn anew each step.
        companions: rows that `transform` may mix in (noise records); their first training input comes as one more.
    """

    inputs: tuple[np.ndarray, ...]
    targets: np.ndarray
    weights: np.ndarray | None = None
    training_inputs: tuple[np.ndarray, ...] | None = None
    transform: Transform | None = None
    companions: np.ndarray | None = None


@dataclass(frozen=True)
class Member:
    """One model of a stack.

    Args:
        train: rows of the data that it is fitted to.
        valid: rows that its validation scores are of.
        seed: of its records' order and its dropout.
        learning_rate: None for the settings' own.
        l2: likewise.
        dropout: likewise, None for the model's own.
        loss_weights: of the parts of a loss that has parts; None for the loss's own.
    """

    train: np.ndarray
    valid: np.ndarray
    seed: int
    learning_rate: float | None = None
    l2: float | None = None
    dropout: float | None = None
    loss_weights: tuple[float, ...] | None = None


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
    data: Data,
    members: Sequence[Member],
    settings: TrainingSettings,
    loss: Loss,
    *,
    metrics: Mapping[str, Metric] | None = None,
    progress: Progress | None = None,
    on_epoch: Callable[[Progress], bool | None] = lambda progress: None,
    failed_go_on: bool = False,
) -> Fit:
    """Fits the members of a stack, together where the architecture allows it and one after the other where not.

    Args:
        models: one for each member, of one architecture: they give the initial weights.
        data: for all members.
        members: which records, seed and rates each has.
        settings: of the training.
        loss: (targets, outputs) -> [record]; one with an attribute `part_weights` is given those, or a member's own, as
            a third argument.
        metrics: name to function of (targets, outputs); validation scores, called "val_" + name. The one that is
            monitored must be known to `smaller_is_better`.
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
    check(models, members, settings, metrics or {})
    optimizer = Optimizer(settings.optimizer, settings.momentum, settings.weight_decay, settings.clip_norm)
    stack = compiled(models[0], optimizer, loss, data.transform, settings.precision)
    with tf.device(settings.device):
        if progress is None:
            progress = _start(stack, models, members)
        loop = _Loop(stack, models, data, members, settings, loss, dict(metrics or {}), failed_go_on)
        started, first = time.perf_counter(), 0.0
        while progress.epoch < settings.epochs and not _stopped(progress, settings).all():
            loop.epoch(progress)
            first = first or time.perf_counter() - started
            if on_epoch(progress):
                break
    return Fit(stack, progress, settings.keep, time.perf_counter() - started, first)


class _Loop:
    """What stays the same from epoch to epoch: the data on the device and the members' rates."""

    def __init__(self, stack, models, data: Data, members, settings: TrainingSettings, loss: Loss, metrics, go_on):
        self.stack, self.data, self.members, self.settings, self.metrics = stack, data, members, settings, metrics
        self.models, self.failed_go_on = models, go_on
        # Of the loss that was given: the stack's may be an equal one with other weights.
        own = getattr(loss, "part_weights", None)
        if own is None and any(m.loss_weights is not None for m in members):
            raise ValueError("loss_weights: expected none for a loss without parts, received some")
        self.loss_weights = [own if m.loss_weights is None else m.loss_weights for m in members]
        self.inputs = [tf.constant(v) for v in data.inputs]
        shown = data.training_inputs
        self.training_inputs = self.inputs if shown is None else [tf.constant(v) for v in shown]
        self.targets = tf.constant(data.targets)
        self.weights = tf.constant(np.ones(len(data.targets), np.float32) if data.weights is None else data.weights)
        # Members that can't be mapped take turns; each turn is a stack of one.
        self.groups = [range(len(members))] if stack.stackable else [[k] for k in range(len(members))]
        self.valid_rows, self.valid_sizes = _padded_rows([m.valid for m in members])

    def epoch(self, progress: Progress) -> None:
        """One epoch of every member that has not stopped, its scores and the best weights so far."""
        started = time.perf_counter()
        runs = ~_stopped(progress, self.settings)
        parts = [self._train(progress, group, runs[list(group)]) for group in self.groups]
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

    def _train(self, progress: Progress, group, runs: np.ndarray) -> tuple[StackState, np.ndarray]:
        if not runs.any():
            return progress.state.part(group), np.full(len(group), np.nan)
        order, present, steps = self._steps(progress.epoch, group)
        present[:, ~runs] = 0  # who has stopped waits: it must end as it would end alone
        state, losses = steps(progress.state.part(group), slice(0, len(present)), order, present)
        sizes = present.sum(axis=2)
        # Where a member had no step its loss is NaN; any other NaN is a training that failed, and must be seen.
        return state, np.where(sizes > 0, losses * sizes, 0).sum(axis=0) / np.maximum(sizes.sum(axis=0), 1)

    def _steps(self, epoch: int, group) -> tuple[list[np.ndarray], np.ndarray, Steps]:
        """Rows (and companions) [step, member, batch] of an epoch, which are present, and the steps as a function."""
        settings, members = self.settings, [self.members[k] for k in group]
        rows, present = epoch_rows([m.train for m in members], [m.seed for m in members], epoch, settings.batch_size)
        order = [rows]
        if self.data.companions is not None:
            order.append(_companion_rows(self.data.companions, members, rows, epoch))
        rate = learning_rate_at(settings, epoch) / settings.learning_rate

        def steps(state: StackState, part: slice, order, present: np.ndarray) -> tuple[StackState, np.ndarray]:
            return self.stack.run(
                state,
                self.training_inputs,
                self.targets,
                self.weights,
                order[0][part],
                present[part],
                np.array([rate * self._rate(m) for m in members]),
                np.array([settings.l2 if m.l2 is None else m.l2 for m in members]),
                (members[0].seed, epoch),
                order[1][part] if len(order) > 1 else None,
                None if self.loss_weights[0] is None else np.array([self.loss_weights[k] for k in group]),
                part.start,
            )

        return order, present, steps

    def _failure(self, progress: Progress, member: int, losses: np.ndarray) -> NotFiniteError:
        """The error of a member that is not finite after this epoch, with the records that cause it."""
        group = next(list(group) for group in self.groups if member in group)
        order, present, steps = self._steps(progress.epoch, group)
        what = "weights that are not" if np.isfinite(losses[member]) else f"the loss {losses[member]}"
        values = [v.numpy() for v in (*self.training_inputs, self.targets)]
        states = [state.part(group) for state in (progress.state, _start(self.stack, self.models, self.members).state)]
        found = rows_at_fault(self.stack, steps, *states, order, present, group.index(member), values)
        return NotFiniteError(member, progress.epoch + 1, what, found)

    def _odd(self, state: StackState, member: int) -> np.ndarray:
        """Validation records whose loss is not finite; none where that is most of them, as their fault it is not."""
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
            [
                self.stack.predict(state.part(group), self.inputs, rows=self.valid_rows[list(group)])
                for group in self.groups
            ]
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
        better = signed < progress.best_value  # never for NaN, nor for the last value of who has stopped
        progress.best_value = np.where(better, signed, progress.best_value)
        progress.best_epoch = np.where(better, progress.epoch, progress.best_epoch)
        if better.all():
            progress.best = progress.state
        elif better.any():
            progress.best = _chosen(better, progress.state, progress.best)


def smaller_is_better(score: str) -> bool:
    """Whether the smaller of two values of a score is the better one; `val_` before its name changes nothing.

    Raises:
        ValueError: a score that is not known: which end of it is the good one is not guessed.
    """
    name = score.removeprefix("val_")
    if name not in _SMALLER_IS_BETTER:
        raise ValueError(f"score: expected one of {list(_SMALLER_IS_BETTER)}, received {score!r}")
    return _SMALLER_IS_BETTER[name]


def best_row(history: Sequence[Mapping[str, float]], score: str) -> Mapping[str, float]:
    """The epoch with the best value of a score, the first of several; one whose value is NaN is never the best.

    Args:
        history: of one member.
        score: a column of it.

    Raises:
        ValueError: a score that is not known.
    """
    sign = 1 if smaller_is_better(score) else -1
    return min(history, key=lambda row: sign * row[score] if np.isfinite(row[score]) else np.inf)


def epoch_rows(
    members: Sequence[np.ndarray], seeds: Sequence[int], epoch: int, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The order of one epoch: every record of each member once, in batches of which the last may not be full.

    Returns:
        rows int32 and present float32, both [step, member, batch]; present is 0 where a row only fills up.
    """
    steps = max(math.ceil(len(rows) / batch_size) for rows in members)
    order = np.zeros((len(members), steps * batch_size), np.int32)
    present = np.zeros((len(members), steps * batch_size), np.float32)
    for k, (rows, seed) in enumerate(zip(members, seeds, strict=True)):
        order[k, : len(rows)] = np.random.default_rng([seed, epoch]).permutation(rows)
        order[k, len(rows) :] = order[k, 0]  # of its own: 0 times what is not finite would be NaN
        present[k, : len(rows)] = 1
    shape = (len(members), steps, batch_size)
    return order.reshape(shape).swapaxes(0, 1), present.reshape(shape).swapaxes(0, 1)


def class_weights(labels: np.ndarray, train: np.ndarray, kind: str) -> np.ndarray | None:
    """Weights [record] that give every class of the training rows the same total; None for kind "none"."""
    if kind == "none":
        return None
    counts = np.bincount(labels[train], minlength=labels.max() + 1)
    return (len(train) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[labels].astype(np.float32)


def _companion_rows(companions: np.ndarray, members: Sequence[Member], rows: np.ndarray, epoch: int) -> np.ndarray:
    """A companion for each row, drawn from the member's own training records: nothing leaks in from its test side."""
    drawn = np.empty_like(rows)
    for k, member in enumerate(members):
        pool = np.intersect1d(companions, member.train)
        if not len(pool):
            raise ValueError(f"companions: expected some among the training records, received none for member {k}")
        drawn[:, k] = np.random.default_rng([member.seed, epoch, 1]).choice(pool, rows[:, k].shape)
    return drawn


def _start(stack: CompiledStack, models, members) -> Progress:
    state = stack.initial_state(models, [m.dropout for m in members], [m.seed for m in members])
    n = len(members)
    return Progress(state, state, np.full(n, np.inf), np.zeros(n, int), history=[[] for _ in members])


def _stopped(progress: Progress, settings: TrainingSettings) -> np.ndarray:
    """Which members have gone too long without improvement, bool [member]."""
    if settings.early_stopping is None:
        return np.zeros(progress.members, bool)
    trained = np.array([len(history) for history in progress.history])
    return trained - progress.best_epoch >= settings.early_stopping


def check(
    models: Sequence[keras.Model],
    members: Sequence[Member],
    settings: TrainingSettings,
    metrics: Mapping[str, Metric],
) -> None:
    """Raises what `fit` would raise, before anything is written or trained."""
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
    known = ["loss"] + (["val_loss", *(f"val_{name}" for name in metrics)] if len(members[0].valid) else [])
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
