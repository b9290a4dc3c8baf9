"""What one call of `fit` trains: records in memory, the members of the stack, the loss and the scores beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

Loss = Callable[..., tf.Tensor]  # (targets, outputs), and its parts' weights where it has such -> [record]
Transform = Callable[[Sequence[tf.Tensor], tf.Tensor], Sequence[tf.Tensor]]  # (inputs of a batch, int32 seed [3])
Metric = Callable[[np.ndarray, np.ndarray], float]  # (targets, outputs) of the validation records -> score


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
        train: int [record], rows of the data that it is fitted to.
        valid: int [record], rows that its validation scores are of.
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


@dataclass(frozen=True)
class FitInputs:
    """What is fitted to what.

    Args:
        data: for all members.
        members: which records, seed and rates each has.
        loss: (targets, outputs) -> [record]; one with an attribute `part_weights` is given those, or a member's own, as
            a third argument.
        metrics: name to function of (targets, outputs); validation scores, called "val_" + name. The one that is
            monitored must be known to `smaller_is_better`.
    """

    data: Data
    members: list[Member]
    loss: Loss
    metrics: Mapping[str, Metric] = field(default_factory=dict)
