"""What earlier versions wrote still loads, and answers what it answered then (tests/fixtures/make.sh made it)."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from seis_tf.dataset import shards, tables
from seis_tf.dataset.shards import SPLITS, verify
from seis_tf.evaluation.evaluate import evaluate
from seis_tf.runs import load_run, train
from seis_tf.serve.export.export import export
from seis_tf.serve.predict.predict import predict
from seis_tf.settings.training import TrainJob
from seis_tf.tuning.search import search
from seis_tf.tuning.settings import SearchSettings

FIXTURES = Path(__file__).parent / "fixtures"


@pytest.fixture(scope="module", params=["v0.1.0"])
def old(request, tmp_path_factory) -> Path:
    """A copy, as commands write beside what they read."""
    return shutil.copytree(FIXTURES / request.param, tmp_path_factory.mktemp("old") / request.param)


def stored(path: Path):
    return json.loads(path.read_text())


def without_place(answer: dict) -> dict:
    return {key: value for key, value in answer.items() if key not in ("record", "forecast_m")}


@pytest.mark.parametrize("name", ["waveforms-data", "dart-data"])
def test_a_data_set_is_whole_and_read(old, name):
    assert verify(old / name) == []
    info = shards.load_dataset(old / name)
    table = tables.load(old / name, SPLITS, [feature.name for feature in info.features])
    assert len(table) == sum(split.records for split in info.splits.values()) > 50


def test_a_classifiers_run_answers_as_it_did(old):
    with open(old / "waveforms-run" / "predictions.csv", newline="") as file:
        before = list(csv.DictReader(file))
    metrics = stored(old / "waveforms-run" / "metrics.json")
    again = evaluate(old / "waveforms-run", dataset=old / "waveforms-data").tree()
    with open(old / "waveforms-run" / "predictions.csv", newline="") as file:
        after = list(csv.DictReader(file))
    assert [row["record_id"] for row in after] == [row["record_id"] for row in before]
    columns = [name for name in before[0] if name.startswith("probability_")]
    assert len(columns) == 3
    for name in columns:
        np.testing.assert_allclose([float(r[name]) for r in after], [float(r[name]) for r in before], atol=1e-5)
    for score in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert again["splits"]["test"][score] == metrics["splits"]["test"][score]


def test_a_dart_run_loads_and_is_exported(old, tmp_path):
    run = load_run(old / "dart-run")
    table = tables.load(old / "dart-data", ("test",), ("water_level_m",))
    slip = run.predict([table["water_level_m"][:5]])[0]
    answers = stored(old / "dart-answers.json")
    valid = [answer["valid"] for answer in answers]  # too little signal: no slip in the answer
    assert any(valid)
    before = [list(answer["weights_m"].values()) for answer in answers if answer["valid"]]
    np.testing.assert_allclose(slip[valid], before, atol=1e-4)
    assert (export(old / "dart-run", tmp_path, "slip", dataset=old / "dart-data") / "saved_model.pb").is_file()


def test_a_searchs_best_job_is_trained(old, tmp_path):
    job = TrainJob.model_validate(stored(old / "waveforms-search" / "best.json"))
    run = train(old / "waveforms-data", job, tmp_path / "run")
    assert run.config.job.model.hidden == (2,)


def test_a_search_of_other_code_is_not_mixed_with_trials_of_this(old):
    settings = SearchSettings.model_validate(stored(old / "waveforms-search" / "search.json")["settings"])
    with pytest.raises(ValueError, match=r"code.seis_tf was .*use --overwrite"):
        search(old / "waveforms-data", old / "waveforms-search", settings)


def test_exported_classifiers_answer_as_they_did(old):
    before = stored(old / "waveforms-answers.json")
    after = predict(old / "models" / "events", [old / answer["record"] for answer in before])
    assert [answer["class_name"] for answer in after] == [answer["class_name"] for answer in before]
    for one, other in zip(after, before, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
        assert one["note"] == other["note"] and one["valid"] == other["valid"]


def test_exported_dart_networks_answer_as_they_did(old):
    table = tables.load(old / "dart-data", ("test",), ("water_level_m", "mask"))
    windows = np.where(table["mask"] > 0, table["water_level_m"], np.nan)[:5]
    buoys = shards.load_dataset(old / "dart-data").gauge_names
    before = stored(old / "dart-answers.json")
    for one, other in zip(predict(old / "models" / "slip", windows, buoy_names=buoys), before, strict=True):
        assert one["mw"] == pytest.approx(other["mw"], abs=1e-4)
        assert one["weights_m"] == pytest.approx(other["weights_m"], abs=1e-4)
        assert one["samples"] == other["samples"] and one["reason"] == other["reason"]
