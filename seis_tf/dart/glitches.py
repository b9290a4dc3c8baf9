"""Faults in a series of levels: spikes, one level that never changes, steps. Numbers in, numbers out.

A tsunami in the deep sea takes minutes to rise, and a buoy in event mode sends a value a minute or four: it never
changes the level within one sample and leaves it there. Seismic shaking is as abrupt as a spike, but never one sample
alone. So a spike must stand out from neighbours that agree with each other, and a step must have quiet on both sides.
In quarter hours after the origin a tsunami may well be one high sample: nothing is looked for there. Before the
origin there is the tide alone, which four samples around a quarter hour give to a millimetre.
"""

from __future__ import annotations

import numpy as np

FINE_MIN = 2.0  # samples closer than this follow a tsunami; NDBC's event mode has 15 s and 1 min
COARSE_MIN = 60.0  # samples closer than this follow the tide
_MIN_NOISE_M = 0.001  # the text's last digit
_MOST = 50  # spikes of one record
_SIDE_MIN = {"fine": 10.0, "coarse": 120.0}  # of a step, on each side
_MOST_STEPS = 5
_AROUND = (-2, -1, 1, 2)
_UNEVEN = 4.0  # 15 s beside 1 min


def departures(
    time_min: np.ndarray, level_m: np.ndarray, places: tuple[int, ...] = _AROUND, widest: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """How far each sample is from the cubic through four others.

    Either all five are at most `FINE_MIN` apart, or they are all before the origin and at most `COARSE_MIN` apart. Of
    the last two of those the four are the nearest before the origin.

    Args:
        time_min: [sample], ascending, minutes after the origin.
        level_m: [sample], finite.
        places: of the four, counted from the sample.
        widest: gap, in steps, that may lie between two of the five; by default that of `places`.

    Returns:
        Metres, float64 [sample], NaN where the four say nothing: they are too far away in time, or so unevenly spaced
        that it is less interpolation than guessing; and the standard deviation of the result in white noise of
        standard deviation 1, float64 [sample].
    """
    metres, spread = np.full(len(time_min), np.nan), np.ones(len(time_min))
    longest = widest or max(np.diff(sorted((*places, 0))))
    before = int(np.searchsorted(time_min, 0))
    for last, gap_min in ((len(time_min), FINE_MIN), (before, COARSE_MIN)):
        mine = np.arange(last)
        others = mine[:, None] + np.array(places)
        if gap_min == COARSE_MIN and places == _AROUND and before >= 5:
            others[-2:] = [[k for k in range(before - 5, before) if k != i] for i in (before - 2, before - 1)]
        inside = (others >= 0).all(axis=1) & (others < last).all(axis=1) & np.isnan(metres[:last])
        mine, others = mine[inside], others[inside]
        around = np.sort(np.concatenate([time_min[others], time_min[mine, None]], axis=1), axis=1)
        gaps = np.diff(around, axis=1)
        close = (gaps.max(axis=1) <= longest * gap_min) & (gaps.max(axis=1) <= longest * _UNEVEN * gaps.min(axis=1))
        mine, others = mine[close], others[close]
        weights = _cubic_weights(time_min[others] - time_min[mine, None])
        metres[mine] = level_m[mine] - np.sum(weights * level_m[others], axis=1)
        spread[mine] = np.sqrt(1 + np.sum(weights**2, axis=1))
    return metres, spread


def _cubic_weights(offset_min: np.ndarray) -> np.ndarray:
    """Lagrange's weights at 0 for values at four times, [.., 4]."""
    here = np.eye(4, dtype=bool)
    apart = offset_min[..., :, None] - offset_min[..., None, :]
    return np.prod(np.where(here, 1.0, -offset_min[..., None, :] / np.where(here, 1.0, apart)), axis=-1)


def noise_m(time_min: np.ndarray, level_m: np.ndarray) -> float:
    """Standard deviation of the record's own noise before the origin, robustly; at least the text's last digit."""
    metres, spread = departures(time_min, level_m)
    away = (metres / spread)[(time_min < 0) & np.isfinite(metres)]
    return max(_MIN_NOISE_M, 1.4826 * float(np.median(np.abs(away)))) if len(away) >= 8 else _MIN_NOISE_M


def spikes(
    time_min: np.ndarray, level_m: np.ndarray, smallest_m: float, noise_factor: float, isolation: float
) -> dict[int, float]:
    """Single samples, or two side by side, that stand out from neighbours which agree with each other.

    Args:
        time_min: [sample], ascending, minutes after the origin.
        level_m: [sample], finite.
        smallest_m: no less is a spike.
        noise_factor: nor less than so many times the record's own noise.
        isolation: nor less than so many times the largest departure of the third to fifth neighbour on each side, which
            the spike itself has no part in.

    Returns:
        Number of the sample -> metres from what its neighbours say.
    """
    limits = smallest_m, noise_factor * noise_m(time_min, level_m), isolation
    kept, found = np.arange(len(time_min)), {}
    while len(found) < _MOST:
        away = _standing_out(time_min[kept], level_m[kept], *limits)
        if not away:
            break
        found |= {int(kept[i]): metres for i, metres in away.items()}
        kept = np.delete(kept, list(away))
    return dict(sorted(found.items()))


def _standing_out(
    time: np.ndarray, level: np.ndarray, smallest_m: float, noise_limit: float, isolation: float
) -> dict[int, float]:
    """The largest spike of one sample, else of two; nothing where there is none.

    Two side by side must pass three times the limits: two faults that are three samples apart make the two good ones
    between look like that, and so does the sharpest wave in a value a minute.
    """
    single = departures(time, level)
    beside = np.nan_to_num(np.abs(single[0] / single[1]))
    known = np.isfinite(single[0])
    for width, factor, places in ((1, 1.0, []), (2, 3.0, [(-2, -1, 2, 3), (-3, -2, 1, 2)])):
        parts = [departures(time, level, place) for place in places] or [single]
        count = len(time) - width + 1
        if count < 1:
            continue
        away = np.stack([part[0][k : k + count] for k, part in enumerate(parts)])
        size = np.min(np.abs(away), axis=0)
        scaled = np.min([np.abs(m[k : k + count]) / s[k : k + count] for k, (m, s) in enumerate(parts)], axis=0)
        rough, said = np.zeros(count), np.zeros((2, count), int)
        for side, shift in enumerate((-5, -4, -3, width + 2, width + 3, width + 4)):
            at = np.arange(count) + shift
            inside = (at >= 0) & (at < len(time))
            at = at.clip(0, len(time) - 1)
            rough = np.maximum(rough, np.where(inside, beside[at], 0))
            said[side // 3] += inside & known[at]
        # Without a neighbour behind it, a high sample may be the first of a wave; not so before the origin.
        surrounded = (said[0] > 0) & ((said[1] > 0) | (time[:count] < 0))
        with np.errstate(invalid="ignore"):
            large = (size > factor * smallest_m) & (scaled > factor * noise_limit)
            stands = large & (scaled > factor * isolation * rough) & surrounded
        for first in sorted(np.flatnonzero(stands), key=lambda i: -size[i]):
            if scaled[first] > factor * isolation / 2 * _left_beside(time, level, int(first), width):
                return {int(first) + k: float(away[k, first]) for k in range(width)}
    return {}


def _left_beside(time: np.ndarray, level: np.ndarray, first: int, width: int) -> float:
    """The largest departure of the two samples on each side of a spike, once it is gone.

    Where a wave begins, or at a step, they depart as well: what stands out is then no single sample.
    """
    near = np.r_[max(first - 6, 0) : first, first + width : min(first + width + 6, len(time))]
    metres, spread = departures(time[near], level[near], widest=1 + width)
    at = int(np.searchsorted(near, first))
    beside = np.abs(metres / spread)[max(at - 2, 0) : at + 2]
    return float(np.nanmax(beside, initial=0.0))


def flat_runs(time_min: np.ndarray, level_m: np.ndarray, shortest_min: float) -> list[tuple[int, int]]:
    """Runs of one and the same level, as numbers of the first and the last sample.

    Args:
        time_min: [sample], ascending.
        level_m: [sample], finite.
        shortest_min: no shorter run counts, nor one of less than four samples.
    """
    ends = np.flatnonzero(np.append(np.diff(level_m) != 0, True)) if len(level_m) else np.array([], int)
    starts = np.append(0, ends[:-1] + 1) if len(ends) else ends
    long = (ends - starts >= 3) & (time_min[ends] - time_min[starts] >= shortest_min)
    return list(zip(starts[long].tolist(), ends[long].tolist(), strict=True))


def steps(time_min: np.ndarray, level_m: np.ndarray, smallest_m: float, noise_factor: float) -> list[tuple[int, float]]:
    """Changes of level from one sample to the next that stay.

    Both sides together are fitted with a cubic and a step: ten minutes on each side in a value a minute or finer, two
    hours in quarter hours before the origin. So a step in the last ten minutes is not found yet.

    Args:
        time_min: [sample], ascending, minutes after the origin.
        level_m: [sample], finite.
        smallest_m: no smaller step counts.
        noise_factor: nor one of less than so many times the standard deviation of what the fit leaves.

    Returns:
        Number of the first sample after the step, and the step in metres, largest first; steps that overlap with a
        larger one's sides are left out.
    """
    gaps, jumps = np.diff(time_min), np.abs(np.diff(level_m))
    largest = np.argsort(-jumps)[: 4 * _MOST]
    largest = largest[jumps[largest] >= smallest_m / 2]
    fine = gaps[largest] <= FINE_MIN
    coarse = ~fine & (gaps[largest] <= COARSE_MIN) & (time_min[largest + 1] < 0)
    metres, left = np.full(len(largest), np.nan), np.full(len(largest), np.nan)
    for kind, which in (("fine", fine), ("coarse", coarse)):
        metres[which], left[which] = _steps_at(time_min, level_m, largest[which] + 1, kind)
    side = np.where(fine, _SIDE_MIN["fine"], _SIDE_MIN["coarse"])
    large = (np.abs(metres) > np.maximum(smallest_m, noise_factor * left)) & (jumps[largest] > np.abs(metres) / 2)
    found: list[tuple[int, float]] = []
    for k in np.flatnonzero(large):
        at = largest[k]
        if all(abs(time_min[at] - time_min[other]) > side[k] for other, _ in found):
            found.append((int(at) + 1, float(metres[k])))
    return found[:_MOST_STEPS]


def _steps_at(time: np.ndarray, level: np.ndarray, first: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps before samples `first` [candidate], and the standard deviations of what is left, all fitted at once.

    Both are NaN where a side is too short.
    """
    side, longest = _SIDE_MIN[kind], FINE_MIN if kind == "fine" else COARSE_MIN
    metres, left = np.full(len(first), np.nan), np.full(len(first), np.nan)
    # The samples from `low` to before `high` are near, and no longer gap lies between them.
    pieces = np.concatenate([[0], np.flatnonzero(np.diff(time) > longest) + 1, [len(time)]])
    piece = np.searchsorted(pieces, first, side="right")
    low = np.maximum(np.searchsorted(time, time[first] - side - longest), pieces[piece - 1])
    high = np.minimum(np.searchsorted(time, time[first] + side, side="right"), pieces[piece])
    if kind == "coarse":
        high = np.minimum(high, np.searchsorted(time, 0))
        long = (first - low >= 5) & (high - first >= 2)
    else:
        long = (np.minimum(first - low, high - first) >= 6) & (time[high - 1] - time[first] >= 0.8 * side)
        long &= time[first] - time[low] >= 0.4 * side
    if not long.any():
        return metres, left
    first, low, high = first[long], low[long], high[long]
    near = low[:, None] + np.arange((high - low).max())
    inside = near < high[:, None]
    near = near.clip(max=len(time) - 1)
    scaled = (time[near] - time[first, None]) / side
    cubic = [np.ones_like(scaled), scaled, scaled**2, scaled**3]
    terms = np.stack([*cubic, near >= first[:, None]], axis=2) * inside[..., None]
    values = ((level[near] - level[first, None]) * inside)[..., None]
    q, r = np.linalg.qr(terms)
    fit = np.linalg.solve(r, q.mT @ values)
    squares = np.sum((values - terms @ fit) ** 2, axis=(1, 2))
    metres[long] = fit[:, -1, 0]
    left[long] = np.maximum(_MIN_NOISE_M, np.sqrt(squares / (high - low - terms.shape[2])))
    return metres, left
