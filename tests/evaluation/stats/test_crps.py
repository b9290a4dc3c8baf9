"""CRPS against closed forms, an integral taken by brute force, and the double sum."""

from __future__ import annotations

import numpy as np
import pytest
import scoringrules
from scipy import integrate, stats

from seis_tf.evaluation.stats.crps import sample_crps, sorted_crps


def by_integral(samples: np.ndarray, truth: float) -> float:
    """The definition: the squared difference of two step functions, integrated piece by piece."""
    knots = np.sort(np.append(samples, truth))
    middle = (knots[:-1] + knots[1:]) / 2
    cdf = (samples[:, None] <= middle).mean(axis=0)
    return float(np.sum((cdf - (truth <= middle)) ** 2 * np.diff(knots)))


def test_samples_of_a_normal_distribution_have_its_closed_form():
    # CRPS(N(m, s), y) = s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)), z = (y - m) / s (Gneiting and Raftery 2007).
    mean, std, truth = 1.5, 2.0, np.array([-3.0, 1.5, 2.2, 9.0])
    z = (truth - mean) / std
    expected = std * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    quantiles = stats.norm.ppf((np.arange(20000) + 0.5) / 20000, mean, std)
    assert sorted_crps(quantiles, truth) == pytest.approx(expected, abs=2e-4)
    # The same by quad over the definition, so that the formula above is no typing error.
    integrand = lambda x: (stats.norm.cdf(x, mean, std) - (x >= 2.2)) ** 2  # noqa: E731
    parts = [integrate.quad(integrand, *ends)[0] for ends in ((-30, 2.2), (2.2, 30))]
    assert sum(parts) == pytest.approx(expected[2], abs=1e-6)


def test_both_ways_are_the_integral_and_the_double_sum():
    random = np.random.default_rng(0)
    samples = np.round(random.gamma(1.0, 2.0, 12), 1)  # with ties
    truths = np.append(random.normal(2, 3, 20), samples[:3])
    expected = [by_integral(samples, truth) for truth in truths]
    double = np.abs(samples[:, None] - truths).mean(axis=0) - np.abs(samples[:, None] - samples).mean() / 2
    assert double == pytest.approx(expected, abs=1e-12)
    assert sorted_crps(np.sort(samples), truths) == pytest.approx(expected, abs=1e-12)
    each = np.tile(random.permutation(samples)[:, None], (1, len(truths)))
    assert sample_crps(each, truths) == pytest.approx(expected, abs=1e-12)


def test_one_sample_scores_its_absolute_error_and_float32_loses_nothing():
    assert sample_crps(np.array([[3.0, -1.0]]), np.array([1.0, 1.0])) == pytest.approx([2.0, 2.0])
    assert sorted_crps(np.array([3.0]), np.array([[1.0], [3.5]])).tolist() == [[2.0], [0.5]]
    near = (1000 + np.arange(5000) / 5000).astype(np.float32)
    assert sorted_crps(near, np.array(1000.5)) == pytest.approx(by_integral(near.astype(float), 1000.5), abs=1e-9)


def test_both_are_those_of_scoringrules():
    rng = np.random.default_rng(11)
    samples, truth = rng.normal(size=(30, 8, 3)), rng.normal(size=(8, 3))
    expected = scoringrules.crps_ensemble(truth, samples, m_axis=0, estimator="nrg")
    assert sample_crps(samples, truth) == pytest.approx(expected, abs=1e-12)
    one = np.sort(samples[:, 0, 0])
    expected = [scoringrules.crps_ensemble(value, one, estimator="nrg") for value in truth.ravel()]
    assert sorted_crps(one, truth.ravel()) == pytest.approx(expected, abs=1e-12)
