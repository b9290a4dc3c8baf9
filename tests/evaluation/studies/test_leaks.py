"""The leak meter finds a planted leak, and none where there is none."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from seis_tf.evaluation.studies import leaks
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob

JOB = TrainJob(model=MlpSettings(hidden=(16,)), training=TrainingSettings(epochs=40, batch_size=10))


def with_signature(records, strength: float):
    """Noise records with an event's own pattern that says nothing about the class: only a torn event helps."""
    rng = np.random.default_rng(0)
    patterns = {}
    for record in records:
        pattern = patterns.setdefault(record.group, rng.normal(size=(8, 9)))
        noise = rng.normal(size=(8, 9))
        record.values["spectrogram"] = (strength * pattern + noise).astype("f4")
    return records


def planted(records):
    """One event's records once more, under another id and with other record ids."""
    group = "AE000"
    copies = [copy.deepcopy(record) for record in records if record.group == group]
    twins = []
    for record in copies:
        values = record.values | {"group": "AE999", "record_id": record.record_id + "x"}
        twins.append(type(record)(values["record_id"], "AE999", record.label, values))
    return records + twins, len(twins)


def test_a_signature_of_events_inflates_random_folds(tiny_records, write_waveforms, tmp_path):
    """Labels can't be learned from these records, but events can be recognised: random folds score far above chance."""
    write_waveforms(tmp_path / "data", with_signature(tiny_records(), 3.0))
    seen = []
    result = leaks.leak_meter(
        tmp_path / "data", JOB, tmp_path / "out", n_folds=3, draws=300, progress=lambda *p: seen.append(p)
    )
    assert result.kinds["grouped"].balanced_accuracy < 0.5
    assert result.kinds["random"].balanced_accuracy > 0.7
    low, high = result.inflation_interval
    assert 0.2 < low < result.inflation < high
    # Three records an event: nearly all of 36 events are torn by three random folds, none by grouped ones.
    assert result.kinds["random"].torn_groups > 30 and result.kinds["grouped"].torn_groups == 0
    text = (tmp_path / "out" / "report.html").read_text()
    assert "A random split would flatter this model by" in text
    assert seen[-1] == (200, 200)


def test_nothing_is_found_where_nothing_is_hidden(tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "data", with_signature(tiny_records(), 0.0))
    result = leaks.leak_meter(tmp_path / "data", JOB, tmp_path / "out", n_folds=3, draws=300)
    low, high = result.inflation_interval
    assert low < 0 < high
    assert result.duplicates == [] and result.torn_by_own_split == []
    assert list(result.kinds) == ["random", "grouped"]
    assert "No samples have two event ids" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "leaks.json").read_text()) == result.tree()


def test_an_event_under_two_ids_is_found(tiny_records, write_waveforms, tmp_path):
    records, twins = planted(tiny_records())
    info = write_waveforms(tmp_path / "data", records)
    assert info.grouped
    job = JOB.model_copy(update={"training": TrainingSettings(epochs=2)})
    result = leaks.leak_meter(tmp_path / "data", job, tmp_path / "out", n_folds=3, draws=50)
    assert result.duplicates == [("AE000", "AE999", twins)]
    assert result.groups == 36  # 37 ids, of which two are one event
    assert "by given ids" in result.kinds
    from seis_tf.dataset.shards import split_of
    from seis_tf.settings.data import SplitSettings

    torn = split_of("AE000", SplitSettings()) != split_of("AE999", SplitSettings())
    assert result.torn_by_own_split == (["AE000"] if torn else [])
    assert "Leak: 1 pair of event ids hold the same samples" in (tmp_path / "out" / "report.html").read_text()


def test_records_without_events_are_not_judged(tiny_records, write_waveforms, tmp_path):
    write_waveforms(tmp_path / "data", tiny_records(), grouped=False)
    job = JOB.model_copy(update={"training": TrainingSettings(epochs=1)})
    leaks.leak_meter(tmp_path / "data", job, tmp_path / "out", n_folds=3, draws=20)
    assert "Not known: the source names no events" in (tmp_path / "out" / "report.html").read_text()


def test_ids_are_joined_over_several_steps():
    contents = np.array([[1], [1], [2], [2], [3], [4]])
    found = leaks.find_duplicates(contents, np.array(["b", "c", "c", "a", "d", "d"]))
    # 1 joins b and c, 2 joins c and a: one event of three ids, called by the first.
    assert found.joined.tolist() == ["a", "a", "a", "a", "d", "d"]
    assert found.pairs == [("a", "c", 1), ("b", "c", 1)]


def test_the_same_samples_within_an_event_are_no_leak():
    found = leaks.find_duplicates(np.array([[1], [1], [2]]), np.array(["a", "a", "b"]))
    assert found.pairs == [] and found.joined.tolist() == ["a", "a", "b"]


def test_buoys_are_refused(tiny_dart, tmp_path):
    with pytest.raises(ValueError, match="expected a data set of task waveforms, received dart"):
        leaks.leak_meter(tiny_dart, JOB, tmp_path)
