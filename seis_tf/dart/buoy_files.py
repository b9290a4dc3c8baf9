"""Files with buoy records -> time and water column: the form is known by the file's look.

`text_files` reads NDBC DART text, CSV, GeoClaw gauges and two columns; HDF5 is read here. Each reader gives samples in
ascending order and NaN for a missing one. Nothing is detided or resampled here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seis_tf import hdf5
from seis_tf.dart.gauge_record import GaugeRecord, each_moment_once, parse_origin
from seis_tf.dart.text_files import read_csv_records, read_dart_text, read_geoclaw_gauge, read_two_columns

__all__ = ["GaugeRecord", "parse_origin", "read_dart_text", "read_hdf5_records", "read_record", "read_records"]

_DART_LINE = re.compile(r"\d{4}(\s+\d{1,2}){5}\s")  # as a page without its header begins


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


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


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
                moments, level, spread = each_moment_once(time, level)
                records.append(GaugeRecord(name, moments, level, True, str(path), spread_m=spread))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as err:
        raise ValueError(f"{path}: expected HDF5 tables /observed/<gauge>/data of s and m, received {err}") from err
    return records
