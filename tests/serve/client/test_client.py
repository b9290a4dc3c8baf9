"""The client against the local server and against a simulated one; another project's client and the local server."""

from __future__ import annotations

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from seis_tf.serve.client.client import AskError, Client
from seis_tf.serve.local_server import running


@pytest.fixture(scope="module")
def server(toy_models: Path, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(toy_models / "toy", folder / "toy")
    policy = "model_version_policy { all {} } version_labels { key: 'stable' value: 1 }"
    (folder / "models.config").write_text(f"model_config_list {{ config {{ name: 'toy' {policy} }} }}")
    with running(folder) as where:
        yield where


@pytest.fixture(params=["rest", "grpc"])
def client(server, request):
    """REST and gRPC must give the same answers and the same errors."""
    with Client("toy", server.url, **way(server, request.param)) as client:
        yield client


def way(server, kind: str) -> dict[str, str]:
    return {"grpc_address": f"127.0.0.1:{server.grpc_port}"} if kind == "grpc" else {}


def test_records_in_named_results_out_in_batches(client):
    x = np.random.default_rng(0).normal(size=(70, 4)).astype(np.float32)  # three requests of 32, 32, 6
    answer = client.predict(x)
    assert list(answer) == ["y"] and answer["y"].dtype == np.float32
    np.testing.assert_array_equal(answer["y"], x / 2 + 2)  # version 1: it is labelled stable


def test_text_bytes_and_several_inputs(client):
    answer = client.predict({"a": [[1, 2.5], [0.25, 0]], "b": [4, 7]}, "named")
    assert answer["label"].tolist() == ["even", "odd"]
    assert answer["raw_bytes"].tolist() == [b"even", b"odd"]
    assert answer["twice"].dtype == np.int64 and answer["twice"].tolist() == [8, 14]
    lengths = client.predict(np.array([b"\xff\x00", "Mw", b""], object), "length")
    assert lengths["length"].tolist() == [2, 2, 0]


def test_nan_goes_there_and_back(client):
    x = np.array([[np.nan, np.inf, 0, -1]], np.float32)
    answer = client.predict(x, "logarithm")
    np.testing.assert_array_equal(answer["whole"], x)
    np.testing.assert_array_equal(answer["log"], np.array([[np.nan, np.inf, -np.inf, np.nan]], np.float32))


def test_versions_and_labels(server):
    zeros = np.zeros((1, 4))
    for kind in ("rest", "grpc"):
        for choice, value in [({}, 2), ({"version": 2}, 3), ({"label": "stable"}, 2), ({"version": 1}, 2)]:
            with Client("toy", server.url, **way(server, kind), **choice) as client:
                assert client.predict(zeros)["y"][0, 0] == value
                states = {entry["version"]: entry["state"] for entry in client.status()}
                assert set(states.values()) == {"AVAILABLE"}
    with pytest.raises(ValueError, match="version: expected it or a label, received 1 and 'stable'"):
        Client("toy", version=1, label="stable")


def test_without_a_label_the_highest_version_answers(toy_models):
    with running(toy_models) as where:
        for kind in ("rest", "grpc"):
            with Client("toy", where.url, **way(where, kind)) as client:
                assert client.predict(np.zeros((1, 4)))["y"][0, 0] == 3


@pytest.mark.parametrize(
    ("records", "signature", "message"),
    [
        (np.zeros((2, 3)), "serving_default", r"x: expected shape \[any, 4\], received \[2, 3\]"),
        (np.zeros(4), "serving_default", r"x: expected shape \[any, 4\], received \[4\]"),
        ([[1, 2, 3, 4], [1]], "serving_default", "x: expected records of one shape, received"),
        ([["a"] * 4], "serving_default", "x: expected float32, received <U1"),
        ([[True] * 4], "serving_default", "x: expected float32, received bool"),
        (np.zeros((0, 4)), "serving_default", "expected as many in each input and at least one, received {'x': 0}"),
        (np.full((1, 4), 1e39), "serving_default", r"x: expected numbers that float32 can hold, received 1e\+39"),
        (np.zeros((1, 4)), "none", r"signature: expected one of \['alone', 'length', .*\], received 'none'"),
        ({"z": np.zeros((1, 4))}, "serving_default", r"records: expected inputs \['x'\], received \['z'\]"),
        (np.zeros((1, 2)), "named", r"records: expected an array for each of \['a', 'b'\], received one array"),
        ({"a": np.zeros((2, 2)), "b": [1]}, "named", r"expected as many in each input .* received {'a': 2, 'b': 1}"),
        ({"a": np.zeros((1, 2)), "b": [1.0]}, "named", "b: expected int64, received float64"),
    ],
)  # fmt: skip
def test_records_that_do_not_fit_are_refused_before_they_are_sent(client, records, signature, message):
    with pytest.raises(ValueError, match=message):
        client.predict(records, signature)


def test_a_refusal_carries_the_servers_words(client, server):
    with pytest.raises(AskError, match="x: expected values below 100") as caught:
        client.predict(np.full((1, 4), 200), "picky")
    assert caught.value.status in (400, "INVALID_ARGUMENT")
    for kind in ("rest", "grpc"):
        with Client("none", server.url, **way(server, kind)) as other, pytest.raises(AskError, match="none") as caught:
            other.predict(np.zeros((1, 4)))
        assert caught.value.status in (404, "NOT_FOUND")


class Server:
    """Answers metadata, then the given answers in turn: a status, or (a float) 200 after so many seconds."""

    def __init__(self, *answers: int | float, unknown_rank: bool = False) -> None:
        self.answers, self.bodies = list(answers), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                shape = {"dim": [{"size": "-1"}], "unknown_rank": unknown_rank}
                tensor = {"dtype": "DT_FLOAT", "tensor_shape": shape}
                signature = {"inputs": {"x": tensor}, "outputs": {"y": tensor}}
                described = {"__saved_model_init_op": {}, "serving_default": signature}
                self.respond(200, {"metadata": {"signature_def": {"signature_def": described}}})

            def do_POST(self) -> None:
                outer.bodies.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                answer = outer.answers.pop(0)
                if isinstance(answer, float):
                    outer.stop.wait(answer)
                    answer = 200
                self.respond(answer, {"outputs": [1.0]} if answer == 200 else {"error": f"asked to answer {answer}"})

            def respond(self, status: int, content: dict) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                pass

        self.stop = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> Server:
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop.set()
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def test_a_busy_server_is_asked_again():
    with Server(503, 429, 200) as server, Client("m", server.url, retries=2) as client:
        assert client.predict([5.0])["y"].tolist() == [1.0]
        assert server.bodies == [{"signature_name": "serving_default", "inputs": {"x": [5.0]}}] * 3
    with Server(503, 503) as server, Client("m", server.url, retries=1) as client:
        with pytest.raises(AskError, match="received 503: asked to answer 503") as caught:
            client.predict([5.0])
        assert caught.value.status == 503
    with Server(400) as server, Client("m", server.url) as client:
        with pytest.raises(AskError, match="received 400: asked to answer 400"):
            client.predict([5.0])
        assert len(server.bodies) == 1


def test_one_number_is_no_records_even_where_the_signature_states_no_shape():
    message = r"x: expected shape \[record, \.\.\], received \[\]"
    with (
        Server(unknown_rank=True) as server,
        Client("m", server.url) as client,
        pytest.raises(ValueError, match=message),
    ):
        client.predict(5.0)


def test_a_silent_server_is_given_up():
    with Server(30.0) as server, Client("m", server.url, timeout_s=0.2, retries=0) as client:
        with pytest.raises(AskError, match="expected an answer, received .*Timeout") as caught:
            client.predict([5.0])
        assert caught.value.status is None


def test_an_address_without_a_server(server):
    with Client("toy", "http://127.0.0.1:9", retries=0) as client, pytest.raises(AskError, match="127.0.0.1:9/"):
        client.status()
    with Client("toy", grpc_address="127.0.0.1:9", retries=0, timeout_s=2) as client:
        with pytest.raises(AskError, match="127.0.0.1:9: expected an answer of toy, received UNAVAILABLE") as caught:
            client.status()
        assert caught.value.status == "UNAVAILABLE"


def test_over_rest_it_needs_no_tensorflow():
    """A small machine beside the instrument has the client but no 600 MB of TensorFlow."""
    import subprocess
    import sys

    program = (
        "import sys; import seis_tf.serve.client.client; print('tensorflow' in sys.modules, 'grpc' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_another_projects_client_talks_to_the_local_server(server):
    """OpenVINO's client for TensorFlow Serving, unchanged: it asks for version 0 over REST when it means the latest."""
    ovmsclient = pytest.importorskip("ovmsclient")
    x = np.array([[0, 1, 2, 3], [4, 5, 6, 8]], np.float32)
    for client in (
        ovmsclient.make_http_client(f"127.0.0.1:{server.rest_port}"),
        ovmsclient.make_grpc_client(f"127.0.0.1:{server.grpc_port}"),
    ):
        np.testing.assert_array_equal(client.predict({"x": x}, "toy"), x / 2 + 3)
        np.testing.assert_array_equal(client.predict({"x": x}, "toy", model_version=1), x / 2 + 2)
        status = client.get_model_status("toy")
        assert {version: entry["state"] for version, entry in status.items()} == {2: "AVAILABLE", 1: "AVAILABLE"}
        assert "DT_FLOAT" in str(client.get_model_metadata("toy"))
        with pytest.raises(ovmsclient.tfs_compat.base.errors.ModelNotFoundError, match=r"Latest\(none\)|Specific"):
            client.predict({"x": x}, "none")
        with pytest.raises(
            ovmsclient.tfs_compat.base.errors.InvalidInputError, match=r"\[batch, 4\], received \[2, 2\]"
        ):
            client.predict({"x": x[:, :2]}, "toy")
