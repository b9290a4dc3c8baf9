"""What reports of both jobs share: names of the parts, and the loss by epoch."""

from __future__ import annotations

from seis_tf.evaluation.report import figures
from seis_tf.evaluation.report.page import Picture
from seis_tf.evaluation.report.units import listed
from seis_tf.runs import Run
from seis_tf.training.scores import best_row

PARTS = {"train": "training", "valid": "validation", "test": "test", "all": "all records"}


def loss_picture(run: Run) -> Picture:
    """Loss by epoch, and which weights the run kept."""
    history, job = run.history, run.config.job.training
    column = job.monitor if job.monitor in history[0][0] else "loss"
    best = [int(best_row(rows, column)["epoch"]) for rows in history]
    epochs = listed(sorted({str(epoch) for epoch in best}, key=int))
    caption = (
        f"{len(history[0])} epochs of training. Best by {column.replace('_', ' ')}: epoch {epochs}; "
        f"the run kept the {job.keep} one."
    )
    return Picture("loss", figures.loss_curves(history, best, job.keep), caption)
