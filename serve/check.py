"""What an export must pass before it is published: the SavedModel against Keras, SciPy and its own promises.

The model is loaded back from disk and asked with records of the data set's test split. The result is `check.json`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import signal

from seis_tf import examples, shards, tfrecords
from seis_tf.config import RecordSettings, SpectrogramSettings
from seis_tf.filters import band_passed
from seis_tf.runs import Run
from seis_tf.serve import warmup
from seis_tf.serve.signature import Classifier, Signature, raw_input
from seis_tf.shards import DatasetInfo

RECORDS = 64
OUTPUT_LIMIT = 1e-6
POWER_LIMIT = 1e-5  # of the record's largest power
LOG10_LIMIT = 2e-3
LOG10_FLOOR = 1e-8  # of the record's largest power: below it float32 holds no logarithm to that limit
WARM_CALLS = 30
WARM_BATCH = 32


class CheckFailed(ValueError):
    """The exported model is not what was trained; nothing was published."""


@dataclass
class Report:
    """What was compared, how far it was off, and how fast the answers came."""

    records: int
    results: list[dict[str, Any]] = field(default_factory=list)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether all is well."""
        return all(result["passed"] for result in self.results)

    def compare(self, name: str, received: np.ndarray, expected: np.ndarray, allowed: float) -> None:
        """Notes the largest difference; NaN and another shape fail."""
        if received.shape != expected.shape:
            self.note(name, False, f"expected shape {expected.shape}, received {received.shape}")
            return
        largest = float(np.abs(received.astype(np.float64) - expected).max(initial=0.0))
        passed = bool(largest <= allowed)  # False for NaN
        largest = largest if np.isfinite(largest) else None
        self.results.append({"name": name, "passed": passed, "largest": largest, "allowed": allowed})

    def note(self, name: str, passed: bool, detail: str = "") -> None:
        """Notes something that holds or not."""
        self.results.append({"name": name, "passed": bool(passed)} | ({"detail": detail} if detail else {}))

    def describe(self) -> dict[str, Any]:
        """As it stands in `check.json`."""
        return {"passed": self.passed} | asdict(self)


@dataclass(frozen=True)
class TestRecords:
    """Records of the test split: as stored, and decoded."""

    __test__ = False  # no pytest class

    payloads: list[bytes]
    columns: dict[str, np.ndarray]


def load_test_records(dataset: Path, info: DatasetInfo, count: int = RECORDS) -> TestRecords:
    """The first records of the test split (their order on disk is random).

    Raises:
        ValueError: there is no such data set, or it is not the one that the model was trained on.
    """
    stored = shards.load_dataset(dataset)
    if stored.fingerprint != info.fingerprint or stored.job != info.job:
        raise ValueError(
            f"{dataset}: expected the run's data set {info.fingerprint[:12]} with its settings, "
            f"received {stored.fingerprint[:12]}{'' if stored.job == info.job else ' with others'}"
        )
    paths = shards.shard_paths(dataset, stored, "test")
    payloads = list(islice((payload for path in paths for payload in tfrecords.read_records(path)), count))
    if not payloads:
        raise ValueError(f"{dataset}: expected records in split test to check the export with, received none")
    decoded = [examples.decode(payload, list(stored.features)) for payload in payloads]
    names = [feature.name for feature in stored.features if feature.dtype != "string"]
    return TestRecords(payloads, {name: np.stack([record[name] for record in decoded]) for name in names})


def check(folder: Path, run: Run, graph: Classifier, records: TestRecords) -> Report:
    """Checks an exported model that lies in `folder`.

    Args:
        folder: with the SavedModel and its warm-up file.
        run: what was exported.
        graph: the signatures that were asked for.
        records: of the test split.

    Returns:
        The report; its `passed` is False where something is wrong.
    """
    report = Report(len(records.payloads))
    loaded = tf.saved_model.load(str(folder))
    signatures = graph.signatures()
    check_signatures(report, loaded, signatures)
    if not report.passed:
        return report
    feature = run.config.info.feature("spectrogram")
    report.latency_ms = latency_ms(loaded, signatures, feature)
    count = warmup.replay(folder / "assets.extra" / warmup.FILE, loaded)
    report.note("warm-up", count > 0, f"{count} requests answered")
    check_classifier(report, loaded, run, graph, records)
    return report


def check_signatures(report: Report, loaded, signatures: Mapping[str, Signature]) -> None:
    """Names, shapes and types are those that the metadata will promise."""
    for key, signature in signatures.items():
        found = loaded.signatures.get(key)
        if found is None:
            report.note(f"signature {key}", False, f"expected it, received {list(loaded.signatures)}")
            continue
        wanted = [{f.name: (f.dtype, f.shape) for f in fields} for fields in (signature.inputs, signature.outputs)]
        received = [
            {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()}
            for specs in (found.structured_input_signature[1], found.structured_outputs)
        ]
        detail = "" if received == wanted else f"expected {wanted}, received {received}"
        report.note(f"signature {key}", received == wanted, detail)


def latency_ms(loaded, signatures: Mapping[str, Signature], spectrogram) -> dict[str, dict[str, float]]:
    """Milliseconds of the first request after loading, and the median of later ones for 1 and 32 records."""
    random = np.random.default_rng(1)
    measured = {}
    for key, signature in signatures.items():
        times = {}
        for batch in (1, WARM_BATCH):
            values = warmup.noise(signature, batch, random, spectrogram)
            inputs = {name: tf.constant(value) for name, value in values.items()}
            seconds = [_seconds(loaded.signatures[key], inputs) for _ in range(WARM_CALLS)]
            if batch == 1:
                times["first"] = round(1e3 * seconds[0], 3)
            times[f"warm_{batch}"] = round(1e3 * float(np.median(seconds[1:])), 3)
        measured[key] = times
    return measured


def check_classifier(report: Report, loaded, run: Run, graph: Classifier, records: TestRecords) -> None:
    """The answers of a waveform model against Keras and SciPy; bad records; batches."""
    power = records.columns["spectrogram"]
    ask = {key: _numpy(function) for key, function in loaded.signatures.items()}
    expected = keras_probabilities(run, graph, power)
    by_spectrogram = ask["spectrogram"](spectrogram=power)["probabilities"]
    report.compare("spectrogram against Keras", by_spectrogram, expected, OUTPUT_LIMIT)
    by_example = ask["examples"](examples=np.array(records.payloads, object))["probabilities"]
    report.compare("examples against Keras", by_example, expected, OUTPUT_LIMIT)
    one = ask["spectrogram"](spectrogram=power[:1])["probabilities"]
    report.compare("one record alone against its batch", one, by_spectrogram[:1], OUTPUT_LIMIT)
    check_empty(report, loaded.signatures["spectrogram"], {"spectrogram": tf.constant(power[:0])})
    if raw_input(run.config.info).possible:
        _check_raw(report, ask, run, graph, records)
    _check_bad_records(report, ask, graph, records)


def check_empty(report: Report, function, inputs: dict[str, tf.Tensor]) -> None:
    """A request without records is refused in words: some convolutions fail on it in obscure ways."""
    try:
        function(**inputs)
    except tf.errors.InvalidArgumentError as err:
        report.note("empty batch is refused", "at least one record" in err.message)
    else:
        report.note("empty batch is refused", False, "it was answered")


def keras_probabilities(run: Run, graph: Classifier, power: np.ndarray) -> np.ndarray:
    """The trained model's own answer, member by member, with the temperature: float64 [record, class]."""
    outputs = run.model(graph.standardise(tf.constant(power)), training=False).numpy().astype(np.float64)
    mean = outputs.mean(axis=1) if run.members > 1 else outputs
    scaled = np.maximum(mean, np.finfo(np.float32).tiny) ** (1 / graph.temperature)
    return scaled / scaled.sum(axis=1, keepdims=True)


def scipy_powers(waveforms: np.ndarray, info: DatasetInfo) -> np.ndarray:
    """The raw signature's preprocessing by SciPy in float64: linear power [record, frequency, time]."""
    record = RecordSettings.model_validate(info.job["record"])
    own = SpectrogramSettings.model_validate(info.job["spectrogram"])
    samples = _scipy_detrended(waveforms.astype(np.float64), record.detrend)
    if record.bandpass_hz:
        samples = _scipy_detrended(band_passed(samples, info.sampling_rate_hz, record), record.detrend)
    window = ("tukey", 0.25) if own.window == "tukey" else own.window
    return signal.spectrogram(
        samples, info.sampling_rate_hz, window, own.nperseg, own.noverlap, own.nfft,
        detrend=False if own.detrend == "none" else own.detrend, scaling=own.scaling,
    )[2]  # fmt: skip


def compare_powers(report: Report, name: str, received: np.ndarray, expected: np.ndarray, floor: float | None) -> None:
    """Compares spectrograms as linear power, and as log10 above the floor.

    Args:
        report: gets the results.
        name: first words of their names.
        received: as the graph gives them: log10, or linear power.
        expected: linear power, float64.
        floor: of the logarithm, as a part of the record's largest power; None for linear power.
    """
    largest = expected.max(axis=(1, 2), keepdims=True)
    linear = received.astype(np.float64)
    if floor is not None:
        linear, expected = 10**linear, np.maximum(expected, floor * largest)
    zero = np.zeros_like(expected)
    # A power that came as float32 logarithm has lost what two units in its last place are.
    rounding = 0 if floor is None else 2 * float(np.spacing(np.abs(received).max())) * np.log(10)
    report.compare(f"{name}, power over the largest", (linear - expected) / largest, zero, POWER_LIMIT + rounding)
    clear = expected > max(LOG10_FLOOR, floor or 0) * largest
    decades = np.log10(np.where(clear, np.maximum(linear, 1e-300), 1)) - np.log10(np.where(clear, expected, 1))
    report.compare(f"{name}, log10", decades, zero, LOG10_LIMIT)


def _check_raw(report: Report, ask, run: Run, graph: Classifier, records: TestRecords) -> None:
    info, waveforms = run.config.info, records.columns["waveform"]
    log = info.job["spectrogram"]["log"]
    floor = info.job["spectrogram"]["log_floor"] if log else None
    peaks = np.abs(waveforms).max(axis=1, keepdims=True)
    if raw_input(info).same_as_training:
        stored = records.columns["spectrogram"].astype(np.float64)
        received = ask["preprocess"](waveform=waveforms)["spectrogram"]
        compare_powers(report, "preprocessing against the data set", received, 10**stored if log else stored, floor)
    # Stored records have no trend: with one, the removal is seen too.
    line = peaks * (0.5 + np.linspace(-0.5, 1, waveforms.shape[1]))
    raw = (waveforms + line).astype(np.float32)
    answer = ask["preprocess"](waveform=raw)
    report.note("test records are valid", answer["valid"].all(), f"{int(answer['valid'].sum())} of {len(raw)}")
    compare_powers(report, "preprocessing against SciPy", answer["spectrogram"], scipy_powers(raw, info), floor)
    expected = keras_probabilities(run, graph, answer["spectrogram"])
    received = ask["serving_default"](waveform=raw)["probabilities"]
    report.compare("waveform against Keras", received, expected, OUTPUT_LIMIT)


def _check_bad_records(report: Report, ask, graph: Classifier, records: TestRecords) -> None:
    """NaN, Inf, constant and overflowing records in one batch with a good one."""
    name = graph.signatures()["serving_default"].inputs[0].name
    good = records.columns[name][:1]
    bad = np.repeat(good, 4, axis=0)
    bad[0].flat[0], bad[1].flat[-1], bad[2], bad[3] = np.nan, np.inf, 1.0, bad[3] * np.float32(1e30)
    bad[3].flat[0] = 3e38
    alone, mixed = (ask["serving_default"](**{name: values}) for values in (good, np.concatenate([bad, good])))
    finite = all(np.isfinite(values).all() for values in mixed.values() if values.dtype.kind == "f")
    limited = 3 if name == "spectrogram" else 4  # a spectrogram of 3e38 is finite, and its answer too
    marked = mixed["valid"].tolist()[:limited] == [False] * limited and bool(mixed["valid"][-1])
    detail = f"valid {mixed['valid'].tolist()}"
    report.note("bad records", finite and marked and (mixed["class_id"][:limited] == -1).all(), detail)
    uniform = np.full((limited, len(graph.info.class_names)), 1 / len(graph.info.class_names))
    report.compare("bad records are uniform", mixed["probabilities"][:limited], uniform, OUTPUT_LIMIT)
    received, expected = mixed["probabilities"][-1:], alone["probabilities"]
    report.compare("a good record among bad ones", received, expected, OUTPUT_LIMIT)


def _scipy_detrended(samples: np.ndarray, kind: str) -> np.ndarray:
    return samples if kind == "none" else signal.detrend(samples, axis=1, type=kind)


def _numpy(function):
    """A signature as a function of arrays."""
    return lambda **inputs: {
        name: value.numpy() for name, value in function(**{k: tf.constant(v) for k, v in inputs.items()}).items()
    }


def _seconds(function, inputs: dict[str, tf.Tensor]) -> float:
    start = time.perf_counter()
    for value in function(**inputs).values():
        value.numpy()
    return time.perf_counter() - start
