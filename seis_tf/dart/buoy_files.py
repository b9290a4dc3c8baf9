"""Files with buoy records -> time and water column: NDBC DART text, CSV, HDF5, GeoClaw gauges, the prototype's mat.

Each reader gives samples in ascending order and NaN for a missing one. Nothing is detided or resampled here.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
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
_QUOTED = 60
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
        kinds: int [sample], NDBC's type (1, 2 and 3 are 15 min, 1 min and 15 s); None where a file has none.
        spread_m: float64 [sample], how far values of the same moment (and type) are apart; 0 where there is one, None
            where the file can't have several.
    """

    buoy: str
    time: np.ndarray
    level_m: np.ndarray
    relative: bool
    source: str
    note: str = ""
    kinds: np.ndarray | None = None
    spread_m: np.ndarray | None = None

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
        strict: the first file that can't be read is an error, and so is a line.

    Raises:
        ValueError: only if `strict`.
    """
    records, reasons = [], []
    for path in paths:
        try:
            records += read_record(path, strict=strict)
        except ValueError as err:
            if strict:
                raise
            reasons.append(str(err))
    return records, reasons


def read_record(path: str | Path, *, strict: bool = False) -> list[GaugeRecord]:
    """Records in one file, by its look: NDBC text, a GeoClaw gauge, a CSV (a column a buoy), HDF5 (a group a buoy).

    Two columns of numbers without a header are seconds after the origin and detided metres; the record's note says so.
    Of a text a line that can't be read is left out, and the note says so.

    Args:
        path: the file.
        strict: a line that can't be read is an error.

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
        return [read_dart_text(path, strict=strict)]
    if "gauge_id" in first:
        return [read_geoclaw_gauge(path)]
    if "," in first:
        return read_csv_records(path, strict=strict)
    if len(cells := first.split()) == 2 and all(map(_is_number, cells)):
        return [read_two_columns(path, strict=strict)]
    expected = "NDBC DART text (#YY MM DD hh mm ss T HEIGHT), a GeoClaw gauge file or a CSV with a header"
    raise ValueError(f"{path}: expected {expected}, received a file that begins {first[:40]!r}")


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
    rows, note = _readable(path, lines, _dart_row, strict)
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
    time, level, spread = _once(time[used], level[used])
    _check_tide(path, time, level)
    return GaugeRecord(buoy_of(path), time, level, False, str(path), _joined(note, cut), finest.astype(int), spread)


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


def _readable(
    path: Path, lines: list[str], read: Callable[[Path, int, str], tuple[float, ...]], strict: bool
) -> tuple[list[tuple[float, ...]], str]:
    """Rows of the lines that can be read, and a note on the others; comments and empty lines are no lines.

    Raises:
        ValueError: of the first that can't be, if `strict` or if not more than half can be.
    """
    rows, bad = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            rows.append(read(path, number, line))
        except ValueError as err:
            if strict:
                raise
            bad.append((number, line, err))
    if not bad:
        return rows, ""
    if len(bad) >= len(rows):
        raise bad[0][2]
    number, line, _ = bad[0]
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return rows, f"line {number} {line[:_QUOTED]!r} can't be read and was left out{more}"


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _level(cell: str) -> float:
    """A height, NaN for a missing one: a word, or 9999 with or without decimals."""
    level = np.nan if cell.strip().lower() in MISSING_WORDS else float(cell)
    return np.nan if level == MISSING_M else level


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
            levels = [_level(cell) for cell in cells[1:]]
            if len(cells) != len(names) or not np.isfinite(first) or np.isinf(levels).any():
                raise ValueError(f"{len(cells)} cells")
        except (ValueError, IndexError, csv.Error) as err:
            raise ValueError(
                f"{path} line {number + 1}: expected a number a cell in columns {names}, received {line[:_QUOTED]!r}"
            ) from err
        return first, *levels

    rows, note = _readable(path, lines[1:], read, strict)
    table = np.array(rows)
    relative = clock != "time_utc"
    time, levels = table[:, 0] * (60 * _TIME_COLUMNS[clock] if relative else 1), table[:, 1:]
    columns = [name.removesuffix("_m") for name in names[1:]]
    if len(columns) == 1 and columns[0].lower() in ("level", "residual"):
        columns = [buoy_of(path)]
    records = []
    for name, column in zip(columns, levels.T, strict=True):
        moments, level, spread = _once(time, column)
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
    rows, note = _readable(path, lines, _two_cells, strict)
    taken = "two columns without a header are taken for seconds after the origin and detided metres"
    time, level, spread = _once(*np.array(rows).T)
    return GaugeRecord(
        buoy_of(path), time, level, True, str(path), _joined(taken, note), spread_m=spread
    )  # fmt: skip


def _two_cells(path: Path, number: int, line: str) -> tuple[float, float]:
    try:
        first, second = line.split()
        time, level = float(first), _level(second)
        if not np.isfinite(time) or np.isinf(level):
            raise ValueError("not finite")
    except ValueError as err:
        raise ValueError(f"{path} line {number}: expected seconds and metres, received {line[:_QUOTED]!r}") from err
    return time, level


def _once(time: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples in ascending order, each time once with the mean of its values, and how far those are apart.

    The mean is NaN, and the distance 0, where all of them are missing.
    """
    moments, which = np.unique(time, return_inverse=True)
    good = np.isfinite(level)
    count = np.bincount(which[good], minlength=len(moments))
    total = np.bincount(which[good], weights=level[good], minlength=len(moments))
    low, high = np.full(len(moments), np.inf), np.full(len(moments), -np.inf)
    np.minimum.at(low, which[good], level[good])
    np.maximum.at(high, which[good], level[good])
    mean = np.where(count > 1, total / np.maximum(count, 1), low)
    return moments, np.where(count > 0, mean, np.nan), np.where(count > 0, high - low, 0.0)


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
                moments, level, spread = _once(time, level)
                records.append(GaugeRecord(name, moments, level, True, str(path), spread_m=spread))
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
