"""The warm-up file: requests that TensorFlow Serving replays before a version takes traffic.

`assets.extra/tf_serving_warmup_requests` is a TFRecord file of `PredictionLog` messages, one for each signature and
batch size, so that no client waits for a slow first call. The records are noise, so that no recordings are published
with a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from seis_tf.dataset import tfrecords
from seis_tf.serve.export.signature import Signature

FILE = "tf_serving_warmup_requests"
# The same sizes that `batching.config` allows: a server that batches pads to one of them.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)


def write_warmup(path: Path, name: str, signatures: Mapping[str, Signature]) -> int:
    """Writes the file.

    Args:
        path: of the file.
        name: of the model.
        signatures: of the model.

    Returns:
        How many requests it holds.
    """
    random = np.random.default_rng(0)
    count = 0
    with open(path, "wb") as file:
        writer = tfrecords.Writer(file)
        for key, signature in signatures.items():
            for batch in BATCH_SIZES:
                request = predict_pb2.PredictRequest()
                request.model_spec.name, request.model_spec.signature_name = name, key
                for tensor, values in noise(signature, batch, random).items():
                    request.inputs[tensor].CopyFrom(tf.make_tensor_proto(values))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString(deterministic=True))
                count += 1
    return count


def replay(path: Path, loaded: Any) -> int:
    """Answers every request of a warm-up file, as the server does.

    Args:
        path: of the file.
        loaded: what `tf.saved_model.load` gave.

    Returns:
        How many requests were answered.

    Raises:
        ValueError: the file is damaged or asks for a signature that is not there.
    """
    count = 0
    for payload in tfrecords.read_records(path):
        request = prediction_log_pb2.PredictionLog.FromString(payload).predict_log.request
        key = request.model_spec.signature_name
        if key not in loaded.signatures:
            raise ValueError(f"{path}: record {count}: expected one of {list(loaded.signatures)}, received {key!r}")
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        loaded.signatures[key](**inputs)
        count += 1
    return count


def noise(signature: Signature, batch: int, random: np.random.Generator) -> dict[str, np.ndarray]:
    """Random inputs of a signature, each [batch, ..]."""
    return {field.name: field.noise(random, batch) for field in signature.inputs}
