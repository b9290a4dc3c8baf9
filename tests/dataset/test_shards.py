"""Splits and `dataset.json`: groups never change sides, classes are never absent, and verify finds what is planted."""

import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from seis_tf.dataset import examples, shards, tfrecords
from seis_tf.dataset.shards import DamagedShardError, iterate, load_dataset, shard_paths, split_of, verify
from seis_tf.dataset.splits import check_classes
from seis_tf.files import checksum, write_json
from seis_tf.settings.data import SplitSettings


@pytest.fixture
def dataset(tiny_waveforms, tmp_path):
    """A copy of the tiny data set that a test may damage."""
    return shutil.copytree(tiny_waveforms, tmp_path / "data")


def records_of(path):
    return list(tfrecords.read_records(path))


def write_tree(folder, tree):
    """Writes dataset.json as it would have been written with this content."""
    write_json(folder / "dataset.json", tree | {"checksum": checksum(tree)})


def rewrite(folder, name, payloads):
    """Writes a shard anew and corrects size, checksum and count in dataset.json: only its contents are wrong."""
    with open(folder / name, "wb") as file:
        writer = tfrecords.Writer(file)
        for payload in payloads:
            writer.write(payload)
    tree = json.loads((folder / "dataset.json").read_text())
    for split in tree["splits"].values():
        for shard in split["shards"]:
            if shard["file"] == name:
                shard |= {"bytes": writer.bytes, "crc32c": writer.crc32c(), "records": len(payloads)}
    write_tree(folder, tree)


def change(folder, split, number, **values):
    """Puts other values into one record of the split's first shard; gives the shard's name."""
    info = load_dataset(folder)
    path = folder / info.splits[split].shards[0].file
    payloads = records_of(path)
    record = examples.decode(payloads[number], list(info.features)) | values
    payloads[number] = examples.encode(record, list(info.features))
    rewrite(folder, path.name, payloads)
    return path.name


def test_the_split_follows_from_the_hash_alone():
    settings = SplitSettings(valid_fraction=0.15, test_fraction=0.2, seed=3)
    for group in ("0004", "uw10735908", "é"):
        digest = hashlib.sha256(f"3:{group}".encode()).hexdigest()
        position = int(digest[:16], 16) / 16**16
        expected = "test" if position < 0.2 else "valid" if position < 0.35 else "train"
        assert split_of(group, settings) == expected


def test_splits_have_their_fractions():
    counts = {split: 0 for split in shards.SPLITS}
    for event in range(200):
        counts[split_of(f"event{event:03d}", SplitSettings())] += 1
    # 200 groups, 20 % and 15 %: 40 and 30 with deviations of 5.7 and 5.0.
    assert counts["test"] == pytest.approx(40, abs=17)
    assert counts["valid"] == pytest.approx(30, abs=15)


def test_a_group_keeps_its_split_when_more_come_and_fractions_of_others_change():
    names = [f"event{i}" for i in range(300)]
    before = {name: split_of(name, SplitSettings(seed=1)) for name in names[:100]}
    after = {name: split_of(name, SplitSettings(seed=1)) for name in names}
    assert before == {name: after[name] for name in names[:100]}
    # A larger validation part takes groups from training; the test groups stay the test groups.
    more = {name: split_of(name, SplitSettings(seed=1, valid_fraction=0.3)) for name in names}
    assert {n for n in names if more[n] == "test"} == {n for n in names if after[n] == "test"}
    assert {n for n in names if after[n] == "valid"} <= {n for n in names if more[n] == "valid"}


def test_another_seed_is_another_split():
    names = [f"event{i}" for i in range(300)]
    first, second = ([split_of(name, SplitSettings(seed=seed)) for name in names] for seed in (0, 1))
    assert first != second


def test_order_is_by_hash_and_the_same_for_any_input_order():
    names = [f"record{i}" for i in range(50)]
    ordered = shards.shuffled(names, str, 4)
    assert ordered == shards.shuffled(names[::-1], str, 4)
    assert sorted(ordered) == sorted(names)
    assert ordered not in (names, shards.shuffled(names, str, 5))


def test_a_class_absent_from_a_split_is_refused_with_the_counts():
    counts = {"train": {"AE": 5, "noise": 3}, "valid": {"AE": 2, "noise": 0}, "test": {"AE": 1, "noise": 1}}
    groups = {"AE": {"train": 4, "valid": 2, "test": 1}, "noise": {"train": 1, "test": 1}}
    message = (
        "split valid: expected records of every class, received none of noise "
        "(groups in train/valid/test: AE 4/2/1; noise 1/0/1); try --split stratified, another --seed or other "
        "fractions; --valid-fraction 0 leaves valid empty, --all-to test makes a pure test set"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        check_classes(counts, ("AE", "noise"), groups, SplitSettings(method="hash"))
    check_classes(counts, ("AE", "noise"), groups, SplitSettings(valid_fraction=0))
    check_classes(counts, ("AE", "noise"), groups, SplitSettings(all_to="test"))
    counts["valid"]["noise"] = 1
    check_classes(counts, ("AE", "noise"), groups, SplitSettings())


def test_a_good_data_set_has_no_faults(tiny_waveforms, tiny_dart):
    seen = []
    assert verify(tiny_waveforms, lambda done, total: seen.append((done, total))) == []
    sizes = [path.stat().st_size for path in tiny_waveforms.glob("*.tfrecord-*")]
    assert seen[-1] == (sum(sizes), sum(sizes)) and len(seen) == len(sizes)
    assert verify(tiny_dart) == []


def test_a_missing_and_a_short_shard_are_found(dataset):
    info = load_dataset(dataset)
    missing, short = (dataset / shard.file for shard in info.splits["train"].shards[:2])
    missing.unlink()
    short.write_bytes(short.read_bytes()[:-10])
    size = info.splits["train"].shards[1].bytes
    faults = verify(dataset)
    assert faults[0] == f"{missing}: expected {info.splits['train'].shards[0].bytes} bytes, received no file"
    assert faults[1] == f"{short}: expected {size} bytes, received {size - 10}"
    assert re.search(rf"{short.name}: record \d+: expected \d+ bytes, received \d+", faults[2])
    assert len(faults) == 3
    with pytest.raises(DamagedShardError, match=rf"{missing.name}: expected \d+ bytes, received no file"):
        shard_paths(dataset, info, "train")
    missing.write_bytes(b"")
    with pytest.raises(DamagedShardError, match=rf"{missing.name}: expected \d+ bytes, received 0"):
        shard_paths(dataset, info, "train")


def test_a_flipped_bit_is_found_with_file_and_record(dataset):
    info = load_dataset(dataset)
    path = dataset / info.splits["test"].shards[0].file
    size = len(records_of(path)[0]) + 16
    content = bytearray(path.read_bytes())
    content[2 * size + 100] ^= 1
    path.write_bytes(content)
    faults = verify(dataset)
    assert re.fullmatch(rf"{path}: expected checksum [0-9a-f]{{8}}, received [0-9a-f]{{8}}", faults[0])
    assert re.fullmatch(rf"{path}: record 2: expected payload checksum \d+, received \d+", faults[1])
    assert len(faults) == 2
    with pytest.raises(DamagedShardError, match=f"{path.name}: record 2: expected payload checksum"):
        list(iterate(dataset, info, "test"))


def test_a_shard_of_another_data_set_is_found(dataset, tmp_path, tiny_records, write_waveforms):
    write_waveforms(tmp_path / "other", tiny_records(seed=5))
    name = load_dataset(dataset).splits["valid"].shards[0].file
    shutil.copy(tmp_path / "other" / name, dataset / name)
    (fault,) = [f for f in verify(dataset) if "checksum" in f]
    assert name in fault


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"snr_db": np.float32("nan")}, "feature snr_db: expected finite values, received NaN or Inf"),
        ({"waveform": np.full(70, np.inf)}, "feature waveform: expected finite values, received NaN or Inf"),
        ({"label": 3}, "label: expected 0 to 2, received 3"),
        ({"label": -1}, "label: expected 0 to 2, received -1"),
    ],
)
def test_a_wrong_value_is_found_with_file_and_record(dataset, values, message):
    name = change(dataset, "train", 4, **values)
    assert f"{dataset / name}: record 4: {message}" in verify(dataset)


def test_a_group_in_two_splits_is_found(dataset):
    info = load_dataset(dataset)
    group = next(iterate(dataset, info, "train"))["group"]
    name = change(dataset, "test", 0, group=group)
    expected = f"{dataset / name}: record 0: group {group}: expected it in train only, received it in test"
    assert expected in verify(dataset)


def test_a_record_of_another_shape_is_found(dataset):
    info = load_dataset(dataset)
    name = info.splits["train"].shards[0].file
    payloads = records_of(dataset / name)
    other = [f.model_copy(update={"shape": (8, 8)}) if f.name == "spectrogram" else f for f in info.features]
    record = examples.decode(payloads[1], list(info.features)) | {"spectrogram": np.zeros((8, 8))}
    payloads[1] = examples.encode(record, other)
    rewrite(dataset, name, payloads)
    assert verify(dataset) == [f"{dataset / name}: record 1: feature spectrogram: expected 288 bytes, received 256"]
    info = load_dataset(dataset)
    with pytest.raises(DamagedShardError, match="record 1: feature spectrogram: expected 288 bytes, received 256"):
        list(iterate(dataset, info, "train"))


def test_a_lost_record_is_found(dataset):
    info = load_dataset(dataset)
    shard = info.splits["train"].shards[0]
    rewrite(dataset, shard.file, records_of(dataset / shard.file)[:-1])
    tree = json.loads((dataset / "dataset.json").read_text())
    tree["splits"]["train"]["shards"][0]["records"] = shard.records
    write_tree(dataset, tree)
    message = f"{shard.file}: expected {shard.records} records, received {shard.records - 1}"
    assert f"{dataset / message}" in verify(dataset)
    with pytest.raises(DamagedShardError, match=message):
        list(iterate(dataset, load_dataset(dataset), "train"))


def test_counts_that_do_not_agree_with_the_records_are_found(dataset):
    tree = json.loads((dataset / "dataset.json").read_text())
    counts = tree["splits"]["valid"]["class_counts"]
    right = dict(counts)
    counts["AE"] += 1
    write_tree(dataset, tree)
    assert verify(dataset) == [f"{dataset}: split valid: expected records {counts}, received {right}"]


@pytest.mark.parametrize("more", [-1, 1])
def test_a_split_of_another_number_of_records_than_its_shards_is_refused(dataset, more):
    tree = json.loads((dataset / "dataset.json").read_text())
    held = tree["splits"]["valid"]["records"]
    tree["splits"]["valid"]["records"] += more
    write_tree(dataset, tree)
    with pytest.raises(ValueError, match=f"valid: .*expected {held + more} records, received {held} in the shards"):
        load_dataset(dataset)


def test_an_unfinished_data_set_is_none(dataset):
    (dataset / "dataset.json").unlink()
    with pytest.raises(ValueError, match=r"dataset\.json: expected a finished data set, received no dataset\.json"):
        verify(dataset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON, received"),
        ("[]", "expected format version 1, received None; prepare it again"),
        ('{"format_version": 2}', "expected format version 1, received 2; prepare it again"),
        ('{"format_version": 1, "task": "audio"}', r"task: Input should be 'waveforms' or 'dart', received 'audio'"),
    ],
)
def test_a_dataset_json_that_can_not_be_read_is_refused(tmp_path, content, message):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_dataset(tmp_path)


def test_a_feature_that_is_not_there_is_refused_with_those_that_are(tiny_dart):
    info = load_dataset(tiny_dart)
    assert info.has("mask") and not info.has("spectrogram")
    with pytest.raises(ValueError, match=r"expected a feature spectrogram, received \['water_level_m', 'mask', "):
        info.feature("spectrogram")
