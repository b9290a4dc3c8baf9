"""The pieces of a trace -> the window that is kept: one rate, one length, no gap inside.

Positions are counted in samples of the result, from the first sample of the record's first piece.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np

from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms.filters import process, rate_tolerance, read_stationxml, resampling_ratio
from seis_tf.waveforms.readers import SAME_RATE, BadRecord, Trace

# A record of which less than this is used is worth a word.
NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True)
class Target:
    """What records are brought to.

    Attributes:
        settings: length, anchor and processing.
        rate_hz: of the result.
        expected_hz: that records must have; None where records of any rate are resampled.
    """

    settings: RecordSettings
    rate_hz: float
    expected_hz: float | None

    @property
    def whole_traces(self) -> bool:
        """Whether more is needed than cutting: the trace is processed before its window is chosen."""
        settings = self.settings
        return bool(settings.anchor == "onset" or settings.bandpass_hz or settings.stationxml or settings.resample_hz)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a record that is kept.

    Attributes:
        samples: [length_samples], filtered and resampled where asked for.
        raw: [sample], the same time span as it was read.
        first: position of its first sample in the record.
        record_samples: how long the record is, gaps included, at the rate of the result.
    """

    samples: np.ndarray
    raw: np.ndarray
    first: int
    record_samples: int


def make_target(settings: RecordSettings, sampling_rate_hz: float) -> Target:
    """What `settings` mean for records of one sampling rate.

    Raises:
        ValueError: no record can meet the settings.
    """
    if settings.length_samples is None:
        raise ValueError("length_samples: expected the samples of a window, received none")
    if not 0 < sampling_rate_hz < math.inf:
        raise ValueError(f"sampling_rate_hz: expected a rate above 0 Hz, received {sampling_rate_hz}")
    if settings.resample_hz:
        target = Target(settings, settings.resample_hz, settings.sampling_rate_hz)
    else:
        target = Target(settings, sampling_rate_hz, sampling_rate_hz)
    if settings.bandpass_hz and target.expected_hz and settings.bandpass_hz[1] >= target.expected_hz / 2:
        nyquist, high = target.expected_hz / 2, settings.bandpass_hz[1]
        raise ValueError(
            f"bandpass_hz: expected corners below half the sampling rate, {nyquist:g} Hz, received {high:g}"
        )
    if settings.stationxml:
        read_stationxml(settings.stationxml)
    return target


def refuse_unusable(item: list[Trace] | BadRecord, target: Target) -> None:
    """Refuses what could not be read, and traces that can't be cut to the target.

    Raises:
        BadRecord: says why.
    """
    if isinstance(item, BadRecord):
        raise item
    check_pieces(item, target)


def check_pieces(pieces: list[Trace], target: Target) -> None:
    """Checks that the pieces are of one trace, don't overlap, and have the expected rate.

    Args:
        pieces: sorted by id and start, those that touch joined.
        target: the length and the rate that the window is to have.

    Raises:
        BadRecord: they aren't; says what was received.
    """
    rate = pieces[0].sampling_rate_hz
    if len(pieces) > 1:
        ids = sorted({piece.seed_id for piece in pieces})
        if len(ids) > 1:
            raise BadRecord(f"expected one trace, received {len(ids)}: {', '.join(ids[:8])}")
        if any(abs(piece.sampling_rate_hz / rate - 1) > SAME_RATE for piece in pieces):
            rates = ", ".join(f"{rate:.10g}" for rate in sorted({piece.sampling_rate_hz for piece in pieces})[:8])
            raise BadRecord(f"expected one sampling rate, received {rates} Hz")
        for left, right in pairwise(pieces):
            missing_s = (right.start_ns - left.start_ns) * 1e-9 - left.samples.size / rate
            if missing_s < 0:
                raise BadRecord(f"expected pieces one after the other, received an overlap of {-missing_s:.6g} s")
    if target.expected_hz is not None:
        raw_length = target.settings.length_samples * target.expected_hz / target.rate_hz
        if abs(rate / target.expected_hz - 1) > rate_tolerance(math.ceil(raw_length)):
            raise BadRecord(f"expected {target.expected_hz:.10g} Hz, received {rate:.10g} Hz")


def cut(pieces: list[Trace], parts: list[np.ndarray], target: Target) -> Window:
    """Chooses the window.

    Args:
        pieces: the raw pieces, as `check_pieces` wants them.
        parts: the same after processing, [sample] each; without processing, the samples themselves.
        target: length, anchor, rate.

    Raises:
        BadRecord: too short, a gap inside the window, or no onset.
    """
    length, anchor = target.settings.length_samples, target.settings.anchor
    ratio = resampling_ratio(pieces[0].sampling_rate_hz, target.settings)
    offsets = offsets_of(pieces, ratio)
    total = record_length(pieces, ratio)
    if total < length:
        raise BadRecord(f"expected at least {length} samples, received {total}")
    if anchor == "start":
        first = 0
    elif anchor == "center":
        first = (total - length) // 2
    else:
        first = _first_by_onset(parts, offsets, total, target)
    for piece, part, offset in zip(pieces, parts, offsets, strict=True):
        local = first - offset
        if 0 <= local <= part.size - length:
            raw = raw_samples(piece, local, length, ratio)
            return Window(part[local : local + length], raw, first, total)
    sizes = ", ".join(str(part.size) for part in parts[:5]) + (", ..." if len(parts) > 5 else "")
    raise BadRecord(
        f"expected {length} samples without a gap from sample {first}, received {len(parts)} pieces of {sizes} samples"
    )


def raw_samples(piece: Trace, first: int, length: int, ratio: Fraction) -> np.ndarray:
    """The samples as read of the `length` samples of the result that begin at `first` in the piece."""
    start = first * ratio.denominator // ratio.numerator
    return piece.samples[start : start - (-length * ratio.denominator // ratio.numerator)]


def offsets_of(pieces: list[Trace], ratio: Fraction) -> list[int]:
    """Positions of the pieces' first samples, at the rate of the result."""
    rate_hz = pieces[0].sampling_rate_hz * float(ratio)
    return [round((piece.start_ns - pieces[0].start_ns) * 1e-9 * rate_hz) for piece in pieces]


def record_length(pieces: list[Trace], ratio: Fraction) -> int:
    """Samples from the first of the first piece to the last of the last one, at the rate of the result."""
    return offsets_of(pieces, ratio)[-1] - (-pieces[-1].samples.size * ratio.numerator // ratio.denominator)


def _first_by_onset(parts: list[np.ndarray], offsets: list[int], total: int, target: Target) -> int:
    """First sample of the window that has the strongest piece's onset where the settings want it."""
    settings = target.settings
    short = max(round((settings.onset_sta_s or settings.length_samples / 50 / target.rate_hz) * target.rate_hz), 2)
    long = max(
        round((settings.onset_lta_s or settings.length_samples / 5 / target.rate_hz) * target.rate_hz), short + 1
    )
    onsets = [(*find_onset(part, short, long), offset) for part, offset in zip(parts, offsets, strict=True)]
    onset, ratio, offset = max(onsets, key=lambda candidate: candidate[1])
    last_first = total - settings.length_samples
    if ratio >= settings.onset_threshold:
        return min(max(offset + onset - round(settings.onset_position * settings.length_samples), 0), last_first)
    if settings.no_onset == "center":
        return last_first // 2
    raise BadRecord(f"expected an onset with STA/LTA of at least {settings.onset_threshold:g}, received {ratio:.3g}")


def find_onset(samples: np.ndarray, short: int, long: int) -> tuple[int, float]:
    """Onset by recursive STA/LTA (Withers et al. 1998): where the ratio first reaches half its largest value.

    Args:
        samples: [sample]; a constant offset doesn't matter, a trend does.
        short: samples of the short window.
        long: samples of the long window; the ratio is 0 within the first `long` samples.

    Returns:
        sample of the onset and the largest ratio; (0, 0.0) for traces not longer than the long window.
    """
    from obspy.signal.trigger import recursive_sta_lta

    if samples.size <= long:
        return 0, 0.0
    centred = np.asarray(samples, np.float64) - np.mean(samples, dtype=np.float64)
    if not centred.any():
        return 0, 0.0
    ratio = recursive_sta_lta(centred, short, long)
    highest = float(ratio.max())
    return int(np.argmax(ratio >= highest / 2)), highest


def processed_windows(records: list[list[Trace]], target: Target) -> list[Window | BadRecord]:
    """Windows of records that are filtered, resampled or searched for an onset before they are cut."""
    parts = iter(process([piece for pieces in records for piece in pieces], target.settings))
    answers: list[Window | BadRecord] = []
    for pieces in records:
        samples = [next(parts) for _ in pieces]
        failed = [part for part in samples if isinstance(part, BadRecord)]
        try:
            answers.append(failed[0] if failed else cut(pieces, samples, target))
        except BadRecord as err:
            answers.append(err)
    return answers
