"""Learning curves: score against training size, with the spread from the data and the spread from the seeds apart.

Each fold's training events are taken in parts that lie inside each other, so that a size differs from the next one only
by the events that were added. All fits of a size are one stack.
"""

from __future__ import annotations

import csv
import io
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
    simulated_notice,
    ungrouped_notice,
    write_report,
)
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.stats.folds import Fold, grouped_folds, nested_subset
from seis_tf.evaluation.studies import figures, fitting
from seis_tf.evaluation.studies.comparison_report import SCORE_NAMES
from seis_tf.evaluation.studies.fitting import Progress, Trained, Trial
from seis_tf.files import write_atomically, write_json
from seis_tf.settings.networks import network_settings
from seis_tf.settings.training import TrainJob

FRACTIONS = (0.1, 0.2, 0.4, 0.7, 1.0)
_PARTS = {"train": "training records", "test": "new events"}


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
) -> dict[str, Any]:
    """Fits a job to growing parts of the data, on grouped folds.

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
        progress: told the epochs done and in all.

    Returns:
        The content of `learning_curve.json`.

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
    result = _summary(job, table, rows, fractions, n_folds, seeds)
    result |= {"dataset": str(dataset), "job": job.model_dump(mode="json"), "fold_seed": fold_seed, "by": by}
    result["seconds"] = {"fitting": seconds.fitting, "setup": seconds.setup, "fits": seconds.fits}
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "learning_curve.csv", _as_csv(rows).encode())
    write_report(out, _report(result, table, Path(dataset)))
    write_json(out / "learning_curve.json", result)
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


def _summary(job, table: Records, rows: list[dict], fractions: Sequence[float], n_folds: int, seeds: int) -> dict:
    name, larger = fitting.main_score(job)
    sizes = []
    for fraction in fractions:
        own = [row for row in rows if row["fraction"] == fraction]
        size: dict[str, Any] = {"fraction": fraction}
        for key in ("training_records", "training_groups"):
            size[key] = float(np.mean([row[key] for row in own]))
        for part in _PARTS:
            values = np.array([row[name] for row in own if row["split"] == part]).reshape(n_folds, seeds)
            data, seed = spread_apart(values)
            std = float(values.std(ddof=1)) if values.size > 1 else 0.0
            size[part] = {"mean": float(values.mean()), "std": std, "std_data": data, "std_seeds": seed}
            if seeds == 1:
                size[part]["std_seeds"] = None
        sizes.append(size)
    return {
        "task": table.info.task,
        "score": name,
        "larger_is_better": larger,
        "last_step": _last_step(rows, name, fractions, n_folds) if len(fractions) > 1 else None,
        "folds": n_folds,
        "seeds": seeds,
        "sizes": sizes,
        "simulated": table.info.simulated,
        "grouped": table.info.grouped,
    }


def _last_step(rows: list[dict], name: str, fractions: Sequence[float], n_folds: int) -> dict[str, float]:
    """What the last increase of the training size changed on new events: mean over folds of each one's change."""
    after, before = (
        [
            np.mean([r[name] for r in rows if (r["fraction"], r["split"], r["fold"]) == (fraction, "test", fold)])
            for fold in range(n_folds)
        ]
        for fraction in (fractions[-1], fractions[-2])
    )
    changes = np.subtract(after, before)
    return {"gain": float(changes.mean()), "error": float(changes.std(ddof=1) / np.sqrt(n_folds))}


def _as_csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _report(result: dict[str, Any], table: Records, dataset: Path) -> Report:
    name, sizes = SCORE_NAMES[result["score"]], result["sizes"]
    records = np.array([size["training_records"] for size in sizes])
    parts = {
        words: tuple(np.array([size[part][key] for size in sizes]) for key in ("mean", "std"))
        for part, words in _PARTS.items()
    }
    log = not result["larger_is_better"]
    pictures = [
        Picture(
            "learning_curve",
            figures.learning_curve(records, parts, name, "Learning curve", log),
            f"Mean and standard deviation over {count(result['folds'], 'fold')} and {count(result['seeds'], 'seed')}.",
        )
    ]
    if result["seeds"] > 1:
        data, seeds = (np.array([size["test"][key] for size in sizes]) for key in ("std_data", "std_seeds"))
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
            f"{size['training_records']:,.0f}",
            f"{size['training_groups']:,.0f}",
            *(f"{size[part]['mean']:.3f} ± {size[part]['std']:.3f}" for part in _PARTS),
            f"{size['test']['std_data']:.3f}",
            "–" if size["test"]["std_seeds"] is None else f"{size['test']['std_seeds']:.3f}",
        ]
        for size in sizes
    ]
    seconds, unit = result["seconds"], "stations" if result["by"] == "station" else "events"
    method = [
        f"Data: {dataset}, {len(table):,} records in {result['folds']} folds of whole {unit}, stratified by class; "
        f"seed {result['fold_seed']}. Of each fold's training {unit} the smaller sizes lie inside the larger ones. The "
        "best epoch is chosen on events of the training side. Statistics of the data are computed for each fold.",
        f"{seconds['fits']} fits in {seconds['fitting']:.1f} s, {seconds['setup']:.1f} s to build and compile. Fits of "
        "one size are trained together where the architecture allows it.",
        "The spread from the data is the standard deviation over folds with the seeds' share taken out; that of seeds "
        "is within a fold. Folds share training records: the deviation over folds is not that of new data sets.",
    ]
    last = sizes[-1]["test"]
    return Report(
        title=f"Learning curve of {network_settings(result['job']['model']['kind']).title} on {dataset.resolve().name}",
        asked="Would more data help, and how much of the score is luck?",
        answer=_answer(result, name),
        key_numbers=[
            KeyNumber(f"{last['mean']:.3f}", f"{name} on new events, all data", f"± {last['std']:.3f} over all fits"),
            KeyNumber(f"{last['std_data']:.3f}", "spread from which events", ""),
            KeyNumber("–" if last["std_seeds"] is None else f"{last['std_seeds']:.3f}", "spread from the seed",
                      "one seed only" if last["std_seeds"] is None else ""),
        ],
        notices=[simulated_notice()] * result["simulated"] + [ungrouped_notice()] * (not result["grouped"]),
        sections=[
            Section("The curve", pictures=pictures),
            Section("In numbers", tables=[Table(header, rows, f"{name}, mean ± standard deviation over all fits")]),
            Section("Method", method),
        ],
    )  # fmt: skip


def _answer(result: dict[str, Any], name: str) -> str:
    sizes = result["sizes"]
    last = sizes[-1]["test"]
    words = f"With all training records the {name} on new events is {last['mean']:.3f} ± {last['std']:.3f}."
    if len(sizes) < 2:
        return words
    before = sizes[-2]
    gain, error = result["last_step"]["gain"], result["last_step"]["error"]
    more = sizes[-1]["training_records"] / before["training_records"]
    step = f"the last step, {more:.1f} times the records, changed it by {gain:+.3f} ± {error:.3f}"
    better = gain if result["larger_is_better"] else -gain
    if better > 2 * error:
        return f"{words} More data should help: {step}."
    if better > 0:
        return f"{words} Whether more data would help can't be told: {step}."
    return f"{words} More data of this kind may not help: {step}."
