"""Files are read from their own bytes alone: nothing that they name is opened, no number in them is trusted."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import obspy
import pytest

from seis_tf.dart.buoy_files import read_record
from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms import formats
from seis_tf.waveforms.loading import load_batch
from seis_tf.waveforms.readers import read_traces
from seis_tf.waveforms.source_record import SourceRecord

SECRET = b"not for others: "


def noise(size: int = 300) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1000, size).astype(np.int32)


def written(form: str, samples: np.ndarray | None = None, rate: float = 100.0) -> bytes:
    """A file of one trace."""
    samples = noise() if samples is None else samples
    kind = np.float32 if form in ("SAC", "SEGY") else np.int32
    trace = obspy.Trace(samples.astype(kind), {"sampling_rate": rate, "station": "A"})
    trace.stats.starttime = obspy.UTCDateTime(2020, 1, 1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        obspy.Stream([trace]).write(str(path), form)
        return path.read_bytes()


def seg2(
    samples: np.ndarray, *, code: int = 2, stated: int | None = None, traces: int = 1, at_once: bool = False
) -> bytes:
    """A SEG-2 file by its specification (Pullan 1990): blocks for the file and for each trace, then the samples."""
    note = b"SAMPLE_INTERVAL 0.01\0"
    notes = struct.pack("<H", 2 + len(note)) + note + b"\0\0"
    count = samples.size if stated is None else stated
    trace = struct.pack("<HHLLB19x", 0x4422, 32 + len(notes), samples.nbytes, count, code) + notes + samples.tobytes()
    first = 32 + 4 * traces + 2
    starts = [first + (0 if at_once else i * len(trace)) for i in range(traces)]
    head = struct.pack("<HHHHBBBBBB18x", 0x3A55, 1, 4 * traces, traces, 1, 0, 0, 1, 10, 0)
    return head + struct.pack(f"<{traces}L", *starts) + b"\0\0" + trace * (1 if at_once else traces)


def reason(path: Path, content: bytes) -> str:
    """Why a record is rejected by the function that reads uploads and what is prepared."""
    path.write_bytes(content)
    record = SourceRecord(str(path), "a", "1", path.name, "")
    [rejection] = load_batch([record], RecordSettings(length_samples=16), 100.0).rejected
    return rejection.reason


def wfdisc(folder: str, file: str, form: str = "CSS") -> bytes:
    """A line that says: 8 samples of type i4 lie in that file; columns as CSS 3.0 has them, and NNSA's form of it."""
    line = bytearray(b" " * (283 if form == "CSS" else 287))
    shift = 0 if form == "CSS" else 1  # NNSA's times are a column wider

    def put(column: int, text: str) -> None:
        line[column : column + len(text)] = text.encode()

    put(0, "STA")
    put(7, "BHZ")
    put(16 + shift, "1000000000.00000")
    put(61 + 2 * shift, "1000000001.00000")
    put(79 + shift, "8")
    put(88 + shift, "100.0")
    put(100 + shift, "1.0")
    put(117 + shift, "1.0")
    put(143 + shift, "i4")
    put(148 + shift, folder)
    put(213 + shift, file)
    put(246 + shift, "0")
    return bytes(line) + b"\n"


# what a file names is not opened


@pytest.mark.parametrize("form", ["CSS", "NNSA_KB_CORE"])
def test_a_file_that_names_another_is_refused_before_it_is_opened(tmp_path, form):
    (tmp_path / "secret").write_bytes(SECRET * 2)
    path = tmp_path / "x.wfdisc"
    path.write_bytes(wfdisc(str(tmp_path), "secret", form))
    # The line works: who trusts the file gets the other one's bytes, as ObsPy itself gives them.
    [trace] = read_traces(path, any_format=True)
    assert trace.samples.tobytes() == SECRET * 2
    (tmp_path / "secret").unlink()
    os.mkfifo(tmp_path / "secret")  # would never answer
    text = reason(path, path.read_bytes())
    assert text.startswith("expected miniSEED, SAC, GSE2, SEG-Y or SEG-2")
    assert "received what looks like a CSS wfdisc, a table of other files" in text
    assert "--any-format of prepare, predict and plot" in text
    with pytest.raises(ValueError, match="expected miniSEED, SAC"):
        read_traces(path)


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: expected a file, received a folder, a device or a pipe"):
        read_traces(tmp_path / "pipe")
    with pytest.raises(ValueError, match="expected a file, received a folder"):
        read_traces(tmp_path)


def test_other_formats_of_obspy_are_for_those_who_ask(tmp_path):
    content = written("SLIST")
    assert "received bytes that begin b'TIMESERIES " in reason(tmp_path / "x", content)
    [trace] = read_traces(tmp_path / "x", any_format=True)
    assert np.array_equal(trace.samples, noise())
    record = SourceRecord(str(tmp_path / "x"), "a", "1", "x", "", any_format=True)
    assert load_batch([record], RecordSettings(length_samples=16), 100.0).rejected == []
    # Packed bytes would reach ObsPy's pickle reader.
    assert "received bytes that begin b'TIMESERIES" in reason(tmp_path / "y", gzip.compress(content))
    with pytest.raises(ValueError, match="received bytes that begin b'TIMESERIES"):
        read_traces(tmp_path / "y", any_format=True)


# HDF5


def external_link(file: h5py.File, path: str, other: Path) -> None:
    file[path] = h5py.ExternalLink(str(other), "secret")


def through_a_soft_link(file: h5py.File, path: str, other: Path) -> None:
    file["aside"] = h5py.ExternalLink(str(other), "/")
    file[path] = h5py.SoftLink("/aside/secret")


def external_storage(file: h5py.File, path: str, other: Path) -> None:
    file.create_dataset(path, (100, 2), "f8", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File, path: str, other: Path) -> None:
    layout = h5py.VirtualLayout((100, 2), "f8")
    layout[:] = h5py.VirtualSource(str(other), "secret", (100, 2))
    file.create_virtual_dataset(path, layout)


WAYS_OUT = {
    external_link: r"received a link at \w+ that leads elsewhere",
    through_a_soft_link: r"received a link at \w+ that leads elsewhere",
    external_storage: "with samples in other files",
    virtual: "with samples in other files",
}


@pytest.mark.parametrize("way_out", WAYS_OUT)
def test_hdf5_does_not_lead_to_other_files(tmp_path, way_out):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["secret"] = np.arange(200.0).reshape(100, 2)
    with h5py.File(tmp_path / "gauges.h5", "w") as file:
        way_out(file, "observed/46404/data", other)
    with h5py.File(tmp_path / "waveforms.hdf5", "w") as file:
        way_out(file, "data/trace", other)
    with h5py.File(tmp_path / "waveforms.hdf5") as file:
        assert file["data/trace"].shape == (100, 2)  # HDF5 itself follows
    with pytest.raises(ValueError, match=WAYS_OUT[way_out]):
        read_record(tmp_path / "gauges.h5")
    place = {"location": "trace$:,0", "sampling_rate_hz": 100.0}
    record = SourceRecord(str(tmp_path / "waveforms.hdf5"), "a", "1", "trace", "", **place)
    [rejection] = load_batch([record], RecordSettings(length_samples=16), 100.0).rejected
    with pytest.raises(ValueError, match=WAYS_OUT[way_out]):
        raise ValueError(rejection.reason)


@pytest.mark.parametrize("reader", ["read_hdf5_records", "pipe"])
def test_a_pipe_in_the_place_of_hdf5_or_its_samples_is_not_waited_for(tmp_path, reader):
    pipe, path = tmp_path / "pipe", tmp_path / "x.h5"
    os.mkfifo(pipe)
    with h5py.File(path, "w") as file:
        external_storage(file, "observed/46404/data", pipe)
    # A child, because what fails here would wait for ever.
    read = str(pipe if reader == "pipe" else path)
    code = f"from seis_tf.dart.buoy_files import read_hdf5_records as read; read({read!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "expected HDF5 tables" in done.stderr and done.returncode == 1


def test_hdf5_that_unpacks_to_very_much_is_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("observed/46404/data", (2**24 + 1, 2), "f8", chunks=(2**16, 2), compression="gzip")
    assert (tmp_path / "x.h5").stat().st_size < 100_000
    with pytest.raises(ValueError, match="expected at most 256 MiB in all tables, received 256 MiB"):
        read_record(tmp_path / "x.h5")
    with h5py.File(tmp_path / "w.hdf5", "w") as file:
        file.create_dataset("data/t", (3, 2**27), "f4", chunks=(1, 2**16), compression="gzip")
    record = SourceRecord(str(tmp_path / "w.hdf5"), "a", "1", "t", "", location="t$0,:", sampling_rate_hz=100.0)
    [rejection] = load_batch([record], RecordSettings(length_samples=16), 100.0).rejected
    assert "expected at most 256 MiB in t$0,:, received 512 MiB" in rejection.reason


def test_hdf5_alone_is_no_waveform_file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["a"] = 1
    text = reason(tmp_path / "x", (tmp_path / "x.h5").read_bytes())
    assert "received HDF5, which is read only as a SeisBench data set" in text


# numbers in headers are compared with the file


@pytest.mark.parametrize("order", "<>")
def test_sac_of_another_size_than_it_says_is_refused(tmp_path, order):
    content = bytearray(written("SAC"))
    if order == ">":
        content = bytearray(np.frombuffer(content[:440], "<u4").byteswap().tobytes() + content[440:632])
        content += noise().astype(">f4").tobytes()
        (tmp_path / "x").write_bytes(content)
        assert np.array_equal(read_traces(tmp_path / "x")[0].samples, noise())
    for count in (301, 2**31 - 1, -1):
        struct.pack_into(f"{order}i", content, 316, count)
        text = f"expected a SAC file of 632 bytes and 4 for each of {count} samples, received 1832 bytes"
        assert reason(tmp_path / "x", bytes(content)) == text


def test_sac_with_a_longitude_beyond_reason_is_read(tmp_path):
    content = bytearray(written("SAC"))
    # ObsPy takes 360 degrees off until it is below 180; off 1e30 that changes nothing.
    struct.pack_into("<2f", content, 4 * 31, 1.0, 1e30)
    struct.pack_into("<2f", content, 4 * 35, 1.0, 2.0)
    (tmp_path / "x").write_bytes(content)
    path = str(tmp_path / "x")
    code = f"from seis_tf.waveforms.readers import read_traces; print(read_traces({path!r})[0].samples.size)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "300\n", done.stderr


def test_gse2_with_more_samples_than_characters_is_refused(tmp_path):
    content = written("GSE2")
    assert content[48:56] == b"     300"
    huge = content[:48] + b"99999999" + content[56:]
    assert "samples, a character each, received '99999999'" in reason(tmp_path / "x", huge)
    assert "expected ASCII in a GSE2 file" in reason(tmp_path / "x", content.replace(b"DAT2\n", b"DAT2\n\xff"))


def test_segy_is_whole_traces(tmp_path):
    content = written("SEGY")
    assert len(content) == 3600 + 240 + 4 * 300
    [start] = struct.unpack_from(">H", content, 3600 + 114)
    assert start == 300
    # ObsPy drops a trace header that is cut off.
    assert "received 100 bytes after the last one" in reason(tmp_path / "x", content + content[3600:3700])
    longer = content[:3714] + struct.pack(">H", 65535) + content[3716:]
    assert reason(tmp_path / "x", longer).startswith("expected a whole waveform file, received SEGYTraceReadingError")


def test_seg2_is_read_and_its_traces_lie_in_the_file(tmp_path):
    samples = noise()
    (tmp_path / "x").write_bytes(seg2(samples, traces=2))
    traces = read_traces(tmp_path / "x")
    assert [trace.sampling_rate_hz for trace in traces] == [100, 100]
    assert all(np.array_equal(trace.samples, samples) for trace in traces)
    # A pointer, a count that ObsPy makes room for (10 GB on disk, 17 GB in memory), and 16,000 pointers to one place.
    size = len(seg2(samples))
    assert (
        reason(tmp_path / "x", seg2(samples)[:-1])
        == f"expected a SEG-2 file of at least {size} bytes, received {size - 1}"
    )
    assert "expected a SEG-2 file of at least 10737" in reason(tmp_path / "x", seg2(samples, code=3, stated=2**32 - 4))
    text = reason(tmp_path / "x", seg2(samples, traces=16000, at_once=True))
    assert text.startswith("expected SEG-2 traces one after the other, received one at byte")
    notes = bytearray(seg2(samples) + bytes(2**25))
    struct.pack_into("<L", notes, 32, 2**25)
    assert reason(tmp_path / "x", bytes(notes)).startswith("expected short notes before 1 SEG-2 traces, received")


@pytest.mark.parametrize(
    ("rate", "expected"), [(100.0, 100.0), (1024.0, 1024.0), (3000.0, 3000.0), (400e3, 400e3), (10e6, 10e6)]
)
def test_the_rate_of_sac_is_what_its_step_stands_for(tmp_path, rate, expected):
    # The step is a 32-bit float; ObsPy rounds it to microseconds: 1023.5 Hz, 3003 Hz, 500 kHz, infinite.
    content = written("SAC", rate=rate)
    assert struct.unpack_from("<f", content) == (np.float32(1 / rate),)
    (tmp_path / "x").write_bytes(content)
    assert read_traces(tmp_path / "x")[0].sampling_rate_hz == expected


def test_a_rate_of_sac_that_is_no_round_number_is_kept(tmp_path):
    content = bytearray(written("SAC"))
    struct.pack_into("<f", content, 0, 0.0123456)
    (tmp_path / "x").write_bytes(content)
    # 1 / 0.0123456 = 81.0005184...; the nearest 32-bit step is within 3e-8 of it.
    assert read_traces(tmp_path / "x")[0].sampling_rate_hz == pytest.approx(81.00051840, rel=6e-8)


# compressed files


def zipped(content: bytes, count: int = 1) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(count):
            archive.writestr(f"{number}.mseed", content)
    return buffer.getvalue()


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}


@pytest.mark.parametrize("form", ["MSEED", "SAC", "GSE2", "SEGY"])
@pytest.mark.parametrize("packer", PACKERS)
def test_compressed_files_are_read_as_what_they_hold(tmp_path, form, packer):
    content = written(form)
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "packed").write_bytes(PACKERS[packer](content))
    [plain], [trace] = read_traces(tmp_path / "plain"), read_traces(tmp_path / "packed")
    assert np.array_equal(trace.samples, noise()) and trace.start_ns == plain.start_ns


@pytest.mark.parametrize("packer", PACKERS)
def test_compressed_files_that_are_damaged_or_hold_something_else_are_refused(tmp_path, packer, monkeypatch):
    pack, content = PACKERS[packer], written("MSEED")
    packed = pack(content)
    assert "expected a whole compressed file, received" in reason(tmp_path / "x", packed[: len(packed) // 2])
    assert "received bytes that begin b'hello'" in reason(tmp_path / "x", pack(b"hello"))
    assert "received another compressed file in it" in reason(tmp_path / "x", pack(gzip.compress(content)))
    assert reason(tmp_path / "x", pack(b"")) == "expected a waveform file, received a compressed empty file"
    assert "looks like a CSS wfdisc" in reason(tmp_path / "x", pack(wfdisc("/etc", "passwd")))
    monkeypatch.setattr(formats, "MOST_UNPACKED_BYTES", 2**20)
    text = "expected a compressed file of up to 1 MiB when unpacked, received more; unpack it first"
    assert reason(tmp_path / "x", pack(bytes(2**20 + 1))) == text


def test_a_zip_file_whose_places_make_no_sense_is_refused(tmp_path):
    content = bytearray(zipped(written("MSEED")))
    struct.pack_into("<L", content, len(content) - 6, 2**31)  # where its list of files begins
    assert "expected a whole compressed file, received ValueError: negative seek" in reason(
        tmp_path / "x", bytes(content)
    )


def test_a_zip_file_of_several_is_refused(tmp_path):
    assert "expected a zip file of one file, received 2" in reason(tmp_path / "x", zipped(written("MSEED"), 2))
