"""Whether a record holds enough for an answer: by hand, on simulated events and noise, and in the graph as in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dart import enough
from seis_tf.dart.unit_sources import load_greens
from seis_tf.serve.export import enough_graph
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import AnswerSettings
from seis_tf.synthetic.fakequakes import disturbances, generators, simulate

LIMITS = AnswerSettings()
BUOYS = ("46404", "46407", "46419")


def some(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows of 20 minutes at 3 buoys about the thresholds, with gaps of all sizes; two have a whole buoy missing."""
    random = np.random.default_rng(seed)
    level = random.normal(size=(count, 20, 3)) * random.uniform(0.003, 0.015, (count, 1, 1)) + random.normal(size=3)
    mask = random.random((count, 20, 3)) < random.choice([0.3, 0.5, 0.9, 0.95, 1], (count, 1, 1))
    mask[0] = mask[1, :, 0] = False
    return np.where(mask, level, 0).astype(np.float32), mask


def test_the_signal_is_the_deviation_about_each_buoys_own_mean():
    level = np.zeros((4, 3))
    level[:, 0] = 5, 7, 5, 7  # mean 6: four squares of 1
    level[0, 1] = 100.0  # a single sample says nothing about deviations, and what is masked counts nowhere
    mask = np.zeros((4, 3), bool)
    mask[:, 0] = mask[0, 1] = True
    # 5 samples, 2 means were fitted: sqrt(4 / 3)
    assert enough.signal_m(level, mask) == pytest.approx(np.sqrt(4 / 3))
    assert enough.signal_m(level, np.zeros((4, 3), bool)) == 0
    assert enough.samples_part(mask) == 5 / 12


def test_the_signal_of_noise_is_its_standard_deviation_however_many_samples_are_lost():
    random = np.random.default_rng(1)
    level = 0.006 * random.normal(size=(2000, 45, 3)) + 3
    for part in (1.0, 0.5, 0.1):
        squares = enough.signal_m(level, random.random(level.shape) < part) ** 2
        assert np.sqrt(squares.mean()) == pytest.approx(0.006, rel=0.02)


def test_records_without_a_wave_hold_too_little_and_those_of_large_earthquakes_enough():
    greens, settings = load_greens(), FakequakeSettings()
    events = simulate(settings, greens, 100, seed=3)
    noise = np.stack(
        [disturbances(settings, greens, events.weights_m[0], np.arange(1, 46), generators(1, i)) for i in range(300)]
    )
    everything = np.ones((300, 45, 3), bool)
    assert not enough.enough_signal(noise, everything, LIMITS).any()
    window = events.windows_m[:, :45]
    found = enough.enough_signal(window, np.isfinite(window), LIMITS)
    assert found[events.mw > 8].all() and 0.8 < found.mean() < 1


def test_the_graph_decides_as_numpy_does():
    level, mask = some(200)
    there = tf.constant(mask)
    counts = enough_graph.sample_counts(there)
    assert np.array_equal(counts, mask.sum(axis=1))
    received = enough_graph.signal_m(tf.constant(level), there, counts).numpy()
    assert received == pytest.approx(enough.signal_m(level, mask), abs=1e-6)
    for limits in (LIMITS, AnswerSettings(min_samples=0, max_missing=1), AnswerSettings(min_samples=1, max_missing=0)):
        samples = enough_graph.enough_samples(counts, 20, limits).numpy()
        assert np.array_equal(samples, enough.enough_samples(mask, limits)) and samples.any() and not samples.all()
        complete = enough_graph.complete(counts, 20, limits).numpy()
        assert np.array_equal(complete, enough.complete(mask, limits)) and complete.any() and not complete.all()


def test_thresholds_are_met_by_what_is_exactly_so_much():
    mask = np.ones((20, 3), bool)
    mask[:6, 0] = False  # 6 of 60 missing: a tenth
    assert enough.complete(mask, LIMITS)
    mask[6, 0] = False
    assert not enough.complete(mask, LIMITS)
    mask[:10] = False
    assert enough.enough_samples(mask | (np.arange(20) >= 10)[:, None], LIMITS)  # half
    mask[10, 0] = False
    assert not enough.enough_samples(mask, LIMITS)


def test_reasons_are_words_and_numbers():
    level, mask = np.zeros((45, 3)), np.zeros((45, 3), bool)
    mask[:3, 0] = True
    assert enough.why_no_magnitude(level, mask, 8.0, LIMITS) == (
        "not enough samples: expected at least 50 % of the window, received 3 of 135 samples (2 %)"
    )
    mask[:] = True
    level[::2] = 0.01  # 23 of 10 mm, 22 of 0 mm a buoy: sqrt(3 * 100 * 23 * 22 / 45 / 132) = 5.0558 mm
    assert enough.why_no_magnitude(level, mask, 8.0, LIMITS) == (
        "not enough signal: expected at least 7 mm about each buoy's mean (rms), received 5.1 mm"
    )
    assert enough.why_no_magnitude(2 * level, mask, 0.0, LIMITS) == enough.NO_SLIP
    assert enough.why_no_magnitude(2 * level, mask, 8.0, LIMITS) == enough.why_no_intervals(mask, BUOYS, LIMITS) == ""
    mask[:18, 1] = False
    why = "is missing, and they were not calibrated for that"
    expected = f"no intervals: more than 10 % of the window {why} (13 %)"
    assert enough.why_no_intervals(mask, BUOYS, LIMITS) == expected
    mask[:, [0, 1]] = False
    assert enough.why_no_intervals(mask, BUOYS, LIMITS) == f"no intervals: a buoy {why} (46404, 46407)"


def test_answers_with_intervals_have_slip_samples_and_signal():
    level, mask = np.zeros((4, 45, 3)), np.ones((4, 45, 3), bool)
    level[:, ::2] = 0.1
    mw = np.array([8.0, 0.0, 8.0, 8.0])
    mask[2, :, 1] = False
    level[3] *= 0.01
    assert enough.has_intervals(level, mask, mw, LIMITS).tolist() == [True, False, False, False]
    lax = AnswerSettings(min_signal_m=0)
    assert enough.has_intervals(level, mask, mw, lax).tolist() == [True, False, False, True]
