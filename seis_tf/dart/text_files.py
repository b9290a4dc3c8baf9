"""Buoy records in text: NDBC DART text, GeoClaw gauges, CSV, two columns. -> time and water column or its change.

A line that can't be read is left out and the record's note says so. Nothing is detided or resampled here.
"""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from seis_tf.dart.gauge_record import (
    MISSING_M,
    QUOTED,
    GaugeRecord,
    buoy_of,
    each_moment_once,
    joined_notes,
    level_of,
    parse_origin,
    readable_rows,
)

# No tide in the deep sea goes beyond a few metres; what does is a fault of the sensor or of the transmission.
MAX_TIDE_M = 15.0
DART_TYPES = {1: 900, 2: 60, 3: 15}  # T of NDBC's text: seconds between samples
_TIME_COLUMNS = {"time_s": 1 / 60, "t_s": 1 / 60, "time_min": 1.0, "t_min": 1.0, "time_h": 60.0}


def read_dart_text(path: str | Path, *, strict: bool = False) -> GaugeRecord:
    """NDBC's DART text: `#YY MM DD hh mm ss T HEIGHT`, UTC, newest or oldest first, every 15 min, 1 min or 15 s.

    Missing is 9999, or a word: `MM`, as NDBC's live pages (`realtime2/<buoy>.dart`) have it, or `nan`. Where one moment
    comes twice, as when a rate changes, the finer one counts, and of several of one type their mean. A line that can't
    be read, and a last one that was cut off by an interrupted download, is left out, and the record's note says so.

    Args:
        path: the file.
        strict: a line that can't be read is an error.

    Returns:
        The record; the buoy is the number in the file's name.

    Raises:
        ValueError: not more than half of the lines can be read (the first that can't is named), no sample at all, or
            levels that no tide reaches.
    """
    path = Path(path)
    lines, cut = _whole_lines(path, strict)
    rows, note = readable_rows(path, lines, _dart_row, strict)
    if not rows:
        raise ValueError(f"{path}: expected lines of YY MM DD hh mm ss T HEIGHT, received none")
    time, kind, level = np.array(rows).T
    level = np.where(level >= MISSING_M, np.nan, level)
    # Of each moment the finest type alone.
    moments, which = np.unique(time, return_inverse=True)
    finest = np.zeros(len(moments))
    np.maximum.at(finest, which, np.where(np.isfinite(level), kind, 0))
    finest = np.where(finest == 0, kind[np.unique(time, return_index=True)[1]], finest)
    used = kind == finest[which]
    time, level, spread = each_moment_once(time[used], level[used])
    _check_tide(path, time, level)
    return GaugeRecord(
        buoy_of(path), time, level, False, str(path), joined_notes(note, cut), finest.astype(int), spread
    )


def _whole_lines(path: Path, strict: bool) -> tuple[list[str], str]:
    """Lines of a text, and a note where the last one was cut off: it has no end and is shorter than the one before.

    Such a line must go even where it can be read: a height that lost its last digits is another height.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = text.splitlines()
    if len(lines) < 2 or text.endswith(("\n", "\r")) or len(lines[-1].rstrip()) >= len(lines[-2].rstrip()):
        return lines, ""
    note = f"last line {lines[-1]!r} is cut off"
    if strict:
        raise ValueError(f"{path}: expected whole lines, received a {note}")
    return lines[:-1], f"{note} and was left out"


def _dart_row(path: Path, number: int, line: str) -> tuple[float, int, float]:
    cells = line.split()
    try:
        *date, kind = (int(cell) for cell in cells[:7])
        time = datetime(*date, tzinfo=UTC).timestamp()
        level = level_of(cells[7])
    except (ValueError, IndexError, TypeError, OverflowError) as err:
        raise ValueError(f"{path} line {number}: expected YY MM DD hh mm ss T HEIGHT, received {line!r}") from err
    if kind not in DART_TYPES or len(cells) != 8 or np.isinf(level):
        raise ValueError(f"{path} line {number}: expected T of 1, 2 or 3 and a height, received {line!r}")
    return time, kind, level


def _check_tide(path: Path, time: np.ndarray, level: np.ndarray) -> None:
    if not np.isfinite(level).any():
        raise ValueError(f"{path}: expected samples of water column, received missing ones only")
    middle = np.nanmedian(level)
    far = np.flatnonzero(np.abs(level - middle) > MAX_TIDE_M)
    if far.size:
        when = datetime.fromtimestamp(float(time[far[0]]), UTC)
        expected = f"water column within {MAX_TIDE_M:g} m of its median {middle:.3f} m"
        received = f"{level[far[0]]:.3f} m at {when:%Y-%m-%dT%H:%M:%SZ} and {far.size - 1} more like it"
        raise ValueError(f"{path}: expected {expected}, received {received}")


def read_geoclaw_gauge(path: str | Path) -> GaugeRecord:
    """GeoClaw's gaugeNNNNN.txt: columns level, time (s), h, hu, hv, eta.

    The level is the change of eta since the first sample. Not of h: the bottom differs between refinement levels, and h
    jumps when the level changes.

    Raises:
        ValueError: the header or the columns are not GeoClaw's.
    """
    path = Path(path)
    header, *lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    name = re.search(r"gauge_id=\s*(\d+)", header)
    rows = [line.split() for line in lines if line.strip() and not line.startswith("#")]
    try:
        table = np.array(rows, dtype=float)
    except ValueError as err:
        raise ValueError(f"{path}: expected columns level, time, h, hu, hv, eta, received {err}") from err
    if name is None or table.ndim != 2 or table.shape[1] < 6 or len(table) < 2:
        raise ValueError(f"{path}: expected a gauge_id and 6 columns, received {header[:60]!r} and {table.shape}")
    time, eta = table[:, 1], table[:, 5]
    # A restart writes its first moment again.
    kept = np.append(np.diff(time) > 0, True)
    if np.any(np.diff(time) < 0):
        raise ValueError(
            f"{path}: expected ascending times, received {time[np.argmax(np.diff(time) < 0) + 1]:g} s late"
        )
    return GaugeRecord(name[1], time[kept], eta[kept] - eta[0], True, str(path))


def read_csv_records(path: str | Path, *, strict: bool = False) -> list[GaugeRecord]:
    """A CSV with a header: a time column (`time_s`, `time_min`, `time_h` after the origin, or `time_utc`), then levels.

    Each further column is a buoy, named with or without `_m`; a single one named `level_m` or `residual_m` takes the
    buoy's number from the file's name. An empty cell, `MM`, `nan` and 9999 are missing. Where one moment comes twice,
    the mean counts. A row that can't be read is left out, and the records' notes say so.

    Args:
        path: the file.
        strict: a row that can't be read is an error.

    Raises:
        ValueError: the header is not as described, or not more than half of the rows can be read (the first is named).
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = [name.strip() for name in next(csv.reader(lines[:1]), [])]
    clock = names[0].lower() if names else ""
    if clock not in {*_TIME_COLUMNS, "time_utc"} or len(names) < 2 or not any(map(str.strip, lines[1:])):
        expected = f"a first column of {[*_TIME_COLUMNS, 'time_utc']} and a column a buoy"
        raise ValueError(f"{path}: expected {expected}, received {names} and {len(lines[1:])} rows")

    def read(path: Path, number: int, line: str) -> tuple[float, ...]:
        try:
            (cells,) = csv.reader([line])
            first = parse_origin(cells[0]).timestamp() if clock == "time_utc" else float(cells[0])
            levels = [level_of(cell) for cell in cells[1:]]
            if len(cells) != len(names) or not np.isfinite(first) or np.isinf(levels).any():
                raise ValueError(f"{len(cells)} cells")
        except (ValueError, IndexError, csv.Error) as err:
            raise ValueError(
                f"{path} line {number + 1}: expected a number a cell in columns {names}, received {line[:QUOTED]!r}"
            ) from err
        return first, *levels

    rows, note = readable_rows(path, lines[1:], read, strict)
    table = np.array(rows)
    relative = clock != "time_utc"
    time, levels = table[:, 0] * (60 * _TIME_COLUMNS[clock] if relative else 1), table[:, 1:]
    columns = [name.removesuffix("_m") for name in names[1:]]
    if len(columns) == 1 and columns[0].lower() in ("level", "residual"):
        columns = [buoy_of(path)]
    records = []
    for name, column in zip(columns, levels.T, strict=True):
        moments, level, spread = each_moment_once(time, column)
        records.append(
            GaugeRecord(name, moments, level, relative, str(path), note, spread_m=spread)
        )  # fmt: skip
    return records


def read_two_columns(path: str | Path, *, strict: bool = False) -> GaugeRecord:
    """Two columns of numbers without a header: seconds after the origin, and detided metres.

    Args:
        path: the file.
        strict: a line that can't be read is an error.

    Returns:
        The record; the buoy is the number in the file's name, and the note says what the columns were taken for.

    Raises:
        ValueError: not more than half of the lines are as described (the first that isn't is named).
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows, note = readable_rows(path, lines, _two_cells, strict)
    taken = "two columns without a header are taken for seconds after the origin and detided metres"
    time, level, spread = each_moment_once(*np.array(rows).T)
    return GaugeRecord(
        buoy_of(path), time, level, True, str(path), joined_notes(taken, note), spread_m=spread
    )  # fmt: skip


def _two_cells(path: Path, number: int, line: str) -> tuple[float, float]:
    try:
        first, second = line.split()
        time, level = float(first), level_of(second)
        if not np.isfinite(time) or np.isinf(level):
            raise ValueError("not finite")
    except ValueError as err:
        raise ValueError(f"{path} line {number}: expected seconds and metres, received {line[:QUOTED]!r}") from err
    return time, level
