"""Conformal intervals: ranks by hand, coverage of data with a known distribution, the error model, what is refused."""

from __future__ import annotations

import crepes
import numpy as np
import pytest
from scipy import stats

from seis_tf.evaluation.stats import intervals
from seis_tf.evaluation.stats.intervals import Intervals, Predicted, QuantityIntervals


def events(count: int, seed: int) -> tuple[np.ndarray, Predicted, np.ndarray]:
    """Two channels: skewed errors with a bias that grow with the size and the spread; the centre is the third."""
    random = np.random.default_rng(seed)
    size, spread = random.gamma(2.0, 1.0, (count, 2)), random.gamma(2.0, 0.2, (count, 2))
    error = (random.gamma(2.0, 1.0, (count, 2)) - 1) * np.sqrt(0.1 + 4 * spread**2 + 0.09 * size**2)
    centre = random.uniform(5, 10, (count, 2))
    return centre + error, Predicted(centre, spread, size), random.integers(0, 3, count)


def covered(truth, ends) -> np.ndarray:
    return ((ends[0] <= truth[..., None]) & (truth[..., None] <= ends[1])).mean(axis=0)


@pytest.mark.parametrize(
    ("count", "level", "ranks"),
    # floor((n + 1) (1 - level) / 2) and its mirror image, by hand: 40 * 0.025 = 1; 100 * 0.1 = 10; 4 * 0.25 = 1;
    # 2001 * 0.025 = 50.025.
    [(39, 0.95, (1, 39)), (99, 0.8, (10, 90)), (3, 0.5, (1, 3)), (2000, 0.95, (50, 1951)), (40, 0.95, (1, 40))],
)
def test_ends_are_these_of_the_sorted_scores(count, level, ranks):
    assert intervals.end_ranks(count, level) == ranks
    low, high = ranks
    assert (high - low) / (count + 1) >= level - 1e-12  # the promise
    assert high == min(int(np.ceil((count + 1) * (1 + level) / 2 - 1e-9)), count)


def test_too_few_records_for_a_level_are_refused():
    assert [intervals.smallest_count(level) for level in (0.5, 0.8, 0.95)] == [3, 9, 39]
    with pytest.raises(ValueError, match="expected at least 39 validation records for 95 % intervals, received 38"):
        intervals.end_ranks(38, 0.95)


def test_the_mean_coverage_over_calibrations_is_exactly_what_the_ranks_say():
    """Of scores that are uniform, the interval between ranks 1 and 9 of 9 holds 8 of 10 in the mean."""
    random = np.random.default_rng(0)
    held = []
    for _ in range(4000):
        fitted = intervals.Conformal(np.array([[1.0, 0, 0]]), [[np.sort(random.normal(size=9))]])
        own = fitted.settings((0.8,))
        held.append(stats.norm.cdf(own.upper[0][0][0]) - stats.norm.cdf(own.lower[0][0][0]))
    # A Beta(8, 2) distribution: mean 0.8, deviation sqrt(0.8 * 0.2 / 11) = 0.1206, 0.0019 of the mean of 4,000.
    assert np.mean(held) == pytest.approx(0.8, abs=0.006)
    assert np.std(held) == pytest.approx(0.1206, abs=0.006)


def test_biased_skewed_and_unequal_errors_are_covered_as_stated_in_every_bin():
    truth, predicted, bins = events(6000, 1)
    fitted = intervals.fit_conformal(truth, predicted, bins[:, None], 3)
    truth, predicted, bins = events(3000, 2)
    ends = fitted.settings().bounds(predicted, bins[:, None])
    assert ends[0].shape == (3000, 2, 3)
    for number in range(3):
        rows = bins == number
        found = covered(truth[rows], [end[rows] for end in ends])
        for level, values in zip(intervals.LEVELS, found.T, strict=True):
            low, high = intervals.coverage_limits(int(rows.sum()), level, 2000)
            assert np.all((low <= values) & (values <= high)), (number, level, values)
    # Both tails apart: as many below as above, though the errors are skewed and biased.
    below = (truth[..., None] < ends[0]).mean(axis=(0, 1))
    assert below == pytest.approx([0.25, 0.1, 0.025], abs=0.02)


def test_bins_of_their_own_hold_where_common_ones_do_not():
    random = np.random.default_rng(3)
    noisy = np.arange(4000) % 2
    truth = (random.normal(size=4000) * np.where(noisy, 5.0, 1.0))[:, None]
    nothing = Predicted(*np.zeros((3, 4000, 1)))
    common = intervals.fit_conformal(truth, nothing, np.zeros((4000, 1), int), 1).settings()
    apart = intervals.fit_conformal(truth, nothing, noisy[:, None], 2).settings()
    calm = noisy == 0
    assert covered(truth[calm], [end[calm] for end in common.bounds(nothing, np.zeros((4000, 1), int))])[0, 0] > 0.8
    found = covered(truth[calm], [end[calm] for end in apart.bounds(nothing, noisy[:, None])])[0]
    assert found == pytest.approx([0.5, 0.8, 0.95], abs=0.01)


def test_bins_may_differ_from_minute_to_minute():
    own = QuantityIntervals(scale=[(4, 0, 0)] * 2, lower=[[[-1], [-2]], [[-3], [-4]]], upper=[[[1], [2]], [[3], [4]]])
    predicted = Predicted(np.full((1, 3, 2), 10.0), *np.zeros((2, 1, 3, 2)))
    bins = np.array([[[0, 1], [1, 0], [1, 1]]])
    low, high = own.bounds(predicted, bins)
    # difficulty 2: 10 -/+ 2 x the end of bin and channel
    assert low[..., 0].tolist() == [[[8, 2], [4, 6], [4, 2]]] and high[0, 0, :, 0].tolist() == [12, 18]


def test_the_error_model_is_found_again():
    random = np.random.default_rng(4)
    spread, size = random.gamma(2.0, 0.5, (2, 40000, 1))
    error = random.normal(size=(40000, 1)) * np.sqrt(0.2 + 9 * spread**2 + 0.25 * size**2)
    [scale] = intervals.fit_scale(error, Predicted(size, spread, size))
    assert scale == pytest.approx([0.2, 9, 0.25], rel=0.15)
    # In other units the same: errors and sizes in mm.
    [small] = intervals.fit_scale(1e-3 * error, Predicted(size, 1e-3 * spread, 1e-3 * size))
    assert small == pytest.approx(scale * [1e-6, 1, 1], rel=1e-3)


def test_what_never_happens_has_an_interval_without_width():
    truth, nothing = np.zeros((50, 1)), Predicted(*np.zeros((3, 50, 1)))
    own = intervals.fit_conformal(truth, nothing, np.zeros((50, 1), int), 1).settings()
    low, high = own.bounds(nothing, np.zeros((50, 1), int))
    assert not low.any() and not high.any()


def test_the_predictive_distribution_is_that_of_the_scores():
    truth, predicted, bins = events(300, 5)
    fitted = intervals.fit_conformal(truth, predicted, bins[:, None], 3)
    found = fitted.crps(truth, predicted, bins[:, None])
    width = intervals.difficulty(predicted, fitted.scale)
    for row, channel in ((0, 0), (7, 1), (123, 0)):
        samples = predicted.centre[row, channel] + width[row, channel] * fitted.scores[bins[row]][channel]
        # mean |x - y| - mean |x - x'| / 2
        expected = np.abs(samples - truth[row, channel]).mean() - np.abs(samples[:, None] - samples).mean() / 2
        assert found[row, channel] == pytest.approx(expected, rel=1e-9)


def test_bins_have_equal_numbers_and_not_too_few():
    values = np.random.default_rng(6).normal(size=1000)
    edges = intervals.bin_edges(values, 150, 4)
    assert np.bincount(intervals.bin_of(values, edges)).tolist() == [250] * 4
    assert len(intervals.bin_edges(values[:449], 150, 4)) == 1
    assert len(intervals.bin_edges(values[:100], 150, 4)) == 0
    assert len(intervals.bin_edges(np.zeros(1000), 150, 4)) == 0  # equal values can't be parted
    assert intervals.bin_of(np.array([1.0, 1.1, 2.0, 9.0]), np.array([1.0, 2.0])).tolist() == [0, 1, 1, 2]


def test_limits_of_the_coverage_are_quantiles_of_its_distribution():
    # Binomial(1000, 0.95): P(X <= 930) = 0.0037, P(X <= 931) = 0.0055; P(X <= 966) = 0.9938, P(X <= 967) = 0.9963.
    assert intervals.coverage_limits(1000, 0.95) == (0.931, 0.967)
    random = np.random.default_rng(7)
    held = random.binomial(1000, random.beta(1951 - 50, 2001 - (1951 - 50), 200000)) / 1000
    low, high = intervals.coverage_limits(1000, 0.95, 2000)
    assert (low, high) == pytest.approx(np.quantile(held, [0.005, 0.995]), abs=0.0011)
    assert low < 0.931 and high > 0.967


def test_normal_intervals_are_so_many_deviations():
    own = intervals.normal_quantity()
    assert own.upper[0][0] == pytest.approx((0.67449, 1.28155, 1.95996), abs=1e-5)
    predicted = Predicted(np.array([[1.0, 0.2]]), np.array([[2.0, 0.1]]), np.zeros((1, 2)))
    low, high = own.bounds(predicted, np.zeros(1, int))
    assert high[0, :, 2] == pytest.approx([1 + 2 * 1.95996, 0.2 + 0.195996], abs=1e-4) and low[0, 0, 2] < 0
    clipped = intervals.normal_quantity(never_negative=True).bounds(predicted, np.zeros(1, int))[0]
    assert clipped[0, 0].tolist() == [0, 0, 0] and clipped[0, 1, 0] > 0


def test_no_records_in_a_bin_are_refused():
    with pytest.raises(ValueError, match=r"expected validation records in each of 2 bins, received \[5, 0\]"):
        intervals.fit_conformal(np.zeros((5, 1)), Predicted(*np.zeros((3, 5, 1))), np.zeros((5, 1), int), 2)


GOOD = {"scale": [[1, 0, 0]], "lower": [[[-1, -2, -3]]], "upper": [[[1, 2, 3]]]}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"quantities": {"mw": GOOD | {"scale": [[-1, 0, 0]]}}}, "scale: expected numbers of 0 or more, received -1"),
        ({"quantities": {"mw": GOOD | {"scale": [[1, 0, 0]] * 2}}}, "expected 2 channels in each bin, received"),
        ({"quantities": {"mw": GOOD | {"upper": [[[1, 2, -4]]]}}}, "lower: expected at most upper"),
        ({"quantities": {"mw": GOOD}, "edges": [8.0]}, r"mw: expected \(2, 3\) bins and levels, received \(1, 3\)"),
        ({"quantities": {"mw": GOOD}, "levels": [0.5]}, r"mw: expected \(1, 1\) bins and levels, received \(1, 3\)"),
        ({"quantities": {"mw": GOOD | {"calm_below": 0.1}}}, r"mw: expected \(2, 3\) bins and levels"),
        ({"quantities": {"mw": GOOD | {"upper": [[[1, 2, float("inf")]]]}}}, "finite"),
    ],
)
def test_stored_intervals_that_can_not_be_are_refused(tree, message):
    Intervals.model_validate({"quantities": {"mw": GOOD}})
    with pytest.raises(ValueError, match=message):
        Intervals.model_validate(tree)


def test_ends_are_those_of_crepes():
    """A conformal predictive system of signed errors over the difficulty, in the same bins."""
    truth, predicted, bins = events(400, 3)
    fitted = intervals.fit_conformal(truth, predicted, bins[:, None], 3)
    _, new, new_bins = events(50, 4)
    lower, upper = fitted.settings().bounds(new, new_bins[:, None])
    sigma, new_sigma = (intervals.difficulty(each, fitted.scale) for each in (predicted, new))
    for k in range(2):
        system = crepes.ConformalPredictiveSystem()
        system.fit(truth[:, k] - predicted.centre[:, k], sigmas=sigma[:, k], bins=bins, seed=0)
        for place, level in enumerate(intervals.LEVELS):
            ends = system.predict_int(new.centre[:, k], sigmas=new_sigma[:, k], bins=new_bins, confidence=level)
            assert lower[:, k, place] == pytest.approx(ends[:, 0])
            assert upper[:, k, place] == pytest.approx(ends[:, 1])
