"""A value that is not finite ends a training, wherever it is, and the record that caused it is named."""

import json

import numpy as np
import pytest
import tensorflow as tf

from seis_tf.runs import load_run, train
from seis_tf.settings.networks import CnnSettings
from seis_tf.settings.training import AugmentSettings, TrainingSettings, TrainJob
from seis_tf.training import losses
from seis_tf.training.finite import NotFiniteError
from seis_tf.training.inputs import Data, FitInputs, Member
from seis_tf.training.loop import fit
from seis_tf.waveforms import networks as waveform_networks
from seis_tf.waveforms.augmentation import rms

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(60, 4, 5)).astype(np.float32)
LABELS = (INPUTS.mean(axis=(1, 2)) > 0).astype(np.int32)
TRAIN, VALID = np.arange(42), np.arange(42, 60)
SETTINGS = TrainingSettings(learning_rate=0.02, batch_size=8, epochs=3)


def fitted(data, *, members=1, loss=losses.cross_entropy, settings=SETTINGS, **options):
    built = [waveform_networks.mlp((4, 5), 3, (6,), dropout=0.3, seed=seed) for seed in range(members)]
    inputs = FitInputs(data, [Member(TRAIN, VALID, seed) for seed in range(members)], loss)
    return fit(built, inputs, settings, **options)


def with_value(value, rows):
    inputs = INPUTS.copy()
    inputs[rows, 2, 3] = value
    return Data((inputs,), LABELS)


@pytest.mark.parametrize(("value", "rows"), [(np.nan, [17]), (np.inf, [17]), (np.nan, [3, 17, 40])], ids=str)
def test_the_records_that_cause_it_are_found(value, rows):
    with pytest.raises(NotFiniteError) as error:
        fitted(with_value(value, rows), settings=SETTINGS.model_copy(update={"batch_size": 42}))
    assert (error.value.epoch, error.value.member, error.value.rows) == (1, 0, rows)


def test_the_member_is_named_and_the_other_members_records_are_not():
    """Only the second model is fitted to the record that has no value."""
    built = [waveform_networks.mlp((4, 5), 3, (6,), dropout=0.3, seed=seed) for seed in range(2)]
    members = [Member(np.delete(TRAIN, 17), VALID, 0), Member(TRAIN, VALID, 1)]
    message = (
        r"member 1, epoch 1: expected finite loss and weights, received the loss nan because of the record in row 17"
    )
    with pytest.raises(NotFiniteError, match=message):
        fit(built, FitInputs(with_value(np.nan, [17]), members, losses.cross_entropy), SETTINGS)


def infinite_slope(targets, outputs):
    """The cross entropy and, for class 2, the root of 0 times an output: its value is 0, its slope 0 / 0."""
    chosen = tf.cast(targets == 2, tf.float32)
    return losses.cross_entropy(targets, outputs) + tf.sqrt(1 - chosen + 0 * chosen * outputs[..., 0])


def test_weights_are_looked_at_and_not_the_loss_alone():
    labels = LABELS.copy()
    labels[17] = 2
    message = "member 0, epoch 1: expected finite loss and weights, received weights that are not because of the record"
    with pytest.raises(NotFiniteError, match=message) as error:  # one step, so that its loss is of the first weights
        fitted(Data((INPUTS,), labels), loss=infinite_slope, settings=SETTINGS.model_copy(update={"batch_size": 64}))
    assert error.value.rows == [17]
    with pytest.raises(NotFiniteError, match="received the loss nan because of the record in row 17"):
        fitted(Data((INPUTS,), labels), loss=infinite_slope)


def test_a_record_of_another_member_does_no_harm_where_a_batch_is_filled_up():
    """41 records in batches of 8: seven places of the last are empty, and not filled with record 0, which is bad."""
    built = [waveform_networks.mlp((4, 5), 3, (6,), seed=0)]
    inputs = FitInputs(with_value(np.nan, [0]), [Member(TRAIN[1:], VALID, 0)], losses.cross_entropy)
    done = fit(built, inputs, SETTINGS)
    assert all(np.isfinite(row["loss"]) for row in done.progress.history[0])


def test_no_record_is_blamed_for_a_rate_that_is_too_high():
    settings = SETTINGS.model_copy(update={"optimizer": "sgd", "learning_rate": 1e30, "epochs": 9})
    message = "no single record causes it: try a smaller --learning-rate"
    with pytest.raises(NotFiniteError, match=message) as error:
        fitted(Data((INPUTS,), LABELS), settings=settings)
    assert error.value.rows == []


def test_a_validation_record_without_value_is_named():
    """Else no epoch would ever be the best, and the first weights would be kept."""
    with pytest.raises(NotFiniteError, match="a validation loss that is not because of the record in row 50"):
        fitted(with_value(np.nan, [50]))


def test_in_a_search_the_others_go_on():
    labels = LABELS.copy()
    labels[17] = 2
    built = [waveform_networks.mlp((4, 5), 3, (6,), dropout=0.3, seed=seed) for seed in range(2)]
    members = [Member(np.delete(TRAIN, 17), VALID, 0), Member(TRAIN, VALID, 1)]
    done = fit(built, FitInputs(Data((INPUTS,), labels), members, infinite_slope), SETTINGS, failed_go_on=True)
    lost = [[row["loss"] for row in history] for history in done.progress.history]
    assert np.isfinite(lost[0]).all() and np.isnan(lost[1]).all() and len(lost[1]) == 3


def glitch(records, value, place=6):
    """The training record at this place of these has one sample of this value, in its waveform alone."""
    records[place].values["waveform"] = records[place].values["waveform"].copy()
    records[place].values["waveform"][33] = value
    return records


NOISY = TrainJob(
    model=CnnSettings(filters=(2,), dense=3),
    training=TrainingSettings(epochs=3, batch_size=16, augment=AugmentSettings(noise_probability=0.9)),
)


def test_a_glitch_of_1e20_is_added_noise_to_without_harm(tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "data", glitch(tiny_records(), 1e20), job={"standardise": "record"})
    run = train(tmp_path / "data", NOISY, tmp_path / "run")
    assert all(np.isfinite(w).all() for w in run.model.get_weights())
    assert all(np.isfinite(row["loss"]) for row in run.history[0])


def test_a_run_names_the_record_and_writes_no_model(tiny_records, write_waveforms, tmp_path):
    """A sample that is not finite, in a data set that was not made by `prepare`, which refuses it."""
    records = tiny_records()
    write_waveforms(tmp_path / "data", glitch(records, np.inf))
    message = (
        rf"run: member 0, epoch 1: expected finite loss and weights, received .* because of the record "
        rf"{records[6].record_id} \(1 values are not finite\); mend it or leave it out"
    )
    with pytest.raises(ValueError, match=message):
        train(tmp_path / "data", NOISY, tmp_path / "run")
    with pytest.raises(ValueError, match="received one without model.keras"):
        load_run(tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").rglob("*")}
    assert not names & {"report.html", "metrics.json", "best.json", "last.keras", "history.csv"}
    assert json.loads((tmp_path / "run" / "config.json").read_text())["run_version"] == 1


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e20, 1e37])
def test_the_noise_level_is_that_of_float64(scale):
    samples = RANDOM.normal(size=(4, 70)) * scale + 0.3 * scale
    samples = samples.astype(np.float32)
    expected = samples.astype(np.float64).std(axis=1)
    np.testing.assert_allclose(rms(tf.constant(samples))[:, 0], expected, rtol=1e-5)
    assert rms(tf.zeros([1, 70])).numpy() == 0


def test_noise_that_is_added_is_blamed_and_not_what_it_is_added_to(tiny_records, write_waveforms, tmp_path):
    """Noise of 1e-30, alone far from any limit: the factor that brings it to the level of 1e15 is no float32."""
    records = tiny_records()
    for record in records:
        record.values["waveform"] = record.values["waveform"] * (np.float32(1e15) if record.label < 2 else 1)
    noise = [record for record in records if record.label == 2]
    for record in noise:  # of which one is all but silent
        record.values["waveform"] = record.values["waveform"] * np.float32(1 if record is not noise[4] else 0)
    noise[4].values["waveform"][33] = 1e-30
    write_waveforms(tmp_path / "data", records)
    with pytest.raises(ValueError, match=noise[4].record_id):
        train(tmp_path / "data", NOISY, tmp_path / "run")
