"""Everything that the training of a stack of models changes, as one object."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

_KINDS = ("trainable", "non_trainable", "optimizer")


@dataclass
class StackState:
    """Everything that training changes: variables of K models and of their optimizer, each [K, ...]."""

    trainable: list[tf.Tensor]
    non_trainable: list[tf.Tensor]
    optimizer: list[tf.Tensor]

    @property
    def groups(self) -> tuple[list[tf.Tensor], list[tf.Tensor], list[tf.Tensor]]:
        """Trainable and non-trainable variables and the optimizer's, as TensorFlow's functions take them."""
        return self.trainable, self.non_trainable, self.optimizer

    @property
    def members(self) -> int:
        """How many models, K."""
        return self.trainable[0].shape[0]

    def map(self, function: Callable[..., tf.Tensor], *others: StackState) -> StackState:
        """The state of `function(v, ...)` for each array v of this state and its like in the others."""
        states = zip(*(state.groups for state in (self, *others)), strict=True)
        return StackState(*([function(*v) for v in zip(*group, strict=True)] for group in states))

    def part(self, members: Sequence[int]) -> StackState:
        """Some of the models, by their numbers."""
        chosen = list(members)
        return self if chosen == list(range(self.members)) else self.map(lambda v: tf.gather(v, chosen))

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
