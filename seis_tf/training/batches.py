"""Which records each step of an epoch takes: batches for all members of a stack, from seed and epoch alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seis_tf.training.inputs import Member


@dataclass(frozen=True)
class Batches:
    """The batches of some steps of an epoch.

    Args:
        rows: int32 [step, member, batch], rows of the data.
        present: float32, likewise: 0 where a row only fills up the batch and counts for nothing.
        companions: int32, likewise: for each row the record that a transform may mix into it.
        first_step: number of the first of these steps in its epoch, for what a transform draws.
    """

    rows: np.ndarray
    present: np.ndarray
    companions: np.ndarray | None = None
    first_step: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, end: int) -> Batches:
        """The steps from `first` up to and without `end`, counted from the first of these."""
        companions = None if self.companions is None else self.companions[first:end]
        return Batches(self.rows[first:end], self.present[first:end], companions, self.first_step + first)

    def of(self, members: np.ndarray) -> Batches:
        """The same steps for these members (bool [member]) alone: nothing is present for the others."""
        return replace(self, present=np.where(members[:, None], self.present, np.float32(0)))


def epoch_batches(members: Sequence[Member], epoch: int, batch_size: int, companions: np.ndarray | None) -> Batches:
    """One epoch: every training record of each member once, in batches of which the last may not be full.

    Args:
        members: give training rows and seed.
        epoch: counted from 0.
        batch_size: records in a batch.
        companions: int [record], rows that may be mixed in; None where nothing is mixed in.

    Raises:
        ValueError: a member has no companion among its training records.
    """
    steps = max(math.ceil(len(member.train) / batch_size) for member in members)
    order = np.zeros((len(members), steps * batch_size), np.int32)
    present = np.zeros((len(members), steps * batch_size), np.float32)
    for k, member in enumerate(members):
        size = len(member.train)
        order[k, :size] = np.random.default_rng([member.seed, epoch]).permutation(member.train)
        # Filled up with a record of the member's own: it counts 0 times, and 0 times another's NaN would be NaN.
        order[k, size:] = order[k, 0]
        present[k, :size] = 1
    shape = (len(members), steps, batch_size)
    rows, present = order.reshape(shape).swapaxes(0, 1), present.reshape(shape).swapaxes(0, 1)
    return Batches(rows, present, None if companions is None else _drawn(companions, members, rows, epoch))


def _drawn(companions: np.ndarray, members: Sequence[Member], rows: np.ndarray, epoch: int) -> np.ndarray:
    """A companion for each row, from the member's training records alone: nothing of its validation records leaks."""
    drawn = np.empty_like(rows)
    for k, member in enumerate(members):
        pool = np.intersect1d(companions, member.train)
        if not len(pool):
            raise ValueError(f"companions: expected some among the training records, received none for member {k}")
        drawn[:, k] = np.random.default_rng([member.seed, epoch, 1]).choice(pool, rows[:, k].shape)
    return drawn
