"""Run folders: what is in them, and that an interrupted run ends with the weights of an uninterrupted one."""

import csv
import json
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.util import event_pb2

from seis_tf import runs, tasks
from seis_tf.models.layers import StackMembers
from seis_tf.runs import dataset_of, load_run, single_model, train
from seis_tf.settings.networks import CnnSettings, Conv1dSettings, MlpSettings
from seis_tf.settings.training import AugmentSettings, TrainingSettings, TrainJob
from seis_tf.training import loop
from seis_tf.training.loop import fit
from seis_tf.training.stack import CompiledStack

TRAINING = TrainingSettings(epochs=4, batch_size=16, learning_rate=0.01, seed=3, class_weights="balanced")
MLP = TrainJob(model=MlpSettings(hidden=(4,), dropout=0.2), training=TRAINING)


def with_training(job=MLP, **changes):
    return TrainJob(model=job.model, training=job.training.model_copy(update=changes))


def weights(run):
    return [w.copy() for w in run.model.get_weights()]


def assert_same_weights(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


class Kill(BaseException):
    """What a SIGKILL is to the code: nothing after it runs, nothing is caught."""


@pytest.fixture
def every_epoch(monkeypatch):
    """A checkpoint after each epoch."""
    monkeypatch.setattr(runs, "_CHECKPOINT_SECONDS", -1.0)


def stopping(epoch, kind=Kill):
    def on_epoch(progress):
        if progress.epoch == epoch:
            raise kind

    return on_epoch


@pytest.fixture(scope="module")
def run(tiny_waveforms, tmp_path_factory):
    """The uninterrupted run. Not to be changed: copy it."""
    return train(tiny_waveforms, MLP, tmp_path_factory.mktemp("runs") / "run")


def test_what_a_run_folder_holds(run, tiny_waveforms):
    names = sorted(path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file())
    (log,) = [name for name in names if name.startswith("logs/events")]
    assert [name for name in names if name != log] == [
        "checkpoints/best.json", "checkpoints/last.keras", "config.json", "history.csv", "model.keras",
    ]  # fmt: skip
    tree = json.loads((run.folder / "config.json").read_text())
    assert tree["job"]["training"]["learning_rate"] == 0.01 and tree["job"]["model"]["hidden"] == [4]
    assert tree["info"]["class_names"] == ["AE", "UP", "noise"]
    assert not tree["dataset"].startswith("/") and (run.folder / tree["dataset"]).samefile(tiny_waveforms)
    assert set(tree["versions"]) == {"seis_tf", "tensorflow", "keras", "numpy", "scipy"}
    best = json.loads((run.folder / "checkpoints" / "best.json").read_text())
    assert best["best_epoch"] == [int(np.argmin([row["val_loss"] for row in run.history[0]])) + 1]


def test_history_and_tensorboard_have_each_epoch(run):
    with open(run.folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert set(rows[0]) == {
        "member", "epoch", "loss", "val_loss", "val_accuracy", "val_balanced_accuracy", "learning_rate", "seconds",
    }  # fmt: skip
    assert [float(row["loss"]) for row in rows] == [row["loss"] for row in run.history[0]]
    (log,) = (run.folder / "logs").iterdir()
    told = {}
    for record in tf.data.TFRecordDataset(str(log)).as_numpy_iterator():
        event = event_pb2.Event.FromString(record)
        for value in event.summary.value:
            told[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert told["val_loss", 4] == pytest.approx(run.history[0][3]["val_loss"])


def test_a_run_is_what_fit_gives_and_comes_back_from_its_folder(run, tiny_waveforms):
    task = tasks.fit_inputs(MLP, tiny_waveforms)
    models = [tasks.build(MLP.model, run.config.info, seed=3)]
    done = fit(models, task, MLP.training)
    assert_same_weights(weights(run), done.model(0, models[0]).get_weights())
    again = load_run(run.folder)
    assert (again.config, again.history, again.members) == (run.config, run.history, 1)
    assert_same_weights(weights(again), weights(run))
    outputs = again.predict([task.data.inputs[0]])
    assert outputs.shape == (1, len(task.data.targets), 3)
    np.testing.assert_allclose(outputs, done.predict(task.data.inputs), atol=1e-6)


def test_a_seed_gives_the_same_weights_again(run, tiny_waveforms, tmp_path):
    assert_same_weights(weights(train(tiny_waveforms, MLP, tmp_path / "a")), weights(run))
    other = train(tiny_waveforms, with_training(seed=4), tmp_path / "b")
    assert any((a != b).any() for a, b in zip(weights(other), weights(run), strict=True))


@pytest.mark.parametrize("epoch", [1, 3, 4])
def test_a_killed_run_ends_with_the_same_weights(run, tiny_waveforms, tmp_path, every_epoch, epoch):
    with pytest.raises(Kill):
        train(tiny_waveforms, MLP, tmp_path / "a", on_epoch=stopping(epoch))
    assert not (tmp_path / "a" / "model.keras").exists()
    seen = []
    resumed = train(tiny_waveforms, MLP, tmp_path / "a", resume=True, on_epoch=lambda p: seen.append(p.epoch))
    assert seen == list(range(epoch + 1, 5))
    assert_same_weights(weights(resumed), weights(run))
    last = [keras_weights(folder / "checkpoints" / "last.keras") for folder in (resumed.folder, run.folder)]
    assert_same_weights(*last)
    untimed = [[{k: v for k, v in row.items() if k != "seconds"} for row in r.history[0]] for r in (resumed, run)]
    assert untimed[0] == untimed[1]
    assert not (tmp_path / "a" / "checkpoints" / "last.npz").exists()


def keras_weights(path):
    return keras.models.load_model(path, compile=False).get_weights()


def test_a_run_killed_before_its_first_checkpoint_begins_anew(run, tiny_waveforms, tmp_path):
    with pytest.raises(Kill):
        train(tiny_waveforms, MLP, tmp_path / "a", on_epoch=stopping(2))
    assert not (tmp_path / "a" / "checkpoints" / "last.npz").exists()
    assert_same_weights(weights(train(tiny_waveforms, MLP, tmp_path / "a", resume=True)), weights(run))


def test_ctrl_c_loses_no_epoch_wherever_it_comes(run, tiny_waveforms, tmp_path, monkeypatch):
    # In the middle of the third epoch: first its weights are there and its scores are not, then its scores are and
    # whether it is the best is not. Both checks before the training ask once which scores are the better ones.
    for place, name, at_call in ((CompiledStack, "predict", 3), (loop, "smaller_is_better", 2 + 3)):
        calls = []

        def interrupted(*arguments, calls=calls, at_call=at_call, whole=getattr(place, name), **options):
            calls.append(1)
            if len(calls) == at_call:
                raise KeyboardInterrupt
            return whole(*arguments, **options)

        monkeypatch.setattr(place, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(tiny_waveforms, MLP, tmp_path / name)
        monkeypatch.undo()
        assert len((tmp_path / name / "history.csv").read_text().splitlines()) == 3
        resumed = train(tiny_waveforms, MLP, tmp_path / name, resume=True)
        assert_same_weights(weights(resumed), weights(run))


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on_with_the_same_weights(run, tiny_waveforms, tmp_path):
    (tmp_path / "job.json").write_text(MLP.model_dump_json())
    code = f"""
import os, signal
from pathlib import Path
from seis_tf import runs
from seis_tf.settings.base import load_settings
from seis_tf.settings.training import TrainJob
runs._CHECKPOINT_SECONDS = -1.0
job = load_settings(TrainJob, Path({str(tmp_path / "job.json")!r}), {{}})
def die(progress):
    if progress.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)
runs.train({str(tiny_waveforms)!r}, job, {str(tmp_path / "a")!r}, on_epoch=die)
"""
    child = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert child.returncode == -signal.SIGKILL
    assert_same_weights(weights(train(tiny_waveforms, MLP, tmp_path / "a", resume=True)), weights(run))


def test_a_finished_run_is_given_back_when_resumed(run, tiny_waveforms, tmp_path):
    folder = shutil.copytree(run.folder, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert_same_weights(weights(train(tiny_waveforms, MLP, folder, resume=True)), weights(run))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_taken_folder_is_refused(run, tiny_waveforms, tmp_path):
    with pytest.raises(ValueError, match="expected an empty folder, received a run; go on with it with --resume"):
        train(tiny_waveforms, MLP, run.folder)
    (tmp_path / "notes.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"expected an empty folder, received one with notes\.txt"):
            train(tiny_waveforms, MLP, tmp_path, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_resuming_another_job_is_refused_with_the_difference(run, tiny_waveforms):
    other = TrainJob(model=MlpSettings(hidden=(4,), dropout=0.3), training=TRAINING.model_copy(update={"epochs": 9}))
    message = (
        "expected the job of the run, received another: model.dropout was 0.2, is 0.3; training.epochs was 4, is 9"
    )
    with pytest.raises(ValueError, match=message):
        train(tiny_waveforms, other, run.folder, resume=True)


def test_resuming_with_other_data_is_refused(run, tmp_path, tiny_records, write_waveforms):
    write_waveforms(tmp_path / "other", tiny_records(seed=9), fingerprint="0123456789abcdef")
    with pytest.raises(ValueError, match=r"expected data set .* of no source?, received .*other 0123456789ab"):
        train(tmp_path / "other", MLP, run.folder, resume=True)


def test_a_job_that_can_not_be_trained_leaves_no_folder(tiny_waveforms, tiny_dart, tmp_path):
    cases = [
        (tiny_dart, MLP, "expected a data set of task waveforms, received dart"),
        (tiny_waveforms, TrainJob(model=CnnSettings(filters=(2,) * 5)), "expected at most 3 blocks"),
        (
            tiny_waveforms,
            with_training(monitor="val_mse"),
            "monitor: expected one of .*val_balanced_accuracy.* 'val_mse'",
        ),
    ]
    for dataset, job, message in cases:
        with pytest.raises(ValueError, match=message):
            train(dataset, job, tmp_path / "a")
        assert not (tmp_path / "a").exists()


def test_a_loss_that_is_no_number_ends_the_run_with_an_error(tiny_waveforms, tmp_path):
    job = with_training(optimizer="sgd", learning_rate=1e30)
    message = r"a: member 0, epoch \d: expected finite loss and weights, received .*: try a smaller --learning-rate"
    with pytest.raises(ValueError, match=message):
        train(tiny_waveforms, job, tmp_path / "a")
    with pytest.raises(ValueError, match=r"expected a finished run, received one without model\.keras; use --resume"):
        load_run(tmp_path / "a")


def test_an_ensemble_is_its_members(tiny_waveforms, tmp_path):
    together = train(tiny_waveforms, with_training(members=3), tmp_path / "three")
    alone = train(tiny_waveforms, with_training(seed=4), tmp_path / "one")
    assert together.members == 3 and len(together.history) == 3
    inputs = tasks.fit_inputs(MLP, tiny_waveforms).data.inputs[0]
    outputs = together.predict([inputs])
    assert outputs.shape == (3, len(inputs), 3)
    # The second member has the seed of the run of its own.
    np.testing.assert_allclose(outputs[1], alone.predict([inputs])[0], atol=1e-4)
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-3
    for k in range(3):
        model = single_model(together, k)
        np.testing.assert_allclose(model.predict(inputs, verbose=0), outputs[k], atol=1e-6)
    assert any(isinstance(layer, StackMembers) for layer in together.model.layers)
    assert (together.model.inputs[0].name, together.model.output_names) == ("spectrogram", ["probabilities"])
    best = json.loads((together.folder / "checkpoints" / "best.json").read_text())["best_epoch"]
    assert best == [int(np.argmin([row["val_loss"] for row in rows])) + 1 for rows in together.history]


def test_the_last_weights_are_kept_beside_the_best(run, tiny_waveforms, tmp_path):
    last = train(tiny_waveforms, with_training(keep="last"), tmp_path / "last")
    assert_same_weights(weights(last), keras_weights(run.folder / "checkpoints" / "last.keras"))


def test_a_convolutional_network_with_augmentation_resumes_too(tiny_waveforms, tmp_path, every_epoch):
    augment = AugmentSettings(shift_fraction=0.1, noise_probability=0.5)
    changed = TRAINING.model_copy(update={"augment": augment, "epochs": 2, "members": 2, "schedule": "cosine"})
    job = TrainJob(model=CnnSettings(filters=(2,), dense=3), training=changed)
    whole = train(tiny_waveforms, job, tmp_path / "whole")
    with pytest.raises(Kill):
        train(tiny_waveforms, job, tmp_path / "a", on_epoch=stopping(1))
    assert_same_weights(weights(train(tiny_waveforms, job, tmp_path / "a", resume=True)), weights(whole))


@pytest.mark.slow
def test_a_dart_run(tiny_dart, tmp_path, every_epoch):
    changed = TRAINING.model_copy(
        update={"class_weights": "none", "epochs": 3, "buoy_dropout": 0.3, "monitor": "val_mse"}
    )
    job = TrainJob(model=Conv1dSettings(widths=(3, 4, 5), dense=6, use_mask=True), training=changed)
    whole = train(tiny_dart, job, tmp_path / "whole")
    assert [i.name for i in whole.model.inputs] == ["water_level_m", "mask"]
    assert whole.model.output_names == ["weights_m"]
    with pytest.raises(Kill):
        train(tiny_dart, job, tmp_path / "a", on_epoch=stopping(2))
    assert_same_weights(weights(train(tiny_dart, job, tmp_path / "a", resume=True)), weights(whole))
    data = tasks.fit_inputs(job, tiny_dart).data
    outputs = whole.predict(list(data.inputs))
    assert outputs.shape == (1, len(data.targets), 3) and outputs.min() >= 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected a run, received"),
        ("[]", "expected run version 1, received None; train it again"),
        ('{"run_version": 0}', "expected run version 1, received 0; train it again"),
        ('{"run_version": 1, "job": 3}', r"config\.json: job: Input should be a valid dictionary"),
    ],
)
def test_a_folder_that_is_no_run_is_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=r"config\.json: expected a run, received .*No such file"):
        load_run(tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        load_run(tmp_path)


def moved(run, tiny_waveforms, folder, *, place=None):
    """Copies of run and data set side by side, the run saying that its data set is in `place`."""
    shutil.copytree(run.folder, folder / "run")
    shutil.copytree(tiny_waveforms, folder / "data")
    path = folder / "run" / "config.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps(tree | {"dataset": tree["dataset"] if place is None else str(place)}))
    return load_run(folder / "run")


def test_the_data_set_is_found_where_it_was_and_beside_the_run(run, tiny_waveforms, tmp_path, monkeypatch):
    assert dataset_of(run).samefile(tiny_waveforms)
    absolute = moved(run, tiny_waveforms, tmp_path / "old", place=tiny_waveforms)  # as runs were before
    assert dataset_of(absolute) == tiny_waveforms
    monkeypatch.chdir(tmp_path / "old")
    from_here = moved(run, tiny_waveforms, tmp_path / "older", place="data")
    assert dataset_of(from_here).samefile(tmp_path / "old" / "data")
    beside = moved(run, tiny_waveforms, tmp_path / "new", place="nowhere")
    assert dataset_of(beside) == tmp_path / "new" / "data"


def test_a_data_set_that_is_not_found_is_asked_for(run, tiny_waveforms, tmp_path, tiny_records, write_waveforms):
    (tmp_path / "a" / "b").mkdir(parents=True)
    gone = moved(run, tiny_waveforms, tmp_path / "a" / "b" / "c", place="nowhere")
    shutil.move(tmp_path / "a" / "b" / "c" / "data", tmp_path / "elsewhere")
    message = (
        r"run: expected its data set of no source in nowhere or beside the run, .*; say where it is with --dataset"
    )
    with pytest.raises(ValueError, match=message):
        dataset_of(gone)
    assert dataset_of(gone, tmp_path / "elsewhere") == tmp_path / "elsewhere"
    write_waveforms(tmp_path / "a" / "b" / "c" / "other", tiny_records(seed=9), fingerprint="another")
    with pytest.raises(ValueError, match="expected data set of no source that .* was trained on, .*, received another"):
        dataset_of(gone, tmp_path / "a" / "b" / "c" / "other")
    with pytest.raises(ValueError, match="received none with this content"):
        dataset_of(gone)  # the neighbour is of another content
