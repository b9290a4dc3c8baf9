"""From miniSEED folders to a data set: the same bytes however it is run, and every bad file named."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import obspy
import pytest
from scipy import signal as scipy_signal

from seis_tf.dataset import shard_writer, shards, writer
from seis_tf.dataset.dataset_info import RecordLengths
from seis_tf.dataset.shards import iterate, load_dataset, verify
from seis_tf.files import write_json
from seis_tf.settings.base import load_settings
from seis_tf.settings.data import RecordSettings, WaveformJob
from seis_tf.waveforms import loading
from seis_tf.waveforms.prepare import prepare_waveforms

JOB = WaveformJob.model_validate(
    {"record": {"length_samples": 256}, "spectrogram": {"nperseg": 32, "noverlap": 0, "nfft": 32}}
    | {
        "split": {"valid_fraction": 0.25, "test_fraction": 0.25, "seed": 1, "method": "hash"},
        "shards": {"shard_mb": 0.05},
    }
)


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def prepared(labquake_dir, tmp_path_factory):
    """What `prepare` makes of it in one process."""
    out = tmp_path_factory.mktemp("prepared") / "data"
    prepare_waveforms(labquake_dir, out, JOB)
    return out


def test_records_are_what_obspy_and_scipy_make_of_the_files(labquake_dir, prepared):
    info = load_dataset(prepared)
    assert verify(prepared) == []
    assert info.class_names == ("AE", "UP", "noise") and info.simulated and info.grouped
    assert info.sampling_rate_hz == 1e7
    assert sum(split.records for split in info.splits.values()) == 120
    for split in shards.SPLITS:
        for record in list(iterate(prepared, info, split))[:10]:
            (trace,) = obspy.read(labquake_dir / f"{record['record_id']}.mseed")
            folder, name = record["record_id"].split("/")
            assert info.class_names[record["label"]] == folder
            assert record["group"] == name.split("_")[1]
            assert record["station"] == trace.stats.station
            expected = scipy_signal.detrend(trace.data[:256].astype(float))
            np.testing.assert_allclose(record["waveform"], expected, atol=1e-6 * np.abs(expected).max())
            assert record["peak_amplitude"] == pytest.approx(np.abs(expected).max(), rel=1e-5)
            _, _, power = scipy_signal.spectrogram(record["waveform"], 1e7, nperseg=32, noverlap=0, nfft=32)
            floor = np.log10(1e-8 * power.max())
            np.testing.assert_allclose(record["spectrogram"], np.maximum(np.log10(power), floor), atol=2e-3)
            assert shards.split_of(record["group"], JOB.split) == split


def test_an_event_is_on_one_side(prepared):
    info = load_dataset(prepared)
    groups = {split: {r["group"] for r in iterate(prepared, info, split)} for split in shards.SPLITS}
    assert not (
        groups["train"] & groups["valid"] or groups["train"] & groups["test"] or groups["valid"] & groups["test"]
    )
    assert sum(map(len, groups.values())) == 60


def test_two_processes_give_the_same_bytes(labquake_dir, prepared, tmp_path):
    told = []
    prepare_waveforms(labquake_dir, tmp_path / "two", JOB, processes=2, progress=lambda *numbers: told.append(numbers))
    assert contents(tmp_path / "two") == contents(prepared)
    assert told[0] == (0, 120) and told[-1] == (120, 120)


def test_forked_processes_give_the_same_bytes(labquake_dir, prepared, tmp_path, monkeypatch):
    # Without TensorFlow and with one thread, as at the command line: the workers are forked (here they are not).
    write_json(tmp_path / "job.json", JOB)
    code = (
        "import sys, json; from pathlib import Path; from seis_tf.waveforms import prepare;"
        "from seis_tf.dataset import writer;"
        "from seis_tf.settings.data import WaveformJob; source, out, job = map(Path, sys.argv[1:]);"
        "assert writer.worker_context(print).get_start_method() == 'fork', 'not forked';"
        "prepare.prepare_waveforms(source, out, WaveformJob(**json.loads(job.read_text())), processes=2)"
    )
    arguments = [sys.executable, "-c", code, str(labquake_dir), str(tmp_path / "two"), str(tmp_path / "job.json")]
    subprocess.run(arguments, check=True)
    assert contents(tmp_path / "two") == contents(prepared)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert writer.worker_context(print).get_start_method() == "forkserver"


def test_another_place_and_another_order_of_the_files_give_the_same_bytes(labquake_dir, prepared, tmp_path):
    moved = tmp_path / "elsewhere"
    for path in sorted(labquake_dir.rglob("*.mseed"), reverse=True):
        (moved / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, moved / path.parent.name)
    prepare_waveforms(moved, tmp_path / "out", JOB, simulated=True)
    assert contents(tmp_path / "out") == contents(prepared)


def test_a_killed_process_goes_on_with_the_same_bytes(labquake_dir, prepared, tmp_path):
    write_json(tmp_path / "job.json", JOB)
    # The child kills itself, unasked and without clearing up, in the middle of the fourth shard.
    code = f"""
import os, signal
from pathlib import Path
from seis_tf.waveforms import prepare; from seis_tf.dataset import shard_writer
from seis_tf.settings.base import load_settings
from seis_tf.settings.data import WaveformJob
shard_writer.BATCH, calls, encode = 8, [], prepare.WaveformEncoder.__call__
def dying(self, records):
    calls.append(len(records))
    if sum(calls) > 50:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(self, records)
prepare.WaveformEncoder.__call__ = dying
job = load_settings(WaveformJob, Path({str(tmp_path / "job.json")!r}), {{}})
prepare.prepare_waveforms(Path({str(labquake_dir)!r}), Path({str(tmp_path / "out")!r}), job)
"""
    child = subprocess.run([sys.executable, "-c", code], check=False)
    assert child.returncode == -signal.SIGKILL
    left = [path.name for path in (tmp_path / "out").iterdir()]
    assert "dataset.json" not in left and any("tfrecord" in name and name[0] != "." for name in left)
    prepare_waveforms(labquake_dir, tmp_path / "out", load_settings(WaveformJob, tmp_path / "job.json", {}))
    assert contents(tmp_path / "out") == contents(prepared)


def spoil(labquake_dir, tmp_path):
    """A copy of the files with four bad ones, and the names of those."""
    source = shutil.copytree(labquake_dir, tmp_path / "spoiled")
    ae, up, noise = (sorted((source / name).iterdir()) for name in ("AE", "UP", "noise"))
    ae[0].write_bytes(b"")
    ae[3].write_bytes(ae[3].read_bytes()[:200])
    up[0].write_bytes(b"this is no seismogram" * 20)
    shutil.copy(noise[1], up[2])
    bad = [ae[0], ae[3], up[0], up[2], noise[1]]
    return source, sorted(f"{path.parent.name}/{path.name}" for path in bad)


def test_bad_files_are_named_with_reasons_and_the_good_ones_go_on(labquake_dir, tmp_path):
    source, bad = spoil(labquake_dir, tmp_path)
    info = prepare_waveforms(source, tmp_path / "out", JOB)
    assert sorted(r.file for r in info.rejected) == bad
    assert all("expected" in r.reason and "received" in r.reason for r in info.rejected)
    assert sum(split.records for split in info.splits.values()) == 115
    assert verify(tmp_path / "out") == []
    both = [r.reason for r in info.rejected if "same samples" in r.reason]
    assert len(both) == 2


def test_the_same_bytes_with_bad_files_and_two_processes(labquake_dir, tmp_path):
    source, _ = spoil(labquake_dir, tmp_path)
    prepare_waveforms(source, tmp_path / "one", JOB)
    prepare_waveforms(source, tmp_path / "two", JOB, processes=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_more_rejected_than_allowed_is_refused_and_then_allowed(labquake_dir, tmp_path):
    source, _ = spoil(labquake_dir, tmp_path)
    strict = WaveformJob.model_validate(JOB.model_dump() | {"shards": {"shard_mb": 0.05, "max_rejected": 0.03}})
    # 5 of 120 are 4.2 %.
    with pytest.raises(ValueError, match=r"expected at most 3\.0% rejected records, received 5 of 120: .* \.\.\.|AE/"):
        prepare_waveforms(source, tmp_path / "out", strict)
    assert not (tmp_path / "out" / "dataset.json").exists()
    prepare_waveforms(source, tmp_path / "out", JOB)
    assert len(load_dataset(tmp_path / "out").rejected) == 5


def test_a_class_without_events_in_a_split_is_refused_before_anything_is_written(labquake_dir, tmp_path, monkeypatch):
    source = shutil.copytree(labquake_dir, tmp_path / "few")
    for path in sorted((source / "UP").iterdir())[2:]:
        path.unlink()
    monkeypatch.setattr(loading, "load_batch", None)  # nothing may be read
    with pytest.raises(
        ValueError, match=r"expected records of every class, received none of UP .*UP (1/0/0|0/1/0|0/0/1)"
    ):
        prepare_waveforms(source, tmp_path / "out", JOB)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_ours_is_refused(labquake_dir, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"expected an empty folder, received one with notes\.txt"):
        prepare_waveforms(labquake_dir, tmp_path, JOB)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_source_that_changed_in_between_is_refused(labquake_dir, prepared, tmp_path):
    source = shutil.copytree(labquake_dir, tmp_path / "raw")
    out = shutil.copytree(prepared, tmp_path / "out")
    assert prepare_waveforms(source, out, JOB) == load_dataset(prepared)
    next((source / "AE").iterdir()).unlink()
    with pytest.raises(ValueError, match="received a finished other one"):
        prepare_waveforms(source, out, JOB)
    assert contents(out) == contents(prepared)


def test_normalisation_by_data_set(labquake_dir, tmp_path):
    job = WaveformJob.model_validate(JOB.model_dump() | {"standardise": "dataset"})
    info = prepare_waveforms(labquake_dir, tmp_path / "out", job)
    train = np.stack([r["spectrogram"] for r in iterate(tmp_path / "out", info, "train")]).astype(float)
    np.testing.assert_allclose(info.normalisation["mean"], train.mean(axis=(0, 2)), rtol=1e-9)
    np.testing.assert_allclose(info.normalisation["std"], train.std(axis=(0, 2)), rtol=1e-6)


def test_units_follow_the_settings(labquake_dir, prepared, tmp_path):
    assert load_dataset(prepared).units["spectrogram"] == "log10 of source units^2/Hz"
    job = JOB.model_dump() | {"spectrogram": {"nperseg": 32, "noverlap": 0, "scaling": "spectrum", "log": False}}
    info = prepare_waveforms(labquake_dir, tmp_path / "out", WaveformJob.model_validate(job))
    assert info.units["spectrogram"] == "source units^2"
    assert info.feature("spectrogram").shape == (65, 8)


def test_the_first_batch_is_not_all_of_a_shard(labquake_dir, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer, "BATCH", 7)
    prepare_waveforms(labquake_dir, tmp_path / "out", JOB)
    assert contents(tmp_path / "out") == contents(prepared)


def test_dataset_json_says_how_it_was_made(prepared):
    tree = json.loads((prepared / "dataset.json").read_text())
    assert WaveformJob.model_validate(tree["job"]) == JOB
    assert tree["fingerprint"] == load_dataset(prepared).fingerprint and len(tree["fingerprint"]) == 64


def test_without_a_length_it_is_that_of_the_records_and_stored(labquake_dir, tmp_path):
    without = JOB.model_copy(update={"record": RecordSettings()})
    info = prepare_waveforms(labquake_dir, tmp_path / "without", without)
    assert info.job["record"]["length_samples"] == 300 and info.feature("waveform").shape == (300,)
    assert info.record_lengths == RecordLengths(shortest=300, median=300, longest=300)
    explicit = JOB.model_copy(update={"record": RecordSettings(length_samples=300)})
    prepare_waveforms(labquake_dir, tmp_path / "explicit", explicit, processes=2)
    assert contents(tmp_path / "without") == contents(tmp_path / "explicit")
    assert prepare_waveforms(labquake_dir, tmp_path / "explicit", without) == info  # the same job, and finished


def test_lengths_that_differ_are_asked_for_before_anything_is_written(labquake_dir, tmp_path):
    source = shutil.copytree(labquake_dir, tmp_path / "mixed")
    for path in sorted(source.rglob("*.mseed"))[::3]:
        stream = obspy.read(path)
        stream[0].data = stream[0].data[:150]
        stream.write(path, "MSEED")
    with pytest.raises(ValueError, match=r"received 150 to 300 samples; say with --length-samples .* 300 \(.*\) 67%"):
        prepare_waveforms(source, tmp_path / "out", JOB.model_copy(update={"record": RecordSettings()}))
    assert not (tmp_path / "out").exists()
    short = JOB.model_copy(update={"record": RecordSettings(length_samples=150)})
    info = prepare_waveforms(source, tmp_path / "out", short)
    assert info.record_lengths == RecordLengths(shortest=150, median=300, longest=300) and not info.rejected


def test_a_data_set_of_an_earlier_version_says_no_lengths(prepared, tmp_path):
    tree = json.loads((prepared / "dataset.json").read_text())
    del tree["record_lengths"], tree["checksum"]
    write_json(tmp_path / "dataset.json", tree)
    assert load_dataset(tmp_path).record_lengths is None


def test_real_field_records_are_used_whole(shared_data, tmp_path):
    source = tmp_path / "field"
    for name in ("local_event", "surface_event", "noise"):
        (source / name).mkdir(parents=True)
        for path in sorted((shared_data / "field" / name).glob("*_HHZ.mseed"))[::2]:
            shutil.copy(path, source / name)
    info = prepare_waveforms(source, tmp_path / "out", WaveformJob())
    assert info.job["record"]["length_samples"] == 4000 and info.rejected == ()


def test_real_records(shared_data, tmp_path):
    source = tmp_path / "lab"
    for name in ("AE", "UP", "noise"):
        (source / name).mkdir(parents=True)
        for path in sorted((shared_data / "lab" / name).iterdir())[::4]:
            shutil.copy(path, source / name)
    info = prepare_waveforms(source, tmp_path / "out", WaveformJob(split={"seed": 1}))
    assert info.feature("spectrogram").shape == (65, 101)
    assert info.rejected == () and not info.simulated
    assert verify(tmp_path / "out") == []


def test_what_was_rejected_is_said_before_what_is_wrong_with_the_splits(labquake_dir, tmp_path):
    copy = tmp_path / "raw"
    shutil.copytree(labquake_dir, copy)
    (copy / "AE" / "noevent.mseed").write_bytes(b"x")
    for path in (copy / "UP").iterdir():
        path.write_bytes(b"hello")
    # All records of UP are bad: without their reasons it would seem to be the split's fault.
    job = JOB.model_copy(update={"shards": JOB.shards.model_copy(update={"max_rejected": 1.0})})
    with pytest.raises(ValueError) as error:
        prepare_waveforms(copy, tmp_path / "out", job)
    text = str(error.value)
    assert "rejected (AE/noevent.mseed: expected a name in which" in text
    assert text.index("hello") < text.index("and of the others: ") < text.index("received none of UP")
    # Of a class with one event it is plain before anything is read.
    for path in sorted((copy / "UP").iterdir())[1:]:
        path.unlink()
    with pytest.raises(ValueError, match=r"^1 rejected \(AE/noevent.mseed: .*and of the others: split"):
        prepare_waveforms(copy, tmp_path / "other", job)


def test_notes_on_the_records_are_told(labquake_dir, tmp_path):
    lines = []
    prepare_waveforms(labquake_dir, tmp_path / "plain", JOB, note=lines.append)
    assert lines == []
    copy = tmp_path / "raw"
    shutil.copytree(labquake_dir, copy)
    for number, path in enumerate(sorted((copy / "noise").iterdir())[:2]):
        path.rename(path.with_name(f"x_1_S_{'BHZ' if number else 'BHN'}.mseed"))
    prepare_waveforms(copy, tmp_path / "out", JOB, note=lines.append)
    assert lines == [
        "2 of 120 records are components of 1 (as noise/x_1_S_BH?): each component is taken as a record of its own, on "
        "one side of the split by their event id"
    ]
