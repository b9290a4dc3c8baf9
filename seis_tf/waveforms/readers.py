"""One file -> its traces, pieces joined, whatever the format.

miniSEED is read by pymseed: whole files through `MS3Record.parse` and `from_buffer`, which raise on truncation and on
bytes that don't belong there. (`MS3TraceList` drops a truncated record in silence.) The other formats, `formats.py`, go
through ObsPy, which is imported only when such a file comes.
"""

from __future__ import annotations

import functools
import itertools
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymseed import MiniSEEDError, MS3Record, get_error_messages, sourceid2nslc
from pymseed.clib import clibmseed

from seis_tf.waveforms.formats import BadRecord, read_stream, unpacked
from seis_tf.waveforms.source_record import SourceRecord

if TYPE_CHECKING:
    from obspy import Stream

# What a miniSEED 2 header resolves. At 10 MHz that is 10 samples, and a trace in several records has seams that look
# like gaps or overlaps of a few samples though nothing is missing.
HEADER_RESOLUTION_NS = 1000
# Rates of two pieces of one trace may differ by rounding (SAC stores the step as a 32-bit float) and by clock drift.
SAME_RATE = 1e-4


@dataclass(frozen=True, slots=True)
class Trace:
    """Samples without a gap.

    Attributes:
        samples: [sample] in the file's own number type and units.
        sampling_rate_hz: as the header says.
        seed_id: NETWORK.STATION.LOCATION.CHANNEL.
        start_ns: time of the first sample in ns since 1970-01-01 UTC.
    """

    samples: np.ndarray
    sampling_rate_hz: float
    seed_id: str
    start_ns: int


def read_traces(path: str | Path, any_format: bool = False) -> list[Trace]:
    """Reads a file of any supported format.

    Pieces that touch within half a sample, or within the microsecond that a miniSEED 2 header resolves, are joined;
    gaps are never bridged, overlaps never resolved.

    Args:
        path: of the file.
        any_format: whether ObsPy may take it for any of its formats, some of which make it open further files that this
            one names; for files that are trusted.

    Returns:
        the traces, sorted by id and start.

    Raises:
        ValueError: the file is empty, truncated, damaged or of an unknown format; names it.
    """
    try:
        return join_pieces(read_pieces(path, any_format))
    except BadRecord as err:
        raise ValueError(f"{path}: {err}") from err


def read_records(records: Iterable[SourceRecord]) -> Iterator[list[Trace] | BadRecord]:
    """For each record its joined traces, or why it can't be read: one bad file never stops the others."""
    for container, several in itertools.groupby(records, lambda record: record.path if record.location else None):
        if container is not None:
            yield from _read_from_container(container, list(several))
            continue
        for record in several:
            try:
                answer = join_pieces(read_pieces(record.path, record.any_format))
            except BadRecord as err:
                answer = err
            yield answer


def read_pieces(path: str | Path, any_format: bool = False) -> list[Trace]:
    """The pieces of all traces in a file, as they lie there.

    Raises:
        BadRecord: as `read_traces`.
    """
    content = _content(path)
    pieces = _read_miniseed(content)
    if pieces is not None:
        return pieces
    inside = unpacked(content)
    if inside is not content and (pieces := _read_miniseed(inside)) is not None:
        return pieces
    # ObsPy guesses the format of files only: for bytes in memory it would run pickled code.
    return pieces_of_stream(read_stream(inside, path if any_format and inside is content else None))


def _content(path: str | Path) -> bytes:
    try:
        # By system calls, as few as there can be: for small files Python's own file costs more than the reading.
        # Without O_NONBLOCK a pipe would be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            state = os.fstat(handle)
            if not stat.S_ISREG(state.st_mode):
                raise BadRecord("expected a file, received a folder, a device or a pipe")
            content = os.read(handle, state.st_size)
            while len(content) < state.st_size and (more := os.read(handle, state.st_size - len(content))):
                content += more  # a call reads 2 GiB at most
        finally:
            os.close(handle)
    except OSError as err:
        raise BadRecord(f"expected a readable file, received {err.strerror}") from err
    if not content:
        raise BadRecord("expected a waveform file, received an empty file")
    return content


def _read_miniseed(content: bytes) -> list[Trace] | None:
    """The pieces of a miniSEED file; None for other content."""
    try:
        record = MS3Record.parse(content, unpack_data=True)
    except MiniSEEDError as err:
        if err.status_code == clibmseed.MS_NOTSEED:
            return None
        # Not whole, or of a length that only the end of the file tells: `from_buffer` knows.
        return _several_records(content)
    if record.reclen != len(content):
        return _several_records(content)
    piece = _piece(record)
    if piece is None:
        raise BadRecord("expected samples, received a file without any")
    return [piece]


def _several_records(content: bytes) -> list[Trace]:
    pieces, position = [], 0
    try:
        for record in MS3Record.from_buffer(content, unpack_data=True):
            piece = _piece(record, copy=True)
            if piece is not None:
                pieces.append(piece)
            position += record.reclen
    except MiniSEEDError as err:
        if err.status_code == clibmseed.MS_NOTSEED:
            what = "other bytes"
        elif err.status_code == clibmseed.MS_ENDOFFILE:
            what = f"a cut-off one ({str(err).rpartition(', ')[2]})"
        else:
            what = str(err).split(" :: ")[0]
        raise BadRecord(f"expected whole miniSEED records, received {what} at byte {position}") from err
    if not pieces:
        raise BadRecord("expected samples, received a file without any")
    return pieces


def _piece(record: MS3Record, copy: bool = False) -> Trace | None:
    """Samples of one miniSEED record (None if it has none).

    Raises:
        BadRecord: text, or a record that doesn't decode to what its header says. libmseed only warns when the last
            sample differs from the check value in Steim data, so that a flipped bit would pass.
    """
    if record.samplecnt == 0:
        return None
    warnings = get_error_messages()
    if warnings:
        raise BadRecord(f"expected samples that agree with the record's check value, received {warnings[0]}")
    if record.sampletype not in ("i", "f", "d") or record.numsamples != record.samplecnt:
        received = f"{record.numsamples} of type {record.sampletype_str()}"
        raise BadRecord(f"expected {record.samplecnt} numeric samples, received {received}")
    rate = record.samprate
    if not 0 < rate < np.inf:
        raise BadRecord(f"expected a sampling rate above 0 Hz, received {rate}")
    try:
        seed_id = _seed_id(record.sourceid)
    except UnicodeDecodeError as err:
        raise BadRecord(f"expected a source id in UTF-8, received {err.object!r}") from err
    samples = record.np_datasamples
    return Trace(samples.copy() if copy else samples, rate, seed_id, record.starttime)


@functools.lru_cache(maxsize=4096)
def _seed_id(sourceid: str) -> str:
    """`FDSN:UW_FMW__E_H_Z` as `UW.FMW..EHZ`."""
    try:
        return ".".join(sourceid2nslc(sourceid))
    except ValueError:
        return sourceid


def pieces_of_stream(stream: Stream) -> list[Trace]:
    """The traces of an ObsPy Stream; masked ones (merged over gaps) fall into their unmasked parts.

    Raises:
        BadRecord: there are no samples, or they are no numbers.
    """
    pieces = []
    for trace in stream:
        for part in trace.split() if isinstance(trace.data, np.ma.MaskedArray) else [trace]:
            samples = np.asarray(part.data)
            if samples.dtype.kind not in "iuf":
                raise BadRecord(f"expected numeric samples in {part.id}, received {samples.dtype}")
            rate = float(part.stats.sampling_rate)
            if not 0 < rate < np.inf:
                raise BadRecord(f"expected a sampling rate above 0 Hz in {part.id}, received {rate}")
            if samples.size:
                pieces.append(Trace(samples, rate, part.id, part.stats.starttime.ns))
    if not pieces:
        raise BadRecord("expected samples, received none")
    return pieces


def _read_from_container(path: str, records: list[SourceRecord]) -> Iterator[list[Trace] | BadRecord]:
    from seis_tf.waveforms.seisbench import read_traces as read_samples

    answers = read_samples(path, [record.location for record in records])
    for record, samples in zip(records, answers, strict=True):
        if isinstance(samples, str):
            yield BadRecord(samples)
        else:
            yield [Trace(samples, record.sampling_rate_hz, record.station or record.record_id, 0)]


def join_pieces(pieces: list[Trace]) -> list[Trace]:
    """Joins the pieces that touch, each id for itself; sorted by id and start."""
    if len(pieces) == 1:
        return pieces
    runs: list[list[Trace]] = []
    for piece in sorted(pieces, key=lambda piece: (piece.seed_id, piece.start_ns)):
        if runs and _touch(runs[-1][-1], piece):
            runs[-1].append(piece)
        else:
            runs.append([piece])
    return [
        Trace(np.concatenate([p.samples for p in run]), run[0].sampling_rate_hz, run[0].seed_id, run[0].start_ns)
        for run in runs
    ]


def _touch(left: Trace, right: Trace) -> bool:
    rate = left.sampling_rate_hz
    if left.seed_id != right.seed_id or abs(right.sampling_rate_hz / rate - 1) > SAME_RATE:
        return False
    # Differences in integer ns: seconds since 1970 in float64 resolve only a quarter of a microsecond.
    missing_ns = right.start_ns - left.start_ns - left.samples.size * 1e9 / rate
    return abs(missing_ns) <= max(0.5e9 / rate, HEADER_RESOLUTION_NS)


def header_rate(record: SourceRecord) -> float:
    """Sampling rate of a record's first trace; of miniSEED only the header is read.

    Raises:
        BadRecord: the file can't be read.
    """
    if record.sampling_rate_hz is not None:
        return record.sampling_rate_hz
    if os.path.isfile(record.path):
        try:
            for header in MS3Record.from_file(record.path):
                if header.samplecnt:
                    return header.samprate
        except MiniSEEDError:
            pass
    return read_pieces(record.path, record.any_format)[0].sampling_rate_hz
