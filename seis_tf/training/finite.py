"""A training that is no longer finite: the error that ends it, and the search for the records that caused it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from seis_tf.training.stack import CompiledStack, StackState

# State, which steps of an epoch, rows (and companions) and which are present -> the state after, loss [step, member].
Steps = Callable[[StackState, slice, Sequence[np.ndarray], np.ndarray], tuple[StackState, np.ndarray]]


class NotFiniteError(ValueError):
    """Loss, weights or the optimizer's moments of a member are not finite; what it was trained to is of no use.

    Attributes:
        member: number of the model.
        epoch: counted from 1.
        what: is not finite, in words.
        rows: of the data, the records that cause it; empty where that can't be told.
    """

    def __init__(self, member: int, epoch: int, what: str, rows: Sequence[int]):
        self.member, self.epoch, self.what, self.rows = member, epoch, what, list(map(int, rows))
        super().__init__(self.told([f"in row {row}" for row in self.rows]))

    def told(self, records: Sequence[str]) -> str:
        """The message, with the records at fault by these names."""
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
    order: Sequence[np.ndarray],
    present: np.ndarray,
    member: int,
    values: Sequence[np.ndarray],
) -> list[int]:
    """The records that made a member's epoch end without finite weights: of its first such step, tried one by one.

    A record is at fault when the network fails on it alone with its first weights too: those that it has just before it
    fails may fail on any record, where the learning rate is too high.

    Args:
        stack: that was trained.
        steps: runs a part of the epoch again.
        state: before the epoch.
        untrained: the state that training began with.
        order: rows, and companions where there are some, int [step, member, batch], as the epoch had them.
        present: likewise, 0 where a row only fills up.
        member: its place in the state.
        values: inputs and targets [record, ...].

    Returns:
        Rows of the data; none where the whole batch fails, or no record does alone.
    """
    only = np.zeros_like(present)
    only[:, member] = present[:, member]

    def run(start: StackState, part: slice, order, shown: np.ndarray) -> tuple[StackState, bool]:
        after, losses = steps(start, part, order, shown)
        stepped = shown[part, member].any(axis=1)
        return after, bool(stack.finite(after)[member] and np.isfinite(losses[stepped, member]).all())

    good, bad = 0, len(present)  # steps after which all is finite, and not
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if run(state, slice(0, middle), order, only)[1] else (good, middle)
    places = np.flatnonzero(only[good, member])
    batch = order[0][good, member, places]
    without_value = {row for row in batch if not all(np.isfinite(v[row]).all() for v in values)}
    if without_value:
        return sorted(without_value)

    def is_finite(chosen: np.ndarray, order: Sequence[np.ndarray] = order) -> bool:
        """With these places alone: the others repeat one of them, for 0 times a value that is not finite is NaN."""
        shown, repeated = np.zeros_like(only), [v.copy() for v in order]
        shown[good, member, chosen] = 1
        for rows, given in zip(repeated, order, strict=True):
            rows[good, member] = given[good, member, chosen[0]]
            rows[good, member, chosen] = given[good, member, chosen]
        return run(untrained, slice(good, good + 1), repeated, shown)[1]

    failing = np.array([place for place in places if not is_finite(np.array([place]))], int)
    others = np.setdiff1d(places, failing)
    if not len(others):
        return []
    found = set()
    for place in failing:
        mixed = [v.copy() for v in order]
        mixed[-1][good, member, place] = order[-1][good, member, others[0]]
        # With another companion all is well: the companion is at fault.
        by_companion = len(order) > 1 and is_finite(np.array([place]), mixed)
        found.add(order[1 if by_companion else 0][good, member, place])
    return sorted(found)
