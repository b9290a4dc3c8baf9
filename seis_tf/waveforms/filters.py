"""Whole traces -> detrended, without the instrument's response, band-passed, resampled; many at once where possible."""

from __future__ import annotations

import functools
from collections import defaultdict
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms.readers import SAME_RATE, BadRecord, Trace

if TYPE_CHECKING:
    from obspy import Inventory

LARGEST_FACTOR = 1000
UNCHANGED = Fraction(1)


def rate_tolerance(length: int) -> float:
    """Largest relative difference of sampling rates that is ignored: half a sample over the window, at most 1e-4.

    So 99.99971 Hz passes for 100 Hz in a window of 4,000 samples (2.9e-6, a hundredth of a sample at its end).
    """
    return min(SAME_RATE, 0.5 / length)


def not_finite(samples: np.ndarray) -> BadRecord:
    """The reason to give for samples [sample] that hold NaN or Inf."""
    position = int(np.argmin(np.isfinite(samples)))
    return BadRecord(f"expected finite samples, received {samples[position]} at sample {position}")


def process(traces: list[Trace], settings: RecordSettings) -> list[np.ndarray | BadRecord]:
    """Removes the response, filters and resamples whole traces, those of one size and rate together.

    Returns:
        per trace float64 [sample], or why it can't be processed.
    """
    answers: list[np.ndarray | BadRecord] = [np.empty(0)] * len(traces)
    alike: dict[tuple[int, float], list[int]] = defaultdict(list)
    for position, trace in enumerate(traces):
        # A filter would spread one NaN over the whole trace.
        if np.isfinite(trace.samples).all():
            alike[trace.samples.size, trace.sampling_rate_hz].append(position)
        else:
            answers[position] = not_finite(trace.samples)
    for (_, rate), members in alike.items():
        block = np.array([traces[position].samples for position in members], np.float64)
        try:
            processed = _process_block(block, rate, [traces[position] for position in members], settings)
        except BadRecord as err:
            processed = [err] * len(members)
        for position, samples in zip(members, processed, strict=True):
            answers[position] = samples
    return answers


def _process_block(
    block: np.ndarray, rate: float, traces: list[Trace], settings: RecordSettings
) -> np.ndarray | list[np.ndarray | BadRecord]:
    """As `process`, for [trace, sample] of one rate."""
    reasons: dict[int, BadRecord] = {}
    if settings.stationxml:
        # The band-pass below needs no detrending: it goes on at the ends along straight lines, and removes them.
        remove_trend(block, settings.detrend)
        for position, trace in enumerate(traces):
            try:
                block[position] = _without_response(block[position], trace, settings)
            except BadRecord as err:
                reasons[position] = err
    if settings.bandpass_hz:
        block = band_passed(block, rate, settings)
    ratio = resampling_ratio(rate, settings)
    if ratio != 1:
        from scipy import signal

        # "line" subtracts the line from first to last sample, so that the filter meets no step at the ends.
        block = signal.resample_poly(block, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    return [reasons.get(position, samples) for position, samples in enumerate(block)]


def remove_trend(block: np.ndarray, kind: str) -> None:
    """Subtracts from each row of float64 [record, sample], in place, its mean ("constant") or least-squares line."""
    if kind == "none":
        return
    block -= block.mean(axis=1, keepdims=True)
    if kind == "linear" and block.shape[1] > 1:
        # About the middle, line and mean are independent: the slope is a projection on the centred ramp.
        ramp = np.arange(block.shape[1]) - (block.shape[1] - 1) / 2
        block -= (block @ (ramp / (ramp @ ramp)))[:, None] * ramp


def band_passed(block: np.ndarray, rate: float, settings: RecordSettings) -> np.ndarray:
    """Zero-phase Butterworth band-pass of each row: forwards and backwards, so the order counts twice.

    Raises:
        BadRecord: the band reaches half the sampling rate.
    """
    low, high = settings.bandpass_hz
    if high >= rate / 2:
        raise BadRecord(f"expected a sampling rate above {2 * high:g} Hz for the band-pass, received {rate:g} Hz")
    # SciPy's signal package takes longer to import than all the rest, and most data sets need none of it.
    from scipy import signal

    sections = signal.butter(settings.bandpass_order, (low, high), "bandpass", fs=rate, output="sos")
    padding = min(3 * (2 * len(sections) + 1), block.shape[1] - 1)
    return signal.sosfiltfilt(sections, block, axis=1, padlen=padding)


def resampling_ratio(rate: float, settings: RecordSettings) -> Fraction:
    """Rate of the result over rate of the trace, in whole numbers up to 1000; 1 without resampling.

    Raises:
        BadRecord: no such ratio comes close enough.
    """
    if settings.resample_hz is None:
        return UNCHANGED
    exact = settings.resample_hz / rate
    ratio = Fraction(exact).limit_denominator(LARGEST_FACTOR)
    tolerance = rate_tolerance(settings.length_samples)
    if ratio.numerator > LARGEST_FACTOR or abs(ratio / exact - 1) > tolerance:
        raise BadRecord(
            f"expected a rate whose ratio to {settings.resample_hz:g} Hz is of whole numbers up to {LARGEST_FACTOR}, "
            f"received {rate:.10g} Hz"
        )
    return ratio


@functools.lru_cache(maxsize=8)
def read_stationxml(pattern: str) -> Inventory:
    """Instrument responses of a StationXML file, or of all that match a pattern; read once.

    Raises:
        ValueError: there is no such file, or it is no StationXML.
    """
    import obspy

    try:
        return obspy.read_inventory(pattern, format="STATIONXML")
    except Exception as err:  # ObsPy raises what its XML and file layers raise, plain Exception included.
        line = str(err).split("\n")[0]
        raise ValueError(
            f"stationxml: expected StationXML in {pattern}, received {type(err).__name__}: {line}"
        ) from err


def _without_response(samples: np.ndarray, trace: Trace, settings: RecordSettings) -> np.ndarray:
    """Ground motion by ObsPy's `remove_response` (water level 60 dB; it tapers 5 % at each end)."""
    import obspy
    from obspy.core.util.obspy_types import ObsPyException

    header = {"sampling_rate": trace.sampling_rate_hz, "starttime": obspy.UTCDateTime(ns=trace.start_ns)}
    header.update(zip(("network", "station", "location", "channel"), trace.seed_id.split("."), strict=False))
    item = obspy.Trace(samples.copy(), header)
    try:
        item.remove_response(read_stationxml(settings.stationxml), output=settings.response_output)
    except (ValueError, ObsPyException) as err:
        line = str(err).split("\n")[0]
        raise BadRecord(f"expected a response for {trace.seed_id} at {header['starttime']}, received: {line}") from err
    return item.data
