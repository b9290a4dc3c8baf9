"""What a model costs: parameters by layer, multiplications, and the time of an answer."""

from __future__ import annotations

import time

import keras
import numpy as np
import tensorflow as tf

from seis_tf.evaluation.results import Result

WARM_UP, REPEATS = 3, {1: 50, 1000: 7}


class LayerCost(Result):
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


class ModelCost(Result):
    """What a model costs.

    Attributes:
        layers: with parameters.
        parameters: trained numbers.
        parameters_by_formula: the same by the closed formula.
        flops: operations for one record.
        latency_ms: records asked about at once ("1", "1000") to the time of the answer.
    """

    layers: list[LayerCost]
    parameters: int
    parameters_by_formula: int
    flops: int
    latency_ms: dict[str, float]


def layer_costs(model: keras.Model) -> list[LayerCost]:
    """Every layer that has parameters, and what they cost."""
    costs = []
    for layer in model.layers:
        parameters = sum(int(np.prod(v.shape)) for v in layer.trainable_variables)
        if parameters:
            shape = tuple(layer.output.shape[1:])
            costs.append(
                LayerCost(
                    name=layer.name,
                    kind=type(layer).__name__,
                    output_shape=shape,
                    parameters=parameters,
                    flops=_flops(layer, shape),
                )
            )
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


def describe(model: keras.Model, formula: int) -> ModelCost:
    """All costs of a model, as they go into a report.

    Args:
        model: the model.
        formula: its parameters by the closed formula.
    """
    costs = layer_costs(model)
    return ModelCost(
        layers=costs,
        parameters=sum(c.parameters for c in costs),
        parameters_by_formula=formula,
        flops=sum(c.flops for c in costs),
        latency_ms={str(n): latency_ms(model, n) for n in REPEATS},
    )


def _flops(layer: keras.layers.Layer, output_shape: tuple[int, ...]) -> int:
    """A kernel is used once at each place of the output, the last axis of which are its own columns."""
    kernels = [v for v in layer.trainable_variables if v.name == "kernel"]
    places = int(np.prod(output_shape[:-1]))
    return sum(2 * int(np.prod(v.shape)) * places for v in kernels)
