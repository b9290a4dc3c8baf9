"""Faults of one buoy's record: masked with their times, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from seis_tf.dart.buoy_files import GaugeRecord, parse_origin, read_dart_text
from seis_tf.dart.quality import check_record, depth_m
from seis_tf.dart.unit_sources import load_greens, packaged_depths_m
from seis_tf.dart.windows import event_from_records
from seis_tf.dataset.shards import load_dataset
from seis_tf.settings.data import DartJob, DartRecordSettings, QualitySettings

ORIGIN = parse_origin("2031-01-01T00:00:00Z")


def good(buoy="46404", level_m=2737.0):
    """A day of quarter hours and 45 minutes of event mode with a wave of 20 cm."""
    minutes = np.concatenate([np.arange(-1440, 1, 15.0), np.arange(1, 47.0)])
    random = np.random.default_rng(int(buoy))
    level = level_m + 0.8 * np.cos(2 * np.pi * minutes / 745) + 0.002 * random.normal(size=minutes.size)
    level += np.where(minutes > 20, 0.2 * np.sin((minutes - 20) / 4), 0)
    kinds = np.where(minutes > 0, 2, 1)
    time = ORIGIN.timestamp() + 60 * minutes
    return GaugeRecord(buoy, time, np.round(level, 3), False, f"{buoy}.txt", "", kinds, np.zeros(len(time)))


def checked(record, **settings):
    minutes = record.minutes_after(ORIGIN)
    return check_record(record, minutes, -1440, 45.5, QualitySettings(**settings))


def with_level(record, change):
    level = record.level_m.copy()
    change(level, record.minutes_after(ORIGIN))
    return replace(record, level_m=level)


def test_a_good_record_stays_as_it_is():
    record = good()
    kept, masked, odd = checked(record)
    within = record.minutes_after(ORIGIN) <= 45.5
    assert np.array_equal(kept.level_m[within], record.level_m[within]) and masked == odd == []
    assert np.isnan(kept.level_m[~within]).all()


def spike(level, minutes):
    level[minutes == 10] += 8


def stuck(level, minutes):
    level[minutes >= 12] = level[minutes == 12]


def step(level, minutes):
    level[minutes >= 8] += 0.3


def earlier_step(level, minutes):
    level[minutes < -600] += 0.3


@pytest.mark.parametrize(
    ("change", "check", "first", "last", "samples", "words"),
    [
        (spike, "spike", "00:10:00", "00:10:00", 1, r"\+8\.0\d m from what the samples beside it say, limit 0\.05 m"),
        (stuck, "flat", "00:12:00", "00:45:00", 34, r"one and the same level, 273\d\.\d+ m, limit 15 min"),
        (step, "step", "00:08:00", "00:45:00", 38, r"changed by \+0\.3\d m at 2031-01-01T00:08:00Z.* after that is"),
        (
            earlier_step,
            "step",
            "00:00:00",
            "13:45:00",
            56,
            r"changed by -0\.\d+ m at 2030-12-31T14:00:00Z.* before that",
        ),
    ],
)
def test_a_fault_is_masked_and_said(change, check, first, last, samples, words):
    record = with_level(good(), change)
    kept, [found], odd = checked(record)
    assert (found.buoy, found.check, found.samples, odd) == ("46404", check, samples, [])
    assert found.first.endswith(f"T{first}Z") and found.last.endswith(f"T{last}Z")

    assert re.search(words, found.reason), found.reason
    known = [f"{datetime.fromtimestamp(t, ORIGIN.tzinfo):%Y-%m-%dT%H:%M:%SZ}" for t in record.time]
    gone = [when for when, before, after in zip(known, record.level_m, kept.level_m, strict=True) if before != after]
    within = [when for when, minute in zip(known, record.minutes_after(ORIGIN), strict=True) if minute <= 45.5]
    assert [when for when in gone if when in within] == [when for when in within if found.first <= when <= found.last]
    number = "1 sample" if samples == 1 else f"{samples} samples"
    assert str(found).startswith(f"46404: {check}: {number} masked, {found.first}")


def test_values_of_one_moment_that_disagree_are_masked():
    record = good()
    spread = np.zeros(len(record.time))
    spread[[100, 101]] = 0.2, 0.009
    _, [found], _ = checked(replace(record, spread_m=spread))
    assert (found.check, found.samples) == ("duplicate", 1)
    assert found.reason == "values of this moment differ by 0.200 m, limit 0.01 m"


@pytest.mark.parametrize(
    ("since", "until", "first", "last", "minutes"),
    [
        (-300, np.inf, "2030-12-31T19:02:00Z", "2031-01-01T00:45:00Z", "+2"),
        (-np.inf, -300, "2030-12-31T00:02:00Z", "2030-12-31T18:47:00Z", "+2"),
        (-600, -300, "2030-12-31T14:02:00Z", "2030-12-31T18:47:00Z", "+2"),
    ],
)
def test_a_clock_that_jumps_is_masked_where_quarter_hours_are_no_whole_ones(since, until, first, last, minutes):
    record = good()
    after = record.minutes_after(ORIGIN)
    wrong = (after >= since) & (after < until)
    jumped = replace(record, time=np.where(wrong, record.time + 120, record.time))
    _, found, odd = checked(jumped)
    assert [masked.check for masked in found] == ["clock"] and odd == []
    assert f"quarter hours come {minutes} min from where others of this record do" in found[0].reason
    assert found[0].first == first and (found[0].last == last or until == np.inf)


def test_a_clock_that_is_off_all_the_time_can_only_be_said():
    record = good()
    kept, masked, odd = checked(replace(record, time=record.time + 120))
    assert masked == [] and len(odd) == 1
    assert "46404: samples every 15 min come at minute 2 of the quarter hour: the buoy's habit, or a clock" in odd[0]


def test_a_type_column_that_can_not_be_right_is_not_gone_by():
    record = good()
    kept, masked, odd = checked(replace(record, kinds=np.ones(len(record.time), int)))
    assert masked == [] and odd == [
        "46404: samples of type 1 (15 min) come more often than that; the type is not gone by"
    ]


def test_a_level_of_another_depth_masks_the_record():
    _, [found], _ = checked(good("46404", 3280.0))
    assert found.check == "depth" and found.samples == 97 + 45
    assert found.reason == (
        "expected 2,773 m within 5 %, the depth at the buoy's position, received a median level of 3,280 m, "
        "near 46407's (3,321 m): are two files swapped?"
    )
    _, [far], _ = checked(good("46404", 2000.0))
    assert far.reason.endswith("of a buoy that was moved record.quality.depths_m says it")
    assert checked(good("46404", 3280.0), depths_m={"46404": 3300.0})[1] == []
    assert checked(good("21413", 2600.0))[1] == []  # nobody knows its depth
    assert depth_m("46419", QualitySettings()) == packaged_depths_m()["46419"] == 2836


def test_detided_records_have_no_depth_and_may_be_0_for_long():
    minutes = np.arange(0, 61.0)
    record = GaugeRecord("46404", 60 * minutes, np.where(minutes > 40, np.sin(minutes / 5), 0.0), True, "gauge.txt")
    record.level_m[30] = 5.0
    _, [found], odd = checked(record)
    assert (found.check, found.first, found.last) == ("spike", "minute 30", "minute 30") and odd == []


def test_what_comes_after_the_window_is_not_looked_at():
    record = good()
    later = with_level(record, lambda level, minutes: level.__setitem__(minutes > 45.5, 9.0))
    assert checked(later)[1] == []


SETTINGS = DartRecordSettings()


def event(records, **options):
    return event_from_records("quake", records, SETTINGS, load_greens(), ORIGIN, strict=False, **options)


def test_an_event_goes_on_without_the_fault_and_says_it():
    records = [with_level(good(), spike), good("46407", 3280.0), good("46419", 2000.0)]
    found = event(records)
    clean = event([good(), good("46407", 3280.0)])
    assert found.buoys_used == ("46404", "46407") == clean.buoys_used
    assert found.mask[:, 0].sum() == 44 and not found.mask[9, 0] and found.mask[:, 1].all()
    assert np.array_equal(found.window_m[:, 1], clean.window_m[:, 1])
    assert np.abs(found.window_m[:, 0] - clean.window_m[:, 0])[found.mask[:, 0]].max() < 0.005
    assert [masked.check for masked in found.masked] == ["spike", "depth"]
    assert found.notes == (str(found.masked[0]),)
    assert found.left_out == ("46419.txt: no sample is left", str(found.masked[1]))
    assert found.left_out[1].startswith("46419: depth: 142 samples masked, 2030-12-31T00:00:00Z to")
    with pytest.raises(ValueError, match=r"46404\.txt: expected a record without faults, received 46404: spike: 1 sam"):
        event_from_records("quake", records, SETTINGS, load_greens(), ORIGIN, refuse_faults=True)


def test_data_sets_of_before_have_no_quality_control_and_new_ones_do():
    assert DartJob().record.quality == QualitySettings()
    off = DartRecordSettings(quality=None)
    found = event_from_records("quake", [with_level(good(), spike)], off, load_greens(), ORIGIN)
    assert found.window_m[9, 0] > 7 and found.masked == found.notes == ()
    job = DartJob().model_dump(mode="json")
    assert DartJob.model_validate(job).record.quality is not None
    old = load_dataset(Path(__file__).parents[1] / "fixtures" / "v0.1.0" / "dart-data")
    assert old.job["record"]["quality"] is None


@pytest.mark.parametrize(
    ("name", "spikes"),
    [("21413_5day-03142011", 0), ("46404_5day-03132011", 0), ("51407_5day-03132011", 0), ("21418_5day-03132011", 2)],
)
def test_of_the_tohoku_records_nothing_but_spikes_is_masked(shared_data, name, spikes):
    """21418: those at 07:33 and 07:49, 107 and 123 minutes after the origin; the crest is at minute 33."""
    record = read_dart_text(shared_data / "dart" / "observed" / f"{name}.txt")
    origin = parse_origin("2011-03-11T05:46:24Z")
    _, masked, odd = check_record(record, record.minutes_after(origin), -1440, 130.5, QualitySettings())
    assert [found.check for found in masked] == ["spike"] * spikes
    assert [found.first[11:16] for found in masked] == ["07:33", "07:49"][:spikes]
    assert len(odd) == (record.buoy == "51407")  # it samples at minutes 7, 22, 37 and 52
