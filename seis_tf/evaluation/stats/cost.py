"""What a model costs: parameters by layer, multiplications, and the time of an answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

WARM_UP, REPEATS = 3, {1: 50, 1000: 7}


@dataclass(frozen=True)
class LayerCost:
    """One layer.

    Attributes:
        name: of the layer.
        kind: of the layer.
        output_shape: without the batch.
        parameters: trained numbers.
        flops: floating-point operations for one record in products of matrices and convolutions; a multiplication and
            an addition are two.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    flops: int


def layer_costs(model: keras.Model) -> list[LayerCost]:
    """Every layer that has parameters, and what they cost."""
    costs = []
    for layer in model.layers:
        parameters = sum(int(np.prod(v.shape)) for v in layer.trainable_variables)
        if parameters:
            shape = tuple(layer.output.shape[1:])
            costs.append(LayerCost(layer.name, type(layer).__name__, shape, parameters, _flops(layer, shape)))
    return costs


def latency_ms(model: keras.Model, n_records: int, seed: int = 0) -> float:
    """Median time of an answer to so many records at once, ms, on this machine; compiling apart.

    Args:
        model: inputs [batch, ...].
        n_records: asked about at once.
        seed: of the records, which are noise.
    """
    rng = np.random.default_rng(seed)
    inputs = [tf.constant(rng.normal(size=(n_records, *i.shape[1:])), i.dtype) for i in model.inputs]
    call = tf.function(lambda *x: model(list(x) if len(x) > 1 else x[0], training=False))
    for _ in range(WARM_UP):
        call(*inputs)
    seconds = []
    for _ in range(REPEATS.get(n_records, 10)):
        started = time.perf_counter()
        np.asarray(call(*inputs))
        seconds.append(time.perf_counter() - started)
    return 1000 * float(np.median(seconds))


def describe(model: keras.Model, formula: int) -> dict[str, Any]:
    """All costs of a model, as they go into a report.

    Args:
        model: the model.
        formula: its parameters by the closed formula.
    """
    costs = layer_costs(model)
    return {
        "layers": [
            {"name": c.name, "kind": c.kind, "output_shape": list(c.output_shape), "parameters": c.parameters,
             "flops": c.flops}
            for c in costs
        ],
        "parameters": sum(c.parameters for c in costs),
        "parameters_by_formula": formula,
        "flops": sum(c.flops for c in costs),
        "latency_ms": {str(n): latency_ms(model, n) for n in REPEATS},
    }  # fmt: skip


def _flops(layer: keras.layers.Layer, output_shape: tuple[int, ...]) -> int:
    """A kernel is used once at each place of the output, the last axis of which are its own columns."""
    kernels = [v for v in layer.trainable_variables if v.name == "kernel"]
    places = int(np.prod(output_shape[:-1]))
    return sum(2 * int(np.prod(v.shape)) * places for v in kernels)
