"""Folds: whole groups, every record tested once, nothing of a test record in what training sees."""

from __future__ import annotations

import numpy as np
import pytest

from seis_tf.evaluation.stats import folds


@pytest.fixture
def records():
    """Forty events with 1 to 9 records; AE and noise share events, UP has its own."""
    rng = np.random.default_rng(2)
    labels, groups = [], []
    for event in range(40):
        for _ in range(rng.integers(1, 10)):
            labels.append(1 if event % 4 == 0 else int(rng.choice([0, 2])))
            groups.append(f"e{event:02d}")
    return np.array(labels), np.array(groups)


def test_every_record_is_tested_once_and_no_group_is_torn(records):
    labels, groups = records
    found = folds.grouped_folds(labels, groups, 5)
    assert sorted(np.concatenate([fold.test for fold in found]).tolist()) == list(range(len(labels)))
    for fold in found:
        parts = [set(groups[rows]) for rows in (fold.train, fold.valid, fold.test)]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
        assert sorted(np.concatenate([fold.train, fold.valid, fold.test]).tolist()) == list(range(len(labels)))
        assert set(labels[fold.train]) == set(labels[fold.valid]) == set(labels[fold.test]) == {0, 1, 2}
        assert folds.torn_groups(fold, groups).size == 0


def test_validation_is_near_the_part_asked_for(records):
    labels, groups = records
    for fold in folds.grouped_folds(labels, groups, 5, valid_fraction=0.25):
        part = len(fold.valid) / (len(fold.valid) + len(fold.train))
        assert part == pytest.approx(0.25, abs=0.1)


def test_seeds_decide_the_folds(records):
    labels, groups = records
    same = [folds.grouped_folds(labels, groups, 4, seed=3)[0].test.tolist() for _ in range(2)]
    assert same[0] == same[1]
    assert folds.grouped_folds(labels, groups, 4, seed=4)[0].test.tolist() != same[0]


def test_folds_by_station_keep_stations_whole():
    labels, stations = np.arange(240) % 2, np.array([f"S{k % 13}" for k in range(240)])
    for fold in folds.grouped_folds(labels, stations, 4):
        assert not set(stations[fold.train]) & set(stations[fold.test])


def test_random_folds_tear_groups(records):
    labels, groups = records
    found = folds.random_folds(labels, 5)
    assert sorted(np.concatenate([fold.test for fold in found]).tolist()) == list(range(len(labels)))
    assert all(folds.torn_groups(fold, groups).size > 10 for fold in found)


def test_records_without_classes_are_folded_too():
    groups = np.array([f"run{k:03d}" for k in range(50)])
    found = folds.grouped_folds(np.zeros(50, int), groups, 5)
    assert [len(fold.test) for fold in found] == [10] * 5


def test_a_class_with_too_few_groups_is_refused():
    labels, groups = np.array([0, 0, 0, 1, 1, 1]), np.array(list("abcdde"))
    with pytest.raises(ValueError, match="at least 3 groups of each class, received 2 of class 1"):
        folds.grouped_folds(labels, groups, 3)
    with pytest.raises(ValueError, match="at least 3 groups of each class, received 2 of class 1"):
        folds.grouped_folds(labels, groups, 2)
    with pytest.raises(ValueError, match="folds: expected at least 2, received 1"):
        folds.grouped_folds(labels, groups, 1)


def test_three_groups_of_a_class_are_enough_for_three_folds():
    """One is tested, and of the two left one is for training and one for choosing."""
    labels = np.array([0] * 30 + [1] * 3)
    groups = np.array([f"a{k}" for k in range(30)] + ["b0", "b1", "b2"])
    for fold in folds.grouped_folds(labels, groups, 3):
        assert [np.sum(labels[rows]) for rows in (fold.train, fold.valid, fold.test)] == [1, 1, 1]


def test_a_fold_without_a_class_is_refused_with_the_groups_of_each():
    """Six groups of one to three records, found by trying: balancing sizes leaves a test part without class 0."""
    labels, groups = np.array([0, 0, 1, 0, 0, 1, 1, 0, 0, 1]), np.array(list("0011344555"))
    message = r"fold 1: expected .* in test, received none of class 0 \(groups by class: 0: 4, 1: 3\); try fewer folds"
    with pytest.raises(ValueError, match=message):
        folds.grouped_folds(labels, groups, 3)


def test_parts_lie_inside_each_other_and_keep_whole_groups(records):
    labels, groups = records
    rows = folds.grouped_folds(labels, groups, 5)[0].train
    parts = folds.nested_subset(rows, labels, groups, (0.1, 0.3, 0.6, 1.0), seed=0)
    for small, large in zip(parts, parts[1:], strict=False):
        assert set(small) < set(large)
    assert parts[-1].tolist() == rows.tolist()
    for part in parts:
        outside = np.setdiff1d(rows, part)
        assert not set(groups[part]) & set(groups[outside])
        assert set(labels[part]) == {0, 1, 2}
    n_groups = len(set(groups[rows]))
    for fraction, part in zip((0.1, 0.3, 0.6), parts, strict=False):
        # Each kind of group is rounded up by itself: at most one group more for each of the three.
        assert fraction * n_groups <= len(set(groups[part])) <= fraction * n_groups + 3


@pytest.mark.parametrize("fractions", [(), (0.5, 0.2), (0.0, 1.0), (0.5, 1.2), (0.5, 0.5)])
def test_fractions_that_are_no_growing_parts_are_refused(records, fractions):
    labels, groups = records
    with pytest.raises(ValueError, match=r"fractions: expected ascending values above 0 and up to 1, received \["):
        folds.nested_subset(np.arange(len(labels)), labels, groups, fractions, seed=0)
