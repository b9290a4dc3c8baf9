"""`compare`: two or more jobs on the same grouped folds: which is better, how sure is that, and at what cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf import tasks
from seis_tf.dataset.shards import SPLITS
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.report.page import write_report
from seis_tf.evaluation.report.record_figures import scales_of
from seis_tf.evaluation.stats import cost, paired, scores
from seis_tf.evaluation.stats.folds import Fold, grouped_folds
from seis_tf.evaluation.studies import fitting
from seis_tf.evaluation.studies.comparison_report import report_of
from seis_tf.evaluation.studies.fitting import Progress, Trained, Trial
from seis_tf.evaluation.waveforms import trivial
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
    answers, described = {}, {}
    for number, (name, job) in enumerate(models.items()):
        answers[name], described[name] = _fit_model(
            job, tables[name], folds, seeds, fitting.in_all(progress, number, len(models))
        )
    score, larger = fitting.main_score(next(iter(models.values())))
    pairs = [
        compare_pair(
            a, b, answers[a], answers[b], labels, units, folds, n_classes=len(table.info.class_names), draws=draws
        )
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
            "trivial": _trivial(table, folds) if table.info.task == "waveforms" else {},
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
    labels: np.ndarray,
    groups: np.ndarray,
    folds: Sequence[Fold],
    *,
    n_classes: int,
    draws: int,
) -> dict[str, Any]:
    """All tests of a against b; differences are a - b in the main score.

    Args:
        a: name of one.
        b: name of two.
        one: answers of a.
        two: answers of b.
        labels: int [record].
        groups: what is resampled and flipped [record].
        folds: that both were tested on.
        n_classes: 0 for slip.
        draws: bootstrap samples.
    """
    if n_classes:
        right = [(answered.values == labels).mean(axis=0) for answered in (one, two)]
        gains = paired.event_gains(labels, *right, groups)
        drawn = [
            paired.bootstrap_balanced_accuracy(labels, answered.values, groups, n_classes, draws)
            for answered in (one, two)
        ]
    else:
        errors = [answered.values.mean(axis=0) for answered in (one, two)]
        gains = np.bincount(np.unique(groups, return_inverse=True)[1], errors[0] - errors[1]) / len(labels)
        drawn = [paired.bootstrap_mean(error, groups, draws) for error in errors]
    sizes = [np.mean([len(getattr(fold, part)) for fold in folds]) for part in ("train", "test")]
    t = paired.corrected_t((one.by_fold - two.by_fold).mean(axis=1), *sizes)
    pair: dict[str, Any] = {
        "a": a,
        "b": b,
        "difference": float(gains.sum()),
        "interval": scores.interval(drawn[0] - drawn[1]),
        "seed_error": paired.seed_error(one.by_fold, two.by_fold),
        "p": paired.sign_flip_p(gains),
        "corrected_t": asdict(t),
    }
    if n_classes:
        found = paired.mcnemar(one.values[0] == labels, two.values[0] == labels)
        pair["mcnemar"] = asdict(found) | {"assumes": "records are independent, which records of one event are not"}
    return pair


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
    name, _ = fitting.main_score(job)
    classifier = tasks.is_classifier(job.model)
    values = np.zeros((seeds, len(table["group"])), int if classifier else float)
    rows = []
    for place, trained in enumerate(fits):
        test = trained.trial.rows.test
        if classifier:
            values[place % seeds, test] = trained.outputs[test].argmax(axis=1)
        else:
            error = trained.outputs[test].astype(np.float64) - table["weights_m"][test]
            values[place % seeds, test] = np.square(error).mean(axis=1)
        head = {"fold": trained.trial.fold, "seed": trained.trial.seed, "best_epoch": trained.best_epoch}
        rows.append(head | fitting.score(job, table, trained, test))
    by_fold = np.array([row[name] for row in rows]).reshape(n_folds, seeds)
    return Answered(values, by_fold, rows)


def _trivial(table: Table, folds: Sequence[Fold]) -> dict[str, Any]:
    """Balanced accuracy of the trivial predictors on the same folds."""
    scales = scales_of(table.info)
    found: dict[str, list[float]] = {}
    for fold in folds:
        train = np.concatenate([fold.train, fold.valid])
        test = {name: table[name][fold.test] for name in trivial.FEATURES}
        for predictor in trivial.fit_all(table.columns, train, table.info.class_names, scales.frequencies, scales.log):
            confusion = scores.confusion_matrix(test["label"], predictor.predict(test), len(table.info.class_names))
            found.setdefault(predictor.name, []).append(float(scores.balanced_accuracy(confusion)))
    return {name: scores.summary(values) | {"by_fold": values} for name, values in found.items()}


def _as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
