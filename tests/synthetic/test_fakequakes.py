"""Simulated earthquakes: slip statistics against formulas, waves against the slow way, files against the arrays."""

from __future__ import annotations

import csv
import json
from datetime import datetime

import numpy as np
import pytest
from scipy import integrate

from seis_tf.dart.unit_sources import GreensFunctions, distance_km, grid_position, load_greens, magnitude
from seis_tf.settings.simulation import FakequakeSettings, SlipSettings
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import disturbances, generators, missing, simulate
from seis_tf.synthetic.slip import karhunen_loeve, log_covariance, random_slip, rupture, von_karman

QUIET = {"noise_white_m": 0.0, "noise_red_m": 0.0, "tide_residual_m": 0.0}
EXACT = {**QUIET, "arrival_error": 0.0, "amplitude_error": 0.0}


@pytest.fixture(scope="module")
def greens() -> GreensFunctions:
    return load_greens()


def test_von_karman_with_half_is_the_exponential():
    # H = 1/2: K_1/2(r) = sqrt(pi / 2r) exp(-r) and Gamma(1/2) = sqrt(pi) leave exp(-r).
    r = np.array([0.0, 0.1, 1.0, 5.0])
    assert np.allclose(von_karman(r, 0.5), np.exp(-r), atol=1e-4)
    assert np.allclose(von_karman(r[1:], 0.5), np.exp(-r[1:]), rtol=1e-12)


@pytest.mark.parametrize("hurst", [0.3, 0.75, 1.0])
def test_von_karman_is_the_integral_that_defines_the_bessel_function(hurst):
    # K_H(r) = integral over t from 0 of exp(-r cosh t) cosh(H t) (Abramowitz and Stegun 9.6.24), by quadrature.
    from math import gamma

    def bessel(r: float) -> float:
        return integrate.quad(lambda t: np.exp(-r * np.cosh(t)) * np.cosh(hurst * t), 0, 20)[0]

    for r in (0.2, 1.0, 3.0):
        expected = r**hurst * bessel(r) / (2 ** (hurst - 1) * gamma(hurst))
        assert von_karman(np.array([r]), hurst)[0] == pytest.approx(expected, rel=1e-7)


def test_the_slip_has_the_mean_spread_and_correlation_asked_for():
    # For x = exp(g), g Gaussian with covariance K = ln(1 + f^2 rho): mean exp(K_ii / 2), and the covariance over the
    # product of the means is exp(K_ij) - 1 = f^2 rho. Sampled 40,000 times.
    settings = SlipSettings(std_fraction=0.5)
    position = np.array([[0.0, 0.0], [100.0, 0.0], [100.0, 50.0]])
    covariance = log_covariance(position, (150.0, 60.0), settings)
    rng = np.random.default_rng(0)
    slip = np.exp([karhunen_loeve(covariance, normals) for normals in rng.standard_normal((40000, 3))])
    lag = np.hypot((position[:, None, 0] - position[:, 0]) / 150, (position[:, None, 1] - position[:, 1]) / 60)
    expected = 0.25 * von_karman(lag, 0.75)
    mean = slip.mean(axis=0)
    assert np.allclose(mean, np.exp(np.log1p(0.25) / 2), rtol=0.01)
    assert np.allclose(np.cov(slip.T) / np.outer(mean, mean), expected, atol=0.012)


def test_all_modes_keep_the_covariance_and_few_keep_its_largest_part():
    covariance = log_covariance(np.stack([np.arange(5) * 100.0, np.zeros(5)], axis=1), (200.0, 50.0), SlipSettings())
    root = np.stack([karhunen_loeve(covariance, unit) for unit in np.eye(5)], axis=1)
    assert np.allclose(root @ root.T, covariance)
    values, vectors = np.linalg.eigh(covariance)
    two = np.stack([karhunen_loeve(covariance, unit, modes=2) for unit in np.eye(5)], axis=1)
    best = (vectors[:, -2:] * values[-2:]) @ vectors[:, -2:].T
    assert np.allclose(two @ two.T, best)


def test_the_rupture_has_the_published_size():
    # Strasser et al. (2010), interface: Mw 8.5 gives 10^(-2.477 + 0.585 x 8.5) = 313 km and
    # 10^(-0.882 + 0.351 x 8.5) = 126 km:
    # 3 x 3 unit sources where the grid is whole (z has only 55 to 62).
    settings = SlipSettings(length_scatter=0.0, width_scatter=0.0)
    grid = grid_position(load_greens().source_names)
    rng = np.random.default_rng(0)
    for _ in range(50):
        broken, (length_km, width_km) = rupture(grid, 8.5, rng, settings)
        assert (round(length_km), round(width_km)) == (313, 126)
        along, down = grid[broken].T
        assert 1 <= broken.sum() <= 9 and np.ptp(along) <= 2 and np.ptp(down) <= 2


def test_slip_beyond_the_limit_is_drawn_anew_or_refused():
    grid = grid_position(["acsza57", "acsza58"])
    settings = FakequakeSettings(slip=SlipSettings(max_slip_m=0.5))
    # 1 m on one source is Mw 7.501: 0.25 m in the mean on both at Mw 7.3 can do, Mw 8 can not.
    slip = random_slip(grid.astype(float), grid, 7.2, np.random.default_rng(1), settings)
    assert 0 < slip.max() <= 0.5
    with pytest.raises(ValueError, match=r"slip: expected at most max_slip_m 0\.5 m, received more at Mw 8\.00 every"):
        random_slip(grid.astype(float), grid, 8.0, np.random.default_rng(1), settings)


def test_events_have_their_magnitude_and_no_negative_slip(greens):
    events = simulate(FakequakeSettings(), greens, 200, seed=3)
    assert np.allclose(magnitude(events.weights_m), events.mw, atol=1e-9)
    assert events.weights_m.min() == 0 and events.weights_m.max() <= 50
    assert 7.5 <= events.mw.min() < 7.6 and 9.1 < events.mw.max() <= 9.2
    assert events.windows_m.shape == (200, 120, 3) and events.windows_m.dtype == np.float32
    assert events.truth_m.shape == (200, 361, 6) and events.truth_m.dtype == np.float32
    assert events.ids[0] == "fq3-000000" and len(set(events.ids)) == 200


def test_without_errors_the_truth_is_the_greens_functions_wave(greens):
    events = simulate(FakequakeSettings(**EXACT), greens, 5, seed=0)
    expected = greens.waves(events.weights_m)
    assert np.allclose(events.truth_m, expected, atol=1e-5 * np.abs(expected).max())
    assert np.array_equal(events.windows_m, events.truth_m[:, 1:121, :3])


def test_errors_stretch_time_and_amplitude_by_what_was_asked(greens):
    # One source and one buoy at a time: the wave is a f(t (1 + e)) to interpolation error, so both can be read back
    # from the first crest's time and height; their spread over events is what the settings say.
    one = greens.select(["acsza58"], ["46404"])
    slip = SlipSettings(mw_min=7.5, mw_max=7.5)
    base = FakequakeSettings(slip=slip, buoys=("46404",), **QUIET)
    plain = one.waves(np.array([1.0]))[:, 0]
    height = np.array([event.max() for event in _truths(base, one, arrival_error=0.0)])
    logs = np.log(height / (plain.max() * _metres(7.5)))
    assert logs.std() == pytest.approx(0.10, rel=0.15)
    assert logs.mean() == pytest.approx(0, abs=0.02)
    crest = np.array([_crest_min(event) for event in _truths(base, one, amplitude_error=0.0)])
    stretch = _crest_min(plain) / crest - 1
    assert stretch.std() == pytest.approx(0.015, rel=0.15)
    assert stretch.mean() == pytest.approx(0, abs=0.004)


def _metres(mw: float) -> float:
    return 10 ** (1.5 * (mw - magnitude(np.array([1.0]))))


def _truths(settings, greens, **change):
    return simulate(settings.model_copy(update=change), greens, 200, seed=5).truth_m[..., 0]


def _crest_min(wave: np.ndarray) -> float:
    """Time of the largest value, by the parabola through it and its neighbours."""
    top = int(wave.argmax())
    left, middle, right = wave[top - 1 : top + 2]
    return top + 0.5 * (left - right) / (left - 2 * middle + right)


def test_an_event_is_the_same_whatever_the_count_and_what_is_switched_on(greens):
    settings = FakequakeSettings()
    many, two = simulate(settings, greens, 6, seed=9), simulate(settings, greens, 2, seed=9, first=4)
    assert two.ids == many.ids[4:]
    for name in ("weights_m", "mw", "windows_m", "truth_m"):
        assert np.array_equal(getattr(two, name), getattr(many, name)[4:])
    gaps = simulate(settings.model_copy(update={"gap_probability": 0.9, "noise_white_m": 0.1}), greens, 6, seed=9)
    assert np.array_equal(gaps.truth_m, many.truth_m)
    other = simulate(settings, greens, 6, seed=10)
    assert not np.isclose(other.mw, many.mw).any()


def test_equal_parts_of_a_source_make_the_sources_own_wave(greens):
    # Four parts with a quarter of the source's function each: any slip on them makes the wave of its mean.
    parts = np.repeat(greens.eta_m[:, np.newaxis] / 4, 4, axis=1)
    events = simulate(FakequakeSettings(**EXACT), greens, 4, seed=1, subfaults=parts)
    expected = greens.waves(events.weights_m)
    assert np.allclose(events.truth_m, expected, atol=1e-5 * np.abs(expected).max())
    assert np.allclose(magnitude(events.weights_m), events.mw, atol=1e-9)
    # And slip does differ inside a source: a wave of the shallow parts alone is not half of the whole.
    shallow = parts * np.array([2, 2, 0, 0]).reshape(4, 1, 1)
    uneven = simulate(FakequakeSettings(**EXACT), greens, 4, seed=1, subfaults=shallow.astype(np.float32))
    assert np.array_equal(uneven.weights_m, events.weights_m)
    assert np.abs(uneven.truth_m - expected).max() > 0.02 * np.abs(expected).max()


def test_disturbances_have_their_sizes(greens):
    sizes = {**QUIET, "noise_white_m": 0.005}
    assert _spread(greens, **sizes) == pytest.approx(0.005, rel=0.03)
    assert _spread(greens, **{**QUIET, "noise_red_m": 0.004}) == pytest.approx(0.004, rel=0.15)
    assert _spread(greens, **{**QUIET, "tide_residual_m": 0.003}) == pytest.approx(0.003, rel=0.15)


def _disturbed(greens, count=100, **change):
    settings, minutes = FakequakeSettings(**change), np.arange(1, 121)
    weights = np.eye(31)[3]
    return np.array([disturbances(settings, greens, weights, minutes, generators(2, i)) for i in range(count)])


def _spread(greens, **change):
    return np.sqrt(np.mean(_disturbed(greens, **change) ** 2))


def test_red_noise_forgets_at_its_rate(greens):
    noise = _disturbed(greens, 400, **{**QUIET, "noise_red_m": 1.0, "noise_red_min": 10.0})
    lagged = np.mean(noise[:, 5:] * noise[:, :-5]) / np.mean(noise**2)
    assert lagged == pytest.approx(np.exp(-0.5), abs=0.05)
    # Stationary from its first sample on.
    assert noise[:, 0].std() == pytest.approx(1, abs=0.08)


def test_the_seismic_wave_comes_with_the_surface_waves_and_dies_down(greens):
    shaken = _disturbed(greens, 200, **{**QUIET, "seismic_wave_m": 0.5})
    arrival = distance_km(greens.source_table[3, :2], greens.gauge_lonlat[:3]) / (3.5 * 60)
    for buoy in range(3):
        assert np.all(shaken[:, : int(np.floor(arrival[buoy] - 1e-9)), buoy] == 0)
    rms = np.sqrt(np.mean(shaken**2, axis=(0, 2)))
    assert rms[3:6].mean() > 5 * rms[15:18].mean() > 0
    nowhere = GreensFunctions(
        greens.source_names, greens.gauge_names, greens.time_min, greens.eta_m,
        greens.source_table, np.full((6, 2), np.nan),
    )  # fmt: skip
    with pytest.raises(ValueError, match="seismic_wave_m: expected positions of all buoys and sources"):
        simulate(FakequakeSettings(seismic_wave_m=0.5), nowhere, 1, seed=0)


def test_gaps_are_one_stretch_of_at_most_the_longest(greens):
    settings = FakequakeSettings(gap_probability=0.999, gap_max_min=7)
    for index in range(100):
        lost = missing(settings, 60, 3, generators(0, index)["gaps"])
        runs = np.diff(np.concatenate([np.zeros((1, 3)), lost, np.zeros((1, 3))]), axis=0)
        assert np.all((runs == 1).sum(axis=0) <= 1) and lost.sum(axis=0).max() <= 7
    assert not missing(FakequakeSettings(), 60, 3, generators(0, 0)["gaps"]).any()


def test_some_buoys_are_silent_but_never_all():
    settings = FakequakeSettings(silent_probability=0.9)
    lost = np.array([missing(settings, 30, 3, generators(4, i)["gaps"]).all(axis=0) for i in range(300)])
    assert lost.sum(axis=1).max() == 2
    # Each is silent with 0.9, but of the 0.729 cases with all three silent one is restored: mean 0.9 - 0.729 / 3.
    assert lost.mean() == pytest.approx(0.9 - 0.729 / 3, abs=0.04)
    short = FakequakeSettings(gap_probability=0.999, silent_probability=0.999)
    assert not any(missing(short, 1, 1, generators(4, i)["gaps"]).all() for i in range(50))


def test_mixed_sampling_has_quarter_hours_until_the_trigger():
    settings = FakequakeSettings(mixed_sampling=True, trigger_max_min=20)
    for index in range(50):
        lost = missing(settings, 60, 3, generators(1, index)["gaps"])
        assert not lost[20:].any()
        for column in lost.T:
            before = np.flatnonzero(column).max(initial=-1) + 1
            assert (~column[:before]).sum() <= 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"buoys": ("46404", "21413")}, r"gauges: expected some of .*received \['46404', '21413'\]"),
        ({"record_min": 361}, "record_min: expected at most 360 minutes, received 361"),
    ],
)
def test_settings_that_do_not_fit_the_functions_are_refused(greens, change, reason):
    with pytest.raises(ValueError, match=reason):
        simulate(FakequakeSettings(**change), greens, 1, seed=0)


def test_parts_of_another_shape_are_refused(greens):
    with pytest.raises(ValueError, match=r"subfaults: expected .* \(31, 4, 6, 361\), received \(31, 6, 361\)"):
        simulate(FakequakeSettings(), greens, 1, seed=0, subfaults=greens.eta_m)


def test_the_files_hold_the_arrays_and_say_their_names(greens, tmp_path):
    settings = FakequakeSettings(gap_probability=0.5, silent_probability=0.2)
    events = simulate(settings, greens, 4, seed=2)
    out = write_fakequakes(tmp_path / "quakes", events, greens, raw=1)
    names = json.loads((out / "names.json").read_text())
    assert names["runs"] == list(events.ids) and names["sources"] == list(greens.source_names)
    assert names["buoys"] == list(settings.buoys) and names["gauges"] == list(greens.gauge_names)
    records, truth = np.load(out / "records.npz"), np.load(out / "truth.npz")
    assert np.array_equal(records["records_m"], events.windows_m.swapaxes(1, 2), equal_nan=True)
    assert records["time_min"].tolist() == list(range(1, 121))
    assert np.array_equal(truth["truth_m"], events.truth_m.swapaxes(1, 2))
    with open(out / "weights.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    # Python's repr of a float reads back as the same float.
    assert [float(rows[2][name]) for name in greens.source_names] == events.weights_m[2].tolist()
    assert [float(row["mw"]) for row in rows] == events.mw.tolist()
    saved = json.loads((out / "simulated.json").read_text())
    assert FakequakeSettings.model_validate(saved["fakequakes"]) == settings and saved["seed"] == 2
    again = simulate(FakequakeSettings.model_validate(saved["fakequakes"]), greens, 4, seed=saved["seed"])
    assert np.array_equal(again.windows_m, events.windows_m, equal_nan=True)


def test_raw_files_look_like_ndbcs(greens, tmp_path):
    events = simulate(FakequakeSettings(), greens, 1, seed=2)
    out = write_fakequakes(tmp_path, events, greens, raw=1)
    folder = out / "raw" / events.ids[0]
    event = json.loads((folder / "event.json").read_text())
    assert event["mw"] == events.mw[0] and event["origin_time"].endswith("Z")
    assert sorted(path.name for path in folder.iterdir()) == ["46404.txt", "46407.txt", "46419.txt", "event.json"]
    lines = (folder / "46404.txt").read_text().splitlines()
    assert lines[0] == "#YY  MM DD hh mm ss T   HEIGHT"
    rows = [line.split() for line in lines[2:]]
    times = [datetime(*map(int, row[:6])) for row in rows]
    assert times == sorted(times, reverse=True)
    kinds = np.array([int(row[6]) for row in rows])
    # 15 s for 4 minutes, 1 minute until 3 hours after the trigger, quarter hours around it.
    assert (kinds == 3).sum() in (15, 16, 17) and (kinds == 2).sum() in (175, 176, 177) and (kinds == 1).sum() > 120
    heights = np.array([float(row[7]) for row in rows])
    assert (heights == 9999).any()
    level = heights[heights < 9999]
    assert level.min() > 2400 and 1 < np.ptp(level) < 8


def test_a_folder_with_files_is_not_overwritten(greens, tmp_path):
    events = simulate(FakequakeSettings(), greens, 1, seed=0)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(ValueError, match="expected a new or empty folder"):
        write_fakequakes(tmp_path, events, greens)
    with pytest.raises(ValueError, match="raw: expected 0 to 1 events, received 2"):
        write_fakequakes(tmp_path / "new", events, greens, raw=2)
