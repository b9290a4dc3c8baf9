"""Labels and probabilities -> scores, calibration errors and bootstrap intervals over events.

Everything that a confusion matrix decides is computed from one, for any leading axes. So a bootstrap over events is a
matter of adding up the events' own matrices, and a thousand draws take milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seis_tf.evaluation.results import Spread

HEADLINES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss", "brier", "ece")
ECE_BINS = 15
_TINY = np.finfo(np.float64).eps  # as scikit-learn's log_loss clips


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts [true class, predicted class]."""
    return np.bincount(labels * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Part of the records that are right, from counts [..., true, predicted]."""
    return _ratio(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def recalls(confusion: np.ndarray) -> np.ndarray:
    """Part of each true class that is found [..., class]; NaN for a class without records."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-1))


def precisions(confusion: np.ndarray) -> np.ndarray:
    """Part of each answer that is right [..., class]; NaN for a class that was never answered."""
    return _ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(axis=-2))


def f1_scores(confusion: np.ndarray) -> np.ndarray:
    """Harmonic mean of precision and recall [..., class]; NaN for a class neither there nor answered."""
    both = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return _ratio(2 * np.diagonal(confusion, axis1=-2, axis2=-1), both)


def balanced_accuracy(confusion: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that have records."""
    return _mean_of_known(recalls(confusion))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean F1 of the classes that are there or were answered."""
    return _mean_of_known(f1_scores(confusion))


def log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """-log of the probability that the true class was given [record]; nats."""
    true = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.clip(true, _TINY, 1))


def brier_scores(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Squared distance of the probabilities from the truth, summed over classes [record]: 0 to 2 (Brier 1950)."""
    return np.square(probabilities - np.eye(probabilities.shape[1])[labels]).sum(axis=1)


@dataclass(frozen=True)
class Reliability:
    """Confidence against how often it was right, in bins of (nearly) equal numbers of records.

    Attributes:
        confidence: mean probability of the answered class [bin].
        accuracy: part that was right [bin].
        records: [bin].
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    records: np.ndarray

    @property
    def ece(self) -> float:
        """Expected calibration error: mean distance of accuracy from confidence, weighted by records."""
        return float(np.average(np.abs(self.accuracy - self.confidence), weights=self.records))


def reliability(confidence: np.ndarray, correct: np.ndarray, n_bins: int = ECE_BINS) -> Reliability:
    """Sorts records into bins of equal mass by their confidence.

    Args:
        confidence: probability of the answer [record].
        correct: whether the answer was right [record].
        n_bins: with fewer records than that, each has its own bin.

    Raises:
        ValueError: there are no records.
    """
    if not len(confidence):
        raise ValueError("reliability: expected at least one record, received none")
    # Equal confidences (a saturated softmax has many) share their mean, so that the order of records doesn't matter.
    values, place, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    shared = np.bincount(place, weights=correct) / counts
    bins = np.array_split(np.argsort(place, kind="stable"), min(n_bins, len(confidence)))
    return Reliability(
        np.array([values[place[rows]].mean() for rows in bins]),
        np.array([shared[place[rows]].mean() for rows in bins]),
        np.array([len(rows) for rows in bins]),
    )


def ece(labels: np.ndarray, probabilities: np.ndarray, n_bins: int = ECE_BINS) -> float:
    """Expected calibration error of the answered class, in bins of equal mass (Nixon et al. 2019)."""
    return reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, n_bins).ece


def headline_scores(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """The main scores: those of `HEADLINES`.

    Args:
        labels: int [record].
        probabilities: [record, class], rows adding up to 1.
    """
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    return {
        "accuracy": float(accuracy(confusion)),
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "macro_f1": float(macro_f1(confusion)),
        "log_loss": float(log_losses(labels, probabilities).mean()),
        "brier": float(brier_scores(labels, probabilities).mean()),
        "ece": ece(labels, probabilities),
    }


def group_draws(n_groups: int, draws: int, seed: int) -> np.ndarray:
    """How often each group is drawn in each bootstrap sample, int [draw, group]."""
    return np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=draws)


def bootstrap_confusions(
    labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, n_classes: int, draws: int, seed: int
) -> np.ndarray:
    """Counts [draw, true, predicted] of resampled events; the same groups and seed give the same draws."""
    _, group = np.unique(groups, return_inverse=True)
    own = np.zeros((group.max() + 1, n_classes, n_classes))
    np.add.at(own, (group, labels, predicted), 1)
    return np.tensordot(group_draws(len(own), draws, seed), own, axes=1)


def bootstrap(
    labels: np.ndarray, probabilities: np.ndarray, groups: np.ndarray, draws: int = 1000, seed: int = 0
) -> dict[str, np.ndarray]:
    """The headline scores of resampled events: whole groups are drawn with replacement.

    Args:
        labels: int [record].
        probabilities: [record, class].
        groups: event of each record [record].
        draws: bootstrap samples.
        seed: of the draws.

    Returns:
        Score name to [draw].
    """
    _, group = np.unique(groups, return_inverse=True)
    times = group_draws(group.max() + 1, draws, seed)
    confusions = bootstrap_confusions(labels, probabilities.argmax(axis=1), groups, probabilities.shape[1], draws, seed)
    records = confusions.sum(axis=(1, 2))
    repeated = [np.repeat(np.arange(len(labels)), counts[group]) for counts in times]
    return {
        "accuracy": accuracy(confusions),
        "balanced_accuracy": balanced_accuracy(confusions),
        "macro_f1": macro_f1(confusions),
        "log_loss": times @ np.bincount(group, log_losses(labels, probabilities)) / records,
        "brier": times @ np.bincount(group, brier_scores(labels, probabilities)) / records,
        "ece": np.array([ece(labels[rows], probabilities[rows]) for rows in repeated]),
    }


def interval(values: np.ndarray, level: float = 0.95) -> list[float]:
    """The middle `level` of bootstrap values, [low, high]."""
    tail = (1 - level) / 2
    return [float(v) for v in np.nanquantile(values, [tail, 1 - tail])]


def event_balanced_accuracy(labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray) -> float:
    """Balanced accuracy with every event counted once: recall in each event, mean over events, mean over classes."""
    right = predicted == labels
    means = []
    for label in np.unique(labels):
        rows = labels == label
        _, event = np.unique(groups[rows], return_inverse=True)
        means.append(np.mean(np.bincount(event, right[rows]) / np.bincount(event)))
    return float(np.mean(means))


def check_probabilities(labels: np.ndarray, probabilities: np.ndarray, n_classes: int) -> np.ndarray:
    """Probabilities in float64 with rows that add up to 1 exactly.

    Raises:
        ValueError: another shape, no records, or values that are no probabilities.
    """
    if not len(labels) or probabilities.shape != (len(labels), n_classes):
        expected = f"[{len(labels)}, {n_classes}]" if len(labels) else f"[at least 1, {n_classes}]"
        raise ValueError(f"probabilities: expected shape {expected}, received {list(probabilities.shape)}")
    exact = probabilities.astype(np.float64)
    total = exact.sum(axis=1, keepdims=True)
    if not np.all(exact >= 0) or not np.allclose(total, 1, atol=1e-3):
        bad = int(np.argmax(~(np.all(exact >= 0, axis=1) & np.isclose(total[:, 0], 1, atol=1e-3))))
        raise ValueError(
            f"probabilities: expected values of at least 0 that add up to 1, received {exact[bad].tolist()}"
        )
    return exact / total


def summary(values: Sequence[float] | np.ndarray) -> Spread:
    """Mean and standard deviation (n - 1) of a score over folds or seeds; deviation 0 for a single value."""
    array = np.asarray(values, dtype=np.float64)
    return Spread(mean=float(array.mean()), std=float(array.std(ddof=1)) if array.size > 1 else 0.0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    part, whole = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan), where=whole > 0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
