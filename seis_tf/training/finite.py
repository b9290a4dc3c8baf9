"""A training that is no longer finite: the error that ends it, and the search for the records that caused it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from seis_tf.training.batches import Batches
from seis_tf.training.stack import CompiledStack
from seis_tf.training.state import StackState

# State and batches -> the state after them, and the loss [step, member].
Steps = Callable[[StackState, Batches], tuple[StackState, np.ndarray]]


class NotFiniteError(ValueError):
    """Loss, weights or the optimizer's moments of a member are not finite; what it was trained to is of no use.

    Attributes:
        member: number of the model.
        epoch: counted from 1.
        what: is not finite, in words.
        rows: of the data, the records that cause it; empty where no record alone does.
    """

    def __init__(self, member: int, epoch: int, what: str, rows: Sequence[int] | np.ndarray):
        self.member, self.epoch, self.what, self.rows = member, epoch, what, list(map(int, rows))
        super().__init__(self.message([f"in row {row}" for row in self.rows]))

    def message(self, records: Sequence[str]) -> str:
        """The error's message, with the records at fault called by these names."""
        words = f"member {self.member}, epoch {self.epoch}: expected finite loss and weights, received {self.what}"
        if not records:
            return f"{words}; no single record causes it: try a smaller --learning-rate"
        more = f" and {len(records) - 3} more" if len(records) > 3 else ""
        return f"{words} because of the record {', '.join(records[:3])}{more}; mend it or leave it out"


def rows_at_fault(
    stack: CompiledStack,
    steps: Steps,
    state: StackState,
    untrained: StackState,
    batches: Batches,
    member: int,
    values: Sequence[np.ndarray],
) -> list[int]:
    """The records that made a member's epoch end without finite weights.

    The first step after which something is not finite is found by bisection, then its records are tried one by one. A
    record is at fault when the network fails on it alone with its first weights too: the weights just before the
    failure may fail on any record, where the learning rate is too high.

    Args:
        stack: that was trained.
        steps: runs a part of the epoch again.
        state: before the epoch.
        untrained: the state that training began with.
        batches: of the epoch.
        member: its place in the state.
        values: inputs and targets [record, ...].

    Returns:
        Rows of the data, sorted; none where the whole batch fails, or no record does alone.
    """
    only = batches.of(np.arange(batches.rows.shape[1]) == member)

    def run(start: StackState, part: Batches) -> tuple[StackState, bool]:
        after, losses = steps(start, part)
        has_records = part.present[:, member].any(axis=1)
        return after, bool(stack.finite(after)[member] and np.isfinite(losses[has_records, member]).all())

    good, bad = 0, len(only)  # numbers of steps after which all is finite, and not
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if run(state, only.part(0, middle))[1] else (good, middle)
    step = only.part(good, good + 1)
    places = np.flatnonzero(step.present[0, member])
    without_value = {row for row in step.rows[0, member, places] if not all(np.isfinite(v[row]).all() for v in values)}
    if without_value:
        return sorted(without_value)
    return _failing_alone(step, member, places, lambda part: run(untrained, part)[1])


def _failing_alone(step: Batches, member: int, places: np.ndarray, is_finite: Callable[[Batches], bool]) -> list[int]:
    """Rows of those records of one step on which training fails alone; none where it fails on all.

    Args:
        step: one step.
        member: whose records are tried.
        places: int [record], where in the batch it has records.
        is_finite: whether training on a step gives finite weights.
    """
    failing = np.array([place for place in places if not is_finite(_alone(step, member, place))], int)
    others = np.setdiff1d(places, failing)
    if not len(others):
        return []
    rows = set()
    for place in failing:
        at_fault = step.rows
        if step.companions is not None:
            companions = step.companions.copy()
            companions[0, member, place] = step.companions[0, member, others[0]]
            # Where training on the record succeeds with another companion, the companion is at fault.
            if is_finite(_alone(replace(step, companions=companions), member, place)):
                at_fault = step.companions
        rows.add(at_fault[0, member, place])
    return sorted(rows)


def _alone(step: Batches, member: int, place: int) -> Batches:
    """One step with one record: the other places repeat it, as 0 times a value that is not finite would be NaN."""

    def repeated(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[0, member] = values[0, member, place]
        return values

    present = np.zeros_like(step.present)
    present[0, member, place] = 1
    companions = None if step.companions is None else repeated(step.companions)
    return replace(step, rows=repeated(step.rows), present=present, companions=companions)
