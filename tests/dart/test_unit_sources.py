"""Names, Green's functions and magnitude, against hand derivations and self-made functions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from seis_tf.dart.unit_sources import (
    NEAR_BUOYS,
    GreensFunctions,
    grid_position,
    load_greens,
    load_parts,
    magnitude,
    moment_nm,
    source_table,
    weights_for_magnitude,
)
from seis_tf.names import canonical_name, check_names
from seis_tf.settings.simulation import MagnitudeSettings


@pytest.fixture(scope="module")
def greens() -> GreensFunctions:
    return load_greens()


@pytest.mark.parametrize(
    ("name", "long"), [("ac57a", "acsza57"), ("acszz62", "acszz62"), (" AC07B ", "acszb7"), ("acszb7", "acszb7")]
)
def test_both_notations_of_a_source_give_one_name(name, long):
    assert canonical_name(name) == long


@pytest.mark.parametrize("name", ["", "57a", "ac57", "acsz57a", "acsza", "ac57a.1", "46404"])
def test_a_name_in_neither_notation_is_refused(name):
    with pytest.raises(ValueError, match="expected a name like 'acsza57' or 'ac57a', received"):
        canonical_name(name)


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (["46407", "46404", "46419"], "another order"),
        (["46404", "46407"], r"missing \['46419'\]"),
        (["46404", "46407", "46419", "46411"], r"unknown \['46411'\]"),
        (["46404", "46404", "46407", "46419"], r"named twice \['46404'\]"),
        (["46404", "", "46419"], r"not named; missing \['46407'\]"),
        (None, "not named"),
        ([], "not named"),
    ],
)
def test_different_name_lists_are_printed_with_the_reason(received, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        check_names("model: buoys", NEAR_BUOYS, received)
    assert str(caught.value).startswith(f"model: buoys: expected {list(NEAR_BUOYS)}, received {list(received or [])}: ")


def test_equal_name_lists_pass_whatever_the_container():
    check_names("buoys", NEAR_BUOYS, list(NEAR_BUOYS))


def test_the_grid_counts_rows_from_the_trench_downwards():
    assert grid_position(["acsza54", "ac55b", "acszz62"]).tolist() == [[54, 1], [55, 0], [62, 2]]
    with pytest.raises(ValueError, match=r"expected one subduction zone, received \['ac', 'cs'\]"):
        grid_position(["acsza54", "cssza54"])


def test_the_packaged_functions_are_what_the_issue_lists(greens):
    expected = [f"acsza{n}" for n in range(54, 66)]
    expected += [f"acszb{n}" for n in range(55, 66)] + [f"acszz{n}" for n in range(55, 63)]
    assert list(greens.source_names) == expected
    assert greens.gauge_names == (*NEAR_BUOYS, "46409", "46410", "46411")
    assert greens.eta_m.shape == (31, 6, 361) and greens.eta_m.dtype == np.float32
    # Water column: nothing has passed a buoy at minute 0, whatever the sea floor under it did.
    assert np.all(greens.eta_m[:, :, 0] == 0)
    # Largest amplitude over sources in the runs' own record: 3.99 cm at 46404, 5.35 cm at 46419, per metre of slip; the
    # static displacement taken out is at most 1.2 mm.
    peaks = np.abs(greens.eta_m).max(axis=(0, 2))
    assert peaks[0] == pytest.approx(0.0399, abs=1.3e-3)
    assert peaks[2] == pytest.approx(0.0535, abs=1.3e-3)


def test_the_packaged_geometry_is_noaas(greens):
    row = dict(zip(("lon", "lat", "depth_km", "strike_deg"), greens.source_table[3], strict=False))
    assert row == {"lon": 234.9041, "lat": 48.25964, "depth_km": 12.82, "strike_deg": 341.0}
    assert np.all(greens.area_m2 == 5e9)
    assert greens.gauge_lonlat[1].tolist() == [231.1683, 42.6817]


def test_select_gives_the_order_asked_for(greens):
    few = greens.select(["ac60a", "acszb55"], ["46411", "46404"])
    assert few.source_names == ("acsza60", "acszb55") and few.gauge_names == ("46411", "46404")
    place = greens.source_names.index("acszb55")
    assert np.array_equal(few.eta_m[1, 0], greens.eta_m[place, 5])
    assert np.array_equal(few.source_table[1], greens.source_table[place])
    assert np.array_equal(few.gauge_lonlat[0], greens.gauge_lonlat[5])


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ({"sources": ["acsza53"]}, r"sources: expected some of \['acsza54', .*received \['acsza53'\]: unknown"),
        (
            {"gauges": ["46404", "21413"]},
            r"gauges: expected some of \['46404', .*received \['46404', '21413'\]: unknown",
        ),
        ({"gauges": ["46404", "46404"]}, "a name is given twice"),
    ],
)
def test_select_refuses_what_it_does_not_have(greens, wish, reason):
    with pytest.raises(ValueError, match=reason):
        greens.select(**wish)


def test_waves_are_the_plain_sum_over_sources(greens):
    weights = np.random.default_rng(0).random((2, 3, 31))
    waves = greens.waves(weights)
    assert waves.shape == (2, 3, 361, 6)
    slow = sum(weights[1, 2, s] * greens.eta_m[s].astype(float) for s in range(31))
    assert np.allclose(waves[1, 2], slow.T, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"expected \[\.\., 31 sources\], received \(30,\)"):
        greens.waves(np.zeros(30))


def test_the_matrix_is_the_window_of_the_waves(greens):
    near = greens.select(gauges=NEAR_BUOYS)
    weights = np.random.default_rng(1).random(31)
    matrix = near.matrix(45, step_min=3)
    assert matrix.shape == (15, 3, 31)
    assert np.allclose(matrix @ weights, near.waves(weights)[3:46:3], rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="window: expected a multiple of 2 up to 360 minutes, received 45"):
        near.matrix(45, step_min=2)
    with pytest.raises(ValueError, match="received 361"):
        near.matrix(361)


def test_one_metre_on_one_source_is_mw_7_501():
    # 4e10 Pa x 100 km x 50 km x 1 m = 2e20 N m; 2/3 (log10 2e20 - 9.05) = 2/3 (20.30103 - 9.05) = 7.50069.
    assert moment_nm(np.array([1.0])) == pytest.approx(2e20)
    assert magnitude(np.array([1.0])) == pytest.approx(7.50069, abs=1e-5)
    iaspei = MagnitudeSettings(log10_moment_offset=9.1)
    assert magnitude(np.array([1.0]), settings=iaspei) == pytest.approx(7.467, abs=5e-4)
    assert magnitude(np.zeros((2, 31))).tolist() == [-np.inf, -np.inf]


def test_weights_for_magnitude_keep_the_pattern():
    pattern = np.random.default_rng(2).random((4, 31))
    scaled = weights_for_magnitude(pattern, np.array([7.5, 8.0, 8.7, 9.2]))
    assert np.allclose(magnitude(scaled), [7.5, 8.0, 8.7, 9.2], atol=1e-12)
    assert np.allclose(scaled / scaled.sum(-1, keepdims=True), pattern / pattern.sum(-1, keepdims=True))
    with pytest.raises(ValueError, match="slip: expected non-negative and not all zero, received smallest -1 m"):
        weights_for_magnitude(np.array([-1.0, 3.0]), 8.0)


def test_a_users_npz_loses_its_static_displacement(tmp_path):
    eta = np.random.default_rng(3).random((2, 1, 5))
    path = tmp_path / "mine.npz"
    np.savez(path, source_names=["ki01a", "kiszb01"], gauge_names=["21413"], time_min=np.arange(5), eta_m=eta)
    mine = load_greens(path)
    assert mine.source_names == ("kisza1", "kiszb1")
    assert np.allclose(mine.eta_m, eta - eta[:, :, :1], atol=1e-7)
    # Not in the packaged table: no place, but the definition's size.
    assert np.isnan(mine.source_table[:, :6]).all() and np.all(mine.area_m2 == 5e9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"time_min": np.arange(5) * 2},
            r"expected eta_m \(2, 1, 5\) at minutes 0, 1, 2, .*received .* at \[0, 2, 4\]",
        ),
        ({"gauge_names": ["21413", "21418"]}, r"expected eta_m \(2, 2, 5\).*received \(2, 1, 5\)"),
        ({"source_names": ["ki01a", "kisza01"]}, "sources: expected each name once"),
        ({"eta_m": np.full((2, 1, 5), np.nan)}, "expected finite values, received a gap for kisza1 at 21413"),
        ({"eta_m": None}, r"missing \['eta_m'\]"),
    ],
)
def test_a_wrong_npz_is_refused_by_name(tmp_path, change, reason):
    good = {
        "source_names": ["ki01a", "kiszb01"],
        "gauge_names": ["21413"],
        "time_min": np.arange(5),
        "eta_m": np.zeros((2, 1, 5)),
    }
    path = tmp_path / "mine.npz"
    np.savez(path, **{key: value for key, value in (good | change).items() if value is not None})
    with pytest.raises(ValueError, match=reason):
        load_greens(path)


def test_a_file_that_is_no_npz_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    path.write_text("no archive")
    with pytest.raises(ValueError, match=r"mine\.npz: expected an npz file of Green's functions"):
        load_greens(path)


def write_tables(folder, gauge, names, minutes, eta):
    for kind, values in (("eta", eta), ("t", np.repeat(minutes[:, np.newaxis], len(names), axis=1))):
        with open(folder / f"{kind}_{gauge}.csv", "w", newline="") as stream:
            csv.writer(stream).writerows([names, *values.tolist()])


def test_a_folder_of_tables_comes_to_whole_minutes(tmp_path):
    names = ["ac57a", "ac58a"]
    # Straight lines sampled every 40 s: linear interpolation is exact.
    minutes = np.arange(0, 10.1, 2 / 3)
    for gauge, slope in (("hilo1", 0.1), ("46404", 0.2)):
        write_tables(tmp_path, gauge, names, minutes, np.stack([slope * minutes, 1 - slope * minutes], axis=1))
    tables = load_greens(tmp_path)
    assert tables.source_names == ("acsza57", "acsza58") and tables.gauge_names == ("46404", "hilo1")
    assert np.allclose(tables.eta_m[0, 0], 0.2 * np.arange(11), atol=1e-6)
    assert np.allclose(tables.eta_m[1, 1], -0.1 * np.arange(11), atol=1e-6)
    assert np.array_equal(tables.source_table, source_table(["acsza57", "acsza58"]))


def test_tables_with_another_order_of_sources_are_refused(tmp_path):
    minutes = np.arange(5.0)
    write_tables(tmp_path, "46404", ["ac57a", "ac58a"], minutes, np.zeros((5, 2)))
    write_tables(tmp_path, "46407", ["ac58a", "ac57a"], minutes, np.zeros((5, 2)))
    with pytest.raises(ValueError, match=r"eta_46407\.csv: sources: expected \['acsza57', 'acsza58'\].*another order"):
        load_greens(tmp_path)


def test_tables_without_their_times_are_refused(tmp_path):
    with pytest.raises(ValueError, match="expected tables eta_<gauge>.csv and t_<gauge>.csv, received none"):
        load_greens(tmp_path)
    write_tables(tmp_path, "46404", ["ac57a"], np.arange(5.0) + 1, np.zeros((5, 1)))
    with pytest.raises(ValueError, match=r"t_46404\.csv: expected ascending minutes from 0"):
        load_greens(tmp_path)


def test_parts_of_sources_are_read_and_held_to_the_functions_they_go_with(tmp_path):
    greens = load_greens()
    parts = np.repeat(greens.eta_m[:, np.newaxis] / 4, 4, axis=1)
    named = {"source_names": np.array(greens.source_names), "gauge_names": np.array(greens.gauge_names)}
    np.savez(tmp_path / "parts.npz", parts_m=parts + 0.5, **named)
    # Like all functions here: what they hold at minute 0 is subtracted.
    np.testing.assert_allclose(load_parts(tmp_path / "parts.npz", greens), parts, atol=1e-6)
    np.savez(tmp_path / "short.npz", parts_m=parts[..., :99], **named)
    with pytest.raises(
        ValueError, match=r"short.npz: expected parts_m .* \(31, 4, 6, 361\), received \(31, 4, 6, 99\)"
    ):
        load_parts(tmp_path / "short.npz", greens)
    np.savez(tmp_path / "order.npz", parts_m=parts, **named | {"gauge_names": named["gauge_names"][::-1]})
    with pytest.raises(ValueError, match="order.npz: gauges: expected .*another order"):
        load_parts(tmp_path / "order.npz", greens)
    with pytest.raises(ValueError, match="expected an npz of parts_m, source_names and gauge_names, received"):
        load_parts(Path(__file__), greens)
