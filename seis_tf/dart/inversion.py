"""The classical answer: non-negative least squares on unit sources, plain, smoothed, or pulled towards another answer.

All three minimise over w >= 0

    |A w - b|^2 + |D (w - w0)|^2,

A the Green's functions of the samples that exist, b those samples, D and w0 what is wished for beside the fit: nothing;
smooth slip (differences of neighbours, w0 = 0); or nearness to w0, the answer of a network, say. Stacked, this is one
least-squares problem; its QR decomposition brings it to as many rows as there are sources, whatever the window, and is
shared by all events with the same mask. The small problem has the same minimum as the large one (R from the QR, not the
normal equations: their condition number would be the square).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from seis_tf.dart.unit_sources import GreensFunctions, grid_position

# The damping was chosen on simulated events: from 30 minutes on it changes nothing, and at 15 and 20 minutes, when most
# sources have not been seen yet, it keeps their slip from following the last one that was.
DAMPING = 0.3
SMOOTHING_GRID = tuple(10.0 ** np.arange(-4, 0.01, 0.25))
PULL_GRID = SMOOTHING_GRID


@dataclass(frozen=True)
class Choice:
    """A strength that was chosen, with the score of every one that was tried."""

    strength: float
    scores: dict[float, float]


def nnls(
    matrix: np.ndarray,
    windows_m: np.ndarray,
    mask: np.ndarray | None = None,
    *,
    operator: np.ndarray | None = None,
    target: np.ndarray | None = None,
) -> np.ndarray:
    """Non-negative least squares of many events.

    Args:
        matrix: [minute, buoy, source] as `GreensFunctions.matrix` gives it.
        windows_m: [.., minute, buoy] metres of water column; a NaN is a missing sample.
        mask: bool [.., minute, buoy], True where a sample exists; default: where the window is finite.
        operator: D of the module's formula, [row, source]; default: none.
        target: D w0, [.., row]; default: 0.

    Returns:
        float64 [.., source], metres of slip.

    Raises:
        ValueError: shapes don't fit, an event has no sample at all, or a sample that exists is not finite.
    """
    n_sources = matrix.shape[-1]
    windows = np.asarray(windows_m, dtype=float)
    if windows.shape[-2:] != matrix.shape[:2]:
        raise ValueError(f"window: expected [.., minute, buoy] {matrix.shape[:2]}, received {windows.shape}")
    lead = windows.shape[:-2]
    flat, rows = windows.reshape(-1, matrix[..., 0].size), matrix.reshape(-1, n_sources)
    exists = np.isfinite(windows) if mask is None else np.broadcast_to(mask, windows.shape).astype(bool)
    exists = exists.reshape(flat.shape)
    _check_samples(flat, exists)
    extra = np.zeros((0, n_sources)) if operator is None else np.asarray(operator, dtype=float)
    wished = np.zeros((len(flat), len(extra)))
    if target is not None:
        wished += np.asarray(target, dtype=float).reshape(-1, len(extra))
    result = np.empty((len(flat), n_sources))
    # Events by mask; numpy.unique of whole rows would take as long as half of the inversions.
    events_of: dict[bytes, list[int]] = {}
    for event, packed in enumerate(np.packbits(exists, axis=1)):
        events_of.setdefault(packed.tobytes(), []).append(event)
    for events in events_of.values():
        pattern = exists[events[0]]
        orthogonal, triangle = np.linalg.qr(np.concatenate([rows[pattern], extra]))
        right = np.concatenate([flat[events][:, pattern], wished[events]], axis=1) @ orthogonal
        for event, side in zip(events, right, strict=True):
            result[event] = optimize.nnls(triangle, side, maxiter=30 * n_sources)[0]
    return result.reshape(*lead, n_sources)


def _check_samples(flat: np.ndarray, exists: np.ndarray) -> None:
    empty = np.flatnonzero(~exists.any(axis=1))
    if empty.size:
        raise ValueError(f"window: expected at least one sample an event, received none for event {empty[0]}")
    bad = np.flatnonzero((exists & ~np.isfinite(flat)).any(axis=1))
    if bad.size:
        raise ValueError(f"window: expected finite values where the mask is set, received none for event {bad[0]}")


def smoothing_operator(names: Sequence[str], damping: float = DAMPING) -> np.ndarray:
    """Differences of slip between neighbours on the source grid, and a little of the slip itself.

    Args:
        names: sources, in either notation.
        damping: weight of the slip itself beside the differences.

    Returns:
        float64 [pair + source, source]: each pair's row has 1 and -1 for two sources side by side.
    """
    grid = grid_position(names)
    apart = np.abs(grid[:, np.newaxis] - grid).sum(axis=2)
    first, second = np.nonzero(np.triu(apart == 1))
    result = np.zeros((len(first), len(grid)))
    result[np.arange(len(first)), first] = 1
    result[np.arange(len(first)), second] = -1
    return np.concatenate([result, damping * np.eye(len(grid))])


def smoothed_nnls(
    matrix: np.ndarray,
    windows_m: np.ndarray,
    source_names: Sequence[str],
    strength: float,
    mask: np.ndarray | None = None,
    damping: float = DAMPING,
) -> np.ndarray:
    """NNLS that prefers slip without jumps between neighbouring sources.

    Args:
        matrix: [minute, buoy, source], as for `nnls`.
        windows_m: [.., minute, buoy], metres of water column.
        source_names: order of the matrix's last axis.
        strength: metres of water that weigh as much as a metre of difference between neighbours.
        mask: bool [.., minute, buoy], as for `nnls`.
        damping: see `smoothing_operator`.

    Returns:
        float64 [.., source].
    """
    return nnls(matrix, windows_m, mask, operator=strength * smoothing_operator(source_names, damping))


def hybrid(
    matrix: np.ndarray,
    windows_m: np.ndarray,
    prior_m: np.ndarray,
    strength: float,
    mask: np.ndarray | None = None,
    whitening: np.ndarray | None = None,
) -> np.ndarray:
    """NNLS pulled towards another answer.

    Args:
        matrix: [minute, buoy, source], as for `nnls`.
        windows_m: [.., minute, buoy], metres of water column.
        prior_m: [.., source], the other answer, metres of slip.
        mask: bool [.., minute, buoy], as for `nnls`.
        strength: metres of water that weigh as much as a metre of slip (with `whitening`: as one standard deviation).
        whitening: [source, source] from `error_whitening`: the other answer is then trusted where it is good.

    Returns:
        float64 [.., source].
    """
    operator = strength * (np.eye(matrix.shape[-1]) if whitening is None else whitening)
    return nnls(matrix, windows_m, mask, operator=operator, target=np.asarray(prior_m, dtype=float) @ operator.T)


def error_whitening(truth_m: np.ndarray, predicted_m: np.ndarray, shrinkage: float = 0.05) -> np.ndarray:
    """Matrix that makes an answer's errors uncorrelated with spread 1, from its errors on validation events.

    Args:
        truth_m: [event, source], metres of slip.
        predicted_m: [event, source], the answers to the same events.
        shrinkage: part of the mean variance that is added to the second moments, so that the inverse is stable.

    Returns:
        float64 [source, source]: the inverse of the Cholesky factor of the errors' second moments.
    """
    error = np.asarray(truth_m, dtype=float) - predicted_m
    moments = error.T @ error / len(error)
    moments += shrinkage * np.trace(moments) / len(moments) * np.eye(len(moments))
    return np.linalg.inv(np.linalg.cholesky(moments))


def explained_variance(truth: np.ndarray, predicted: np.ndarray) -> float:
    """1 - (sum of squared errors) / (sum of squares of the truth), pooled over all values."""
    truth = np.asarray(truth, dtype=float)
    return float(1 - np.sum((truth - predicted) ** 2) / np.sum(truth**2))


def forecast_score(greens: GreensFunctions, truth_m: np.ndarray, window_min: int) -> Callable[[np.ndarray], float]:
    """Score of weights: explained variance of the waves after the window at all gauges of `greens`, pooled.

    Args:
        greens: functions of the gauges to judge at.
        truth_m: [event, minute, gauge], minutes 0, 1, 2, ... at these gauges.
        window_min: end of what was seen.

    Returns:
        Function from weights [event, source] to the score.
    """
    after = truth_m[:, window_min + 1 :]
    return lambda weights_m: explained_variance(after, greens.waves(weights_m)[:, window_min + 1 :])


def choose(
    answer: Callable[[float], np.ndarray], score: Callable[[np.ndarray], float], grid: Sequence[float]
) -> Choice:
    """The strength on a grid whose answers score best.

    Args:
        answer: strength -> weights [event, source] of the validation events.
        score: weights -> number, larger is better.
        grid: strengths to try.
    """
    scores = {float(strength): score(answer(strength)) for strength in grid}
    return Choice(max(scores, key=scores.get), scores)


def choose_smoothing(
    matrix: np.ndarray,
    windows_m: np.ndarray,
    source_names: Sequence[str],
    score: Callable[[np.ndarray], float],
    mask: np.ndarray | None = None,
    grid: Sequence[float] = SMOOTHING_GRID,
) -> Choice:
    """Strength of `smoothed_nnls` that scores best on validation events (see `forecast_score`)."""
    return choose(lambda strength: smoothed_nnls(matrix, windows_m, source_names, strength, mask), score, grid)


def choose_pull(
    matrix: np.ndarray,
    windows_m: np.ndarray,
    prior_m: np.ndarray,
    score: Callable[[np.ndarray], float],
    mask: np.ndarray | None = None,
    whitening: np.ndarray | None = None,
    grid: Sequence[float] = PULL_GRID,
) -> Choice:
    """Strength of `hybrid` that scores best on validation events (see `forecast_score`)."""
    return choose(lambda strength: hybrid(matrix, windows_m, prior_m, strength, mask, whitening), score, grid)


def peak_amplitude(waves_m: np.ndarray) -> np.ndarray:
    """Height of the largest crest: [.., minute, gauge] -> [.., gauge], metres."""
    return np.max(waves_m, axis=-2)


def arrival_minute(waves_m: np.ndarray, fraction: float = 0.25) -> np.ndarray:
    """First minute at which the wave, up or down, reaches a part of its largest absolute value.

    Args:
        waves_m: [.., minute, gauge], minutes 0, 1, 2, ...
        fraction: in (0, 1].

    Returns:
        float64 [.., gauge]; NaN where there is no wave at all.
    """
    size = np.abs(waves_m)
    largest = size.max(axis=-2, keepdims=True)
    first = np.argmax(size >= fraction * largest, axis=-2).astype(float)
    return np.where(largest[..., 0, :] > 0, first, np.nan)
