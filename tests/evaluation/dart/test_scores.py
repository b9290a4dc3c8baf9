"""Scores of slip and waves against SciPy, scikit-learn and sums by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from seis_tf.evaluation.dart import scores
from seis_tf.evaluation.dart.scores import TrueWaves, WaveErrors

GAUGES = ("46404", "46409", "46410")


def true_waves(waves, window_min=2, far=("46409", "46410")):
    return TrueWaves(np.asarray(waves, dtype=float), window_min, GAUGES, far)


@pytest.fixture
def random_case():
    rng = np.random.default_rng(0)
    waves = rng.normal(size=(20, 12, 3)) * rng.gamma(1.0, 1.0, (20, 1, 1))
    return true_waves(waves), waves + 0.5 * rng.normal(size=waves.shape)


def test_explained_variance_is_pooled_over_events_by_hand():
    # Minutes 0 to 4 of two events at three gauges; the window ends at minute 2, so minutes 3 and 4 are judged.
    waves = np.zeros((2, 5, 3))
    waves[0, 3:, 1], waves[1, 3:, 1] = [3, 4], [0, 1]
    forecast = np.zeros_like(waves)
    forecast[0, 3:, 1] = [3, 2]  # errors 0 and 2; event 1 is missed: errors 0 and 1
    errors = WaveErrors.of(true_waves(waves), forecast)
    assert errors.explained([1]) == pytest.approx(1 - (4 + 1) / (25 + 1))  # not the mean of 0.84 and 0
    assert errors.explained([0]) is None  # no wave there


def test_what_is_in_the_window_does_not_count(random_case):
    true, forecast = random_case
    changed = forecast.copy()
    changed[:, :3] += 100  # minutes 0, 1, 2
    assert scores.explained_by_gauge(true, changed) == scores.explained_by_gauge(true, forecast)
    changed[:, 3] += 100
    assert WaveErrors.of(true, changed).explained([1]) < -100


def test_a_forecast_longer_than_the_truth_is_judged_where_there_is_truth(random_case):
    true, forecast = random_case
    longer = np.concatenate([forecast, np.full((20, 7, 3), 50.0)], axis=1)
    for score in (scores.explained_by_gauge, scores.arrival_scores):
        assert score(true, longer) == score(true, forecast)


def test_a_truth_that_ends_with_the_window_is_refused():
    with pytest.raises(ValueError, match="waves: expected minutes after the window's 4, received 5"):
        true_waves(np.zeros((1, 5, 3)), window_min=4)


def test_far_is_the_far_gauges_together_and_each_gauge_is_its_own(random_case):
    true, forecast = random_case
    found = scores.explained_by_gauge(true, forecast)
    after, answer = true.waves_m[:, 3:], forecast[:, 3:]
    assert found["far"] == pytest.approx(1 - np.sum((after - answer)[..., 1:] ** 2) / np.sum(after[..., 1:] ** 2))
    assert found["46404"] == pytest.approx(1 - np.sum((after - answer)[..., 0] ** 2) / np.sum(after[..., 0] ** 2))


def test_resampled_scores_scatter_about_the_score_as_drawn_the_slow_way(random_case):
    true, forecast = random_case
    errors = WaveErrors.of(true, forecast)
    rng, slow = np.random.default_rng(1), []
    for _ in range(2000):
        rows = rng.integers(0, 20, 20)
        slow.append(WaveErrors.of(replace(true, waves_m=true.waves_m[rows]), forecast[rows]).explained([1, 2]))
    fast = errors.resampled([1, 2], 2000)
    assert np.quantile(fast, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(slow, [0.1, 0.5, 0.9]), abs=0.01)


def test_answers_are_compared_on_the_same_events(random_case):
    true, forecast = random_case
    same = WaveErrors.of(true, forecast)
    worse = WaveErrors(same.error + 0.1 * same.energy, same.energy)  # by exactly 0.1 in whatever events are drawn
    found = scores.beside({"a": same, "b": same, "c": worse}, [1, 2], "a", 200)
    assert found["b"].first_minus_this == 0 and found["b"].first_minus_this_interval == [0, 0]
    assert found["c"].first_minus_this_interval == pytest.approx([0.1, 0.1])
    low, high = found["a"].interval
    assert low < same.explained([1, 2]) < high and found["a"].first_minus_this is None


def test_without_any_wave_nothing_is_compared():
    no_waves = WaveErrors(np.ones((3, 1)), np.zeros((3, 1)))
    found = scores.beside({"a": no_waves, "b": no_waves}, [0], "a", 10)
    assert {name: compared.tree() for name, compared in found.items()} == {"a": {}, "b": {}}


def test_slip_error_and_its_ratio_to_the_constant_answer():
    true, predicted = np.array([[0.0, 4.0], [2.0, 0.0]]), np.array([[1.0, 4.0], [2.0, 3.0]])
    found = scores.weight_scores(true, predicted, np.array([1.0, 2.0]))
    # Errors 1, 0, 0, 3: mean square 2.5. Of the constant 1, 2, 1, 2: 2.5.
    assert found == (2.5, 1.0)
    assert scores.weight_scores(true, predicted, None) == (2.5, None)


def test_slopes_are_scipys_and_their_product_is_r2():
    rng = np.random.default_rng(2)
    true = rng.gamma(1.0, 0.1, (50, 3))
    predicted = 0.6 * true + 0.01 + 0.02 * rng.normal(size=true.shape)
    found = scores.peak_scores(true, predicted)
    x, y = predicted.ravel(), true.ravel()
    assert found.true_on_predicted == pytest.approx(stats.linregress(x, y).slope)
    assert found.predicted_on_true == pytest.approx(stats.linregress(y, x).slope)
    assert found.r2 == pytest.approx(stats.pearsonr(x, y).statistic ** 2)
    assert found.r2 == pytest.approx(found.true_on_predicted * found.predicted_on_true)
    assert found.bias_m == pytest.approx((x - y).mean()) and found.std_m == pytest.approx((x - y).std())
    assert found.true_on_predicted > 1  # it under-predicts the large ones


def test_peaks_of_one_height_have_no_slope():
    found = scores.peak_scores(np.array([1.0, 2.0]), np.array([0.0, 0.0]))
    assert found.true_on_predicted is None and found.r2 is None
    assert found.predicted_on_true == 0 and found.bias_m == -1.5


def crest(minute, height, n_minutes=40):
    """A wave at one gauge that begins at a minute and stays."""
    return np.where(np.arange(n_minutes) >= minute, height, 0.0)


def test_arrivals_are_of_waves_that_had_not_come_and_are_high_enough():
    begins = [(20, 0.5), (20, 0.5), (8, 0.5), (20, 0.005), (20, 0.5)]  # the third was seen, the fourth is too low
    waves = np.stack([crest(*each) for each in begins])[:, :, np.newaxis]
    forecast = np.stack([crest(25, 0.3), crest(18, 0.4), crest(30, 1), crest(30, 1), crest(0, 0.0)])[:, :, np.newaxis]
    found = scores.arrival_scores(TrueWaves(waves, 10, ("46409",), ("46409",)), forecast)
    assert (found.count, found.missed) == (3, 1)
    assert found.mean_min == pytest.approx(1.5) and found.mae_min == pytest.approx(3.5)  # +5 and -2
    assert found.std_min == pytest.approx(3.5)


def test_magnitudes_without_slip_are_counted_apart():
    found = scores.magnitude_scores(np.array([8.0, 8.5, 9.0, 9.0]), np.array([8.1, 8.3, -np.inf, 0.0]))
    assert (found.count, found.without_slip) == (4, 2)
    assert found.mean_mw == pytest.approx(-0.05) and found.mae_mw == pytest.approx(0.15)
    assert scores.magnitude_scores(np.array([8.0]), np.array([-np.inf])).mae_mw is None


def test_alarms_are_sklearns_confusion():
    rng = np.random.default_rng(3)
    true, predicted = rng.gamma(1, 0.1, (60, 3)), rng.gamma(1, 0.1, (60, 3))
    found = scores.alarm_scores(true, predicted, 0.1)
    no_wave, false, missed, right = sklearn_metrics.confusion_matrix(
        (true >= 0.1).ravel(), (predicted >= 0.1).ravel()
    ).ravel()
    assert (found.no_wave, found.false, found.missed, found.right) == (no_wave, false, missed, right)
    assert found.missed_rate == pytest.approx(missed / (missed + right))
    assert found.false_rate == pytest.approx(false / (false + no_wave))
    assert found.false_share == pytest.approx(false / (false + right))


def test_no_alarm_and_no_wave_have_no_rates():
    found = scores.alarm_scores(np.zeros((2, 1)), np.zeros((2, 1)), 0.1)
    assert found.no_wave == 2 and found.missed_rate is None and found.false_share is None


def test_members_mean_and_spread():
    assert scores.over_seeds([0.5, None, 0.7]).tree() == pytest.approx({"mean": 0.6, "std": np.sqrt(0.02)})
    assert scores.over_seeds([None]) is None


def test_gains_are_least_squares_through_the_origin_at_each_gauge():
    predicted = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.5, 3.0, 0.0]])
    true = predicted * [1.25, 0.5, 1.0] + [[0.1, 0, 0.3], [0, 0, 0], [0, 0, 0]]
    # The first gauge by hand: (1 * 1.35 + 2 * 2.5 + 0.5 * 0.625) / (1 + 4 + 0.25); the third predicts nothing.
    expected = [(1.35 + 5 + 0.3125) / 5.25, 0.5, 1.0]
    np.testing.assert_allclose(scores.peak_gains(true, predicted), expected)
    slopes = [np.linalg.lstsq(predicted[:, [k]], true[:, k], rcond=None)[0][0] for k in (0, 1)]
    np.testing.assert_allclose(scores.peak_gains(true, predicted)[:2], slopes)
