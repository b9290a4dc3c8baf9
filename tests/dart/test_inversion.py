"""Non-negative least squares against the plain slow way, and what smoothing, pull and scores are by definition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from seis_tf.dart.inversion import (
    Choice,
    arrival_minute,
    choose,
    choose_pull,
    choose_smoothing,
    error_whitening,
    explained_variance,
    forecast_score,
    hybrid,
    nnls,
    peak_amplitude,
    smoothed_nnls,
    smoothing_operator,
)
from seis_tf.dart.unit_sources import NEAR_BUOYS, load_greens


@pytest.fixture(scope="module")
def greens():
    return load_greens()


@pytest.fixture(scope="module")
def case(greens):
    """Matrix of 45 minutes, 12 noisy windows with gaps, and the slip that made them."""
    rng = np.random.default_rng(0)
    matrix = greens.select(gauges=NEAR_BUOYS).matrix(45)
    slip = np.maximum(rng.normal(1, 2, (12, 31)), 0)
    windows = np.einsum("tbs,es->etb", matrix, slip) + rng.normal(0, 0.005, (12, 45, 3))
    windows[3, :20, 1] = np.nan
    windows[4:6, :, 2] = np.nan
    return matrix, windows, slip


def slow(matrix, window, rows=None, right=None):
    """The whole stacked problem, sample by sample, as it is written down."""
    exists = np.isfinite(window).ravel()
    left = matrix.reshape(-1, matrix.shape[-1])[exists]
    side = window.ravel()[exists]
    if rows is not None:
        left = np.concatenate([left, rows])
        side = np.concatenate([side, np.zeros(len(rows)) if right is None else right])
    return optimize.nnls(left, side, maxiter=10000)[0]


def misfit(matrix, window, weights):
    return np.nansum((window - matrix @ weights) ** 2)


def test_nnls_is_scipys_on_the_samples_that_exist(case):
    matrix, windows, _ = case
    fast = nnls(matrix, windows)
    for window, weights in zip(windows, fast, strict=True):
        expected = slow(matrix, window)
        assert np.allclose(weights, expected, rtol=1e-6, atol=1e-6)
        assert misfit(matrix, window, weights) <= misfit(matrix, window, expected) * (1 + 1e-9)


def test_exact_waves_give_the_exact_slip(case):
    matrix, _, slip = case
    windows = np.einsum("tbs,es->etb", matrix, slip)
    assert np.allclose(nnls(matrix, windows), slip, atol=1e-6)
    assert np.allclose(nnls(matrix, windows[0]), slip[0], atol=1e-6)


def test_fewer_samples_than_sources_are_fitted_too(case):
    matrix, windows, _ = case
    mask = np.zeros((45, 3), bool)
    mask[20:25, 0] = True
    weights = nnls(matrix, windows[:2], mask)
    few = np.where(mask, windows[:2], np.nan)
    for i in range(2):
        assert misfit(matrix, few[i], weights[i]) <= misfit(matrix, few[i], slow(matrix, few[i])) + 1e-12


def test_a_mask_hides_what_it_covers(case):
    matrix, windows, _ = case
    mask = np.isfinite(windows)
    mask[:, :, 1] = False
    spoilt = windows.copy()
    spoilt[:, :, 1] = 1e6
    assert np.array_equal(nnls(matrix, spoilt, mask & np.isfinite(spoilt)), nnls(matrix, windows, mask))


def test_smoothed_nnls_is_the_stacked_problem(case, greens):
    matrix, windows, _ = case
    operator = 0.01 * smoothing_operator(greens.source_names)
    fast = smoothed_nnls(matrix, windows, greens.source_names, 0.01)
    for window, weights in zip(windows, fast, strict=True):
        assert np.allclose(weights, slow(matrix, window, operator), atol=1e-6)


def test_hybrid_is_the_stacked_problem(case):
    matrix, windows, slip = case
    rng = np.random.default_rng(1)
    prior = np.maximum(slip + rng.normal(0, 1, slip.shape), 0)
    whitening = error_whitening(slip, prior)
    for factor, white in ((np.eye(31), None), (whitening, whitening)):
        fast = hybrid(matrix, windows, prior, 0.02, whitening=white)
        for window, weights, wish in zip(windows, fast, prior, strict=True):
            expected = slow(matrix, window, 0.02 * factor, 0.02 * factor @ wish)
            assert np.allclose(weights, expected, atol=1e-6)


def test_a_strong_pull_gives_the_prior_and_none_gives_nnls(case):
    matrix, windows, slip = case
    prior = slip + 1
    assert np.allclose(hybrid(matrix, windows, prior, 1e6), prior, atol=1e-6)
    assert np.allclose(hybrid(matrix, windows, prior, 1e-12), nnls(matrix, windows), atol=1e-4)


def test_the_smoothing_operator_pairs_neighbours_of_both_directions():
    # a57-a58 and b57-b58 along strike, b57-a57 and b58-a58 down dip; a60 stands alone.
    names = ["acsza57", "ac58a", "acsza60", "acszb57", "acszb58"]
    operator = smoothing_operator(names, damping=0.5)
    pairs = {tuple(np.flatnonzero(row)) for row in operator[:-5]}
    assert pairs == {(0, 1), (3, 4), (0, 3), (1, 4)}
    assert np.all(operator[:-5].sum(axis=1) == 0) and np.array_equal(operator[-5:], 0.5 * np.eye(5))


def test_whitened_errors_have_unit_second_moments():
    rng = np.random.default_rng(2)
    truth = rng.random((500, 4))
    predicted = truth + rng.normal(0.2, 1, (500, 4)) @ rng.normal(size=(4, 4))
    white = (truth - predicted) @ error_whitening(truth, predicted, shrinkage=0).T
    assert np.allclose(white.T @ white / 500, np.eye(4), atol=1e-9)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w[:, :30], r"expected \[\.\., minute, buoy\] \(45, 3\), received \(2, 30, 3\)"),
        (
            lambda w: w * np.array([[[1.0]], [[np.nan]]]),
            "expected at least one sample an event, received none for event 1",
        ),
    ],
)
def test_windows_that_can_not_be_fitted_are_refused(case, change, reason):
    matrix, windows, _ = case
    with pytest.raises(ValueError, match=reason):
        nnls(matrix, change(windows[:2]))


def test_a_mask_over_missing_values_is_refused(case):
    matrix, windows, _ = case
    with pytest.raises(ValueError, match="expected finite values where the mask is set, received none for event 3"):
        nnls(matrix, windows, np.ones((45, 3), bool))


def test_the_best_strength_is_chosen_and_all_scores_kept():
    chosen = choose(lambda strength: np.array([strength]), lambda weights: -abs(weights[0] - 0.3), [0.1, 0.25, 1.0])
    assert chosen.strength == 0.25
    assert chosen.scores == pytest.approx({0.1: -0.2, 0.25: -0.05, 1.0: -0.7})


def test_smoothing_and_pull_are_chosen_by_their_scores(case, greens):
    matrix, windows, slip = case

    def score(weights_m):
        return -float(np.mean((weights_m - slip) ** 2))

    smoothing = choose_smoothing(matrix, windows, greens.source_names, score, grid=[1e-4, 1e-2])
    errors = {
        strength: np.mean((smoothed_nnls(matrix, windows, greens.source_names, strength) - slip) ** 2)
        for strength in (1e-4, 1e-2)
    }
    assert smoothing.scores == pytest.approx({strength: -error for strength, error in errors.items()})
    assert smoothing.strength == min(errors, key=errors.get)
    # With the truth itself as the other answer, the strongest pull is best.
    pull = choose_pull(matrix, windows, slip, score, grid=[1e-4, 1e-2, 1.0])
    assert isinstance(pull, Choice) and pull.strength == 1.0


def test_the_forecast_is_scored_after_the_window_only(greens):
    rng = np.random.default_rng(3)
    far = greens.select(gauges=["46409", "46411"])
    slip = rng.random((3, 31))
    truth = far.waves(slip)
    truth[:, :46] = 1e9
    score = forecast_score(far, truth, 45)
    assert score(slip) == pytest.approx(1.0)
    assert score(np.zeros((3, 31))) == pytest.approx(0.0)
    half = far.waves(slip / 2)[:, 46:]
    assert score(slip / 2) == pytest.approx(1 - np.sum(half**2) / np.sum((2 * half) ** 2))


def test_explained_variance_by_hand():
    # Errors 1 and 0 squared: 1; truth 9 + 16 = 25.
    assert explained_variance(np.array([3.0, 4.0]), np.array([2.0, 4.0])) == pytest.approx(1 - 1 / 25)


def test_peak_is_the_highest_crest_and_arrival_a_part_of_the_largest_value():
    wave = np.zeros((10, 2))
    wave[:, 0] = [0, 0, -1, -4, -2, 1, 3, 1, 0, 0]
    assert peak_amplitude(wave).tolist() == [3, 0]
    assert arrival_minute(wave, 0.25).tolist()[0] == 2 and np.isnan(arrival_minute(wave)[1])
    assert arrival_minute(wave, 1.0)[0] == 3
    assert arrival_minute(np.stack([wave, wave])).shape == (2, 2)
