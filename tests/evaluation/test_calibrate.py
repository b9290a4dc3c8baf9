"""A run's calibration is fitted once, whatever is asked first; and it is said where it could not be."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from seis_tf import cli
from seis_tf.dataset import shards
from seis_tf.evaluation import calibrate
from seis_tf.evaluation.stats import calibration
from seis_tf.evaluation.waveforms import evaluation
from seis_tf.evaluation.waveforms.evaluation import evaluate
from seis_tf.runs import load_run, train
from seis_tf.serve.export.export import export
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob

JOB = TrainJob(model=MlpSettings(hidden=(8,)), training=TrainingSettings(epochs=15, batch_size=10, members=2))


@pytest.fixture(scope="module")
def trained(tiny_waveforms, tmp_path_factory):
    """An ensemble made from Python, that was not judged or calibrated. Not to be changed."""
    return train(tiny_waveforms, JOB, tmp_path_factory.mktemp("runs") / "mlp").folder


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of it; numbers only, for drawing takes longer than everything else."""
    monkeypatch.setattr(evaluation, "write_report", lambda folder, report: None)
    monkeypatch.setattr(evaluation, "report_of", lambda *arguments: None)
    return shutil.copytree(trained, tmp_path / "run")


def expected_temperature(folder, dataset) -> float:
    records = list(shards.iterate(dataset, shards.load_dataset(dataset), "valid"))
    power = np.stack([record["spectrogram"] for record in records])
    scaled = (power - power.mean(axis=(1, 2), keepdims=True)) / power.std(axis=(1, 2), keepdims=True)
    p = load_run(folder).predict([scaled.astype(np.float32)]).mean(axis=0, dtype=np.float64)
    labels, groups = (np.array([record[name] for record in records]) for name in ("label", "group"))
    return calibration.fit_temperature(labels, p, groups)


def test_numbers_do_not_depend_on_the_order_of_commands(run, tiny_waveforms, tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "other", tiny_records(seed=5, groups_per_class=8), fingerprint="another")
    second = shutil.copytree(run, tmp_path / "second")
    said = []
    home = {"dataset": tiny_waveforms, "draws": 0}
    other_first = evaluate(run, tmp_path / "other", **home, say=said.append), evaluate(run, **home, say=said.append)
    own_first = evaluate(second, **home), evaluate(second, tmp_path / "other", **home)
    assert other_first == own_first[::-1]
    assert other_first[0].temperature == pytest.approx(expected_temperature(run, tiny_waveforms), rel=1e-4) != 1
    assert len(said) == 1 and said[0].startswith(f"{run}: calibration fitted on ")
    counts = shards.load_dataset(tiny_waveforms).splits["valid"]
    assert other_first[0].calibration == f"fitted on {counts.records} validation records of {counts.groups} events"


def test_an_export_of_a_run_that_was_not_judged_is_calibrated(trained, tiny_records, write_waveforms, tmp_path):
    records = tiny_records()
    for record in records:
        record.values["waveform"] = record.values["waveform"]
    write_waveforms(tmp_path / "data", records, job={"record": {"length_samples": 70, "detrend": "none"}})
    run = train(tmp_path / "data", JOB, tmp_path / "run").folder
    folder = export(run, tmp_path / "models", "lab")
    metadata = json.loads((folder / "assets.extra" / "metadata.json").read_text())
    assert metadata["temperature"] == pytest.approx(expected_temperature(run, tmp_path / "data"), rel=1e-4)
    assert "divided by the temperature" in (folder / "assets.extra" / "MODEL_CARD.md").read_text()


def test_train_ends_with_it_and_resuming_a_finished_run_makes_up_for_it(tiny_waveforms, tmp_path):
    arguments = ["train", "mlp", str(tiny_waveforms), "--out", str(tmp_path / "run"), "--epochs", "2", "--json"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    path = tmp_path / "run" / "calibration.json"
    before = json.loads(path.read_text())
    assert set(before) == {"temperature", "thresholds", "fitted_on"}
    path.unlink()  # killed between the model and its calibration
    assert CliRunner().invoke(cli.app, [*arguments, "--resume"]).exit_code == 0
    assert json.loads(path.read_text()) == before


def test_evaluate_prints_its_main_numbers_beside_the_trivial_ones(run, tiny_waveforms):
    result = CliRunner().invoke(cli.app, ["evaluate", str(run), "--dataset", str(tiny_waveforms)])
    assert result.exit_code == 0, result.output
    found = json.loads((run / "metrics.json").read_text())
    test, trivial = found["splits"]["test"], found["trivial"]["largest class"]["splits"]["test"]
    (low, high), (least, most) = test["intervals"]["balanced_accuracy"], trivial["interval"]
    lines = {" ".join(line.replace("│", " ").split()) for line in result.output.splitlines()}
    own = f"mlp {test['balanced_accuracy']:.3f} ({low:.3f} to {high:.3f}) {test['accuracy']:.3f}"
    assert any(line.startswith(own) for line in lines), result.output
    words = f"largest class (trivial) {1 / 3:.3f} ({least:.3f} to {most:.3f})"
    assert any(line.startswith(words) for line in lines)
    assert any(line.startswith("calibration fitted on") for line in lines)


def test_a_calibration_that_is_there_is_left_alone(run, tiny_waveforms):
    (run / "calibration.json").write_text(json.dumps({"temperature": 1.75, "fitted_on": "36 validation records"}))
    said = []
    assert evaluate(run, dataset=tiny_waveforms, draws=0, say=said.append).temperature == 1.75
    assert json.loads((run / "calibration.json").read_text())["temperature"] == 1.75 and not said


def test_without_validation_records_it_says_so_and_the_temperature_is_one(run, tiny_waveforms, monkeypatch):
    info = shards.load_dataset(tiny_waveforms)
    none = info.splits["valid"].model_copy(update={"records": 0, "groups": 0, "shards": ()})
    without = info.model_copy(update={"splits": info.splits | {"valid": none}})
    monkeypatch.setattr(shards, "load_dataset", lambda folder: without)
    said = []
    found = calibrate.calibrate(load_run(run), tiny_waveforms, said.append)
    assert (found["temperature"], found["thresholds"]) == (1.0, {})
    assert said == [f"{run}: calibration not fitted: the data set has no validation records"]
    assert calibrate.calibrate(load_run(run), tiny_waveforms, said.append) == found and len(said) == 1


def test_a_run_whose_data_is_gone_says_that_it_is_not_calibrated(run, tiny_records, write_waveforms, tmp_path):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"dataset": "nowhere"}))
    write_waveforms(tmp_path / "deep" / "other", tiny_records(seed=5), fingerprint="another")
    said = []
    found = evaluate(run, tmp_path / "deep" / "other", draws=0, say=said.append)
    assert (found.temperature, found.calibration) == (1.0, "")
    assert said[0].startswith(f"{run}: not calibrated, and its data set is not at hand") and "--dataset" in said[0]
    assert not (run / "calibration.json").exists()
