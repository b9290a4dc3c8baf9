"""Buoy records -> a window of detided water column [minute, buoy] with a mask; and whether an event is one we know.

A window's first sample is one step after the origin, and its last step takes samples up to half a step after its end:
buoys sample at whole minutes of the clock, so of an earthquake at second 40 the last minute's sample comes 20 s later.
A sample that does not exist is masked: gaps are not interpolated. A mask is True where there is a sample, and the level
is 0 where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from seis_tf.dart.detide import METHODS, detide
from seis_tf.dart.gauge_record import GaugeRecord
from seis_tf.dart.inversion import nnls
from seis_tf.dart.quality import Masked, check_record
from seis_tf.dart.unit_sources import GreensFunctions, distance_km
from seis_tf.names import check_names
from seis_tf.settings.data import DartRecordSettings


@dataclass(frozen=True, eq=False)
class DartEvent:
    """One event as a model sees it.

    Attributes:
        event_id: of the realization or earthquake; the group for splits.
        buoy_names: order of the buoy axis.
        window_m: float32 [minute, buoy], metres of detided water column; 0 where masked.
        mask: bool [minute, buoy], True where there is a sample.
        weights_m: float32 [source], true slip, or None.
        mw: true magnitude, or None.
        truth_m: float32 [minute, gauge], true water column from minute 0 on, or None.
        causal: whether nothing later than half a step after the window's end went into it.
        left_out: records that were not used, each with its reason in words.
        notes: what was left out of the records that were used or is odd about them, or was taken for granted.
        masked: samples that quality control took for faults.
    """

    event_id: str
    buoy_names: tuple[str, ...]
    window_m: np.ndarray
    mask: np.ndarray
    weights_m: np.ndarray | None = None
    mw: float | None = None
    truth_m: np.ndarray | None = None
    causal: bool = True
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    masked: tuple[Masked, ...] = ()

    @property
    def buoys_used(self) -> tuple[str, ...]:
        """Buoys with at least one sample in the window."""
        return tuple(name for name, there in zip(self.buoy_names, self.mask.any(axis=0), strict=True) if there)


def last_sample_min(window_min: float, step_min: float, latency_min: float = 0.0) -> float:
    """Until when samples count, minutes after the origin: half a step after the last step that is known."""
    known = window_min - latency_min
    return max(known, step_min * (known // step_min + 0.5))


def window_from_record(
    time_min: np.ndarray, level_m: np.ndarray, window_min: int, step_min: int = 1, latency_min: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Brings a record of any sampling to the window's steps.

    Between two samples that are at most one step apart the level is interpolated linearly. In a longer gap a sample
    counts for the step that is nearest to it (it is up to half a step late or early there), and all other steps are
    masked; so is what has not been delivered yet.

    Args:
        time_min: [sample], ascending, minutes after the origin.
        level_m: [sample], NaN where missing.
        window_min: end of the window.
        step_min: its step.
        latency_min: samples later than this before the window's end are not there yet (the last known step takes them
            up to half a step after it, as without latency).

    Returns:
        float32 [step], 0 where masked; bool [step], True where there is a value.
    """
    time, level = np.asarray(time_min, dtype=float), np.asarray(level_m, dtype=float)
    there = np.isfinite(level) & (time <= last_sample_min(window_min, step_min, latency_min))
    time, level = time[there], level[there]
    wanted = np.arange(step_min, window_min + 1, step_min, dtype=float)
    if time.size == 0:
        return np.zeros(len(wanted), np.float32), np.zeros(len(wanted), bool)
    right = np.searchsorted(time, wanted).clip(0, len(time) - 1)
    left = (np.searchsorted(time, wanted, side="right") - 1).clip(0)
    between = (time[left] <= wanted) & (wanted <= time[right]) & (time[right] - time[left] <= step_min * (1 + 1e-9))
    values = np.interp(wanted, time, level)
    nearest = np.where(np.abs(time[left] - wanted) <= np.abs(time[right] - wanted), left, right)
    # A sample half-way between two steps belongs to the earlier one only.
    late = (time[nearest] - wanted) / step_min
    close = (late > -0.5) & (late <= 0.5)
    values = np.where(close & ~between, level[nearest], values)
    mask = between | close
    return np.where(mask, values, 0).astype(np.float32), mask


def check_levels(window_m: np.ndarray, mask: np.ndarray, largest_m: float, what: str) -> None:
    """Refuses levels that can't be metres of detided water column.

    Args:
        window_m: [.., minute, buoy], detided water column in metres.
        mask: [.., minute, buoy], true where there is a sample.
        largest_m: largest absolute level that is believed (5 times the training data's largest, say).
        what: named in the message.

    Raises:
        ValueError: a level is not finite or beyond the largest.
    """
    levels = np.where(mask, window_m, 0)
    if not np.isfinite(levels).all():
        raise ValueError(f"{what}: expected finite levels where the mask is set, received NaN or infinity")
    found = np.abs(levels).max(initial=0)
    if found > largest_m:
        expected = f"detided water column in metres, at most {largest_m:g} m"
        raise ValueError(f"{what}: expected {expected}, received {found:g}")


def check_window(event: DartEvent, largest_m: float) -> None:
    """Refuses a window with no sample at all, or with levels that can't be metres of water column.

    Raises:
        ValueError: names the event.
    """
    if not event.mask.any():
        raise ValueError(
            f"{event.event_id}: expected at least one sample in the window, received a mask over all of it"
        )
    check_levels(event.window_m, event.mask, largest_m, event.event_id)


def check_slip(weights_m: np.ndarray, what: str) -> None:
    """Refuses slip that is negative or not finite.

    Raises:
        ValueError: names `what` and the value.
    """
    bad = np.flatnonzero(~(np.asarray(weights_m) >= 0) | ~np.isfinite(weights_m))
    if bad.size:
        raise ValueError(f"{what}: expected slip of 0 m or more, received {weights_m[bad[0]]:g} m on source {bad[0]}")


def event_from_records(
    event_id: str,
    records: Sequence[GaugeRecord],
    settings: DartRecordSettings,
    greens: GreensFunctions,
    origin: datetime | None = None,
    *,
    strict: bool = True,
    refuse_faults: bool = False,
    left_out: Sequence[str] = (),
) -> DartEvent:
    """Window of one event from buoy files.

    Records with dates are raw levels and are detided as the settings say; records with times after the origin are taken
    as detided water column. A buoy of the settings without a record is masked, and so is what `quality` takes for a
    fault; the event says what that is.

    Long, and with eight arguments, as all that can be asked of one event's files is a keyword explained below.

    Args:
        event_id: name of the event.
        records: in any order; their names put them in the settings'.
        settings: window, buoys, detiding, latency.
        greens: for joint detiding.
        origin: time of the earthquake, needed for records with dates.
        strict: a record that can't be used refuses the event; else its buoy is masked, and `left_out` says why.
        refuse_faults: what quality control takes for a fault refuses the event (if `strict`) or its buoy; else only
            the samples are masked.
        left_out: reasons of files that could not even be read; the event's `left_out` begins with them.

    Returns:
        The event, without truth.

    Raises:
        ValueError: dates without an origin; no record can be used; or the records end before the window. If `strict`
            also: a record without a buoy's name, of an unknown buoy or of another record's, that can't be detided, or
            whose levels can't be water column; and a window without samples.
    """
    if not (records or left_out):
        check_names(f"{event_id}: buoys", settings.buoys, [])
    buoys, reasons = _by_buoy(event_id, records, settings.buoys, strict)
    reasons = [*left_out, *reasons]
    steps = settings.window_min // settings.step_min
    window = np.zeros((steps, len(settings.buoys)), np.float32)
    mask = np.zeros(window.shape, bool)
    last, used, masked, notes = -np.inf, [], [], []
    for name, given in buoys.items():
        time = given.minutes_after(origin)
        column, faults = settings.buoys.index(name), []
        try:
            record, faults, odd = _checked(given, time, settings, refuse_faults)
            masked += faults
            if faults and not np.isfinite(record.level_m).any():
                raise ValueError(f"{given.source}: no sample is left")
            window[:, column], mask[:, column] = _window_of(f"{event_id}: {name}", record, time, settings, greens)
        except ValueError as err:
            if strict:
                raise
            window[:, column], mask[:, column] = 0, False
            reasons += [str(err), *map(str, faults)]
            continue
        used.append(given)
        notes += [*map(str, faults), *odd]
        last = max(last, np.max(time[np.isfinite(given.level_m)], initial=-np.inf))
    if not used:
        received = "; ".join(reasons)
        raise ValueError(f"{event_id}: expected a record of one of {list(settings.buoys)}, received none: {received}")
    known_until = settings.window_min - settings.latency_min
    if last < known_until - settings.step_min:
        expected = f"records until minute {known_until:g} after the origin"
        hint = "what is not delivered yet is named with latency_min"
        raise ValueError(f"{event_id}: expected {expected}, received none after minute {last:g}; {hint}")
    said = [f"{record.source}: {record.note}" for record in used if record.note]
    causal = METHODS.get(settings.detide, True)
    event = DartEvent(
        event_id, settings.buoys, window, mask, causal=causal,
        left_out=tuple(reasons), notes=(*said, *notes), masked=tuple(masked),
    )  # fmt: skip
    if strict:
        check_window(event, settings.max_level_m)
    return event


def _by_buoy(
    event_id: str, records: Sequence[GaugeRecord], buoys: tuple[str, ...], strict: bool
) -> tuple[dict[str, GaugeRecord], list[str]]:
    """The one record of each known buoy, and why others are left out; where `strict`, others are refused."""
    names = [record.buoy for record in records]
    found, reasons = {}, []
    for record in records:
        if not record.buoy:
            reasons.append(f"{record.source}: expected a buoy's five digits in the file's name, received none")
        elif record.buoy not in buoys:
            reasons.append(f"{record.source}: buoy {record.buoy} is none of the model's, {', '.join(buoys)}")
        elif names.count(record.buoy) > 1:
            reasons.append(f"{record.source}: buoy {record.buoy} has {names.count(record.buoy)} records: none is used")
        else:
            found[record.buoy] = record
    if strict and reasons:
        check_names(f"{event_id}: buoys", buoys, names)
    return found, reasons


def _checked(
    record: GaugeRecord, time: np.ndarray, settings: DartRecordSettings, refuse_faults: bool
) -> tuple[GaugeRecord, list[Masked], list[str]]:
    """The record without its faults, what they are, and what is odd about it."""
    if settings.quality is None:
        return record, [], []
    until = np.inf
    if METHODS.get(settings.detide, True):
        until = last_sample_min(settings.window_min, settings.step_min, settings.latency_min)
    kept, masked, odd = check_record(record, time, -60 * settings.before_h, until, settings.quality)
    if masked and refuse_faults:
        raise ValueError(f"{record.source}: expected a record without faults, received {_and_more(masked)}")
    return kept, masked, odd


def _and_more(masked: Sequence[Masked]) -> str:
    return f"{masked[0]}" + (f"; and {len(masked) - 1} more" if len(masked) > 1 else "")


def _window_of(what, record, time, settings, greens) -> tuple[np.ndarray, np.ndarray]:
    level = record.level_m
    if not record.relative and settings.detide != "none":
        until = last_sample_min(settings.window_min, settings.step_min, settings.latency_min)
        time, level = _detided(record.source, time, level, until, settings, greens, record.buoy)
    values, mask = window_from_record(time, level, settings.window_min, settings.step_min, settings.latency_min)
    check_levels(values, mask, settings.max_level_m, what)
    return values, mask


def _detided(source, time, level, until_min, settings, greens, buoy) -> tuple[np.ndarray, np.ndarray]:
    try:
        result = detide(
            time, level, until_min, settings.detide,
            before_h=settings.before_h, recency_h=settings.recency_h, greens=greens, buoy=buoy,
        )  # fmt: skip
    except ValueError as err:
        raise ValueError(f"{source}: {err}") from err
    return result.time_min, result.level_m


@dataclass(frozen=True)
class Region:
    """Whether an event is outside what a model was trained on, and why.

    Attributes:
        outside: the flag.
        reason: one line with the number and its limit.
    """

    outside: bool
    reason: str


def outside_region(
    greens: GreensFunctions,
    *,
    epicentre_lonlat: tuple[float, float] | None = None,
    window_m: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    max_distance_km: float = 200.0,
    max_misfit: float = 0.5,
    noise_m: float = 0.006,
) -> Region:
    """Flags a source outside the trained region: by its epicentre if known, else by how badly the sources fit.

    The second rule is a weak one: a wave from elsewhere can be fitted by chance, and one that noise hides can't be
    judged. It is for records without an epicentre.

    Args:
        greens: functions of the trained sources at the window's buoys, in order.
        epicentre_lonlat: degrees east and north.
        window_m: [minute, buoy], metres of water with one-minute steps from minute 1 on; for the second rule.
        mask: [minute, buoy], true where there is a sample; likewise.
        max_distance_km: from the epicentre to the nearest unit source (centre of its bottom edge).
        max_misfit: norm of what plain NNLS leaves over the norm of the record.
        noise_m: rms of noise and tide residual; a misfit of less than twice that says nothing.

    Raises:
        ValueError: neither an epicentre nor a window.
    """
    if epicentre_lonlat is not None:
        distance = distance_km(np.asarray(epicentre_lonlat, dtype=float), greens.source_table[:, :2])
        if not np.isfinite(distance).any():
            raise ValueError("region: expected positions of the unit sources, received functions without them")
        nearest = float(np.nanmin(distance))
        name = greens.source_names[int(np.nanargmin(distance))]
        reason = f"epicentre {nearest:.0f} km from the nearest unit source {name}, limit {max_distance_km:g} km"
        return Region(nearest > max_distance_km, reason)
    if window_m is None or mask is None:
        raise ValueError("region: expected an epicentre or a window with its mask, received neither")
    if not np.any(mask):
        return Region(False, "no sample to judge by")
    matrix = greens.matrix(len(window_m))
    weights = nnls(matrix, window_m, mask)
    left, size = (np.sqrt(np.mean(values[mask] ** 2)) for values in (window_m - matrix @ weights, window_m))
    if left < 2 * noise_m:
        return Region(
            False, f"unit sources leave {1000 * left:.1f} mm rms, no more than noise, limit {2000 * noise_m:g} mm"
        )
    misfit = left / size
    return Region(
        bool(misfit > max_misfit), f"unit sources leave {misfit:.2f} of the record's rms, limit {max_misfit:g}"
    )
