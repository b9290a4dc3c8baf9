"""Data sets in memory: rows of splits, statistics of training records only, and augmentation for the loop."""

import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dataset import tables
from seis_tf.dataset.shards import iterate, load_dataset
from seis_tf.settings.training import AugmentSettings, TrainingSettings
from seis_tf.waveforms import training_data as waveform_training
from seis_tf.waveforms.augmentation import Augmentation
from seis_tf.waveforms.layers import Standardise

FEATURES = ("spectrogram", "waveform", "label", "group")


@pytest.fixture(scope="module")
def table(tiny_waveforms):
    return tables.load(tiny_waveforms, ("train", "valid"), FEATURES)


def of_mode(table, mode):
    info = table.info.model_copy(update={"job": table.info.job | {"standardise": mode}})
    return tables.Table(info, table.columns, table.rows)


def test_splits_come_one_after_the_other(tiny_waveforms, table):
    info = load_dataset(tiny_waveforms)
    n_train, n_valid = info.splits["train"].records, info.splits["valid"].records
    np.testing.assert_array_equal(table.rows["train"], np.arange(n_train))
    np.testing.assert_array_equal(table.rows["valid"], np.arange(n_train, n_train + n_valid))
    assert len(table) == n_train + n_valid and set(table.rows) == {"train", "valid"}
    for split in ("train", "valid"):
        expected = list(iterate(tiny_waveforms, info, split))
        np.testing.assert_array_equal(table["label"][table.rows[split]], [r["label"] for r in expected])
        np.testing.assert_array_equal(table["waveform"][table.rows[split]], [r["waveform"] for r in expected])


def test_no_other_split_is_opened(tiny_waveforms, tmp_path):
    import shutil

    folder = shutil.copytree(tiny_waveforms, tmp_path / "data")
    for path in folder.glob("*-test.*"):
        path.unlink()
    assert len(tables.load(folder, ("train", "valid"), ("label",))) > 0


def test_features_that_are_not_there_are_left_out(tiny_dart):
    table = tables.load(tiny_dart, ("test",), ("water_level_m", "truth_m", "mask"))
    assert set(table.columns) == {"water_level_m", "mask"}
    with pytest.raises(
        ValueError, match=r"expected one of the features \['spectrogram'\], received \['water_level_m', "
    ):
        tables.load(tiny_dart, ("test",), ("spectrogram",))


def test_inputs_do_not_depend_on_records_that_are_not_for_training(table):
    for mode in ("record", "dataset", "none"):
        mine = of_mode(table, mode)
        train = table.rows["train"]
        before = waveform_training.classification_data(mine, TrainingSettings(class_weights="balanced"), train)
        columns = dict(mine.columns)
        columns["spectrogram"] = columns["spectrogram"].copy()
        columns["spectrogram"][table.rows["valid"]] *= 100
        changed = tables.Table(mine.info, columns, mine.rows)
        after = waveform_training.classification_data(changed, TrainingSettings(class_weights="balanced"), train)
        np.testing.assert_array_equal(before.inputs[0][train], after.inputs[0][train])
        np.testing.assert_array_equal(before.weights, after.weights)


@pytest.mark.parametrize("mode", ["record", "dataset", "none"])
def test_inputs_are_what_the_layer_makes_of_them(table, mode):
    train = table.rows["train"][::2]
    inputs = waveform_training.standardised(of_mode(table, mode), train)
    power = table["spectrogram"]
    training = power[train].astype(float)
    layer = Standardise(mode, training.mean(axis=(0, 2)).tolist(), training.std(axis=(0, 2)).tolist())
    np.testing.assert_allclose(inputs, layer(power), atol=1e-5)
    assert inputs.dtype == np.float32 and inputs.shape == power.shape


def test_a_frequency_that_never_varies_in_training_says_nothing_as_in_the_layer(table):
    power = table["spectrogram"].copy()
    train, valid = table.rows["train"], table.rows["valid"]
    power[train, 3] = -4.0
    changed = of_mode(tables.Table(table.info, table.columns | {"spectrogram": power}, table.rows), "dataset")
    inputs = waveform_training.standardised(changed, train)
    assert np.isfinite(inputs).all()
    np.testing.assert_array_equal(inputs[:, 3], 0)
    assert np.abs(inputs[valid][:, 2]).max() > 0.1


def test_statistics_are_in_double_precision():
    power = (1e4 + np.random.default_rng(0).normal(size=(50, 3, 40))).astype(np.float32)
    mean, std = waveform_training.statistics(power)
    np.testing.assert_allclose(mean, power.astype(float).mean(axis=(0, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, power.astype(float).std(axis=(0, 2)), rtol=1e-9)


def test_targets_and_weights(table):
    data = waveform_training.classification_data(table, TrainingSettings(class_weights="balanced"), table.rows["train"])
    assert data.targets.dtype == np.int32 and data.transform is None and data.companions is None
    labels = table["label"][table.rows["train"]]
    totals = [data.weights[table.rows["train"]][labels == k].sum() for k in range(3)]
    np.testing.assert_allclose(totals, len(labels) / 3, rtol=1e-5)
    assert waveform_training.classification_data(table, TrainingSettings(), table.rows["train"]).weights is None


def augmented(table, **settings):
    return waveform_training.classification_data(
        table, TrainingSettings(augment=AugmentSettings(**settings)), table.rows["train"]
    )


def test_changed_batches_are_what_the_pipeline_makes(table):
    data = augmented(table, gain_db=2.0, shift_fraction=0.2, noise_probability=1.0)
    rows = np.array([[0, 5, 9], [3, 3, 8]])
    companions = np.flatnonzero(table["label"] == 2)[:6].reshape(2, 3)
    waveforms = [tf.constant(table["waveform"][r]) for r in (rows, companions)]
    (changed,) = data.transform(waveforms, tf.constant([4, 1, 2]))
    change = Augmentation(table.info, AugmentSettings(gain_db=2.0, shift_fraction=0.2, noise_probability=1.0))
    flat = [tf.reshape(w, [6, 70]) for w in waveforms]
    expected = Standardise("record")(change(*flat, tf.constant([4 * 1000003 + 2, 1 * 1000003 + 2])))
    np.testing.assert_allclose(changed, tf.reshape(expected, [2, 3, 8, 9]), atol=1e-5)


def test_nothing_changed_is_the_input(table):
    # A gain does nothing to a standardised logarithm; so the changed batch is the input itself.
    data = augmented(table, gain_db=20.0)
    rows = np.array([[1, 4, 7]])
    (changed,) = data.transform([tf.constant(table["waveform"][rows])], tf.constant([0, 0, 0]))
    np.testing.assert_allclose(changed[0], data.inputs[0][rows[0]], atol=2e-3)
    np.testing.assert_array_equal(data.training_inputs[0], table["waveform"])


def test_companions_are_noise_and_only_there_when_noise_is_added(table):
    data = augmented(table, noise_probability=0.5)
    np.testing.assert_array_equal(data.companions, np.flatnonzero(table["label"] == 2))
    assert augmented(table, shift_fraction=0.1).companions is None


def test_the_same_augmentation_is_one_compilation(table):
    first, again, other = (augmented(table, gain_db=gain).transform for gain in (1.0, 1.0, 2.0))
    assert first == again and hash(first) == hash(again)
    assert first != other
