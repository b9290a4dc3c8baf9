"""Windows along records: where they begin and end, and the same samples as if each had been cut out by hand."""

from __future__ import annotations

import numpy as np
import obspy
import pytest
from scipy import signal

from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms import loading
from seis_tf.waveforms.readers import BadRecord, Trace
from seis_tf.waveforms.sliding import windows_along

RATE = 100.0
START = 1_600_000_000 * 10**9


def trace(samples: np.ndarray, *, rate: float = RATE, start_ns: int = START) -> Trace:
    return Trace(samples, rate, "XX.A..HHZ", start_ns)


def noise(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1000, size) + np.linspace(0, 5000, size)


def along(items, settings: RecordSettings, slide_s: float, rate: float = RATE):
    """All windows of all blocks: per window record, start, time, and samples (None) or reason (None)."""
    found = []
    for block in windows_along(items, settings, rate, slide_s):
        row_of = {int(position): row for row, position in enumerate(block.kept)}
        for position in range(len(block.start_s)):
            row = row_of.get(position)
            samples = None if row is None else block.samples[row]
            start_s, start_ns = float(block.start_s[position]), int(block.start_ns[position])
            found.append((block.record, start_s, start_ns, samples, block.reasons.get(position)))
    return found


def test_the_first_window_begins_the_record_and_the_last_one_ends_it():
    # 1,050 samples, windows of 200, a step of 150: 0, 150, ... 750; the last begins at 850.
    found = along([[trace(noise(1050))]], RecordSettings(length_samples=200), 1.5)
    assert [start_s for _, start_s, *_ in found] == [0, 1.5, 3, 4.5, 6, 7.5, 8.5]
    assert [time - START for _, _, time, *_ in found] == [round(s * 1e9) for s in (0, 1.5, 3, 4.5, 6, 7.5, 8.5)]
    # Where the steps end there by themselves the last window is not given twice.
    assert len(along([[trace(noise(800))]], RecordSettings(length_samples=200), 1.5)) == 5
    assert len(along([[trace(noise(200))]], RecordSettings(length_samples=200), 1.5)) == 1


def test_a_window_is_what_stage_1_makes_of_the_record_cut_there():
    samples, settings = noise(3000), RecordSettings(length_samples=500, anchor="center")
    found = along([[trace(samples)]], settings, 0.33)
    assert len(found) == 1 + -(-2500 // 33)
    for _, start_s, _, window, _ in found:
        first = round(start_s * RATE)
        header = {"sampling_rate": RATE}
        cut = obspy.Stream([obspy.Trace(samples[first : first + 500].copy(), header)])
        np.testing.assert_array_equal(window, loading.from_stream(cut, settings, RATE).samples[0])


def test_filters_see_the_whole_trace():
    samples = noise(3000)
    settings = RecordSettings(length_samples=500, bandpass_hz=(2, 15), bandpass_order=3)
    sections = signal.butter(3, (2, 15), "bandpass", fs=RATE, output="sos")
    whole = signal.sosfiltfilt(sections, samples, padlen=3 * (2 * len(sections) + 1))
    for _, start_s, _, window, _ in along([[trace(samples)]], settings, 2.0):
        expected = signal.detrend(whole[round(start_s * RATE) :][:500])
        np.testing.assert_allclose(window, expected, atol=1e-6 * np.abs(expected).max())


def test_resampled_records_keep_their_times():
    samples = noise(3000)
    settings = RecordSettings(length_samples=500, resample_hz=50.0)
    found = along([[trace(samples)]], settings, 4.0, rate=50.0)
    whole = signal.resample_poly(samples, 1, 2, padtype="line")
    assert [start_s for _, start_s, *_ in found] == [0, 4, 8, 12, 16, 20]
    expected = signal.detrend(whole[400:900])
    np.testing.assert_allclose(found[2][3], expected, atol=1e-6 * np.abs(expected).max())
    assert found[2][2] == START + 8 * 10**9


def test_each_piece_has_its_own_windows_and_gaps_are_never_bridged():
    # A piece of 350 samples, a gap of 10 s, one of 150 (too short for a window), a gap, one of 200.
    pieces = [trace(noise(350))]
    pieces += [trace(noise(150), start_ns=START + 20 * 10**9), trace(noise(200), start_ns=START + 40 * 10**9)]
    found = along([pieces], RecordSettings(length_samples=200), 1.0)
    assert [(start_s, reason) for _, start_s, _, _, reason in found] == [
        (0, None),
        (1, None),
        (1.5, None),
        (20, "expected at least 200 samples without a gap, received 150"),
        (40, None),
    ]
    assert found[3][2] == START + 20 * 10**9


def test_a_bad_window_spoils_no_other_and_a_bad_record_no_other():
    samples = noise(1000)
    samples[450] = np.nan
    samples[600:900] = 7.0
    good = [trace(noise(300))]
    items = [[trace(samples)], BadRecord("expected a waveform file, received an empty file"), good]
    found = along(items, RecordSettings(length_samples=200), 2.0)
    assert [(record, start_s) for record, start_s, *_ in found if record != 1] == [
        *((0, s) for s in (0, 2, 4, 6, 8)),
        *((2, s) for s in (0, 1)),
    ]
    reasons = [reason for _, _, _, _, reason in found]
    assert reasons[2] == "expected finite samples, received nan at sample 50"
    assert reasons[3] == "expected a trace that varies, received 200 samples of 7"
    assert np.isnan(found[5][1]) and reasons[5] == "expected a waveform file, received an empty file"
    assert [reasons[i] for i in (0, 1, 4, 6, 7)] == [None] * 5


def test_records_are_read_when_their_turn_comes_and_blocks_are_bounded():
    read = []

    def items():
        for number in range(3):
            read.append(number)
            yield [trace(noise(5000, number))]

    blocks = windows_along(items(), RecordSettings(length_samples=100), RATE, 0.05)
    sizes = []
    for block in blocks:
        assert read[-1] == block.record
        sizes.append(len(block.start_s))
    # (5000 - 100) / 5 + 1 = 981 windows a record, none of them in a block of more than 128.
    assert sum(sizes) == 3 * 981 and max(sizes) == loading.BLOCK_RECORDS


def test_times_are_exact_at_10_mhz():
    found = along([[trace(noise(1024), rate=1e7)]], RecordSettings(length_samples=256), 1e-5, rate=1e7)
    assert [time - START for _, _, time, *_ in found] == [0, *range(10_000, 80_000, 10_000), 76_800]


@pytest.mark.parametrize("slide_s", [0.0, -1.0, 0.004, 2.1, float("nan")])
def test_a_step_that_skips_samples_or_goes_nowhere_is_refused(slide_s):
    message = "slide: expected a step from one sample, 0.01 s, to one window, 2 s, received"
    with pytest.raises(ValueError, match=message):
        list(windows_along([], RecordSettings(length_samples=200), RATE, slide_s))
