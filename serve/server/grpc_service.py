"""TensorFlow Serving's gRPC services: Predict, GetModelMetadata and GetModelStatus, with its protobuf messages."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from seis_tf.serve.server.core import Core
from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.servable import DEFAULT_SIGNATURE, Servable, signature_of
from seis_tf.serve.server.status import status_message

# Type -> the field of TensorProto that holds its values; clients in other languages read these fields.
_VALUES = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def make_server(core: Core) -> grpc.aio.Server:
    """A gRPC server with both services, without a port yet."""
    most = round(core.settings.max_body_mb * 1e6)
    options = [
        ("grpc.max_receive_message_length", most),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # else a second server would share the port in silence
    ]
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=core.settings.max_connections)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Models(core), server)
    return server


async def _answered(context: grpc.aio.ServicerContext, work: Callable[[], Awaitable[Any]]) -> Any:
    """The work's result, or its refusal as the call's status."""
    try:
        return await work()
    except Refused as err:
        await context.abort(grpc.StatusCode[err.code], str(err))


def _find(core: Core, request: Any) -> Servable:
    """The version that a request with a `model_spec` asks for."""
    if not request.HasField("model_spec"):
        raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
    return core.store.find(*_named(request.model_spec))


def _named(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    return spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label or None


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def Predict(self, request: predict_pb2.PredictRequest, context: grpc.aio.ServicerContext) -> Any:
        async def work() -> predict_pb2.PredictResponse:
            with self._core.counted(request.model_spec.name, "GRPC"):
                return await self._predict(request, context.time_remaining())

        return await _answered(context, work)

    async def _predict(
        self, request: predict_pb2.PredictRequest, timeout_s: float | None
    ) -> predict_pb2.PredictResponse:
        servable = _find(self._core, request)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = signature_of(servable, name)
        if signature is None:
            raise Refused("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        output_names = _output_names(request, set(signature.outputs))
        # Compared before anything is unpacked: a message of a few bytes may state a tensor of any size.
        dtypes = {key: _dtype(key, tensor) for key, tensor in request.inputs.items()}
        shapes = {key: tuple(dim.size for dim in tensor.tensor_shape.dim) for key, tensor in request.inputs.items()}
        rows = signature.check(dtypes, shapes)
        most = self._core.settings.max_body_mb * 1e6
        inputs = {key: _array(key, tensor, shapes[key], most) for key, tensor in request.inputs.items()}
        outputs = await self._core.predict(servable, signature, inputs, rows, timeout_s)
        response = predict_pb2.PredictResponse()
        response.model_spec.name, response.model_spec.signature_name = servable.name, name
        response.model_spec.version.value = servable.version
        for key in output_names:
            response.outputs[key].CopyFrom(to_proto(outputs[key]))
        return response

    async def GetModelMetadata(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async def work() -> get_model_metadata_pb2.GetModelMetadataResponse:
            servable = _find(self._core, request)
            if not request.metadata_field:
                message = "GetModelMetadataRequest must specify at least one metadata_field"
                raise Refused("INVALID_ARGUMENT", message)
            for field in request.metadata_field:
                if field != "signature_def":
                    raise Refused("INVALID_ARGUMENT", f"Metadata field {field} is not supported")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            response.metadata["signature_def"].Pack(servable.signature_def)
            return response

        return await _answered(context, work)

    async def Classify(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Classify: this server answers Predict only")

    async def Regress(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Regress: this server answers Predict only")

    async def MultiInference(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "MultiInference: this server answers Predict only")


class _Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def GetModelStatus(self, request: Any, context: grpc.aio.ServicerContext) -> Any:
        async def work() -> get_model_status_pb2.GetModelStatusResponse:
            if not request.HasField("model_spec"):
                raise Refused("INVALID_ARGUMENT", "Missing ModelSpec")
            return status_message(self._core.store, *_named(request.model_spec))

        return await _answered(context, work)

    async def HandleReloadConfigRequest(self, request: Any, context: grpc.aio.ServicerContext) -> None:
        message = "HandleReloadConfigRequest: models.config in the models folder says what is served"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)


def _output_names(request: predict_pb2.PredictRequest, available: set[str]) -> list[str]:
    """Names in the request's output filter; all outputs where it is empty."""
    names = list(request.output_filter) or sorted(available)
    for name in names:
        if name not in available:
            expected = "{" + ",".join(sorted(available)) + "}"
            message = (
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set {expected}."
            )
            raise Refused("INVALID_ARGUMENT", message)
        if names.count(name) > 1:
            raise Refused("INVALID_ARGUMENT", f"duplicate output tensor alias: {name}")
    return names


def _dtype(name: str, tensor: tensor_pb2.TensorProto) -> tf.DType:
    try:
        return tf.as_dtype(tensor.dtype)
    except TypeError as err:
        raise Refused("INVALID_ARGUMENT", f"{name}: expected a type, received number {tensor.dtype}") from err


def _array(name: str, tensor: tensor_pb2.TensorProto, shape: tuple[int, ...], most_bytes: float) -> np.ndarray:
    """The values of a tensor whose type and shape were checked against the signature."""
    size = math.prod(shape) * max(tf.as_dtype(tensor.dtype).size or 1, 1)
    if size > most_bytes:
        raise Refused("INVALID_ARGUMENT", f"{name}: expected at most {most_bytes:.0f} bytes, received shape {shape}")
    try:
        return tf.make_ndarray(tensor)
    except (ValueError, TypeError) as err:
        raise Refused("INVALID_ARGUMENT", f"{name}: expected values for shape {list(shape)}, received {err}") from err


def to_proto(array: np.ndarray) -> tensor_pb2.TensorProto:
    """A tensor with its values in the typed fields, as TensorFlow Serving sends them by default."""
    dtype = tf.string if array.dtype.kind in "OSU" else tf.as_dtype(array.dtype)
    if dtype not in _VALUES:
        return tf.make_tensor_proto(array)
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": size} for size in array.shape])
    values = {_VALUES[dtype]: array.ravel().tolist()}
    return tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=shape, **values)
