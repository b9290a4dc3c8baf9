"""Checks an exported SavedModel before it is published, against Keras, SciPy and the signatures in its metadata.

In: the SavedModel's folder, its run, and records of the data set's test split. The model is loaded back from disk and
asked about these records. Out: a `Report`, which is written as `check.json`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seis_tf.dataset import examples, shards, tfrecords
from seis_tf.runs import Run
from seis_tf.serve.export import warmup
from seis_tf.serve.export.signature import Graph, Signature

RECORDS = 64
OUTPUT_LIMIT = 1e-6
# In batches of different size the thousands of float32 products of a record are summed in another order, which changes
# answers by less than this. A record that changes its neighbours' answers, which this check is for, changes them more.
BATCH_LIMIT = 1e-4
WARM_CALLS = 30
WARM_BATCH = 32


# A signature as a function of arrays
Ask = Callable[..., dict[str, np.ndarray]]
# (report, signatures by name, run, graph, test records) -> None
Answers = Callable[["Report", dict[str, Ask], Run, Any, "TestRecords"], None]


class CheckFailed(ValueError):
    """The exported model is not what was trained; nothing was published."""


@dataclass
class Report:
    """What was compared, how far it was off, and how fast the answers came."""

    records: int
    results: list[dict[str, Any]] = field(default_factory=list)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    output_limit: float = OUTPUT_LIMIT
    prefix: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(result["passed"] for result in self.results)

    def compare(self, name: str, received: np.ndarray, expected: np.ndarray, allowed: float) -> None:
        """Adds a result with the largest difference; NaN and another shape fail."""
        if received.shape != expected.shape:
            self.note(name, False, f"expected shape {expected.shape}, received {received.shape}")
            return
        largest = float(np.abs(received.astype(np.float64) - expected).max(initial=0.0))
        passed = bool(largest <= allowed)  # False for NaN
        stated = largest if np.isfinite(largest) else None  # JSON has no NaN
        self.results.append({"name": self.prefix + name, "passed": passed, "largest": stated, "allowed": allowed})

    def note(self, name: str, passed: bool, detail: str = "") -> None:
        """Adds the result of a check that has no numbers."""
        result = {"name": self.prefix + name, "passed": bool(passed)}
        self.results.append(result | ({"detail": detail} if detail else {}))

    def part(self, name: str, output_limit: float) -> Report:
        """A view that adds results to this report, with `name` before each result's name and another answers' limit."""
        return replace(self, prefix=f"{name}: ", output_limit=output_limit)

    def describe(self) -> dict[str, Any]:
        """The content of `check.json`."""
        numbers = {"records": self.records, "results": self.results, "latency_ms": self.latency_ms}
        return {"passed": self.passed} | numbers


@dataclass(frozen=True)
class TestRecords:
    """Records of the test split: as stored, and decoded."""

    __test__ = False  # no pytest class

    payloads: list[bytes]
    columns: dict[str, np.ndarray]


def load_test_records(dataset: Path, count: int = RECORDS) -> TestRecords:
    """The first records of the test split (their order on disk is random); of the others, where that is empty.

    Raises:
        ValueError: there is no such data set, or a shard is not what was written.
    """
    stored = shards.load_dataset(dataset)
    split = next(name for name in ("test", "valid", "train") if stored.splits[name].records)
    paths = shards.checked_paths(dataset, stored, split)
    payloads = list(islice((payload for path in paths for payload in tfrecords.read_records(path)), count))
    decoded = [examples.decode(payload, list(stored.features)) for payload in payloads]
    names = [feature.name for feature in stored.features if feature.dtype != "string"]
    return TestRecords(payloads, {name: np.stack([record[name] for record in decoded]) for name in names})


def check(folder: Path, run: Run, graph: Graph, records: TestRecords, answers: Answers) -> Report:
    """Checks an exported model that lies in `folder`.

    Args:
        folder: with the SavedModel and its warm-up file.
        run: what was exported.
        graph: the signatures that were asked for.
        records: of the test split.
        answers: compares the answers with Keras and with SciPy or NumPy, as the task wants it.

    Returns:
        The report; its `passed` is False where something is wrong.
    """
    report = Report(len(records.payloads))
    loaded = tf.saved_model.load(str(folder))
    signatures = graph.signatures()
    check_signatures(report, loaded, signatures)
    if not report.passed:
        return report
    report.latency_ms = latency_ms(loaded, signatures)
    count = warmup.replay(folder / "assets.extra" / warmup.FILE, loaded)
    report.note("warm-up", count > 0, f"{count} requests answered")
    check_empty(report, loaded.signatures["serving_default"], signatures["serving_default"])
    answers(report, {key: as_arrays(function) for key, function in loaded.signatures.items()}, run, graph, records)
    return report


def check_signatures(report: Report, loaded: Any, signatures: Mapping[str, Signature]) -> None:
    """Compares names, shapes and types of the loaded signatures with those that the metadata will state."""
    for key, signature in signatures.items():
        saved = loaded.signatures.get(key)
        if saved is None:
            report.note(f"signature {key}", False, f"expected it, received {list(loaded.signatures)}")
            continue
        expected = [{f.name: (f.dtype, f.shape) for f in fields} for fields in (signature.inputs, signature.outputs)]
        received = [
            {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()}
            for specs in (saved.structured_input_signature[1], saved.structured_outputs)
        ]
        detail = "" if received == expected else f"expected {expected}, received {received}"
        report.note(f"signature {key}", received == expected, detail)


def latency_ms(loaded: Any, signatures: Mapping[str, Signature]) -> dict[str, dict[str, float]]:
    """Milliseconds of the first request after loading, and the median of later ones for 1 and 32 records."""
    random = np.random.default_rng(1)
    measured = {}
    for key, signature in signatures.items():
        times = {}
        for batch in (1, WARM_BATCH):
            values = warmup.noise(signature, batch, random)
            inputs = {name: tf.constant(value) for name, value in values.items()}
            seconds = [_seconds(loaded.signatures[key], inputs) for _ in range(WARM_CALLS)]
            if batch == 1:
                times["first"] = round(1e3 * seconds[0], 3)
            times[f"warm_{batch}"] = round(1e3 * float(np.median(seconds[1:])), 3)
        measured[key] = times
    return measured


def check_empty(report: Report, function: Callable[..., Any], signature: Signature) -> None:
    """Checks that a request without records is refused with a message: some convolutions fail on it obscurely."""
    one = warmup.noise(signature, 1, np.random.default_rng(0))
    try:
        function(**{name: tf.constant(values[:0]) for name, values in one.items()})
    except tf.errors.InvalidArgumentError as err:
        report.note("empty batch is refused", "at least one record" in err.message)
    else:
        report.note("empty batch is refused", False, "it was answered")


def as_arrays(function: Callable[..., Any]) -> Ask:
    """A signature as a function of arrays."""
    return lambda **inputs: {
        name: value.numpy() for name, value in function(**{k: tf.constant(v) for k, v in inputs.items()}).items()
    }


def _seconds(function: Callable[..., Any], inputs: dict[str, tf.Tensor]) -> float:
    start = time.perf_counter()
    for value in function(**inputs).values():
        value.numpy()
    return time.perf_counter() - start
