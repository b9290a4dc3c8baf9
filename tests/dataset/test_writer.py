"""Shards and `dataset.json` as they are written: whole or not there, and the same after any interruption."""

import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pytest

from seis_tf.dataset import shard_task, shard_writer, shards, writer
from seis_tf.dataset.shards import iterate, load_dataset, verify
from seis_tf.settings.data import SplitSettings


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture
def records(tiny_records):
    return tiny_records()


class Stop(BaseException):
    """An interruption from outside, as Ctrl-C is one: no `except Exception` sees it."""


@pytest.fixture
def stop_at(monkeypatch):
    """Lets the n-th call of a function of the writer be the last."""

    def arrange(name, number):
        module = writer if hasattr(writer, name) else shard_writer
        function, calls = getattr(module, name), []

        def stopping(*arguments):
            calls.append(name)
            if len(calls) == number:
                raise Stop
            return function(*arguments)

        monkeypatch.setattr(module, name, stopping)

    return arrange


def test_what_is_in_it_is_what_was_given(tiny_waveforms, records):
    info = load_dataset(tiny_waveforms)
    by_id = {record.record_id: record for record in records}
    seen = []
    for split in shards.SPLITS:
        for found in iterate(tiny_waveforms, info, split):
            given = by_id[found["record_id"]]
            assert shards.split_of(given.group, SplitSettings()) == split
            assert (found["group"], int(found["label"])) == (given.group, given.label)
            np.testing.assert_array_equal(found["waveform"], given.values["waveform"])
            np.testing.assert_array_equal(found["spectrogram"], given.values["spectrogram"])
            seen.append(found["record_id"])
    assert sorted(seen) == sorted(by_id)


def test_dataset_json_counts_what_is_there(tiny_waveforms, records):
    info = load_dataset(tiny_waveforms)
    assert sum(split.records for split in info.splits.values()) == len(records) == 108
    assert sum(split.groups for split in info.splits.values()) == 36
    totals = {name: sum(split.class_counts[name] for split in info.splits.values()) for name in info.class_names}
    assert totals == {"AE": 36, "UP": 36, "noise": 36}
    assert len(info.splits["train"].shards) > 1
    # Nothing but dataset.json and the shards that it names.
    names = {shard.file for split in info.splits.values() for shard in split.shards}
    assert {path.name for path in tiny_waveforms.iterdir()} == names | {"dataset.json"}


def test_shards_are_planned_from_bytes():
    by_split = {"train": list(range(101)), "valid": list(range(7)), "test": [0]}
    # 101 records of 1,000 bytes in shards of 40,000 need three: of 33, 34 and 34.
    tasks = writer.plan("waveforms", "out", by_split, None, 1_000, 0.04)
    sizes = [(task.path.name, len(task.items)) for task in tasks]
    assert sizes == [
        ("waveforms-train.tfrecord-00000-of-00003", 33),
        ("waveforms-train.tfrecord-00001-of-00003", 34),
        ("waveforms-train.tfrecord-00002-of-00003", 34),
        ("waveforms-valid.tfrecord-00000-of-00001", 7),
        ("waveforms-test.tfrecord-00000-of-00001", 1),
    ]
    assert [item for task in tasks[:3] for item in task.items] == list(range(101))


def test_no_shard_is_planned_empty_where_a_shard_is_smaller_than_a_record():
    tasks = writer.plan("dart", "out", {"train": [1, 2], "valid": [3], "test": []}, None, 10**6, 1e-9)
    assert [len(task.items) for task in tasks] == [1, 1, 1, 0]


def test_the_order_of_records_does_not_matter(tiny_waveforms, records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "a", records[::-1])
    assert contents(tmp_path / "a") == contents(tiny_waveforms)


@pytest.mark.parametrize("number", [1, 3, 6])
def test_an_interrupted_run_goes_on_with_the_same_bytes(
    tiny_waveforms, records, write_waveforms, tmp_path, stop_at, monkeypatch, number
):
    stop_at("write_batches", number)
    with pytest.raises(Stop):
        write_waveforms(tmp_path / "a", records)
    monkeypatch.undo()
    assert not (tmp_path / "a" / "dataset.json").exists()
    finished = sorted(path for path in (tmp_path / "a").iterdir() if not path.name.startswith("."))
    assert len(finished) == number - 1
    times = {path: path.stat().st_mtime_ns for path in finished}
    write_waveforms(tmp_path / "a", records)
    assert {path: path.stat().st_mtime_ns for path in finished} == times
    assert contents(tmp_path / "a") == contents(tiny_waveforms)


def test_a_run_stopped_within_a_shard_leaves_nothing_that_looks_finished(records, write_waveforms, tmp_path, stop_at):
    stop_at("encoded", 2)
    with pytest.raises(Stop):
        write_waveforms(tmp_path / "a", records)
    visible = [path.name for path in (tmp_path / "a").iterdir() if not path.name.startswith(".")]
    assert visible == ["waveforms-train.tfrecord-00000-of-00004"]
    with pytest.raises(ValueError, match="expected a finished data set"):
        verify(tmp_path / "a")


def test_what_a_killed_run_leaves_is_cleared_away(
    tiny_waveforms, records, write_waveforms, tmp_path, stop_at, monkeypatch
):
    stop_at("write_batches", 3)
    with pytest.raises(Stop):
        write_waveforms(tmp_path / "a", records)
    monkeypatch.undo()
    # A killed process can't remove its temporary files, and may leave a shard cut short by a full disk.
    (tmp_path / "a" / ".waveforms-train.tfrecord-00002-of-00004.4711").write_bytes(b"half")
    (tmp_path / "a" / "..plan.json.x7").write_bytes(b"{")
    first = tmp_path / "a" / "waveforms-train.tfrecord-00000-of-00004"
    first.write_bytes(first.read_bytes()[:1000])
    write_waveforms(tmp_path / "a", records)
    assert contents(tmp_path / "a") == contents(tiny_waveforms)


def test_a_run_killed_before_it_began_can_begin(tiny_waveforms, records, write_waveforms, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "..plan.json.abcd").write_bytes(b"{")
    write_waveforms(tmp_path / "a", records)
    assert contents(tmp_path / "a") == contents(tiny_waveforms)


def test_a_finished_data_set_of_the_same_job_is_given_back_untouched(records, write_waveforms, tmp_path):
    first = write_waveforms(tmp_path / "a", records)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert write_waveforms(tmp_path / "a", records) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()} == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("other", [{"job": {"split": {"seed": 1}}}, {"fingerprint": "another"}])
def test_a_folder_of_another_job_is_refused(records, write_waveforms, tmp_path, stop_at, monkeypatch, finished, other):
    if finished:
        write_waveforms(tmp_path / "a", records)
    else:
        stop_at("write_batches", 2)
        with pytest.raises(Stop):
            write_waveforms(tmp_path / "a", records)
        monkeypatch.undo()
    before = contents(tmp_path / "a")
    state = "finished other one" if finished else "unfinished other one"
    with pytest.raises(ValueError, match=f"expected an empty folder or .* of the same job, received an? {state}"):
        write_waveforms(tmp_path / "a", records, **other)
    assert contents(tmp_path / "a") == before


def test_a_folder_with_something_else_is_refused(records, write_waveforms, tmp_path):
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(ValueError, match=r"expected an empty folder, received one with thesis\.tex"):
        write_waveforms(tmp_path, records)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def with_copies(records):
    """Records of which one AE is also an UP in another split, one twice an AE."""
    split = {record.record_id: shards.split_of(record.group, SplitSettings()) for record in records}
    ae = [r for r in records if r.label == 0 and split[r.record_id] == "train"]
    up = next(r for r in records if r.label == 1 and split[r.record_id] == "test")
    changed = {up.record_id: replace(up, hash=ae[0].hash), ae[5].record_id: replace(ae[5], hash=ae[7].hash)}
    return [changed.get(r.record_id, r) for r in records], (ae[0].record_id, up.record_id), (ae[5], ae[7])


def test_the_same_content_under_two_classes_is_rejected_and_under_one_reported(records, write_waveforms, tmp_path):
    changed, both, same = with_copies(records)
    info = write_waveforms(tmp_path / "a", changed)
    assert {r.file for r in info.rejected} == set(both)
    reason = "expected one class, received the same samples in "
    assert all(r.reason.startswith(reason) and all(b in r.reason for b in both) for r in info.rejected)
    assert [sorted(d) for d in info.duplicates] == [sorted(r.record_id for r in same)]
    assert sum(split.records for split in info.splits.values()) == 106
    ids = {r["record_id"] for split in shards.SPLITS for r in iterate(tmp_path / "a", info, split)}
    assert ids == {r.record_id for r in records} - set(both)
    assert verify(tmp_path / "a") == []


@pytest.mark.parametrize("place", [("without_copies", n) for n in range(1, 7)] + [("check_splits", 1)])
def test_copies_are_found_again_after_an_interruption(records, write_waveforms, tmp_path, stop_at, monkeypatch, place):
    changed, _, _ = with_copies(records)
    write_waveforms(tmp_path / "whole", changed)
    stop_at(*place)
    with pytest.raises(Stop):
        write_waveforms(tmp_path / "a", changed)
    monkeypatch.undo()
    write_waveforms(tmp_path / "a", changed)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_too_many_rejected_is_refused_with_the_first_reasons_and_can_be_allowed(records, write_waveforms, tmp_path):
    changed, both, _ = with_copies(records)
    few = {"job": {"shards": {"max_rejected": 0.01}}}
    # Two of 108 are 1.9 %.
    with pytest.raises(ValueError, match=r"at most 1\.0% rejected records, received 2 of 108: .*expected one class"):
        write_waveforms(tmp_path / "a", changed, **few)
    assert not (tmp_path / "a" / "dataset.json").exists()
    info = write_waveforms(tmp_path / "a", changed, job={"shards": {"max_rejected": 0.02}})
    assert len(info.rejected) == 2
    write_waveforms(tmp_path / "b", changed, job={"shards": {"max_rejected": 0.02}})
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_group_in_two_splits_is_refused(tmp_path):
    def encode(items):
        groups, ids = [group for _, group in items], [str(number) for number, _ in items]
        return shard_task.Batch([b"x"] * len(items), [0] * len(items), groups, ids, [""] * len(items))

    by_split = {"train": [(0, "a"), (1, "b")], "valid": [(2, "c")], "test": [(3, "b")]}
    tasks = writer.plan("dart", tmp_path, by_split, encode, 10, 1)
    header = {"task": "dart", "features": (), "job": {}, "fingerprint": ""}
    with pytest.raises(ValueError, match="group b: expected it in one split, received it in train and test"):
        writer.write_dataset(tmp_path, writer.DatasetPlan(tasks, header, 0.0))
    assert not (tmp_path / "dataset.json").exists()


def test_a_class_absent_from_a_split_is_refused(records, write_waveforms, tmp_path):
    kept = [r for r in records if r.label != 1 or shards.split_of(r.group, SplitSettings()) != "valid"]
    counts = {split: 0 for split in shards.SPLITS}
    for group in {r.group for r in kept if r.label == 1}:
        counts[shards.split_of(group, SplitSettings())] += 1
    message = rf"split valid: .*received none of UP .*UP {counts['train']}/0/{counts['test']}; noise"
    with pytest.raises(ValueError, match=message):
        write_waveforms(tmp_path / "a", kept)


def test_statistics_are_of_the_training_records_alone(records, write_waveforms, tmp_path):
    info = write_waveforms(tmp_path / "a", records, job={"standardise": "dataset"})
    train = np.stack([r["spectrogram"] for r in iterate(tmp_path / "a", info, "train")]).astype(np.float64)
    np.testing.assert_allclose(info.normalisation["mean"], train.mean(axis=(0, 2)), rtol=1e-9)
    np.testing.assert_allclose(info.normalisation["std"], train.std(axis=(0, 2)), rtol=1e-9)
    everything = np.stack([r.values["spectrogram"] for r in records])
    assert np.abs(np.array(info.normalisation["mean"]) - everything.mean(axis=(0, 2))).max() > 1e-3


def test_progress_is_told_in_records(records, tmp_path, write_waveforms, monkeypatch):
    monkeypatch.setattr(shard_writer, "BATCH", 10)
    told, write = [], writer.write_dataset
    monkeypatch.setattr(
        writer, "write_dataset", lambda out, planned: write(out, planned, progress=lambda *n: told.append(n))
    )
    write_waveforms(tmp_path / "a", records)
    assert told[0] == (0, 108) and told[-1] == (108, 108)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_dataset_json_is_readable_json(tiny_waveforms):
    tree = json.loads((tiny_waveforms / "dataset.json").read_text())
    assert tree["class_names"] == ["AE", "UP", "noise"]
    assert re.fullmatch("[0-9a-f]{8}", tree["splits"]["test"]["shards"][0]["crc32c"])
