"""What of a buoy's record is a fault of sensor, transmission or clock: masked before the window is cut, and said.

The limits are `QualitySettings`; docs/dart-quality.md has what was tried and what came of it. Only samples that are
known at the window's end are looked at, so that an answer doesn't depend on what came later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from seis_tf.dart import glitches
from seis_tf.dart.gauge_record import GaugeRecord
from seis_tf.dart.text_files import DART_TYPES
from seis_tf.dart.unit_sources import packaged_depths_m
from seis_tf.settings.data import QualitySettings

_QUARTER_S = DART_TYPES[1]


@dataclass(frozen=True)
class Masked:
    """Samples of one buoy that are not used.

    Attributes:
        buoy: name.
        check: "spike", "flat", "step", "duplicate", "clock" or "depth".
        first, last: times of the first and the last of them, ISO 8601, or "minute 12.5" after the origin in records
            that have no dates.
        samples: how many.
        reason: in words.
    """

    buoy: str
    check: str
    first: str
    last: str
    samples: int
    reason: str

    def __str__(self) -> str:
        when = self.first if self.first == self.last else f"{self.first} to {self.last}"
        return (
            f"{self.buoy}: {self.check}: {self.samples} {_plural('sample', self.samples)} masked, {when}: {self.reason}"
        )


def check_record(
    record: GaugeRecord, time_min: np.ndarray, since_min: float, until_min: float, settings: QualitySettings
) -> tuple[GaugeRecord, list[Masked], list[str]]:
    """A record without its faults.

    Args:
        record: as a reader gave it.
        time_min: [sample], its minutes after the origin.
        since_min: samples before this are not used: they are not looked at, and NaN in the result.
        until_min: nor are those after this, which are not known yet.
        settings: limits.

    Returns:
        The record with NaN for what is masked, what that is, and what is odd but was not masked.
    """
    checks: tuple[Callable[[GaugeRecord, np.ndarray, QualitySettings], list[tuple[str, np.ndarray, str]]], ...]
    checks = (_depth, _clock, _duplicates, _flat, _spikes, _steps)
    used = (time_min >= since_min) & (time_min <= until_min)
    time_min, known = time_min[used], _part(record, used)
    found: list[Masked] = []
    for check in checks:
        for name, samples, reason in check(known, time_min, settings):
            samples = samples[np.isfinite(known.level_m[samples])]
            if not samples.size:
                continue
            first, last = (_when(known, time_min, sample) for sample in (samples[0], samples[-1]))
            found.append(Masked(record.buoy, name, first, last, len(samples), reason))
            left = known.level_m.copy()
            left[samples] = np.nan
            known = replace(known, level_m=left)
    level = np.full(len(record.level_m), np.nan)
    level[used] = known.level_m
    return replace(record, level_m=level), found, _odd(known)


def _part(record: GaugeRecord, used: np.ndarray) -> GaugeRecord:
    arrays = {name: getattr(record, name) for name in ("time", "level_m", "kinds", "spread_m")}
    return replace(record, **{name: values[used] for name, values in arrays.items() if values is not None})


def depth_m(buoy: str, settings: QualitySettings) -> float | None:
    """Depth at a buoy's position: of the settings, else of the packaged buoys; None where it is not known."""
    return settings.depths_m.get(buoy, packaged_depths_m().get(buoy))


def _depth(record: GaugeRecord, time_min: np.ndarray, settings: QualitySettings) -> list[tuple[str, np.ndarray, str]]:
    """A level that is not the depth at the buoy's position: another buoy's file, or another place."""
    depth = depth_m(record.buoy, settings)
    there = np.flatnonzero(np.isfinite(record.level_m))
    if record.relative or depth is None or not there.size:
        return []
    level = float(np.median(record.level_m[there]))
    if abs(level - depth) <= settings.depth_tolerance * depth:
        return []
    known = packaged_depths_m() | settings.depths_m
    others = sorted((abs(level - other), name) for name, other in known.items() if name != record.buoy)
    near = [
        f"{name}'s ({known[name]:,.0f} m)" for away, name in others if away <= settings.depth_tolerance * known[name]
    ]
    hint = (
        f"near {near[0]}: are two files swapped?"
        if near
        else "of a buoy that was moved record.quality.depths_m says it"
    )
    limits = f"{depth:,.0f} m within {100 * settings.depth_tolerance:g} %"
    reason = f"expected {limits}, the depth at the buoy's position, received a median level of {level:,.0f} m, {hint}"
    return [("depth", there, reason)]


def _clock(record: GaugeRecord, time_min: np.ndarray, settings: QualitySettings) -> list[tuple[str, np.ndarray, str]]:
    """A clock that jumped: quarter hours that come at another minute than most, or than whole quarter hours.

    All samples from the last right quarter hour to the next right one are masked.
    """
    quarters = _quarter_hours(record)
    phase = record.time[quarters] % _QUARTER_S
    values, counts = np.unique(phase, return_counts=True)
    if len(values) < 2:
        return []
    right = 0.0 if 0 in values else values[np.argmax(counts)]
    wrong = np.append(np.append(False, phase != right), False)
    found = []
    edges = np.diff(wrong.astype(int))
    for first, last in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        start = quarters[first - 1] + 1 if first else 0
        end = quarters[last] if last < len(quarters) else len(record.time)
        shift_min = ((phase[first] - right + _QUARTER_S / 2) % _QUARTER_S - _QUARTER_S / 2) / 60
        reason = f"the clock jumped: quarter hours come {shift_min:+g} min from where others of this record do"
        found.append(("clock", np.arange(start, end), reason))
    return found


def _quarter_hours(record: GaugeRecord) -> np.ndarray:
    """Numbers of the samples of type 1; none where the type column can't be right, being that of finer samples."""
    if record.kinds is None:
        return np.array([], int)
    quarters = np.flatnonzero(record.kinds == 1)
    # A jump back brings two of them closer together once; a wrong type column does everywhere.
    close = np.diff(record.time[quarters]) < _QUARTER_S
    return quarters if close.sum() <= 2 else np.array([], int)


def _odd(record: GaugeRecord) -> list[str]:
    """What may be a fault but can't be told from one record."""
    if record.kinds is None:
        return []
    notes = []
    finite = np.isfinite(record.level_m)
    quarters = _quarter_hours(record)
    if not quarters.size and np.any(record.kinds == 1):
        notes.append(f"{record.buoy}: samples of type 1 (15 min) come more often than that; the type is not gone by")
    phase = record.time[quarters[finite[quarters]]] % _QUARTER_S
    if phase.size and phase[-1]:
        minute = phase[-1] / 60
        notes.append(
            f"{record.buoy}: samples every 15 min come at minute {minute:g} of the quarter hour: the buoy's habit, or "
            f"a clock that is {min(minute, 15 - minute):g} min off; one record can't tell which"
        )
    return notes


def _duplicates(record: GaugeRecord, time_min: np.ndarray, settings: QualitySettings):
    """Moments with several values that disagree."""
    if record.spread_m is None:
        return []
    found = []
    for sample in np.flatnonzero(record.spread_m > settings.duplicate_m):
        reason = f"values of this moment differ by {record.spread_m[sample]:.3f} m, limit {settings.duplicate_m:g} m"
        found.append(("duplicate", np.array([sample]), reason))
    return found


def _flat(record: GaugeRecord, time_min: np.ndarray, settings: QualitySettings):
    """A sensor that is stuck. Not in detided records: a model's is 0 until the wave comes."""
    if record.relative:
        return []
    there = np.flatnonzero(np.isfinite(record.level_m))
    runs = glitches.flat_runs(time_min[there], record.level_m[there], settings.flat_min)
    reason = "one and the same level, {:.3f} m, limit {:g} min"
    return [
        ("flat", there[first : last + 1], reason.format(record.level_m[there[first]], settings.flat_min))
        for first, last in runs
    ]


def _spikes(record: GaugeRecord, time_min: np.ndarray, settings: QualitySettings):
    there = np.flatnonzero(np.isfinite(record.level_m))
    limits = settings.spike_m, settings.spike_noise, settings.isolation
    found = glitches.spikes(time_min[there], record.level_m[there], *limits)
    reason = "{:+.2f} m from what the samples beside it say, limit {:g} m"
    return [("spike", there[[at]], reason.format(metres, settings.spike_m)) for at, metres in found.items()]


def _steps(record: GaugeRecord, time_min: np.ndarray, settings: QualitySettings):
    """A level that changed and stayed. Before the origin the older side is masked, after it the newer one."""
    there = np.flatnonzero(np.isfinite(record.level_m))
    found = glitches.steps(time_min[there], record.level_m[there], settings.step_m, settings.step_noise)
    masked = []
    for at, metres in found:
        before = time_min[there[at]] < 0
        side = "before" if before else "after"
        reason = (
            f"the level changed by {metres:+.2f} m at {_when(record, time_min, there[at])}, limit {settings.step_m:g} m"
        )
        masked.append(("step", there[:at] if before else there[at:], f"{reason}; what lies {side} that is masked"))
    return masked


def _when(record: GaugeRecord, time_min: np.ndarray, sample: int) -> str:
    if record.relative:
        return f"minute {time_min[sample]:g}"
    return f"{datetime.fromtimestamp(record.time[sample], UTC):%Y-%m-%dT%H:%M:%SZ}"


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}s"
