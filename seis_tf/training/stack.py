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

from seis_tf.models.layers import StackableDropout, dropouts
from seis_tf.training.optimizers import Optimizer

Loss = Callable[..., tf.Tensor]  # (targets, outputs), and its parts' weights where it has such -> [record]
Transform = Callable[[Sequence[tf.Tensor], tf.Tensor], Sequence[tf.Tensor]]


@dataclass
class StackState:
    """Everything that training changes: variables of K models and of their optimizer, each [K, ...]."""

    trainable: list[tf.Tensor]
    non_trainable: list[tf.Tensor]
    optimizer: list[tf.Tensor]

    def map(self, function: Callable, *others: StackState) -> StackState:
        """The state of `function(v, ...)` for each array v of this state and its like in the others."""
        states = zip(*map(_groups, (self, *others)), strict=True)
        return StackState(*([function(*v) for v in zip(*group, strict=True)] for group in states))

    def part(self, members: Sequence[int]) -> StackState:
        """Some of the models."""
        chosen = list(members)
        return self if chosen == list(range(self.trainable[0].shape[0])) else self.map(lambda v: tf.gather(v, chosen))

    @classmethod
    def joined(cls, states: Sequence[StackState]) -> StackState:
        """Stacks of one architecture as one stack."""
        return states[0].map(lambda *v: tf.concat(v, axis=0), *states[1:])

    def arrays(self) -> dict[str, np.ndarray]:
        """For a checkpoint."""
        return {f"{kind}_{i:03d}": v.numpy() for kind in _KINDS for i, v in enumerate(getattr(self, kind))}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> StackState:
        """What `arrays` gave."""
        return cls(
            **{
                kind: [tf.constant(arrays[name]) for name in sorted(arrays) if name.rpartition("_")[0] == kind]
                for kind in _KINDS
            }
        )


def _groups(state: StackState) -> tuple[list[tf.Tensor], ...]:
    return state.trainable, state.non_trainable, state.optimizer


_LITTLE = 2**14  # rows in a step
_KINDS = ("trainable", "non_trainable", "optimizer")


def is_stackable(model: keras.Model) -> bool:
    """Whether every layer can be mapped over a stack of weights (and gains from XLA on a CPU)."""
    unmapped = (keras.layers.Conv2D, keras.layers.Dropout, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else model.layers
    return not any(
        isinstance(layer, unmapped) or type(layer) in (keras.layers.Conv1D, keras.layers.MaxPooling1D)
        for layer in layers
    )


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
        self,
        state: StackState,
        inputs: Sequence[tf.Tensor],
        targets: tf.Tensor,
        weights: tf.Tensor,
        rows: np.ndarray,
        present: np.ndarray,
        learning_rate: np.ndarray,
        l2: np.ndarray,
        seed: tuple[int, int],
        companions: np.ndarray | None = None,
        loss_weights: np.ndarray | None = None,
        first_step: int = 0,
    ) -> tuple[StackState, np.ndarray]:
        """The steps of an epoch in one graph, with the data in memory.

        Args:
            state: before.
            inputs: each [record, ...].
            targets: [record, ...].
            weights: float32 [record], the records' weights in the loss.
            rows: int32 [step, member, batch], which records.
            present: float32, likewise: 0 where a row only fills up the batch.
            learning_rate: [member].
            l2: [member].
            seed: of what `transform` draws.
            companions: int32 [step, member, batch]: records whose first input `transform` is given as one more.
            loss_weights: [member, part], of a loss that has parts.
            first_step: number of the first of these steps, for what `transform` draws.

        Returns:
            The state after, and the loss [step, member] (NaN where a member had no step).
        """
        function = self._function("epoch", self._epoch, rows.shape[1], compiled=self._compiles_epochs)
        groups = _groups(state)
        # Where no member has L2 its value is not there at all: XLA adds up a penalty's squares one by one.
        penalty, parts = [l2] if np.any(l2) else [], [] if loss_weights is None else [*loss_weights.T]
        hyper = tf.nest.map_structure(lambda v: tf.constant(v, tf.float32), (learning_rate, penalty, parts))
        data = (tuple(inputs), targets, weights)
        steps = len(rows)
        room = [(0, _room(rows.shape) - steps if self._compiles_epochs else 0), (0, 0), (0, 0)]
        order = [tf.constant(np.pad(v, room), tf.int32) for v in (rows, companions) if v is not None]
        present = tf.constant(np.pad(present, room), tf.float32)
        seed = tf.constant((*seed, first_step), tf.int32)
        groups, losses = function(groups, data, order, present, tf.constant(steps), hyper, seed)
        return StackState(*groups), losses.numpy()[:steps]

    def predict(
        self, state: StackState, inputs: Sequence[tf.Tensor], batch_size: int = 1024, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Outputs [member, record, ...] for records given once for all members, or `rows` [member, record] of each."""
        groups = (state.trainable, state.non_trainable)
        members = state.trainable[0].shape[0]
        if members > 1 and not self.stackable:
            own = [None if rows is None else rows[k : k + 1] for k in range(members)]
            return np.concatenate([self.predict(state.part([k]), inputs, batch_size, own[k]) for k in range(members)])
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
        values = [v for group in _groups(state) for v in group if v.dtype.is_floating]
        return self._function("finite", _all_finite, state.trainable[0].shape[0])(values).numpy()

    @property
    def _compiles_epochs(self) -> bool:
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
        if not self._compiles_epochs:
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

        if self._compiles_epochs:
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
        # A member whose records are used up waits: not even its momentum may move it.
        waits = count == 0
        after = tf.nest.map_structure(
            lambda new, old: tf.where(waits, old, new),
            (list(stepped), list(moved), list(optimizer_after)),
            (trainable, non_trainable, optimizer),
        )
        return after, tf.where(waits, np.nan, total)

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


def architecture(model: keras.Model) -> str:
    """The model's configuration without what differs between members."""

    def strip(node):
        if isinstance(node, dict):
            return {key: strip(value) for key, value in node.items() if key not in _VALUES}
        return [strip(value) for value in node] if isinstance(node, (list, tuple)) else node

    tree = strip(model.get_config())
    for layer in tree["layers"]:
        if layer["class_name"] == StackableDropout.__name__:
            layer["config"]["rate"] = 0.5  # any: the rate is a variable
    return json.dumps(tree, sort_keys=True, default=str)


_VALUES = ("kernel_initializer", "kernel_regularizer", "seed", "build_config")


def _inputs(x):
    return x[0] if len(x) == 1 else list(x)


def _room(shape: tuple[int, int, int]) -> int:
    """Steps that there is room for: a power of two, and where it costs little 256.

    So folds and sizes of a learning curve share one program, which is compiled for the room and told the steps.

    Args:
        shape: steps, members, batch.
    """
    steps, members, batch = shape
    least = 256 if members * batch <= _LITTLE else 1
    return max(least, 2 ** math.ceil(math.log2(steps)))


def _values(variables) -> list[np.ndarray]:
    return [np.asarray(variable.value) for variable in variables]
