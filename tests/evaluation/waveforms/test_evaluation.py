"""A judged run: what is written, that the numbers are those of its own predictions, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from seis_tf.dataset import shards
from seis_tf.evaluation.report.sections import loss_picture
from seis_tf.evaluation.stats import calibration
from seis_tf.evaluation.waveforms import evaluation, trivial
from seis_tf.evaluation.waveforms.evaluation import evaluate
from seis_tf.runs import load_run, train
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.waveforms.spectrograms import standardise

NAMES = ("AE", "UP", "noise")


def job(**training) -> TrainJob:
    return TrainJob(model=MlpSettings(hidden=(8,)), training=TrainingSettings(epochs=15, batch_size=10, **training))


@pytest.fixture(scope="module")
def trained(tiny_waveforms, tmp_path_factory):
    """A run that was not judged yet. Not to be changed."""
    return train(tiny_waveforms, job(), tmp_path_factory.mktemp("runs") / "mlp").folder


@pytest.fixture(scope="module")
def judged(trained, tmp_path_factory):
    """The same run, judged, and what was returned."""
    folder = tmp_path_factory.mktemp("judged") / "mlp"
    shutil.copytree(trained, folder)
    return folder, evaluate(folder, draws=200)


@pytest.fixture
def no_report(monkeypatch):
    """Numbers only: drawing takes longer than everything else."""
    monkeypatch.setattr(evaluation, "write_report", lambda folder, report: None)
    monkeypatch.setattr(evaluation, "report_of", lambda *arguments: None)


def predictions(folder) -> dict[str, list[dict[str, str]]]:
    with open(folder / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {split: [row for row in rows if row["split"] == split] for split in dict.fromkeys(r["split"] for r in rows)}


def arrays(rows):
    labels = np.array([NAMES.index(row["class"]) for row in rows])
    return labels, np.array([[float(row[f"probability_{name}"]) for name in NAMES] for row in rows])


def test_everything_is_written_and_metrics_are_what_was_returned(judged):
    folder, found = judged
    assert json.loads((folder / "metrics.json").read_text()) == found.tree()
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    expected = {"scores", "loss", "confusion", "recall_by_snr", "roc", "precision_recall", "reliability"}
    assert expected | {"peak_amplitude", "band_ratio", "correct_01"} <= names
    text = (folder / "report.html").read_text()
    assert "Simulated data" in text and "What was asked" in text


def test_every_record_is_in_the_predictions_once_with_its_split(judged, tiny_waveforms):
    rows = predictions(judged[0])
    info = shards.load_dataset(tiny_waveforms)
    for split in shards.SPLITS:
        stored = {(r["record_id"], r["group"], NAMES[r["label"]]) for r in shards.iterate(tiny_waveforms, info, split)}
        assert {(row["record_id"], row["group"], row["class"]) for row in rows[split]} == stored
        assert len(rows[split]) == info.splits[split].records


def test_scores_are_those_of_the_predictions(judged):
    folder, found = judged
    for split, rows in predictions(folder).items():
        labels, p = arrays(rows)
        own = found.splits[split]
        answered = p.argmax(axis=1)
        assert own.accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, answered))
        assert own.balanced_accuracy == pytest.approx(sklearn_metrics.balanced_accuracy_score(labels, answered))
        # Six digits in the file.
        assert own.log_loss == pytest.approx(
            sklearn_metrics.log_loss(labels, p / p.sum(axis=1, keepdims=True)), abs=1e-4
        )
        assert own.confusion == sklearn_metrics.confusion_matrix(labels, answered, labels=range(3)).tolist()
        low, high = own.intervals["balanced_accuracy"]
        assert low <= own.balanced_accuracy <= high


def test_the_model_answers_what_keras_answers(judged, tiny_waveforms):
    """The slow way: the stored model on records standardised with NumPy, one after the other."""
    import keras

    folder, found = judged
    model = keras.models.load_model(folder / "model.keras")
    info = shards.load_dataset(tiny_waveforms)
    for row, record in zip(predictions(folder)["test"], shards.iterate(tiny_waveforms, info, "test"), strict=True):
        raw = model.predict(standardise(record["spectrogram"][None]), verbose=0)
        scaled = calibration.with_temperature(raw, found.temperature)[0]
        assert [float(row[f"probability_{name}"]) for name in NAMES] == pytest.approx(scaled.tolist(), abs=2e-5)


def test_the_temperature_goes_with_the_run_and_is_of_the_validation_records(judged, tiny_waveforms):
    folder, found = judged
    assert calibration.read_calibration(folder)["temperature"] == found.temperature
    records = list(shards.iterate(tiny_waveforms, shards.load_dataset(tiny_waveforms), "valid"))
    p = load_run(folder).predict([standardise(np.stack([r["spectrogram"] for r in records]))])[0]
    labels, groups = (np.array([r[key] for r in records]) for key in ("label", "group"))
    assert found.temperature == pytest.approx(calibration.fit_temperature(labels, p, groups), rel=1e-3)


def test_thresholds_are_chosen_on_validation_and_scored_on_test(judged):
    folder, found = judged
    rows = predictions(folder)
    (labels, p), (true, test) = arrays(rows["valid"]), arrays(rows["test"])
    for k, name in enumerate(NAMES):
        own = found.thresholds[name]
        part = np.mean(p[labels == k, k] >= own.threshold - 1e-6)
        assert part >= own.wished_recall == 0.95
        called = test[:, k] >= own.threshold
        assert own.recall == pytest.approx(np.mean(called[true == k]))
        assert own.precision == pytest.approx(np.mean(true[called] == k))
    stored = json.loads((folder / "calibration.json").read_text())
    expected = {name: found.thresholds[name].threshold for name in NAMES}
    assert stored["thresholds"] == pytest.approx(expected, rel=1e-6)


def test_trivial_predictors_are_judged_beside_the_model(judged, tiny_waveforms):
    found = judged[1].trivial
    assert list(found) == ["largest class", "peak amplitude", "band ratio", "linear"]
    test = found["largest class"].splits["test"]
    assert test.balanced_accuracy == pytest.approx(1 / 3)
    model = judged[1].splits["test"].balanced_accuracy
    assert test.model_minus_this == pytest.approx(model - 1 / 3)
    # Fitted on the training split alone.
    info = shards.load_dataset(tiny_waveforms)
    records = list(shards.iterate(tiny_waveforms, info, "train"))
    columns = {name: np.array([r[name] for r in records]) for name in trivial.FEATURES}
    frequencies = np.fft.rfftfreq(14, 1 / 100.0)
    fitted = trivial.fit_all(columns, np.arange(len(records)), NAMES, frequencies, log_power=True)
    assert {p.name: p.about for p in fitted} == {name: row.about for name, row in found.items()}
    # The tiny records differ by their frequency, and labquakes have the higher one.
    assert found["band ratio"].splits["test"].balanced_accuracy > 0.6


def test_judging_twice_gives_the_same_bytes(judged, tmp_path):
    folder = judged[0]
    shutil.copytree(folder, tmp_path / "mlp")
    evaluate(tmp_path / "mlp", draws=200)
    for name in ("metrics.json", "predictions.csv", "report.html", "calibration.json"):
        assert (tmp_path / "mlp" / name).read_bytes() == (folder / name).read_bytes()


def test_the_best_epoch_of_a_mean_square_is_its_smallest():
    """0.9, 0.2, 0.5: the second epoch is the best by error and by loss, the first by accuracy."""
    history = [
        [{"epoch": float(k), "loss": v, "val_mse": v, "val_accuracy": v} for k, v in ((1, 0.9), (2, 0.2), (3, 0.5))]
    ]
    for monitor, epoch in (("val_mse", 2), ("loss", 2), ("val_accuracy", 1)):
        training = TrainingSettings(monitor=monitor)
        config = SimpleNamespace(job=TrainJob(model=MlpSettings(), training=training))
        picture = loss_picture(SimpleNamespace(history=history, config=config))
        assert f": epoch {epoch};" in picture.caption


def test_an_ensemble_is_judged_by_its_mean_and_its_members_are_shown(tiny_waveforms, tmp_path, no_report):
    run = train(tiny_waveforms, job(members=3), tmp_path / "ensemble")
    found = evaluate(run.folder, draws=0)
    assert found.members == 3
    # 8 x 9 inputs: (72 + 1) x 8 + (8 + 1) x 3 for each member.
    assert found.parameters == 73 * 8 + 9 * 3
    spread = found.splits["test"].members["balanced_accuracy"]
    assert 0 < spread.mean < 1 and spread.std >= 0
    assert "intervals" not in found.tree()["splits"]["test"]
    p = run.predict([standardised_test_records(tiny_waveforms)]).mean(axis=0, dtype=np.float64)
    expected = calibration.with_temperature(p, found.temperature)
    assert arrays(predictions(run.folder)["test"])[1] == pytest.approx(expected, abs=2e-5)


def standardised_test_records(folder) -> np.ndarray:
    records = shards.iterate(folder, shards.load_dataset(folder), "test")
    return standardise(np.stack([record["spectrogram"] for record in records]))


def test_another_data_set_is_judged_whole(judged, tiny_records, write_waveforms, tmp_path):
    folder = tmp_path / "mlp"
    shutil.copytree(judged[0], folder)
    records = tiny_records(seed=5, groups_per_class=8)
    write_waveforms(tmp_path / "other", records, fingerprint="another")
    found = evaluate(folder, tmp_path / "other", draws=50)
    assert list(found.splits) == ["all"] and found.main == "all"
    assert found.splits["all"].records == len(records) == 72
    assert found.temperature == judged[1].temperature
    out = folder / "evaluations" / "other-another"
    assert {row["split"] for row in predictions(out)["all"]} == {"all"}
    # Eight events a class carry the names of training events: that must be said.
    info = shards.load_dataset(judged[1].dataset)
    train_groups = {r["group"] for r in shards.iterate(judged[1].dataset, info, "train")}
    assert found.seen_groups == len(train_groups & {r.group for r in records}) > 0
    text = (out / "report.html").read_text()
    assert "Seen before" in text
    split = info.splits["train"]
    trained = f"Trained on another data set: {judged[1].dataset}, {split.records} records of {split.groups} events for"
    assert trained in text
    assert f"Judged on all records of {tmp_path / 'other'}, 72 records of 24 events, whatever their split" in text
    assert json.loads((folder / "metrics.json").read_text()) == judged[1].tree()


def test_a_data_set_that_was_moved_is_still_the_runs_own(judged, tiny_waveforms, tmp_path, no_report):
    shutil.copytree(judged[0], tmp_path / "mlp")
    shutil.copytree(tiny_waveforms, tmp_path / "moved")
    found = evaluate(tmp_path / "mlp", tmp_path / "moved", draws=200)
    assert found.tree() | {"dataset": ""} == judged[1].tree() | {"dataset": ""}


def test_other_classes_are_refused_with_both_lists(judged, tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "other", tiny_records(), class_names=("UP", "AE", "noise"), fingerprint="x")
    with pytest.raises(
        ValueError, match=r"classes: expected \['AE', 'UP', 'noise'\], received \['UP', 'AE', 'noise'\]"
    ):
        evaluate(judged[0], tmp_path / "other")


def test_other_spectrograms_and_rates_are_refused(judged, tiny_records, write_waveforms, tmp_path):
    window = {"spectrogram": {"nperseg": 14, "noverlap": 7, "nfft": 14, "window": "hann"}}
    write_waveforms(tmp_path / "window", tiny_records(), job=window, fingerprint="x")
    with pytest.raises(ValueError, match="spectrogram window: expected tukey, received hann"):
        evaluate(judged[0], tmp_path / "window")
    write_waveforms(tmp_path / "rate", tiny_records(), sampling_rate_hz=50.0, fingerprint="x")
    with pytest.raises(ValueError, match=r"sampling rate in Hz: expected 100\.0, received 50\.0"):
        evaluate(judged[0], tmp_path / "rate")


def test_a_task_that_is_none_of_its_is_refused(judged, tiny_dart):
    with pytest.raises(ValueError, match="expected a data set of task waveforms, received dart"):
        evaluate(judged[0], tiny_dart)


def test_a_data_set_that_changed_is_refused(trained, tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "data", tiny_records())
    run = train(tmp_path / "data", job(), tmp_path / "run")
    shutil.rmtree(tmp_path / "data")
    message = r"run: expected its data set of no source in \.\./data or beside the run, received none .* --dataset"
    with pytest.raises(ValueError, match=message):
        evaluate(run.folder)
    write_waveforms(tmp_path / "data", tiny_records(seed=3), fingerprint="changed")
    with pytest.raises(ValueError, match=message):
        evaluate(run.folder)
    with pytest.raises(ValueError, match=r"expected data set of no sour.*received changed"):
        evaluate(run.folder, dataset=tmp_path / "data")
    assert not (run.folder / "metrics.json").exists()
