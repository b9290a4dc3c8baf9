"""The local server over gRPC, asked with the stubs that TensorFlow Serving's protocol files generate."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from seis_tf.serve.local_server import running
from seis_tf.serve.server.grpc_service import to_proto
from seis_tf.serve.server.servable import load_servable
from seis_tf.settings.serving import BatchingSettings


@pytest.fixture(scope="module")
def channel(toy_models: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(toy_models / "toy", folder / "toy")
    policy = "model_version_policy { all {} } version_labels { key: 'stable' value: 1 }"
    (folder / "models.config").write_text(
        f"model_config_list {{ config {{ name: 'toy' base_path: '/m/toy' {policy} }} }}"
    )
    with running(folder, max_body_mb=1) as where, grpc.insecure_channel(f"127.0.0.1:{where.grpc_port}") as channel:
        yield channel


@pytest.fixture
def prediction(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def service(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(signature: str = "", model: str = "toy", **inputs) -> predict_pb2.PredictRequest:
    message = predict_pb2.PredictRequest()
    message.model_spec.name, message.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(
            value if isinstance(value, tensor_pb2.TensorProto) else tf.make_tensor_proto(value)
        )
    return message


def refusal(call, message, **options) -> tuple[str, str]:
    """Status and text of a call that fails."""
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=10, **options)
    return caught.value.code().name, caught.value.details()


ZEROS = np.zeros((1, 4), np.float32)


def test_predict_answers_typed_values_of_every_output(prediction):
    a, b = np.array([[1, 2.5], [0.25, 0]], np.float32), np.array([4, 7])
    answer = prediction.Predict(request("named", a=a, b=b))
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("toy", 2)
    assert answer.model_spec.signature_name == "named"
    # Clients in other languages read the typed fields, which TensorFlow Serving fills by default.
    assert list(answer.outputs["total"].float_val) == [3.5, 0.25]
    assert list(answer.outputs["twice"].int64_val) == [8, 14]
    assert list(answer.outputs["label"].string_val) == [b"even", b"odd"]
    outputs = {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
    assert outputs["total"].dtype == np.float32 and outputs["label"].tolist() == [b"even", b"odd"]


def test_nan_versions_labels_and_output_filter(prediction):
    x = np.array([[np.nan, np.inf, 0, -1]], np.float32)
    message = request("logarithm", x=x)
    message.output_filter.append("whole")
    answer = prediction.Predict(message)
    assert list(answer.outputs) == ["whole"]
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["whole"]), x)
    for version, label, value in [(1, "", 2.0), (2, "", 3.0), (0, "", 3.0), (None, "stable", 2.0), (None, "", 3.0)]:
        message = request(x=ZEROS)
        if version is not None:
            message.model_spec.version.value = version
        if label:
            message.model_spec.version_label = label
        assert prediction.Predict(message).outputs["y"].float_val[0] == value


def test_status_and_metadata(prediction, service):
    message = get_model_status_pb2.GetModelStatusRequest()
    message.model_spec.name = "toy"
    versions = service.GetModelStatus(message).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(entry.version, entry.state, entry.status.error_code) for entry in versions] == [
        (2, available, 0),
        (1, available, 0),
    ]
    message.model_spec.version.value = 9
    assert refusal(service.GetModelStatus, message) == ("NOT_FOUND", "Could not find version 9 of model toy")

    query = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    query.model_spec.name = "toy"
    answer = prediction.GetModelMetadata(query)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    info = signatures.signature_def["serving_default"].inputs["x"]
    assert info.dtype == types_pb2.DT_FLOAT and [dim.size for dim in info.tensor_shape.dim] == [-1, 4]
    query.metadata_field[:] = ["else"]
    assert refusal(prediction.GetModelMetadata, query) == (
        "INVALID_ARGUMENT",
        "Metadata field else is not supported",
    )


def claim(*sizes: int, dtype=types_pb2.DT_FLOAT, **values) -> tensor_pb2.TensorProto:
    """A tensor whose stated shape need not be that of its values."""
    shape = tensor_shape_pb2.TensorShapeProto(dim=[{"size": size} for size in sizes])
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape=shape, **values)


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request(model="none", x=ZEROS), "NOT_FOUND", "Servable not found for request: Latest(none)"),
        (request("other", x=ZEROS), "FAILED_PRECONDITION", 'Serving signature key "other" not found.'),
        (request(), "INVALID_ARGUMENT", "Sent extra: {}. Missing but required: {x}."),
        (request(x=ZEROS, z=ZEROS), "INVALID_ARGUMENT", "input size does not match signature: 2!=1"),
        (request(x=ZEROS.astype(np.float64)), "INVALID_ARGUMENT", "x: expected float32, received float64"),
        (request(x="text"), "INVALID_ARGUMENT", "x: expected float32, received string"),
        (request(x=np.zeros((1, 3), np.float32)), "INVALID_ARGUMENT", "x: expected shape [batch, 4], received [1, 3]"),
        (request(x=np.zeros(4, np.float32)), "INVALID_ARGUMENT", "x: expected shape [batch, 4], received [4]"),
        (request(x=np.zeros((0, 4), np.float32)), "INVALID_ARGUMENT", "x: expected at least one record, received none"),
        (request(x=np.zeros((1, 60_000), np.float32)), "INVALID_ARGUMENT", "[batch, 4], received [1, 60000]"),
        (request(x=np.zeros((1, 1_000_000), np.float32)), "RESOURCE_EXHAUSTED", ""),
        (request("picky", x=ZEROS + 500), "INVALID_ARGUMENT", "x: expected values below 100"),
        # A message of a few bytes that states a shape of 16 GB, and too few values for the shape.
        (request(x=claim(10**9, 4, float_val=[1.0])), "INVALID_ARGUMENT", "x: expected at most 1000000 bytes"),
        (request(x=claim(-1, 4, float_val=[1.0])), "INVALID_ARGUMENT", "x: expected a shape without negative sizes"),
        (request(x=claim(-1, 4, tensor_content=bytes(16))), "INVALID_ARGUMENT", "negative sizes, received [-1, 4]"),
        (request(x=claim(-1, -4, tensor_content=bytes(16))), "INVALID_ARGUMENT", "received [-1, -4]"),
        (request("alone", value=claim(-1, float_val=[1.0])), "INVALID_ARGUMENT", "value: expected a shape without"),
        (request(x=claim(2, 4, tensor_content=b"123")), "INVALID_ARGUMENT", "x: expected values for shape [2, 4]"),
        (request(x=claim(1, 4, float_val=[1.0] * 9)), "INVALID_ARGUMENT", "x: expected values for shape [1, 4]"),
        (request(x=claim(1, 4, dtype=99)), "INVALID_ARGUMENT", "x: expected a type, received number 99"),
        (request(x=claim(1, 4, dtype=types_pb2.DT_VARIANT)), "INVALID_ARGUMENT", "float32, received variant"),
    ],
)  # fmt: skip
def test_a_bad_request_has_a_clear_status_and_the_server_goes_on(prediction, message, code, text):
    got, details = refusal(prediction.Predict, message)
    assert got == code and text in details
    assert prediction.Predict(request(x=ZEROS)).outputs["y"].float_val[0] == 3.0


def test_unknown_and_duplicate_outputs_are_refused(prediction):
    message = request(x=ZEROS)
    message.output_filter.extend(["y", "y"])
    assert refusal(prediction.Predict, message) == ("INVALID_ARGUMENT", "duplicate output tensor alias: y")
    message.output_filter[:] = ["z"]
    assert refusal(prediction.Predict, message)[1].startswith("output tensor alias not found in signature: z")


def test_what_is_not_served_says_so(prediction, service):
    calls = [
        (prediction.Classify, classification_pb2.ClassificationRequest()),
        (prediction.Regress, regression_pb2.RegressionRequest()),
        (prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
        (service.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest()),
    ]
    for call, message in calls:
        code, text = refusal(call, message)
        assert code == "UNIMPLEMENTED" and text


def test_concurrent_calls_get_their_own_answers(channel, toy_models):
    async def main(target: str) -> list[float]:
        async with grpc.aio.insecure_channel(target) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            calls = [stub.Predict(request(x=np.full((1, 4), index, np.float32))) for index in range(100)]
            answers = await asyncio.gather(*calls)
        return [answer.outputs["y"].float_val[3] for answer in answers]

    with running(toy_models) as where:
        assert asyncio.run(main(f"127.0.0.1:{where.grpc_port}")) == [index / 2 + 3 for index in range(100)]


def test_a_stopped_server_answers_what_is_under_way_first(toy_models):
    with running(toy_models, batching=BatchingSettings(delay_s=0.5)) as where:
        channel = grpc.insecure_channel(f"127.0.0.1:{where.grpc_port}")
        call = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict.future(request(x=ZEROS))
        time.sleep(0.2)
    with channel:
        assert call.result(timeout=10).outputs["y"].float_val[0] == 3.0


def test_typed_values_come_back_as_they_were():
    arrays = [
        np.array([[1.5, np.nan]], np.float32),
        np.array(2.5),
        np.arange(3, dtype=np.int8),
        np.array([2**31], np.uint32),
        np.array([2**63], np.uint64),
        np.array([True, False]),
        np.array([[b"a", b"\xff"]], object),
        np.array([1.5], np.float16),
    ]
    for array in arrays:
        back = tf.make_ndarray(to_proto(array))
        assert back.dtype == array.dtype and back.shape == array.shape
        np.testing.assert_array_equal(back, array)


def test_warm_up_requests_are_replayed_and_must_succeed(toy_models, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(toy_models / "toy" / "1", folder)
    (folder / "assets.extra").mkdir()
    path = folder / "assets.extra" / "tf_serving_warmup_requests"

    def write(message: predict_pb2.PredictRequest) -> None:
        record = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=message))
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(record.SerializeToString())

    write(request("picky", x=ZEROS))
    assert load_servable(folder, "toy", 1).version == 1
    write(request("picky", x=ZEROS + 200))
    with pytest.raises(ValueError, match="expected requests that succeed, received record 0: .*expected values below"):
        load_servable(folder, "toy", 1)
    write(request("gone", x=ZEROS))
    with pytest.raises(ValueError, match="received record 0: no signature 'gone'"):
        load_servable(folder, "toy", 1)
