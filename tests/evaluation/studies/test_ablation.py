"""Ablations: each variant changes what it says and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from seis_tf.dataset import shards
from seis_tf.evaluation.dart import study as dart
from seis_tf.evaluation.studies import ablation, fitting
from seis_tf.evaluation.study import Variant
from seis_tf.evaluation.waveforms import study as waveforms
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.settings.networks import Conv1dSettings, MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.waveforms.spectrograms import spectrograms

JOB = TrainJob(model=MlpSettings(hidden=(6,)), training=TrainingSettings(epochs=20, batch_size=10))


@pytest.fixture(scope="module")
def table(tiny_waveforms):
    return fitting.load_table(JOB, tiny_waveforms)


def test_linear_power_is_that_of_scipys_definition(table, tiny_waveforms):
    """The slow way: the waveforms transformed again without the logarithm."""
    changed = waveforms.changed(table, {"log": False})
    settings = SpectrogramSettings.model_validate(table.info.job["spectrogram"]).model_copy(update={"log": False})
    info = shards.load_dataset(tiny_waveforms)
    records = [r for split in shards.SPLITS for r in shards.iterate(tiny_waveforms, info, split)]
    power = spectrograms(np.stack([r["waveform"] for r in records]), settings, 100.0)
    # The logarithm's floor is 1e-8 of each record's largest power.
    assert changed["spectrogram"] == pytest.approx(power, rel=1e-5, abs=2e-8 * float(power.max()))
    assert changed.info.job["spectrogram"]["log"] is False and table.info.job["spectrogram"]["log"] is True
    back = waveforms.changed(changed, {"log": True})
    assert back["spectrogram"] == pytest.approx(table["spectrogram"], abs=1e-5)


def test_a_shorter_window_is_the_first_part_of_the_record(tiny_dart):
    job = TrainJob(model=Conv1dSettings(dense=4))
    whole = fitting.load_table(job, tiny_dart)
    changed = dart.changed(whole, {"window_min": 4})
    assert changed.info.feature("water_level_m").shape == (4, 2)
    assert changed["water_level_m"].tolist() == whole["water_level_m"][:, :4].tolist()
    assert changed["mask"].shape == (60, 4, 2) and changed["weights_m"] is whole["weights_m"]
    with pytest.raises(ValueError, match=r"window_min: expected at most that of the records \(8 samples\), received 9"):
        dart.changed(whole, {"window_min": 9})


def test_default_variants_leave_out_what_is_given_already(table):
    names = [v.name for v in waveforms.variants(JOB, table.info)]
    assert names == [
        "linear spectrograms", "standardise none", "standardise dataset", "optimizer sgd", "hidden (20,)",
        "hidden (50, 2)",
    ]  # fmt: skip
    given = JOB.model_copy(update={"model": MlpSettings(hidden=(50, 2))})
    assert "hidden (50, 2)" not in [v.name for v in waveforms.variants(given, table.info)]


def test_default_variants_of_buoys_ask_the_guides_questions(tiny_dart):
    job = TrainJob(model=Conv1dSettings(), training=TrainingSettings(batch_size=20))
    info = shards.load_dataset(tiny_dart)
    level = next(f for f in info.features if f.name == "water_level_m").model_copy(update={"shape": (45, 3)})
    info = info.model_copy(update={"features": (level,)})
    names = [v.name for v in dart.variants(job, info)]
    assert names == [
        "batch 32", "batch 64", "batch 128", "optimizer sgd", "LeakyReLU 0.1", "LeakyReLU 0.3", "relu", "silu", "elu",
        "channels 20-20-40-40-80", "channels 15-15-30-30-60", "window 15 min", "window 20 min", "window 30 min",
    ]  # fmt: skip
    for variant in dart.variants(job, info):
        variant.job(job)  # each is a job that can be


def test_the_table_and_its_differences(tiny_waveforms, tmp_path):
    variants = [
        Variant("same"),
        Variant("untrained", training={"epochs": 1, "learning_rate": 1e-9}),
        Variant("linear", data={"log": False}),
    ]
    seen = []
    result = ablation.ablation(
        tiny_waveforms, JOB, tmp_path, variants=variants, n_folds=3, draws=100, progress=lambda *p: seen.append(p)
    )
    assert json.loads((tmp_path / "ablation.json").read_text()) == result.tree()
    found = result.variants
    assert list(found) == ["as given", "same", "untrained", "linear"]
    same = found["same"].against_base
    assert (same.difference, same.interval, same.p) == (0.0, [0.0, 0.0], 1.0)
    assert found["untrained"].against_base.interval[1] < 0
    assert found["as given"].against_base is None
    text = (tmp_path / "report.html").read_text()
    assert "Worse: untrained" in text
    assert seen[-1] == (400, 400)
    assert len((tmp_path / "ablation.csv").read_text().splitlines()) == 1 + 4 * 3


def test_two_variants_of_one_name_and_unknown_changes_are_refused(tiny_waveforms, table, tmp_path):
    with pytest.raises(ValueError, match=r"different names, received \['a', 'a'\]"):
        ablation.ablation(tiny_waveforms, JOB, tmp_path, variants=[Variant("a"), Variant("a")])
    with pytest.raises(ValueError, match=r"expected changes of log, standardise, received \['gain'\]"):
        waveforms.changed(table, {"gain": 2})
    with pytest.raises(ValueError, match="learning_rat"):
        Variant("typo", training={"learning_rat": 1}).job(JOB)
