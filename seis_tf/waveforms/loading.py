"""Stage 1: records -> waveforms of one length, checked, detrended and measured.

Files are read one by one (`readers.py`), everything after that is done for blocks of records at once. A record that
can't be used is left out with a reason; it never stops the others.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from seis_tf.dataset.shards import Rejection
from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms.filters import not_finite, remove_trend
from seis_tf.waveforms.readers import (
    BadRecord,
    Trace,
    header_rate,
    join_pieces,
    pieces_of_stream,
    read_records,
    read_traces,
)
from seis_tf.waveforms.source_record import SourceRecord
from seis_tf.waveforms.windows import Target, Window, cut, make_target, processed_windows, refuse_unusable

if TYPE_CHECKING:
    from obspy import Stream

__all__ = ["Trace", "Waveforms", "common_sampling_rate", "from_stream", "load_batch", "read_traces"]

# Records are worked on in blocks that stay in the processor's cache; of long records fewer, to bound the memory.
BLOCK_RECORDS = 128
BLOCK_SAMPLES = 4_000_000
# Powers are compared over the strongest and the quietest quarter, each of 8 of the window's 32 frames.
SNR_FRAMES = 32
SNR_LIMIT_DB = 120.0
CLIPPED_RUN = 3
RATE_TRIES = 64
FLOAT32 = np.finfo(np.float32)


@dataclass(frozen=True, slots=True)
class Waveforms:
    """Records of one length and what was measured on them. `record` counts the good ones only.

    Attributes:
        samples: float32 [record, sample], detrended (and filtered, resampled where asked for), in the source's units.
        sampling_rate_hz: of all records.
        snr_db: float32 [record]; see `signal_to_noise_db`.
        peak_amplitude: float32 [record], largest absolute sample, in the source's units.
        clipped: bool [record]; see `is_clipped`.
        record_samples: int64 [record], how long the whole record is, at `sampling_rate_hz`.
        first_sample: int64 [record], where in the record its window begins.
        content_hash: per record 16 bytes of BLAKE2b over the whole trace as float64, as it was read: the same numbers
            give the same hash, whatever the file format or number type.
        kept: int64 [record], positions of the good records among those given.
        rejected: the others.
    """

    samples: np.ndarray
    sampling_rate_hz: float
    snr_db: np.ndarray
    peak_amplitude: np.ndarray
    clipped: np.ndarray
    record_samples: np.ndarray
    first_sample: np.ndarray
    content_hash: list[bytes]
    kept: np.ndarray
    rejected: list[Rejection]

    def take(self, rows: np.ndarray) -> Waveforms:
        """Only these of the good records [record]."""
        return replace(
            self,
            samples=self.samples[rows],
            snr_db=self.snr_db[rows],
            peak_amplitude=self.peak_amplitude[rows],
            clipped=self.clipped[rows],
            content_hash=[self.content_hash[row] for row in rows],
            kept=self.kept[rows],
        )


def load_batch(records: list[SourceRecord], settings: RecordSettings, sampling_rate_hz: float) -> Waveforms:
    """Reads records and brings them to one length.

    Args:
        records: what to read.
        settings: length, anchor, detrending, filter, response, resampling.
        sampling_rate_hz: the rate that every record must have. With `settings.resample_hz` records of any rate are
            taken (unless `settings.sampling_rate_hz` names one) and resampled.

    Returns:
        the good records in the order given, and the rejected ones with reasons: unreadable, truncated or followed by
        other bytes, empty, of another rate, too short, with a gap in the kept window, several or overlapping traces,
        NaN or Inf, constant, no onset (anchor "onset") or response (`settings.stationxml`).

    Raises:
        ValueError: the settings can't work for any record (a band above Nyquist, no StationXML).
    """
    return load_traces(read_records(records), [record.file for record in records], settings, sampling_rate_hz)


def from_stream(stream: Stream, settings: RecordSettings, sampling_rate_hz: float) -> Waveforms:
    """Brings the traces of an ObsPy Stream to one length: a record for each id, in order of first appearance.

    Arguments, result and errors as for `load_batch`; `Rejection.file` is the id.
    """
    ids, items = records_of_stream(stream)
    return load_traces(items, ids, settings, sampling_rate_hz)


def records_of_stream(stream: Stream) -> tuple[list[str], Iterator[list[Trace] | BadRecord]]:
    """The ids in an ObsPy Stream, in order of first appearance, and for each its joined traces."""
    ids = list(dict.fromkeys(trace.id for trace in stream))

    def pieces(seed_id: str) -> list[Trace] | BadRecord:
        try:
            return join_pieces(pieces_of_stream([trace for trace in stream if trace.id == seed_id]))
        except BadRecord as err:
            return err

    return ids, map(pieces, ids)


def common_sampling_rate(records: list[SourceRecord]) -> float:
    """The commonest sampling rate in Hz among up to 64 evenly spaced readable records; of equally common, the highest.

    Raises:
        ValueError: none of them can be read; gives the first reason.
    """
    rates: Counter[float] = Counter()
    reasons = []
    count = min(RATE_TRIES, len(records))
    for position in range(count):
        record = records[position * len(records) // count]
        try:
            rates[header_rate(record)] += 1
        except BadRecord as err:
            reasons.append(f"{record.file}: {err}")
    if not rates:
        raise ValueError(f"sampling rate: expected readable records, received none; {(reasons or ['no records'])[0]}")
    return max(rates, key=lambda rate: (rates[rate], rate))


def load_traces(
    items: Iterable[list[Trace] | BadRecord], names: Sequence[str], settings: RecordSettings, sampling_rate_hz: float
) -> Waveforms:
    """As `load_batch`, for records that were read already: their joined traces, or why they can't be read."""
    target = make_target(settings, sampling_rate_hz)
    length = settings.length_samples
    block_records = max(min(BLOCK_RECORDS, BLOCK_SAMPLES // length), 1)
    batch = _Batch(len(names), length)
    pending: list[tuple[int, list[Trace]]] = []
    pending_samples = 0
    for position, item in enumerate(items):
        try:
            refuse_unusable(item, target)
        except BadRecord as err:
            batch.reasons[position] = str(err)
            continue
        pending.append((position, item))
        pending_samples += sum(piece.samples.size for piece in item)
        if len(pending) >= block_records or pending_samples >= BLOCK_SAMPLES:
            _add_block(batch, pending, target)
            pending, pending_samples = [], 0
    if pending:
        _add_block(batch, pending, target)
    good = slice(len(batch.kept))
    return Waveforms(
        samples=batch.samples[good],
        sampling_rate_hz=target.rate_hz,
        snr_db=batch.snr_db[good],
        peak_amplitude=batch.peak_amplitude[good],
        clipped=batch.clipped[good],
        record_samples=batch.record_samples[good],
        first_sample=batch.first_sample[good],
        content_hash=batch.content_hash,
        kept=np.array(batch.kept, np.int64),
        rejected=[Rejection(names[position], reason) for position, reason in sorted(batch.reasons.items())],
    )


class _Batch:
    """Arrays for the results of `count` records, filled block by block."""

    def __init__(self, count: int, length: int) -> None:
        self.samples = np.empty((count, length), np.float32)
        self.snr_db = np.empty(count, np.float32)
        self.peak_amplitude = np.empty(count, np.float32)
        self.clipped = np.empty(count, bool)
        self.record_samples = np.empty(count, np.int64)
        self.first_sample = np.empty(count, np.int64)
        self.content_hash: list[bytes] = []
        self.kept: list[int] = []
        self.reasons: dict[int, str] = {}


def _add_block(batch: _Batch, pending: list[tuple[int, list[Trace]]], target: Target) -> None:
    """Cuts, checks, detrends and measures some records, and adds the good ones to the batch."""
    good: list[tuple[int, list[Trace], Window]] = []
    for (position, pieces), window in zip(pending, _windows(pending, target), strict=True):
        if isinstance(window, BadRecord):
            batch.reasons[position] = str(window)
        else:
            good.append((position, pieces, window))
    if not good:
        return
    rows, peak, clipped, bad = detrended([window for _, _, window in good], target)
    for number, reason in bad.items():
        batch.reasons[good[number][0]] = reason
    good = [record for number, record in enumerate(good) if number not in bad]
    places = slice(len(batch.kept), len(batch.kept) + len(good))
    batch.samples[places] = rows
    batch.snr_db[places] = signal_to_noise_db(rows)
    batch.peak_amplitude[places] = peak
    batch.clipped[places] = clipped
    batch.record_samples[places] = [window.record_samples for _, _, window in good]
    batch.first_sample[places] = [window.first for _, _, window in good]
    batch.content_hash.extend(content_hash(pieces) for _, pieces, _ in good)
    batch.kept.extend(position for position, _, _ in good)


def detrended(windows: list[Window], target: Target) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[int, str]]:
    """Checks at least one window and removes the trend of each.

    Returns:
        of the usable ones float64 [window, sample], their largest absolute samples and whether they are clipped
        [window]; and for the positions of the others why they can't be used: NaN or Inf, constant, or amplitudes that
        32-bit floats don't hold.
    """
    rows = np.empty((len(windows), target.settings.length_samples))
    for row, window in zip(rows, windows, strict=True):
        row[:] = window.samples
    if target.whole_traces:
        checks = [_examine(np.asarray(window.raw, np.float64)[None]) for window in windows]
        finite, dead, clipped = (np.concatenate(values) for values in zip(*checks, strict=True))
    else:
        finite, dead, clipped = _examine(rows)
    rows[~finite] = 0
    scale = np.abs(rows).max(axis=1)
    remove_trend(rows, target.settings.detrend)
    peak = np.abs(rows).max(axis=1)
    # What rounding leaves of a straight line is no signal; and what float32 can't hold would end as Inf or 0.
    rounding = np.array([_rounding(window.raw) for window in windows])
    fits = (peak > rounding * scale) & (peak >= FLOAT32.tiny) & (peak <= FLOAT32.max)
    usable = finite & ~dead & fits
    bad = {}
    for number in np.flatnonzero(~usable).tolist():
        raw = windows[number].raw
        bad[number] = str(not_finite(raw)) if not finite[number] else _no_signal(raw, peak[number], scale[number])
    if bad:
        rows, peak, clipped = rows[usable], peak[usable], clipped[usable]
    return rows, peak, clipped, bad


def _windows(pending: list[tuple[int, list[Trace]]], target: Target) -> Iterator[Window | BadRecord]:
    if target.whole_traces:
        yield from processed_windows([pieces for _, pieces in pending], target)
        return
    for _, pieces in pending:
        try:
            yield cut(pieces, [piece.samples for piece in pieces], target)
        except BadRecord as err:
            yield err


def _examine(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per row of raw samples [record, sample]: all finite, all equal, clipped; bool [record] each."""
    low, high = rows.min(axis=1), rows.max(axis=1)
    return np.isfinite(low) & np.isfinite(high), low == high, is_clipped(rows, low, high)


def _rounding(raw: np.ndarray) -> float:
    """Part of its largest sample below which a record's signal is rounding; of float32 the exported graph's limit."""
    return 2 * float(FLOAT32.eps) if raw.dtype in (np.float32, np.float16) else 1e-12


def _no_signal(raw: np.ndarray, peak: float, scale: float) -> str:
    if raw.min() == raw.max():
        return f"expected a trace that varies, received {raw.size} samples of {raw[0]:g}"
    if peak <= _rounding(raw) * scale:
        return f"expected a trace that varies, received a straight line from {raw[0]:g} to {raw[-1]:g}"
    return f"expected amplitudes that 32-bit floats hold, received {peak:g}"


def is_clipped(rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Whether at least three samples in a row lie exactly at the largest or the smallest value of the window.

    A saturated digitiser repeats its limit. Quiet records of few counts, and peaks that are smooth at the sampling
    rate, do so by chance now and then: a flag, no reason to reject.

    Args:
        rows: [record, sample], raw.
        low: [record], smallest value of each.
        high: [record], largest value of each.

    Returns:
        bool [record].
    """
    clipped = np.zeros(len(rows), bool)
    for limit in (low, high):
        at_limit = rows == limit[:, None]
        # Few records have three such samples at all; only they are looked at for a run.
        candidates = np.flatnonzero(at_limit.sum(axis=1) >= CLIPPED_RUN)
        runs = sliding_window_view(at_limit[candidates], min(CLIPPED_RUN, rows.shape[1]), axis=1)
        clipped[candidates] |= runs.all(axis=2).any(axis=1)
    return clipped


def signal_to_noise_db(rows: np.ndarray) -> np.ndarray:
    """Power of the strongest quarter of the window over that of its quietest quarter, in dB.

    The window is cut into 32 frames, the power of a frame is its variance: slow oscillations, longer than a frame,
    count little. A quarter is 8 frames in a row, wherever they lie; its power is the mean of theirs. So the number
    needs no onset and is never negative: about 1 dB for white noise of 1,024 samples (0 dB for an endless record), and
    10 log10((signal + noise) / noise) where signal fills one quarter and doesn't reach another. At most 120 dB.

    Args:
        rows: [record, sample], detrended.

    Returns:
        float64 [record].
    """
    size = max(rows.shape[1] // SNR_FRAMES, 2)
    count = rows.shape[1] // size
    frames = rows[:, : count * size].reshape(len(rows), count, size)
    power = np.square(frames).mean(axis=2) - np.square(frames.mean(axis=2))
    quarters = sliding_window_view(np.maximum(power, 0), max(count // 4, 1), axis=1).mean(axis=2)
    strongest, quietest = quarters.max(axis=1), quarters.min(axis=1)
    floor = np.maximum(strongest * 10 ** (-SNR_LIMIT_DB / 10), np.finfo(np.float64).tiny)
    return 10 * np.log10(np.maximum(strongest, floor) / np.maximum(quietest, floor))


def content_hash(pieces: list[Trace]) -> bytes:
    """16 bytes of BLAKE2b over the samples of a trace as little-endian float64, piece after piece."""
    digest = hashlib.blake2b(digest_size=16)
    for piece in pieces:
        digest.update(np.ascontiguousarray(piece.samples, "<f8"))
    return digest.digest()
