"""One process and one job to a folder; passing faults pass; what was changed afterwards is refused."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from seis_tf.dataset import job_folder, pipeline, tables, writer
from seis_tf.dataset.dataset_info import accept_changes
from seis_tf.dataset.shards import DamagedShardError, iterate, load_dataset, verify
from seis_tf.runs import load_run, train
from seis_tf.settings.data import WaveformJob
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.waveforms import loading, readers
from seis_tf.waveforms.prepare import prepare_waveforms

JOB = WaveformJob.model_validate(
    {"record": {"length_samples": 256}, "spectrogram": {"nperseg": 32, "noverlap": 0, "nfft": 32}}
    | {"shards": {"shard_mb": 0.05}}
)


def contents(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def prepared(labquake_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "data"
    prepare_waveforms(labquake_dir, out, JOB)
    return out


HOLD = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from seis_tf.dataset.job_folder import locked
with locked(Path(sys.argv[1])):
    pool = ProcessPoolExecutor(1, get_context("fork"))
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(labquake_dir, prepared, tmp_path):
    out = tmp_path / "out"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True)
    worker = int(holder.stdout.readline())
    try:
        message = rf"{out}: expected a folder that nobody else is writing, received one that process {holder.pid} on"
        with pytest.raises(ValueError, match=message):
            prepare_waveforms(labquake_dir, out, JOB)
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    # Its worker, forked while the lock was held, may live on; the lock file is still there.
    assert (out / ".prepare.lock").is_file()
    try:
        prepare_waveforms(labquake_dir, out, JOB)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    assert contents(out) == contents(prepared)


def test_two_jobs_in_one_folder_give_one_whole_data_set(labquake_dir, tmp_path):
    code = (
        "import sys; from pathlib import Path; from seis_tf.settings.data import *;"
        "from seis_tf.waveforms import prepare;"
        "job = WaveformJob.model_validate_json(sys.argv[3]);"
        "prepare.prepare_waveforms(Path(sys.argv[1]), Path(sys.argv[2]), job)"
    )
    jobs = [JOB.model_copy(update={"split": JOB.split.model_copy(update={"seed": seed})}) for seed in (1, 2)]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(labquake_dir), str(tmp_path / "out"), job.model_dump_json()],
            stderr=subprocess.PIPE,
            text=True,
        )
        for job in jobs
    ]
    errors = [child.communicate()[1] for child in children]
    assert sorted(child.returncode for child in children) == [0, 1]
    assert any("expected a folder that nobody else" in error or "other one" in error for error in errors)
    assert verify(tmp_path / "out") == []


def test_a_shard_of_another_job_is_written_again(labquake_dir, prepared, tmp_path, monkeypatch):
    other = JOB.model_copy(update={"record": JOB.record.model_copy(update={"detrend": "constant"})})
    monkeypatch.setattr(writer, "find_duplicates", None)  # both stop when all shards are there
    for job, name in ((JOB, "mine"), (other, "other")):
        with pytest.raises(TypeError):
            prepare_waveforms(labquake_dir, tmp_path / name, job)
    monkeypatch.undo()
    names = [path.name for path in (tmp_path / "other").glob("waveforms*")]
    assert len(names) > 3
    for name in names[::2]:  # with its summary, of the same size
        for path in (name, f".{name}.json"):
            shutil.copy(tmp_path / "other" / path, tmp_path / "mine" / path)
    prepare_waveforms(labquake_dir, tmp_path / "mine", JOB)
    assert contents(tmp_path / "mine") == contents(prepared)


def test_what_could_not_be_read_once_is_read_again(labquake_dir, prepared, tmp_path, monkeypatch):
    def failing(records):
        for number, answer in enumerate(readers.read_records(records)):
            many = "expected a readable file, received Too many open files"
            yield readers.BadRecord(many) if number % 5 == 0 else answer

    monkeypatch.setattr(loading, "read_records", failing)
    with pytest.raises(
        ValueError, match=r"Too many open files.*rejected records are read anew, finished shards are kept"
    ):
        prepare_waveforms(labquake_dir, tmp_path / "out", JOB)
    monkeypatch.undo()
    said = []
    info = prepare_waveforms(labquake_dir, tmp_path / "out", JOB, note=said.append)
    assert info.rejected == () and contents(tmp_path / "out") == contents(prepared)
    found = re.search(
        r"(\d+) of (\d+) shards .* as they are; the (\d+) records that it rejected .*: (\d+) are good", said[0]
    )
    kept, _, tried, good = map(int, found.groups())
    assert kept == 0 and tried == good >= 24


@pytest.mark.parametrize("same_size", [True, False])
def test_a_damaged_file_that_was_mended_is_taken(labquake_dir, prepared, tmp_path, same_size):
    source = shutil.copytree(labquake_dir, tmp_path / "raw")
    files = sorted(source.rglob("*.mseed"))[::9]
    whole = {path: path.read_bytes() for path in files}
    for path, content in whole.items():
        path.write_bytes(b"\0" * len(content) if same_size else content[:100])
    with pytest.raises(ValueError, match="expected at most 5.0% rejected records, received 14 of 120"):
        prepare_waveforms(source, tmp_path / "out", JOB)
    for path, content in whole.items():
        path.write_bytes(content)
    assert prepare_waveforms(source, tmp_path / "out", JOB).rejected == ()
    assert contents(tmp_path / "out") == contents(prepared)


def test_shards_without_rejections_are_not_read_again(labquake_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "find_duplicates", None)
    with pytest.raises(TypeError):
        prepare_waveforms(labquake_dir, tmp_path / "out", JOB)
    monkeypatch.undo()
    monkeypatch.setattr(loading, "load_batch", None)
    said = []
    info = prepare_waveforms(labquake_dir, tmp_path / "out", JOB, note=said.append)
    count = sum(len(split.shards) for split in info.splits.values())
    words = f"{count} of {count} shards were finished by an earlier run and are taken as they are"
    assert said == [f"{tmp_path / 'out'}: {words}"]
    prepare_waveforms(labquake_dir, tmp_path / "out", JOB, note=said.append)
    assert said[1].endswith("To prepare anew, name another folder or remove this one")


def test_records_that_can_not_be_stored_are_rejected(labquake_dir, tmp_path):
    import obspy

    source = shutil.copytree(labquake_dir, tmp_path / "raw")
    files = sorted((source / "AE").iterdir())[:3]
    for path, factor in zip(files, (1e30, 1e-25, 1e-45), strict=True):
        stream = obspy.read(path)
        stream[0].data = (stream[0].data / np.abs(stream[0].data).max() * factor).astype(np.float64)
        stream.write(path, "MSEED", reclen=4096)
    linear = JOB.model_copy(update={"spectrogram": JOB.spectrogram.model_copy(update={"log": False})})
    info = prepare_waveforms(source, tmp_path / "linear", linear)
    assert verify(tmp_path / "linear") == []
    assert sorted(r.file for r in info.rejected) == [f"AE/{path.name}" for path in files]
    reasons = " ".join(r.reason for r in info.rejected)
    assert all(w in reasons for w in ("power that 32-bit floats", "spectrogram is constant", "amplitudes that 32-bit"))
    info = prepare_waveforms(source, tmp_path / "log", JOB)
    assert verify(tmp_path / "log") == []
    assert [r.file for r in info.rejected] == [f"AE/{files[2].name}"]
    spread = [np.ptp(r["spectrogram"]) for split in info.splits for r in iterate(tmp_path / "log", info, split)]
    assert min(spread) > 1


def test_shards_of_another_preparation_are_refused(prepared, labquake_dir, tmp_path):
    other = JOB.model_copy(update={"record": JOB.record.model_copy(update={"detrend": "constant"})})
    prepare_waveforms(labquake_dir, tmp_path / "other", other)
    folder = shutil.copytree(prepared, tmp_path / "data")
    info = load_dataset(folder)
    name = info.splits["train"].shards[-1].file
    shutil.copy(tmp_path / "other" / name, folder / name)
    message = rf"{name}: expected checksum [0-9a-f]{{8}} of dataset\.json, received [0-9a-f]{{8}}: damaged, or the"
    with pytest.raises(DamagedShardError, match=message):
        tables.load(folder, ("train",), ("label",))
    for in_memory in (True, False):
        with pytest.raises(DamagedShardError, match=message):
            pipeline.records(folder, "train", ("label",), 8, in_memory=in_memory)
    with pytest.raises(DamagedShardError, match=message):
        list(iterate(folder, info, "train"))


@pytest.mark.parametrize(
    "change",
    [{"sampling_rate_hz": 1e8}, {"class_names": ["noise", "UP", "AE"]}, {"simulated": False}],
)
def test_a_changed_dataset_json_is_refused_unless_it_is_accepted(prepared, tmp_path, change):
    folder = shutil.copytree(prepared, tmp_path / "data")
    path = folder / "dataset.json"
    tree = json.loads(path.read_text()) | change
    path.write_text(json.dumps(tree))
    message = rf"dataset\.json: expected the content that was written .*seis-tf verify {folder} --accept-changes"
    with pytest.raises(ValueError, match=message):
        load_dataset(folder)
    assert re.search(r"dataset\.json: expected the content that was written", verify(folder)[0])
    accept_changes(folder)
    info = load_dataset(folder).model_dump(mode="json")
    assert {key: info[key] for key in change} == change
    # Another layout is no change.
    path.write_text(json.dumps(json.loads(path.read_text()), indent=None))
    load_dataset(folder)


def test_a_run_refuses_classes_and_settings_that_are_not_those_of_its_weights(tiny_waveforms, tmp_path):
    job = TrainJob(model=MlpSettings(hidden=(4,)), training=TrainingSettings(epochs=1))
    run = train(tiny_waveforms, job, tmp_path / "run")
    path = run.folder / "config.json"
    written = path.read_text()

    def changed(change, checksum=True):
        tree = json.loads(written)
        change(tree)
        if not checksum:
            del tree["info"]["checksum"]
        path.write_text(json.dumps(tree))

    changed(lambda tree: tree["info"]["class_names"].reverse())
    with pytest.raises(ValueError, match=r"config\.json: info: expected the data set as it was trained on, received"):
        load_run(run.folder)
    changed(lambda tree: tree["info"].update(class_names=["AE", "UP"]), checksum=False)
    with pytest.raises(ValueError, match=r"outputs: expected 2 for a mlp of config.json's settings and 2 classes"):
        load_run(run.folder)
    changed(lambda tree: tree["job"]["model"].update(hidden=[5]))
    with pytest.raises(ValueError, match=r"model\.keras: weights: expected .*5.*received .*4"):
        load_run(run.folder)
    changed(lambda tree: tree["job"]["training"].update(members=2))
    with pytest.raises(ValueError, match=r"model\.keras: expected 2 members as config\.json says, received 1"):
        load_run(run.folder)
    changed(lambda tree: tree.update(dataset="elsewhere"), checksum=False)
    assert load_run(run.folder).config.dataset == "elsewhere"


def test_a_lock_file_alone_does_not_keep_anyone_out(tmp_path):
    (tmp_path / ".prepare.lock").write_text("process 1 on nowhere")
    with job_folder.locked(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / ".prepare.lock").read_text()
    assert list(tmp_path.iterdir()) == []
