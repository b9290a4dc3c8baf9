"""NOAA SIFT unit sources and their Green's functions: names, geometry, magnitude, and the wave that weights make.

A unit source is a rectangle of 100 x 50 km on a subduction interface. Its Green's function is the water column at a
gauge after 1 m of slip on it; a wave is the sum of Green's functions times weights (metres of slip). Order is data:
everything here is named, and another order or another set of names is an error.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

from seis_tf.names import canonical_name, check_names, name_parts
from seis_tf.settings.simulation import MagnitudeSettings

SOURCE_COLUMNS = ("lon", "lat", "depth_km", "strike_deg", "dip_deg", "rake_deg", "length_km", "width_km")
UNIT_LENGTH_KM, UNIT_WIDTH_KM = 100.0, 50.0
UNIT_AREA_M2 = UNIT_LENGTH_KM * UNIT_WIDTH_KM * 1e6
EARTH_RADIUS_KM = 6371.0
NEAR_BUOYS = ("46404", "46407", "46419")
# What NumPy lets through from a damaged npz. RuntimeError: a flipped bit says "encrypted", or "not implemented".
NPZ_ERRORS = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
ROWS_DOWN_DIP = "bazyxw"  # NOAA's letters of the rows, from the trench downwards


@lru_cache(maxsize=1)
def packaged_depths_m() -> dict[str, float]:
    """Depths of the packaged buoys' positions in the packaged bathymetry, m; provenance in `seis_tf/data/README.md`."""
    text = (resources.files("seis_tf.data") / "darts.csv").read_text(encoding="utf-8")
    return {row["name"]: float(row["depth_m"]) for row in csv.DictReader(text.splitlines())}


def grid_position(names: Iterable[str]) -> np.ndarray:
    """Place of unit sources on their grid, from the names alone.

    Returns:
        int [source, 2]: number along strike (57 of acsza57) and row down dip (b 0, a 1, z 2, ...).

    Raises:
        ValueError: sources of several zones, or a row letter that NOAA does not use.
    """
    parts = [name_parts(name) for name in names]
    zones = sorted({zone for zone, _, _ in parts})
    if len(zones) > 1:
        raise ValueError(f"unit sources: expected one subduction zone, received {zones}")
    unknown = sorted({row for _, row, _ in parts if row not in ROWS_DOWN_DIP})
    if unknown:
        raise ValueError(f"unit sources: expected rows {list(ROWS_DOWN_DIP)}, received {unknown}")
    return np.array([[int(number), ROWS_DOWN_DIP.index(row)] for _, row, number in parts], dtype=int).reshape(-1, 2)


def distance_km(from_lonlat: np.ndarray, to_lonlat: np.ndarray) -> np.ndarray:
    """Great-circle distance on a sphere: [.., 2] and [.., 2] degrees, broadcast against each other -> [..] km."""
    lon1, lat1 = np.moveaxis(np.radians(from_lonlat), -1, 0)
    lon2, lat2 = np.moveaxis(np.radians(to_lonlat), -1, 0)
    haversine = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(haversine))


@dataclass(frozen=True, eq=False)
class GreensFunctions:
    """Water column at gauges per metre of slip on unit sources, with the geometry of both.

    Attributes:
        source_names: in the long notation; the order of every `source` axis.
        gauge_names: the order of every `gauge` axis.
        time_min: int [minute], 0, 1, 2, ... minutes after the origin.
        eta_m: float32 [source, gauge, minute], metres of water column per metre of slip: the sea surface minus its
            value at minute 0, for a bottom pressure sensor moves with the sea floor.
        source_table: float64 [source, 8], columns `SOURCE_COLUMNS`; lon, lat are the centre of the bottom edge, the
            depth is that of the top edge (NOAA's convention). NaN where a geometry is not known.
        gauge_lonlat: float64 [gauge, 2], degrees east (0 to 360) and north; NaN where not known.
    """

    source_names: tuple[str, ...]
    gauge_names: tuple[str, ...]
    time_min: np.ndarray
    eta_m: np.ndarray
    source_table: np.ndarray
    gauge_lonlat: np.ndarray

    def __post_init__(self) -> None:
        shape = (len(self.source_names), len(self.gauge_names), len(self.time_min))
        if self.eta_m.shape != shape:
            raise ValueError(
                f"Green's functions: expected [source, gauge, minute] {shape}, received {self.eta_m.shape}"
            )
        if not np.array_equal(self.time_min, np.arange(shape[2])):
            raise ValueError(f"Green's functions: expected minutes 0, 1, 2, ..., received {self.time_min[:4]} ...")
        if not np.isfinite(self.eta_m).all():
            source, gauge, minute = np.argwhere(~np.isfinite(self.eta_m))[0]
            where = f"{self.source_names[source]} at {self.gauge_names[gauge]}, minute {minute}"
            raise ValueError(f"Green's functions: expected finite values, received a gap for {where}")

    def column(self, name: str) -> np.ndarray:
        """One column of the source table, float64 [source]."""
        return self.source_table[:, SOURCE_COLUMNS.index(name)]

    @property
    def area_m2(self) -> np.ndarray:
        """Area of each source, float64 [source]."""
        return self.column("length_km") * self.column("width_km") * 1e6

    def select(self, sources: Sequence[str] | None = None, gauges: Sequence[str] | None = None) -> GreensFunctions:
        """The same functions for some sources and gauges, in the order asked for.

        Raises:
            ValueError: a name is unknown or given twice; both lists are printed.
        """
        source_names = self.source_names if sources is None else tuple(canonical_name(name) for name in sources)
        gauge_names = self.gauge_names if gauges is None else tuple(gauges)
        rows = _positions("sources", self.source_names, source_names)
        columns = _positions("gauges", self.gauge_names, gauge_names)
        return GreensFunctions(
            source_names,
            gauge_names,
            self.time_min,
            self.eta_m[np.ix_(rows, columns)],
            self.source_table[rows],
            self.gauge_lonlat[columns],
        )

    def waves(self, weights_m: np.ndarray) -> np.ndarray:
        """Water column that weights make: [.., source] metres of slip -> [.., minute, gauge] metres.

        The result has the weights' precision (float32 at least).

        Raises:
            ValueError: the last axis is not this object's sources.
        """
        weights = np.asarray(weights_m)
        if weights.shape[-1:] != (len(self.source_names),):
            raise ValueError(f"weights: expected [.., {len(self.source_names)} sources], received {weights.shape}")
        weights = weights.astype(np.result_type(weights.dtype, np.float32), copy=False)
        # [source, minute, gauge] flattened, so that one matrix product serves any number of events.
        table = np.moveaxis(self.eta_m, 2, 1).astype(weights.dtype, copy=False)
        flat = weights.reshape(-1, weights.shape[-1]) @ table.reshape(len(table), -1)
        return flat.reshape(*weights.shape[:-1], *table.shape[1:])

    def matrix(self, window_min: int, step_min: int = 1) -> np.ndarray:
        """Design matrix of a window that begins one step after the origin.

        Returns:
            float64 [sample, gauge, source]: samples at minutes step, 2 step, ..., window.

        Raises:
            ValueError: the window is no multiple of the step or longer than the functions.
        """
        if window_min % step_min or not 0 < window_min <= self.time_min[-1]:
            expected = f"a multiple of {step_min} up to {self.time_min[-1]} minutes"
            raise ValueError(f"window: expected {expected}, received {window_min}")
        return self.eta_m[:, :, step_min : window_min + 1 : step_min].transpose(2, 1, 0).astype(np.float64)


def _positions(what: str, known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    unknown = [name for name in wanted if name not in known]
    if unknown or len(set(wanted)) < len(wanted):
        reason = f"unknown {unknown}" if unknown else "a name is given twice"
        raise ValueError(f"{what}: expected some of {list(known)}, received {list(wanted)}: {reason}")
    return [known.index(name) for name in wanted]


def load_greens(path: str | Path | None = None) -> GreensFunctions:
    """Green's functions: the packaged Cascadia ones, or a user's own.

    Args:
        path: None for the packaged ones (31 sources, 6 buoys, 361 minutes); an npz with `source_names`, `gauge_names`,
            `time_min`, `eta_m` [source, gauge, minute] and optionally `gauge_lonlat` and `source_table`; or a folder of
            tables `eta_<gauge>.csv` (metres) and `t_<gauge>.csv` (minutes), one column a source.

    Returns:
        The functions as water column: whatever they hold at minute 0 is subtracted.

    Raises:
        ValueError: names, times or shapes don't fit together; the file is named.
    """
    if path is None:
        with resources.as_file(resources.files("seis_tf.data") / "cascadia_greens.npz") as packaged:
            return _from_npz(packaged)
    path = Path(path)
    if path.is_dir():
        return _from_tables(path)
    return _from_npz(path)


def load_parts(path: str | Path, greens: GreensFunctions) -> np.ndarray:
    """Functions of the 2 x 2 parts of each unit source, as `tools/greens` writes them with `--parts`.

    Args:
        path: npz with `parts_m` [source, 4, gauge, minute], `source_names` and `gauge_names`.
        greens: the functions of the whole sources, whose sources, gauges and minutes the parts must have.

    Returns:
        float32 [source, 4, gauge, minute], metres of water column.

    Raises:
        ValueError: no such file, or it is of other sources, gauges or minutes.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = stored["parts_m"].astype(np.float32)
            sources = tuple(canonical_name(str(name)) for name in stored["source_names"])
            gauges = tuple(map(str, stored["gauge_names"]))
    except (KeyError, *NPZ_ERRORS) as err:
        raise ValueError(f"{path}: expected an npz of parts_m, source_names and gauge_names, received {err}") from err
    check_names(f"{path}: sources", greens.source_names, sources)
    check_names(f"{path}: gauges", greens.gauge_names, gauges)
    expected = (len(greens.source_names), 4, len(greens.gauge_names), len(greens.time_min))
    if parts.shape != expected:
        raise ValueError(f"{path}: expected parts_m [source, part, gauge, minute] {expected}, received {parts.shape}")
    return parts - parts[..., :1]


def _build(sources: Sequence[str], gauges: Sequence[str], eta: np.ndarray, **extra: np.ndarray) -> GreensFunctions:
    names = tuple(canonical_name(name) for name in sources)
    for what, given in (("sources", names), ("gauges", tuple(gauges))):
        if len(set(given)) < len(given):
            raise ValueError(f"{what}: expected each name once, received {list(given)}")
    return GreensFunctions(
        source_names=names,
        gauge_names=tuple(gauges),
        time_min=np.arange(eta.shape[-1]),
        eta_m=(eta - eta[:, :, :1]).astype(np.float32),
        source_table=extra.get("source_table", source_table(names)),
        gauge_lonlat=extra.get("gauge_lonlat", np.full((len(gauges), 2), np.nan)),
    )


def _from_npz(path: Path) -> GreensFunctions:
    needed = ("source_names", "gauge_names", "time_min", "eta_m")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except NPZ_ERRORS as err:
        raise ValueError(f"{path}: expected an npz file of Green's functions, received {err}") from err
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise ValueError(f"{path}: expected arrays {list(needed)}, received {sorted(arrays)}: missing {missing}")
    sources, gauges = (tuple(str(name) for name in arrays[key]) for key in needed[:2])
    eta, shape = arrays["eta_m"], (len(sources), len(gauges), len(arrays["time_min"]))
    if eta.shape != shape or not np.array_equal(arrays["time_min"], np.arange(shape[2])):
        first = arrays["time_min"][:3].tolist()
        raise ValueError(f"{path}: expected eta_m {shape} at minutes 0, 1, 2, ..., received {eta.shape} at {first} ...")
    extra = {key: arrays[key].astype(float) for key in ("source_table", "gauge_lonlat") if key in arrays}
    return _build(sources, gauges, eta, **extra)


def _from_tables(folder: Path) -> GreensFunctions:
    gauges = [file.stem.removeprefix("eta_") for file in sorted(folder.glob("eta_*.csv"))]
    if not gauges:
        raise ValueError(f"{folder}: expected tables eta_<gauge>.csv and t_<gauge>.csv, received none")
    waves, sources, last = [], None, None
    for gauge in gauges:
        names, eta = _read_table(folder / f"eta_{gauge}.csv")
        time_names, time = _read_table(folder / f"t_{gauge}.csv")
        sources = names if sources is None else sources
        check_names(f"{folder}/eta_{gauge}.csv: sources", sources, names)
        check_names(f"{folder}/t_{gauge}.csv: sources", sources, time_names)
        if eta.shape != time.shape or np.any(np.diff(time, axis=0) <= 0) or time[0].max() > 0:
            raise ValueError(f"{folder}/t_{gauge}.csv: expected ascending minutes from 0 for {eta.shape} values of eta")
        end = int(np.floor(time[-1].min() + 1e-6))
        last = end if last is None else min(last, end)
        waves.append((time, eta))
    minutes = np.arange(last + 1)
    curves = [[np.interp(minutes, time[:, i], eta[:, i]) for time, eta in waves] for i in range(len(sources))]
    return _build(sources, gauges, np.array(curves))


def _read_table(path: Path) -> tuple[list[str], np.ndarray]:
    try:
        with open(path, newline="") as stream:
            header, *rows = [row for row in csv.reader(stream) if row]
        table = np.array(rows, dtype=float)
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected a CSV of numbers with a column a source, received {err}") from err
    if table.ndim != 2 or table.shape[1] != len(header):
        raise ValueError(f"{path}: expected {len(header)} columns, received {table.shape}")
    return [canonical_name(name) for name in header], table


def source_table(names: Sequence[str]) -> np.ndarray:
    """Geometry of unit sources, float64 [source, 8] with columns `SOURCE_COLUMNS`, from the packaged Cascadia table.

    A source outside that table has NaN, except for length and width: a unit source measures 100 x 50 km by definition.
    """
    text = (resources.files("seis_tf.data") / "unit_sources_cascadia.csv").read_text()
    known = {row["name"]: [float(row[c]) for c in SOURCE_COLUMNS] for row in csv.DictReader(text.splitlines())}
    other = [np.nan] * 6 + [UNIT_LENGTH_KM, UNIT_WIDTH_KM]
    return np.array([known.get(name, other) for name in names], dtype=float).reshape(-1, len(SOURCE_COLUMNS))


def moment_nm(
    weights_m: np.ndarray, area_m2: np.ndarray | float = UNIT_AREA_M2, settings: MagnitudeSettings = MagnitudeSettings()
) -> np.ndarray:
    """Seismic moment of slip on sources: [.., source] metres -> [..] N m."""
    return settings.rigidity_pa * np.sum(np.asarray(weights_m, dtype=float) * area_m2, axis=-1)


def magnitude(
    weights_m: np.ndarray, area_m2: np.ndarray | float = UNIT_AREA_M2, settings: MagnitudeSettings = MagnitudeSettings()
) -> np.ndarray:
    """Moment magnitude of slip on sources, 2/3 (log10 M0 - 9.05): [.., source] metres -> [..]; no slip gives -inf."""
    with np.errstate(divide="ignore"):
        return (np.log10(moment_nm(weights_m, area_m2, settings)) - settings.log10_moment_offset) * 2 / 3


def weights_for_magnitude(
    weights_m: np.ndarray,
    mw: np.ndarray | float,
    area_m2: np.ndarray | float = UNIT_AREA_M2,
    settings: MagnitudeSettings = MagnitudeSettings(),
) -> np.ndarray:
    """The same pattern of slip, scaled to a magnitude: [.., source], [..] -> [.., source].

    Raises:
        ValueError: the pattern has no slip at all, or negative slip.
    """
    weights, now = np.asarray(weights_m, dtype=float), moment_nm(weights_m, area_m2, settings)
    if np.any(weights < 0) or np.any(now <= 0):
        raise ValueError(f"slip: expected non-negative and not all zero, received smallest {weights.min():g} m")
    wanted = 10.0 ** (1.5 * np.asarray(mw, dtype=float) + settings.log10_moment_offset)
    return weights * (wanted / now)[..., np.newaxis]
