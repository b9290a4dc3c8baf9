"""The typed result of a comparison, as `comparison.json` holds it."""

from __future__ import annotations

from typing import Any

from seis_tf.evaluation.results import Interval, Result, Spread
from seis_tf.evaluation.stats import paired
from seis_tf.evaluation.stats.cost import ModelCost
from seis_tf.evaluation.study import FoldSpread


class FitScores(Result):
    """A job's fits on all folds.

    Attributes:
        job: model and training.
        scores: score to its spread over folds (means over seeds).
        by_fold: the main score [fold][seed].
        std_seeds: standard deviation over the seeds of a fold; None for one seed.
        seconds_a_fit: without compiling.
        seconds_setup: building and compiling.
    """

    job: dict[str, Any]
    scores: dict[str, Spread]
    by_fold: list[list[float]]
    std_seeds: float | None
    seconds_a_fit: float
    seconds_setup: float


class ComparedModel(ModelCost, FitScores):
    """A model of a comparison: its fits, and in the file after them what it costs."""


class Pair(Result):
    """Model a against model b; differences are a - b in the main score.

    Attributes:
        a: name of the one.
        b: name of the other.
        difference: over all test records together, mean over seeds.
        interval: of the difference, from resampled events.
        seed_error: standard error that the seeds alone give the difference; None for one seed.
        p: of sign flips over events.
        corrected_t: over folds.
        mcnemar: of the first seed; absent for a task without classes.
        p_holm: p corrected for the number of pairs; absent where that is not done.
    """

    a: str
    b: str
    difference: float
    interval: Interval
    seed_error: float | None
    p: float
    corrected_t: paired.CorrectedT
    mcnemar: paired.McNemar | None = None
    p_holm: float | None = None


class Comparison(Result):
    """A comparison of several jobs: `comparison.json`.

    Attributes:
        task: of all jobs.
        score: the main score.
        larger_is_better: of the main score.
        dataset: folder of the data set.
        simulated: whether its records were made by a program.
        grouped: whether its records carry event ids.
        records: in the folds.
        by: what the folds keep whole, "group" (events) or "station".
        groups: how many of these.
        folds: number of folds.
        fold_seed: of the folds.
        seeds: fits of each job and fold.
        draws: bootstrap samples.
        models: name to a job's fits.
        trivial: name to a predictor without a network, on the same folds.
        pairs: every two models.
    """

    task: str
    score: str
    larger_is_better: bool
    dataset: str
    simulated: bool
    grouped: bool
    records: int
    by: str
    groups: int
    folds: int
    fold_seed: int
    seeds: int
    draws: int
    models: dict[str, ComparedModel]
    trivial: dict[str, FoldSpread]
    pairs: list[Pair]
