"""SeisBench data sets: `metadata.csv` says what each trace is, `waveforms.hdf5` holds the samples.

Format: https://seisbench.readthedocs.io/en/stable/pages/data_format.html. A trace name is a dataset below `/data`, or,
in bucketed form, `bucket0$3,:3,:1000`: a dataset and the index of the trace in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seis_tf import hdf5, isolated
from seis_tf.dataset.shards import Rejection
from seis_tf.settings.data import WaveformSourceSettings
from seis_tf.waveforms.source_record import SPLITS, SourceRecord, read_table

# Read by one call of a child process: enough for its cost not to count.
BATCH_BYTES = 64 * 2**20
_BATCH_SECONDS = 120.0
_MOST_FAILURES = 3  # each costs the start of a child process


@dataclass(frozen=True)
class _Format:
    """The group /data_format: what holds for all traces unless the metadata say otherwise."""

    dimension_order: str
    component_order: str
    sampling_rate_hz: float | None


def list_traces(source: Path, settings: WaveformSourceSettings, rejected: list[Rejection]) -> Iterator[SourceRecord]:
    """Records of a SeisBench data set, one a row of the metadata; those that can't be used go to `rejected`.

    The class is the column `settings.seisbench_class`, the group `settings.seisbench_group`; a trace without an event
    (noise often has none) is a group of its own. Of several components, `settings.seisbench_component` is taken.
    SeisBench's split `dev` is called `valid` here.

    Raises:
        ValueError: no class column is named, or a column or file is missing.
    """
    for metadata in sorted(source.glob("metadata*.csv")):
        chunk = metadata.stem.removeprefix("metadata")
        waveforms = source / f"waveforms{chunk}.hdf5"
        if settings.seisbench_class is None:
            columns = ",".join(next(read_table(metadata, ()), (0, {}))[1])
            raise ValueError(
                f"{metadata}: expected the name of the column that holds the class (seisbench_class), received none; "
                f"there are {columns}"
            )
        form = _read_format(waveforms)
        columns = ("trace_name", settings.seisbench_class, settings.seisbench_group)
        seen: set[str] = set()
        for index, (_, row) in enumerate(read_table(metadata, columns)):
            record = _record(waveforms, chunk, index, row, form, settings)
            if isinstance(record, Rejection):
                rejected.append(record)
            elif record.record_id in seen:
                reason = f"expected each trace once, received it again in row {index}"
                rejected.append(Rejection(record.file, reason))
            else:
                seen.add(record.record_id)
                yield record


def _read_format(waveforms: Path) -> _Format:
    try:
        values = isolated.call(_format_values, waveforms)
    except ValueError as err:
        raise ValueError(f"{waveforms}: expected an HDF5 file beside its metadata, received {err}") from err
    text = {name: value.decode() if isinstance(value, bytes) else str(value) for name, value in values.items()}
    form = _Format(
        dimension_order=text.get("dimension_order", "CW").removeprefix("N"),
        component_order=text.get("component_order", "ZNE"),
        sampling_rate_hz=float(values["sampling_rate"]) if "sampling_rate" in values else None,
    )
    if sorted(form.dimension_order) != ["C", "W"]:
        raise ValueError(f"{waveforms}: expected dimension_order CW or WC, received {form.dimension_order}")
    return form


def _record(
    waveforms: Path, chunk: str, index: int, row: dict[str, str], form: _Format, settings: WaveformSourceSettings
) -> SourceRecord | Rejection:
    """One row of the metadata as a record, or why it can't be one."""
    name = row["trace_name"]
    record_id = f"{chunk.removeprefix('_')}/{name}" if chunk else name
    try:
        class_name = _given(row, settings.seisbench_class)
        if not (name and class_name):
            raise ValueError(f"expected trace_name and {settings.seisbench_class}, received {name!r}, {class_name!r}")
        split = _given(row, "split")
        if split and split not in SPLITS:
            raise ValueError(f"expected split train, dev or test, received {split}")
        order = _given(row, "trace_component_order") or form.component_order
        if settings.seisbench_component not in order:
            raise ValueError(f"expected a component {settings.seisbench_component}, received {order}")
        location = _one_component(name, order.index(settings.seisbench_component), form.dimension_order)
        rate = _sampling_rate(row) or form.sampling_rate_hz
        if rate is None or not 0 < rate < float("inf"):
            raise ValueError(f"expected a sampling rate in the metadata or the data format, received {rate}")
    except ValueError as err:
        return Rejection(f"{waveforms.name}:{record_id}", str(err))
    return SourceRecord(
        path=str(waveforms),
        class_name=class_name,
        group=_given(row, settings.seisbench_group) or record_id,
        record_id=record_id,
        station=_given(row, "station_code"),
        index=index,
        split=SPLITS[split] if split else None,
        location=location,
        sampling_rate_hz=rate,
    )


def _given(row: dict[str, str], column: str) -> str:
    """A cell, "" where it is empty, as pandas reads it."""
    cell = row.get(column, "")
    return "" if cell.lower() in ("nan", "none", "null", "na", "n/a", "<na>") else cell


def _sampling_rate(row: dict[str, str]) -> float | None:
    rate, step = _given(row, "trace_sampling_rate_hz"), _given(row, "trace_dt_s")
    try:
        return float(rate) if rate else 1 / float(step) if step else None
    except (ValueError, ZeroDivisionError) as err:
        raise ValueError(f"expected a sampling rate in Hz or a step in s, received {rate or step}") from err


def _one_component(trace_name: str, component: int, dimension_order: str) -> str:
    """Dataset and index of one component of a trace: `bucket0$3,:3,:1000` becomes `bucket0$3,2,:1000`.

    Raises:
        ValueError: the index is not one of a single trace.
    """
    dataset, dollar, index = trace_name.partition("$")
    parts = index.replace(" ", "").split(",") if dollar else [":", ":"]
    while len(parts) < (3 if dollar else 2):
        parts.append(":")
    axis = len(parts) - 2 + dimension_order.index("C")
    bounds = parts[axis].split(":")
    if len(parts) != (3 if dollar else 2) or len(bounds) != 2:
        raise ValueError(f"expected a trace name like bucket0$3,:3,:1000, received {trace_name}")
    row = int(bounds[0] or 0) + component
    if bounds[1] and row >= int(bounds[1]):
        raise ValueError(f"expected at least {component + 1} components in the trace name, received {trace_name}")
    parts[axis] = str(row)
    return f"{dataset}${','.join(parts)}"


def _format_values(waveforms: Path) -> dict[str, Any]:
    """The values in /data_format; called in a child process."""
    try:
        with hdf5.open_file(waveforms) as file:
            names = hdf5.find(file, "data_format") if file.get("data_format", getlink=True) else ()
            items = {name: hdf5.find(file, f"data_format/{name}") for name in names}
            hdf5.check_size(sum(item.nbytes for item in items.values()), "data_format")
            return {name: item[()] for name, item in items.items()}
    except (OSError, KeyError, TypeError, AttributeError, RuntimeError) as err:
        raise ValueError(str(err)) from err


def read_traces(path: str, locations: Sequence[str]) -> Iterator[np.ndarray | str]:
    """Samples of some traces of one file, in the order given.

    HDF5 can end the process that reads a damaged file: it is read in a child process, many traces at a time. When that
    dies the traces are read one by one, so that one bad trace does not take the others with it.

    Args:
        path: of a `waveforms.hdf5`.
        locations: as in `SourceRecord.location`.

    Returns:
        for each trace its samples [sample] in the file's own type, or why there are none.
    """
    position, at_once, failures = 0, len(locations), 0
    while position < len(locations):
        asked = locations[position : position + at_once]
        try:
            answers = isolated.call(read_batch, path, asked, seconds=_BATCH_SECONDS)
        except isolated.NoAnswer as err:
            if len(asked) > 1:
                at_once = 1
                continue
            failures += 1
            answers = [f"expected the trace {asked[0]}, received HDF5 that can't be read ({err})"]
            if failures == _MOST_FAILURES:
                reason = f"expected HDF5 that can be read, received a file on which {failures} traces failed: {err}"
                answers += [reason] * (len(locations) - position - 1)
        except ValueError as err:
            answers = [str(err)] * len(asked)
        yield from answers
        position += len(answers)


def read_batch(path: str, locations: Sequence[str]) -> list[np.ndarray | str]:
    """The first of the traces, at least one and up to `BATCH_BYTES`; called in a child process."""
    answers: list[np.ndarray | str] = []
    size, opened = 0, {}
    try:
        file = hdf5.open_file(path)
    except OSError as err:
        raise ValueError(f"expected a readable HDF5 file, received {err}") from err
    with file:
        for location in locations:
            try:
                answers.append(_read_trace(file, location, opened))
                size += answers[-1].nbytes
            except ValueError as err:
                answers.append(str(err))
            if size > BATCH_BYTES:
                break
    return answers


def _read_trace(file: h5py.File, location: str, opened: dict[str, h5py.Group | h5py.Dataset]) -> np.ndarray:
    """Samples of one trace; the group and the dataset, looked up, are kept in `opened` for the next ones."""
    name, _, index = location.rpartition("$")
    try:
        if "" not in opened:
            opened[""] = hdf5.find(file, "data")
        if name not in opened:
            opened[name] = hdf5.find(opened[""], name)
        dataset, place = opened[name], tuple(_slice(part) for part in index.split(","))
        sizes = (
            len(range(*part.indices(length))) if isinstance(part, slice) else 1
            for part, length in zip(place, dataset.shape, strict=True)
        )
        hdf5.check_size(math.prod(sizes, start=dataset.dtype.itemsize), location)
        samples = dataset[place]
    except (KeyError, OSError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as err:
        raise ValueError(f"expected the trace {location}, received {err}") from err
    if not isinstance(samples, np.ndarray) or samples.ndim != 1:
        raise ValueError(f"expected a trace of one dimension at {location}, received shape {np.shape(samples)}")
    return samples


def _slice(part: str) -> int | slice:
    """`3` as 3, `:1000` as slice(None, 1000)."""
    if ":" not in part:
        return int(part)
    return slice(*(int(number) if number else None for number in part.split(":")))
