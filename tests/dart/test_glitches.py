"""Spikes, stuck sensors and steps: found where they were put, and never in a tsunami or in seismic shaking."""

from __future__ import annotations

import csv
import itertools
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from scipy.interpolate import BarycentricInterpolator

from seis_tf.dart.buoy_files import read_dart_text
from seis_tf.dart.glitches import departures, flat_runs, noise_m, spikes, steps
from seis_tf.dart.unit_sources import load_greens
from seis_tf.settings.data import QualitySettings
from seis_tf.settings.simulation import FakequakeSettings, SlipSettings
from seis_tf.synthetic.fakequake_files import write_raw_event
from seis_tf.synthetic.fakequakes import simulate

Q = QualitySettings()
SPIKE, STEP = (Q.spike_m, Q.spike_noise, Q.isolation), (Q.step_m, Q.step_noise)


def record(*, wave_m=0.0, period_min=15.0, arrival_min=10.0, seed=0, until=45):
    """A day of quarter hours and then minutes: a tide, 3 mm of noise, a wave; rounded to millimetres as NDBC's."""
    time = np.concatenate([np.arange(-1440, 0, 15.0), np.arange(0.5, until + 1)])
    level = (
        2737 + 0.8 * np.cos(2 * np.pi * time / 745 + seed) + 0.003 * np.random.default_rng(seed).normal(size=time.size)
    )
    after = time - arrival_min
    level += np.where(after > 0, wave_m * np.sin(2 * np.pi * after / period_min), 0)
    return time, np.round(level, 3)


def found(time, level):
    return spikes(time, level, *SPIKE), steps(time, level, *STEP), flat_runs(time, level, Q.flat_min)


def test_departures_are_from_the_cubic_through_the_four_neighbours():
    """SciPy's interpolating polynomial, sample by sample, on times that are not even."""
    random = np.random.default_rng(0)
    time = np.cumsum(random.uniform(0.5, 1.5, 20)) + 1
    level = random.normal(size=20)
    metres, spread = departures(time, level)
    expected = np.full(20, np.nan)
    for i in range(2, 18):
        near = [i - 2, i - 1, i + 1, i + 2]
        expected[i] = level[i] - BarycentricInterpolator(time[near], level[near])(time[i])
    np.testing.assert_allclose(metres, expected, atol=1e-12)
    # The spread, by white noise: on even steps the weights are -1/6, 4/6, 4/6, -1/6.
    assert departures(np.arange(1.0, 8), np.zeros(7))[1][3] == pytest.approx(np.sqrt(1 + 34 / 36))
    assert spread[2:18].min() > 1


def test_a_sample_is_judged_only_by_what_can_say_something_of_it():
    time = np.concatenate([np.arange(-180, 0, 15.0), [3, 18, 33, 34, 35, 36, 37, 38, 44, 45, 46]])
    known = np.isfinite(departures(time, np.zeros(len(time)))[0])
    # All quarter hours but the first two; of the minutes those with two on either side, none over a longer gap.
    assert known[:12].tolist() == [False, False] + [True] * 10
    assert time[12:][known[12:]].tolist() == [35, 36]


def test_the_noise_is_the_records_own():
    time, level = record()
    assert noise_m(time, level) == pytest.approx(0.003, rel=0.25)
    assert noise_m(time, 2737 + 0.8 * np.cos(2 * np.pi * time / 745)) == 0.001  # no less than the last digit


# The last quarter hour before the origin has neighbours on one side only: a cubic carried on is six times less certain.
@pytest.mark.parametrize(
    ("minute", "size"),
    [(minute, size) for minute in (-300, 12.5, 40.5) for size in (8.0, -8.0, 0.3, 0.1)] + [(-15, 8.0), (-15, -1.0)],
)
def test_one_spike_is_found_and_no_other_sample(minute, size):
    time, level = record(wave_m=0.1)
    at = int(np.flatnonzero(time == minute)[0])
    level[at] += size
    assert list(spikes(time, level, *SPIKE)) == [at]
    assert spikes(time, level, *SPIKE)[at] == pytest.approx(size, abs=0.08)
    assert steps(time, level, *STEP) == []


def test_two_spikes_side_by_side_and_several_apart_are_found():
    time, level = record()
    places = [20, 120, 121, 130]
    level[places] += [1.0, 3.0, 2.5, -4.0]
    assert list(spikes(time, level, *SPIKE)) == places


def test_the_last_samples_of_a_window_may_be_a_wave_and_are_not_judged():
    for back in range(1, 6):
        time, level = record()
        level[-back] += 2.0
        assert spikes(time, level, *SPIKE) == {}
    time, level = record()
    level[-6] += 2.0
    assert list(spikes(time, level, *SPIKE)) == [len(time) - 6]


def test_in_quarter_hours_after_the_origin_one_high_sample_may_be_a_wave():
    time = np.arange(-1440, 120, 15.0)
    level = 2737 + 0.8 * np.cos(2 * np.pi * time / 745)
    level[time == 45] += 1.8
    assert found(time, level) == ({}, [], [])
    level[time == -45] += 1.8
    assert list(spikes(time, level, *SPIKE)) == [int(np.flatnonzero(time == -45)[0])]


@pytest.mark.parametrize("runs", [[(3, 18)], [(0, 3)], [(100, 115), (117, 133)], []])
def test_flat_runs_are_those_that_a_loop_finds(runs):
    time, _ = record()
    level = np.arange(len(time)) / 7
    for first, last in runs:
        level[first : last + 1] = level[first]
    slow = []
    for _, group in itertools.groupby(range(len(time)), key=lambda i: level[i]):
        numbers = list(group)
        if len(numbers) >= 4 and time[numbers[-1]] - time[numbers[0]] >= 15:
            slow.append((numbers[0], numbers[-1]))
    assert flat_runs(time, level, 15.0) == slow == runs
    assert flat_runs(np.array([]), np.array([]), 15.0) == []


# In quarter hours the tide's curvature over four hours hides steps of less than 0.2 m.
@pytest.mark.parametrize(
    ("minute", "size"),
    [(minute, size) for minute in (-600, -60, 15.5, 35.5) for size in (0.3, -0.3, 2.0)] + [(15.5, 0.15), (35.5, 0.15)],
)
def test_a_step_is_found_where_it_is(minute, size):
    time, level = record(wave_m=0.05, period_min=40)
    level = np.where(time >= minute, level + size, level)
    [(at, metres)] = steps(time, level, *STEP)
    assert time[at] == minute and metres == pytest.approx(size, abs=0.05)
    assert spikes(time, level, *SPIKE) == {}


@pytest.mark.parametrize(("minute", "first", "last"), [(-600, -780, -480), (-60, -240, -15), (15.5, 3.5, 25.5)])
def test_a_step_is_that_of_least_squares_by_numpy(minute, first, last):
    """A cubic and a step over two hours (ten minutes) and one gap before it and as long after it, fitted alone.

    A gap is 60 min at most in quarter hours and 2 min in finer samples; the coarse side ends at the origin.
    """
    time, level = record(seed=3)
    level = np.where(time >= minute, level + 0.4, level)
    near = (time >= first) & (time <= last)
    t = time[near] - minute
    terms = np.stack([t**0, t, t**2, t**3, t >= 0], axis=1)
    depth = level[near].mean()
    expected = np.linalg.lstsq(terms, level[near] - depth, rcond=None)[0][-1]
    [(at, metres)] = steps(time, level, *STEP)
    assert time[at] == minute and metres == pytest.approx(expected, abs=1e-9)


def test_a_step_in_the_last_ten_minutes_is_not_judged():
    time, level = record()
    level = np.where(time >= 38.5, level + 0.3, level)
    assert steps(time, level, *STEP) == []


@pytest.mark.parametrize("period", [5.0, 6.5, 10.0, 20.0, 40.0])
@pytest.mark.parametrize("arrival", [0.0, 10.3, 30.9, 43.0])
def test_no_sine_of_five_metres_is_a_fault(period, arrival):
    """Five minutes is shorter than what an earthquake makes in deep water; it begins without warning."""
    time, level = record(wave_m=5.0, period_min=period, arrival_min=arrival)
    assert found(time, level) == ({}, [], [])


def raw_levels(folder, buoy):
    read = read_dart_text(folder / f"{buoy}.txt")
    known = np.isfinite(read.level_m)
    return read.time[known], read.level_m[known]


@pytest.mark.parametrize("shaking_m", [0.1, 0.5, 1.5])
def test_nothing_of_a_great_earthquake_is_a_fault(tmp_path, shaking_m):
    """Mw 8.9 to 9.2 with seismic shaking in the first minutes, in 15 s and then 1 min, at any second of the origin."""
    greens = load_greens()
    settings = FakequakeSettings(seismic_wave_m=shaking_m, slip=SlipSettings(mw_min=8.9, mw_max=9.2))
    made = simulate(settings, greens, 6, seed=31)
    highest = 0.0
    for event, run in enumerate(made.ids):
        write_raw_event(tmp_path / run, made, greens, event)
        origin = datetime.fromisoformat(json.loads((tmp_path / run / "event.json").read_text())["origin_time"])
        for buoy in made.buoy_names:
            time, level = raw_levels(tmp_path / run, buoy)
            minutes = (time - origin.timestamp()) / 60
            for window in (5, 15, 45, 120):
                used = (minutes > -1440) & (minutes <= window + 0.5)
                assert found(minutes[used], level[used]) == ({}, [], []), (run, buoy, window)
                highest = max(highest, np.ptp(level[used & (minutes > 0)]))
    assert highest > 2.0


TOHOKU = datetime(2011, 3, 11, 5, 46, 24, tzinfo=UTC)


def spikes_around(time, level, origin):
    """Clock times of all spikes in windows of two hours that begin every half hour of a day."""
    at = set()
    for half_hour in range(-2, 48):
        minutes = (time - origin.timestamp()) / 60 - 30 * half_hour
        used = (minutes > -1440) & (minutes <= 120.5)
        if used.sum() < 20:
            continue
        minutes, window = minutes[used], level[used]
        assert steps(minutes, window, *STEP) == [] and flat_runs(minutes, window, Q.flat_min) == []
        at |= {datetime.fromtimestamp(round(time[used][k]), UTC) for k in spikes(minutes, window, *SPIKE)}
    return at


@pytest.mark.parametrize("buoy", ["21413_5day-03142011", "46404_5day-03132011", "51407_5day-03132011"])
def test_nothing_of_the_tohoku_tsunami_is_a_fault(shared_data, buoy):
    """Whether it lies before the origin or after it, at any minute of a window."""
    read = read_dart_text(shared_data / "dart" / "observed" / f"{buoy}.txt")
    known = np.isfinite(read.level_m)
    assert spikes_around(read.time[known], read.level_m[known], TOHOKU) == set()


def test_at_the_buoy_nearest_to_tohoku_the_spikes_are_those_that_others_left_out(shared_data):
    """21418, crest 1.8 m half an hour after the origin: Geoscience Australia's series of it (swals) lacks five moments.

    Its authors took them out by eye, with a minute or two on each side. These five, and none of the first 90 minutes,
    are the spikes of more than 0.4 m in the six hours of their series.
    """
    observed = shared_data / "dart" / "observed"
    read = read_dart_text(observed / "21418_5day-03132011.txt")
    known = np.isfinite(read.level_m)
    time, level = read.time[known], read.level_m[known]
    minutes = (time - TOHOKU.timestamp()) / 60
    used = (minutes > -1440) & (minutes < 355)
    away = spikes(minutes[used], level[used], *SPIKE)
    large = [round(float(minutes[used][k])) for k, metres in away.items() if abs(metres) > 0.4]
    assert min(round(float(minutes[used][k])) for k in away) > 90
    with open(observed / "swals_21418.csv", newline="") as stream:
        theirs = np.array([float(row[0]) for row in list(csv.reader(stream))[1:]]) / 60
    fine = np.flatnonzero((minutes > 20) & used & (read.kinds[known] > 1))
    missing = [round(m) for m in minutes[fine] if np.abs(theirs - m).min() > 0.5]
    runs = [[m for _, m in group] for _, group in itertools.groupby(enumerate(missing), lambda p: p[1] - p[0])]
    assert len(large) == 5 and [any(m in run for run in runs) for m in large] == [True] * 5, (large, runs)
    assert steps(minutes[used], level[used], *STEP) == [] and flat_runs(minutes[used], level[used], 15.0) == []
