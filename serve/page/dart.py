"""An event for the page: buoys' files or an example -> the window that a model takes, and the answer as it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dart.unit_sources import EARTH_RADIUS_KM, GreensFunctions, load_greens
from seis_tf.dart.windows import DartEvent, outside_region
from seis_tf.serve.predict import uploads
from seis_tf.serve.predict.dart import reasons
from seis_tf.serve.server.servable import EXTRA, Arrays, Servable
from seis_tf.settings.data import DartRecordSettings
from seis_tf.settings.simulation import FakequakeSettings, SlipSettings
from seis_tf.synthetic.fakequakes import Fakequakes, simulate

Tree = dict[str, Any]
Isolated = Callable[..., Any]  # a function and its arguments -> its result, from a process that can be killed

_EXAMPLES = 3
_EXAMPLE_SEED = 2_000_003  # large, so that no data set made with a small seed has the same events
_LEVEL = 0.8  # of the band that is drawn
_KM_A_DEGREE = np.pi * EARTH_RADIUS_KM / 180


@dataclass(frozen=True)
class Window:
    """An event and, where it is simulated, its truth.

    Attributes:
        event: window and mask.
        epicentre: degrees east (0 to 360) and north, where it is known.
        truth: the simulated events, of which `number` is this one; None for records.
        number: of the event in `truth`.
    """

    event: DartEvent
    epicentre: tuple[float, float] | None = None
    truth: Fakequakes | None = None
    number: int = 0


def takes(servable: Servable) -> bool:
    """Whether the page can ask this version about files."""
    return servable.metadata.get("task") == "dart"


def about(servable: Servable) -> str:
    """What kind of records the model takes, in words."""
    buoys = ", ".join(servable.metadata["buoy_names"])
    kinds = "NDBC DART text (dates, with the tide) or CSV with seconds after the origin (detided)"
    return f"Records of buoys {buoys}, the first {servable.metadata['window_min']} minutes after the origin: {kinds}."


def examples(servable: Servable) -> list[str]:
    """Titles of the examples; none where the simulator can't simulate the model's buoys."""
    made = _simulated_for(servable)
    return [] if made is None else [f"Simulated Mw {mw:.2f}" for mw in made.mw]


def record_of_example(servable: Servable, number: int) -> Window:
    """One of the examples.

    Raises:
        ValueError: the model has no examples.
    """
    made = _simulated_for(servable)
    if made is None:
        raise ValueError("example: expected none for this model, as its buoys can't be simulated")
    window = made.windows_m[number, servable.metadata["step_min"] - 1 :: servable.metadata["step_min"]]
    mask = np.isfinite(window)
    event = DartEvent(made.ids[number], made.buoy_names, np.where(mask, window, 0), mask)
    return Window(event, truth=made, number=number)


def record_of_files(
    servable: Servable, paths: list[Path], isolated: Isolated, *, resample: bool, origin_time: str
) -> Window:
    """The window of one event's files, read by `uploads.read_event`.

    Raises:
        ValueError: none of the files can be used; says why. Of several, those that can't are left out, and the event
            says why.
    """
    stored = servable.metadata["preprocessing"]["record"] | {"max_level_m": servable.metadata["max_level_m"]}
    # An export of before there was quality control answers as it did.
    settings = DartRecordSettings.model_validate({"quality": None} | stored)
    greens = servable.folder / EXTRA / "greens.npz"
    return Window(*isolated(uploads.read_event, paths, origin_time, settings, greens))


def question(servable: Servable, window: Window) -> tuple[str, Arrays]:
    """Signature and inputs that ask about a window."""
    level = window.event.window_m.astype(np.float32)[None]
    return "masked", {"water_level_m": level, "mask": window.event.mask.astype(np.float32)[None]}


def picture(servable: Servable, window: Window, answer: Arrays) -> Tree:
    """All that the page draws."""
    metadata, event = servable.metadata, window.event
    one = {name: values[0] for name, values in answer.items()}
    levels = metadata["interval_levels"]
    chosen = levels.index(_LEVEL) if _LEVEL in levels else len(levels) - 1
    truth = window.truth
    reason, without_intervals = reasons(metadata, event, one)
    has_intervals = bool(levels) and not without_intervals
    near = _greens(servable.folder).select(None, event.buoy_names)
    region = outside_region(near, epicentre_lonlat=window.epicentre, window_m=event.window_m, mask=event.mask)
    gauges = metadata["forecast_gauges"]
    forecast = []
    for column, gauge in enumerate(gauges):
        curve = {"gauge": gauge, "values": _rounded(one["forecast_m"][:, column])}
        if has_intervals and "forecast_m_lower" in one:
            curve["lower"] = _rounded(one["forecast_m_lower"][:, column, chosen])
            curve["upper"] = _rounded(one["forecast_m_upper"][:, column, chosen])
        if truth is not None and gauge in truth.gauge_names:
            curve["truth"] = _rounded(truth.truth_m[window.number, :, truth.gauge_names.index(gauge)])
        forecast.append(curve)
    minutes = np.arange(1, len(event.window_m) + 1) * metadata["step_min"]
    seen = np.where(event.mask, event.window_m, np.nan)
    return {
        "task": "dart",
        "valid": not reason,
        "reason": reason,
        "mw": None if reason else float(one["mw"]),
        "mw_interval": [float(one[f"mw_{end}"][chosen]) for end in ("lower", "upper")] if has_intervals else None,
        "intervals_reason": without_intervals if levels else "",
        "mw_truth": None if truth is None else float(truth.mw[window.number]),
        "level": levels[chosen] if has_intervals else None,
        "buoys_used": list(event.buoys_used),
        "left_out": list(event.left_out),
        "notes": list(event.notes),
        "masked": [asdict(masked) for masked in event.masked],
        "outside": region.outside,
        "region": region.reason,
        "window_min": metadata["window_min"],
        "buoys": [
            {"name": name, "minute": minutes.tolist(), "values": _rounded(seen[:, column])}
            for column, name in enumerate(event.buoy_names)
        ],
        "forecast": forecast,
        "map": _map(metadata, one["weights_m"]),
    }


def _rounded(values: np.ndarray) -> list[float | None]:
    """Tenths of millimetres; None for a missing sample, which JSON has no number for."""
    return [round(value, 4) if np.isfinite(value) else None for value in values.tolist()]


def _map(metadata: Tree, slip_m: np.ndarray) -> Tree:
    table = metadata["source_table"]
    sources = []
    for number, (name, slip) in enumerate(zip(metadata["source_names"], slip_m.tolist(), strict=True)):
        source = {column: values[number] for column, values in table.items()}
        corners = None if None in source.values() else corners_of(source)
        sources.append({"name": name, "slip_m": round(slip, 3), "corners": corners})
    places = zip(metadata["forecast_gauges"], metadata["gauge_lonlat"], strict=True)
    gauges = [{"name": name, "lonlat": place} for name, place in places if None not in place]
    return {"sources": sources, "gauges": gauges, "coast": coast()}


def corners_of(source: dict[str, float]) -> list[list[float]]:
    """Corners of a unit source seen from above, [[lon, lat], ...] in degrees, from the lower edge's centre upwards.

    Args:
        source: `lon` and `lat` of the centre of the bottom edge (NOAA's convention), `strike_deg`, `dip_deg`,
            `length_km`, `width_km`.
    """
    strike, dip = np.radians(source["strike_deg"]), np.radians(source["dip_deg"])
    along = np.array([np.sin(strike), np.cos(strike)]) * source["length_km"] / 2
    # The plane dips to the right of its strike: its upper edge is to the left.
    upwards = np.array([-np.cos(strike), np.sin(strike)]) * source["width_km"] * np.cos(dip)
    kilometres = np.array([-along, along, along + upwards, -along + upwards])
    degrees = kilometres / (_KM_A_DEGREE * np.array([np.cos(np.radians(source["lat"])), 1]))
    return np.round(degrees + [source["lon"], source["lat"]], 4).tolist()


@lru_cache(maxsize=1)
def coast() -> list[list[list[float]]]:
    """Coastlines of the north-east Pacific, [[lon, lat], ...] each: where the packaged bathymetry crosses 0."""
    from matplotlib.figure import Figure

    with (
        resources.as_file(resources.files("seis_tf.data") / "bathymetry_nepac_6min.npz") as path,
        np.load(path, allow_pickle=False) as file,
    ):
        lines = Figure().add_subplot().contour(file["lon"], file["lat"], file["z"], [0]).allsegs[0]
    # Ponds and islets of a few cells can't be seen on a map of this size.
    return [np.round(line, 2).tolist() for line in lines if len(line) > 20]


@lru_cache(maxsize=8)
def _greens(folder: Path) -> GreensFunctions:
    return load_greens(folder / EXTRA / "greens.npz")


def _simulated_for(servable: Servable) -> Fakequakes | None:
    return _simulated(servable.folder, tuple(servable.metadata["buoy_names"]), servable.metadata["window_min"])


@lru_cache(maxsize=4)
def _simulated(folder: Path, buoys: tuple[str, ...], window_min: int) -> Fakequakes | None:
    """A few events of rising magnitude, the last with gaps."""
    settings = FakequakeSettings(
        buoys=buoys, record_min=window_min, gap_probability=0.5, slip=SlipSettings(mw_min=8.2, mw_max=9.1)
    )
    try:
        return simulate(settings, _greens(folder), _EXAMPLES, _EXAMPLE_SEED)
    except ValueError:
        return None
