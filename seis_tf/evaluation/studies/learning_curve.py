"""Learning curves: score against training size, with the spread from the data and the spread from the seeds apart.

Each fold's training events are taken in parts that lie inside each other, so that a size differs from the next one only
by the events that were added. All fits of a size are one stack.
"""

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
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.results import Result, Spread, StudyResult
from seis_tf.evaluation.stats.folds import Fold, grouped_folds, nested_subset
from seis_tf.evaluation.studies import figures, fitting
from seis_tf.evaluation.studies.comparison_report import SCORE_NAMES
from seis_tf.evaluation.studies.fitting import Progress, Trained, Trial
from seis_tf.evaluation.studies.writing import write_study
from seis_tf.files import rows_as_csv
from seis_tf.settings.networks import network_settings
from seis_tf.settings.training import TrainJob

FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)
_PARTS = {"train": "training records", "test": "new events"}


class PartSpread(Spread):
    """A score over all fits of a size, and its standard deviations from the data and from the seeds (None for one)."""

    std_data: float
    std_seeds: float | None


class SizeScores(Result):
    """The main score at one training size.

    Attributes:
        fraction: of the training events.
        training_records: mean over fits.
        training_groups: events, mean over fits.
        train: on training records.
        test: on new events.
    """

    fraction: float
    training_records: float
    training_groups: float
    train: PartSpread
    test: PartSpread


class LastStep(Result):
    """What the last increase of the training size changed on new events: mean over folds and its standard error."""

    gain: float
    error: float


class StudySeconds(Result):
    """Seconds of all fits without compiling, of building and compiling, and the number of fits."""

    fitting: float
    setup: float
    fits: int


class LearningCurve(StudyResult):
    """A learning curve: `learning_curve.json`.

    Attributes:
        task: of the job.
        score: the main score.
        larger_is_better: of the main score.
        last_step: None for a single size.
        folds: number of folds.
        seeds: fits of each fold and size.
        sizes: ascending.
        simulated: whether the records were made by a program.
        grouped: whether the records carry event ids.
        dataset: folder of the data set.
        job: model and training.
        fold_seed: of the folds.
        by: what the folds keep whole, "group" (events) or "station".
        seconds: that it took.
    """

    task: str
    score: str
    larger_is_better: bool
    last_step: LastStep | None
    folds: int
    seeds: int
    sizes: list[SizeScores]
    simulated: bool
    grouped: bool
    dataset: str
    job: dict[str, Any]
    fold_seed: int
    by: str
    seconds: StudySeconds


def learning_curve(
    dataset: Path | str,
    job: TrainJob,
    out: Path | str,
    *,
    n_folds: int = 5,
    fractions: Sequence[float] = FRACTIONS,
    seeds: int = 1,
    fold_seed: int = 0,
    by: str = "group",
    splits: Sequence[str] = SPLITS,
    progress: Progress = lambda done, total: None,
) -> LearningCurve:
    """Fits a job to growing parts of the data, on grouped folds.

    Long because each setting of the study is a keyword with a default, described below, and a field of the result.

    Args:
        dataset: the data set's folder.
        job: model and training.
        out: folder for `learning_curve.csv`, `learning_curve.json`, `figures/` and `report.html`.
        n_folds: each event is tested once a size.
        fractions: of each fold's training events, ascending.
        seeds: fits of each fold and size, from `job.training.seed` on.
        fold_seed: of the folds and of the order in which events are added.
        by: what is kept whole: "group" (events) or "station".
        splits: of the data set that are folded.
        progress: called with the epochs done and in all.

    Returns:
        The result, which `learning_curve.json` holds.

    Raises:
        ValueError: as `folds.grouped_folds` and `folds.nested_subset`.
    """
    table = fitting.load_table(job, dataset, splits)
    labels, groups = fitting.labels_of(table), fitting.groups_of(table, by)
    folds = grouped_folds(labels, groups, n_folds, seed=fold_seed)
    trials = [
        Trial(number, seed, Fold(part, fold.valid, fold.test), size)
        for number, fold in enumerate(folds)
        for size, part in enumerate(nested_subset(fold.train, labels, groups, fractions, fold_seed))
        for seed in range(job.training.seed, job.training.seed + seeds)
    ]
    fits, seconds = fitting.fit_trials(job, table, trials, progress)
    rows = [row for trained in fits for row in _rows(job, table, trained, fractions)]
    name, larger = fitting.main_score(job)
    result = LearningCurve(
        task=table.info.task,
        score=name,
        larger_is_better=larger,
        last_step=_last_step(rows, name, fractions, n_folds) if len(fractions) > 1 else None,
        folds=n_folds,
        seeds=seeds,
        sizes=[_size(rows, name, fraction, n_folds, seeds) for fraction in fractions],
        simulated=table.info.simulated,
        grouped=table.info.grouped,
        dataset=str(dataset),
        job=job.model_dump(mode="json"),
        fold_seed=fold_seed,
        by=by,
        seconds=StudySeconds(fitting=seconds.fitting, setup=seconds.setup, fits=seconds.fits),
    )
    report = _report(result, len(table), Path(dataset))
    write_study(Path(out), "learning_curve", result, report, {"learning_curve.csv": rows_as_csv(rows)})
    return result


def spread_apart(values: np.ndarray) -> tuple[float, float]:
    """Standard deviations from the data and from the seeds.

    Args:
        values: a score [fold, seed].

    Returns:
        over folds, with what the seeds add to it taken out, and over seeds within a fold (0 for a single seed).
    """
    n_folds, n_seeds = values.shape
    seed_variance = float(values.var(axis=1, ddof=1).mean()) if n_seeds > 1 else 0.0
    # A fold's mean over seeds still carries a part 1 / n_seeds of the seeds' variance.
    fold_variance = float(values.mean(axis=1).var(ddof=1)) - seed_variance / n_seeds if n_folds > 1 else 0.0
    return float(np.sqrt(max(fold_variance, 0.0))), float(np.sqrt(seed_variance))


def _rows(job: TrainJob, table: Records, trained: Trained, fractions: Sequence[float]) -> list[dict[str, Any]]:
    trial = trained.trial
    head = {
        "fraction": fractions[trial.size],
        "training_records": len(trial.rows.train),
        "training_groups": len(np.unique(table["group"][trial.rows.train])),
        "fold": trial.fold,
        "seed": trial.seed,
        "best_epoch": trained.best_epoch,
    }
    parts = {"train": trial.rows.train, "test": trial.rows.test}
    return [head | {"split": name} | fitting.score(job, table, trained, rows) for name, rows in parts.items()]


def _size(rows: list[dict[str, Any]], score: str, fraction: float, n_folds: int, seeds: int) -> SizeScores:
    """The spreads of one size from the rows of all fits."""
    chosen = [row for row in rows if row["fraction"] == fraction]
    spreads = {}
    for part in _PARTS:
        values = np.array([row[score] for row in chosen if row["split"] == part]).reshape(n_folds, seeds)
        data, seed = spread_apart(values)
        spreads[part] = PartSpread(
            mean=float(values.mean()),
            std=float(values.std(ddof=1)) if values.size > 1 else 0.0,
            std_data=data,
            std_seeds=seed if seeds > 1 else None,
        )
    return SizeScores(
        fraction=fraction,
        training_records=float(np.mean([row["training_records"] for row in chosen])),
        training_groups=float(np.mean([row["training_groups"] for row in chosen])),
        **spreads,
    )


def _last_step(rows: list[dict[str, Any]], name: str, fractions: Sequence[float], n_folds: int) -> LastStep:
    """What the last increase of the training size changed on new events: mean over folds of each one's change."""
    after, before = (
        [
            np.mean([r[name] for r in rows if (r["fraction"], r["split"], r["fold"]) == (fraction, "test", fold)])
            for fold in range(n_folds)
        ]
        for fraction in (fractions[-1], fractions[-2])
    )
    changes = np.array(after) - np.array(before)
    return LastStep(gain=float(changes.mean()), error=float(changes.std(ddof=1) / np.sqrt(n_folds)))


def _report(result: LearningCurve, n_records: int, dataset: Path) -> Report:
    """The page; long because its sentences are written out where they are shown."""
    name, sizes = SCORE_NAMES[result.score], result.sizes
    records = np.array([size.training_records for size in sizes])
    spreads = {_PARTS["train"]: [size.train for size in sizes], _PARTS["test"]: [size.test for size in sizes]}
    parts = {
        words: (np.array([s.mean for s in found]), np.array([s.std for s in found])) for words, found in spreads.items()
    }
    log = not result.larger_is_better
    pictures = [
        Picture(
            "learning_curve",
            figures.learning_curve(records, parts, name, "Learning curve", log),
            f"Mean and standard deviation over {count(result.folds, 'fold')} and {count(result.seeds, 'seed')}.",
        )
    ]
    if result.seeds > 1:
        data = np.array([size.test.std_data for size in sizes])
        seeds = np.array([size.test.std_seeds for size in sizes], float)
        pictures.append(
            Picture(
                "spreads",
                figures.spreads(records, data, seeds, name),
                "Standard deviation over folds (the seeds' share taken out) and over seeds within a fold.",
            )
        )
    header = [
        "training records",
        "training events",
        "on training records",
        "on new events",
        "spread: data",
        "spread: seeds",
    ]
    rows = [
        [
            f"{size.training_records:,.0f}",
            f"{size.training_groups:,.0f}",
            *(f"{part.mean:.3f} ± {part.std:.3f}" for part in (size.train, size.test)),
            f"{size.test.std_data:.3f}",
            _or_dash(size.test.std_seeds),
        ]
        for size in sizes
    ]
    seconds, unit = result.seconds, "stations" if result.by == "station" else "events"
    method = [
        f"Data: {dataset}, {n_records:,} records in {result.folds} folds of whole {unit}, stratified by class; "
        f"seed {result.fold_seed}. Of each fold's training {unit} the smaller sizes lie inside the larger ones. The "
        "best epoch is chosen on events of the training side. Statistics of the data are computed for each fold.",
        f"{seconds.fits} fits in {seconds.fitting:.1f} s, {seconds.setup:.1f} s to build and compile. Fits of "
        "one size are trained together where the architecture allows it.",
        "The spread from the data is the standard deviation over folds with the seeds' share taken out; that of seeds "
        "is within a fold. Folds share training records: the deviation over folds is not that of new data sets.",
    ]
    last = sizes[-1].test
    return Report(
        title=f"Learning curve of {network_settings(result.model_kind).title} on {dataset.resolve().name}",
        asked="Would more data help, and how much of the score is luck?",
        answer=answer_of(result),
        key_numbers=[
            KeyNumber(f"{last.mean:.3f}", f"{name} on new events, all data", f"± {last.std:.3f} over all fits"),
            KeyNumber(f"{last.std_data:.3f}", "spread from which events", ""),
            KeyNumber(_or_dash(last.std_seeds), "spread from the seed",
                      "one seed only" if last.std_seeds is None else ""),
        ],
        notices=notices_of(result.simulated, result.grouped),
        sections=[
            Section("The curve", pictures=pictures),
            Section("In numbers", tables=[Table(header, rows, f"{name}, mean ± standard deviation over all fits")]),
            Section("Method", method),
        ],
    )  # fmt: skip


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def answer_of(result: LearningCurve) -> str:
    """Whether more data should help, as far as the last step says."""
    name, sizes = SCORE_NAMES[result.score], result.sizes
    last = sizes[-1].test
    words = f"With all training records the {name} on new events is {last.mean:.3f} ± {last.std:.3f}."
    if len(sizes) < 2 or result.last_step is None:
        return words
    before = sizes[-2]
    gain, error = result.last_step.gain, result.last_step.error
    more = sizes[-1].training_records / before.training_records
    step = f"the last step, {more:.1f} times the records, changed it by {gain:+.3f} ± {error:.3f}"
    better = gain if result.larger_is_better else -gain
    if better > 2 * error:
        return f"{words} More data should help: {step}."
    if better > 0:
        return f"{words} Whether more data would help is not clear: {step}."
    return f"{words} More data of this kind may not help: {step}."
