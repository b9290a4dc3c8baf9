"""Shards -> `tf.data`: order and contents against NumPy, each record once, and changes in training only."""

import gc
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dataset import examples, shards
from seis_tf.dataset.pipeline import records
from seis_tf.dataset.shards import DamagedShardError, iterate, load_arrays, load_dataset, open_dataset
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.settings.training import AugmentSettings
from seis_tf.waveforms.augmentation import Augmentation, shift
from seis_tf.waveforms.spectrograms import spectrograms, standardise
from seis_tf.waveforms.training_data import classification, standardiser

FEATURES = ("waveform", "label", "record_id", "snr_db")


def joined(batches, name):
    return np.concatenate([batch[name] for batch in batches.as_numpy_iterator()])


def names(batches):
    return [name.decode() for name in joined(batches, "record_id")]


@pytest.fixture(scope="module")
def info(tiny_waveforms):
    return load_dataset(tiny_waveforms)


@pytest.fixture(scope="module")
def train(tiny_waveforms, info):
    """The training records in memory."""
    return load_arrays(tiny_waveforms, info, ("train",), (*FEATURES, "spectrogram"))


@pytest.mark.parametrize("in_memory", [False, True])
@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_batches_are_the_records_on_disk_in_their_order(tiny_waveforms, info, split, in_memory):
    expected = list(iterate(tiny_waveforms, info, split))
    batches = records(tiny_waveforms, split, FEATURES, 7, in_memory=in_memory)
    assert names(batches) == [record["record_id"] for record in expected]
    for name in ("waveform", "label", "snr_db"):
        np.testing.assert_array_equal(joined(batches, name), [record[name] for record in expected])
    sizes = [len(batch["label"]) for batch in batches]
    assert len(batches) == len(sizes)
    assert sizes == [7] * (len(expected) // 7) + [len(expected) % 7] * bool(len(expected) % 7)
    assert set(next(iter(batches))) == set(FEATURES)


def test_arrays_are_the_records_on_disk(tiny_waveforms, info, train):
    expected = list(iterate(tiny_waveforms, info, "train"))
    for name in ("waveform", "label", "snr_db", "spectrogram", "record_id"):
        np.testing.assert_array_equal(train[name], [record[name] for record in expected])
    assert (train["waveform"].dtype, train["label"].dtype, train["record_id"].dtype.kind) == (np.float32, np.int64, "U")


def test_batches_in_memory_outlive_what_made_them_and_a_second_pass_over_them(tiny_waveforms, train):
    batches = records(tiny_waveforms, "train", ("spectrogram",), 16, in_memory=True).take(2)
    gc.collect()
    for _ in range(2):
        np.testing.assert_array_equal(joined(batches, "spectrogram"), train["spectrogram"][:32])


def test_splits_are_loaded_one_after_the_other(tiny_waveforms, info, train):
    both = load_arrays(tiny_waveforms, info, ("valid", "train"), ("record_id", "label"))
    valid = [record["record_id"] for record in iterate(tiny_waveforms, info, "valid")]
    assert both["record_id"].tolist() == valid + train["record_id"].tolist()


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_damaged_record_is_not_read(tiny_waveforms, info, tmp_path, in_memory):
    folder = shutil.copytree(tiny_waveforms, tmp_path / "damaged")
    shard = folder / info.splits["train"].shards[0].file
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    with pytest.raises((DamagedShardError, tf.errors.DataLossError), match="record"):
        list(records(folder, "train", ("label",), 16, in_memory=in_memory))


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_last_batch_that_is_not_full_can_be_left_out(tiny_waveforms, train, in_memory):
    batches = records(tiny_waveforms, "train", ("label",), 16, drop_remainder=True, in_memory=in_memory)
    assert [len(batch["label"]) for batch in batches] == [16] * (len(train["label"]) // 16)
    assert batches.element_spec["label"].shape == (16,)


@pytest.mark.parametrize("in_memory", [False, True])
def test_shuffled_each_record_comes_once_in_another_order_each_pass(tiny_waveforms, train, in_memory):
    batches = records(tiny_waveforms, "train", ("record_id",), 16, shuffle=True, seed=3, in_memory=in_memory)
    first, second = names(batches), names(batches)
    in_order = train["record_id"].tolist()
    assert sorted(first) == sorted(second) == sorted(in_order)
    assert first != second and first != in_order
    again = records(tiny_waveforms, "train", ("record_id",), 16, shuffle=True, seed=3, in_memory=in_memory)
    assert [names(again), names(again)] == [first, second]
    other = records(tiny_waveforms, "train", ("record_id",), 16, shuffle=True, seed=4, in_memory=in_memory)
    assert names(other) != first


def test_records_mix_over_shards_even_with_a_small_buffer(tiny_waveforms, info):
    batches = records(tiny_waveforms, "train", ("record_id",), 20, shuffle=True, seed=1, shuffle_buffer=4)
    shard_of = {}
    for number, shard in enumerate(info.splits["train"].shards):
        for payload in tf.data.TFRecordDataset(str(tiny_waveforms / shard.file)).as_numpy_iterator():
            shard_of[examples.decode(payload, list(info.features))["record_id"]] = number
    first_batch = [name.decode() for name in next(iter(batches))["record_id"].numpy()]
    assert len({shard_of[name] for name in first_batch}) > 1


def test_a_task_that_is_not_expected_is_refused(tiny_waveforms, tiny_dart):
    with pytest.raises(ValueError, match="expected a data set of task dart, received waveforms"):
        open_dataset(tiny_waveforms, task="dart")
    with pytest.raises(ValueError, match="expected a data set of task waveforms, received dart"):
        classification(tiny_dart, "train", 8)


def test_another_order_is_refused_with_both_lists(tiny_waveforms, tiny_dart):
    assert open_dataset(tiny_waveforms, class_names=("AE", "UP", "noise")).task == "waveforms"
    message = r"classes: expected \['AE', 'noise', 'UP'\], received \['AE', 'UP', 'noise'\]: another order"
    with pytest.raises(ValueError, match=message):
        open_dataset(tiny_waveforms, class_names=("AE", "noise", "UP"))
    message = r"buoys: expected \['46407', '46419'\], received \['46404', '46407'\]: missing \['46419'\]; unknown"
    with pytest.raises(ValueError, match=message):
        open_dataset(tiny_dart, gauge_names=("46407", "46419"))
    with pytest.raises(ValueError, match=r"sources: expected \['acsza57'\], received \['acsza57', 'acsza58', "):
        open_dataset(tiny_dart, source_names=("acsza57",))


def test_another_shape_is_refused_with_both(tiny_waveforms):
    wanted = examples.Feature(name="spectrogram", dtype="float32", shape=(65, 101))
    message = r"feature spectrogram: expected float32 \(65, 101\), received float32 \(8, 9\)"
    with pytest.raises(ValueError, match=message):
        open_dataset(tiny_waveforms, features=[wanted])
    with pytest.raises(ValueError, match="expected a feature mask, received"):
        records(tiny_waveforms, "train", ("mask",), 4)
    with pytest.raises(ValueError, match=r"expected a split of \['train', 'valid', 'test'\], received 'dev'"):
        records(tiny_waveforms, "dev", ("label",), 4)


def test_a_short_shard_is_refused_before_it_is_read(tiny_waveforms, tmp_path):
    folder = shutil.copytree(tiny_waveforms, tmp_path / "data")
    path = folder / load_dataset(folder).splits["train"].shards[1].file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedShardError, match=rf"{path.name}: expected \d+ bytes, received \d+"):
        records(folder, "train", ("label",), 4)


@pytest.mark.parametrize("mode", ["record", "dataset", "none"])
def test_what_a_classifier_is_fitted_on(tmp_path, tiny_records, write_waveforms, mode):
    folder = tmp_path / "data"
    found = write_waveforms(folder, tiny_records(groups_per_class=8), job={"standardise": mode})
    power = load_arrays(folder, found, ("valid",), ("spectrogram",))["spectrogram"]
    inputs = np.concatenate([x for x, _ in classification(folder, "valid", 8)])
    if mode == "record":
        expected = standardise(power)
    elif mode == "dataset":
        training = load_arrays(folder, found, ("train",), ("spectrogram",))["spectrogram"].astype(float)
        mean, std = training.mean(axis=(0, 2))[:, None], training.std(axis=(0, 2))[:, None]
        expected = (power - mean) / std
    else:
        expected = power
    np.testing.assert_allclose(inputs, expected, atol=1e-5)


def test_pairs_fit_a_keras_model_as_they_are(tiny_waveforms):
    from seis_tf.waveforms import networks as waveform_networks

    batches = classification(tiny_waveforms, "train", 16, shuffle=True)
    assert batches.element_spec[0].shape.as_list() == [None, 8, 9]
    assert batches.element_spec[1].dtype == tf.int64
    model = waveform_networks.mlp((8, 9), 3, (4,))
    model.compile("adam", "sparse_categorical_crossentropy")
    assert np.isfinite(model.fit(batches, epochs=1, verbose=0).history["loss"][0])


def test_shifted_records_come_in_mirrored():
    waveforms = np.array([[0, 1, 2, 3, 4]] * 6, np.float32)
    moved = shift(tf.constant(waveforms), tf.constant([0, 1, 2, -1, -2, 4])).numpy()
    # NumPy's "reflect" padding is the mirror without its edge doubled: 2 1 | 0 1 2 3 4 | 3 2.
    mirrored = np.pad(waveforms[0], 4, mode="reflect")
    for row, by in zip(moved, (0, 1, 2, -1, -2, 4), strict=True):
        np.testing.assert_array_equal(row, mirrored[4 - by : 9 - by])
    assert moved[1].tolist() == [1, 0, 1, 2, 3]


def augmented(info, waveforms, noise, seed, **settings):
    """Changed linear power [record, frequency, time] of a data set that keeps it so."""
    linear = info.model_copy(update={"job": info.job | {"spectrogram": info.job["spectrogram"] | {"log": False}}})
    change = Augmentation(linear, AugmentSettings(**settings))
    return change(tf.constant(waveforms), tf.constant(noise), tf.constant(seed, tf.int32)).numpy()


def linear_power(info, waveforms):
    chosen = SpectrogramSettings.model_validate(info.job["spectrogram"] | {"log": False})
    return spectrograms(waveforms, chosen, info.sampling_rate_hz)


def test_gain_is_in_decibels_of_power_and_scatters_as_asked(info, train):
    waveforms = np.repeat(train["waveform"][:1], 500, axis=0)
    changed = augmented(info, waveforms, waveforms, (1, 2), gain_db=6.0)
    gains_db = 10 * np.log10(changed.sum(axis=(1, 2)) / linear_power(info, waveforms[:1]).sum())
    # Standard error of a deviation of 6 from 500 draws is 6 / sqrt(1000) = 0.19; of the mean 6 / sqrt(500) = 0.27.
    assert gains_db.std() == pytest.approx(6, abs=4 * 0.19)
    assert gains_db.mean() == pytest.approx(0, abs=4 * 0.27)


def test_added_noise_has_the_ratio_that_was_asked_for(info):
    # Signal in one frequency bin, noise in another, both with whole periods in a frame: without a taper nothing leaks.
    spectrogram = info.job["spectrogram"] | {"window": "boxcar"}
    untapered = info.model_copy(update={"job": info.job | {"spectrogram": spectrogram}})
    turns = 2 * np.pi * np.arange(70) / 14
    signal, noise = (np.repeat(np.sin(k * turns)[None] * k, 400, axis=0).astype(np.float32) for k in (2, 5))
    settings = {"noise_probability": 0.4, "noise_snr_db": (3.0, 13.0)}
    power = augmented(untapered, signal, noise, (5, 6), **settings).mean(axis=2)
    has_noise = power[:, 5] > 1e-6 * power[:, 2]
    # 400 draws: 0.4 with a deviation of 0.024; of 160 uniform draws the ends are missed by a 160th part.
    assert has_noise.mean() == pytest.approx(0.4, abs=4 * 0.024)
    snr_db = 10 * np.log10(power[has_noise, 2] / power[has_noise, 5])
    assert snr_db.min() == pytest.approx(3, abs=0.3) and snr_db.max() == pytest.approx(13, abs=0.3)
    assert (snr_db.min() > 2.99) and (snr_db.max() < 13.01)


def test_shifts_move_the_record_and_are_as_large_as_asked(info):
    pulse = np.zeros((300, 70), np.float32)
    pulse[:, 35] = 1
    power = augmented(info, pulse, pulse, (7, 8), shift_fraction=0.2).sum(axis=1)
    # The pulse moves by up to 14 samples, two frames of 7.
    frames = power.argmax(axis=1)
    assert set(frames) == {2, 3, 4, 5, 6}


def test_the_same_seed_is_the_same_draw(info, train):
    waveforms = train["waveform"][:5]
    settings = {"gain_db": 3.0, "shift_fraction": 0.3, "noise_probability": 0.5}
    first, again, other = (
        augmented(info, waveforms, waveforms[::-1], seed, **settings) for seed in ((1, 2), (1, 2), (1, 3))
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_training_pairs_are_changed_anew_each_pass_and_the_same_way_when_run_again(tiny_waveforms, train):
    settings = AugmentSettings(shift_fraction=0.3, noise_probability=0.5)

    def passes(seed):
        batches = classification(tiny_waveforms, "train", 16, seed=seed, augment=settings)
        return [np.concatenate([x for x, _ in batches]) for _ in range(2)]

    first, second = passes(1)
    again = passes(1)
    plain = np.concatenate([x for x, _ in classification(tiny_waveforms, "train", 16)])
    assert first.shape == plain.shape
    for changed in (second, plain):
        # Nothing was shuffled: the records are the same ones, and nearly all of them look different.
        assert (np.abs(first - changed).max(axis=(1, 2)) > 0.1).mean() > 0.8
    np.testing.assert_array_equal([first, second], again)
    labels = np.concatenate([y for _, y in classification(tiny_waveforms, "train", 16, augment=settings)])
    np.testing.assert_array_equal(labels, train["label"])


@pytest.mark.parametrize("split", ["valid", "test"])
def test_only_training_is_augmented(tiny_waveforms, split):
    with pytest.raises(ValueError, match=f"augment: expected split train, received {split}"):
        classification(tiny_waveforms, split, 8, augment=AugmentSettings(gain_db=1.0))
    # Settings that change nothing are none.
    assert classification(tiny_waveforms, split, 8, augment=AugmentSettings()) is not None


def test_augmentation_of_what_is_not_there_is_refused(tiny_waveforms, tmp_path, info):
    without = info.model_copy(update={"features": tuple(f for f in info.features if f.name != "waveform")})
    with pytest.raises(ValueError, match="expected a data set with waveforms, received one with spectrograms only"):
        Augmentation(without, AugmentSettings(gain_db=1.0))
    quiet = info.model_copy(update={"class_names": ("AE", "UP", "silence")})
    with pytest.raises(ValueError, match=r"expected a class noise, received classes \['AE', 'UP', 'silence'\]"):
        Augmentation(quiet, AugmentSettings(noise_probability=0.5))
    assert not Augmentation(quiet, AugmentSettings(gain_db=1.0)).is_noise(np.arange(3)).any()
    assert Augmentation(info, AugmentSettings(gain_db=1.0)).is_noise(np.array([0, 2, 1])).tolist() == [
        False,
        True,
        False,
    ]


def test_the_standardiser_is_that_of_the_data_set(tiny_waveforms, tmp_path):
    folder = shutil.copytree(tiny_waveforms, tmp_path / "data")
    tree = json.loads((folder / "dataset.json").read_text())
    del tree["checksum"]
    tree["job"]["standardise"], tree["normalisation"] = "dataset", {"mean": [1.0] * 8, "std": [2.0] * 8}
    (folder / "dataset.json").write_text(json.dumps(tree))
    layer = standardiser(shards.open_dataset(folder))
    np.testing.assert_allclose(layer(np.full((1, 8, 9), 5.0, np.float32)), 2.0)
