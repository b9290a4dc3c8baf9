"""Spectrograms: NumPy version and Keras layer against `scipy.signal.spectrogram` over many settings."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from seis_tf.settings.data import SpectrogramSettings
from seis_tf.waveforms.layers import Spectrogram, Standardise
from seis_tf.waveforms.spectrograms import axes, power_spectrum, spectrograms, standardise

SCIPY_WINDOWS = {"tukey": ("tukey", 0.25), "hann": "hann", "hamming": "hamming", "boxcar": "boxcar"}


def scipy_power(waveforms, chosen: SpectrogramSettings, rate_hz: float):
    """Power [record, frequency, time] in float64, and its axes."""
    frequencies, times, power = signal.spectrogram(
        waveforms.astype(np.float64),
        rate_hz,
        window=SCIPY_WINDOWS[chosen.window],
        nperseg=chosen.nperseg,
        noverlap=chosen.noverlap,
        nfft=chosen.nfft,
        detrend=False if chosen.detrend == "none" else chosen.detrend,
        scaling=chosen.scaling,
    )
    return frequencies, times, power


@st.composite
def cases(draw):
    nperseg = draw(st.integers(2, 90))
    chosen = SpectrogramSettings(
        nperseg=nperseg,
        noverlap=draw(st.integers(0, nperseg - 1)),
        nfft=nperseg + draw(st.integers(0, 60)),
        window=draw(st.sampled_from(sorted(SCIPY_WINDOWS))),
        # A line through two or three points leaves next to nothing, and that is rounding in both.
        detrend=draw(st.sampled_from(["constant", "none", "linear"] if nperseg > 3 else ["constant", "none"])),
        scaling=draw(st.sampled_from(["density", "spectrum"])),
        log=False,
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_samples = nperseg + draw(st.integers(0, 200))
    scale = 10.0 ** draw(st.integers(-9, 9))
    offset = scale * draw(st.sampled_from([0.0, 30.0]))
    waveforms = scale * random.normal(size=(draw(st.integers(1, 3)), n_samples)).cumsum(axis=1) + offset
    return waveforms.astype(np.float32), chosen, draw(st.sampled_from([1e7, 100.0, 40.0, 1.0]))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_linear_power_is_scipys(case):
    waveforms, chosen, rate_hz = case
    frequencies, times, expected = scipy_power(waveforms, chosen, rate_hz)
    received = spectrograms(waveforms, chosen, rate_hz)
    assert received.shape[1:] == chosen.shape(waveforms.shape[1])
    largest = expected.max(axis=(1, 2), keepdims=True)
    assert (np.abs(received - expected) <= 1e-5 * largest).all()
    for ours, theirs in zip(axes(chosen, waveforms.shape[1], rate_hz), (frequencies, times), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(cases())
def test_the_layer_is_scipys(case):
    waveforms, chosen, rate_hz = case
    expected = scipy_power(waveforms, chosen, rate_hz)[2]
    received = Spectrogram(chosen, rate_hz)(tf.constant(waveforms)).numpy()
    assert received.shape == expected.shape
    assert (np.abs(received - expected) <= 1e-5 * expected.max(axis=(1, 2), keepdims=True)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["tukey", "hann"]), st.sampled_from([1e-6, 1e-8]))
def test_log_power_is_scipys_above_the_floor(seed, window, floor):
    random = np.random.default_rng(seed)
    # A decaying burst over noise: five decades of power in one record, as labquakes have.
    envelope = 1 + 300 * np.exp(-np.maximum(np.arange(300) - 100, 0) / 20) * (np.arange(300) >= 100)
    waveforms = (envelope * random.normal(size=(2, 300))).astype(np.float32)
    chosen = SpectrogramSettings(window=window, log_floor=floor)
    power = scipy_power(waveforms, chosen, 1e7)[2]
    expected = np.log10(np.maximum(power, floor * power.max(axis=(1, 2), keepdims=True)))
    for received in (
        spectrograms(waveforms, chosen, 1e7),
        Spectrogram(chosen, 1e7)(tf.constant(waveforms)).numpy(),
    ):
        assert np.abs(received - expected).max() < 2e-3


def test_the_default_shape_and_a_tone_in_its_place():
    # 65 x 101 for 1024 samples; a 1.25 MHz tone at 10 MHz is in bin 16 of 128 (16 * 10e6 / 128 = 1.25e6).
    tone = np.sin(2 * np.pi * 1.25e6 / 1e7 * np.arange(1024))[None].astype(np.float32)
    power = spectrograms(tone, SpectrogramSettings(), 1e7)[0]
    assert power.shape == (65, 101)
    assert (power.argmax(axis=0) == 16).all()
    frequencies, times = axes(SpectrogramSettings(), 1024, 1e7)
    assert frequencies[16] == 1.25e6
    # The first frame's centre is sample 10, the frames are 10 samples apart.
    np.testing.assert_allclose(times[:3], [1e-6, 2e-6, 3e-6])


def test_density_and_spectrum_have_their_meaning():
    # A sine of amplitude 3 has a mean square of 4.5: what the bin of its frequency shows with scaling "spectrum".
    sine = (3 * np.sin(2 * np.pi * 0.25 * np.arange(64)))[None].astype(np.float32)
    common = {"nperseg": 64, "noverlap": 0, "nfft": 64, "window": "boxcar", "log": False}
    assert spectrograms(sine, SpectrogramSettings(scaling="spectrum", **common), 50.0)[0, 16, 0] == pytest.approx(4.5)
    # Density is that over the bin's width, 50 Hz / 64.
    density = spectrograms(sine, SpectrogramSettings(scaling="density", **common), 50.0)
    assert density[0, 16, 0] == pytest.approx(4.5 * 64 / 50)


def test_a_record_does_not_depend_on_its_company():
    waveforms = np.random.default_rng(1).normal(size=(40, 200)).astype(np.float32)
    together = spectrograms(waveforms, SpectrogramSettings(), 100.0)
    alone = np.concatenate([spectrograms(w[None], SpectrogramSettings(), 100.0) for w in waveforms])
    np.testing.assert_array_equal(together, alone)
    assert spectrograms(waveforms[:0], SpectrogramSettings(), 100.0).shape == (0, *together.shape[1:])


def test_the_result_is_put_where_it_is_wanted():
    records = np.random.default_rng(2).normal(size=(20, 300))
    expected = spectrograms(records, SpectrogramSettings(), 1e6)
    out = np.full(expected.shape, np.nan, np.float32)
    assert spectrograms(records, SpectrogramSettings(), 1e6, out) is out
    np.testing.assert_array_equal(out, expected)
    for wrong in (out[1:], out.astype(np.float64)):
        with pytest.raises(ValueError, match=r"out: expected float32 \(20, 65, 29\), received float"):
            spectrograms(records, SpectrogramSettings(), 1e6, wrong)


def test_a_silent_record_has_finite_logs():
    for quiet in (np.zeros((1, 100)), np.full((1, 100), 1e-25)):
        power = spectrograms(quiet, SpectrogramSettings(), 100.0)
        layer = Spectrogram(SpectrogramSettings(), 100.0)(tf.constant(quiet, tf.float32))
        assert np.isfinite(power).all() and np.isfinite(layer).all()


def test_a_record_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="at least nperseg 20 samples, received 19"):
        spectrograms(np.zeros((1, 19)), SpectrogramSettings(), 100.0)


def test_the_layer_comes_back_from_its_configuration():
    chosen = SpectrogramSettings(nperseg=16, noverlap=3, nfft=16, window="hann")
    layer = Spectrogram(chosen, 40.0)
    again = Spectrogram.from_config(layer.get_config())
    assert (again.settings, again.sampling_rate_hz) == (chosen, 40.0)


def test_standardised_records_have_mean_zero_and_deviation_one():
    power = np.random.default_rng(2).normal(-7, 3, (4, 8, 9)).astype(np.float32)
    power[3] = 5.0  # a record without variation has no deviation to divide by
    received = standardise(power)
    np.testing.assert_allclose(received[:3].mean(axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(received[:3].std(axis=(1, 2)), 1, atol=1e-6)
    np.testing.assert_array_equal(received[3], 0)
    np.testing.assert_allclose(Standardise("record")(power), received, atol=1e-6)


def test_standardising_by_data_set_uses_what_it_is_given():
    power = np.random.default_rng(2).normal(size=(2, 3, 4)).astype(np.float32)
    layer = Standardise("dataset", [1.0, 2.0, 3.0], [2.0, 0.5, 0.0])
    expected = (power - np.array([1, 2, 3])[:, None]) / np.array([2, 0.5, np.inf])[:, None]
    np.testing.assert_allclose(layer(power), expected, atol=1e-6)
    np.testing.assert_allclose(Standardise.from_config(layer.get_config())(power), expected, atol=1e-6)
    np.testing.assert_array_equal(Standardise("none")(power), power)


def test_standardising_without_statistics_or_with_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="expected mean and std per frequency, received none"):
        Standardise("dataset")
    with pytest.raises(ValueError, match="expected record, dataset or none, received 'batch'"):
        Standardise("batch")


def test_amplitude_spectrum_of_a_tone():
    # |X| of a cosine of amplitude 2 over 10 s: 2 / 2 * 10 s, less what a 10 % cosine taper takes away (5 % of the sum).
    rate_hz, n = 100.0, 1000
    frequencies, amplitude = power_spectrum(2 * np.cos(2 * np.pi * 5 * np.arange(n) / rate_hz)[None], rate_hz)
    assert frequencies[amplitude[0].argmax()] == 5.0
    assert amplitude.max() == pytest.approx(9.5, rel=0.01)
