"""What an export must pass before it is published: the SavedModel against Keras, SciPy and its own promises.

The model is loaded back from disk and asked with records of the data set's test split. The result is `check.json`.
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
# The same record in batches of different size: other sums of thousands of float32 products in another order. What this
# is to find, a record that changes its neighbours' answers, is far above.
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
        self.results.append({"name": self.prefix + name, "passed": passed, "largest": largest, "allowed": allowed})

    def note(self, name: str, passed: bool, detail: str = "") -> None:
        """Notes something that holds or not."""
        result = {"name": self.prefix + name, "passed": bool(passed)}
        self.results.append(result | ({"detail": detail} if detail else {}))

    def part(self, name: str, output_limit: float) -> Report:
        """A report that notes into this one, with `name` before each result's and a limit of its own for answers."""
        return replace(self, prefix=f"{name}: ", output_limit=output_limit)

    def describe(self) -> dict[str, Any]:
        """As it stands in `check.json`."""
        own = {"records": self.records, "results": self.results, "latency_ms": self.latency_ms}
        return {"passed": self.passed} | own


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


def latency_ms(loaded, signatures: Mapping[str, Signature]) -> dict[str, dict[str, float]]:
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


def check_empty(report: Report, function, signature: Signature) -> None:
    """A request without records is refused in words: some convolutions fail on it in obscure ways."""
    one = warmup.noise(signature, 1, np.random.default_rng(0))
    try:
        function(**{name: tf.constant(values[:0]) for name, values in one.items()})
    except tf.errors.InvalidArgumentError as err:
        report.note("empty batch is refused", "at least one record" in err.message)
    else:
        report.note("empty batch is refused", False, "it was answered")


def as_arrays(function) -> Ask:
    """A signature as a function of arrays."""
    return lambda **inputs: {
        name: value.numpy() for name, value in function(**{k: tf.constant(v) for k, v in inputs.items()}).items()
    }


def _seconds(function, inputs: dict[str, tf.Tensor]) -> float:
    start = time.perf_counter()
    for value in function(**inputs).values():
        value.numpy()
    return time.perf_counter() - start
