"""Checks an exported waveform model's answers against Keras and SciPy.

In: the signatures as functions of arrays, the run, its graph and test records. Out: results added to the report.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import tensorflow as tf
from scipy import signal

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.runs import Run
from seis_tf.serve.export.calibration import read_calibration
from seis_tf.serve.export.check import BATCH_LIMIT, Ask, Report, TestRecords
from seis_tf.serve.export.waveform_graph import Classifier, rate_of, raw_input
from seis_tf.settings.data import RecordSettings, SpectrogramSettings
from seis_tf.waveforms import training_data as waveform_training
from seis_tf.waveforms.filters import band_passed

POWER_LIMIT = 1e-5  # of the record's largest power
LOG10_LIMIT = 2e-3


def answers(report: Report, ask: dict[str, Ask], run: Run, graph: Classifier, records: TestRecords) -> None:
    """The answers of a waveform model against Keras and SciPy; bad records; batches."""
    power = records.columns["spectrogram"]
    expected = keras_probabilities(run, power)
    by_spectrogram = ask["spectrogram"](spectrogram=power)["probabilities"]
    report.compare("spectrogram against Keras", by_spectrogram, expected, report.output_limit)
    if "examples" in ask:
        by_example = ask["examples"](examples=np.array(records.payloads, object))["probabilities"]
        report.compare("examples against Keras", by_example, expected, report.output_limit)
    one = ask["spectrogram"](spectrogram=power[:1])["probabilities"]
    report.compare("one record alone against its batch", one, by_spectrogram[:1], BATCH_LIMIT)
    if raw_input(run.config.info).possible:
        _check_raw(report, ask, run, records)
    _check_bad_records(report, ask, graph, records)


def keras_probabilities(run: Run, power: np.ndarray) -> np.ndarray:
    """The trained Keras model's mean over members, with the temperature: float64 [record, class]."""
    standardised = waveform_training.standardiser(run.config.info)(tf.constant(power))
    outputs = run.model(standardised, training=False).numpy().astype(np.float64)
    mean = outputs.mean(axis=1) if run.members > 1 else outputs
    scaled = np.maximum(mean, np.finfo(np.float32).tiny) ** (1 / read_calibration(run.folder).temperature)
    return scaled / scaled.sum(axis=1, keepdims=True)


def scipy_powers(waveforms: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """The raw signature's preprocessing by SciPy in float64: linear power [record, frequency, time]."""
    record = RecordSettings.model_validate(info.job["record"])
    settings = SpectrogramSettings.model_validate(info.job["spectrogram"])
    rate_hz = rate_of(info)
    samples = _scipy_detrended(waveforms.astype(np.float64), record.detrend)
    if record.bandpass_hz:
        samples = _scipy_detrended(band_passed(samples, rate_hz, record), record.detrend)
    window = ("tukey", 0.25) if settings.window == "tukey" else settings.window
    detrend: Any = False if settings.detrend == "none" else settings.detrend
    return signal.spectrogram(
        samples, rate_hz, window, settings.nperseg, settings.noverlap, settings.nfft,
        detrend=detrend, scaling=settings.scaling,
    )[2]  # fmt: skip


def log10_floor(nperseg: int) -> float:
    """The part of a record's largest power below which float32 holds no logarithm to `LOG10_LIMIT`.

    Rounding of a sum of n float32 products is about sqrt(n) eps of the largest amplitude; 4 times that is taken for the
    largest of very many. At an amplitude that is a part sqrt(p) of the largest one this is 2 / ln 10 * 4 sqrt(n) eps /
    sqrt(p) in log10 of power, which reaches the limit at the p that is given back: 2e-7 for 20 samples a frame.
    """
    return nperseg * (8 / np.log(10) * float(np.finfo(np.float32).eps) / 2 / LOG10_LIMIT) ** 2


def compare_powers(
    report: Report, name: str, received: np.ndarray, expected: np.ndarray, floor: float | None, nperseg: int
) -> None:
    """Compares spectrograms as linear power, and as log10 above the floor.

    Args:
        report: gets the results.
        name: first words of their names.
        received: as the graph gives them: log10, or linear power.
        expected: linear power, float64.
        floor: of the logarithm, as a part of the record's largest power; None for linear power.
        nperseg: samples of a frame, from which the rounding follows.
    """
    largest = expected.max(axis=(1, 2), keepdims=True)
    linear = received.astype(np.float64)
    if floor is not None:
        linear, expected = 10**linear, np.maximum(expected, floor * largest)
    zero = np.zeros_like(expected)
    # A power that came as float32 logarithm has lost what two units in its last place are.
    rounding = 0 if floor is None else 2 * float(np.spacing(np.abs(received).max())) * np.log(10)
    report.compare(f"{name}, power over the largest", (linear - expected) / largest, zero, POWER_LIMIT + rounding)
    clear = expected > max(log10_floor(nperseg), floor or 0) * largest
    decades = np.log10(np.where(clear, np.maximum(linear, 1e-300), 1)) - np.log10(np.where(clear, expected, 1))
    report.compare(f"{name}, log10", decades, zero, LOG10_LIMIT)


def _check_raw(report: Report, ask: dict[str, Ask], run: Run, records: TestRecords) -> None:
    info, waveforms = run.config.info, records.columns["waveform"]
    log = info.job["spectrogram"]["log"]
    floor = info.job["spectrogram"]["log_floor"] if log else None
    nperseg = info.job["spectrogram"]["nperseg"]
    peaks = np.abs(waveforms).max(axis=1, keepdims=True)
    if raw_input(info).same_as_training:
        stored = records.columns["spectrogram"].astype(np.float64)
        received = ask["preprocess"](waveform=waveforms)["spectrogram"]
        linear = 10**stored if log else stored
        compare_powers(report, "preprocessing against the data set", received, linear, floor, nperseg)
    # Stored records have no trend: with one, the removal is seen too.
    line = peaks * (0.5 + np.linspace(-0.5, 1, waveforms.shape[1]))
    raw = (waveforms + line).astype(np.float32)
    answer = ask["preprocess"](waveform=raw)
    report.note("test records are valid", bool(answer["valid"].all()), f"{int(answer['valid'].sum())} of {len(raw)}")
    compare_powers(
        report, "preprocessing against SciPy", answer["spectrogram"], scipy_powers(raw, info), floor, nperseg
    )
    expected = keras_probabilities(run, answer["spectrogram"])
    received = ask["serving_default"](waveform=raw)["probabilities"]
    report.compare("waveform against Keras", received, expected, report.output_limit)


def _check_bad_records(report: Report, ask: dict[str, Ask], graph: Classifier, records: TestRecords) -> None:
    """NaN, Inf, constant and very strong records in one batch with a good one."""
    name = graph.signatures()["serving_default"].inputs[0].name
    good = records.columns[name][:1]
    bad = np.repeat(good, 4, axis=0)
    bad[0].flat[0], bad[1].flat[-1], bad[2], bad[3] = np.nan, np.inf, 1.0, bad[3] * np.float32(1e30)
    bad[3].flat[0] = 3e38
    alone, mixed = (ask["serving_default"](**{name: values}) for values in (good, np.concatenate([bad, good])))
    finite = all(np.isfinite(values).all() for values in mixed.values() if values.dtype.kind == "f")
    # The very strong record is finite, so it may be valid or not; its answer has to be finite.
    marked = mixed["valid"].tolist()[:3] == [False] * 3 and bool(mixed["valid"][-1])
    detail = f"valid {mixed['valid'].tolist()}"
    report.note("bad records", finite and marked and (mixed["class_id"][:3] == -1).all(), detail)
    uniform = np.full((3, len(graph.info.class_names)), 1 / len(graph.info.class_names))
    report.compare("bad records are uniform", mixed["probabilities"][:3], uniform, report.output_limit)
    received, expected = mixed["probabilities"][-1:], alone["probabilities"]
    report.compare("a good record among bad ones", received, expected, BATCH_LIMIT)


def _scipy_detrended(samples: np.ndarray, kind: Literal["linear", "constant", "none"]) -> np.ndarray:
    return samples if kind == "none" else signal.detrend(samples, axis=1, type=kind)
