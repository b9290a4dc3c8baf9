"""Files with buoy records -> time and water column: NDBC DART text, CSV, HDF5, GeoClaw gauges, the prototype's mat.

Each reader gives samples in ascending order and NaN for a missing one. Nothing is detided or resampled here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from seis_tf import hdf5
from seis_tf.matlab import load_variables
from seis_tf.names import canonical_name

MISSING_M = 9999.0
MISSING_WORDS = ("mm", "nan", "na", "n/a", "")  # NDBC's live pages say MM
# No tide in the deep sea goes beyond a few metres; what does is a fault of the sensor or of the transmission.
MAX_TIDE_M = 15.0
DART_TYPES = {1: 900, 2: 60, 3: 15}  # T of NDBC's text: seconds between samples
_BUOY = re.compile(r"(?<!\d)(\d{5})(?!\d)")
_DART_LINE = re.compile(r"\d{4}(\s+\d{1,2}){5}\s")  # as a page without its header begins
_TIME_COLUMNS = {"time_s": 1 / 60, "t_s": 1 / 60, "time_min": 1.0, "t_min": 1.0, "time_h": 60.0}


@dataclass(frozen=True, eq=False)
class GaugeRecord:
    """One buoy's record.

    Attributes:
        buoy: name; "" where the file doesn't say it.
        time: seconds since 1970-01-01 UTC, or since the origin where `relative`; float64 [sample], ascending.
        level_m: float64 [sample], NaN where missing.
        relative: whether times count from the earthquake's origin.
        source: the file, for messages.
        note: what was left out of the file or taken for granted; "" where nothing was.
    """

    buoy: str
    time: np.ndarray
    level_m: np.ndarray
    relative: bool
    source: str
    note: str = ""

    def minutes_after(self, origin: datetime | None) -> np.ndarray:
        """Minutes after the origin, float64 [sample].

        Raises:
            ValueError: the record has absolute times and no origin time was given.
        """
        if self.relative:
            return self.time / 60
        if origin is None:
            raise ValueError(f"{self.source}: expected an origin time for a record with dates, received none")
        return (self.time - origin.timestamp()) / 60


def parse_origin(text: str) -> datetime:
    """An origin time in ISO 8601, UTC where no zone is given: `2018-01-23T09:31:40Z`.

    Raises:
        ValueError: the text is no such time.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as err:
        raise ValueError(f"origin time: expected a time like 2018-01-23T09:31:40Z, received {text!r}") from err
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def buoy_of(path: Path) -> str:
    """The five-digit buoy number in a file's name, "" if there is none or more than one."""
    found = set(_BUOY.findall(Path(path).stem))
    return found.pop() if len(found) == 1 else ""


def read_records(paths: Iterable[str | Path], *, strict: bool = False) -> tuple[list[GaugeRecord], list[str]]:
    """Records of one event's files, and why others can't be read: one bad file must not cost the good ones.

    Args:
        paths: the files.
        strict: the first file that can't be read is an error.

    Raises:
        ValueError: only if `strict`.
    """
    records, reasons = [], []
    for path in paths:
        try:
            records += read_record(path)
        except ValueError as err:
            if strict:
                raise
            reasons.append(str(err))
    return records, reasons


def read_record(path: str | Path) -> list[GaugeRecord]:
    """Records in one file, by its look: NDBC text, a GeoClaw gauge, a CSV (a column a buoy), HDF5 (a group a buoy).

    Two columns of numbers without a header are seconds after the origin and detided metres; the record's note says so.

    Raises:
        ValueError: the file is in none of these forms, or damaged; it is named.
    """
    path = Path(path)
    if path.suffix in (".h5", ".hdf5"):
        return read_hdf5_records(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as err:
        raise ValueError(f"{path}: expected a text file of a buoy record, received {err}") from err
    first = text.lstrip().partition("\n")[0].lower()
    if first.startswith("#yy") or _DART_LINE.match(first):
        return [read_dart_text(path)]
    if "gauge_id" in first:
        return [read_geoclaw_gauge(path)]
    if "," in first:
        return read_csv_records(path)
    if len(cells := first.split()) == 2 and all(map(_is_number, cells)):
        return [read_two_columns(path)]
    expected = "NDBC DART text (#YY MM DD hh mm ss T HEIGHT), a GeoClaw gauge file or a CSV with a header"
    raise ValueError(f"{path}: expected {expected}, received a file that begins {first[:40]!r}")


def read_dart_text(path: str | Path) -> GaugeRecord:
    """NDBC's DART text: `#YY MM DD hh mm ss T HEIGHT`, UTC, newest or oldest first, every 15 min, 1 min or 15 s.

    Missing is 9999, or a word: `MM`, as NDBC's live pages (`realtime2/<buoy>.dart`) have it, or `nan`. Where one moment
    comes twice, as when a rate changes, the finer one counts. A last line that was cut off by an interrupted download
    is left out, and the record's note says so.

    Returns:
        The record; the buoy is the number in the file's name.

    Raises:
        ValueError: a line that is not as described (it is named), no sample at all, or levels that no tide reaches.
    """
    path = Path(path)
    lines, note = _whole_lines(path)
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        rows.append(_dart_row(path, number, line))
    if not rows:
        raise ValueError(f"{path}: expected lines of YY MM DD hh mm ss T HEIGHT, received none")
    # By time, the finer type last: of equal times the last one is kept.
    rows.sort(key=lambda row: row[:2])
    time, _, level = np.array(rows).T
    kept = np.append(np.diff(time) > 0, True)
    level = np.where(level >= MISSING_M, np.nan, level)[kept]
    _check_tide(path, time[kept], level)
    return GaugeRecord(buoy_of(path), time[kept], level, False, str(path), note)


def _whole_lines(path: Path) -> tuple[list[str], str]:
    """Lines of a text, and a note where the last one was cut off: it has no end and is shorter than the one before.

    Such a line must go even where it can be read: a height that lost its last digits is another height.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = text.splitlines()
    if len(lines) < 2 or text.endswith(("\n", "\r")) or len(lines[-1].rstrip()) >= len(lines[-2].rstrip()):
        return lines, ""
    return lines[:-1], f"last line {lines[-1]!r} is cut off and was left out"


def _level(cell: str) -> float:
    """A height, NaN for a missing one."""
    return np.nan if cell.strip().lower() in MISSING_WORDS else float(cell)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _dart_row(path: Path, number: int, line: str) -> tuple[float, int, float]:
    cells = line.split()
    try:
        *date, kind = (int(cell) for cell in cells[:7])
        time = datetime(*date, tzinfo=UTC).timestamp()
        level = _level(cells[7])
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
        when = datetime.fromtimestamp(time[far[0]], UTC)
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


def read_csv_records(path: str | Path) -> list[GaugeRecord]:
    """A CSV with a header: a time column (`time_s`, `time_min`, `time_h` after the origin, or `time_utc`), then levels.

    Each further column is a buoy, named with or without `_m`; a single one named `level_m` or `residual_m` takes the
    buoy's number from the file's name. An empty cell, `MM` and `nan` are missing. Where one moment comes twice, the
    mean counts.

    Raises:
        ValueError: a column or a cell that is not as described.
    """
    path = Path(path)
    with open(path, newline="", encoding="utf-8-sig") as stream:
        header, *rows = [row for row in csv.reader(stream) if row] or [[]]
    names = [name.strip() for name in header]
    clock = names[0].lower() if names else ""
    if clock not in {*_TIME_COLUMNS, "time_utc"} or len(names) < 2 or not rows:
        expected = f"a first column of {[*_TIME_COLUMNS, 'time_utc']} and a column a buoy"
        raise ValueError(f"{path}: expected {expected}, received {names} and {len(rows)} rows")
    try:
        if clock == "time_utc":
            time = np.array([parse_origin(row[0]).timestamp() for row in rows])
        else:
            time = np.array([float(row[0]) for row in rows]) * _TIME_COLUMNS[clock] * 60
        levels = np.array([[_level(cell) for cell in row[1:]] for row in rows])
        levels = levels.reshape(len(rows), len(names) - 1)
    except (ValueError, IndexError) as err:
        raise ValueError(f"{path}: expected a number a cell in columns {names}, received {err}") from err
    relative = clock != "time_utc"
    columns = [name.removesuffix("_m") for name in names[1:]]
    if len(columns) == 1 and columns[0].lower() in ("level", "residual"):
        columns = [buoy_of(path)]
    return [GaugeRecord(name, *_once(time, levels[:, i]), relative, str(path)) for i, name in enumerate(columns)]


def read_two_columns(path: str | Path) -> GaugeRecord:
    """Two columns of numbers without a header: seconds after the origin, and detided metres.

    Returns:
        The record; the buoy is the number in the file's name, and the note says what the columns were taken for.

    Raises:
        ValueError: a line that is not as described.
    """
    path = Path(path)
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    rows = [(number, line) for number, line in enumerate(lines, start=1) if line.strip() and not line.startswith("#")]
    table = np.empty((len(rows), 2))
    for row, (number, line) in zip(table, rows, strict=True):
        try:
            time, level = line.split()
            row[:] = float(time), _level(level)
        except ValueError as err:
            raise ValueError(f"{path} line {number}: expected seconds and metres, received {line!r}") from err
    if not np.isfinite(table[:, 0]).all():
        raise ValueError(f"{path}: expected finite times, received NaN or infinity")
    note = "two columns without a header are taken for seconds after the origin and detided metres"
    return GaugeRecord(buoy_of(path), *_once(*table.T), True, str(path), note)


def _once(time: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples in ascending order, each time once with the mean of its values; NaN where all of them are missing."""
    moments, which = np.unique(time, return_inverse=True)
    good = np.isfinite(level)
    count = np.bincount(which[good], minlength=len(moments))
    total = np.bincount(which[good], weights=level[good], minlength=len(moments))
    return moments, np.where(count > 0, total / np.maximum(count, 1), np.nan)


def read_hdf5_records(path: str | Path) -> list[GaugeRecord]:
    """HDF5 with `/observed/<gauge>/data`, two columns: seconds after the origin, and detided metres.

    Zeros before the first other value are missing: files of this form are filled with them where a record begins late.

    Raises:
        ValueError: the file has no such group, or one that is no table of two columns.
    """
    records = []
    try:
        with hdf5.open_file(path) as file:
            tables = {name: hdf5.find(file, f"observed/{name}/data") for name in hdf5.find(file, "observed")}
            hdf5.check_size(sum(table.size for table in tables.values()) * 8, "all tables")
            for name, table in tables.items():
                time, level = np.asarray(table, dtype=float).T
                level[: np.argmax(level != 0)] = np.nan
                records.append(GaugeRecord(name, *_once(time, level), True, str(path)))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as err:
        raise ValueError(f"{path}: expected HDF5 tables /observed/<gauge>/data of s and m, received {err}") from err
    return records


def read_prototype_series(path: str | Path, time_unit_s: float) -> tuple[np.ndarray, np.ndarray]:
    """A time series of the prototype: `t`, and `h` in cm; samples without a value (its minute 0) are left out.

    Args:
        path: the .mat file.
        time_unit_s: seconds in a unit of its `t`: 1 for buoys, 3600 for forecast points.

    Returns:
        minutes and metres, float64 [sample].

    Raises:
        ValueError: `t` or `h` is missing or they don't fit together.
    """
    content = _load_mat(path, ("t", "h"))
    time, level = (np.asarray(content[key], dtype=float).ravel() for key in ("t", "h"))
    if time.shape != level.shape:
        raise ValueError(f"{path}: expected as many h as t, received {level.shape} and {time.shape}")
    kept = np.isfinite(time) & np.isfinite(level)
    return time[kept] * time_unit_s / 60, level[kept] / 100


def read_prototype_slip(path: str | Path) -> dict[str, float]:
    """Slip of one run of the prototype: unit sources (long notation) and metres, from `faults` and `slip`.

    Raises:
        ValueError: a name is no unit source or comes twice, the two arrays don't fit together, or slip is negative.
    """
    content = _load_mat(path, ("faults", "slip"))
    # Cells of cells, strings of any nesting: MATLAB's way of writing a list of names.
    names = [canonical_name(str(np.asarray(cell).item())) for cell in np.asarray(content["faults"]).ravel()]
    slip = np.asarray(content["slip"], dtype=float).ravel()
    if len(names) != len(slip) or len(set(names)) < len(names):
        raise ValueError(f"{path}: expected one slip for each of {names}, received {slip.tolist()}")
    if not np.isfinite(slip).all() or slip.min(initial=0) < 0:
        raise ValueError(
            f"{path}: expected non-negative slip, received {slip.min():g} m on {names[int(slip.argmin())]}"
        )
    return dict(zip(names, slip.tolist(), strict=True))


def _load_mat(path: str | Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    content = load_variables(Path(path), keys)
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{path}: expected arrays {list(keys)}, received {sorted(content)}")
    return content
