"""One loaded version of a model: a SavedModel's folder in, its signatures as checked functions of arrays out.

It serves any SavedModel: nothing here depends on what the tensors mean.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, prediction_log_pb2

from seis_tf.dataset import tfrecords
from seis_tf.serve.server.errors import Refused, from_tensorflow, in_words

DEFAULT_SIGNATURE = "serving_default"
EXTRA = "assets.extra"
_MOST_WARMUP_RECORDS = 1000  # as TensorFlow Serving

Arrays = dict[str, np.ndarray]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape that a signature states for a tensor; None is an axis of any size, or a shape not stated."""

    dtype: tf.DType
    shape: tuple[int | None, ...] | None

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape is what the signature states."""
        if self.shape is None:
            return True
        if len(shape) != len(self.shape):
            return False
        return all(expected in (None, size) for expected, size in zip(self.shape, shape, strict=True))

    @property
    def has_batch(self) -> bool:
        """Whether the first axis has any size, so that records of several requests can be joined."""
        return bool(self.shape) and self.shape[0] is None


@dataclass(frozen=True)
class Signature:
    """One way to ask a model.

    Attributes:
        name: in the SavedModel.
        inputs: name to type and shape.
        outputs: likewise.
        batched: every tensor's first axis is the record, so that requests can be joined.
    """

    name: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    batched: bool
    function: Any = field(repr=False)

    def check(self, dtypes: Mapping[str, tf.DType], shapes: Mapping[str, tuple[int, ...]]) -> int:
        """Compares a request with what the signature states.

        Returns:
            The number of records (1 where the signature has no batch axis).

        Raises:
            Refused: INVALID_ARGUMENT; says what was expected and what came.
        """
        if shapes.keys() != self.inputs.keys():
            given, stated = set(shapes), set(self.inputs)
            sizes = f"{len(given)}!={len(stated)} len({_braced(given)}) != len({_braced(stated)})"
            reason = f"Sent extra: {_braced(given - stated)}. Missing but required: {_braced(stated - given)}."
            raise Refused("INVALID_ARGUMENT", f"input size does not match signature: {sizes}. {reason}")
        for name, spec in self.inputs.items():
            if any(size < 0 for size in shapes[name]):
                expected = "a shape without negative sizes"
                raise Refused("INVALID_ARGUMENT", f"{name}: expected {expected}, received {list(shapes[name])}")
            if dtypes[name] != spec.dtype:
                raise Refused("INVALID_ARGUMENT", f"{name}: expected {spec.dtype.name}, received {dtypes[name].name}")
            if not spec.fits(shapes[name]):
                expected = _shape_text(spec.shape, self.batched)
                received = list(shapes[name])
                raise Refused("INVALID_ARGUMENT", f"{name}: expected shape {expected}, received {received}")
        if not self.batched:
            return 1
        rows = {name: shape[0] for name, shape in shapes.items()}
        first = next(iter(rows))
        if rows[first] == 0:
            raise Refused("INVALID_ARGUMENT", f"{first}: expected at least one record, received none")
        if len(set(rows.values())) > 1:
            raise Refused("INVALID_ARGUMENT", f"inputs: expected as many records in each, received {rows}")
        return rows[first]

    def run(self, inputs: Arrays) -> Arrays:
        """Calls the model; blocks.

        Raises:
            Refused: with the status that the model's graph ended with.
        """
        try:
            tensors = {name: tf.constant(inputs[name], spec.dtype) for name, spec in self.inputs.items()}
            return {name: tensor.numpy() for name, tensor in self.function(**tensors).items()}
        except tf.errors.OpError as err:
            raise from_tensorflow(err) from err


@dataclass(eq=False)
class Servable:
    """A version that is loaded.

    Attributes:
        name: of the model.
        version: its number.
        signatures: by name.
        signature_def: the SavedModel's protobuf message, for the metadata calls.
        metadata: `assets.extra/metadata.json`; empty where there is none.
        folder: of the SavedModel.
        batchers: a `Batcher` for each signature, by its name.
    """

    name: str
    version: int
    signatures: dict[str, Signature]
    signature_def: get_model_metadata_pb2.SignatureDefMap
    metadata: dict[str, Any]
    folder: Path
    batchers: dict[str, Any] = field(default_factory=dict)
    _module: Any = field(default=None, repr=False)


def load_servable(folder: Path, name: str, version: int) -> Servable:
    """Loads a SavedModel and replays its warm-up requests.

    Raises:
        ValueError: the folder holds no SavedModel for serving, or a warm-up request fails.
    """
    try:
        graph = _serving_graph(folder)
        module = tf.saved_model.load(str(folder))
    except Exception as err:  # a damaged file makes TensorFlow raise errors of any type
        raise ValueError(f"{folder}: expected a SavedModel, received {in_words(err)}") from err
    described = get_model_metadata_pb2.SignatureDefMap()
    signatures = {}
    for key, signature in graph.signature_def.items():
        described.signature_def[key].CopyFrom(signature)
        if key in module.signatures:
            signatures[key] = _signature(key, signature, module.signatures[key])
    metadata = _metadata(folder / EXTRA / "metadata.json")
    servable = Servable(name, version, signatures, described, metadata, folder, _module=module)
    replayed = _warm_up(servable, folder / EXTRA / "tf_serving_warmup_requests")
    log.info("loaded %s version %d (%d signatures, %d warm-up requests)", name, version, len(signatures), replayed)
    return servable


def signature_of(servable: Servable, name: str) -> Signature | None:
    """The signature of this name; empty is the default one."""
    return servable.signatures.get(name or DEFAULT_SIGNATURE)


def _serving_graph(folder: Path) -> Any:
    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as err:
        raise ValueError(f"saved_model.pb: {err}") from err
    for graph in saved.meta_graphs:
        if "serve" in graph.meta_info_def.tags:
            return graph
    raise ValueError("saved_model.pb without a graph tagged 'serve'")


def _signature(name: str, signature: Any, function: Any) -> Signature:
    inputs = {key: _spec(info) for key, info in sorted(signature.inputs.items())}
    outputs = {key: _spec(info) for key, info in sorted(signature.outputs.items())}
    batched = bool(inputs) and all(spec.has_batch for spec in [*inputs.values(), *outputs.values()])
    return Signature(name, inputs, outputs, batched, function)


def _spec(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(None if dim.size < 0 else dim.size for dim in shape.dim)
    return TensorSpec(tf.as_dtype(info.dtype), sizes)


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as err:
        raise ValueError(f"{path}: expected JSON, received {err}") from err


def _warm_up(servable: Servable, path: Path) -> int:
    """Replays a TFRecord file of PredictionLog messages.

    Returns:
        How many; 0 without a file.
    """
    if not path.is_file():
        return 0
    count = 0
    for record in islice(tfrecords.read_records(path), _MOST_WARMUP_RECORDS):
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        signature = signature_of(servable, request.model_spec.signature_name)
        try:
            if signature is None:
                raise Refused("NOT_FOUND", f"no signature {request.model_spec.signature_name!r}")
            inputs = {key: tf.make_ndarray(tensor) for key, tensor in request.inputs.items()}
            signature.check(
                {key: tf.as_dtype(request.inputs[key].dtype) for key in inputs},
                {key: array.shape for key, array in inputs.items()},
            )
            signature.run(inputs)
        except Refused as err:
            raise ValueError(f"{path}: expected requests that succeed, received record {count}: {err}") from err
        count += 1
    return count


def _braced(names: set[str]) -> str:
    return "{" + ",".join(sorted(names)) + "}"


def _shape_text(shape: tuple[int | None, ...] | None, batched: bool) -> str:
    if shape is None:
        return "any"
    sizes = ["any" if size is None else str(size) for size in shape]
    if batched:
        sizes[0] = "batch"
    return "[" + ", ".join(sizes) + "]"
