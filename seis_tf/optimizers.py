"""The update rules of SGD and Adam as pure functions of arrays, in Keras's definition.

Keras's own optimizers have no stateless form on TensorFlow, and a stack of models needs one: each member has its own
learning rate, and a member that waits must not move. Tests hold both rules to `keras.optimizers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import tensorflow as tf

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7  # Keras's defaults


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
        """The state before the first update: the count of updates, then one or two moments for each variable."""
        moments = 2 if self.name == "adam" else 1
        return [tf.zeros([], tf.float32)] + [tf.zeros_like(v) for _ in range(moments) for v in variables]

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
        count, n = state[0] + 1, len(variables)
        if self.name == "sgd":
            momenta = [self.momentum * m - learning_rate * g for m, g in zip(state[1:], gradients, strict=True)]
            steps = [self.momentum * m - learning_rate * g for m, g in zip(momenta, gradients, strict=True)]
            return [v + s for v, s in zip(variables, steps, strict=True)], [count, *momenta]
        first = [m + (g - m) * (1 - _BETA_1) for m, g in zip(state[1 : n + 1], gradients, strict=True)]
        second = [v + (tf.square(g) - v) * (1 - _BETA_2) for v, g in zip(state[n + 1 :], gradients, strict=True)]
        alpha = learning_rate * tf.sqrt(1 - tf.pow(_BETA_2, count)) / (1 - tf.pow(_BETA_1, count))
        after = [v - alpha * m / (tf.sqrt(s) + _EPSILON) for v, m, s in zip(variables, first, second, strict=True)]
        return after, [count, *first, *second]

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
