"""The length that records have in common: from headers, with few outliers, or asked for with the distribution."""

from __future__ import annotations

import csv
from pathlib import Path

import h5py
import numpy as np
import obspy
import pytest
from pymseed import DataEncoding, MS3Record

from seis_tf.commands import record_use
from seis_tf.dataset.dataset_info import DatasetInfo, RecordLengths
from seis_tf.dataset.shards import load_dataset
from seis_tf.settings.data import RecordSettings, WaveformJob, WaveformSourceSettings
from seis_tf.waveforms import lengths
from seis_tf.waveforms.lengths import common_length
from seis_tf.waveforms.source_record import SourceRecord
from seis_tf.waveforms.sources import list_records

RATE = 100.0
START = 1_600_000_000 * 10**9


def miniseed(size: int, *, rate: float = RATE, start_ns: int = START, reclen: int = 512, version: int = 3) -> bytes:
    record = MS3Record()
    record.sourceid, record.samprate, record.starttime, record.reclen = "FDSN:XX_A__H_H_Z", rate, start_ns, reclen
    record.encoding, record.formatversion = DataEncoding.STEIM2, version
    samples = np.random.default_rng(size).normal(0, 1000, size).astype(np.int32)
    return b"".join(record.generate(samples, "i"))


def one(path: Path, content: bytes) -> SourceRecord:
    path.write_bytes(content)
    return SourceRecord(str(path), "class", "group", path.name, "")


def of_sizes(folder: Path, sizes: dict[int, int]) -> list[SourceRecord]:
    """So many records of each size."""
    contents = {size: miniseed(size) for size in sizes}
    files = [size for size, count in sizes.items() for _ in range(count)]
    return [one(folder / f"{i:03d}.mseed", contents[size]) for i, size in enumerate(files)]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({4000: 20}, 4000),
        ({1024: 19, 300: 1}, 1024),  # 95 % are of one length, the short one can't be used
        ({1024: 19, 9000: 1}, 1024),  # the long one is cut
        ({4000: 10, 3999: 5, 4001: 5}, 3999),  # within 1 %: no record is lost
        ({4000: 39, 3850: 1}, 4000),  # 97.5 % lie within 1 %: one record doesn't shorten all the others
        ({4000: 10, 3850: 10}, 3850),  # within 5 %
    ],
)
def test_the_length_follows_from_the_records(tmp_path, sizes, expected):
    assert common_length(of_sizes(tmp_path, sizes), RecordSettings(), RATE) == expected


@pytest.mark.parametrize("sizes", [{4000: 17, 300: 3}, {4000: 10, 3790: 10}, {1000: 1, 2000: 1, 3000: 1}])
def test_widely_different_lengths_are_asked_for(tmp_path, sizes):
    with pytest.raises(ValueError, match="expected records of about one length, received .* --length-samples"):
        common_length(of_sizes(tmp_path, sizes), RecordSettings(), RATE)


def test_the_question_says_what_each_length_would_keep(tmp_path):
    records = of_sizes(tmp_path, {1000: 2, 4000: 12, 15000: 6})
    with pytest.raises(ValueError, match="received 1000 to 15000 samples") as caught:
        common_length(records, RecordSettings(), RATE)
    # 20 records: all have 1,000 samples, 18 have 4,000, 6 have 15,000.
    choices = "Of 20 records so many are long enough: 1000 (10 s) 100%, 4000 (40 s) 90%, 15000 (150 s) 30%"
    assert str(caught.value).endswith(choices)


def test_of_miniseed_only_headers_are_read(tmp_path, monkeypatch):
    records = of_sizes(tmp_path, {400: 3})
    monkeypatch.setattr(lengths, "read_records", lambda records: iter(()) if not list(records) else 1 / 0)
    assert common_length(records, RecordSettings(), RATE) == 400


def test_many_records_are_sampled_evenly(tmp_path, monkeypatch):
    records = of_sizes(tmp_path, {400: 30}) + [one(tmp_path / "last", miniseed(100))]
    monkeypatch.setattr(lengths, "SURVEYED", 10)
    opened = []
    monkeypatch.setattr(
        lengths, "header_pieces", lambda path, read=lengths.header_pieces: opened.append(path) or read(path)
    )
    assert common_length(records, RecordSettings(), RATE) == 400
    assert [Path(path).stem for path in opened] == [f"{i * 31 // 10:03d}" for i in range(10)]


def test_a_trace_in_several_records_is_as_long_as_its_joined_pieces(tmp_path):
    """At 10 MHz miniSEED 2 resolves 10 samples: by its records' times alone the trace would be of another length."""
    content = miniseed(1024, rate=1e7, start_ns=START + 300, reclen=256, version=2)
    assert len(content) > 2 * 256
    assert common_length([one(tmp_path / "a.mseed", content)], RecordSettings(), 1e7) == 1024


def test_a_gap_counts_as_in_the_window(tmp_path):
    # 300 samples, a gap of 2 s, 500 samples: 300 + 200 + 500.
    content = miniseed(300) + miniseed(500, start_ns=START + 5 * 10**9)
    assert common_length([one(tmp_path / "a.mseed", content)], RecordSettings(), RATE) == 1000


def test_lengths_are_those_after_resampling_and_other_rates_do_not_count(tmp_path):
    slow = one(tmp_path / "slow", miniseed(999, rate=50.0))
    fast = [one(tmp_path / f"fast{i}", miniseed(400)) for i in range(3)]
    assert common_length([*fast, slow], RecordSettings(), RATE) == 400
    # SciPy's polyphase filter makes ceil(999 x 100 / 50) samples.
    assert common_length([slow], RecordSettings(resample_hz=RATE), RATE) == 1998


def test_other_formats_and_containers(tmp_path):
    path = tmp_path / "a.sac"
    obspy.Trace(np.arange(700, dtype=np.float32), {"sampling_rate": RATE}).write(str(path), "SAC")
    assert common_length([SourceRecord(str(path), "c", "g", "a", "")], RecordSettings(), RATE) == 700
    with h5py.File(tmp_path / "waveforms.hdf5", "w") as file:
        file["data/bucket0"] = np.random.default_rng(0).normal(size=(4, 3, 600))
        file["data_format/sampling_rate"] = RATE
    with open(tmp_path / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trace_name", "source_id", "kind"])
        writer.writerows([[f"bucket0${i},:3,:550", i, "ab"[i % 2]] for i in range(4)])
    records, _ = list_records(tmp_path, WaveformSourceSettings(seisbench_class="kind"))
    assert common_length(records, RecordSettings(), RATE) == 550


def test_no_readable_record_is_refused_with_the_first_reason(tmp_path):
    with pytest.raises(ValueError, match="length: expected readable records, received none; x: expected a waveform"):
        common_length([one(tmp_path / "x", b"")], RecordSettings(), RATE)


# In words


def described(tiny_waveforms: Path, held: tuple[int, int, int] | None, anchor: str = "start") -> list[str]:
    info = load_dataset(tiny_waveforms)  # windows of 70 samples at 100 Hz
    job = info.job | {"record": {"length_samples": 70, "anchor": anchor}}
    found = held and RecordLengths(shortest=held[0], median=held[1], longest=held[2])
    return record_use.lines(info.model_copy(update={"job": job, "record_lengths": found}))


def test_how_much_of_a_record_is_used_is_said(tiny_waveforms):
    used = "records: 70 samples (700 ms) of each are used"
    assert described(tiny_waveforms, (70, 70, 70))[0] == f"{used}, which is all they hold"
    assert described(tiny_waveforms, None, "center")[0] == f"{used}, from its middle"
    assert described(tiny_waveforms, (280, 280, 280))[0] == (
        f"{used}, from its start, 25.0 % of the 280 samples (2800 ms) that it holds; the option that uses all of the "
        "median record is --length-samples 280"
    )
    assert described(tiny_waveforms, (70, 72, 1400))[0] == (
        f"{used}, from its start; the shortest holds 70 samples (700 ms), the median 72 samples (720 ms) "
        "(97.2 % used), the longest 1,400 samples (14 s) (5.0 % used)"
    )


def test_the_resolution_is_said_and_what_would_give_the_usual_picture(tiny_waveforms):
    # Frames of 14 samples at 100 Hz: 140 ms, 1 / 0.14 s = 7.14 Hz; a hop of 7 samples; 70 samples hold 9 of them.
    assert described(tiny_waveforms, None)[1].startswith(
        "spectrogram: 8 frequencies x 9 times, resolving 7.14 Hz and 140 ms (a frame every 70 ms)"
    )
    settings = WaveformJob().spectrogram
    long = record_use.spectrogram_words(settings, 4000, 100.0)
    assert "65 frequencies x 399 times" in long
    assert "; --nperseg 78 --noverlap 39 --nfft 128 gives 65 frequencies x 101 times" in long
    assert "--nperseg" not in record_use.spectrogram_words(settings, 1024, 1e7)
    # 15,000 samples: 101 half-overlapping frames are of 294, which 512 points hold.
    assert "--nperseg 294 --noverlap 147 --nfft 512 gives 257 frequencies x 101 times" in record_use.spectrogram_words(
        settings, 15000, 100.0
    )


def test_data_sets_of_dart_have_no_such_words():
    info = DatasetInfo(task="dart", features=(), job={}, splits={}, fingerprint="")
    assert record_use.lines(info) == []
