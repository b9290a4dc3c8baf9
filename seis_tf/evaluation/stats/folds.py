"""Grouped k-fold over a data set in memory: no shard is written again, a fold is three lists of rows.

Whole events (or stations) are tested, stratified by class as far as events allow. What training chooses by (the best
epoch) it chooses on events of the training side, so that nothing of a fold's test records decides anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


@dataclass(frozen=True)
class Fold:
    """Rows of a table.

    Attributes:
        train: fitted to.
        valid: what training chooses by; of other groups than `train`.
        test: scored on; of other groups than both, unless the folds are random.
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def grouped_folds(
    labels: np.ndarray, groups: np.ndarray, n_folds: int = 5, *, valid_fraction: float = 0.15, seed: int = 0
) -> list[Fold]:
    """Folds of whole groups; every record is tested once.

    Args:
        labels: int [record]; all 0 where there are no classes.
        groups: event or station of each record [record].
        n_folds: how many.
        valid_fraction: part of each training side that is taken for validation, by groups.
        seed: of the order of groups.

    Raises:
        ValueError: fewer than two folds, or a fold in which a class is absent from training, validation or test; gives
            the groups of each class.
    """
    if n_folds < 2:
        raise ValueError(f"folds: expected at least 2, received {n_folds}")
    _check_enough(labels, groups, n_folds)
    outer = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = []
    for number, (rest, test) in enumerate(outer.split(labels, labels, groups)):
        parts = max(min(round(1 / valid_fraction), len(np.unique(groups[rest]))), 2)
        inner = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        train, valid = _best_inner(inner, labels[rest], groups[rest], valid_fraction)
        fold = Fold(rest[train], rest[valid], test)
        _check_classes(fold, number, labels, groups)
        folds.append(fold)
    return folds


def random_folds(labels: np.ndarray, n_folds: int = 5, *, valid_fraction: float = 0.15, seed: int = 0) -> list[Fold]:
    """Folds of single records whatever their events: what many papers do, here only to measure how much it flatters.

    Arguments and errors as for `grouped_folds`.
    """
    ids = np.arange(len(labels))
    _check_enough(labels, ids, n_folds)
    outer = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    folds = []
    for rest, test in outer.split(labels, labels):
        inner = StratifiedKFold(round(1 / valid_fraction), shuffle=True, random_state=seed)
        train, valid = next(iter(inner.split(labels[rest], labels[rest])))
        folds.append(Fold(rest[train], rest[valid], test))
    return folds


def torn_groups(fold: Fold, groups: np.ndarray) -> np.ndarray:
    """Groups that have records both in training (or validation) and in test."""
    return np.intersect1d(groups[np.concatenate([fold.train, fold.valid])], groups[fold.test])


def nested_subset(
    rows: np.ndarray, labels: np.ndarray, groups: np.ndarray, fractions: Sequence[float], seed: int
) -> list[np.ndarray]:
    """Smaller and smaller parts of some rows, by whole groups, each inside the next larger one.

    Each class keeps its share: groups are taken by the rarest class that they hold.

    Args:
        rows: to choose from.
        labels: int [record] of the whole table.
        groups: likewise.
        fractions: of the groups, above 0 to 1, ascending; of each class at least one group is kept.
        seed: of the order in which groups are taken.

    Raises:
        ValueError: fractions that are not ascending within (0, 1].
    """
    if not fractions or list(fractions) != sorted(set(fractions)) or not 0 < fractions[0] <= fractions[-1] <= 1:
        raise ValueError(f"fractions: expected ascending values above 0 and up to 1, received {list(fractions)}")
    names, group = np.unique(groups[rows], return_inverse=True)
    counts = np.bincount(labels[rows])
    # Rank 0 is the rarest class; a group belongs to the rarest that it holds.
    rank = np.empty(len(counts), int)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
    kind = np.full(len(names), len(counts))
    np.minimum.at(kind, group, rank[labels[rows]])
    order = np.random.default_rng(seed).permutation(len(names))
    place = np.empty(len(names))
    for k in np.unique(kind):
        own = order[kind[order] == k]
        place[own] = np.arange(len(own)) / len(own)  # 0 for the first: it is in every part
    return [rows[place[group] < fraction] for fraction in fractions]


def _best_inner(splitter, labels: np.ndarray, groups: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the splitter's parts the one whose size is nearest to what was asked for, with every class where possible."""
    classes = len(np.unique(labels))

    def misfit(parts: tuple[np.ndarray, np.ndarray]) -> tuple[bool, float]:
        train, valid = parts
        whole = len(np.unique(labels[train])) == len(np.unique(labels[valid])) == classes
        return not whole, abs(len(valid) / len(labels) - fraction)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # classes that are absent are refused below
        return min(splitter.split(labels, labels, groups), key=misfit)


def _check_enough(labels: np.ndarray, groups: np.ndarray, n_folds: int) -> None:
    for label in np.unique(labels):
        found = len(np.unique(groups[labels == label]))
        if found < max(n_folds, 3):  # one each for training, validation and test
            raise ValueError(
                f"folds: expected at least {max(n_folds, 3)} groups of each class, received {found} of class {label}"
            )


def _check_classes(fold: Fold, number: int, labels: np.ndarray, groups: np.ndarray) -> None:
    classes = np.unique(labels)
    for part in ("train", "valid", "test"):
        missing = np.setdiff1d(classes, labels[getattr(fold, part)])
        if missing.size:
            counts = ", ".join(f"{label}: {len(np.unique(groups[labels == label]))}" for label in classes)
            raise ValueError(
                f"fold {number}: expected records of every class in {part}, received none of class "
                f"{', '.join(map(str, missing))} (groups by class: {counts}); try fewer folds or another seed"
            )
