"""Counts of requests and batches -> Prometheus's text form, under TensorFlow Serving's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

PATH = "/monitoring/prometheus/metrics"
# TensorFlow Serving's: 10 microseconds, then 1.8 times as much, 33 times.
_LATENCY_BUCKETS_US = [10 * 1.8**power for power in range(33)]
_BATCH_BUCKETS = [2**power for power in range(15)]


class Metrics:
    """Counts of one server."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str]] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for a request.",
            ("model_name", "API", "entrypoint"),
            registry=self._registry,
            buckets=_LATENCY_BUCKETS_US,
        )
        self._batches = Histogram(
            ":tensorflow:serving:batching_session:processed_batch_size",
            "Records in one call of the model.",
            ("model_name",),
            registry=self._registry,
            buckets=_BATCH_BUCKETS,
        )
        self._runtime = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Distribution of wall time (in microseconds) for a call of the model.",
            ("model_name", "API", "runtime"),
            registry=self._registry,
            buckets=_LATENCY_BUCKETS_US,
        )

    def request(self, model: str, entrypoint: str, code: str, seconds: float) -> None:
        """Counts a request to a model that is served."""
        self._requests[model, code] += 1
        self._latency.labels(model, "Predict", entrypoint).observe(seconds * 1e6)

    def batch(self, model: str, rows: int, seconds: float) -> None:
        """Counts a call of a model."""
        self._batches.labels(model).observe(rows)
        self._runtime.labels(model, "Predict", "TF2").observe(seconds * 1e6)

    def collect(self) -> Iterator[Metric]:
        """The request counter, for the registry: Prometheus's Counter class would add `_total` to the name."""
        metric = Metric(":tensorflow:serving:request_count", "The total number of requests.", "unknown")
        for (model, code), count in sorted(self._requests.items()):
            metric.add_sample(metric.name, {"model_name": model, "status": code}, count)
        yield metric

    def page(self) -> bytes:
        """All of it as text."""
        return generate_latest(self._registry)
