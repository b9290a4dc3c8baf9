"""A model's versions and their states -> TensorFlow Serving's message, for REST and gRPC."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2

from seis_tf.serve.server.models import ModelStore

_STATE = get_model_status_pb2.ModelVersionStatus.State


def status_message(
    store: ModelStore, name: str, version: int | None, label: str | None
) -> get_model_status_pb2.GetModelStatusResponse:
    """State of one version or of all, the newest first.

    Raises:
        Refused: as `ModelStore.status`.
    """
    message = get_model_status_pb2.GetModelStatusResponse()
    for number, status in store.status(name, version, label).items():
        entry = message.model_version_status.add(version=number, state=_STATE.Value(status.state))
        entry.status.SetInParent()
        entry.status.error_code = getattr(tf.errors, status.code) if status.code != "OK" else 0
        entry.status.error_message = status.message
    return message
