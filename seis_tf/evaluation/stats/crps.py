"""The continuous ranked probability score of a predictive distribution that is given by samples.

CRPS is the integral over x of (P(X <= x) - [truth <= x])^2: in the unit of what is predicted, smaller is better, and
of a distribution of one sample it is the absolute error (Gneiting and Raftery 2007).
"""

from __future__ import annotations

import numpy as np


def sorted_crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of the distribution of sorted samples, one for all truths: mean |x - y| - mean |x - x'| / 2.

    Args:
        samples: [sample], ascending.
        truth: [..].
    """
    samples, truth = np.asarray(samples, dtype=float), np.asarray(truth, dtype=float)
    n = len(samples)
    sums = np.concatenate([[0.0], np.cumsum(samples)])
    below = np.searchsorted(samples, truth)
    distance = (truth * (2 * below - n) + sums[-1] - 2 * sums[below]) / n
    return distance - _half_spread(samples)


def sample_crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """CRPS of the distribution of each record's own samples.

    Args:
        samples: [sample, ..].
        truth: [..].
    """
    distance = np.abs(samples - truth).mean(axis=0, dtype=float)
    return distance - _half_spread(np.sort(samples, axis=0))


def _half_spread(ascending: np.ndarray) -> np.ndarray:
    """Half the mean difference of two samples, mean |x - x'| / 2, from sorted samples [sample, ..]."""
    n = len(ascending)
    weights = (2 * np.arange(1, n + 1) - n - 1) / n**2
    return np.tensordot(weights, ascending, axes=1)
