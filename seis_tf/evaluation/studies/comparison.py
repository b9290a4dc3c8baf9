"""`compare`: two or more jobs on the same grouped folds: which is better, may it be chance, and at what cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf import tasks
from seis_tf.dataset.shards import SPLITS
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.stats import cost, paired, scores
from seis_tf.evaluation.stats.folds import Fold, grouped_folds
from seis_tf.evaluation.studies import fitting
from seis_tf.evaluation.studies.comparison_report import report_of
from seis_tf.evaluation.studies.comparison_result import ComparedModel, Comparison, Pair
from seis_tf.evaluation.studies.fitting import Progress, Trained
from seis_tf.evaluation.studies.writing import write_study
from seis_tf.evaluation.study import Evaluation
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.files import rows_as_csv
from seis_tf.settings.training import TrainJob


@dataclass(frozen=True)
class Answered:
    """What one job answered to every record when that was a test record.

    Attributes:
        values: classes [seed, record], or squared slip errors in m^2 [seed, record].
        by_fold: the main score [fold, seed].
        rows: all scores, one a fold and seed.
    """

    values: np.ndarray
    by_fold: np.ndarray
    rows: list[dict[str, Any]]

    @property
    def std_seeds(self) -> float | None:
        """Standard deviation of the main score over the seeds of a fold, pooled over folds; None for one seed."""
        if self.by_fold.shape[1] < 2:
            return None
        return float(np.sqrt(self.by_fold.var(axis=1, ddof=1).mean()))


def compare(
    dataset: Path | str,
    models: Mapping[str, TrainJob],
    out: Path | str,
    *,
    n_folds: int = 5,
    seeds: int = 1,
    fold_seed: int = 0,
    by: str = "group",
    splits: Sequence[str] = SPLITS,
    draws: int = 2000,
    progress: Progress = lambda done, total: None,
) -> Comparison:
    """Fits every job on the same folds and compares their answers record by record.

    Long because each setting of the study is a keyword with a default, described below, and a field of the result.

    Args:
        dataset: the data set's folder.
        models: name to job; at least two, all for the data set's task.
        out: folder for `comparison.json`, `scores.csv`, `figures/` and `report.html`.
        n_folds: every record is tested once.
        seeds: fits of each job and fold, from the job's own seed on.
        fold_seed: of the folds.
        by: what is kept whole: "group" (events) or "station".
        splits: of the data set that are folded.
        draws: bootstrap samples.
        progress: called with the hundredths done and in all.

    Returns:
        The result, which `comparison.json` holds.

    Raises:
        ValueError: fewer than two jobs, jobs of different tasks, or as `folds.grouped_folds`.
    """
    if len(models) < 2:
        raise ValueError(f"compare: expected at least 2 models, received {len(models)}")
    tables = {name: fitting.load_table(job, dataset, splits) for name, job in models.items()}
    table, first = next(iter(tables.values())), next(iter(models.values()))
    units = fitting.groups_of(table, by)
    folds = grouped_folds(fitting.labels_of(table), units, n_folds, seed=fold_seed)
    answers, described = {}, {}
    for number, (name, job) in enumerate(models.items()):
        part = fitting.in_all(progress, number, len(models))
        answers[name], described[name] = _fit_model(job, tables[name], folds, seeds, part)
    task = evaluation_of(first.model)
    score, larger = fitting.main_score(first)
    result = Comparison(
        task=table.info.task,
        score=score,
        larger_is_better=larger,
        dataset=str(dataset),
        simulated=table.info.simulated,
        grouped=table.info.grouped,
        records=len(table),
        by=by,
        groups=len(np.unique(units)),
        folds=n_folds,
        fold_seed=fold_seed,
        seeds=seeds,
        draws=draws,
        models=described,
        trivial=task.trivial(table, folds),
        pairs=_pairs(answers, task, table, units, folds, draws),
    )
    _write(result, {name: answered.rows for name, answered in answers.items()}, Path(dataset), Path(out))
    return result


def _pairs(
    answers: Mapping[str, Answered],
    task: Evaluation,
    table: Table,
    units: np.ndarray,
    folds: Sequence[Fold],
    draws: int,
) -> list[Pair]:
    """Every two models, p values corrected for the number of pairs."""
    found = [compare_pair((a, answers[a]), (b, answers[b]), table, units, folds, task, draws)
             for a, b in combinations(answers, 2)]  # fmt: skip
    corrected = paired.holm(np.array([pair.p for pair in found]))
    return [pair.model_copy(update={"p_holm": float(p)}) for pair, p in zip(found, corrected, strict=True)]


def _write(result: Comparison, rows_of: Mapping[str, list[dict[str, Any]]], dataset: Path, out: Path) -> None:
    rows = [{"model": name} | row for name, rows in rows_of.items() for row in rows]
    report = report_of(result, dataset.resolve().name)
    write_study(out, "comparison", result, report, {"scores.csv": rows_as_csv(rows)})


def compare_pair(
    one: tuple[str, Answered],
    two: tuple[str, Answered],
    table: Table,
    groups: np.ndarray,
    folds: Sequence[Fold],
    task: Evaluation,
    draws: int,
) -> Pair:
    """All tests of one model against another; differences are one - two in the main score.

    Args:
        one: name and answers.
        two: likewise.
        table: the records.
        groups: what is resampled and flipped [record].
        folds: that both were tested on.
        task: of both.
        draws: bootstrap samples.
    """
    (a, answers_a), (b, answers_b) = one, two
    found = task.compare(table, answers_a.values, answers_b.values, groups, draws)
    mcnemar: dict[str, Any] = {} if found.mcnemar is None else {"mcnemar": found.mcnemar}
    n_train, n_test = (float(np.mean([len(getattr(fold, part)) for fold in folds])) for part in ("train", "test"))
    return Pair(
        a=a,
        b=b,
        difference=float(found.gains.sum()),
        interval=scores.interval(found.drawn),
        seed_error=paired.seed_error(answers_a.by_fold, answers_b.by_fold),
        p=paired.sign_flip_p(found.gains),
        corrected_t=paired.corrected_t((answers_a.by_fold - answers_b.by_fold).mean(axis=1), n_train, n_test),
        **mcnemar,
    )


def _fit_model(
    job: TrainJob, table: Table, folds: Sequence[Fold], seeds: int, progress: Progress
) -> tuple[Answered, ComparedModel]:
    fits, seconds = fitting.fit_trials(job, table, fitting.trials_of(job, folds, seeds), progress)
    answered = answers_of(job, table, fits, len(folds), seeds)
    names = [key for key in answered.rows[0] if key not in ("fold", "seed", "best_epoch")]
    model = tasks.build(job.model, table.info)
    spreads = {
        name: scores.summary(np.array([row[name] for row in answered.rows]).reshape(len(folds), seeds).mean(axis=1))
        for name in names
    }
    return answered, ComparedModel(
        job=job.model_dump(mode="json"),
        scores=spreads,
        by_fold=answered.by_fold.tolist(),
        std_seeds=answered.std_seeds,
        seconds_a_fit=seconds.fitting / seconds.fits,
        seconds_setup=seconds.setup,
        **dict(cost.describe(model, tasks.parameter_formula(job.model, table.info))),
    )


def answers_of(job: TrainJob, table: Table, fits: Sequence[Trained], n_folds: int, seeds: int) -> Answered:
    """Puts the folds' test answers together: one for each record and seed."""
    task = evaluation_of(job.model)
    tests = [trained.trial.rows.test for trained in fits]
    answered = [task.values(table, trained.outputs, test) for trained, test in zip(fits, tests, strict=True)]
    values = np.zeros((seeds, len(table)), answered[0].dtype)
    rows = []
    for place, (trained, test) in enumerate(zip(fits, tests, strict=True)):
        values[place % seeds, test] = answered[place]
        head = {"fold": trained.trial.fold, "seed": trained.trial.seed, "best_epoch": trained.best_epoch}
        rows.append(head | fitting.score(job, table, trained, test))
    by_fold = np.array([row[task.main_score] for row in rows]).reshape(n_folds, seeds)
    return Answered(values, by_fold, rows)
