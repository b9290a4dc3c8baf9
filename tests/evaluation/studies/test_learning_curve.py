"""Learning curves: each point is what a fit alone gives, and the two spreads are told apart."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from seis_tf.evaluation.stats.folds import Fold, grouped_folds, nested_subset
from seis_tf.evaluation.studies import fitting, learning_curve
from seis_tf.evaluation.studies.fitting import Trial
from seis_tf.settings.networks import CnnSettings, Conv1dSettings, MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob

FRACTIONS = (0.3, 1.0)


def mlp(**training) -> TrainJob:
    return TrainJob(model=MlpSettings(hidden=(6,)), training=TrainingSettings(epochs=8, batch_size=10, **training))


@pytest.fixture(scope="module")
def curve(tiny_waveforms, tmp_path_factory):
    out = tmp_path_factory.mktemp("curve")
    seen = []
    result = learning_curve.learning_curve(
        tiny_waveforms, mlp(), out, n_folds=3, fractions=FRACTIONS, seeds=2, progress=lambda *p: seen.append(p)
    )
    return out, result, seen


def rows_of(out):
    with open(out / "learning_curve.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_every_fit_is_in_the_table(curve):
    out, result, seen = curve
    rows = rows_of(out)
    keys = {(row["fraction"], row["fold"], row["seed"], row["split"]) for row in rows}
    assert len(rows) == len(keys) == 2 * 3 * 2 * 2
    assert json.loads((out / "learning_curve.json").read_text()) == result.tree()
    assert (out / "report.html").is_file() and (out / "figures" / "learning_curve.png").is_file()
    assert seen[-1] == (16, 16)  # two sizes, each one stack of 8 epochs


def test_means_and_deviations_are_those_of_the_table(curve):
    out, result, _ = curve
    for size in result.sizes:
        for part in ("train", "test"):
            values = [
                float(row["balanced_accuracy"])
                for row in rows_of(out)
                if float(row["fraction"]) == size.fraction and row["split"] == part
            ]
            assert getattr(size, part).mean == pytest.approx(np.mean(values))
            assert getattr(size, part).std == pytest.approx(np.std(values, ddof=1))


def test_the_last_step_is_paired_by_fold(curve):
    out, result, _ = curve
    means = {
        key: np.mean(
            [
                float(r["balanced_accuracy"])
                for r in rows_of(out)
                if (r["fraction"], r["fold"], r["split"]) == (key[0], str(key[1]), "test")
            ]
        )
        for key in [(fraction, fold) for fraction in ("0.3", "1.0") for fold in range(3)]
    }
    changes = [means["1.0", fold] - means["0.3", fold] for fold in range(3)]
    assert result.last_step.gain == pytest.approx(np.mean(changes))
    assert result.last_step.error == pytest.approx(np.std(changes, ddof=1) / np.sqrt(3))


@pytest.mark.parametrize(
    "gain, error, larger, words",
    [
        (0.05, 0.02, True, "More data should help"),
        (0.03, 0.02, True, "is not clear"),
        (-0.01, 0.02, True, "may not help"),
        (-0.05, 0.02, False, "More data should help"),
        (0.05, 0.02, False, "may not help"),
    ],
)
def test_the_answer_says_no_more_than_the_last_step_does(curve, gain, error, larger, words):
    step = learning_curve.LastStep(gain=gain, error=error)
    result = curve[1].model_copy(update={"last_step": step, "larger_is_better": larger})
    assert words in learning_curve.answer_of(result)


def test_a_point_of_the_curve_is_what_a_fit_alone_gives(curve, tiny_waveforms):
    """The slow way: one member, fitted by itself on the fold's own part."""
    out, _, _ = curve
    job = mlp()
    table = fitting.load_table(job, tiny_waveforms)
    labels, groups = fitting.labels_of(table), table["group"]
    fold = grouped_folds(labels, groups, 3)[1]
    part = nested_subset(fold.train, labels, groups, FRACTIONS, 0)[0]
    alone, _ = fitting.fit_trials(job, table, [Trial(1, 1, Fold(part, fold.valid, fold.test))])
    expected = fitting.score(job, table, alone[0], fold.test)
    row = next(
        row
        for row in rows_of(out)
        if (row["fraction"], row["fold"], row["seed"], row["split"]) == ("0.3", "1", "1", "test")
    )
    assert int(row["training_records"]) == len(part)
    assert float(row["balanced_accuracy"]) == expected["balanced_accuracy"]
    assert float(row["log_loss"]) == pytest.approx(expected["log_loss"], rel=1e-4)


def test_the_two_spreads_are_separated():
    """4,000 folds x 3 seeds with a deviation of 0.03 between folds and 0.02 between seeds."""
    rng = np.random.default_rng(0)
    values = 0.8 + 0.03 * rng.normal(size=(4000, 1)) + 0.02 * rng.normal(size=(4000, 3))
    data, seeds = learning_curve.spread_apart(values)
    assert data == pytest.approx(0.03, rel=0.05)
    assert seeds == pytest.approx(0.02, rel=0.05)


def test_spreads_by_hand():
    # Fold means 0.8 and 0.6: variance 0.02. Seeds differ by 0.2 in both: variance 0.02, half of it in a mean of two.
    data, seeds = learning_curve.spread_apart(np.array([[0.7, 0.9], [0.5, 0.7]]))
    assert (data, seeds) == (pytest.approx(0.1), pytest.approx(np.sqrt(0.02)))
    assert learning_curve.spread_apart(np.array([[0.7], [0.9]])) == (pytest.approx(np.sqrt(0.02)), 0.0)


def test_one_seed_has_no_spread_of_seeds(tiny_waveforms, tmp_path):
    result = learning_curve.learning_curve(tiny_waveforms, mlp(), tmp_path, n_folds=3, fractions=(1.0,))
    assert result.sizes[0].test.std_seeds is None
    assert not (tmp_path / "figures" / "spreads.png").exists()


@pytest.mark.parametrize("job", ["data set statistics", "class weights", "cnn"])
def test_fits_that_share_no_data_or_no_stack_are_those_of_fits_alone(
    job, tiny_records, write_waveforms, tiny_waveforms, tmp_path
):
    """Statistics and weights are of each fold's own training records; a CNN can't be mapped."""
    folder = tiny_waveforms
    chosen = mlp(class_weights="balanced" if job == "class weights" else "none")
    if job == "data set statistics":
        folder = tmp_path / "data"
        write_waveforms(folder, tiny_records(), job={"standardise": "dataset"})
    if job == "cnn":
        chosen = TrainJob(model=CnnSettings(filters=(2,), dense=4), training=TrainingSettings(epochs=2))
    table = fitting.load_table(chosen, folder)
    trials = [Trial(n, 0, fold) for n, fold in enumerate(grouped_folds(table["label"], table["group"], 3))]
    together, seconds = fitting.fit_trials(chosen, table, trials)
    assert seconds.fits == 3
    for trial, found in zip(trials, together, strict=True):
        alone, _ = fitting.fit_trials(chosen, table, [trial])
        assert found.outputs == pytest.approx(alone[0].outputs, abs=1e-4)
        assert found.best_epoch == alone[0].best_epoch
    assert not np.allclose(together[0].outputs, together[1].outputs, atol=1e-3)


@pytest.mark.slow
def test_a_tsunami_network_has_a_curve_of_its_own_score(tiny_dart, tmp_path):
    job = TrainJob(model=Conv1dSettings(dense=4), training=TrainingSettings(epochs=3, batch_size=20))
    result = learning_curve.learning_curve(tiny_dart, job, tmp_path, n_folds=3, fractions=(0.5, 1.0))
    assert (result.score, result.larger_is_better) == ("mse", False)
    assert [size.training_groups for size in result.sizes] == [pytest.approx(17, abs=1), 34.0]


def test_a_loss_that_is_not_finite_is_an_error(tiny_waveforms, tmp_path):
    """1e38 times the sum of some hundred squared weights is no float32."""
    with pytest.raises(
        ValueError, match="member 0, epoch 1: expected finite loss and weights, received the loss inf; no single"
    ):
        learning_curve.learning_curve(tiny_waveforms, mlp(l2=1e38), tmp_path / "out", n_folds=3)
    assert not (tmp_path / "out").exists()
