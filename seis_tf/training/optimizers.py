"""The update rules of SGD and Adam as pure functions of arrays, in Keras's definition.

Keras's own optimizers have no stateless form on TensorFlow, and a stack of models needs one: each member has its own
learning rate, and a member that waits must not move. Tests hold both rules to `keras.optimizers`.

A small network spends more time on the overhead of each variable's update than on arithmetic. So all small variables
are updated as one flat array, and so are their moments in the state; the numbers are the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # Keras's defaults
_SMALL = 2**14  # numbers in a variable; joining larger ones costs more in copies than it saves


@dataclass(frozen=True)
class Optimizer:
    """An update rule; the learning rate is a value that each call is given.

    Args:
        name: "adam" or "sgd".
        momentum: of SGD, Nesterov's.
        weight_decay: decoupled (Loshchilov and Hutter 2019): each update takes rate x decay x weight from a kernel.
        clip_norm: largest global norm of the gradients; None for no limit.
    """

    name: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    clip_norm: float | None = None

    def initial(self, variables: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """The state before the first update: the count of updates, then one or two moments for each joined array."""
        moments = 2 if self.name == "adam" else 1
        return [tf.zeros([], tf.float32)] + [tf.zeros_like(v) for _ in range(moments) for v in _joined(variables)]

    def update(
        self,
        variables: Sequence[tf.Tensor],
        gradients: Sequence[tf.Tensor],
        state: Sequence[tf.Tensor],
        learning_rate: tf.Tensor,
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """Variables and state after one update."""
        if self.clip_norm is not None:
            # Not tf.clip_by_global_norm: its norm has no form that can be mapped over a stack.
            norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients]))
            gradients = [g * tf.minimum(1.0, self.clip_norm / tf.maximum(norm, 1e-30)) for g in gradients]
        if self.weight_decay:
            keep = 1 - learning_rate * self.weight_decay
            variables = [v * keep if len(v.shape) > 1 else v for v in variables]
        values, slopes = _joined(variables), _joined(gradients)
        count, n = state[0] + 1, len(values)
        if self.name == "sgd":
            momenta = [self.momentum * m - learning_rate * g for m, g in zip(state[1:], slopes, strict=True)]
            steps = [self.momentum * m - learning_rate * g for m, g in zip(momenta, slopes, strict=True)]
            after = [v + s for v, s in zip(values, steps, strict=True)]
            return _apart(after, variables), [count, *momenta]
        first = [m + (g - m) * (1 - _BETA_1) for m, g in zip(state[1 : n + 1], slopes, strict=True)]
        second = [v + (tf.square(g) - v) * (1 - _BETA_2) for v, g in zip(state[n + 1 :], slopes, strict=True)]
        alpha = learning_rate * tf.sqrt(1 - tf.pow(_BETA_2, count)) / (1 - tf.pow(_BETA_1, count))
        after = [v - alpha * m / (tf.sqrt(s) + _EPSILON) for v, m, s in zip(values, first, second, strict=True)]
        return _apart(after, variables), [count, *first, *second]

    def as_keras(self, learning_rate: float) -> keras.optimizers.Optimizer:
        """The same rule as a Keras optimizer, for users of `compile` and `fit`."""
        decay = self.weight_decay or None
        common = {"learning_rate": learning_rate, "global_clipnorm": self.clip_norm, "weight_decay": decay}
        if self.name == "sgd":
            optimizer = keras.optimizers.SGD(momentum=self.momentum, nesterov=self.momentum > 0, **common)
        else:
            optimizer = keras.optimizers.Adam(**common)
        if decay:
            optimizer.exclude_from_weight_decay(var_names=["bias"])
        return optimizer


def _joined(arrays: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The large arrays as they are, then all small ones as one flat array."""
    small = [tf.reshape(a, [-1]) for a in arrays if _size(a) <= _SMALL]
    return [a for a in arrays if _size(a) > _SMALL] + ([tf.concat(small, 0)] if small else [])


def _apart(joined: Sequence[tf.Tensor], like: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """What `_joined` joined, with the shapes and in the order of `like`."""
    small = iter(tf.split(joined[-1], sizes) if (sizes := [_size(a) for a in like if _size(a) <= _SMALL]) else [])
    large = iter(joined)
    return [tf.reshape(next(small), a.shape) if _size(a) <= _SMALL else next(large) for a in like]


def _size(array: tf.Tensor) -> int:
    return math.prod(array.shape)
