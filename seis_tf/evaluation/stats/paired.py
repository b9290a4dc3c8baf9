"""Is one model better than another, or is that chance? Tests on answers to the same records.

Records of one event are alike, so the unit that is resampled or flipped is the event. McNemar's test takes records for
independent and is there because readers ask for it.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from seis_tf.evaluation.results import Result
from seis_tf.evaluation.stats import scores

_FLIPS = 100_000  # more than the 2^16 sign patterns of 16 events
_BATCH = 10_000  # patterns in memory at once


class CorrectedT(Result):
    """Corrected resampled t test (Nadeau and Bengio 2003).

    Attributes:
        difference: mean over folds.
        interval: 95 %.
        t: None where all folds differ by the same.
        p: two-sided; None likewise.
        degrees: of freedom.
    """

    difference: float
    interval: tuple[float, float]
    t: float | None
    p: float | None
    degrees: int


def corrected_t(differences: np.ndarray, n_train: float, n_test: float) -> CorrectedT:
    """The t test of fold differences whose training sets overlap: variance times 1/k + n_test/n_train instead of 1/k.

    Args:
        differences: of a score, one for each fold [fold].
        n_train: mean training records of a fold.
        n_test: mean test records of a fold.

    Raises:
        ValueError: fewer than two folds.
    """
    if len(differences) < 2:
        raise ValueError(f"corrected t: expected at least 2 folds, received {len(differences)}")
    k, mean = len(differences), float(np.mean(differences))
    error = float(np.sqrt((1 / k + n_test / n_train) * np.var(differences, ddof=1)))
    half = float(stats.t.ppf(0.975, k - 1)) * error
    if error <= 1e-12 * abs(mean) or error == 0:
        return CorrectedT(difference=mean, interval=(mean, mean), t=None, p=None, degrees=k - 1)
    t = mean / error
    p = float(2 * stats.t.sf(abs(t), k - 1))
    return CorrectedT(difference=mean, interval=(mean - half, mean + half), t=t, p=p, degrees=k - 1)


def event_gains(labels: np.ndarray, right_a: np.ndarray, right_b: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """What each event adds to the difference a - b in balanced accuracy [event]; their sum is the difference.

    Args:
        labels: int [record].
        right_a: whether a's answer is right, or the part of seeds for which it is [record].
        right_b: likewise.
        groups: event of each record [record].
    """
    counts = np.bincount(labels)
    weights = 1 / (np.count_nonzero(counts) * counts[labels])
    _, group = np.unique(groups, return_inverse=True)
    return np.bincount(group, weights * (np.asarray(right_a, float) - np.asarray(right_b, float)))


def sign_flip_p(gains: np.ndarray, seed: int = 0) -> float:
    """Two-sided p of the sum of gains, if each event's gain could as well have had the other sign.

    Exact for up to 16 events with a gain; else by 100,000 random patterns, the observed one counted among them. A
    second or two for some hundred events.

    Args:
        gains: [event].
        seed: of the random patterns.
    """
    moved = gains[gains != 0]
    if not moved.size:
        return 1.0
    found = stats.permutation_test(
        # Rounded far below any digit that matters: sums of the same numbers in another order are the same.
        (moved / np.abs(moved).sum(),),
        lambda values, axis: np.round(np.abs(values.sum(axis=axis)), 9),
        permutation_type="samples",
        alternative="greater",
        n_resamples=_FLIPS,
        vectorized=True,
        batch=_BATCH,
        random_state=np.random.default_rng(seed),  # pyright: ignore[reportCallIssue]  # `rng` from SciPy 1.15 on
    )
    return float(found.pvalue)


class McNemar(Result):
    """Exact McNemar test: how the records are shared out on which exactly one model is right.

    Attributes:
        only_a: records that only a has right.
        only_b: likewise.
        p: two-sided, from the binomial distribution.
        assumes: what the test takes for granted, in words.
    """

    only_a: int
    only_b: int
    p: float
    assumes: str


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> McNemar:
    """Compares two models' answers to the same records [record]."""
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    p = float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    assumes = "records are independent, which records of one event are not"
    return McNemar(only_a=only_a, only_b=only_b, p=p, assumes=assumes)


def bootstrap_balanced_accuracy(
    labels: np.ndarray, answers: np.ndarray, groups: np.ndarray, n_classes: int, draws: int, seed: int = 0
) -> np.ndarray:
    """Balanced accuracy of resampled events, mean over seeds [draw]; the same for every model with the same seed.

    Args:
        labels: int [record].
        answers: classes [seed, record].
        groups: event of each record [record].
        n_classes: classes in all.
        draws: bootstrap samples.
        seed: of the draws.
    """
    values = [
        scores.balanced_accuracy(scores.bootstrap_confusions(labels, row, groups, n_classes, draws, seed))
        for row in answers
    ]
    return np.mean(values, axis=0)


def bootstrap_mean(values: np.ndarray, groups: np.ndarray, draws: int, seed: int = 0) -> np.ndarray:
    """Mean of a value a record over resampled events [draw]; the same draws as above for the same groups and seed."""
    _, group = np.unique(groups, return_inverse=True)
    times = scores.group_draws(group.max() + 1, draws, seed)
    return times @ np.bincount(group, values) / (times @ np.bincount(group))


def seed_error(one: np.ndarray, two: np.ndarray) -> float | None:
    """Standard error that the seeds alone give the mean difference of two scores [fold, seed]; None for one seed."""
    if one.shape[1] < 2:
        return None
    variance = one.var(axis=1, ddof=1).mean() + two.var(axis=1, ddof=1).mean()
    return float(np.sqrt(variance / one.size))


def holm(p_values: np.ndarray) -> np.ndarray:
    """p values of several tests, corrected for their number (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(steps, 1)
    return corrected
