"""Splits: each class has the asked fractions within one group, and what is left empty on purpose is no error."""

import json
import random
import re
import shutil
from collections import Counter

import pytest

from seis_tf import tasks
from seis_tf.dataset import pipeline
from seis_tf.dataset.shards import SPLITS, load_dataset, split_of
from seis_tf.dataset.splits import assign, rule_of, split_records
from seis_tf.evaluation.waveforms.evaluation import evaluate
from seis_tf.settings.base import load_settings
from seis_tf.settings.data import DartJob, SplitSettings, WaveformJob
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainJob


def draw_groups(seed, classes, groups, largest):
    """Groups of one class each: name -> class -> records."""
    draw = random.Random(seed)
    return {
        f"{name}{i}": {name: draw.randint(1, largest)}
        for name in "abcd"[:classes]
        for i in range(draw.randint(*groups))
    }


def held(counts, places, name=None):
    """Split -> records, of a class or of all."""
    found = Counter()
    for group, split in places.items():
        found[split] += sum(n for each, n in counts[group].items() if name in (None, each))
    return found


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("largest", [1, 15])
@pytest.mark.parametrize("parts", [(0.15, 0.2), (0.3, 0.3), (0, 0.25), (0.1, 0)])
def test_every_class_and_the_whole_have_the_fractions_within_one_group(seed, largest, parts):
    counts = draw_groups(seed, 3, (15, 40), largest)
    settings = SplitSettings(valid_fraction=parts[0], test_fraction=parts[1], seed=seed)
    places = assign(counts, settings)
    wanted = {"train": 1 - sum(parts), "valid": parts[0], "test": parts[1]}
    for name in (*"abc", None):
        sizes = [n for found in counts.values() for each, n in found.items() if name in (None, each)]
        received = held(counts, places, name)
        for split in SPLITS:
            off = abs(received[split] - wanted[split] * sum(sizes))
            assert off < max(sizes) + 1e-9, (name, split)


def test_the_split_is_the_same_for_any_order_and_another_for_another_seed():
    counts = draw_groups(1, 3, (10, 20), 5)
    names = list(counts)
    random.Random(0).shuffle(names)
    assert assign({name: counts[name] for name in names}, SplitSettings()) == assign(counts, SplitSettings())
    assert assign(counts, SplitSettings(seed=1)) != assign(counts, SplitSettings())


def test_each_split_gets_a_group_of_a_class_with_three():
    counts = draw_groups(2, 2, (30, 30), 5) | {f"rare{i}": {"rare": 1} for i in range(3)}
    for seed in range(30):
        places = assign(counts, SplitSettings(seed=seed))
        assert {places[f"rare{i}"] for i in range(3)} == set(SPLITS)


def test_groups_of_several_classes_are_divided_as_a_whole():
    # 40 events with a noise record each, as cut from before the onset: one group, two classes.
    counts = {f"e{i}": {"event": 2, "noise": 1} for i in range(40)}
    received = held(counts, assign(counts, SplitSettings()), "noise")
    assert received == {"train": 26, "valid": 6, "test": 8}  # 65, 15 and 20 % of 40


def test_what_the_source_says_counts_and_all_to_overrules_it():
    records = [(f"g{i}", "train" if i < 10 else None) for i in range(20)]
    functions = {"group_of": lambda r: r[0], "given": lambda r: r[1], "id_of": lambda r: r[0]}
    by_split = split_records(records, SplitSettings(valid_fraction=0.25, test_fraction=0.25), **functions)
    # Of 20 groups 10, 5 and 5; the ten of the source are the training groups.
    assert {split: len(found) for split, found in by_split.items()} == {"train": 10, "valid": 5, "test": 5}
    assert {group for group, _ in by_split["train"]} == {f"g{i}" for i in range(10)}
    by_split = split_records(records, SplitSettings(all_to="test"), **functions)
    assert {split: len(found) for split, found in by_split.items()} == {"train": 0, "valid": 0, "test": 20}


def test_the_hash_moves_no_group_when_more_come():
    counts, settings = draw_groups(3, 2, (20, 20), 3), SplitSettings(method="hash", seed=4)
    before = assign(counts, settings)
    after = assign(counts | draw_groups(5, 4, (40, 40), 3), settings)
    assert before == {group: split_of(group, settings) for group in counts}
    assert {group: after[group] for group in before} == before


def test_defaults_are_stratified_for_waveforms_and_by_hash_for_earthquakes():
    assert (WaveformJob().split.method, WaveformJob().split.test_fraction) == ("stratified", 0.2)
    # A seed alone does not change the fractions.
    job = load_settings(DartJob, None, {"split.seed": 3})
    assert (job.split.method, job.split.valid_fraction, job.split.test_fraction) == ("hash", 0.15, 0.15)
    assert "may change sides when records are added" in rule_of(WaveformJob().split)
    assert "no group changes sides when records are added" in rule_of(DartJob().split)


@pytest.fixture(scope="module")
def pure(tiny_records, write_waveforms, tmp_path_factory):
    """A data set of which every record is in the test split."""
    out = tmp_path_factory.mktemp("pure") / "data"
    job = WaveformJob.model_validate({"split": {"all_to": "test"}})
    by_split = split_records(
        tiny_records(), job.split, group_of=lambda r: r.group, class_of=lambda r: r.label, id_of=lambda r: r.record_id
    )
    assert [len(by_split[split]) for split in SPLITS] == [0, 0, 108]
    write_waveforms(out, tiny_records(), job={"split": {"all_to": "test"}}, by_split=by_split)
    return out


def test_a_pure_test_set_is_a_data_set_that_is_judged_and_not_trained_on(pure, tiny_waveforms, untrained_run, tmp_path):
    info = load_dataset(pure)
    assert {split: part.records for split, part in info.splits.items()} == {"train": 0, "valid": 0, "test": 108}
    assert info.split_rule == "all to test"
    job = TrainJob(model=MlpSettings(hidden=(4,)))
    message = (
        f"{pure}: expected records in split train, received none (train/valid/test: 0/0/108); "
        "prepare the data set without --all-to"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        tasks.fit_inputs(job, pure)
    with pytest.raises(ValueError, match=re.escape(message)):
        pipeline.records(pure, "train", ("label",), 8)
    run = untrained_run(tmp_path / "run", tiny_waveforms, job)
    assert evaluate(run, pure, draws=0).splits["all"].records == 108


def test_a_missing_split_is_named_with_the_option(tiny_records, write_waveforms, untrained_run, tmp_path):
    job = {"split": {"test_fraction": 0, "valid_fraction": 0.3}}
    settings = SplitSettings.model_validate(job["split"])
    by_split = split_records(tiny_records(), settings, group_of=lambda r: r.group, class_of=lambda r: r.label)
    write_waveforms(tmp_path / "data", tiny_records(), job=job, by_split=by_split)
    run = untrained_run(tmp_path / "run", tmp_path / "data", TrainJob(model=MlpSettings(hidden=(4,))))
    message = (
        r"expected records in split test, received none \(train/valid/test: \d+/\d+/0\); prepare the data set with "
        "--test-fraction above 0 and without --all-to; evaluate RUN --data OTHER judges on another data set"
    )
    with pytest.raises(ValueError, match=message):
        evaluate(run)


def test_a_data_set_from_before_there_was_a_choice_was_split_by_hash(tiny_waveforms, tmp_path):
    folder = shutil.copytree(tiny_waveforms, tmp_path / "data")
    tree = json.loads((folder / "dataset.json").read_text())
    for key in ("method", "all_to"):
        del tree["job"]["split"][key]
    del tree["checksum"], tree["split_rule"]
    (folder / "dataset.json").write_text(json.dumps(tree))
    assert load_dataset(folder).job["split"] == {
        "method": "hash", "all_to": None, "valid_fraction": 0.15, "test_fraction": 0.2, "seed": 0,
    }  # fmt: skip
