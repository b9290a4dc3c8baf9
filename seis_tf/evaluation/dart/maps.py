"""Maps of slip: unit sources where they lie, coloured by slip, with coast and buoys."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from seis_tf.dart.unit_sources import EARTH_RADIUS_KM, SOURCE_COLUMNS, GreensFunctions, grid_position
from seis_tf.evaluation.report.figures import INK, QUIET, new_figure, styled

_KM_PER_DEGREE = np.pi * EARTH_RADIUS_KM / 180
_MARGIN_DEG = 0.7
_NEAR_DEG = 5.0  # a buoy that is no farther from the sources is on the map
Bathymetry = tuple[np.ndarray, np.ndarray, np.ndarray]


@functools.cache
def packaged_bathymetry() -> Bathymetry:
    """Latitude, longitude (degrees east, 0 to 360) and height in metres [lat, lon] of the north-east Pacific."""
    with (
        resources.as_file(resources.files("seis_tf.data") / "bathymetry_nepac_6min.npz") as path,
        np.load(path) as file,
    ):
        return file["lat"].astype(float), file["lon"].astype(float), file["z"].astype(float)


def outlines(source_table: np.ndarray) -> np.ndarray:
    """Unit sources as seen from above.

    Args:
        source_table: [source, 8], columns `unit_sources.SOURCE_COLUMNS`; lon, lat are the centre of the bottom edge.

    Returns:
        float64 [source, corner, 2], degrees east and north, round the rectangle from the bottom edge's start along the
        strike. On a flat earth at the bottom edge's latitude, which is good for 100 km.
    """
    lon, lat, strike, dip, length, width = (
        source_table[:, SOURCE_COLUMNS.index(name)]
        for name in ("lon", "lat", "strike_deg", "dip_deg", "length_km", "width_km")
    )
    strike, across = np.radians(strike), width * np.cos(np.radians(dip))
    along = np.stack([np.sin(strike), np.cos(strike)], axis=1) * length[:, None] / 2  # km east and north
    # The fault dips to the right of its strike, so the upper edge is to the left.
    upwards = np.stack([-np.cos(strike), np.sin(strike)], axis=1) * across[:, None]
    corners = np.stack([-along, along, along + upwards, upwards - along], axis=1)
    degrees = corners / _KM_PER_DEGREE
    degrees[..., 0] /= np.cos(np.radians(lat))[:, None]
    return np.stack([lon, lat], axis=1)[:, None] + degrees


@styled
def slip_maps(
    slips_m: Mapping[str, np.ndarray], greens: GreensFunctions, bathymetry: Bathymetry | None, title: str
) -> Figure:
    """Slip of several answers beside each other, on one scale of colours.

    Args:
        slips_m: title of a map to slip [source].
        greens: where sources and gauges lie. Without positions the sources are drawn on their grid.
        bathymetry: its zero contour is the coast; None for none.
        title: over the figure.
    """
    known = np.isfinite(greens.source_table).all()
    shapes = outlines(greens.source_table) if known else _grid_cells(greens.source_names)
    largest = max(max(float(slip.max()) for slip in slips_m.values()), 1e-3)
    norm = Normalize(0, largest)
    box = _box(shapes, greens.gauge_lonlat if known else np.zeros((0, 2)))
    stretch = 1 / np.cos(np.radians((box[2] + box[3]) / 2)) if known else 1.0
    width = 9.6 / len(slips_m) - 0.5
    ratio = stretch * (box[3] - box[2]) / (box[1] - box[0])
    height = min(width * ratio, 5.0)
    # Few maps of a long coast are narrower than the page.
    figure = new_figure(min(len(slips_m) * (height / ratio + 0.7) + 1.2, 9.6), height + 0.9)
    panels = figure.subplots(1, len(slips_m), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, slip) in zip(panels, slips_m.items(), strict=True):
        axes.grid(False)
        if known:
            _draw_land(axes, bathymetry, box)
        axes.add_collection(
            PolyCollection(shapes, array=slip, cmap="magma_r", norm=norm, edgecolors=QUIET, linewidths=0.4, zorder=2)
        )
        axes.set(xlim=box[:2], ylim=box[2:], title=name)
        axes.title.set_size(9.5)
        if known:
            _draw_gauges(axes, greens, box)
            axes.set_aspect(stretch)
            axes.xaxis.set_major_formatter(lambda lon, _: f"{360 - lon:g}°W" if lon > 180 else f"{lon:g}°E")
            axes.yaxis.set_major_formatter(lambda lat, _: f"{lat:g}°N" if lat >= 0 else f"{-lat:g}°S")
            axes.tick_params(labelsize=8)
        else:
            axes.set(xticks=[], yticks=[], aspect="equal")
    bar = figure.colorbar(ScalarMappable(norm, "magma_r"), ax=panels, pad=0.01, shrink=0.8, aspect=30)
    bar.set_label("slip (m)")
    figure.suptitle(f"{title}\n", x=0.01, ha="left", size=11, weight="bold", linespacing=0.6)
    return figure


def _box(shapes: np.ndarray, gauges: np.ndarray) -> tuple[float, float, float, float]:
    """West, east, south, north of a map that holds the sources and the buoys near them."""
    corners = shapes.reshape(-1, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = gauges[np.all((gauges > low - _NEAR_DEG) & (gauges < high + _NEAR_DEG), axis=1)]
    points = np.concatenate([corners, near])
    (west, south), (east, north) = points.min(axis=0) - _MARGIN_DEG, points.max(axis=0) + _MARGIN_DEG
    return float(west), float(east), float(south), float(north)


def _grid_cells(names: Sequence[str]) -> np.ndarray:
    """Squares [source, corner, 2] on the sources' grid: numbers to the right, rows downwards."""
    place = grid_position(names) * [1, -1]
    return place[:, None] + np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def _draw_land(axes: Axes, bathymetry: Bathymetry | None, box: Sequence[float]) -> None:
    if bathymetry is None:
        return
    lat, lon, height = bathymetry
    rows = (lat >= box[2] - 0.5) & (lat <= box[3] + 0.5)
    columns = (lon >= box[0] - 0.5) & (lon <= box[1] + 0.5)
    if rows.sum() > 1 and columns.sum() > 1:
        part = (lon[columns], lat[rows], height[np.ix_(rows, columns)])
        axes.contourf(*part, levels=[0, 1e5], colors=["#e9e4d8"], zorder=1)
        axes.contour(*part, levels=[0], colors=[INK], linewidths=0.7, zorder=3)


def _draw_gauges(axes: Axes, greens: GreensFunctions, box: Sequence[float]) -> None:
    for name, (lon, lat) in zip(greens.gauge_names, greens.gauge_lonlat, strict=True):
        if box[0] < lon < box[1] and box[2] < lat < box[3]:
            axes.plot(lon, lat, "v", color=INK, ms=5, zorder=4)
            axes.annotate(name, (lon, lat), (0, -9), textcoords="offset points", ha="center", size=7)
