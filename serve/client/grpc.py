"""The client's requests over gRPC; needs the extra `serve`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from seis_tf.serve.client.rest import Arrays, AskError, Tensor

_STATE = get_model_status_pb2.ModelVersionStatus.State


class Grpc:
    """Requests to one model over gRPC; arguments as `Client`."""

    def __init__(self, address: str, model: str, version: int | None, timeout_s: float, retries: int) -> None:
        self._address, self._model, self._version, self._timeout_s = address, model, version, timeout_s
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        if retries:
            policy = {
                "maxAttempts": min(retries + 1, 5),  # gRPC allows no more
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            }
            config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
            options += [("grpc.enable_retries", 1), ("grpc.service_config", json.dumps(config))]
        self._channel = grpc.insecure_channel(address, options)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def metadata(self, label: str | None) -> dict[str, Any]:
        """As `Rest.metadata`."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill(request.model_spec, label)
        answer = self._ask(self._prediction.GetModelMetadata, request)
        described = get_model_metadata_pb2.SignatureDefMap()
        answer.metadata["signature_def"].Unpack(described)
        return json_format.MessageToDict(described, preserving_proto_field_name=True)["signature_def"]

    def status(self, label: str | None) -> list[dict[str, Any]]:
        """As `Rest.status`."""
        request = get_model_status_pb2.GetModelStatusRequest()
        self._fill(request.model_spec, label)
        answer = self._ask(self._models.GetModelStatus, request)
        return [
            {"version": entry.version, "state": _STATE.Name(entry.state), "error": entry.status.error_message}
            for entry in answer.model_version_status
        ]

    def predict(self, signature: str, inputs: Arrays, outputs: Mapping[str, Tensor], label: str | None) -> Arrays:
        """As `Rest.predict`."""
        request = predict_pb2.PredictRequest()
        self._fill(request.model_spec, label)
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        answer = self._ask(self._prediction.Predict, request)
        return {name: _decoded(name, tf.make_ndarray(answer.outputs[name])) for name in outputs}

    def _fill(self, spec: model_pb2.ModelSpec, label: str | None) -> None:
        spec.name = self._model
        if self._version is not None:
            spec.version.value = self._version
        elif label:
            spec.version_label = label

    def _ask(self, call: Callable[..., Any], request: Any) -> Any:
        try:
            return call(request, timeout=self._timeout_s)
        except grpc.RpcError as err:
            code = err.code().name
            message = f"{self._address}: expected an answer of {self._model}, received {code}: {err.details()}"
            raise AskError(message, code) from err


def _decoded(name: str, array: np.ndarray) -> np.ndarray:
    """Text as str, as REST gives it; bytes where the name says so."""
    if array.dtype.kind != "O" or name.endswith("_bytes"):
        return array
    return np.array([item.decode() for item in array.ravel()] or [], object).reshape(array.shape)
