"""Paired tests by hand, against SciPy, and on data that is made to have no difference."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score

from seis_tf.evaluation.stats import paired, scores


def test_mcnemar_by_hand():
    """a alone right 8 times, b alone 1 time: p = 2 x P(X <= 1) for X binomial(9, 1/2) = 2 x (1 + 9) / 512."""
    right_a = np.array([True] * 8 + [False] + [True] * 5 + [False] * 4)
    right_b = np.array([False] * 8 + [True] + [True] * 5 + [False] * 4)
    found = paired.mcnemar(right_a, right_b)
    assert (found.only_a, found.only_b) == (8, 1)
    assert found.p == pytest.approx(20 / 512)
    assert paired.mcnemar(right_b, right_a).p == pytest.approx(20 / 512)
    assert paired.mcnemar(right_a, right_a).p == 1.0


def test_sign_flips_of_three_events_by_hand():
    """|±1 ± 2 ± 3| reaches 4 for +++ (6), -++ (4) and their opposites: 4 of 8 patterns; 6 itself for 2 of 8."""
    assert paired.sign_flip_p(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)
    assert paired.sign_flip_p(np.array([-1.0, 2.0, 3.0])) == pytest.approx(4 / 8)
    assert paired.sign_flip_p(np.array([-1.0, 2.0, 3.0, 0.0, 0.0])) == pytest.approx(4 / 8)
    assert paired.sign_flip_p(np.zeros(4)) == 1.0


def test_exact_flips_are_all_patterns_and_many_events_are_drawn():
    rng = np.random.default_rng(0)
    gains = rng.normal(0.4, 1, 12)
    slow = np.mean([abs(np.dot(s, gains)) >= abs(gains.sum()) - 1e-12 for s in itertools.product([-1, 1], repeat=12)])
    assert paired.sign_flip_p(gains) == pytest.approx(slow)
    # The same gains with tiny ones added are more than 16 and are drawn: 100,000 draws have an error of 0.0016 at most.
    many = np.concatenate([gains, np.full(10, 1e-9)])
    assert paired.sign_flip_p(many) == pytest.approx(slow, abs=0.006)


def test_sign_flips_agree_with_scipy():
    rng = np.random.default_rng(1)
    gains = rng.normal(0.3, 1, 10)
    scipy_p = stats.permutation_test((gains,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
    assert paired.sign_flip_p(gains) == pytest.approx(scipy_p)


def test_sixteen_events_are_exact_with_ties_and_seventeen_are_drawn():
    """Equal gains make many equal sums, that rounding must not part: a binomial distribution by hand."""
    gains = np.where(np.arange(16) < 12, 0.1, -0.1)  # 12 to 4: as far from 8 as at most 4, or at least 12, heads
    assert paired.sign_flip_p(gains) == pytest.approx(2 * stats.binom(16, 0.5).cdf(4), rel=1e-12)
    more = np.append(gains, 0.1)
    exact = 2 * stats.binom(17, 0.5).cdf(4)
    error = 4 * np.sqrt(exact * (1 - exact) / 100_000)
    drawn = paired.sign_flip_p(more)
    assert drawn == pytest.approx(exact, abs=error) and drawn != exact
    assert drawn == paired.sign_flip_p(more)  # the same seed, the same patterns


def test_without_a_difference_p_is_uniform():
    rng = np.random.default_rng(2)
    p = [paired.sign_flip_p(rng.normal(size=10)) for _ in range(400)]
    # 400 uniform values: the largest distance from the diagonal stays below 1.95 / sqrt(400) in 99.9 % of cases.
    assert stats.kstest(p, "uniform").statistic < 1.95 / 20


def test_corrected_t_by_hand():
    """Differences .02 .04 .00 .06 .03: mean .03, variance .0005; n_test / n_train = 1/4.

    error = sqrt((1/5 + 1/4) x .0005) = sqrt(.000225) = .015, so t = 2 with 4 degrees of freedom, p = .1161.
    """
    found = paired.corrected_t(np.array([0.02, 0.04, 0.00, 0.06, 0.03]), n_train=80, n_test=20)
    assert found.difference == pytest.approx(0.03)
    assert found.t == pytest.approx(2.0)
    assert found.p == pytest.approx(0.1161, abs=5e-5)
    # 97.5 % point of t with 4 degrees of freedom: 2.7764.
    assert found.interval == pytest.approx((0.03 - 2.7764 * 0.015, 0.03 + 2.7764 * 0.015), abs=1e-6)


def test_without_the_correction_it_is_the_usual_t_test():
    differences = np.random.default_rng(3).normal(0.1, 0.2, 8)
    found = paired.corrected_t(differences, n_train=1e12, n_test=1)
    usual = stats.ttest_1samp(differences, 0)
    assert (found.t, found.p) == (pytest.approx(usual.statistic), pytest.approx(usual.pvalue))


def test_folds_that_all_differ_alike_have_no_t():
    found = paired.corrected_t(np.array([0.1, 0.1, 0.1]), 80, 20)
    assert (found.t, found.p, found.interval) == (None, None, (pytest.approx(0.1), pytest.approx(0.1)))
    with pytest.raises(ValueError, match="expected at least 2 folds, received 1"):
        paired.corrected_t(np.array([0.1]), 80, 20)


@pytest.fixture
def answers():
    rng = np.random.default_rng(5)
    labels, groups = rng.integers(0, 3, 200), rng.integers(0, 30, 200).astype(str)
    a, b = (np.where(rng.uniform(size=200) < right, labels, rng.integers(0, 3, 200)) for right in (0.8, 0.6))
    return labels, groups, a, b


def test_gains_of_events_add_up_to_the_difference(answers):
    labels, groups, a, b = answers
    gains = paired.event_gains(labels, a == labels, b == labels, groups)
    assert len(gains) == len(set(groups))
    difference = balanced_accuracy_score(labels, a) - balanced_accuracy_score(labels, b)
    assert gains.sum() == pytest.approx(difference)


def test_bootstraps_are_those_of_copied_events(answers):
    labels, groups, a, b = answers
    found = paired.bootstrap_balanced_accuracy(labels, np.stack([a, b]), groups, 3, draws=4, seed=9)
    errors = (a != labels).astype(float)
    means = paired.bootstrap_mean(errors, groups, draws=4, seed=9)
    names, group = np.unique(groups, return_inverse=True)
    for k, times in enumerate(scores.group_draws(len(names), 4, seed=9)):
        rows = np.concatenate([np.tile(np.flatnonzero(group == g), times[g]) for g in range(len(names))])
        slow = np.mean([balanced_accuracy_score(labels[rows], row[rows]) for row in (a, b)])
        assert found[k] == pytest.approx(slow)
        assert means[k] == pytest.approx(errors[rows].mean())


def test_holm_by_hand():
    # Sorted .01 .03 .04 times 3, 2, 1: .03 .06 .04, and never below the one before.
    assert paired.holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])
    assert paired.holm(np.array([0.7, 0.9])) == pytest.approx([1, 1])


def test_the_error_of_the_seeds_by_hand():
    # Seeds of a differ by 0.2 in both folds: variance 0.02; those of b not at all. Four fits: sqrt(0.02 / 4).
    one, two = np.array([[0.7, 0.9], [0.5, 0.7]]), np.array([[0.6, 0.6], [0.5, 0.5]])
    assert paired.seed_error(one, two) == pytest.approx(np.sqrt(0.005))
    assert paired.seed_error(one[:, :1], two[:, :1]) is None
