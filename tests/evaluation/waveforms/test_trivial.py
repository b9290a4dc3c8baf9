"""Trivial predictors on records whose classes differ in exactly one known way."""

from __future__ import annotations

import numpy as np
import pytest

from seis_tf.evaluation.waveforms import trivial

FREQUENCIES = np.linspace(0, 5e6, 65)
NAMES = ("AE", "UP", "noise")


def records(seed: int, *, peaks=(1.0, 1.0, 1.0), slopes=(0.0, 0.0, 0.0), count: int = 120) -> dict[str, np.ndarray]:
    """Log spectrograms with a class's own slope over frequency, and log-normal peaks about a class's own."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    axis = np.linspace(-1, 1, 65)[None, :, None]
    power = rng.normal(size=(count, 65, 10)) * 0.5 + np.array(slopes)[labels][:, None, None] * axis
    peak = np.array(peaks)[labels] * 10 ** (0.1 * rng.normal(size=count))
    return {"spectrogram": power.astype("f4"), "peak_amplitude": peak.astype("f4"), "label": labels}


def scored(predictors, columns):
    return {p.name: float(np.mean(p.predict(columns) == columns["label"])) for p in predictors}


def fit(columns):
    return trivial.fit_all(columns, np.arange(90), NAMES, FREQUENCIES, True)


def test_amplitude_alone_is_found_when_it_separates_and_not_otherwise():
    # Peaks a decade apart with a deviation of 0.1 decades: the thresholds half-way are five deviations off.
    train, test = (records(seed, peaks=(1.0, 10.0, 100.0)) for seed in (0, 1))
    found = scored(fit(train), test)
    assert found["peak amplitude"] == 1.0
    assert found["band ratio"] < 0.6
    same = scored(fit(records(0)), records(1))
    assert same["peak amplitude"] < 0.6


def test_the_band_ratio_finds_a_slope_of_the_spectrum():
    train, test = (records(seed, slopes=(-1.0, 0.0, 1.0)) for seed in (0, 1))
    found = scored(fit(train), test)
    assert found["band ratio"] > 0.95
    assert found["linear"] > 0.95
    assert found["peak amplitude"] < 0.6


def test_a_class_between_two_others_has_its_own_interval():
    """One threshold can't part three classes; the words name all thresholds in order."""
    predictor = fit(records(0, peaks=(10.0, 1.0, 100.0)))[1]
    assert predictor.name == "peak amplitude"
    words = predictor.about.split(": ")[1].split()
    assert words[::4] == ["UP", "AE", "noise."]
    # Half-way between log10 peaks of 0, 1 and 2.
    assert [float(words[2]), float(words[6])] == pytest.approx([0.5, 1.5], abs=0.15)


def test_the_largest_class_is_that_of_the_training_records():
    columns = records(0)
    columns["label"] = np.r_[np.ones(50, int), np.zeros(30, int), np.full(40, 2)]
    predictor = trivial.fit_all(columns, np.arange(90), NAMES, FREQUENCIES, True)[0]
    assert predictor.predict(columns).tolist() == [1] * 120
    assert "UP" in predictor.about


def test_only_training_records_count():
    columns = records(0, peaks=(1.0, 10.0, 100.0))
    before = fit(columns)[1].about
    columns["peak_amplitude"][90:] *= 1e6
    columns["label"][90:] = 0
    assert fit(columns)[1].about == before


def test_records_without_waveforms_have_no_peak():
    columns = records(0) | {"peak_amplitude": np.zeros(120, "f4")}
    assert [p.name for p in fit(columns)] == ["largest class", "band ratio", "linear"]


def test_band_amplitude_is_the_mean_root_of_power():
    power = np.array([[[1.0, 4.0], [9.0, 16.0], [25.0, 36.0]]])
    assert trivial.band_amplitude(power, (1, 3), log_power=False) == pytest.approx([(3 + 4 + 5 + 6) / 4])
    assert trivial.band_amplitude(np.log10(power), (0, 1), log_power=True) == pytest.approx([1.5])


def test_bands_are_named_in_a_readable_unit():
    assert trivial.band_text((1, 9), FREQUENCIES) == "0.0781 to 0.625 MHz"
    assert trivial.band_text((0, 3), np.linspace(0, 50, 65)) == "0 to 1.56 Hz"
