"""`compare`: two or more jobs on the same grouped folds: which is better, how sure is that, and at what cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf import tasks
from seis_tf.dataset.shards import SPLITS
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.report.page import write_report
from seis_tf.evaluation.stats import cost, paired, scores
from seis_tf.evaluation.stats.folds import Fold, grouped_folds
from seis_tf.evaluation.studies import fitting
from seis_tf.evaluation.studies.comparison_report import report_of
from seis_tf.evaluation.studies.fitting import Progress, Trained, Trial
from seis_tf.evaluation.study import Paired
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.files import write_atomically, write_json
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
) -> dict[str, Any]:
    """Fits every job on the same folds and compares their answers record by record.

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
        progress: told the hundredths done and in all.

    Returns:
        The content of `comparison.json`.

    Raises:
        ValueError: fewer than two jobs, jobs of different tasks, or as `folds.grouped_folds`.
    """
    if len(models) < 2:
        raise ValueError(f"compare: expected at least 2 models, received {len(models)}")
    tables = {name: fitting.load_table(job, dataset, splits) for name, job in models.items()}
    table = next(iter(tables.values()))
    labels, units = fitting.labels_of(table), fitting.groups_of(table, by)
    folds = grouped_folds(labels, units, n_folds, seed=fold_seed)
    first = next(iter(models.values()))
    answers, described = {}, {}
    for number, (name, job) in enumerate(models.items()):
        answers[name], described[name] = _fit_model(
            job, tables[name], folds, seeds, fitting.in_all(progress, number, len(models))
        )
    score, larger = fitting.main_score(first)
    pairs = [
        compare_pair(a, b, answers[a], answers[b], table, units, folds, evaluation_of(first.model).compare, draws)
        for a, b in combinations(models, 2)
    ]
    for pair, p in zip(pairs, paired.holm(np.array([pair["p"] for pair in pairs])), strict=True):
        pair["p_holm"] = float(p)
    result = fitting.jsonable(
        {
            "task": table.info.task,
            "score": score,
            "larger_is_better": larger,
            "dataset": str(dataset),
            "simulated": table.info.simulated,
            "grouped": table.info.grouped,
            "records": len(table),
            "by": by,
            "groups": len(np.unique(units)),
            "folds": n_folds,
            "fold_seed": fold_seed,
            "seeds": seeds,
            "draws": draws,
            "models": described,
            "trivial": evaluation_of(first.model).trivial(table, folds),
            "pairs": pairs,
        }
    )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows = [{"model": name} | row for name in models for row in answers[name].rows]
    write_atomically(out / "scores.csv", _as_csv(rows).encode())
    write_report(out, report_of(result, Path(dataset).resolve().name))
    write_json(out / "comparison.json", result)
    return result


def compare_pair(
    a: str,
    b: str,
    one: Answered,
    two: Answered,
    table: Table,
    groups: np.ndarray,
    folds: Sequence[Fold],
    compare_values: Callable[[Table, np.ndarray, np.ndarray, np.ndarray, int], Paired],
    draws: int,
) -> dict[str, Any]:
    """All tests of a against b; differences are a - b in the main score.

    Args:
        a: name of one.
        b: name of two.
        one: answers of a.
        two: answers of b.
        table: the records.
        groups: what is resampled and flipped [record].
        folds: that both were tested on.
        compare_values: the task's `Evaluation.compare`.
        draws: bootstrap samples.
    """
    found = compare_values(table, one.values, two.values, groups, draws)
    sizes = [np.mean([len(getattr(fold, part)) for fold in folds]) for part in ("train", "test")]
    t = paired.corrected_t((one.by_fold - two.by_fold).mean(axis=1), *sizes)
    return {
        "a": a,
        "b": b,
        "difference": float(found.gains.sum()),
        "interval": scores.interval(found.drawn),
        "seed_error": paired.seed_error(one.by_fold, two.by_fold),
        "p": paired.sign_flip_p(found.gains),
        "corrected_t": asdict(t),
        **found.tests,
    }


def _fit_model(
    job: TrainJob, table: Table, folds: Sequence[Fold], seeds: int, progress: Progress
) -> tuple[Answered, dict[str, Any]]:
    trials = [
        Trial(number, seed, fold)
        for number, fold in enumerate(folds)
        for seed in range(job.training.seed, job.training.seed + seeds)
    ]
    fits, seconds = fitting.fit_trials(job, table, trials, progress)
    answered = answers_of(job, table, fits, len(folds), seeds)
    names = [key for key in answered.rows[0] if key not in ("fold", "seed", "best_epoch")]
    model = tasks.build(job.model, table.info)
    described = {
        "job": job.model_dump(mode="json"),
        "scores": {
            name: scores.summary(np.array([row[name] for row in answered.rows]).reshape(len(folds), seeds).mean(axis=1))
            for name in names
        },
        "by_fold": answered.by_fold,
        "std_seeds": float(np.sqrt(answered.by_fold.var(axis=1, ddof=1).mean())) if seeds > 1 else None,
        "seconds_a_fit": seconds.fitting / seconds.fits,
        "seconds_setup": seconds.setup,
    }
    return answered, described | cost.describe(model, tasks.parameter_formula(job.model, table.info))


def answers_of(job: TrainJob, table: Table, fits: Sequence[Trained], n_folds: int, seeds: int) -> Answered:
    """Puts the folds' test answers together: one for each record and seed."""
    task = evaluation_of(job.model)
    values: np.ndarray | None = None
    rows = []
    for place, trained in enumerate(fits):
        test = trained.trial.rows.test
        answered = task.values(table, trained.outputs, test)
        if values is None:
            values = np.zeros((seeds, len(table["group"])), answered.dtype)
        values[place % seeds, test] = answered
        head = {"fold": trained.trial.fold, "seed": trained.trial.seed, "best_epoch": trained.best_epoch}
        rows.append(head | fitting.score(job, table, trained, test))
    by_fold = np.array([row[task.main_score] for row in rows]).reshape(n_folds, seeds)
    return Answered(values, by_fold, rows)


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
