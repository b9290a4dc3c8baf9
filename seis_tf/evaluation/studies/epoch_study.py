"""The epoch study: train long, watch all three splits, see where overfitting starts and what stopping there is worth.

The test curve is drawn after the fact and chooses nothing: the best epoch is that of the validation loss.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seis_tf import tasks
from seis_tf.dataset.shards import SPLITS
from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    notices_of,
)
from seis_tf.evaluation.results import StudyResult
from seis_tf.evaluation.stats.folds import Fold
from seis_tf.evaluation.studies import figures, fitting
from seis_tf.evaluation.studies.comparison_report import SCORE_NAMES
from seis_tf.evaluation.studies.fitting import Progress, Trained, Trial
from seis_tf.evaluation.studies.writing import write_study
from seis_tf.files import as_csv
from seis_tf.settings.networks import network_settings
from seis_tf.settings.training import TrainJob
from seis_tf.training.inputs import FitInputs, Member
from seis_tf.training.loop import fit
from seis_tf.training.optimizers import Optimizer
from seis_tf.training.stack import compiled

POINTS = 600  # of the curves, at most
_PARTS = {"train": "training", "valid": "validation", "test": "test"}


class EpochStudy(StudyResult):
    """A long training: `epochs.json`.

    Attributes:
        dataset: folder of the data set.
        job: model and training.
        score: the main score.
        epochs: how long.
        best_epoch: by the validation loss.
        overfitting_starts: epoch; None where that can't be said.
        best: part of the records to scores by name, of the best epoch.
        last: likewise of the last epoch.
        simulated: whether the records were made by a program.
        grouped: whether the records carry event ids.
        seconds: of the training.
    """

    dataset: str
    job: dict[str, Any]
    score: str
    epochs: int
    best_epoch: int
    overfitting_starts: int | None
    best: dict[str, dict[str, float]]
    last: dict[str, dict[str, float]]
    simulated: bool
    grouped: bool
    seconds: float


def epoch_study(
    dataset: Path | str,
    job: TrainJob,
    out: Path | str,
    *,
    epochs: int = 3000,
    progress: Progress = lambda done, total: None,
) -> EpochStudy:
    """Trains one model on the train split for long, without early stopping.

    Long because each setting of the study is a keyword with a default, described below, and a field of the result.

    Args:
        dataset: the data set's folder.
        job: model and training; its number of epochs, early stopping and what it keeps are not used.
        out: folder for `epochs.csv`, `epochs.json`, `figures/` and `report.html`.
        epochs: how long.
        progress: called with the epochs done and in all.

    Returns:
        The result, which `epochs.json` holds.

    Raises:
        ValueError: the model is not for the data set's task, or a loss or weight is not finite.
    """
    changes = {"epochs": epochs, "early_stopping": None, "keep": "best", "monitor": "val_loss", "members": 1}
    job = job.model_copy(update={"training": job.training.model_copy(update=changes)})
    table = fitting.load_table(job, dataset, SPLITS)
    train = table.rows["train"]
    task = tasks.task_of(job.model)
    data, loss = task.data(table, job, train), task.loss(table, job, train)
    settings = job.training
    model = tasks.build(job.model, table.info, seed=settings.seed, l2=settings.l2)
    optimizer = Optimizer(settings.optimizer, settings.momentum, settings.weight_decay, settings.clip_norm)
    # The very stack that the training uses, to look at the weights between its epochs.
    stack = compiled(model, optimizer, loss, data.transform)
    inputs, targets = [tf.constant(v) for v in data.inputs], tf.constant(data.targets)
    rows: list[dict[str, float]] = []

    def watch(state) -> None:
        if state.epoch % max(epochs // POINTS, 1) == 0 or state.epoch in (1, epochs):
            each = loss(targets, tf.constant(stack.predict(state.state, inputs)[0])).numpy()
            rows.append({"epoch": state.epoch} | {part: float(each[r].mean()) for part, r in table.rows.items()})
        progress(state.epoch, epochs)

    member = Member(train, table.rows["valid"], settings.seed)
    fitted = fit([model], FitInputs(data, [member], loss, task.metrics), settings, on_epoch=watch)
    fold = Fold(train, table.rows["valid"], table.rows["test"])
    scored = {}
    for name, state in (("best", fitted.progress.best), ("last", fitted.progress.state)):
        outputs = stack.predict(state, inputs)[0]
        done = Trained(Trial(0, settings.seed, fold), outputs, [], 0)
        scored[name] = {part: fitting.score(job, table, done, r) for part, r in table.rows.items()}
    result = EpochStudy(
        dataset=str(dataset),
        job=job.model_dump(mode="json"),
        score=fitting.main_score(job)[0],
        epochs=epochs,
        best_epoch=int(fitted.progress.best_epoch[0]),
        overfitting_starts=overfitting_start(rows),
        best=scored["best"],
        last=scored["last"],
        simulated=table.info.simulated,
        grouped=table.info.grouped,
        seconds=fitted.seconds,
    )
    lines = [[row["epoch"], *(row[part] for part in SPLITS)] for row in rows]
    csv_text = as_csv(["epoch", *(f"{part}_loss" for part in SPLITS)], lines)
    report = _report(result, rows, Path(dataset).resolve().name)
    write_study(Path(out), "epochs", result, report, {"epochs.csv": csv_text})
    return result


def overfitting_start(rows: list[dict[str, float]]) -> int | None:
    """The epoch from which the validation loss, smoothed over 2 % of the training, only goes up from its lowest value.

    Args:
        rows: of the curves, with "epoch" and "valid".

    Returns:
        The epoch of the lowest smoothed value; None when that is within the last twentieth of the training, where
        it may still fall.
    """
    values = np.array([row["valid"] for row in rows])
    half = max(len(values) // 100, 0)
    padded = np.pad(values, half, mode="edge")
    smooth = np.convolve(padded, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
    lowest = int(smooth.argmin())
    return None if lowest >= 0.95 * (len(values) - 1) else int(rows[lowest]["epoch"])


def _report(result: EpochStudy, rows: list[dict[str, float]], dataset: str) -> Report:
    curves = {words: np.array([row[part] for row in rows]) for part, words in _PARTS.items()}
    figure = figures.epoch_study(np.array([row["epoch"] for row in rows]), curves, result.best_epoch, "loss")
    names = list(result.best["test"])
    table = [
        [f"{when} epoch, {words}", *(f"{found[part][name]:.3f}" for name in names)]
        for when, found in (("best", result.best), ("last", result.last))
        for part, words in _PARTS.items()
    ]
    best, last = (found["test"][result.score] for found in (result.best, result.last))
    start = result.overfitting_starts
    words = (
        "The validation loss is still falling at the end"
        if start is None
        else f"Overfitting starts about epoch {start}"
    )
    score = SCORE_NAMES[result.score]
    return Report(
        title=f"Long training of {network_settings(result.model_kind).title} on {dataset}",
        asked=f"How many epochs are enough, and what does training on to epoch {result.epochs:,} cost?",
        answer=(
            f"{words}. The best epoch on validation records is {result.best_epoch:,}: its {score} on test records "
            f"is {best:.3f}, that of the last epoch {last:.3f}."
        ),
        key_numbers=[
            KeyNumber(f"{result.best_epoch:,}", "best epoch on validation"),
            KeyNumber(f"{best:.3f}", f"{score} there, test"),
            KeyNumber(f"{last:.3f}", f"{score} at the end, test"),
        ],
        notices=notices_of(result.simulated, result.grouped),
        sections=[
            Section(
                "Three curves",
                [],
                [],
                [Picture("epochs", figure, "Loss of whole splits with the weights of each epoch.")],
            ),
            Section(
                "At the best epoch and at the end", [], [Table(["", *(SCORE_NAMES[name] for name in names)], table)]
            ),
            Section(
                "Method",
                [
                    "One model, trained on the training split without early stopping. The curves are losses without "
                    "dropout and without penalties. Test records are looked at after the fact and choose nothing. The "
                    "start of overfitting is the lowest point of the validation loss smoothed over 2 % of the "
                    "training.",
                    f"{result.epochs:,} epochs took {result.seconds:.0f} s.",
                ],
            ),
        ],
    )
