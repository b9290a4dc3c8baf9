"""Waveform formats other than miniSEED, recognised by a file's first bytes and read from the file's own bytes alone.

ObsPy's own detection asks some thirty readers, and several of them open what the file *names* (a CSS wfdisc is a table
of other files): an uploaded file could make the server read any other one. So the format is recognised here, in a
short list, and ObsPy reads it from memory, with the format given and after the numbers of its headers were compared
with the file's size.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import io
import lzma
import os
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from obspy import Stream

FORMATS = "miniSEED, SAC, GSE2, SEG-Y or SEG-2 (or one of these in gzip, bzip2, xz or zip)"
# A day of three components at 100 Hz are 104 MB of 32-bit numbers; far smaller files can unpack to all the memory.
MOST_UNPACKED_BYTES = 256 * 2**20
# What Python's modules raise for damaged content. RuntimeError: a zip file with a password or of an unknown method.
_PACKED_ERRORS = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError, OverflowError,
    struct.error,
)  # fmt: skip
_SAC_HEADER_BYTES = 632
_SEGY_HEADER_BYTES, _SEGY_TRACE_HEADER_BYTES = 3600, 240
# ObsPy gives each trace of a SEG-2 file a copy of the notes at the file's start.
_MOST_SEG2_NOTES_BYTES = 2**24


class BadRecord(ValueError):
    """A record that can't be used; the message is 'expected ..., received ...' without the file's name."""


def unpacked(content: bytes) -> bytes:
    """What a gzip, bzip2, xz or zip file holds; other content as it is.

    Raises:
        BadRecord: damaged, of more than `MOST_UNPACKED_BYTES`, packed twice, or a zip file of several files.
    """
    if not _is_packed(content):
        return content
    try:
        inside = _unpack(content)
    except BadRecord:
        raise
    except _PACKED_ERRORS as err:
        raise BadRecord(f"expected a whole compressed file, received {type(err).__name__}: {err}") from err
    if len(inside) > MOST_UNPACKED_BYTES:
        limit = f"{MOST_UNPACKED_BYTES / 2**20:.0f} MiB"
        raise BadRecord(f"expected a compressed file of up to {limit} when unpacked, received more; unpack it first")
    if not inside:
        raise BadRecord("expected a waveform file, received a compressed empty file")
    if _is_packed(inside):
        raise BadRecord("expected a compressed waveform file, received another compressed file in it")
    return inside


def _is_packed(content: bytes) -> bool:
    return content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"PK\x03\x04"))


def _unpack(content: bytes) -> bytes:
    packed = io.BytesIO(content)
    if content.startswith(b"PK"):
        with zipfile.ZipFile(packed) as archive:
            names = archive.namelist()
            if len(names) != 1:
                raise BadRecord(f"expected a zip file of one file, received {len(names)}; unpack it first")
            with archive.open(names[0]) as member:
                return member.read(MOST_UNPACKED_BYTES + 1)
    opens = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    with opens[content[:2]](packed) as file:
        return file.read(MOST_UNPACKED_BYTES + 1)


def read_stream(content: bytes, any_path: str | Path | None = None) -> Stream:
    """Reads SAC, GSE2, SEG-Y or SEG-2; nothing else is opened.

    Args:
        content: of the file.
        any_path: the file, where ObsPy may take it for any of its other formats too: it may open further files then.

    Raises:
        BadRecord: of another format, or not a whole file of its format.
    """
    name = _format_of(content)
    # ObsPy takes a pickled Stream for a waveform file and runs whatever code the pickle holds.
    if b"obspy.core.stream" in content[:200]:
        raise BadRecord("expected a waveform file, received a pickled Stream, which may run any code when read")
    if name is None and any_path is None:
        raise BadRecord(
            f"expected {FORMATS}, received {_looks_like(content)} (--any-format of prepare, predict and plot takes "
            "what else ObsPy reads, and may open other files that this one names: for files that you trust)"
        )
    if name is None:
        if any(word in content[:1000] for word in (b"WID1", b"XW01")):
            _check_gse_lines(content)
        # As a path: for other input ObsPy unpickles without looking. Escaped: it would expand * and [ ] in the name.
        return _read(None, glob.escape(os.path.abspath(any_path)), os.path.abspath(any_path))
    _CHECKS[name](content)
    stream = _read(name, io.BytesIO(_without_places(content) if name == "SAC" else content), name)
    if name == "SAC":
        stream[0].stats.sampling_rate = _sac_rate(content)
    if name == "SEGY":
        used = _SEGY_HEADER_BYTES + sum(_SEGY_TRACE_HEADER_BYTES + trace.data.nbytes for trace in stream)
        if used != len(content):
            raise BadRecord(f"expected whole SEG-Y traces, received {len(content) - used} bytes after the last one")
    return stream


def _looks_like(content: bytes) -> str:
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        return "HDF5, which is read only as a SeisBench data set"
    first = content.partition(b"\n")[0].rstrip(b"\r")
    if len(first) in (283, 287) and first.isascii():  # CSS 3.0, and NNSA's form of it
        return "what looks like a CSS wfdisc, a table of other files"
    return f"bytes that begin {content[:16]!r}"


def _read(name: str | None, source: io.BytesIO | str, path: str) -> Stream:
    import obspy

    options = {"round_sampling_interval": False} if name == "SAC" else {}
    try:
        with np.errstate(all="ignore"):  # numbers that make no sense are checked where they are used
            return obspy.read(source, format=name, check_compression=False, **options)
    except TypeError as err:
        if name is None:
            raise BadRecord("expected a format that pymseed or ObsPy reads, received another one") from err
        raise BadRecord(f"expected a whole {name} file, received TypeError: {err}") from err
    except Exception as err:  # ObsPy's readers raise whatever a damaged file makes their code trip over.
        reason = str(err).replace(path, os.path.basename(path)).strip().split("\n")[0] or "something not supported"
        raise BadRecord(f"expected a whole waveform file, received {type(err).__name__}: {reason}") from err


def _format_of(content: bytes) -> str | None:
    """ObsPy's name of a format on the list, by the first bytes; None for all others."""
    if content.startswith(b"WID2"):
        return "GSE2"
    if content.startswith((b"\x55\x3a\x01\x00", b"\x3a\x55\x00\x01")):
        return "SEG2"
    if _sac_order(content):
        return "SAC"
    return "SEGY" if _is_segy(content) else None


def _sac_order(content: bytes) -> str:
    """Byte order of a SAC file, "" if it is none: step above 0, version and logicals what they can be."""
    if len(content) < _SAC_HEADER_BYTES:
        return ""
    for order in "<>":
        [delta], [version] = struct.unpack_from(f"{order}f", content), struct.unpack_from(f"{order}i", content, 304)
        logicals = struct.unpack_from(f"{order}4i", content, 420)
        if delta > 0 and 1 <= version <= 20 and all(value in (0, 1, -12345) for value in logicals):
            return order
    return ""


def _check_sac(content: bytes) -> None:
    [count] = struct.unpack_from(f"{_sac_order(content)}i", content, 316)
    if len(content) != _SAC_HEADER_BYTES + 4 * count:
        size = f"{_SAC_HEADER_BYTES} bytes and 4 for each of {count} samples"
        raise BadRecord(f"expected a SAC file of {size}, received {len(content)} bytes")


def _without_places(content: bytes) -> bytes:
    """A SAC file without the places of station and event: ObsPy subtracts 360 degrees until a longitude is below 180.

    Of a longitude of 1e30, as one wrong bit makes it, it does so for ever.
    """
    changed = bytearray(content)
    for number in (31, 32, 35, 36):  # STLA, STLO, EVLA, EVLO
        struct.pack_into(f"{_sac_order(content)}f", changed, 4 * number, -12345.0)  # not given
    return bytes(changed)


def _sac_rate(content: bytes) -> float:
    """Sampling rate that the header's 32-bit step means: to 7 digits where it can't tell this from the rest.

    ObsPy rounds the step to microseconds: 1024 Hz would be 1023.5, and 10 MHz infinite.
    """
    [step] = struct.unpack_from(f"{_sac_order(content)}f", content)
    short = float(f"{1 / step:.7g}")
    return short if abs(1 / short - step) <= np.spacing(np.float32(step)) else 1 / step


def _check_gse2(content: bytes) -> None:
    if not content.isascii():
        raise BadRecord("expected ASCII in a GSE2 file, received other bytes")
    _check_gse_lines(content)
    for line in content.split(b"\n"):
        # A sample takes a character at least; ObsPy allocates as many samples as are stated.
        count = line[48:56].strip()
        if line.startswith(b"WID2") and not (count.isdigit() and int(count) <= len(content)):
            raise BadRecord(f"expected at most {len(content)} samples, a character each, received {count.decode()!r}")


def _check_gse_lines(content: bytes) -> None:
    # ObsPy copies the data lines of a GSE file into 83 bytes, however long they are, and the process dies.
    lines = [line for line in content.split(b"\n") if not line.startswith((b"WID", b"XW01"))]
    longest = max(map(len, lines), default=0)
    if longest > 81:
        raise BadRecord(f"expected lines of up to 81 characters in a GSE file, received one of {longest}")


def _is_segy(content: bytes) -> bool:
    """Whether the binary file header has a known sample format and version, and intervals and counts above 0."""
    if len(content) < _SEGY_HEADER_BYTES:
        return False
    for order in "<>":
        interval, _, samples, _, code = struct.unpack_from(f"{order}5H", content, 3216)
        [version] = struct.unpack_from(f"{order}H", content, 3500)
        if code in (1, 2, 3, 4, 5, 8) and interval and samples:
            return version in (0x0000, 0x0100, 0x0010, 0x0001)
    return False


def _check_segy(content: bytes) -> None:
    """ObsPy itself compares each trace's number of samples with what is left of the file."""


def _check_seg2(content: bytes) -> None:
    """Traces one after the other, each inside the file.

    ObsPy allocates as many samples as are stated, and reads one place as often as it is pointed at.
    """
    order = "<" if content[0] == 0x55 else ">"
    try:
        pointer_bytes, count = struct.unpack_from(f"{order}2H", content, 4)
        starts = struct.unpack_from(f"{order}{count}L", content, 32)
        end = 32 + pointer_bytes
        if count and (starts[0] - end) * count > _MOST_SEG2_NOTES_BYTES:
            raise BadRecord(f"expected short notes before {count} SEG-2 traces, received {starts[0] - end} bytes")
        for start in starts:
            block, samples = struct.unpack_from(f"{order}2xH4xL", content, start)
            if start < end:
                raise BadRecord(f"expected SEG-2 traces one after the other, received one at byte {start} before {end}")
            end = start + block + int(samples * {1: 2, 2: 4, 3: 2.5, 4: 4, 5: 8}.get(content[start + 12], 0))
            if end > len(content):
                raise BadRecord(f"expected a SEG-2 file of at least {end} bytes, received {len(content)}")
    except (struct.error, IndexError) as err:
        raise BadRecord(f"expected a whole SEG-2 file, received {len(content)} bytes") from err


_CHECKS = {"SAC": _check_sac, "GSE2": _check_gse2, "SEGY": _check_segy, "SEG2": _check_seg2}
