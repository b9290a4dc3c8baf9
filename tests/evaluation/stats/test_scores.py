"""Scores against scikit-learn and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from seis_tf.evaluation.stats import scores

NAMES = ("AE", "UP", "noise")


def test_headlines_are_those_of_scikit_learn(answers):
    labels, probabilities, _ = answers
    predicted = probabilities.argmax(axis=1)
    found = scores.headline_scores(labels, probabilities)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(labels, predicted), abs=1e-12)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(labels, predicted), abs=1e-12)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities), abs=1e-12)
    # Brier's sum over classes is the sum of scikit-learn's binary scores, each class against the rest.
    brier = sum(metrics.brier_score_loss(labels == k, probabilities[:, k]) for k in range(3))
    assert found["brier"] == pytest.approx(brier, abs=1e-12)


def test_ece_by_hand():
    """Four records in two bins: (0.6, 0.6) with one right and (0.8, 1.0) with both right."""
    confidence = np.array([0.6, 0.8, 0.6, 1.0])
    correct = np.array([True, True, False, True])
    found = scores.reliability(confidence, correct, n_bins=2)
    assert found.confidence == pytest.approx([0.6, 0.9])
    assert found.accuracy == pytest.approx([0.5, 1.0])
    assert found.records.tolist() == [2, 2]
    assert found.ece == pytest.approx((2 * 0.1 + 2 * 0.1) / 4)


def test_ece_bins_have_equal_mass_and_no_order():
    rng = np.random.default_rng(0)
    confidence = np.round(rng.uniform(0.4, 1, 500), 2)  # many are equal
    correct = rng.uniform(size=500) < confidence
    found = scores.reliability(confidence, correct)
    assert sorted(set(found.records.tolist())) == [33, 34]  # 500 = 5 x 34 + 10 x 33
    order = rng.permutation(500)
    again = scores.reliability(confidence[order], correct[order])
    assert again.ece == pytest.approx(found.ece, abs=1e-12)
    # The bins cover all records, so their weighted means are the means of all.
    assert np.average(found.accuracy, weights=found.records) == pytest.approx(correct.mean())
    assert np.average(found.confidence, weights=found.records) == pytest.approx(confidence.mean())


def test_ece_of_known_probabilities_is_small_and_of_overconfident_ones_is_the_excess():
    rng = np.random.default_rng(3)
    truth = rng.uniform(0.5, 0.9, 20000)
    labels = (rng.uniform(size=20000) > truth).astype(int)
    calibrated = np.stack([truth, 1 - truth], axis=1)
    # 15 bins of 1333: each bin's accuracy has a deviation of at most sqrt(1/4/1333) = 0.0137; the mean of their
    # absolute values is about 0.8 of that.
    assert scores.ece(labels, calibrated) < 0.015
    overconfident = np.stack([truth + 0.1, 0.9 - truth], axis=1)
    assert scores.ece(labels, overconfident) == pytest.approx(0.1, abs=0.01)


def test_the_bootstrap_draws_whole_events(answers):
    labels, probabilities, groups = answers
    draws = scores.bootstrap(labels, probabilities, groups, draws=5, seed=11)
    names, group = np.unique(groups, return_inverse=True)
    times = scores.group_draws(len(names), 5, seed=11)
    assert times.sum(axis=1).tolist() == [len(names)] * 5
    for k in range(5):  # the slow way: copy the events' records and score the copy
        rows = np.concatenate([np.tile(np.flatnonzero(group == g), times[k, g]) for g in range(len(names))])
        slow = scores.headline_scores(labels[rows], probabilities[rows])
        assert {name: values[k] for name, values in draws.items()} == pytest.approx(slow, abs=1e-12)


def test_the_interval_of_few_events_is_wider_than_that_of_many_records():
    """Ten events of 30 records that are right or wrong together: the interval must be that of ten, not of 300."""
    labels = np.zeros(300, int)
    groups = np.repeat(np.arange(10).astype(str), 30)
    right = np.repeat(np.arange(10) % 2 == 0, 30)
    probabilities = np.where(right[:, None], [0.9, 0.1], [0.1, 0.9])
    low, high = scores.interval(scores.bootstrap(labels, probabilities, groups, 2000)["accuracy"])
    # The number of right events among ten draws is binomial(10, 1/2): 2.5 % and 97.5 % points are 2 and 8.
    assert (low, high) == (pytest.approx(0.2), pytest.approx(0.8))


def test_each_event_counts_once():
    # Event a: 3 of 4 AE found; event b: 0 of 1; event c: 2 of 2 noise. AE (0.75 + 0) / 2, noise 1.
    labels = np.array([0, 0, 0, 0, 0, 1, 1])
    predicted = np.array([0, 0, 0, 1, 1, 1, 1])
    found = scores.event_balanced_accuracy(labels, predicted, np.array(list("aaaabcc")))
    assert found == pytest.approx((0.375 + 1) / 2)


def test_mean_and_deviation_over_folds():
    # By hand: mean 0.8, squared deviations 0.01 + 0 + 0.01 over n - 1 = 2.
    assert scores.summary([0.7, 0.8, 0.9]).tree() == {"mean": pytest.approx(0.8), "std": pytest.approx(0.1)}
    assert scores.summary([0.7]).tree() == {"mean": 0.7, "std": 0.0}
