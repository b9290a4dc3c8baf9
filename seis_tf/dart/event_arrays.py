"""Folders of arrays: many runs as records [run, buoy, time] with a JSON of names, as `simulate fakequakes` writes them.

`names.json` says what the axes are (runs, buoys, gauges, sources); `records.npz` holds `records_m` and `time_min`;
`truth.npz` (`truth_m` [run, gauge, time]) and `weights.csv` (run, mw, a column a source) are optional.
"""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf.dart.unit_sources import NPZ_ERRORS
from seis_tf.names import canonical_name, check_names


@dataclass(frozen=True, eq=False)
class Arrays:
    """All runs of a folder.

    Attributes:
        runs, gauges: names of the axes.
        records_m: [run, buoy, time], metres of water column, NaN where missing.
        time_min: float64 [time].
        weights_m: float64 [run, source], or None.
        mw: float64 [run], or None.
        truth_m: [run, gauge, minute] from minute 0 on, or None.
    """

    runs: list[str]
    gauges: list[str]
    records_m: np.ndarray
    time_min: np.ndarray
    weights_m: np.ndarray | None
    mw: np.ndarray | None
    truth_m: np.ndarray | None


def read_json(path: Path) -> dict:
    """A JSON object from a file; anything else is a `ValueError` that names it."""
    try:
        content = json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as err:
        raise ValueError(f"{path}: expected a JSON file, received {err}") from err
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected a JSON object, received {type(content).__name__}")
    return content


def load_arrays(folder: Path, source_names: tuple[str, ...]) -> Arrays:
    """All arrays of a folder; kept, for they are asked for batch by batch."""
    return _read_arrays(folder, source_names, (folder / "names.json").stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read_arrays(folder: Path, source_names: tuple[str, ...], stamp_ns: int) -> Arrays:
    names = read_json(folder / "names.json")
    runs, gauges = ([str(name) for name in names.get(key) or []] for key in ("runs", "gauges"))
    records, time = _npz(folder / "records.npz", "records_m")
    expected = (len(runs), len(names["buoys"]), len(time))
    if records.shape != expected:
        raise ValueError(f"{folder}/records.npz: expected [run, buoy, time] {expected}, received {records.shape}")
    truth = None
    if (folder / "truth.npz").is_file():
        truth, minutes = _npz(folder / "truth.npz", "truth_m")
        expected = (len(runs), len(gauges), len(minutes))
        if truth.shape != expected or not np.array_equal(minutes, np.arange(len(minutes))):
            received = f"{truth.shape} from minute {minutes[:1]}"
            raise ValueError(
                f"{folder}/truth.npz: expected [run, gauge, minute] {expected} from 0, received {received}"
            )
    weights = mw = None
    if (folder / "weights.csv").is_file():
        weights, mw = _read_weights(folder / "weights.csv", runs, source_names)
    return Arrays(runs, gauges, records, time, weights, mw, truth)


def _npz(path: Path, key: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[key], np.asarray(file["time_min"], dtype=float)
    except (KeyError, *NPZ_ERRORS) as err:
        raise ValueError(f"{path}: expected an npz with {key} and time_min, received {err}") from err


def _read_weights(path: Path, runs: list[str], source_names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    with open(path, newline="", encoding="utf-8-sig") as stream:
        header, *rows = [row for row in csv.reader(stream) if row] or [[]]
    has_mw = header[1:2] == ["mw"]
    columns = header[2:] if has_mw else header[1:]
    check_names(f"{path}: sources", source_names, [canonical_name(name) for name in columns])
    check_names(f"{path}: runs", runs, [row[0] for row in rows])
    try:
        table = np.array([row[1:] for row in rows], dtype=float)
    except ValueError as err:
        raise ValueError(f"{path}: expected a number in each cell of {header}, received {err}") from err
    return (table[:, 1:], table[:, 0]) if has_mw else (table, None)
