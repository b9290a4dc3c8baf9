"""The local server over REST: TensorFlow Serving's forms, errors, versions, limits."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import pytest

from seis_tf.serve.export import labels
from seis_tf.serve.local_server import running
from seis_tf.serve.server import json_requests
from seis_tf.serve.server.batching import Batcher, read_batching
from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.models import read_configs
from seis_tf.settings.serving import BatchingSettings, ServerSettings


@pytest.fixture(scope="module")
def models(toy_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both versions of the toy model, labelled."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(toy_models / "toy", folder / "toy")
    write_config(folder, "versions: 1 versions: 2", stable=1, canary=2)
    return folder


def write_config(folder: Path, versions: str, **labels: int) -> None:
    marks = "".join(f'version_labels {{ key: "{key}" value: {value} }} ' for key, value in labels.items())
    policy = f"model_version_policy {{ specific {{ {versions} }} }}"
    text = f'model_config_list {{ config {{ name: "toy" base_path: "/models/toy" {policy} {marks} }} }}'
    (folder / "models.config").write_text(text)


@pytest.fixture(scope="module")
def client(models: Path):
    with (
        running(models, grpc_port=None, max_body_mb=20) as where,
        httpx.Client(base_url=where.url, timeout=30) as client,
    ):
        yield client


def ask(client: httpx.Client, body: object, path: str = "/v1/models/toy:predict") -> httpx.Response:
    content = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post(path, content=content)


def error(answer: httpx.Response, status: int) -> str:
    """The message of a refusal in TensorFlow Serving's form."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    return answer.json()["error"]


# The forms: expected values by hand from the toy model's functions, forms from TensorFlow Serving's api_rest.md.


def test_one_output_is_a_plain_list_in_both_forms(client):
    x = [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 8.0]]
    y = [[3.0, 3.5, 4.0, 4.5], [5.0, 5.5, 6.0, 7.0]]
    assert ask(client, {"instances": x}).json() == {"predictions": y}
    assert ask(client, {"instances": [{"x": row} for row in x]}).json() == {"predictions": y}
    assert ask(client, {"inputs": x}).json() == {"outputs": y}
    assert ask(client, {"inputs": {"x": x}, "signature_name": "serving_default"}).json() == {"outputs": y}


def test_several_outputs_are_named_and_bytes_are_base64(client):
    rows = {"signature_name": "named", "instances": [{"a": [1, 2.5], "b": 4}, {"a": [0.25, 0], "b": 7}]}
    even, odd = ({"b64": base64.b64encode(word).decode()} for word in (b"even", b"odd"))
    assert ask(client, rows).json() == {
        "predictions": [
            {"total": 3.5, "label": "even", "raw_bytes": even, "twice": 8},
            {"total": 0.25, "label": "odd", "raw_bytes": odd, "twice": 14},
        ]
    }
    columns = {"signature_name": "named", "inputs": {"a": [[1, 2.5], [0.25, 0]], "b": [4, 7]}}
    outputs = {"total": [3.5, 0.25], "label": ["even", "odd"], "raw_bytes": [even, odd], "twice": [8, 14]}
    assert ask(client, columns).json() == {"outputs": outputs}


def test_whole_floats_keep_their_point_and_float32_its_short_form(client):
    # WriteDecimal in TensorFlow Serving: 3 -> 3.0, and 0.2 is not written as 0.20000000298023224.
    assert ask(client, {"inputs": [[2.0, 0.4, -6.0, 1.0]]}).text == '{"outputs":[[4.0,3.2,0.0,3.5]]}'


def test_nan_and_infinity_go_in_and_out(client):
    body = '{"signature_name": "logarithm", "instances": [[NaN, Infinity, 0, -1], [1, Inf, 0.1, -Infinity]]}'
    answer = ask(client, body)
    # Strict JSON has no NaN: Python's parser reads the tokens, as TensorFlow Serving writes them.
    rows = json.loads(answer.text)["predictions"]
    np.testing.assert_array_equal(rows[0]["log"], [np.nan, np.inf, -np.inf, np.nan])
    np.testing.assert_array_equal(rows[1]["whole"], [1, np.inf, 0.1, -np.inf])
    assert "NaN" in answer.text and "-Infinity" in answer.text and "0.1," in answer.text


@pytest.mark.parametrize("last", ["", ", [NaN, 0, 0, 0]"])  # NaN is no strict JSON: another parser
def test_numbers_that_float32_cannot_hold_are_rounded_or_infinite_as_in_tensorflow_serving(client, last):
    """rapidjson's GetFloat, of which its test FloatTensorWithPrecisionLoss is: float64, then cast to float32."""
    given = ["16777215", "16777217", "16777219", "-33554433", "18446744073709551615", "123456789012345678901234567890"]
    given += ["3.4028235e38", "1e39", "-1e39", "1e-50", "1.7976931348623157e308"]
    expected = [16777215.0, 16777216.0, 16777220.0, -33554432.0, 2.0**64, float(np.float32(1.2345678901234568e29))]
    expected += [3.4028234663852886e38, np.inf, -np.inf, 0.0, np.inf]
    rows = ", ".join(f"[{number}, 0, 0, 0]" for number in given)
    answer = ask(client, f'{{"signature_name": "logarithm", "inputs": [{rows}{last}]}}')
    whole = json.loads(answer.text)["outputs"]["whole"]
    np.testing.assert_array_equal(np.float32([row[0] for row in whole[: len(given)]]), np.float32(expected))


def test_binary_strings_come_in_as_base64(client):
    raw = bytes(range(256))
    body = {"signature_name": "length", "instances": [{"b64": base64.b64encode(raw).decode()}, "Mw 9"]}
    assert ask(client, body).json() == {"predictions": [256, 4]}
    body = {"signature_name": "length", "inputs": {"text": [{"b64": ""}]}}
    assert ask(client, body).json() == {"outputs": [0]}


def test_a_signature_without_batch_takes_a_scalar(client):
    assert ask(client, {"signature_name": "alone", "inputs": 2.5}).json() == {"outputs": 5.0}
    message = error(ask(client, {"signature_name": "alone", "instances": [2.5]}), 400)
    assert "value: expected shape [], received [1]" in message


# Versions, labels, status, metadata


def test_version_label_latest_and_zero(client):
    body = {"instances": [[0, 0, 0, 0]]}
    base = "/v1/models/toy"
    values = {"": 3.0, "/versions/1": 2.0, "/versions/2": 3.0, "/versions/0": 3.0}
    values |= {"/labels/stable": 2.0, "/labels/canary": 3.0}
    for path, value in values.items():
        assert ask(client, body, f"{base}{path}:predict").json()["predictions"][0][0] == value, path


def test_status_is_the_message_as_json(client):
    fine = {"error_code": "OK", "error_message": ""}
    both = [{"version": version, "state": "AVAILABLE", "status": fine} for version in ("2", "1")]
    assert client.get("/v1/models/toy").json() == {"model_version_status": both}
    assert client.get("/v1/models/toy/versions/1").json() == {"model_version_status": both[1:]}
    assert client.get("/v1/models/toy/labels/canary").json() == {"model_version_status": both[:1]}
    assert client.get("/v1/models/toy/versions/0").json() == {"model_version_status": both}


def test_metadata_is_the_signature_map(client):
    answer = client.get("/v1/models/toy/versions/1/metadata").json()
    assert answer["model_spec"] == {"name": "toy", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "named", "length", "alone"} <= set(signatures)
    b = signatures["named"]["inputs"]["b"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert (b["dtype"], b["tensor_shape"]) == ("DT_INT64", shape)
    assert signatures["named"]["method_name"] == "tensorflow/serving/predict"


def test_unknown_model_version_label_signature(client):
    body = {"instances": [[0, 0, 0, 0]]}
    messages = {
        "/v1/models/none:predict": (404, "Servable not found for request: Latest(none)"),
        "/v1/models/toy/versions/9:predict": (404, "Servable not found for request: Specific(toy, 9)"),
        "/v1/models/toy/labels/old:predict": (400, "Unrecognized servable version label: old"),
    }
    for path, (status, message) in messages.items():
        assert error(ask(client, body, path), status) == message
    message = error(ask(client, body | {"signature_name": "other"}), 400)
    assert message == 'Serving signature name: "other" not found in signature def'
    assert error(client.get("/v1/models/none"), 404) == "Could not find any versions of model none"
    assert error(client.get("/v1/models/toy/versions/9"), 404) == "Could not find version 9 of model toy"
    assert error(client.get("/v1/models/none/metadata"), 404) == "Servable not found for request: Latest(none)"
    assert error(client.get("/v1/models"), 400) == "Missing model name in request."


def test_wrong_paths_and_methods_are_malformed(client):
    for method, path in [("GET", "/v1/models/toy:predict"), ("POST", "/v1/models/toy"), ("GET", "/v1/else")]:
        assert error(client.request(method, path), 400) == f"Malformed request: {method} {path}"
    assert "Malformed request" in error(client.get("/v1/models/toy/versions/one"), 400)
    assert "Malformed request" in error(ask(client, {}, "/v1/models/toy/versions/one:predict"), 400)
    assert error(client.get("/elsewhere"), 404) == "GET /elsewhere: Not Found"
    assert error(ask(client, {}, "/v1/models/toy:classify"), 501) == "classify: this server answers predict only"


def test_every_described_path_answers_in_the_described_form(client):
    """Answers have the media type and the required keys of their schema; other parts of it are not compared."""
    described = client.get("/openapi.json").json()
    assert described["openapi"] == "3.1.0"
    values = {"name": "toy", "version": 1, "label": "stable"}
    paths = {path: methods for path, methods in described["paths"].items() if not path.startswith("/page/")}
    assert len(paths) == 10  # predict, status and metadata for three ways to name a version, and the counts
    for path, methods in paths.items():
        for method, operation in methods.items():
            names = re.findall(r"{(\w+)}", path)
            assert [parameter["name"] for parameter in operation.get("parameters", [])] == names
            body = '{"instances": [[0, 0, 0, 0]]}' if method == "post" else None
            answer = client.request(method, path.format(**values), content=body)
            (media_type, content), *_ = operation["responses"][str(answer.status_code)]["content"].items()
            assert answer.headers["content-type"].split(";")[0] == media_type
            required = content["schema"].get("required", [])
            assert not required or set(required) <= set(answer.json())
            assert "oneOf" not in content["schema"] or list(answer.json()) == ["predictions"]
            missing = client.request(method, path.format(**values | {"name": "none"}), content=body)
            if names:
                (_, refused), *_ = operation["responses"][str(missing.status_code)]["content"].items()
                assert refused["schema"]["required"] == list(missing.json()) == ["error"]


# Bad input


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b'{"instances": [[1, 2', "JSON Parse error: "),
        (b'{"instances": [[NaN, 2', "JSON Parse error: "),
        (b"\xff\xfe", "JSON Parse error: "),
        (b'{"instances": ' + b"[" * 5000 + b"]" * 5000 + b"}", "JSON Parse error: "),
        (b'{"instances": [NaN, ' + b"[" * 5000 + b"]" * 5000 + b"]}", "JSON Parse error: "),
        ([1], "JSON Value: [1 values] Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"instances": [[1, 2, 3, 4]], "inputs": 1}, "expecting only one of 'inputs' or 'instances' keys"),
        ({"instances": 1}, "Expecting 'instances' to be a list/array, received Number"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"inputs": []}, "x: expected shape [batch, 4], received [0]"),
        ({"instances": [[1, 2, 3]]}, "x: expected shape [batch, 4], received [1, 3]"),
        ({"instances": [1, 2, 3, 4]}, "x: expected shape [batch, 4], received [4]"),
        ({"instances": [[1, 2, 3, 4], [1, 2]]}, "unexpected size: 2 at level: 1 expected size: 4"),
        ({"instances": [[1, 2, 3, [4]]]}, "Encountered list at unexpected level: 2 expected < 2"),
        ({"instances": [[1, 2, 3, 4], 5]}, "JSON Value: 5 found at incorrect level: 2"),
        ({"instances": [["1", 2, 3, 4]]}, 'JSON Value: "1" Type: String is not of expected type: float'),
        ({"instances": [[True, 2, 3, 4]]}, "JSON Value: true Type: Bool is not of expected type: float"),
        ({"instances": [[None, 2, 3, 4]]}, "JSON Value: null Type: Null is not of expected type: float"),
        ({"instances": [[{"b64": "AA=="}, 2, 3, 4]]}, "JSON Value: {b64} Type: Object is not of expected type: float"),
        (b'{"instances": [[1e400, 2, 3, 4]]}', "JSON Parse error: number is infinity when parsed as double"),
        (b'{"instances": [[1e400, NaN, 3, 4]]}', "JSON Parse error: Number too big to be stored in double: 1e400"),
        (b'{"instances": [[1' + b"0" * 400 + b", NaN, 3, 4]]}", "Number too big to be stored in double: 1000"),
        ({"instances": [{"z": [1, 2, 3, 4]}]}, "element: 0 of 'instances' list: keys must be equal to: x, received z"),
        ({"instances": [{"x": [1, 2, 3, 4]}, [1]]}, "Expecting object but got list at item 1 of input list"),
        ({"instances": [[1, 2, 3, 4], {"x": 1}]}, "Expecting value/list but got object at item 1 of input list"),
        ({"inputs": {"z": 1}}, "Missing named input: x in 'inputs' object."),
        ({"inputs": 1, "signature_name": 5}, "'signature_name' key must be a string value"),
        ({"signature_name": "named", "instances": [1]}, "instances is a plain list, but expecting list of objects"),
        ({"signature_name": "named", "inputs": [1]}, "inputs is a plain value/list, but expecting an object"),
        (
            {"signature_name": "named", "inputs": {"a": [[1, 2]], "b": [1, 2]}},
            "inputs: expected as many records in each, received {'a': 1, 'b': 2}",
        ),
        (
            {"signature_name": "named", "inputs": {"a": [[1, 2]], "b": [1.5]}},
            "b: JSON Value: 1.5 Type: Number is not of expected type: int64",
        ),
        (
            {"signature_name": "named", "inputs": {"a": [[1, 2]], "b": [2**63]}},
            "b: JSON Value: 9223372036854775808 Type: Number is not of expected type: int64",
        ),
        ({"signature_name": "length", "instances": [{"b64": "?"}]}, "text: Unable to base64 decode"),
        ({"signature_name": "length", "instances": [5]}, "JSON Value: 5 Type: Number is not of expected type: string"),
        (b'{"signature_name": "length", "instances": ["\\ud800", NaN]}', "text: expected text that UTF-8 can hold"),
        ({"signature_name": "picky", "instances": [[1, 2, 3, 400]]}, "x: expected values below 100"),
    ],
)
def test_a_bad_request_is_refused_and_the_server_goes_on(client, body, message):
    assert message in error(ask(client, body), 400)
    assert ask(client, {"instances": [[0, 0, 0, 0]]}).status_code == 200


@pytest.mark.parametrize("piece", [b"[]", b"[ ]", b"[1]", b"{}", b"[[1]]"])
def test_a_body_of_millions_of_lists_is_refused_before_it_is_parsed(client, monkeypatch, piece):
    body = b'{"instances": [' + b",".join([piece] * 1_000_001) + b"]}"
    monkeypatch.setattr(json_requests.orjson, "loads", lambda body: pytest.fail("parsed"))
    message = error(ask(client, body), 400)
    assert re.match("request: expected at most 1000000 lists and objects, received [12]0000", message), message


def test_a_record_of_a_million_samples_is_the_wrong_shape(client):
    body = b'{"instances": [[' + b",".join([b"1.25"] * 1_000_000) + b"]]}"
    assert error(ask(client, body), 400) == "x: expected shape [batch, 4], received [1, 1000000]"


def test_a_body_of_100_mb_is_refused_and_read_no_further_than_needed(client):
    answer = ask(client, b" " * 100_000_000)
    assert error(answer, 413) == "request: expected at most 20000000 bytes, received 100000000"

    def pieces():
        for _ in range(50):
            yield b" " * 1_000_000

    message = error(client.post("/v1/models/toy:predict", content=pieces()), 413)
    assert message.startswith("request: expected at most 20000000 bytes, received ")
    assert ask(client, {"instances": [[0, 0, 0, 0]]}).status_code == 200


def test_a_body_announced_as_too_large_is_refused_before_it_is_sent(client):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as connection:
        head = b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\n"
        head += b"Content-Length: 100000000\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_slow_clients_are_cut_off(models):
    def slow(head: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", where.rest_port), timeout=10) as connection:
            connection.sendall(head)
            return connection.makefile("rb").read()

    with running(models, grpc_port=None, read_timeout_s=0.5) as where:
        body = slow(
            b'POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n{"instances"'
        )
        assert body.startswith(b"HTTP/1.1 408 ") and b"expected the whole request within 0.5 s" in body
        assert slow(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\n") == b""  # headers never end: closed
        assert slow(b"") == b""
        assert httpx.get(where.url + "/v1/models/toy").status_code == 200


def test_requests_are_counted_under_tensorflow_servings_names(client):
    ask(client, {"instances": [[0, 0, 0, 0]]})
    ask(client, {"instances": [["a"]]})
    ask(client, {"instances": [[0]]}, "/v1/models/none:predict")
    text = client.get("/monitoring/prometheus/metrics").text
    assert ':tensorflow:serving:request_count{model_name="toy",status="OK"} ' in text
    assert ':tensorflow:serving:request_count{model_name="toy",status="INVALID_ARGUMENT"} ' in text
    assert (
        ':tensorflow:serving:request_latency_bucket{API="Predict",entrypoint="REST",le="10.0",model_name="toy"}' in text
    )
    assert "none" not in text  # else clients could fill the memory with invented names


# Versions are added and removed


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_new_version_takes_over_without_a_lost_request(toy_models, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(toy_models / "toy" / "1", models / "toy" / "1")
    seen: list[float] = []
    failures: list[str] = []
    done = threading.Event()
    with running(models, grpc_port=None, poll_s=0.05) as where:

        def load() -> None:
            with httpx.Client(base_url=where.url, timeout=30) as client:
                while not done.is_set():
                    answer = ask(client, {"instances": [[0, 0, 0, 0]]})
                    if answer.status_code != 200:
                        failures.append(answer.text)
                    else:
                        seen.append(answer.json()["predictions"][0][0])

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(seen) > 20)
        shutil.copytree(toy_models / "toy" / "2", models / "toy" / ".half")
        (models / "toy" / ".half").rename(models / "toy" / "2")
        wait_for(lambda: seen[-1] == 3.0)
        states = {}

        def unloaded() -> bool:
            status = httpx.get(where.url + "/v1/models/toy").json()["model_version_status"]
            states.update({entry["version"]: entry["state"] for entry in status})
            return states == {"1": "END", "2": "AVAILABLE"}

        wait_for(unloaded)
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(seen) == {2.0, 3.0}


def test_labels_move_without_a_restart_and_a_broken_config_changes_nothing(toy_models, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(toy_models / "toy", models / "toy")
    write_config(models, "versions: 1 versions: 2", stable=1)
    path = "/v1/models/toy/labels/stable:predict"
    with running(models, grpc_port=None, poll_s=0.05) as where, httpx.Client(base_url=where.url) as client:

        def stable() -> float:
            return ask(client, {"instances": [[0, 0, 0, 0]]}, path).json()["predictions"][0][0]

        assert stable() == 2.0
        (models / "models.config").write_text("model_config_list {")
        time.sleep(0.3)
        assert stable() == 2.0
        write_config(models, "versions: 1 versions: 2", stable=2)
        wait_for(lambda: stable() == 3.0)


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_in_service(toy_models, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(toy_models / "toy" / "1", models / "toy" / "1")
    with running(models, grpc_port=None, poll_s=0.05) as where, httpx.Client(base_url=where.url) as client:
        (models / "toy" / ".7").mkdir()
        (models / "toy" / ".7" / "saved_model.pb").write_bytes(b"no graph")
        (models / "toy" / ".7").rename(models / "toy" / "7")
        wait_for(lambda: len(client.get("/v1/models/toy").json()["model_version_status"]) == 2)
        wait_for(lambda: client.get("/v1/models/toy/versions/7").json()["model_version_status"][0]["state"] == "END")
        status = client.get("/v1/models/toy/versions/7").json()["model_version_status"][0]["status"]
        assert status["error_code"] == "INVALID_ARGUMENT"
        assert "toy/7: expected a SavedModel, received saved_model.pb" in status["error_message"]
        assert ask(client, {"instances": [[0, 0, 0, 0]]}).json() == {"predictions": [[2.0] * 4]}
        message = error(ask(client, {"instances": [[0, 0, 0, 0]]}, "/v1/models/toy/versions/7:predict"), 404)
        assert message == "Servable not found for request: Specific(toy, 7)"


def test_which_versions_a_folder_asks_for(toy_models, tmp_path):
    shutil.copytree(toy_models / "toy", tmp_path / "toy")
    (tmp_path / "toy" / ".unpublished-3").mkdir()
    (tmp_path / "notes").mkdir()
    assert {name: config.versions for name, config in read_configs(tmp_path).items()} == {"toy": [2]}
    for policy, versions in {
        "latest { num_versions: 2 }": [1, 2],
        "all {}": [1, 2],
        "specific { versions: 1 }": [1],
    }.items():
        config = f'config {{ name: "t" base_path: "/models/toy" model_version_policy {{ {policy} }} }}'
        (tmp_path / "models.config").write_text(f"model_config_list {{ {config} }}")
        assert read_configs(tmp_path)["t"].versions == versions
    (tmp_path / "models.config").write_text("nonsense")
    with pytest.raises(ValueError, match=r"models\.config: expected a ModelServerConfig in text form, received"):
        read_configs(tmp_path)
    with pytest.raises(ValueError, match="nowhere: expected a folder of models, received none"):
        read_configs(tmp_path / "nowhere")


def test_what_is_no_folder_of_models_is_named(toy_models, tmp_path, tiny_waveforms):
    models = toy_models.resolve()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    (tmp_path / "empty").mkdir()
    for folder, received in {
        models / "toy": f"the folder of one model; serve {models}",
        models / "toy" / "1": f"one version of a model; serve {models}",
        tiny_waveforms: "a data set; train a run on it",
        tmp_path / "run": f"a run; `seis-tf export {tmp_path / 'run'} MODELS`",
    }.items():
        expected = f"{folder}: expected a folder of models (MODELS/NAME/VERSION), received {received}"
        with pytest.raises(ValueError, match=re.escape(expected)), running(folder, grpc_port=None):
            pass
    with pytest.raises(ValueError, match="expected a folder of models, received a file"):
        read_configs(tmp_path / "run" / "model.keras")
    assert read_configs(tmp_path / "empty") == {}  # models may come later


# Batching


class Slow:
    """A slow signature that notes the size of each call."""

    batched = True

    def __init__(self, fail_at: float | None = None) -> None:
        self.sizes: list[int] = []
        self.fail_at = fail_at

    def run(self, inputs):
        self.sizes.append(len(inputs["x"]))
        time.sleep(0.05)
        if self.fail_at is not None and (inputs["x"] == self.fail_at).any():
            raise Refused("INVALID_ARGUMENT", f"x: {self.fail_at}")
        return {"y": inputs["x"] + 1}


def batch(signature, values, settings: BatchingSettings, timeout_s: float = 10.0):
    """Sends all values together; answers or errors in order."""
    from concurrent.futures import ThreadPoolExecutor

    async def main():
        batcher = Batcher(signature, settings, ThreadPoolExecutor(1))
        calls = [batcher.answer({"x": np.full((rows, 1), value)}, rows, timeout_s) for value, rows in values]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        await batcher.drained()
        return answers

    return asyncio.run(main())


def test_requests_of_one_moment_share_calls_and_each_gets_its_own_rows():
    signature = Slow()
    values = [(float(index), 1 + index % 3) for index in range(20)]  # 39 rows: 1 + 2 + 3 six times, and 1 + 2
    answers = batch(signature, values, BatchingSettings(max_batch_size=16))
    for (value, rows), answer in zip(values, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], np.full((rows, 1), value + 1))
    assert len(signature.sizes) <= 4 and max(signature.sizes) <= 16 and sum(signature.sizes) == 39


def test_one_bad_request_does_not_fail_the_others():
    answers = batch(Slow(fail_at=3.0), [(float(index), 1) for index in range(8)], BatchingSettings())
    for value, answer in enumerate(answers):
        if value == 3:
            assert isinstance(answer, Refused) and str(answer) == "x: 3.0"
        else:
            assert answer["y"] == value + 1


def test_batches_are_filled_up_to_allowed_sizes_and_large_requests_cut():
    signature = Slow()
    settings = BatchingSettings(max_batch_size=8, allowed_sizes=(1, 4, 8))
    answers = batch(signature, [(1.0, 3), (2.0, 19)], settings)
    assert [len(answer["y"]) for answer in answers] == [3, 19]
    np.testing.assert_array_equal(answers[1]["y"], np.full((19, 1), 3.0))
    assert signature.sizes == [4, 8, 8, 4]  # 3 -> 4; 19 = 8 + 8 + 3 -> 4


def test_a_batch_ends_at_an_allowed_size_where_filling_up_would_cost_more():
    signature = Slow()
    settings = BatchingSettings(max_batch_size=16, allowed_sizes=(1, 4, 8, 16))
    answers = batch(signature, [(float(index), 1) for index in range(9)], settings)
    assert [answer["y"][0, 0] for answer in answers] == [index + 1 for index in range(9)]
    assert signature.sizes == [8, 1]  # a batch of 9 padded to 16 would be nearly half padding
    signature.sizes.clear()
    batch(signature, [(0.0, 1)] * 13, settings)
    assert signature.sizes == [16]


def test_a_full_queue_and_a_passed_deadline_are_refused():
    answers = batch(Slow(), [(1.0, 1)] * 5, BatchingSettings(max_waiting=3))
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert [answer.code for answer in refused] == ["UNAVAILABLE"] * 2
    assert refused[0].http_status == 503 and "queue to which this task was submitted is full" in str(refused[0])
    late = batch(Slow(), [(1.0, 1)], BatchingSettings(), timeout_s=0.01)[0]
    assert late.code == "DEADLINE_EXCEEDED" and late.http_status == 504


def test_a_delay_waits_for_further_requests_but_not_beyond_a_full_batch():
    signature = Slow()

    async def main():
        from concurrent.futures import ThreadPoolExecutor

        batcher = Batcher(signature, BatchingSettings(max_batch_size=4, delay_s=0.3), ThreadPoolExecutor(1))

        async def later(seconds):
            await asyncio.sleep(seconds)
            return await batcher.answer({"x": np.zeros((1, 1))}, 1, 10)

        started = time.monotonic()
        await asyncio.gather(*[later(0.01 * index) for index in range(4)])
        return time.monotonic() - started

    assert asyncio.run(main()) < 0.25
    assert signature.sizes == [4]


def test_requests_of_other_widths_are_not_joined():
    async def main(signature):
        from concurrent.futures import ThreadPoolExecutor

        batcher = Batcher(signature, BatchingSettings(), ThreadPoolExecutor(1))
        shapes = [(1, 2), (1, 3), (1, 2)]
        return await asyncio.gather(*[batcher.answer({"x": np.zeros(shape)}, 1, 10) for shape in shapes])

    signature = Slow()
    assert [answer["y"].shape for answer in asyncio.run(main(signature))] == [(1, 2), (1, 3), (1, 2)]
    assert sorted(signature.sizes) == [1, 2]


def test_batching_config_of_tensorflow_serving_is_read(tmp_path):
    assert read_batching(tmp_path) == BatchingSettings()
    text = """# comment { value: 5 }
        max_batch_size { value: 16 } batch_timeout_micros { value: 2000 }
        max_enqueued_batches { value: 10 } num_batch_threads { value: 4 }
        allowed_batch_sizes: 4 allowed_batch_sizes : 16"""
    (tmp_path / "batching.config").write_text(text)
    expected = BatchingSettings(max_batch_size=16, max_rows=16, delay_s=0.002, max_waiting=160, allowed_sizes=(4, 16))
    assert read_batching(tmp_path) == expected
    for written in ("enable_large_batch_splitting { value: true }", "enable_large_batch_splitting: True"):
        split = text.replace("{ value: 16 }", "{ value: 50 }", 1) + written + " max_execution_batch_size { value: 16 }"
        (tmp_path / "batching.config").write_text(split)
        assert read_batching(tmp_path) == expected.model_copy(update={"max_rows": 50})
    (tmp_path / "batching.config").write_text("max_batch_size { value: 16 } allowed_batch_sizes: 8")
    with pytest.raises(ValueError, match=r"batching\.config: allowed_sizes: expected .* 16, received \(8,\)"):
        read_batching(tmp_path)


def test_large_requests_under_the_exported_batching_are_answered_row_by_row_and_refused_as_in_tensorflow_serving(
    toy_models, tmp_path
):
    shutil.copytree(toy_models / "toy", tmp_path / "toy")
    labels.write_server_files(tmp_path)
    x = np.random.default_rng(0).normal(size=(4097, 4)).round(3).tolist()
    with running(tmp_path, grpc_port=None) as where, httpx.Client(base_url=where.url, timeout=60) as client:
        alone = [ask(client, {"instances": [row]}).json()["predictions"][0] for row in x[:70]]
        for count in (32, 33, 70):
            assert ask(client, {"instances": x[:count]}).json()["predictions"] == alone[:count]
        assert len(ask(client, {"instances": x[:4096]}).json()["predictions"]) == 4096
        # The message of SharedBatchScheduler.
        message = error(ask(client, {"instances": x}), 400)
        assert message.startswith("Task size 4097 is larger than maximum input batch size 4096")
    (tmp_path / "batching.config").write_text("max_batch_size { value: 32 }")
    with running(tmp_path, grpc_port=None) as where, httpx.Client(base_url=where.url, timeout=60) as client:
        message = error(ask(client, {"instances": x[:33]}), 400)
        assert message.startswith("Task size 33 is larger than maximum input batch size 32")


# Start and stop


def test_a_taken_port_and_a_missing_folder_are_named(models, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ValueError, match=f"REST port: expected 127.0.0.1:{port} to be free, received Address"),
            running(models, rest_port=port, grpc_port=None),
        ):
            pass
        with (
            pytest.raises(ValueError, match=f"gRPC port: expected 127.0.0.1:{port} to be free"),
            running(models, grpc_port=port),
        ):
            pass
    with pytest.raises(ValueError, match="nowhere: expected a folder of models"), running(tmp_path / "nowhere"):
        pass
    with (
        pytest.raises(ValueError, match="server: max_body_mb: Input should be greater than 0, received 0"),
        running(models, max_body_mb=0),
    ):
        pass


def test_it_listens_only_to_its_own_machine_by_default():
    assert ServerSettings().host == "127.0.0.1"


def test_a_stopped_server_answers_what_is_under_way_first(models):
    with running(models, grpc_port=None, batching=BatchingSettings(delay_s=0.5)) as where:
        answers = []
        body = {"instances": [[0, 0, 0, 0]]}
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(where.url + "/v1/models/toy:predict", json=body))
        )
        thread.start()
        time.sleep(0.2)
    thread.join()
    assert answers[0].json() == {"predictions": [[3.0] * 4]}
    with pytest.raises(httpx.ConnectError):
        httpx.get(where.url + "/v1/models/toy")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_gracefully(models, number):
    program = "from seis_tf.cli import main; main()"
    command = [sys.executable, "-c", program, "serve", str(models), "--rest-port", "0", "--grpc-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            url = re.fullmatch(r"page and REST at (\S+), gRPC at 127\.0\.0\.1:\d+; Ctrl-C stops\n", line)[1]
            assert httpx.get(url + "/v1/models/toy").status_code == 200
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


def test_large_bodies_of_all_clients_together_are_limited(models):
    def send(count: int) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", where.rest_port), timeout=10)
        connection.sendall(b"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 700000\r\n\r\n")
        connection.sendall(b" " * count)
        return connection

    with running(models, grpc_port=None, max_held_mb=1) as where:
        with send(600_000), send(600_000) as second:
            assert second.recv(1000).startswith(b"HTTP/1.1 503 ")
        # Memory for clients that have gone is free again.
        wait_for(lambda: ask_at(where.url, b" " * 800_000 + b'{"instances": [[0, 0, 0, 0]]}') == 200)


def ask_at(url: str, body: bytes) -> int:
    with httpx.Client(base_url=url) as client:
        return ask(client, body).status_code
