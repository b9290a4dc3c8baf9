"""Records become waveforms as SciPy and ObsPy would make them, one by one; what is bad is named, and stops nothing."""

from __future__ import annotations

import functools
import hashlib
import itertools
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy.core.inventory import Channel, Inventory, Network, Response, Station
from pymseed import DataEncoding, MS3Record
from scipy import signal

from seis_tf.settings import data
from seis_tf.waveforms.loading import (
    common_sampling_rate,
    from_stream,
    is_clipped,
    load_batch,
    read_traces,
    signal_to_noise_db,
)
from seis_tf.waveforms.source_record import SourceRecord
from seis_tf.waveforms.windows import find_onset

# Windows of 1,024 samples, where a test doesn't say otherwise.
RecordSettings = functools.partial(data.RecordSettings, length_samples=1024)
RATE = 100.0
START = 1_600_000_000 * 10**9  # a whole second


def noise(size: int = 1200, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1000, size).astype(np.int32)


def records_of(
    samples: np.ndarray, *, rate: float = RATE, start_ns: int = START, sid: str = "FDSN:XX_A__H_H_Z"
) -> bytes:
    """miniSEED 3 (times in ns), Steim 2 for integers."""
    record = MS3Record()
    record.sourceid, record.samprate, record.starttime, record.reclen = sid, rate, start_ns, 512
    kind = {"int32": "i", "float32": "f", "float64": "d"}[samples.dtype.name]
    record.encoding = {"i": DataEncoding.STEIM2, "f": DataEncoding.FLOAT32, "d": DataEncoding.FLOAT64}[kind]
    return b"".join(record.generate(samples, kind))


def one(path: Path, content: bytes | None = None) -> SourceRecord:
    if content is not None:
        path.write_bytes(content)
    return SourceRecord(str(path), "class", "group", path.name, "")


def stream_of(samples: np.ndarray, *, rate: float = RATE, seed_id: str = "XX.A..HHZ") -> obspy.Stream:
    header = dict(zip(("network", "station", "location", "channel"), seed_id.split("."), strict=True))
    return obspy.Stream(
        obspy.Trace(samples, {**header, "sampling_rate": rate, "starttime": obspy.UTCDateTime(ns=START)})
    )


def reason(tmp_path: Path, content: bytes, rate: float = RATE, **settings) -> str:
    """Why a file is rejected (alone in its batch)."""
    result = load_batch([one(tmp_path / "bad.mseed", content)], RecordSettings(**settings), rate)
    assert result.samples.shape == (0, result.samples.shape[1])
    assert [rejection.file for rejection in result.rejected] == ["bad.mseed"]
    return result.rejected[0].reason


# length, anchor, detrending


@pytest.mark.parametrize("detrend", ["linear", "constant", "none"])
@pytest.mark.parametrize("anchor", ["start", "center"])
def test_cut_and_detrended_as_scipy_does_one_by_one(tmp_path, detrend, anchor):
    # 150 records: more than one block. A slope and an offset of 1e8 counts, of which float32 would lose the signal.
    sizes = np.random.default_rng(1).integers(1024, 1200, 150)
    traces = [noise(size, seed) + 10 * np.arange(size, dtype=np.int32) + 10**8 for seed, size in enumerate(sizes)]
    records = [one(tmp_path / f"{i}.mseed", records_of(samples)) for i, samples in enumerate(traces)]
    result = load_batch(records, RecordSettings(anchor=anchor, detrend=detrend), RATE)
    assert result.samples.dtype == np.float32 and result.samples.shape == (150, 1024)
    assert result.rejected == [] and np.array_equal(result.kept, np.arange(150))
    for row, peak, samples in zip(result.samples, result.peak_amplitude, traces, strict=True):
        first = (samples.size - 1024) // 2 if anchor == "center" else 0
        window = samples[first : first + 1024].astype(float)
        expected = window if detrend == "none" else signal.detrend(window, type=detrend)
        assert np.allclose(row, expected, rtol=1e-6, atol=1e-3)
        assert peak == pytest.approx(np.abs(expected).max(), rel=1e-6)


def test_records_do_not_change_with_their_neighbours(tmp_path):
    records = [one(tmp_path / f"{i}.mseed", records_of(noise(seed=i))) for i in range(5)]
    settings = RecordSettings(bandpass_hz=(1, 20), anchor="center")
    together = load_batch(records, settings, RATE)
    for i, record in enumerate(records):
        alone = load_batch([record], settings, RATE)
        assert np.array_equal(alone.samples[0], together.samples[i])
        assert alone.snr_db[0] == together.snr_db[i] and alone.content_hash[0] == together.content_hash[i]


def test_no_records_give_no_waveforms():
    result = load_batch([], RecordSettings(), RATE)
    assert result.samples.shape == (0, 1024) and result.content_hash == [] and result.kept.dtype == np.int64


# bad records


def test_bad_records_are_named_and_the_good_ones_go_on(tmp_path):
    good = records_of(noise())
    contents = [good, b"", good[:-1], good, b"hello", good + b"\0" * 512]
    records = [one(tmp_path / f"{i}.mseed", content) for i, content in enumerate(contents)]
    records.append(one(tmp_path / "gone.mseed"))
    result = load_batch(records, RecordSettings(), RATE)
    assert result.kept.tolist() == [0, 3]
    assert [r.file for r in result.rejected] == ["1.mseed", "2.mseed", "4.mseed", "5.mseed", "gone.mseed"]
    assert all(r.reason.startswith("expected ") and ", received " in r.reason for r in result.rejected)


@pytest.mark.parametrize("kept", [1, 30, 47, 100, 511, 513, 1000, -1])
def test_a_truncated_file_is_never_used(tmp_path, kept):
    content = records_of(noise(2000))
    assert len(content) > 2048
    text = reason(tmp_path, content[:kept], length_samples=16)
    assert text.startswith("expected") and "received" in text
    if len(content[:kept]) >= 513:
        assert "expected whole miniSEED records, received a cut-off one" in text


def test_other_bytes_after_the_records_are_refused(tmp_path):
    content = records_of(noise(300))
    assert f"received other bytes at byte {len(content)}" in reason(tmp_path, content + b"\0" * 512, length_samples=200)
    assert "received a cut-off one (3 unparsed bytes)" in reason(tmp_path, content + b"end", length_samples=200)


def test_a_flipped_bit_is_noticed(tmp_path):
    content = bytearray(records_of(noise()))
    content[200] ^= 1
    # miniSEED 3 has a CRC.
    assert (
        reason(tmp_path, bytes(content)) == "expected whole miniSEED records, received Invalid CRC detected at byte 0"
    )
    # miniSEED 2 has none, but Steim's last sample is stored twice; libmseed itself only warns.
    stream_of(noise(200)).write(str(tmp_path / "two.mseed"), "MSEED", encoding="STEIM2", reclen=4096)
    content = bytearray((tmp_path / "two.mseed").read_bytes())
    content[200] ^= 1
    text = reason(tmp_path, bytes(content), length_samples=200)
    assert "expected samples that agree with the record's check value" in text and "integrity check" in text


def test_a_file_of_no_format_and_an_empty_one(tmp_path):
    assert reason(tmp_path, b"") == "expected a waveform file, received an empty file"
    text = reason(tmp_path, b"# notes on the experiment\n" * 9)
    assert text.startswith("expected miniSEED, SAC, GSE2, SEG-Y or SEG-2 ")
    assert "received bytes that begin b'# notes on the e' (--any-format" in text


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    content = pickle.dumps(["obspy.core.stream", Trap()], protocol=0)
    assert "received a pickled Stream" in reason(tmp_path, content)
    # Without the word that ObsPy looks for it is no format at all.
    assert "expected miniSEED, SAC" in reason(tmp_path, pickle.dumps(Trap()))
    for protocol in (0, 4):
        (tmp_path / "x").write_bytes(pickle.dumps(["obspy.core.stream", Trap()], protocol))
        with pytest.raises(ValueError, match="received a pickled Stream"):
            read_traces(tmp_path / "x", any_format=True)
    assert not (tmp_path / "sprung").exists()


def test_a_name_is_no_pattern(tmp_path):
    # obspy.read expands * ? [ ]: it would read another file, or none.
    stream_of(noise().astype(np.float32)).write(str(tmp_path / "a[1].sac"), "SAC")
    (tmp_path / "a1.sac").write_bytes(b"other")
    assert load_batch([one(tmp_path / "a[1].sac")], RecordSettings(), RATE).kept.tolist() == [0]


def test_the_wrong_rate_and_too_few_samples_are_given_with_both_numbers(tmp_path):
    assert reason(tmp_path, records_of(noise(), rate=50.0)) == "expected 100 Hz, received 50 Hz"
    assert reason(tmp_path, records_of(noise(900))) == "expected at least 1024 samples, received 900"


@pytest.mark.parametrize(
    ("rate", "length", "good"), [(99.99971, 4000, True), (99.98, 4000, False), (100.02, 1024, False)]
)
def test_rates_may_differ_by_less_than_half_a_sample_over_the_window(tmp_path, rate, length, good):
    # 4000 x 2.9e-6 = 0.012 samples; 4000 x 2e-4 = 0.8; 1024 x 2e-4 = 0.2, but beyond the 1e-4 that any rate may be off.
    record = one(tmp_path / "a.mseed", records_of(noise(4100), rate=rate))
    assert bool(len(load_batch([record], RecordSettings(length_samples=length), RATE).kept)) is good


def test_a_gap_in_the_window_is_refused_and_one_outside_is_not(tmp_path):
    # 300 samples, 5 missing, 1000 samples: the middle 1000 of 1305 begin at 152; from 305 on all is there.
    content = records_of(noise(300)) + records_of(noise(1000, 1), start_ns=START + 3_050_000_000)
    text = "expected 1000 samples without a gap from sample 0, received 2 pieces of 300, 1000 samples"
    assert reason(tmp_path, content, length_samples=1000) == text
    assert "from sample 152" in reason(tmp_path, content, length_samples=1000, anchor="center")
    record = one(tmp_path / "a.mseed")
    Path(record.path).write_bytes(content)
    start = load_batch([record], RecordSettings(length_samples=300, detrend="none"), RATE)
    assert np.array_equal(start.samples[0], noise(300))
    center = load_batch([record], RecordSettings(length_samples=600, detrend="none", anchor="center"), RATE)
    # (1305 - 600) // 2 = 352 from the first sample, 47 into the second piece.
    assert np.array_equal(center.samples[0], noise(1000, 1)[47:647])


def test_overlapping_pieces_and_several_traces_are_refused(tmp_path):
    content = records_of(noise(600)) + records_of(noise(600, 1), start_ns=START + 5_000_000_000)
    assert reason(tmp_path, content) == "expected pieces one after the other, received an overlap of 1 s"
    assert "received an overlap of" in reason(tmp_path, records_of(noise(600)) * 2)
    content = records_of(noise()) + records_of(noise(), sid="FDSN:XX_A_10_H_H_Z")
    assert reason(tmp_path, content) == "expected one trace, received 2: XX.A..HHZ, XX.A.10.HHZ"
    content = records_of(noise(600)) + records_of(noise(600), start_ns=START + 6_000_000_000, rate=50.0)
    assert reason(tmp_path, content) == "expected one sampling rate, received 50, 100 Hz"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("band", [None, (1, 20)])
def test_samples_that_are_no_numbers_are_given_with_their_place(tmp_path, value, band):
    samples = noise().astype(np.float32)
    samples[17] = value
    assert (
        reason(tmp_path, records_of(samples), bandpass_hz=band)
        == f"expected finite samples, received {value} at sample 17"
    )


def test_samples_outside_the_window_matter_only_to_filters(tmp_path):
    samples = noise().astype(np.float32)
    samples[1150] = np.nan
    record = one(tmp_path / "a", records_of(samples))
    assert load_batch([record], RecordSettings(), RATE).kept.tolist() == [0]
    [rejection] = load_batch([record], RecordSettings(bandpass_hz=(1, 20)), RATE).rejected
    assert rejection.reason == "expected finite samples, received nan at sample 1150"


def test_a_trace_that_never_changes_is_refused(tmp_path):
    assert (
        reason(tmp_path, records_of(np.full(1024, 7, np.int32)))
        == "expected a trace that varies, received 1024 samples of 7"
    )
    # 0.1 is no binary fraction: detrending leaves rounding, some 1e-14.
    ramp = 0.1 * np.arange(2048) + 3
    text = "expected a trace that varies, received a straight line from 3 to 105.3"
    assert reason(tmp_path, records_of(ramp)) == text
    # Ringing of the filter doesn't bring a dead trace to life.
    step = np.r_[np.zeros(1100, np.int32), noise(900)]
    assert "received 1024 samples of 0" in reason(tmp_path, records_of(step), bandpass_hz=(1, 20))


@pytest.mark.parametrize("factor", [1e300, 1e-60])
def test_amplitudes_that_float32_cannot_hold_are_refused(tmp_path, factor):
    assert "expected amplitudes that 32-bit floats hold" in reason(tmp_path, records_of(noise() * factor))


def test_damaged_files_of_all_formats_only_ever_give_a_reason(tmp_path):
    rng = np.random.default_rng(7)
    originals = [records_of(noise())]
    for form in ("MSEED", "SAC", "GSE2", "SEGY", "WAV", "SLIST"):
        kind = np.int32 if form in ("MSEED", "GSE2", "SLIST") else np.float32
        stream_of(noise().astype(kind)).write(str(tmp_path / "x"), form)
        originals.append((tmp_path / "x").read_bytes())
    records = []
    for number in range(140):
        content = bytearray(originals[number % len(originals)])
        for _ in range(rng.integers(1, 6)):
            content[rng.integers(min(len(content), 600))] = rng.integers(256)
        content = content[: rng.integers(1, len(content))] if number % 3 == 0 else content
        records.append(one(tmp_path / f"{number}", bytes(content)))
    records.append(one(tmp_path / "good", originals[0]))
    result = load_batch(records, RecordSettings(), RATE)
    assert result.kept[-1] == 140
    assert len(result.kept) + len(result.rejected) == 141
    assert all(r.reason.startswith("expected") and "received" in r.reason for r in result.rejected)


def test_a_gse_file_with_a_long_line_is_kept_away_from_obspy(tmp_path):
    # ObsPy 1.5 copies such a line into a buffer of 83 bytes and the process ends with a segmentation fault.
    stream_of(noise()).write(str(tmp_path / "x"), "GSE2")
    head, start, rest = (tmp_path / "x").read_bytes().partition(b"DAT2\n")
    lines = rest.split(b"\n")
    content = head + start + b"".join(lines[:6]) + b"\n" + b"\n".join(lines[6:])
    assert reason(tmp_path, content) == f"expected lines of up to 81 characters in a GSE file, received one of {6 * 80}"


# joining


def test_a_trace_in_several_records_at_10_mhz_is_one_trace(tmp_path):
    path = tmp_path / "pieces.mseed"
    stream_of(noise(1024), rate=10e6).write(str(path), "MSEED", reclen=512)
    starts = [record.starttime for record in MS3Record.from_file(str(path), unpack_data=True)]
    counts = [record.samplecnt for record in MS3Record.from_file(str(path))]
    # Headers resolve 1000 ns, samples are 100 ns apart: seams of a few samples that are not there.
    assert any((b - a) // 100 != n for (a, b), n in zip(itertools.pairwise(starts), counts, strict=False))
    [trace] = read_traces(path)
    assert np.array_equal(trace.samples, noise(1024))
    assert (trace.seed_id, trace.sampling_rate_hz, trace.start_ns) == ("XX.A..HHZ", 10e6, START)


@pytest.mark.parametrize(
    ("late_ns", "traces"), [(0, 1), (4_900_000, 1), (-4_900_000, 1), (5_100_000, 2), (10_000_000, 2)]
)
def test_pieces_join_within_half_a_sample_whatever_their_order(tmp_path, late_ns, traces):
    first, second = noise(100), noise(100, 1)
    content = records_of(second, start_ns=START + 10**9 + late_ns) + records_of(first)
    (tmp_path / "a.mseed").write_bytes(content)
    got = read_traces(tmp_path / "a.mseed")
    assert len(got) == traces
    assert np.array_equal(np.concatenate([trace.samples for trace in got]), np.r_[first, second])


def test_read_traces_names_the_file(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.mseed: expected a readable file, received No such file"):
        read_traces(tmp_path / "gone.mseed")


# other formats and streams


@pytest.mark.parametrize("form", ["SAC", "GSE2", "SEGY", "MSEED"])
def test_every_format_gives_the_same_waveform_and_hash(tmp_path, form):
    samples = noise()
    kind = np.float32 if form in ("SAC", "SEGY") else np.int32
    stream_of(samples.astype(kind)).write(str(tmp_path / "x"), form)
    result = load_batch([one(tmp_path / "x")], RecordSettings(detrend="none"), RATE)
    assert result.rejected == []
    assert np.array_equal(result.samples[0], samples[:1024])
    # The whole trace as float64, as the docstring says.
    assert result.content_hash == [hashlib.blake2b(samples.astype("<f8").tobytes(), digest_size=16).digest()]


def test_a_stream_is_a_record_for_each_id_and_gaps_stay_gaps():
    whole = stream_of(noise(1200, 1), seed_id="XX.B..HHZ")
    late = stream_of(noise(1100, 2))
    late[0].stats.starttime += 100
    merged = (stream_of(noise(1050)) + late).merge()
    assert np.ma.is_masked(merged[0].data)
    result = from_stream(
        whole + merged + stream_of(noise(10), seed_id="XX.C..HHZ"), RecordSettings(detrend="none"), RATE
    )
    assert np.array_equal(result.samples, [noise(1200, 1)[:1024], noise(1050)[:1024]])
    assert [(r.file, r.reason) for r in result.rejected] == [
        ("XX.C..HHZ", "expected at least 1024 samples, received 10")
    ]
    result = from_stream(merged, RecordSettings(length_samples=1060), RATE)
    assert "without a gap" in result.rejected[0].reason


def test_the_common_rate_is_the_commonest_and_unreadable_files_do_not_count(tmp_path):
    rates = [100.0] * 5 + [50.0] * 4
    records = [one(tmp_path / f"{i}", records_of(noise(50), rate=rate)) for i, rate in enumerate(rates)]
    stream_of(noise().astype(np.float32), rate=50.0).write(str(tmp_path / "a.sac"), "SAC")
    bad = [one(tmp_path / f"bad{i}", b"nothing of use") for i in range(6)]
    assert common_sampling_rate(bad + records) == 100.0
    assert common_sampling_rate([*records, one(tmp_path / "a.sac"), one(tmp_path / "a.sac")]) == 50.0
    with pytest.raises(ValueError, match="expected readable records, received none; bad0: expected miniSEED, SAC"):
        common_sampling_rate(bad)


# processing


def test_the_band_pass_is_scipys_on_the_whole_trace(tmp_path):
    traces = [noise(size, seed).cumsum().astype(np.int32) for seed, size in enumerate((1500, 1500, 1700))]
    records = [one(tmp_path / f"{i}", records_of(samples)) for i, samples in enumerate(traces)]
    settings = RecordSettings(bandpass_hz=(2, 15), bandpass_order=3, anchor="center", detrend="constant")
    result = load_batch(records, settings, RATE)
    sections = signal.butter(3, (2, 15), "bandpass", fs=100, output="sos")
    for row, samples in zip(result.samples, traces, strict=True):
        filtered = signal.sosfiltfilt(sections, samples.astype(float))
        first = (samples.size - 1024) // 2
        expected = signal.detrend(filtered[first : first + 1024], type="constant")
        assert np.allclose(row, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


def test_a_band_above_half_the_rate_is_refused_at_once(tmp_path):
    with pytest.raises(
        ValueError, match="bandpass_hz: expected corners below half the sampling rate, 50 Hz, received 60"
    ):
        load_batch([], RecordSettings(bandpass_hz=(1, 60)), RATE)
    text = reason(tmp_path, records_of(noise()), bandpass_hz=(1, 60), resample_hz=50.0)
    assert text == "expected a sampling rate above 120 Hz for the band-pass, received 100 Hz"


def test_resampling_keeps_what_the_new_rate_can_hold_and_removes_the_rest(tmp_path):
    def tone(rate: float, frequency: float) -> np.ndarray:
        return 1000 * np.sin(2 * np.pi * frequency * np.arange(int(20 * rate)) / rate) + 5000

    settings = RecordSettings(length_samples=500, resample_hz=50.0, anchor="center", detrend="constant")
    rates = [100.0, 40.0, 50.0, 75.0]
    records = [one(tmp_path / f"{rate}", records_of(tone(rate, 5.0), rate=rate)) for rate in rates]
    records.append(one(tmp_path / "high", records_of(tone(100.0, 35.0))))
    result = load_batch(records, settings, 50.0)
    assert result.rejected == [] and result.sampling_rate_hz == 50.0
    # The 5 Hz tone itself at 50 Hz, from sample (1000 - 500) / 2 on; 35 Hz would fold to 15 Hz.
    expected = 1000 * np.sin(2 * np.pi * 5 * (np.arange(500) + 250) / 50)
    assert np.abs(result.samples[:4] - expected).max() < 5
    assert np.abs(result.samples[4]).max() < 10
    # An offset is no step at the ends of the record.
    record = one(tmp_path / "offset", records_of(tone(100.0, 5.0) + 1e6))
    start = load_batch([record], RecordSettings(length_samples=500, resample_hz=50.0, detrend="none"), 50.0)
    assert np.abs(start.samples[0] - (1_005_000 + 1000 * np.sin(2 * np.pi * 5 * np.arange(500) / 50))).max() < 100


def test_resampling_wants_a_ratio_of_whole_numbers(tmp_path):
    text = reason(tmp_path, records_of(noise(), rate=1e6), resample_hz=100.0)
    assert text == "expected a rate whose ratio to 100 Hz is of whole numbers up to 1000, received 1000000 Hz"
    # A named rate is still demanded.
    assert "expected 50 Hz" in reason(
        tmp_path, records_of(noise()), resample_hz=20.0, sampling_rate_hz=50.0, length_samples=99
    )


def onset_trace(onset: int, size: int = 6000) -> np.ndarray:
    samples = np.random.default_rng(3).normal(0, 10, size)
    samples[onset:] += 400 * np.exp(-np.arange(size - onset) / 500) * np.random.default_rng(4).normal(size=size - onset)
    return (samples + 10**6).astype(np.int32)


def test_the_onset_is_put_where_it_is_wanted(tmp_path):
    samples = onset_trace(3000)
    onset, ratio = find_onset(samples, 20, 205)
    # The recursive short average over 20 samples passes half of its later level after about 20 ln 2 = 14 samples.
    assert 3000 <= onset <= 3020 and ratio > 5
    record = one(tmp_path / "a", records_of(samples))
    settings = RecordSettings(anchor="onset", onset_position=0.25, detrend="none")
    result = load_batch([record], settings, RATE)
    first = onset - 256
    assert np.array_equal(result.samples[0], samples[first : first + 1024].astype(np.float32))


def test_the_onset_is_where_the_ratio_reaches_half_its_largest_value():
    # Growing slowly, so that the two are far apart; the recursion of Withers et al. (1998) step by step.
    samples = np.random.default_rng(9).normal(size=3000) * np.r_[np.ones(1500), np.linspace(1, 40, 1500)]
    short = long = 1e-30
    ratios = np.zeros(3000)
    for i, power in enumerate((samples - samples.mean()) ** 2):
        if i > 0:
            short += (power - short) / 20
            long += (power - long) / 200
        if i >= 200:
            ratios[i] = short / long
    onset, ratio = find_onset(samples, 20, 200)
    assert ratio == pytest.approx(ratios.max(), rel=1e-9)
    assert onset == np.flatnonzero(ratios >= ratios.max() / 2)[0] < ratios.argmax() - 100


@pytest.mark.parametrize(("onset", "first"), [(300, 0), (5900, 6000 - 1024)])
def test_a_window_at_the_end_of_the_record_stays_inside(tmp_path, onset, first):
    record = one(tmp_path / "a", records_of(onset_trace(onset)))
    result = load_batch([record], RecordSettings(anchor="onset", onset_position=0.5, detrend="none"), RATE)
    assert np.array_equal(result.samples[0], onset_trace(onset)[first : first + 1024].astype(np.float32))


def test_a_record_without_onset_is_rejected_or_cut_in_the_middle(tmp_path):
    text = reason(tmp_path, records_of(noise(6000)), anchor="onset", onset_threshold=8)
    assert text.startswith("expected an onset with STA/LTA of at least 8, received ")
    settings = RecordSettings(anchor="onset", onset_threshold=8, no_onset="center", detrend="none")
    result = load_batch([one(tmp_path / "a", records_of(noise(6000)))], settings, RATE)
    assert np.array_equal(result.samples[0], noise(6000)[2488 : 2488 + 1024])


def test_an_onset_beside_a_gap_is_refused(tmp_path):
    second = START + 6_100 * 10**7  # 100 samples are missing
    content = records_of(noise(6000) // 1000) + records_of(onset_trace(300), start_ns=second)
    assert "without a gap from sample" in reason(tmp_path, content, anchor="onset", onset_position=0.5)


@pytest.fixture
def stationxml(tmp_path) -> str:
    """A seismometer at XX.A..HHZ that is flat above its corner at 0.001 Hz and gives 2e6 counts for 1 m/s."""
    corner = 2 * np.pi * 0.001
    response = Response.from_paz(
        zeros=[0j, 0j], poles=[corner * (-1 + 1j) / np.sqrt(2), corner * (-1 - 1j) / np.sqrt(2)], stage_gain=2e6,
        stage_gain_frequency=1.0, input_units="M/S", output_units="COUNTS",
    )  # fmt: skip
    channel = Channel("HHZ", "", 0, 0, 0, 0, sample_rate=RATE, response=response)
    inventory = Inventory([Network("XX", [Station("A", 0, 0, 0, channels=[channel])])])
    inventory.write(str(tmp_path / "xx.xml"), "STATIONXML")
    return str(tmp_path / "xx.xml")


def test_the_response_is_removed(tmp_path, stationxml):
    time = np.arange(6000) / RATE
    ground_m_s = 1e-3 * np.sin(2 * np.pi * 2 * time)
    record = one(tmp_path / "a", records_of((2e6 * ground_m_s).astype(np.int32)))
    result = load_batch([record], RecordSettings(anchor="center", stationxml=stationxml), RATE)
    expected = ground_m_s[2488 : 2488 + 1024]
    # Counts over gain: 2 Hz is far above the corner (phase 1.4 x 0.001 / 2). 1e-3 m/s are 2000 counts: rounding.
    assert np.abs(result.samples[0] - expected).max() < 5e-6


def test_a_drift_of_the_instrument_is_no_ground_motion(tmp_path, stationxml):
    counts = 2000 * np.sin(2 * np.pi * 2 * np.arange(6000) / RATE)
    records = [one(tmp_path / f"{i}", records_of(counts + drift * np.arange(6000))) for i, drift in enumerate((0, 100))]
    result = load_batch(records, RecordSettings(anchor="center", stationxml=stationxml), RATE)
    assert np.abs(result.samples[0] - result.samples[1]).max() < 1e-6


def test_a_record_without_response_is_rejected_and_a_missing_file_refused(tmp_path, stationxml):
    content = records_of(noise(), sid="FDSN:XX_OTHER__H_H_Z")
    assert "expected a response for XX.OTHER..HHZ at 2020-09-13" in reason(tmp_path, content, stationxml=stationxml)
    with pytest.raises(ValueError, match="stationxml: expected StationXML in .*gone.xml, received"):
        load_batch([], RecordSettings(stationxml=str(tmp_path / "gone.xml")), RATE)


# what is measured


def test_noise_has_about_no_signal_to_noise_ratio():
    rows = np.random.default_rng(0).normal(size=(200, 1024))
    ratios = signal_to_noise_db(rows)
    # Quarters of 256 samples: the standard deviation of the power is sqrt(2 / 256) = 9 %, so the strongest and the
    # quietest are a decibel apart.
    assert ratios.min() >= 0 and 0.5 < np.median(ratios) < 1.5 and ratios.max() < 3


@pytest.mark.parametrize("first", [0, 256, 700, 768])
def test_a_burst_in_one_quarter_has_the_ratio_of_its_power(first):
    rows = np.random.default_rng(1).normal(size=(200, 1024))
    rows[:, first : first + 256] *= 10
    # (signal + noise) / noise = 100: 20 dB, and half a decibel for the choice of the quietest quarter.
    assert np.median(signal_to_noise_db(rows)) == pytest.approx(20, abs=1)


def test_slow_oscillations_count_little_and_silence_is_bounded():
    rows = np.random.default_rng(1).normal(size=(200, 1024))
    rows[:, 256:512] *= 10
    # Power 50 beside the noise's 1; but within a frame of 32 samples it changes by 2 at most, a variance of 0.3.
    slow = 10 * np.sin(2 * np.pi * np.arange(1024) / 1024)
    assert np.median(signal_to_noise_db(rows + slow)) == pytest.approx(10 * np.log10(100.3 / 1.3), abs=1.5)
    rows[:, :512] = 0
    assert np.all(signal_to_noise_db(rows) == 120)
    assert np.all(np.isfinite(signal_to_noise_db(np.array([[0.0, 1.0], [1.0, -1.0]]))))


def test_three_samples_in_a_row_at_the_limit_are_clipping():
    rows = np.random.default_rng(2).integers(-3, 4, size=(500, 24)).astype(float)

    def slowly(row: np.ndarray) -> bool:
        runs = [(value, len(list(run))) for value, run in itertools.groupby(row)]
        return any(length >= 3 and value in (row.min(), row.max()) for value, length in runs)

    expected = [slowly(row) for row in rows]
    assert 20 < sum(expected) < 400
    assert is_clipped(rows, rows.min(axis=1), rows.max(axis=1)).tolist() == expected


@pytest.mark.parametrize(
    ("limits", "clipped"), [((-900, 900), True), ((-900, 9e9), True), ((-9e9, 900), True), ((-9e9, 9e9), False)]
)
@pytest.mark.parametrize("band", [None, (1, 20)])
def test_clipping_is_flagged_and_the_record_kept(tmp_path, limits, clipped, band):
    samples = np.clip(1000 * np.sin(np.arange(1200) / 7), *limits).astype(np.int32)
    result = load_batch([one(tmp_path / "a", records_of(samples))], RecordSettings(bandpass_hz=band), RATE)
    assert result.clipped.tolist() == [clipped]


# cost


def test_nothing_heavy_is_imported():
    code = "import sys, seis_tf.waveforms.loading; "
    code += "print({'tensorflow', 'obspy', 'h5py', 'scipy.signal'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# real recordings


AWKWARD = {
    "fb03-087_pieces.mseed": (10e6, 1024, None),
    "uw10600493_UW.VG2.EHZ.mseed": (100, 4000, "expected a trace that varies, received 4000 samples of -"),
    "uw10700803_CC.JRO.BHZ.mseed": (
        50,
        1024,
        "without a gap from sample 0, received 5 pieces of 499, 999, 499, 499, 32",
    ),
    "uw10601248_UW.ERW.HHZ.mseed": (
        100,
        4000,
        "expected 4000 samples without a gap from sample 0, received 15 pieces of 749",
    ),
    "uw10687518_TA.E05A.UHZ.mseed": (100, 4000, "expected 100 Hz, received 0.01 Hz"),
    "uw10633198_TA.D03A.LHZ.mseed": (100, 4000, "expected 100 Hz, received 1 Hz"),
    "uw10706453_LI.LTH.HHZ.mseed": (100, 4000, None),
    "uw61706002_CC.PR02.BHZ.mseed": (50, 1024, "expected at least 1024 samples, received 88"),
    "uw10725528_US.NEW.BHZ.mseed": (40, 1024, "expected one trace, received 2: US.NEW..BHZ, US.NEW.HR.BHZ"),
}


@pytest.mark.parametrize("name", AWKWARD)
def test_awkward_files_are_refused_for_what_they_are_or_used(shared_data, name):
    rate, length, expected = AWKWARD[name]
    result = load_batch([one(shared_data / "awkward" / name)], RecordSettings(length_samples=length), rate)
    if expected is None:
        assert result.rejected == [] and result.samples.shape == (1, length)
    else:
        [rejection] = result.rejected
        assert rejection.file == name and expected in rejection.reason


def test_all_awkward_files_in_one_batch_leave_the_good_one(shared_data):
    files = sorted((shared_data / "awkward").glob("*.mseed"))
    assert sorted(path.name for path in files) == sorted(AWKWARD)
    result = load_batch([one(path) for path in files], RecordSettings(length_samples=4000), 100.0)
    assert [files[kept].name for kept in result.kept] == ["uw10706453_LI.LTH.HHZ.mseed"]
    assert len(result.rejected) == 8


def test_the_trace_in_pieces_is_the_lab_trace(shared_data):
    [trace] = read_traces(shared_data / "awkward" / "fb03-087_pieces.mseed")
    [whole] = read_traces(shared_data / "lab" / "AE" / "fb03-087_0004_870_7_raw_OL07.mseed")
    assert np.array_equal(trace.samples, whole.samples) and trace.samples.size == 1024
    assert (trace.seed_id, trace.start_ns) == (whole.seed_id, whole.start_ns)


def test_the_long_records_read_as_obspy_reads_them(shared_data):
    for path in sorted((shared_data / "continuous").glob("*.mseed")):
        ours, theirs = read_traces(path), obspy.read(path)
        assert len(ours) == len(theirs)
        for trace, other in zip(ours, theirs, strict=True):
            assert np.array_equal(trace.samples, other.data)
            assert (trace.seed_id, trace.sampling_rate_hz) == (other.id, other.stats.sampling_rate)
            assert trace.start_ns == other.stats.starttime.ns
