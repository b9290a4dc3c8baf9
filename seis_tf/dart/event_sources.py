"""Sources of many events: folders of arrays, of the published prototype's .mat files, of raw buoy files.

Listing reads names and shapes only; `load_events` reads a batch. A source that is wrong as a whole (names in another
order, two realizations with one id, another time step, too short a record) is a `ValueError`; a single event that can't
be used becomes a `Rejection` and the others go on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seis_tf.dart.buoy_files import parse_origin, read_record
from seis_tf.dart.event_arrays import load_arrays, read_json
from seis_tf.dart.event_file import EVENT_FILE, read_event_file
from seis_tf.dart.prototype_files import read_prototype_series, read_prototype_slip
from seis_tf.dart.unit_sources import GreensFunctions, magnitude
from seis_tf.dart.windows import DartEvent, check_slip, check_window, event_from_records, window_from_record
from seis_tf.dataset.shards import Rejection
from seis_tf.names import canonical_name, check_names
from seis_tf.settings.data import DartJob

_SLIP_FILE = re.compile(r"fq(\d+)_autoinv_slip\.mat")


@dataclass(frozen=True, slots=True)
class EventRef:
    """One event of a source.

    Attributes:
        path: folder of arrays, slip file of the prototype, or folder of one event's raw files.
        kind: "arrays", "prototype" or "raw".
        event_id: unique in the source; the group for splits.
        index: row of the arrays.
    """

    path: Path
    kind: str
    event_id: str
    index: int = 0

    @property
    def record_id(self) -> str:
        """As records of other sources have it."""
        return self.event_id


def list_events(source: str | Path, job: DartJob, greens: GreensFunctions) -> list[EventRef]:
    """Events of a source, sorted by id.

    A folder with `names.json` holds arrays (as `simulate fakequakes` writes them: see `synthetic/fakequake_files.py`).
    One with `fq<run>_autoinv_slip.mat` files, at any depth, is the prototype's. One with `event.json` in it, or in its
    sub-folders, has raw buoy files beside each.

    Args:
        source: the folder.
        job: settings; buoys, gauges, window and step are compared with the source.
        greens: functions of all sources.

    Raises:
        ValueError: none of these, or the source is wrong as a whole; both sides are printed.
    """
    source = Path(source)
    if (source / "names.json").is_file():
        refs = _list_arrays(source, job, greens)
    elif slip_files := sorted(path for path in source.rglob("*.mat") if _SLIP_FILE.fullmatch(path.name)):
        refs = [EventRef(path, "prototype", f"fq{_SLIP_FILE.fullmatch(path.name)[1]}") for path in slip_files]
    elif described := sorted(source.glob(EVENT_FILE)) or sorted(source.glob(f"*/{EVENT_FILE}")):
        refs = [EventRef(path.parent, "raw", str(read_json(path).get("run", path.parent.name))) for path in described]
    elif (source / "records.npz").is_file():
        raise ValueError(f"{source}: expected names.json beside records.npz, received arrays that are not named")
    else:
        expected = "names.json, fq<run>_autoinv_slip.mat files, or event.json in each sub-folder"
        raise ValueError(f"{source}: expected {expected}, received none of them")
    _check_unique(source, refs)
    return sorted(refs, key=lambda ref: ref.event_id)


def load_events(refs: Sequence[EventRef], job: DartJob, greens: GreensFunctions) -> Iterator[DartEvent | Rejection]:
    """Reads events, in order; one that can't be used comes as a `Rejection` with its reason.

    Args:
        refs: from `list_events`.
        job: settings.
        greens: functions of all sources, at least at the buoys (for joint detiding).
    """
    loaders = {"arrays": _load_array, "prototype": _load_prototype, "raw": _load_raw}
    for ref in refs:
        try:
            event = loaders[ref.kind](ref, job, greens)
            check_window(event, job.record.max_level_m)
            if event.weights_m is not None:
                check_slip(event.weights_m, ref.event_id)
            yield event
        except (ValueError, OSError) as err:
            yield Rejection(ref.event_id, str(err))


def truth_gauges(job: DartJob, greens: GreensFunctions) -> tuple[str, ...]:
    """Gauges at which the wave to come is kept, in order."""
    return greens.gauge_names if job.gauges is None else job.gauges


def source_fingerprint(source: str | Path) -> str:
    """SHA-256 over the names and contents of all files of a source: tells whether it is still the one it was."""
    digest = hashlib.sha256()
    for path in sorted(path for path in Path(source).rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(source).as_posix()}\0{path.stat().st_size}\0".encode())
        with open(path, "rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _check_unique(source: Path, refs: Sequence[EventRef]) -> None:
    seen: dict[str, EventRef] = {}
    for ref in refs:
        if ref.event_id in seen:
            places = f"{seen[ref.event_id].path} and {ref.path}"
            raise ValueError(f"{source}: expected each realization id once, received {ref.event_id} twice: {places}")
        seen[ref.event_id] = ref


# Arrays


def _list_arrays(folder: Path, job: DartJob, greens: GreensFunctions) -> list[EventRef]:
    names = read_json(folder / "names.json")
    check_names(f"{folder}: buoys", job.record.buoys, names.get("buoys"))
    arrays = load_arrays(folder, tuple(greens.source_names))
    if arrays.weights_m is not None:
        check_names(f"{folder}: sources", greens.source_names, [canonical_name(n) for n in names.get("sources") or []])
    if arrays.truth_m is not None:
        gauges = arrays.gauges
        if unknown := [name for name in truth_gauges(job, greens) if name not in gauges]:
            raise ValueError(
                f"{folder}: gauges: expected {list(truth_gauges(job, greens))}, received {gauges}: {unknown} missing"
            )
    step = np.diff(arrays.time_min)
    if len(arrays.time_min) < 2 or not np.allclose(step, job.record.step_min, rtol=0, atol=1e-6):
        received = sorted(set(np.round(step, 4).tolist()))
        raise ValueError(f"{folder}: expected a time step of {job.record.step_min} min, received {received}")
    if arrays.time_min[0] > job.record.step_min or arrays.time_min[-1] < job.record.window_min:
        received = f"minutes {arrays.time_min[0]:g} to {arrays.time_min[-1]:g}"
        expected = f"records of minutes {job.record.step_min} to {job.record.window_min}"
        raise ValueError(f"{folder}: expected {expected}, received {received}")
    return [EventRef(folder, "arrays", run, index) for index, run in enumerate(arrays.runs)]


def _load_array(ref: EventRef, job: DartJob, greens: GreensFunctions) -> DartEvent:
    arrays = load_arrays(ref.path, tuple(greens.source_names))
    # Float times such as 0.1 x 10 are near a whole minute; the step itself was checked.
    wanted = (arrays.time_min > 0.5 * job.record.step_min) & (arrays.time_min < job.record.window_min + 0.5)
    levels = arrays.records_m[ref.index][:, wanted].T
    mask = np.isfinite(levels)
    if job.record.latency_min:
        mask &= (arrays.time_min[wanted] <= job.record.window_min - job.record.latency_min)[:, np.newaxis]
    window = np.where(mask, levels, 0).astype(np.float32)
    weights = truth = mw = None
    if arrays.weights_m is not None:
        weights = arrays.weights_m[ref.index]
        mw = arrays.mw[ref.index] if arrays.mw is not None else magnitude(weights, greens.area_m2)
    if arrays.truth_m is not None:
        columns = [arrays.gauges.index(name) for name in truth_gauges(job, greens)]
        truth = arrays.truth_m[ref.index, columns].T.astype(np.float32)
    return _event(ref, job, window, mask, weights, mw, truth)


def _event(ref, job, window, mask, weights, mw, truth=None) -> DartEvent:
    weights = None if weights is None else np.asarray(weights, dtype=np.float32)
    return DartEvent(
        ref.event_id, job.record.buoys, window, mask, weights, None if mw is None else float(mw), truth
    )  # fmt: skip


# The published prototype's files


def _load_prototype(ref: EventRef, job: DartJob, greens: GreensFunctions) -> DartEvent:
    run, folder = _SLIP_FILE.fullmatch(ref.path.name)[1], ref.path.parent
    slip = read_prototype_slip(ref.path)
    if unknown := [name for name in slip if name not in greens.source_names]:
        received = f"{sorted(slip)}: unknown {unknown}"
        raise ValueError(f"{ref.path.name}: sources: expected some of {list(greens.source_names)}, received {received}")
    weights = np.array([slip.get(name, 0.0) for name in greens.source_names])
    columns = []
    for buoy in job.record.buoys:
        time, level = read_prototype_series(_find(folder, f"fq{run}_{buoy}.mat"), 1.0)
        if time.size == 0 or time[-1] < job.record.window_min:
            received = f"until minute {time[-1]:g}" if time.size else "none"
            raise ValueError(
                f"{ref.event_id}: {buoy}: expected samples until {job.record.window_min}, received {received}"
            )
        columns.append(
            window_from_record(time, level, job.record.window_min, job.record.step_min, job.record.latency_min)
        )
    window, mask = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    return _event(ref, job, window, mask, weights, magnitude(weights, greens.area_m2))


def _find(folder: Path, name: str) -> Path:
    """A file in a folder, or in a folder beside it: the prototype keeps slip and series apart."""
    for place in (folder, *sorted(path for path in folder.parent.iterdir() if path.is_dir())):
        if (place / name).is_file():
            return place / name
    raise ValueError(f"{folder}: expected {name} there or in a folder beside it, received none")


# Raw buoy files


def _load_raw(ref: EventRef, job: DartJob, greens: GreensFunctions) -> DartEvent:
    about = read_event_file(ref.path / EVENT_FILE)
    origin = parse_origin(about["origin_time"]) if "origin_time" in about else None
    files = sorted(path for path in ref.path.iterdir() if path.is_file() and path.suffix != ".json")
    records = [record for path in files for record in read_record(path)]
    event = event_from_records(ref.event_id, records, job.record, greens, origin)
    weights = None
    if "weights_m" in about:
        slip = _slip(ref.path / EVENT_FILE, about["weights_m"])
        check_names(f"{ref.event_id}: sources", greens.source_names, list(slip))
        weights = np.array(list(slip.values()))
    mw = about.get("mw", None if weights is None else magnitude(weights, greens.area_m2))
    said = {"causal": event.causal, "notes": event.notes, "masked": event.masked}
    return replace(_event(ref, job, event.window_m, event.mask, weights, mw), **said)


def _slip(path: Path, content: object) -> dict[str, float]:
    try:
        return {canonical_name(name): float(value) for name, value in content.items()}
    except (AttributeError, TypeError) as err:
        raise ValueError(f"{path}: expected weights_m as an object of source: metres, received {content!r}") from err
