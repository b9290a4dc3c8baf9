"""Whether a window holds enough for a magnitude, and is complete enough for intervals: in numbers and in words.

A network answers whatever it is given: of 3 samples, or of noise, it gives a magnitude of the middle of its training
events. The thresholds are `AnswerSettings`; the in-graph twin is `serve/enough_graph.py`.

The defaults were chosen on 1,500 simulated events of Mw 7.5 to 9.2 in 45 minutes at three buoys and on 4,000 records of
noise alone (5 mm white, 2 mm red, 3 mm of tide left), with one `slip_mlp` and one published network:

- Samples: always answering the middle magnitude is wrong by 0.42 in the mean. With half of the samples lost at random,
  or in one gap a buoy, `slip_mlp` is wrong by 0.10 and 0.17 and the published network by 0.27 and 0.39; with 70 % lost
  by 0.12 and 0.22, and 0.45 and 0.69.
- Signal: of noise alone the standard deviation about each buoy's mean is above 7 mm in none of 4,000 complete records
  and in at most 1 with half of the samples, 30 or 45 minutes long. Of the events 7 % are below it at 45 minutes,
  19 % at 30.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seis_tf.settings.training import AnswerSettings

NO_SLIP = "no slip: the model finds none in these records"
_ROUNDING = 1e-6  # 0.1 of 30 samples are 3


def samples_part(mask: np.ndarray) -> np.ndarray:
    """Part of the samples that exist, [.., minute, buoy] -> [..]."""
    return np.asarray(mask, dtype=bool).mean(axis=(-2, -1))


def signal_m(level_m: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Standard deviation of the samples about each buoy's mean in the window, m: [.., minute, buoy] -> [..].

    The mean is taken off because what detiding leaves is next to constant over an hour.
    """
    there = np.asarray(mask, dtype=bool)
    counts = there.sum(axis=-2)
    level = np.where(there, level_m, 0.0)
    mean = level.sum(axis=-2) / np.maximum(counts, 1)
    squares = np.where(there, (level - mean[..., np.newaxis, :]) ** 2, 0).sum(axis=(-2, -1))
    return np.sqrt(squares / np.maximum(counts.sum(axis=-1) - (counts > 0).sum(axis=-1), 1))


def enough_samples(mask: np.ndarray, limits: AnswerSettings) -> np.ndarray:
    """Whether so many samples exist that a magnitude is given, bool [..]."""
    part = samples_part(mask)
    return (part > 0) & (part >= limits.min_samples - _ROUNDING)


def enough_signal(level_m: np.ndarray, mask: np.ndarray, limits: AnswerSettings) -> np.ndarray:
    """Whether the records are so far from noise that a magnitude is given, bool [..]."""
    return signal_m(level_m, mask) >= limits.min_signal_m


def complete(mask: np.ndarray, limits: AnswerSettings) -> np.ndarray:
    """Whether no buoy is missing and so few samples are that intervals are given, bool [..]."""
    every_buoy = np.asarray(mask, dtype=bool).any(axis=-2).all(axis=-1)
    return every_buoy & (1 - samples_part(mask) <= limits.max_missing + _ROUNDING)


def has_intervals(level_m: np.ndarray, mask: np.ndarray, mw: np.ndarray, limits: AnswerSettings) -> np.ndarray:
    """Whether intervals are given for these answers, bool [event]; the answers that they are calibrated on.

    Whether an answer is among them follows from the records and the answer alone, never from the truth, so that new
    events among them are exchangeable with the validation events among them, and conformal intervals keep their promise
    for them. For all others nothing is promised.

    Args:
        level_m: [event, minute, buoy], detided water column in metres.
        mask: [event, minute, buoy], true where there is a sample.
        mw: [event], answered; 0 or less is no slip.
        limits: thresholds.
    """
    known = enough_samples(mask, limits) & enough_signal(level_m, mask, limits)
    return known & complete(mask, limits) & (np.asarray(mw) > 0)


def short_reasons(limits: AnswerSettings) -> tuple[str, str, str]:
    """Why no magnitude is given, without the record's own numbers: samples, signal, slip."""
    return (
        f"not enough samples: expected at least {100 * limits.min_samples:g} % of the window",
        f"not enough signal: expected at least {1000 * limits.min_signal_m:g} mm about each buoy's mean (rms)",
        NO_SLIP,
    )


def short_interval_reasons(limits: AnswerSettings) -> tuple[str, str]:
    """Why no intervals are given, likewise: a buoy, samples."""
    why = "is missing, and they were not calibrated for that"
    return f"no intervals: a buoy {why}", f"no intervals: more than {100 * limits.max_missing:g} % of the window {why}"


def why_no_magnitude(level_m: np.ndarray, mask: np.ndarray, mw: float, limits: AnswerSettings) -> str:
    """Why one event gets no magnitude, with numbers; "" where it gets one.

    Args:
        level_m: [minute, buoy], detided water column in metres.
        mask: [minute, buoy], true where there is a sample.
        mw: answered; 0 or less is no slip.
        limits: thresholds.
    """
    samples, signal, slip = short_reasons(limits)
    if not enough_samples(mask, limits):
        return f"{samples}, received {int(np.sum(mask))} of {np.size(mask)} samples ({100 * samples_part(mask):.0f} %)"
    if not enough_signal(level_m, mask, limits):
        return f"{signal}, received {1000 * signal_m(level_m, mask):.1f} mm"
    return "" if mw > 0 else slip


def why_no_intervals(mask: np.ndarray, buoys: Sequence[str], limits: AnswerSettings) -> str:
    """Why one event's answer has no intervals, with names and numbers; "" where it has them.

    Args:
        mask: [minute, buoy].
        buoys: names.
        limits: thresholds.
    """
    if complete(mask, limits):
        return ""
    silent = [name for name, there in zip(buoys, np.asarray(mask, bool).any(axis=0), strict=True) if not there]
    buoy, samples = short_interval_reasons(limits)
    if silent:
        return f"{buoy} ({', '.join(silent)})"
    return f"{samples} ({100 * (1 - samples_part(mask)):.0f} %)"
