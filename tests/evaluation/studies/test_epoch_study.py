"""The epoch study: curves of all splits, and the test split chooses nothing."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from seis_tf.evaluation.studies import epoch_study, fitting
from seis_tf.runs import train
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob

JOB = TrainJob(
    model=MlpSettings(hidden=(16,), dropout=0.2), training=TrainingSettings(batch_size=10, learning_rate=0.01)
)


@pytest.fixture(scope="module")
def study(tiny_waveforms, tmp_path_factory):
    out = tmp_path_factory.mktemp("epochs")
    return out, epoch_study.epoch_study(tiny_waveforms, JOB, out, epochs=40)


def test_the_curves_and_the_best_epoch(study):
    out, result = study
    with open(out / "epochs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 41))
    valid = [float(row["valid_loss"]) for row in rows]
    assert result.best_epoch == int(np.argmin(valid)) + 1
    assert json.loads((out / "epochs.json").read_text()) == result.tree()
    # The losses without dropout and penalty are the log losses of the scores at the same weights.
    assert result.best["test"]["log_loss"] == pytest.approx(float(rows[result.best_epoch - 1]["test_loss"]), rel=1e-4)
    assert result.last["train"]["log_loss"] == pytest.approx(float(rows[-1]["train_loss"]), rel=1e-2)
    assert result.last["train"]["log_loss"] < result.best["train"]["log_loss"]
    assert "The best epoch on validation records is" in (out / "report.html").read_text()


def test_it_is_the_training_of_a_run(study, tiny_waveforms, tmp_path):
    """`train` with as many epochs ends with the same model: watching changes nothing."""
    _, result = study
    job = JOB.model_copy(update={"training": JOB.training.model_copy(update={"epochs": 40})})
    run = train(tiny_waveforms, job, tmp_path / "run")
    table = fitting.load_table(job, tiny_waveforms)
    from seis_tf.waveforms.training_data import standardised

    outputs = run.predict([standardised(table, table.rows["train"])])[0]
    accuracy = np.mean(outputs[table.rows["test"]].argmax(axis=1) == table["label"][table.rows["test"]])
    assert result.best["test"]["accuracy"] == accuracy
    best = min(run.history[0], key=lambda row: row["val_loss"])["epoch"]
    assert result.best_epoch == best


def test_where_overfitting_starts():
    epochs = np.arange(1, 501)
    noise = 0.02 * np.random.default_rng(0).normal(size=500)
    rising = [{"epoch": int(e), "valid": v} for e, v in zip(epochs, (np.log(epochs / 120)) ** 2 + noise, strict=True)]
    assert epoch_study.overfitting_start(rising) == pytest.approx(120, abs=15)
    falling = [{"epoch": int(e), "valid": 1 / e} for e in epochs]
    assert epoch_study.overfitting_start(falling) is None


def test_long_trainings_are_drawn_with_few_points(tiny_waveforms, tmp_path, monkeypatch):
    monkeypatch.setattr(epoch_study, "POINTS", 5)
    epoch_study.epoch_study(tiny_waveforms, JOB, tmp_path, epochs=22)
    epochs = [line.split(",")[0] for line in (tmp_path / "epochs.csv").read_text().splitlines()[1:]]
    assert epochs == ["1", "4", "8", "12", "16", "20", "22"]
