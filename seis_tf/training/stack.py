"""The training of one model or of a stack of models of one architecture, compiled once and used again.

K models are trained as one: their variables are stacked on a first axis, and forward pass, gradient and optimizer
update are mapped over that axis inside one step. A whole epoch of such steps is one program, with the data in memory.
Learning rate, L2, dropout rate, weights in the loss and the number of steps are values and not constants, so folds,
seeds, ensemble members and trials of a search share it. On a CPU this is several times faster than one model after the
other and than one step after the other, because small networks spend their time on the overhead of each operation and
each call.

Models with 2-D convolutions can't be mapped (a batch of filters has no fast form) and XLA's convolution on the CPU is
slower than the default one: they run one member after the other through the same, uncompiled, steps. Where the data
set's records are changed before each step, each step is compiled and not the epoch.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from seis_tf.models.layers import dropouts
from seis_tf.training.architecture import architecture, is_stackable
from seis_tf.training.batches import Batches
from seis_tf.training.inputs import Loss, Transform
from seis_tf.training.optimizers import Optimizer
from seis_tf.training.state import StackState

_SMALL_STEP_RECORDS = 2**14  # members x batch of a step that costs so little that padding to 256 steps is no loss


@dataclass(frozen=True)
class Records:
    """The data of a stack's members on the device.

    Args:
        inputs: each [record, ...], as the transform (or the model) takes them.
        targets: [record, ...].
        weights: float32 [record], the records' weights in the loss.
    """

    inputs: Sequence[tf.Tensor]
    targets: tf.Tensor
    weights: tf.Tensor


@dataclass(frozen=True)
class Rates:
    """What the members' steps differ in; values of the compiled program and not constants.

    Args:
        learning_rate: [member].
        l2: [member]; `l2 * sum(w^2)` of the kernels is added to the loss.
        loss_weights: [member, part], of a loss that has parts.
    """

    learning_rate: np.ndarray
    l2: np.ndarray
    loss_weights: np.ndarray | None = None


@dataclass(repr=False)  # TensorFlow's warnings quote it: with all its functions that would be pages
class CompiledStack:
    """The training and the prediction of one architecture; made by `compiled`."""

    model: keras.Model
    optimizer: Optimizer
    loss: Loss
    stackable: bool
    transform: Transform | None
    _functions: dict[str | tuple[str, int], Callable] = field(default_factory=dict)

    def initial_state(
        self, models: Sequence[keras.Model], dropout_rates: Sequence[float | None], seeds: Sequence[int]
    ) -> StackState:
        """The state that starts from these models' weights; each member's dropout gets its own rate and seed."""
        trainable = [np.stack(v) for v in zip(*(_values(m.trainable_variables) for m in models), strict=True)]
        non_trainable = [np.stack(v) for v in zip(*(_values(m.non_trainable_variables) for m in models), strict=True)]
        positions = {id(v): i for i, v in enumerate(self.model.non_trainable_variables)}
        for number, layer in enumerate(dropouts(self.model)):
            for k, (rate, seed) in enumerate(zip(dropout_rates, seeds, strict=True)):
                if rate is not None:
                    non_trainable[positions[id(layer.rate)]][k] = rate
                non_trainable[positions[id(layer.state)]][k] = ((seed * 1000 + number) % 2**31, 0)
        optimizer = [np.stack([v] * len(models)) for v in self.optimizer.initial(self.model.trainable_variables)]
        return StackState(*([tf.constant(v) for v in group] for group in (trainable, non_trainable, optimizer)))

    def assign(self, model: keras.Model, state: StackState, member: int) -> keras.Model:
        """Puts one member's weights into a model of the same architecture."""
        pairs = [*zip(model.trainable_variables, state.trainable, strict=True)]
        pairs += zip(model.non_trainable_variables, state.non_trainable, strict=True)
        for variable, values in pairs:
            variable.assign(values[member])
        return model

    def run(
        self, state: StackState, records: Records, batches: Batches, rates: Rates, seed: tuple[int, int]
    ) -> tuple[StackState, np.ndarray]:
        """The steps of an epoch, or some of them, in one graph.

        Args:
            state: before.
            records: on the device.
            batches: which records each step takes.
            rates: of each member.
            seed: of what `transform` draws.

        Returns:
            The state after, and the loss [step, member] (NaN where a member had no step).
        """
        function = self._function("epoch", self._epoch, batches.rows.shape[1], compiled=self.compiles_epochs)
        # Where no member has L2 its value is not there at all: XLA adds up a penalty's squares one by one.
        penalty = [rates.l2] if np.any(rates.l2) else []
        parts = [] if rates.loss_weights is None else [*rates.loss_weights.T]
        hyper = tf.nest.map_structure(lambda v: tf.constant(v, tf.float32), (rates.learning_rate, penalty, parts))
        steps = len(batches)
        padding = [(0, _padded_steps(batches.rows.shape) - steps if self.compiles_epochs else 0), (0, 0), (0, 0)]
        indices = (batches.rows,) if batches.companions is None else (batches.rows, batches.companions)
        order = [tf.constant(np.pad(v, padding), tf.int32) for v in indices]
        groups, losses = function(
            state.groups,
            (tuple(records.inputs), records.targets, records.weights),
            order,
            tf.constant(np.pad(batches.present, padding), tf.float32),
            tf.constant(steps),
            hyper,
            tf.constant((*seed, batches.first_step), tf.int32),
        )
        return StackState(*groups), losses.numpy()[:steps]

    def predict(
        self, state: StackState, inputs: Sequence[tf.Tensor], batch_size: int = 1024, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Outputs [member, record, ...] for records given once for all members, or `rows` [member, record] of each."""
        groups, members = (state.trainable, state.non_trainable), state.members
        if members > 1 and not self.stackable:
            rows_of = [None if rows is None else rows[k : k + 1] for k in range(members)]
            parts = [self.predict(state.part([k]), inputs, batch_size, rows_of[k]) for k in range(members)]
            return np.concatenate(parts)
        function = self._function("predict", self._predict, members)
        if rows is None:
            rows = np.tile(np.arange(inputs[0].shape[0], dtype=np.int32), (members, 1))
        parts = []
        for first in range(0, rows.shape[1], batch_size):
            block = rows[:, first : first + batch_size]
            short = min(batch_size, rows.shape[1]) - block.shape[1]
            padded = np.pad(block, ((0, 0), (0, short)), mode="edge")  # one shape, one compilation
            parts.append(function(groups, tuple(inputs), tf.constant(padded, tf.int32)).numpy()[:, : block.shape[1]])
        return np.concatenate(parts, axis=1)

    def finite(self, state: StackState) -> np.ndarray:
        """Whether all weights and moments of each member are finite, bool [member]; NaN gradients leave no such."""
        values = [v for group in state.groups for v in group if v.dtype.is_floating]
        return self._function("finite", _all_finite, state.members)(values).numpy()

    @property
    def compiles_epochs(self) -> bool:
        """Whether XLA compiles whole epochs; else only the steps, or nothing where it would be slower."""
        return self.stackable and self.transform is None

    def _function(self, name: str, body: Callable, members: int, compiled: bool = False) -> Callable:
        # One for each number of members, so that this number stays known when other shapes are relaxed.
        if (name, members) not in self._functions:
            function = tf.function(body, reduce_retracing=True, jit_compile=compiled or None)
            self._functions[name, members] = function
        return self._functions[name, members]

    def _epoch(self, groups, data, order, present, steps, hyper, seed):
        inputs, targets, weights = data
        rows = order[0]
        losses = tf.TensorArray(tf.float32, tf.shape(rows)[0], element_shape=[rows.shape[1]])
        step = tf.autograph.experimental.do_not_convert(self._all_members)
        if not self.compiles_epochs:
            step = self._functions.setdefault("step", tf.function(step, jit_compile=self.stackable))

        def stepped(i, groups, losses):
            x = [tf.gather(v, rows[i]) for v in inputs]
            if len(order) > 1:
                x.append(tf.gather(inputs[0], order[1][i]))
            if self.transform is not None:
                x = self.transform(x, tf.concat([seed[:2], [seed[2] + i]], 0))
            y, w = tf.gather(targets, rows[i]), tf.gather(weights, rows[i])
            groups, loss = step(groups, x, y, w, present[i], hyper)
            return groups, losses.write(i, loss)

        if self.compiles_epochs:
            i = tf.constant(0)
            while i < steps:  # not over tf.range, whose end XLA takes for a constant
                groups, losses = stepped(i, groups, losses)
                i += 1
        else:
            for i in tf.range(steps):
                groups, losses = stepped(i, groups, losses)
        return groups, losses.stack()

    def _all_members(self, groups, x, y, w, present, hyper):
        if y.shape[0] == 1:  # a stack of one needs no mapping
            groups, loss = self._one_member(tf.nest.map_structure(lambda v: v[0], (groups, x, y, w, present, hyper)))
            return tf.nest.map_structure(lambda v: v[None], (groups, loss))
        return tf.vectorized_map(self._one_member, (groups, x, y, w, present, hyper), fallback_to_while_loop=False)

    def _one_member(self, arguments):
        (trainable, non_trainable, optimizer), x, y, w, present, (learning_rate, l2, loss_weights) = arguments
        count = tf.reduce_sum(present)
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            outputs, moved = self.model.stateless_call(trainable, non_trainable, _inputs(x), training=True)
            loss = tf.reduce_sum(self.loss_of_each(y, outputs, loss_weights) * w * present) / tf.maximum(count, 1.0)
            total = tf.add_n([loss, *(l2[0] * tf.reduce_sum(tf.square(v)) for v in self._penalised(trainable) if l2)])
        gradients = tape.gradient(total, trainable)
        stepped, optimizer_after = self.optimizer.update(trainable, gradients, optimizer, learning_rate)
        # A member without a record in this step keeps its weights and its optimizer's moments unchanged.
        idle = count == 0
        after = tf.nest.map_structure(
            lambda new, old: tf.where(idle, old, new),
            (list(stepped), list(moved), list(optimizer_after)),
            (trainable, non_trainable, optimizer),
        )
        return after, tf.where(idle, np.nan, total)

    def _penalised(self, trainable):
        return [
            v
            for v, variable in zip(trainable, self.model.trainable_variables, strict=True)
            if variable.name == "kernel"
        ]

    def loss_of_each(
        self, targets: tf.Tensor, outputs: tf.Tensor, weights: Sequence[float | tf.Tensor] | None
    ) -> tf.Tensor:
        """The loss [record], with these weights of its parts where it has parts."""
        return self.loss(targets, outputs, weights) if weights else self.loss(targets, outputs)

    def _predict(self, groups, inputs, rows):
        x = [tf.gather(v, rows) for v in inputs]
        step = self._functions.setdefault(
            "forward", tf.function(self._forward_all, jit_compile=self.stackable, autograph=False)
        )
        return step(groups, x)

    def _forward_all(self, groups, x):
        def one(arguments):
            (trainable, non_trainable), x = arguments
            return self.model.stateless_call(trainable, non_trainable, _inputs(x), training=False)[0]

        if x[0].shape[0] == 1:
            return one(tf.nest.map_structure(lambda v: v[0], (groups, x)))[None]
        return tf.vectorized_map(one, (groups, x), fallback_to_while_loop=False)


def _all_finite(values: Sequence[tf.Tensor]) -> tf.Tensor:
    each = [tf.reduce_all(tf.math.is_finite(tf.reshape(v, [v.shape[0], -1])), axis=1) for v in values]
    return tf.reduce_all(tf.stack(each), axis=0)


def compiled(
    model: keras.Model,
    optimizer: Optimizer,
    loss: Loss,
    transform: Transform | None = None,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> CompiledStack:
    """The compiled stack of this architecture: the same object for the same optimizer, loss and transform.

    Initial weights, dropout rates, seeds and L2 do not count as architecture: they are values. In bfloat16 all layers
    but the one that gives the output compute in it; their weights stay float32.
    """
    return _compiled(architecture(model), optimizer, loss, transform, precision)


@functools.lru_cache(maxsize=64)
def _compiled(
    configuration: str, optimizer: Optimizer, loss: Loss, transform: Transform | None, precision: str
) -> CompiledStack:
    tree = json.loads(configuration)
    if precision == "bfloat16":
        last = tree["output_layers"][0]  # [name, 0, 0] of the only output
        for layer in tree["layers"]:
            if layer["name"] != last and layer["class_name"] != "InputLayer":
                layer["config"]["dtype"] = "mixed_bfloat16"
    model = keras.Model.from_config(tree)
    return CompiledStack(model, optimizer, loss, is_stackable(model), transform)


def _inputs(x):
    return x[0] if len(x) == 1 else list(x)


def _padded_steps(shape: tuple[int, ...]) -> int:
    """Pads the number of steps to a power of two (at least 256 for small batches), so that folds share one program.

    The compiled program is given the true number of steps as a value, and runs no more than those.

    Args:
        shape: steps, members, batch.
    """
    steps, members, batch = shape
    least = 256 if members * batch <= _SMALL_STEP_RECORDS else 1
    return max(least, 2 ** math.ceil(math.log2(steps)))


def _values(variables) -> list[np.ndarray]:
    return [np.asarray(variable.value) for variable in variables]
