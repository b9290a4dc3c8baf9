"""Windows along records, one after the other: every part of a record is looked at, in the order of time.

A record is read once and processed as a whole, as the training records were; then its windows are cut and checked in
blocks. So memory holds one record and one block of windows, however many windows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms.filters import process, resampling_ratio
from seis_tf.waveforms.loading import BLOCK_RECORDS, BLOCK_SAMPLES, detrended
from seis_tf.waveforms.readers import BadRecord, Trace
from seis_tf.waveforms.windows import (
    Target,
    Window,
    make_target,
    offsets_of,
    raw_samples,
    record_length,
    refuse_unusable,
)


@dataclass(frozen=True, slots=True)
class Windows:
    """Some windows of one record, in the order of time.

    Attributes:
        record: position of the record among those given.
        start_s: float64 [window], begin in s after the record's first sample; NaN where the whole record can't be used.
        start_ns: int64 [window], the same in ns since 1970-01-01 UTC, as the header says; 0 where that is unknown.
        samples: float32 [usable window, sample], as `waveforms.Waveforms.samples`.
        kept: int64 [usable window], positions of the usable windows among these.
        reasons: position to reason, for the others.
    """

    record: int
    start_s: np.ndarray
    start_ns: np.ndarray
    samples: np.ndarray
    kept: np.ndarray
    reasons: dict[int, str]


def step_samples(slide_s: float, settings: RecordSettings, rate_hz: float) -> int:
    """From the begin of a window to that of the next.

    Raises:
        ValueError: it is less than a sample, or more than a window, so that some of the record would be skipped.
    """
    window_s = settings.length_samples / rate_hz
    if not 1 / rate_hz <= slide_s * (1 + 1e-9) or slide_s > window_s * (1 + 1e-9):
        expected = f"from one sample, {1 / rate_hz:g} s, to one window, {window_s:g} s"
        raise ValueError(f"slide: expected a step {expected}, received {slide_s:g} s")
    return round(slide_s * rate_hz)


def windows_along(
    items: Iterable[list[Trace] | BadRecord], settings: RecordSettings, sampling_rate_hz: float, slide_s: float
) -> Iterator[Windows]:
    """Cuts windows along records.

    Of each piece without a gap the first window begins at its first sample, the next ones a step later each, and the
    last one ends at its last sample. Gaps are never bridged.

    Args:
        items: for each record its joined traces, or why it can't be read.
        settings: length, detrending, filter, response, resampling; the anchor has no meaning here.
        sampling_rate_hz: as for `waveforms.load_batch`.
        slide_s: the step.

    Yields:
        windows of one record, at least once for each: a record (or a piece) that can't be used, or is shorter than a
        window, is one window with a reason.

    Raises:
        ValueError: the settings or the step can't work for any record.
    """
    target = make_target(settings, sampling_rate_hz)
    step = step_samples(slide_s, settings, target.rate_hz)
    for position, item in enumerate(items):
        try:
            refuse_unusable(item, target)
        except BadRecord as err:
            yield _unusable(position, np.nan, 0, str(err))
            continue
        yield from _along_record(position, item, target, step)


def _along_record(position: int, pieces: list[Trace], target: Target, step: int) -> Iterator[Windows]:
    parts = process(pieces, target.settings) if target.whole_traces else [piece.samples for piece in pieces]
    try:
        ratio = resampling_ratio(pieces[0].sampling_rate_hz, target.settings)
    except BadRecord as err:
        yield _unusable(position, np.nan, 0, str(err))
        return
    length, total = target.settings.length_samples, record_length(pieces, ratio)
    block = max(min(BLOCK_RECORDS, BLOCK_SAMPLES // length), 1)
    for piece, part, offset in zip(pieces, parts, offsets_of(pieces, ratio), strict=True):
        offset_s = (piece.start_ns - pieces[0].start_ns) * 1e-9
        if isinstance(part, BadRecord) or part.size < length:
            short = f"expected at least {length} samples without a gap, received {piece.samples.size}"
            yield _unusable(position, offset_s, piece.start_ns, str(part) if isinstance(part, BadRecord) else short)
            continue
        last = part.size - length
        firsts = np.array([*range(0, last, step), last])
        for some in np.split(firsts, range(block, len(firsts), block)):
            windows = [
                Window(part[first : first + length], raw_samples(piece, first, length, ratio), offset + first, total)
                for first in some.tolist()
            ]
            rows, _, _, bad = detrended(windows, target)
            after_s = some / target.rate_hz
            yield Windows(
                record=position,
                start_s=offset_s + after_s,
                start_ns=piece.start_ns + np.round(after_s * 1e9).astype(np.int64),
                samples=rows.astype(np.float32),
                kept=np.array([number for number in range(len(some)) if number not in bad], np.int64),
                reasons=bad,
            )


def _unusable(position: int, start_s: float, start_ns: int, reason: str) -> Windows:
    nothing = np.empty((0, 0), np.float32)
    return Windows(position, np.array([start_s]), np.array([start_ns]), nothing, np.empty(0, np.int64), {0: reason})
