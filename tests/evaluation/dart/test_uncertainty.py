"""Uncertainty of DART answers: draws against the Green's functions, coverage and CRPS against a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from seis_tf.dart.unit_sources import load_greens
from seis_tf.evaluation.dart import draws, uncertainty
from seis_tf.evaluation.dart.scores import TrueWaves
from seis_tf.evaluation.dart.uncertainty_fit import assess, wave_band
from seis_tf.evaluation.dart.uncertainty_section import uncertainty_section, window_tables
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.evaluation.report.page import Report, write_report
from seis_tf.settings.training import AnswerSettings

WINDOW_MIN = 200
ANY = AnswerSettings(min_signal_m=0)  # what was recorded is not looked at
GAUGES, FAR = ("46409", "46410"), ("46410",)


@pytest.fixture(scope="module")
def greens():
    return load_greens().select(gauges=GAUGES)


def slips(count: int, seed: int) -> np.ndarray:
    """Slip of any size on all sources, [event, source]."""
    random = np.random.default_rng(seed)
    return random.gamma(1.0, 1.0, (count, 31)) * np.exp(random.normal(0, 1, (count, 1)))


def windows(slip_m: np.ndarray, greens) -> Windows:
    """Events whose truth is that of the slip; what was recorded does not matter here."""
    true = TrueWaves(greens.waves(slip_m.astype(np.float32)), WINDOW_MIN, GAUGES, FAR)
    nothing = np.zeros((len(slip_m), 1, 1))
    return Windows(nothing, nothing > -1, slip_m, true)


def answers(slip_m: np.ndarray, seed: int, error: float = 0.3, spread: float = 0.05, count: int = 4) -> np.ndarray:
    """Draws with a common error, of which their own spread shows next to nothing, [draw, event, source]."""
    random = np.random.default_rng(seed)
    common = np.exp(error * random.normal(size=slip_m.shape) - 0.2)  # too low, too
    return slip_m * common * np.exp(spread * random.normal(size=(count, *slip_m.shape)))


@pytest.fixture(scope="module")
def assessed(greens):
    parts = {part: slips(n, seed) for seed, (part, n) in enumerate({"train": 300, "valid": 800, "test": 600}.items())}
    kinds = {"ensemble": 10, "dropout": 20}
    found = {
        kind: tuple(answers(parts[p], seed + k) for k, p in enumerate(("valid", "test")))
        for kind, seed in kinds.items()
    }
    return assess(
        found, {part: windows(slip, greens) for part, slip in parts.items()}, greens, "four answers", limits=ANY
    )


def test_draws_are_what_the_greens_functions_make_of_them(greens):
    slip = answers(slips(200, 0), 1)  # more events than a block has
    found = draws.draws_of(slip, greens, WINDOW_MIN)
    waves = np.einsum("des,sgt->detg", slip, greens.eta_m.astype(float))
    assert found["forecast_m"].samples == pytest.approx(waves[:, :, WINDOW_MIN + 1 :: 5], abs=1e-5)
    assert found["peak_m"].samples == pytest.approx(waves[:, :, WINDOW_MIN + 1 :].max(axis=2), abs=1e-5)
    # The answer's peak is that of the answer's wave, which is not higher than the mean of the peaks.
    assert found["peak_m"].centre == pytest.approx(waves.mean(0)[:, WINDOW_MIN + 1 :].max(axis=1), abs=1e-5)
    # Mw = 2/3 (log10(4e10 Pa x 5e9 m2 x slip) - 9.05), the mean of the draws' own
    mw = 2 / 3 * (np.log10(4e10 * 5e9 * slip.sum(axis=2)) - 9.05)
    assert found["mw"].centre[:, 0] == pytest.approx(mw.mean(axis=0))
    assert found["mw"].predicted.spread[:, 0] == pytest.approx(mw.std(axis=0))
    whole = draws.draws_of(slip, greens, WINDOW_MIN, whole=True)["forecast_m"]
    assert whole.centre.shape == (200, 361, 2)
    for mine, same in ((whole.size, found["forecast_m"].size), (whole.no_signal, found["forecast_m"].no_signal)):
        assert np.array_equal(mine[:, WINDOW_MIN + 1 :: 5], same)


def test_local_height_is_a_root_mean_square_of_21_minutes():
    wave = np.random.default_rng(0).normal(size=(2, 50, 1))
    found = draws.local_height(wave)
    assert found[1, 25, 0] == pytest.approx(np.sqrt(np.mean(wave[1, 15:36, 0] ** 2)))
    assert found[0, 0, 0] == pytest.approx(np.sqrt(np.mean(wave[0, :11, 0] ** 2)))
    assert found[0, 49, 0] == pytest.approx(np.sqrt(np.mean(wave[0, 39:, 0] ** 2)))


def test_a_minute_has_no_signal_where_its_height_is_under_a_tenth_of_what_comes(greens):
    one = draws.draws_of(slips(3, 0)[None], greens, WINDOW_MIN, whole=True)["forecast_m"]
    highest = one.size[:, WINDOW_MIN + 1 :].max(axis=1, keepdims=True)
    assert np.array_equal(one.no_signal, one.size < 0.1 * highest)
    assert one.no_signal[:, 0].all() and not one.no_signal.all()


def test_intervals_hold_on_other_events_where_the_spread_alone_does_not(assessed):
    metrics = assessed.metrics
    assert (metrics.fitted_on, metrics.tested_on, len(metrics.edges)) == (800, 600, 3)
    for found in metrics.draws.values():
        for name in ("mw", "peak_m"):
            limits = metrics.limits.conformal
            for value, (low, high) in zip(found[name].calibrated.coverage, limits, strict=True):
                assert low <= value <= high, name
        # The waves' minutes are alike within an event: fewer than 600 independent ones.
        assert found["forecast_m"].calibrated.coverage == pytest.approx([0.5, 0.8, 0.95], abs=0.06)
        assert found["peak_m"].calibrated.below == pytest.approx([0.25, 0.1, 0.025], abs=0.05)
        for own in found.values():
            assert own.raw.coverage[2] < 0.5
            assert own.calibrated.crps < own.raw.crps
            assert own.calibrated.crps < 0.5 * own.climatology.crps


def test_bins_gauges_and_levels_are_kept_apart(assessed):
    own = assessed.metrics.draws["ensemble"]
    assert list(own["peak_m"].by_gauge) == list(FAR)
    assert own["peak_m"].by_gauge["46410"] == pytest.approx(own["peak_m"].calibrated.coverage)
    rows = own["mw"].by_predicted_mw
    assert [row.to_mw for row in rows[:-1]] == assessed.metrics.edges and rows[-1].to_mw is None
    assert sum(row.events for row in rows) == 600
    pooled = sum(row.events * np.array(row.coverage[0]) for row in rows) / 600
    assert pooled == pytest.approx(own["mw"].calibrated.coverage)
    reliability = own["mw"].reliability
    assert reliability.stated[0] == 0.05 and reliability.stated[-1] == 0.95
    assert reliability.calibrated[-1] == own["mw"].calibrated.coverage[-1]
    assert reliability.calibrated == pytest.approx(reliability.stated, abs=0.09)


def test_climatology_is_scored_gauge_by_gauge_and_minute_by_minute():
    train, truth = np.random.default_rng(0).normal(size=(2, 40, 3, 2))
    found = uncertainty.climatology_crps(train, truth[:5])
    samples = train[:, 2, 1]
    expected = np.abs(samples - truth[4, 2, 1]).mean() - np.abs(samples[:, None] - samples).mean() / 2
    assert found.shape == (5, 3, 2) and found[4, 2, 1] == pytest.approx(expected)


def test_the_whole_band_of_an_event_is_that_of_its_intervals(assessed, greens):
    slip = slips(1, 5)
    lower, upper = wave_band(assessed.intervals, slip, greens, WINDOW_MIN)
    assert lower.shape == upper.shape == (361, 2) and (lower <= upper).all()
    drawn = draws.draws_of(slip[:, None], greens, WINDOW_MIN)
    own = assessed.intervals.quantities["forecast_m"]
    bins = draws.bins_of("forecast_m", drawn, np.array(assessed.intervals.edges), True)
    ends = own.bounds(drawn["forecast_m"].predicted, bins)
    assert lower[WINDOW_MIN + 1 :: 5] == pytest.approx(ends[0][0, ..., 1])
    assert upper[WINDOW_MIN + 1 :: 5] == pytest.approx(ends[1][0, ..., 1])


def test_one_network_has_intervals_too_and_nothing_raw(greens):
    parts = {part: slips(n, seed) for seed, (part, n) in enumerate({"train": 90, "valid": 90, "test": 80}.items())}
    both = tuple(answers(parts[part], seed, count=1) for seed, part in enumerate(("valid", "test")))
    found = assess(
        {"network": both}, {p: windows(s, greens) for p, s in parts.items()}, greens, "one network", limits=ANY
    )
    own = found.metrics.draws["network"]["mw"]
    assert found.metrics.edges == [] and own.raw.coverage is None and own.reliability.raw is None
    error = np.abs(draws.draws_of(both[1], greens, WINDOW_MIN)["mw"].centre - uncertainty_truth(parts["test"], greens))
    assert own.raw.crps == pytest.approx(error.mean())  # CRPS of one draw
    assert found.intervals.samples == "one network" and found.intervals.events == 90


def uncertainty_truth(slip_m, greens):
    return draws.truth_of(windows(slip_m, greens), greens)["mw"]


def test_without_true_waves_only_slip_and_magnitude_have_intervals(greens):
    parts = {part: windows(slips(60, seed), greens) for seed, part in enumerate(("train", "valid", "test"))}
    both = tuple(answers(parts[part].weights_m, seed) for seed, part in enumerate(("valid", "test")))
    found = assess({"ensemble": both}, parts, greens, "", waves=False, limits=ANY)
    assert set(found.intervals.quantities) == {"mw", "weights_m"} == set(found.metrics.draws["ensemble"])
    assert wave_band(found.intervals, parts["test"].weights_m[:1], greens, WINDOW_MIN) is None
    # Likewise where the waves end before the functions do.
    short = {
        name: replace(own, true=replace(own.true, waves_m=own.true.waves_m[:, :300])) for name, own in parts.items()
    }
    assert set(assess({"ensemble": both}, short, greens, "", limits=ANY).intervals.quantities) == {"mw", "weights_m"}
    assert len(uncertainty_section(found.metrics).tables) == 2


def test_too_few_validation_events_are_refused(greens):
    parts = {part: windows(slips(38, seed), greens) for seed, part in enumerate(("train", "valid", "test"))}
    both = tuple(answers(parts[part].weights_m, seed) for seed, part in enumerate(("valid", "test")))
    with pytest.raises(ValueError, match="expected at least 39 validation events, received 38"):
        assess({"ensemble": both}, parts, greens, "", limits=ANY)
    assert not uncertainty.enough(38) and uncertainty.enough(39)


def test_answers_without_slip_or_signal_are_in_no_interval_of_others(greens):
    """A twentieth of the answers are no slip, and another of records that hold next to nothing."""
    parts = {part: slips(n, seed) for seed, (part, n) in enumerate({"train": 90, "valid": 400, "test": 900}.items())}
    both, seen = [], {part: windows(slip, greens) for part, slip in parts.items()}
    for seed, part in enumerate(("valid", "test")):
        slip, level = answers(parts[part], 7 + seed, count=1), np.zeros((len(parts[part]), 2, 1))
        level[:, 0] = 1.0
        slip[:, ::20] = 0
        slip[:, 1::20] *= 1e-4  # far off, and of what is no record
        level[1::20] = 0
        seen[part] = replace(seen[part], level_m=level, mask=np.ones(level.shape, bool))
        both.append(slip)
    found = assess({"network": tuple(both)}, seen, greens, "", limits=AnswerSettings())
    metrics = found.metrics
    assert (metrics.fitted_on, metrics.tested_on) == (360, 810)
    assert metrics.events == {"valid": 400, "test": 900}
    own = metrics.draws["network"]["mw"].calibrated
    # The answers' common error makes Mw wrong by about 0.04; with those others among them a width was above 1.
    assert own.width[2] < 0.3
    for value, (low, high) in zip(own.coverage, metrics.limits.conformal, strict=True):
        assert low <= value <= high
    text = uncertainty_section(metrics).text[1]
    assert "40 of 400 validation and 90 of 900 other events are in none of these numbers" in text


def test_too_few_answers_with_intervals_are_refused(greens):
    parts = {part: windows(slips(60, seed), greens) for seed, part in enumerate(("train", "valid", "test"))}
    both = tuple(answers(parts[part].weights_m, seed) for seed, part in enumerate(("valid", "test")))
    both[0][:, :22] = 0
    with pytest.raises(ValueError, match="expected at least 39 validation events, received 38"):
        assess({"ensemble": both}, parts, greens, "", limits=ANY)


def test_a_draw_without_slip_is_left_out_of_the_magnitude():
    slip = np.array([[[2.0], [0.0]], [[0.0], [0.0]], [[4.0], [0.0]]])
    # Mw = 2/3 (log10(4e10 Pa x 5e9 m2 x slip) - 9.05)
    each = 2 / 3 * (np.log10(4e10 * 5e9 * np.array([2.0, 4.0])) - 9.05)
    found = draws.member_magnitudes(slip, np.array([5e9]))
    assert found[:, 0] == pytest.approx([each[0], each.mean(), each[1]]) and not found[:, 1].any()


def test_minutes_are_not_split_where_all_have_a_signal(greens):
    truth = windows(slips(50, 0), greens)
    drawn = draws.draws_of(answers(truth.weights_m, 1), greens, WINDOW_MIN)
    wave = drawn["forecast_m"]
    fitted = uncertainty.calibrate(draws.truth_of(truth, greens), drawn)
    assert fitted.intervals("", GAUGES).quantities["forecast_m"].calm_below == 0.1
    rough = drawn | {"forecast_m": replace(wave, no_signal=np.zeros_like(wave.no_signal))}
    fitted = uncertainty.calibrate(draws.truth_of(truth, greens), rough)
    assert fitted.intervals("", GAUGES).quantities["forecast_m"].calm_below == 0


def test_the_section_says_what_was_measured(assessed, tmp_path):
    section = uncertainty_section(assessed.metrics)
    assert "800 validation events" in section.text[0] and "600 other events" in section.text[0]
    own = assessed.metrics.draws["ensemble"]
    cells = {row[0]: row for row in section.tables[0].rows}
    assert cells["Mw, ensemble"][1] == f"{own['mw'].calibrated.crps:.3f}"
    assert (
        cells["peak ahead, ensemble"][5]
        == " / ".join(f"{100 * value:.1f}" for value in own["peak_m"].calibrated.coverage) + " %"
    )
    assert cells["Mw, MC dropout"][2] == ""  # climatology once
    write_report(tmp_path, Report("t", "q", "a", [section]))
    assert (tmp_path / "figures" / "reliability.png").is_file()
    tables = window_tables({30: assessed.metrics, 45: assessed.metrics})
    assert [table.rows[1][0] for table in tables] == ["45 min"] * 3
    nothing = uncertainty_section(None)
    assert "at least 39 validation events" in nothing.text[0] and not nothing.tables
