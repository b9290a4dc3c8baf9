"""Which of two values of a score is the better one, and the best epoch of a history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

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


def smaller_is_better(score: str) -> bool:
    """Whether the smaller of two values of a score is the better one; `val_` before its name changes nothing.

    Raises:
        ValueError: the score is not in the table above; its direction is not guessed.
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
