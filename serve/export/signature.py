"""Signatures of an exported graph: named functions of named tensors, with units and meanings for `metadata.json`.

The graphs themselves are in `waveform_graph.py` and `dart_graph.py`. All processing between a raw record and the answer
is in them, so that serving and training can't differ. A bad record never gives NaN and changes no other record of its
batch: `valid` is False for it and its answer is defined. A tensor of another width is an error, because then the whole
request is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

Tensors = dict[str, tf.Tensor]


@dataclass(frozen=True)
class Field:
    """One named input or output."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    unit: str
    meaning: str
    sample: Callable[[np.random.Generator, int], np.ndarray] | None = None

    def describe(self) -> dict[str, object]:
        """The field's entry in `metadata.json`; -1 is a size that may vary."""
        shape = [-1 if size is None else size for size in self.shape]
        return {"dtype": self.dtype, "shape": shape, "unit": self.unit, "meaning": self.meaning}

    def noise(self, random: np.random.Generator, batch: int) -> np.ndarray:
        """An input [batch, ..] that a model can answer: from `sample`, or Gaussian noise of 0.01 units."""
        if self.sample is not None:
            return self.sample(random, batch)
        shape = (batch, *(size or 1 for size in self.shape[1:]))
        return (0.01 * random.standard_normal(shape)).astype(np.float32)


@dataclass(frozen=True)
class Signature:
    """One way to ask the model."""

    function: Callable[..., Tensors]
    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def traced(self) -> tf.types.experimental.PolymorphicFunction:
        """The function as a graph with a variable batch."""
        specs = [tf.TensorSpec(field.shape, field.dtype, field.name) for field in self.inputs]
        return tf.function(self.function, input_signature=specs, autograph=False)


class Graph(Protocol):
    """All that is exported of a run."""

    @property
    def variables(self) -> list[tf.Variable]:
        """All that must be saved with the functions."""
        ...

    def signatures(self) -> dict[str, Signature]:
        """Name to signature; `serving_default` is the first."""
        ...

    def describe(self) -> dict[str, Any]:
        """The task's part of `metadata.json`."""
        ...

    def files(self) -> dict[str, bytes]:
        """Name to content of further files in `assets.extra`."""
        ...


def of_width(tensor: tf.Tensor, name: str, expected: tuple[int, ...]) -> tf.Tensor:
    """The tensor [batch, *expected]; a request of another width, or of no records, is refused when the graph runs.

    TensorFlow Serving does not compare a request with the signature's shape. The placeholder hides the static shape,
    without which the comparison would be optimised away.
    """
    sent = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=None)
    received = tf.shape(sent)
    message = f"{name}: expected [batch, {', '.join(map(str, expected))}] with at least one record, received"
    right = tf.reduce_all(tf.equal(tf.shape(received), [1 + len(expected)]))
    right &= tf.reduce_all(tf.equal(received[1:], tf.constant(expected, tf.int32))) & tf.reduce_all(received > 0)
    with tf.control_dependencies([tf.debugging.Assert(right, [message, received])]):
        return tf.ensure_shape(tf.identity(sent), [None, *expected])


def save(signatures: Mapping[str, Signature], variables: Sequence[tf.Variable], folder: Path) -> None:
    """Writes a SavedModel with these signatures."""
    module: Any = tf.Module()
    module.saved_variables = list(variables)
    traced = {name: signature.traced().get_concrete_function() for name, signature in signatures.items()}
    tf.saved_model.save(module, str(folder), signatures=traced)
