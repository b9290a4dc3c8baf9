"""How many samples of each record are used, where `record.length_samples` is not given: as many as the records have.

Only headers of miniSEED are read, other formats whole, of up to 1,000 records.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pymseed import MiniSEEDError, MS3Record, clear_error_messages

from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms.filters import resampling_ratio
from seis_tf.waveforms.readers import BadRecord, Trace, join_pieces, read_records
from seis_tf.waveforms.source_record import SourceRecord
from seis_tf.waveforms.windows import check_pieces, make_target, record_length

SURVEYED = 1000
# Records are "of one length" when nearly all lie within 1 % of each other, so that the shortest of them loses little;
# else within 5 %: miniSEED that was never trimmed ends anywhere within one of its records.
COMMON_PART = 0.95
TOLERANCES = (0.01, 0.05)


def common_length(records: list[SourceRecord], settings: RecordSettings, sampling_rate_hz: float) -> int:
    """The length that (nearly) all records have, at the rate of the result.

    Args:
        records: of the source; up to 1,000 of them, evenly spaced, are looked at.
        settings: resampling.
        sampling_rate_hz: as for `waveforms.load_batch`; records of another rate don't count.

    Returns:
        the shortest length of the records that lie within 1 % (else 5 %) of each other, where those are 95 % of all.
        The few that are shorter can't be used.

    Raises:
        ValueError: none can be read, or their lengths differ more: how many records each length would keep.
    """
    count = min(SURVEYED, len(records))
    chosen = [records[position * len(records) // count] for position in range(count)]
    # The length decides how exactly rates must agree; the shortest possible one asks for least.
    target = make_target(settings.model_copy(update={"length_samples": 2}), sampling_rate_hz)
    samples, reasons = [], []
    for record, pieces in _traces(chosen):
        try:
            if isinstance(pieces, BadRecord):
                raise pieces
            check_pieces(pieces, target)
            samples.append(record_length(pieces, resampling_ratio(pieces[0].sampling_rate_hz, target.settings)))
        except BadRecord as err:
            reasons.append(f"{record.file}: {err}")
    if not samples:
        raise ValueError(f"length: expected readable records, received none; {(reasons or ['no records'])[0]}")
    lengths = np.sort(samples)
    for tolerance in TOLERANCES:
        length, part = _largest_group(lengths, tolerance)
        if part >= COMMON_PART:
            return length
    raise ValueError(_question(lengths, target.rate_hz))


def _largest_group(lengths: np.ndarray, tolerance: float) -> tuple[int, float]:
    """Shortest length of the largest group within the tolerance, and the group's part of all."""
    ends = np.searchsorted(lengths, lengths * (1 + tolerance), side="right")
    sizes = ends - np.arange(len(lengths))
    best = int(np.argmax(sizes))
    return int(lengths[best]), sizes[best] / len(lengths)


def _question(lengths: np.ndarray, rate_hz: float) -> str:
    """Asks for the length, with what each of a few would keep."""
    few = np.unique(np.quantile(lengths, [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], method="higher"))
    kept = [(length, 1 - np.searchsorted(lengths, length, side="left") / len(lengths)) for length in few.tolist()]
    choices = ", ".join(f"{length} ({length / rate_hz:.4g} s) {part:.0%}" for length, part in kept)
    return (
        f"length: expected records of about one length, received {lengths[0]} to {lengths[-1]} samples; "
        "say with --length-samples how many of each are used (longer records are cut, shorter ones left out). "
        f"Of {len(lengths)} records so many are long enough: {choices}"
    )


def _traces(records: list[SourceRecord]) -> Iterator[tuple[SourceRecord, list[Trace] | BadRecord]]:
    """Each record with its joined traces; of miniSEED the samples are all False, as many as the headers say."""
    others = []
    for record in records:
        pieces = [] if record.location else header_pieces(record.path)
        if pieces:
            yield record, join_pieces(pieces)
        else:
            others.append(record)
    clear_error_messages()  # of headers: `readers.py` takes any that it finds for ones about the samples it reads
    yield from zip(others, read_records(others), strict=True)


def header_pieces(path: str) -> list[Trace]:
    """The pieces of a miniSEED file, without its samples; none where it is not whole or no such file."""
    try:
        with open(path, "rb") as file:
            return [
                Trace(np.zeros(header.samplecnt, bool), header.samprate, header.sourceid, header.starttime)
                for header in MS3Record.from_buffer(file.read())
                if header.samplecnt and header.samprate > 0
            ]
    except (OSError, MiniSEEDError, UnicodeDecodeError):
        return []
