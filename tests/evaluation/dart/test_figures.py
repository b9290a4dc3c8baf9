"""DART figures: each has its title, axes with units, and draws what it was given and nothing that is missing."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection, PolyCollection

from seis_tf.dart.unit_sources import SOURCE_COLUMNS, GreensFunctions, distance_km, load_greens
from seis_tf.evaluation.dart import figures as dart_figures
from seis_tf.evaluation.dart import maps as dart_maps
from seis_tf.evaluation.dart.maps import outlines, slip_maps
from seis_tf.evaluation.report.page import as_png

BUOYS = ("46404", "46407", "46419")


@pytest.fixture(scope="module")
def greens():
    return load_greens()


@pytest.fixture(scope="module")
def event(greens):
    weights = np.zeros(31)
    weights[3:9] = 8
    wave = greens.waves(weights)
    mask = np.ones((45, 3), bool)
    mask[10:20, 0], mask[:, 2] = False, False
    return np.where(mask, wave[1:46, :3], 0), mask, wave, weights


def draw(event, greens, **changed):
    level, mask, wave, _ = event
    given = {"truth_m": wave, "forecasts_m": {"network": 0.8 * wave, "smoothed_nnls": 1.1 * wave}} | changed
    forecasts = given.pop("forecasts_m")
    return dart_figures.event_waves(level, mask, BUOYS, greens.gauge_names, forecasts, 45, "Mw 8.6", **given)


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def test_each_gauge_has_a_panel_with_record_truth_and_forecasts(event, greens):
    figure = draw(event, greens)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == [
        "46404, 35 of 45 samples", "46409, ahead", "46407", "46410, ahead", "46419, silent", "46411, ahead",
    ]  # fmt: skip
    assert figure.get_suptitle().strip() == "Mw 8.6"
    _, _, wave, _ = event
    seen, ahead = lines_of(panels["46407"]), lines_of(panels["46409, ahead"])
    assert set(seen) == {"end of the window", "truth", "network", "smoothed NNLS", "recorded"}
    assert set(ahead) == set(seen) - {"recorded"}
    assert seen["network"].get_ydata() == pytest.approx(80 * wave[:, 1], rel=1e-5)  # cm
    assert ahead["truth"].get_ydata() == pytest.approx(100 * wave[:, 3], rel=1e-5)
    assert seen["end of the window"].get_xdata()[0] == 45
    assert panels["46404, 35 of 45 samples"].get_ylabel() == "water (cm)"
    assert panels["46419, silent"].get_xlabel() == "time after the origin (min)"


def test_a_missing_sample_is_not_drawn_as_calm(event, greens):
    level, mask, _, _ = event
    figure = draw(event, greens)
    recorded = lines_of(figure.axes[0])["recorded"].get_ydata()
    assert np.array_equal(np.isnan(recorded), ~mask[:, 0])
    assert recorded[mask[:, 0]] == pytest.approx(100 * level[mask[:, 0], 0])


def test_the_first_sample_is_one_step_after_the_origin(event, greens):
    level, mask, wave, _ = event
    figure = dart_figures.event_waves(
        level[:9], mask[:9], BUOYS, greens.gauge_names, {"nnls": wave}, 45, "5-minute steps", step_min=5
    )
    assert lines_of(figure.axes[0])["recorded"].get_xdata().tolist() == list(range(5, 46, 5))
    assert "truth" not in lines_of(figure.axes[0])  # nobody knows it


def test_an_answer_far_below_zero_stands_at_the_edge_with_its_number():
    rows = [("network", 0.7, (0.65, 0.75)), ("nnls", -1011.9, (-3000.0, -5.0)), ("mean", None, None)]
    figure = dart_figures.scores_by_method(rows, "Wave to come")
    axes = figure.axes[0]
    points = {line.get_marker(): line.get_xdata()[0] for line in axes.lines if line.get_marker() != "None"}
    assert points == {"o": 0.7, "<": dart_figures.LOWEST}
    assert [text.get_text() for text in axes.texts] == ["0.700", "-1.01e+03"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["network", "plain NNLS"]
    assert axes.get_xlabel() == "explained variance" and axes.get_xlim()[0] > -1


def test_scatter_has_true_values_up_and_the_line_of_its_slope():
    rng = np.random.default_rng(0)
    true = rng.gamma(1, 0.1, 50)
    predicted = {"network": 0.6 * true, "nnls": 1.2 * true}
    figure = dart_figures.scatter(
        true, predicted, "m", "Peaks", slopes={"network": 1 / 0.6, "nnls": None}, threshold=0.1
    )
    network, nnls = figure.axes
    points = np.asarray(next(c for c in network.collections if isinstance(c, PathCollection)).get_offsets())
    assert points[:, 0] == pytest.approx(0.6 * true) and points[:, 1] == pytest.approx(true)
    fitted = lines_of(network)["slope 1.67"]
    assert np.diff(fitted.get_ydata()) / np.diff(fitted.get_xdata()) == pytest.approx(1 / 0.6)
    assert fitted.get_ydata() == pytest.approx(fitted.get_xdata() / 0.6)  # through these points
    assert not any(label.startswith("slope") for label in lines_of(nnls))
    assert network.get_ylabel() == "true (m)" and network.get_xlabel() == "predicted (m)"
    assert network.get_xlim() == network.get_ylim() == nnls.get_xlim()


def test_conditions_and_windows_leave_out_what_there_is_not():
    rows = {"as recorded": {"network": 0.8, "nnls": 0.5}, "without 46404": {"network": 0.6, "nnls": None}}
    figure = dart_figures.by_condition(rows, "Explained")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(rows)
    found = lines_of(figure.axes[0])
    assert found["network"].get_xdata().tolist() == [0.8, 0.6] and found["plain NNLS"].get_xdata().tolist() == [0.5]
    scores = {"Explained": {"network": [0.5, 0.7, 0.8], "nnls": [-4e4, -9.0, 0.4], "hybrid": [None, 0.8, 0.9]}}
    slope = {"Slope": {"network": [1.2, 1.1, 1.0]}}
    figure = dart_figures.against_window([15, 30, 45], scores | slope, {"Slope": 1.0})
    first, second = figure.axes[:2]
    assert first.get_title(loc="left") == "Explained" and first.get_xlabel() == "window (min)"
    assert lines_of(first)["network"].get_xdata().tolist() == [15, 30, 45]
    assert np.isnan(lines_of(first)["hybrid"].get_ydata()[0])
    assert first.get_ylim()[0] > -20  # the hopeless answer does not squeeze the others
    assert [line.get_ydata() for line in second.lines if line.get_linestyle() == ":"] == [[1.0, 1.0]]


def test_outlines_meet_those_of_the_neighbours(greens):
    corners = outlines(greens.source_table)
    names, position = list(greens.source_names), greens.source_table[:, :2]
    # Corners: start and end of the bottom edge, then end and start of the upper edge.
    bottom, top = corners[:, :2].mean(axis=1), corners[:, 2:].mean(axis=1)
    assert bottom == pytest.approx(position)
    for number in range(54, 66):
        if f"acszb{number}" in names and f"acsza{number}" in names:
            upper, lower = names.index(f"acszb{number}"), names.index(f"acsza{number}")
            # The deeper source begins where the shallower one ends.
            assert distance_km(top[lower], position[upper]) < 3
            assert top[lower][0] < bottom[lower][0]  # up-dip is to the west
    length = distance_km(corners[:, 0], corners[:, 1])
    width = distance_km(bottom, top)
    dip = greens.source_table[:, SOURCE_COLUMNS.index("dip_deg")]
    assert length == pytest.approx(np.full(31, 100.0), rel=0.01)
    assert width == pytest.approx(50 * np.cos(np.radians(dip)), rel=0.01)


def test_maps_share_their_colours_and_show_coast_and_near_buoys(event, greens):
    weights = event[3]
    slips = {"truth, Mw 8.6": weights, "network": weights[::-1] / 2}
    figure = slip_maps(slips, greens, dart_maps.packaged_bathymetry(), "an event")
    maps = [axes for axes in figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in maps] == list(slips)
    for axes, slip in zip(maps, slips.values(), strict=True):
        drawn = next(c for c in axes.collections if isinstance(c, PolyCollection))
        assert np.asarray(drawn.get_array()) == pytest.approx(slip) and drawn.get_clim() == (0, 8)
        assert {text.get_text() for text in axes.texts} == {*BUOYS, "46411"}  # the others are in Alaska
        assert len(axes.collections) > 1  # coast and land
    assert figure.axes[-1].get_ylabel() == "slip (m)"
    assert maps[0].xaxis.get_major_formatter()(234.0, 0) == "126°W"


def test_sources_without_positions_are_drawn_on_their_grid(greens):
    table = np.full((3, 8), np.nan)
    names = ("acsza57", "acsza58", "acszb57")
    bare = GreensFunctions(names, ("x",), np.arange(2), np.zeros((3, 1, 2), np.float32), table, np.full((1, 2), np.nan))
    figure = slip_maps({"slip": np.array([1.0, 2.0, 0.0])}, bare, None, "grid")
    shapes = next(c for c in figure.axes[0].collections if isinstance(c, PolyCollection)).get_paths()
    centres = np.array([path.vertices[:4].mean(axis=0) for path in shapes])
    assert centres.tolist() == [[57, -1], [58, -1], [57, 0]]  # b is the row above a


def test_detidings_are_drawn_in_centimetres_with_the_windows_end():
    minutes = np.arange(0.0, 100)
    figure = dart_figures.detidings({"harmonic": (minutes, 0.01 * minutes), "mean": (minutes, minutes)}, 60, "21418")
    found = lines_of(figure.axes[0])
    assert found["harmonic"].get_ydata() == pytest.approx(minutes)
    assert {"harmonic", "mean"} < set(found) and any(line.get_xdata()[0] == 60 for line in figure.axes[0].lines)
    assert figure.axes[0].get_ylabel() == "water (cm)"


def test_all_can_be_drawn(event, greens):
    figures = [
        draw(event, greens),
        draw(event, greens, truth_m=None, forecasts_m={}),
        slip_maps({"no slip": np.zeros(31)}, greens, None, "calm"),
        dart_figures.scatter(np.array([8.0]), {"network": np.array([8.0])}, "Mw", "One event"),
        dart_figures.against_window([45], {"Explained": {"network": [0.5]}}),
    ]
    assert all(as_png(figure).startswith(b"\x89PNG") for figure in figures)
