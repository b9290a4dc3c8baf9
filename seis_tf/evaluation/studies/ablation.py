"""`ablation`: what each choice is worth. One change at a time, on the same grouped folds, in one table with spreads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dataset.shards import SPLITS
from seis_tf.dataset.tables import Table as Records
from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    notices_of,
)
from seis_tf.evaluation.report.units import count, p_value
from seis_tf.evaluation.results import Result, StudyResult
from seis_tf.evaluation.stats.folds import Fold, grouped_folds
from seis_tf.evaluation.studies import figures, fitting
from seis_tf.evaluation.studies.comparison import Answered, answers_of, compare_pair
from seis_tf.evaluation.studies.comparison_report import SCORE_NAMES, is_clear
from seis_tf.evaluation.studies.comparison_result import Pair
from seis_tf.evaluation.studies.fitting import Progress
from seis_tf.evaluation.studies.writing import write_study
from seis_tf.evaluation.study import Variant
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.files import rows_as_csv
from seis_tf.settings.networks import network_settings
from seis_tf.settings.training import TrainJob

BASE = "as given"


class Change(Result):
    """What a variant changes: settings of the model and of the training, and of the records."""

    model: dict[str, Any]
    training: dict[str, Any]
    data: dict[str, Any]


class VariantScores(Result):
    """The main score of one variant.

    Attributes:
        change: from the job as given.
        mean: over folds (means over seeds).
        std: standard deviation over folds.
        std_seeds: over the seeds of a fold; None for one seed.
        by_fold: [fold][seed].
        seconds_a_fit: without compiling.
        against_base: the difference to the job as given; absent for that itself.
    """

    change: Change
    mean: float
    std: float
    std_seeds: float | None
    by_fold: list[list[float]]
    seconds_a_fit: float
    against_base: Pair | None = None


class Ablation(StudyResult):
    """An ablation: `ablation.json`.

    Attributes:
        task: of the job.
        score: the main score.
        larger_is_better: of the main score.
        dataset: folder of the data set.
        job: as given.
        simulated: whether its records were made by a program.
        grouped: whether its records carry event ids.
        records: in the folds.
        groups: their events.
        folds: number of folds.
        seeds: fits of each fold.
        fold_seed: of the folds.
        variants: name to its scores; the job as given comes first.
    """

    task: str
    score: str
    larger_is_better: bool
    dataset: str
    job: dict[str, Any]
    simulated: bool
    grouped: bool
    records: int
    groups: int
    folds: int
    seeds: int
    fold_seed: int
    variants: dict[str, VariantScores]


def ablation(
    dataset: Path | str,
    job: TrainJob,
    out: Path | str,
    *,
    variants: Sequence[Variant] | None = None,
    n_folds: int = 5,
    seeds: int = 1,
    fold_seed: int = 0,
    splits: Sequence[str] = SPLITS,
    draws: int = 2000,
    progress: Progress = lambda done, total: None,
) -> Ablation:
    """Fits a job as it is and with one change at a time, on the same folds.

    Long because each setting of the study is a keyword with a default, described below, and a field of the result.

    Args:
        dataset: the data set's folder.
        job: as given.
        out: folder for `ablation.json`, `ablation.csv`, `figures/` and `report.html`.
        variants: what is changed; by default those of the task.
        n_folds: every record is tested once.
        seeds: fits of each fold.
        fold_seed: of the folds.
        splits: of the data set that are folded.
        draws: bootstrap samples of events for the intervals of the differences.
        progress: called with the hundredths done and in all.

    Returns:
        The result, which `ablation.json` holds.

    Raises:
        ValueError: a change that can't be, two of one name, or as `folds.grouped_folds`.
    """
    table = fitting.load_table(job, dataset, splits)
    task = evaluation_of(job.model)
    chosen = [Variant(BASE), *(task.variants(job, table.info) if variants is None else variants)]
    names = [variant.name for variant in chosen]
    if len(set(names)) < len(names):
        raise ValueError(f"ablation: expected variants of different names, received {names[1:]}")
    labels, groups = fitting.labels_of(table), table["group"]
    folds = grouped_folds(labels, groups, n_folds, seed=fold_seed)
    answers, described = {}, {}
    for number, variant in enumerate(chosen):
        part = fitting.in_all(progress, number, len(chosen))
        answers[variant.name], found = _fit(variant, job, table, folds, seeds, part)
        if number:
            one, base = ((name, answers[name]) for name in (variant.name, BASE))
            pair = compare_pair(one, base, table, groups, folds, task, draws)
            found = found.model_copy(update={"against_base": pair})
        described[variant.name] = found
    score, larger = fitting.main_score(job)
    result = Ablation(
        task=table.info.task,
        score=score,
        larger_is_better=larger,
        dataset=str(dataset),
        job=job.model_dump(mode="json"),
        simulated=table.info.simulated,
        grouped=table.info.grouped,
        records=len(table),
        groups=len(np.unique(groups)),
        folds=n_folds,
        seeds=seeds,
        fold_seed=fold_seed,
        variants=described,
    )
    rows = [{"variant": name} | row for name, answered in answers.items() for row in answered.rows]
    report = _report(result, Path(dataset).resolve().name)
    write_study(Path(out), "ablation", result, report, {"ablation.csv": rows_as_csv(rows)})
    return result


def _fit(
    variant: Variant, base: TrainJob, table: Records, folds: Sequence[Fold], seeds: int, progress: Progress
) -> tuple[Answered, VariantScores]:
    job = variant.job(base)
    records = evaluation_of(job.model).changed(table, variant.data)
    fits, seconds = fitting.fit_trials(job, records, fitting.trials_of(job, folds, seeds), progress)
    answered = answers_of(job, records, fits, len(folds), seeds)
    means = answered.by_fold.mean(axis=1)
    return answered, VariantScores(
        change=Change(model=variant.model, training=variant.training, data=variant.data),
        mean=float(means.mean()),
        std=float(means.std(ddof=1)),
        std_seeds=answered.std_seeds,
        by_fold=answered.by_fold.tolist(),
        seconds_a_fit=seconds.fitting / seconds.fits,
    )


def _report(result: Ablation, dataset: str) -> Report:
    score, variants = SCORE_NAMES[result.score], result.variants
    header = ["", score, "spread: seeds", "difference", "95 % interval", "p, sign flips", "s a fit"]
    rows, dots = [], []
    for name, found in variants.items():
        pair = found.against_base
        cells = ["", "", ""]
        if pair is not None:
            low, high = pair.interval
            cells = [f"{pair.difference:+.3f}", f"{low:+.3f} to {high:+.3f}", p_value(pair.p)]
            dots.append((name, pair.difference, pair.interval))
        seeds = "–" if found.std_seeds is None else f"{found.std_seeds:.3f}"
        rows.append([name, f"{found.mean:.3f} ± {found.std:.3f}", seeds, *cells, f"{found.seconds_a_fit:.1f}"])
    picture = Picture(
        "ablation",
        figures.differences(dots, f"{score}, change minus as given", "What each change does"),
        "Differences on the same test records with 95 % intervals from resampling events; blue where clear of 0.",
    )
    better = "larger" if result.larger_is_better else "smaller"
    method = (
        f"{count(result.records, 'record')} of {count(result.groups, 'event')}, {count(result.folds, 'fold')} "
        f"of whole events (seed {result.fold_seed}), {count(result.seeds, 'seed')}; one change at a time, "
        f"everything else as given. {score} is better when {better}. p values are not corrected for the number of "
        "changes."
    )
    base = variants[BASE]
    return Report(
        title=f"Ablation of {network_settings(result.model_kind).title} on {dataset}",
        asked="What is each choice worth?",
        answer=_answer(result),
        key_numbers=[KeyNumber(f"{base.mean:.3f}", f"{score}, as given", f"± {base.std:.3f} over folds")],
        notices=notices_of(result.simulated, result.grouped),
        sections=[
            Section("One change at a time", [], [], [picture]),
            Section("In numbers", [], [Table(header, rows, "Mean ± standard deviation over folds", strong=[0])]),
            Section("Method", [method]),
        ],
    )


def _answer(result: Ablation) -> str:
    sign = 1 if result.larger_is_better else -1
    changes = {name: v.against_base for name, v in result.variants.items() if v.against_base is not None}
    corrected = {
        name: pair.model_copy(update={"p_holm": min(pair.p * len(changes), 1)}) for name, pair in changes.items()
    }
    clear = {name: sign * pair.difference for name, pair in corrected.items() if is_clear(pair)}
    better = sorted((name for name in clear if clear[name] > 0), key=lambda name: -clear[name])
    worse = sorted((name for name in clear if clear[name] < 0), key=lambda name: clear[name])
    words = []
    if better:
        words.append("Better than as given: " + ", ".join(f"{n} ({sign * clear[n]:+.3f})" for n in better) + ".")
    if worse:
        words.append("Worse: " + ", ".join(f"{n} ({sign * clear[n]:+.3f})" for n in worse) + ".")
    left = len(changes) - len(clear)
    if left:
        words.append(f"{count(left, 'change')} of {len(changes)} can't be distinguished from chance on these events.")
    return " ".join(words)
