"""Windows with masks, what is refused, and the flag for sources that no model was trained on."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from seis_tf.dart.buoy_files import GaugeRecord, parse_origin, read_dart_text, read_record
from seis_tf.dart.unit_sources import NEAR_BUOYS, load_greens
from seis_tf.dart.windows import (
    check_levels,
    check_slip,
    event_from_records,
    last_sample_min,
    outside_region,
    window_from_record,
)
from seis_tf.settings.data import DartRecordSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic.fakequakes import simulate

ORIGIN = parse_origin("2031-01-01T00:00:00Z")


@pytest.fixture(scope="module")
def greens():
    return load_greens()


def relative(buoy, time_min, level_m, source="test"):
    return GaugeRecord(buoy, np.asarray(time_min) * 60.0, np.asarray(level_m, dtype=float), True, source)


def three(length=60, level=0.1):
    minutes = np.arange(0, length + 1)
    return [relative(name, minutes, np.full(len(minutes), level)) for name in NEAR_BUOYS]


def test_whole_minutes_are_taken_as_they_are():
    values, mask = window_from_record(np.arange(0, 10), np.arange(10) ** 2, 5)
    assert values.tolist() == [1, 4, 9, 16, 25] and mask.all() and values.dtype == np.float32


def test_samples_between_the_minutes_are_interpolated_linearly():
    time = np.arange(0.4, 10)
    values, mask = window_from_record(time, 3 * time, 5)
    # The last minute lies between 4.4 and 5.4, which comes within half a step of the window's end.
    assert np.allclose(values, [3, 6, 9, 12, 15]) and mask.all()
    quarter = np.arange(0, 10, 0.25)
    assert np.allclose(window_from_record(quarter, 3 * quarter, 5)[0], [3, 6, 9, 12, 15])


def test_a_gap_longer_than_a_step_is_masked_not_bridged():
    time = np.array([0.2, 1.2, 2.2, 6.2, 7.2, 8.2])
    values, mask = window_from_record(time, np.ones(6), 8)
    # Minutes 1, 2, 7 and 8 lie between samples a minute apart, 6 is the step nearest to 6.2; 3, 4 and 5 have none.
    assert mask.tolist() == [True, True, False, False, False, True, True, True]
    assert np.all(values[~mask] == 0)


def test_quarter_hours_count_for_their_nearest_minute_only():
    values, mask = window_from_record(np.array([-0.6, 14.4, 29.5, 44.6]), np.array([1.0, 2.0, 3.0, 4.0]), 45)
    # 29.5 is half-way between two minutes: the earlier one has it.
    assert (np.flatnonzero(mask) + 1).tolist() == [14, 29, 45]
    assert values[mask].tolist() == [2, 3, 4]


@pytest.mark.parametrize("second", range(0, 60, 5))
def test_no_second_of_the_origin_loses_the_last_minute(second):
    """Samples at whole minutes of the clock, of which the earthquake's is `second` s past one."""
    time = np.arange(-5, 80) - second / 60
    values, mask = window_from_record(time, 2 * time, 45)
    assert mask.all()
    # Up to second 30 the last step has the sample before it, up to half a minute early; after that it lies between two.
    early = second / 60 if second < 30 else 0
    assert np.allclose(values[:44], 2 * np.arange(1, 45)) and values[44] == pytest.approx(2 * (45 - early))
    # Nothing later than half a step after the end counts, in no window.
    later = np.where(time > 45.5, 1e6, 2 * time)
    assert np.array_equal(window_from_record(time, later, 45)[0], values)


@pytest.mark.parametrize(
    ("step", "latency", "last"), [(1, 0, 45.5), (1, 5, 40.5), (1, 4.7, 40.5), (3, 5, 40.5), (3, 4, 41)]
)
def test_samples_count_until_half_a_step_after_the_last_known_one(step, latency, last):
    # Step 3: minute 39 is the last step before 40, and takes samples until 40.5.
    assert last_sample_min(45, step, latency) == pytest.approx(last)


def test_missing_and_undelivered_samples_are_masked():
    level = np.ones(61)
    level[10] = np.nan
    mask = window_from_record(np.arange(61), level, 45, latency_min=5)[1]
    assert not mask[9] and mask[:9].all() and mask[10:40].all() and not mask[40:].any()
    assert not window_from_record(np.arange(61), np.full(61, np.nan), 45)[1].any()


def test_a_longer_step_takes_every_such_minute():
    values, mask = window_from_record(np.arange(0, 46), np.arange(46.0), 45, step_min=3)
    assert mask.all() and values.tolist() == list(range(3, 46, 3))


def test_an_event_has_its_buoys_in_the_settings_order(greens):
    records = [relative(name, np.arange(61), np.full(61, i + 1.0)) for i, name in enumerate(reversed(NEAR_BUOYS))]
    event = event_from_records("quake", records, DartRecordSettings(), greens)
    assert event.buoy_names == NEAR_BUOYS and event.window_m.shape == (45, 3)
    assert event.window_m[0].tolist() == [3, 2, 1] and event.mask.all() and event.causal


def test_a_buoy_without_samples_is_masked(greens):
    two = event_from_records("quake", three()[:2], DartRecordSettings(), greens)
    assert two.mask[:, :2].all() and not two.mask[:, 2].any()
    silent = [*three()[:2], relative("46419", np.arange(61), np.full(61, np.nan))]
    assert np.array_equal(event_from_records("quake", silent, DartRecordSettings(), greens).mask, two.mask)


@pytest.mark.parametrize(
    ("records", "settings", "reason"),
    [
        ([replace(three()[0], buoy="")], {}, r"quake: buoys: expected \['46404', .*received \[''\]: not named"),
        ([*three(), relative("46411", [0, 60], [0, 0])], {}, r"'46411'\]: unknown \['46411'\]"),
        ([*three(), three()[0]], {}, r"named twice \['46404'\]"),
        ([], {}, r"received \[\]: not named"),
        (
            three(),
            {"window_min": 90},
            "expected records until minute 90 after the origin, received none after minute 60",
        ),
        (three(level=np.nan), {}, "received none after minute -inf"),
        (three(level=35.0), {}, "expected detided water column in metres, at most 20 m, received 35"),
        (
            three()[:1],
            {"latency_min": 45},
            "expected at least one sample in the window, received a mask over all of it",
        ),
    ],
)
def test_records_that_make_no_window_are_refused(greens, records, settings, reason):
    with pytest.raises(ValueError, match=reason):
        event_from_records("quake", records, DartRecordSettings(**settings), greens)


def test_one_bad_record_costs_its_buoy_and_no_other(greens):
    good, records = three(), three()
    records[1] = replace(records[1], level_m=np.full(61, 35.0), source="46407.txt")
    records += [relative("46411", [0, 60], [0, 0], "46411.txt"), relative("", [0, 60], [0, 0], "notes.txt")]
    event = event_from_records("quake", records, DartRecordSettings(), greens, strict=False, left_out=["x: unreadable"])
    assert event.buoys_used == ("46404", "46419")
    alone = event_from_records("quake", [good[0], good[2]], DartRecordSettings(), greens)
    assert np.array_equal(event.window_m, alone.window_m) and np.array_equal(event.mask, alone.mask)
    assert event.left_out[:3] == (
        "x: unreadable",
        "46411.txt: buoy 46411 is none of the model's, 46404, 46407, 46419",
        "notes.txt: expected a buoy's five digits in the file's name, received none",
    )
    assert event.left_out[3].startswith("quake: 46407: expected detided water column in metres, at most 20 m, received")
    twice = event_from_records("quake", [*good, good[0]], DartRecordSettings(), greens, strict=False)
    assert twice.buoys_used == ("46407", "46419") and "buoy 46404 has 2 records: none is used" in twice.left_out[0]


def test_where_no_record_is_left_all_reasons_are_said(greens):
    record = relative("46411", [0, 60], [0, 0], "46411.txt")
    expected = (
        r"quake: expected a record of one of \['46404'.*received none: x: unreadable; 46411\.txt: buoy 46411 is none"
    )
    with pytest.raises(ValueError, match=expected):
        event_from_records("quake", [record], DartRecordSettings(), greens, strict=False, left_out=["x: unreadable"])


def test_a_record_that_can_not_be_detided_costs_its_buoy_only(greens):
    weights = np.eye(31)[4] * 10
    whole, short = raw(greens, weights), raw(greens, weights, "46407")
    short = replace(short, time=short.time[90:], level_m=short.level_m[90:])
    event = event_from_records("quake", [whole, short], DartRecordSettings(), greens, ORIGIN, strict=False)
    assert event.buoys_used == ("46404",)
    assert event.left_out[0].startswith("46407.txt: detide: expected at least 12 samples")
    # No origin is the caller's mistake, not a record's.
    with pytest.raises(ValueError, match="expected an origin time"):
        event_from_records("quake", [whole, short], DartRecordSettings(), greens, strict=False)


def dated(buoy, minutes, level_m):
    return GaugeRecord(buoy, ORIGIN.timestamp() + 60 * minutes, level_m, False, f"{buoy}.txt")


def raw(greens, weights, buoy="46404"):
    """A day of quarter hours, then minutes, with a tide that the terms can follow."""
    minutes = np.concatenate([np.arange(-1440, 0, 15.0), np.arange(0.5, 120)])
    tide = {"46404": 2737, "46407": 3280}[buoy] + np.cos(2 * np.pi * minutes / 60 / 12.42 + 1)
    column = greens.gauge_names.index(buoy)
    tsunami = np.interp(minutes, greens.time_min, greens.waves(weights)[:, column], left=0)
    return dated(buoy, minutes, tide + tsunami)


def test_a_record_with_dates_is_detided(greens):
    weights = np.eye(31)[4] * 10
    event = event_from_records("quake", [raw(greens, weights)], DartRecordSettings(), greens, ORIGIN)
    expected = greens.waves(weights)[1:46, 0]
    # The samples lie half a minute off the window's steps: linear interpolation cuts a crest's tip.
    assert event.mask[:44, 0].all() and np.abs(expected).max() > 0.3
    assert np.abs(event.window_m[:44, 0] - expected[:44]).max() < 0.05 * np.abs(expected).max()
    with pytest.raises(ValueError, match=r"46404\.txt: expected an origin time"):
        event_from_records("quake", [raw(greens, weights)], DartRecordSettings(), greens)


def test_a_window_does_not_depend_on_what_came_later(greens):
    record = raw(greens, np.eye(31)[4] * 10)
    minutes = record.minutes_after(ORIGIN)
    settings = DartRecordSettings(latency_min=5)
    event = event_from_records("quake", [record], settings, greens, ORIGIN)
    later = replace(record, level_m=np.where(minutes > 40.5, record.level_m + 3, record.level_m))
    again = event_from_records("quake", [later], settings, greens, ORIGIN)
    assert np.array_equal(event.window_m, again.window_m) and not event.mask[40:].any()
    looking_back = event_from_records("quake", [record], DartRecordSettings(detide="polynomial"), greens, ORIGIN)
    assert not looking_back.causal


def test_levels_with_their_tide_in_are_refused(greens):
    with pytest.raises(ValueError, match="expected detided water column in metres, at most 20 m, received 273"):
        record = raw(greens, np.eye(31)[4])
        event_from_records("quake", [record], DartRecordSettings(detide="none"), greens, ORIGIN)


def test_what_detiding_refuses_names_the_file(greens):
    record = raw(greens, np.eye(31)[4])
    short = replace(record, time=record.time[90:], level_m=record.level_m[90:])
    with pytest.raises(ValueError, match=r"46404\.txt: detide: expected at least 12 samples"):
        event_from_records("quake", [short], DartRecordSettings(), greens, ORIGIN)


def test_levels_are_checked_where_the_mask_is_set():
    window = np.array([[0.1, 50.0], [np.nan, 0.2]])
    check_levels(window, np.array([[True, False], [False, True]]), 5.0, "request")
    with pytest.raises(ValueError, match="request: expected detided water column in metres, at most 5 m, received 50"):
        check_levels(window, np.array([[True, True], [False, True]]), 5.0, "request")
    with pytest.raises(ValueError, match="request: expected finite levels"):
        check_levels(window, np.ones((2, 2), bool), 100.0, "request")


def test_negative_slip_is_refused():
    check_slip(np.array([0.0, 3.0]), "fq1")
    with pytest.raises(ValueError, match=r"fq1: expected slip of 0 m or more, received -0\.5 m on source 1"):
        check_slip(np.array([0.0, -0.5]), "fq1")
    with pytest.raises(ValueError, match="received nan m on source 0"):
        check_slip(np.array([np.nan]), "fq1")


@pytest.mark.parametrize(
    ("lonlat", "outside", "reason"),
    [
        ((235.0, 48.2), False, "epicentre 10 km from the nearest unit source acsza57, limit 200 km"),
        # Off Kodiak 2018-01-23 and off Tohoku 2011-03-11 (USGS epicentres).
        ((210.83, 56.0), True, r"epicentre 15\d\d km from the nearest unit source acsza54"),
        ((142.37, 38.30), True, r"epicentre 6\d\d\d km"),
    ],
)
def test_an_epicentre_far_from_all_sources_is_outside(greens, lonlat, outside, reason):
    region = outside_region(greens, epicentre_lonlat=lonlat)
    assert region.outside is outside
    assert re.match(reason, region.reason)


def test_a_wave_that_no_source_makes_is_outside_and_one_that_they_make_is_not(greens):
    near = greens.select(gauges=NEAR_BUOYS)
    events = simulate(FakequakeSettings(), greens, 20, seed=0)
    mask = np.ones((45, 3), bool)
    for window in events.windows_m[:, :45]:
        assert not outside_region(near, window_m=window, mask=mask).outside
    # The same waves, upside down: as if the sea floor had sunk where it can only rise.
    big = events.windows_m[np.argmax(events.mw), :45]
    upside_down = outside_region(near, window_m=-big, mask=mask)
    assert upside_down.outside and "of the record's rms, limit 0.5" in upside_down.reason
    calm = outside_region(near, window_m=np.zeros((45, 3)), mask=mask)
    assert not calm.outside and "no more than noise" in calm.reason
    with pytest.raises(ValueError, match="expected an epicentre or a window with its mask, received neither"):
        outside_region(near)


def test_kodiak_2018_is_masked_until_its_records_begin(shared_data, greens):
    path = shared_data / "dart" / "observed" / "kodiak2018_observation_Alaska.h5"
    records = [record for record in read_record(path) if record.buoy in NEAR_BUOYS]
    event = event_from_records("kodiak", records, DartRecordSettings(window_min=60), greens)
    # 46404 and 46407 have no samples until 45 min, 46419 none until 15 min.
    assert not event.mask[:44, :2].any() and event.mask[45:, :2].all()
    assert not event.mask[:14, 2].any() and event.mask[15:, 2].all()
    assert np.abs(event.window_m).max() < 0.05


def test_tohoku_2011_at_46404_is_a_small_wave_with_little_in_the_window(shared_data, greens):
    path = shared_data / "dart" / "observed" / "46404_5day-03132011.txt"
    record, settings = read_dart_text(path), DartRecordSettings()
    event = event_from_records("tohoku", [record], settings, greens, parse_origin("2011-03-11T05:46:24Z"))
    # Quarter hours only until the buoy's event mode starts at 13:01: three samples in 45 minutes, and calm ones.
    assert event.mask.sum(axis=0).tolist() == [3, 0, 0] and np.abs(event.window_m).max() < 0.02
    # Four hours from 12:46 on hold the wave itself, which Cascadia's sources can't make.
    later = DartRecordSettings(window_min=240)
    event = event_from_records("tohoku", [record], later, greens, parse_origin("2011-03-11T12:46:24Z"))
    near = greens.select(gauges=NEAR_BUOYS)
    assert 0.05 < np.abs(event.window_m).max() < 0.5
    assert outside_region(near, window_m=event.window_m, mask=event.mask).outside
