"""Damaged or half-copied versions: marked as failed with a reason and tried again, while others are served."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import httpx
import pytest

from seis_tf.serve.local_server import running
from seis_tf.serve.server import models as models_module
from seis_tf.serve.server.models import ModelStore

ZEROS = {"instances": [[0, 0, 0, 0]]}


def wait_for(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5])


def damage(version: Path, how: str) -> None:
    """Damages a version so that it does not load."""
    data, index = (version / "variables" / f"variables.{kind}" for kind in ("data-00000-of-00001", "index"))
    if how == "variables truncated":
        truncate(data)
    elif how == "index truncated":
        truncate(index)
    elif how == "variables missing":
        shutil.rmtree(version / "variables")
    elif how == "graph truncated":
        graph = version / "saved_model.pb"
        graph.write_bytes(graph.read_bytes()[:-100])
    elif how == "graph empty":
        (version / "saved_model.pb").write_bytes(b"")
    elif how == "a pipe":
        index.unlink()
        os.mkfifo(index)
    elif how == "metadata no JSON":
        (version / "assets.extra").mkdir()
        (version / "assets.extra" / "metadata.json").write_bytes(b"\xff")
    elif how == "warm-up damaged":
        (version / "assets.extra").mkdir()
        (version / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records")


HOWS = ["variables truncated", "index truncated", "variables missing", "graph truncated", "graph empty"]
HOWS += ["a pipe", "metadata no JSON", "warm-up damaged"]


@pytest.mark.parametrize("how", HOWS)
def test_a_damaged_version_fails_alone_and_is_loaded_when_it_is_mended(toy_models, tmp_path, how):
    shutil.copytree(toy_models / "toy" / "1", tmp_path / "good" / "1")
    shutil.copytree(toy_models / "toy" / "2", tmp_path / "bad" / "2")
    damage(tmp_path / "bad" / "2", how)
    store = ModelStore(tmp_path)
    store.scan()
    assert store.names() == ["good"]
    status = store.status("bad", 2)[2]
    assert status.state == "END" and status.code in ("INVALID_ARGUMENT", "INTERNAL")
    assert "bad/2" in status.message and "expected" in status.message and "\n" not in status.message
    shutil.rmtree(tmp_path / "bad")
    shutil.copytree(toy_models / "toy" / "2", tmp_path / "bad" / "2")
    store.scan()
    assert store.names() == ["bad", "good"]


def test_flipped_bits_never_end_the_scan(toy_models, tmp_path):
    for position in range(100, (toy_models / "toy" / "1" / "saved_model.pb").stat().st_size, 4001):
        shutil.rmtree(tmp_path / "toy", ignore_errors=True)
        shutil.copytree(toy_models / "toy" / "1", tmp_path / "toy" / "1")
        flip(tmp_path / "toy" / "1" / "saved_model.pb", position)
        store = ModelStore(tmp_path)
        store.scan()
        assert store.status("toy", 1)[1].state in ("AVAILABLE", "END")


@pytest.mark.parametrize("error", [KeyError(3), IndexError(), RecursionError("deep"), MemoryError()])
def test_any_error_of_loading_is_the_versions_reason(toy_models, tmp_path, monkeypatch, error):
    shutil.copytree(toy_models / "toy", tmp_path / "toy")

    def load(*arguments):
        raise error

    monkeypatch.setattr(models_module, "load_servable", load)
    store = ModelStore(tmp_path)
    store.scan()
    status = store.status("toy", 2)[2]
    assert (status.state, status.code) == ("END", "INTERNAL")
    kind = type(error).__name__
    assert status.message.endswith(f"toy/2: expected a version that loads, received {kind}{text(error)}")


def text(error: Exception) -> str:
    return f": {error}" if str(error) else ""


def test_a_damaged_version_is_not_loaded_again_and_again(toy_models, tmp_path, monkeypatch):
    shutil.copytree(toy_models / "toy", tmp_path / "toy")
    truncate(tmp_path / "toy" / "2" / "saved_model.pb")
    calls = []
    load = models_module.load_servable
    monkeypatch.setattr(models_module, "load_servable", lambda *a: calls.append(a) or load(*a))
    store = ModelStore(tmp_path)
    for _ in range(3):
        store.scan()
    assert len(calls) == 1


def test_a_running_server_goes_on_and_takes_a_version_whose_variables_come_late(toy_models, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(toy_models / "toy" / "1", models / "toy" / "1")
    shutil.copytree(toy_models / "toy" / "1", models / "bad" / "1")
    damage(models / "bad" / "1", "variables truncated")
    with running(models, grpc_port=None, poll_s=0.05) as where, httpx.Client(base_url=where.url, timeout=30) as client:

        def answer() -> float:
            return client.post("/v1/models/toy:predict", json=ZEROS).json()["predictions"][0][0]

        def state(version: int) -> str:
            status = client.get("/v1/models/toy").json()["model_version_status"]
            return next((entry["state"] for entry in status if entry["version"] == str(version)), "")

        assert answer() == 2.0
        # In the order of a copy: the graph first, the variables later.
        (models / "toy" / "2").mkdir()
        shutil.copy(toy_models / "toy" / "2" / "saved_model.pb", models / "toy" / "2")
        wait_for(lambda: state(2) == "END")
        assert answer() == 2.0
        shutil.copytree(toy_models / "toy" / "2" / "variables", models / "toy" / "2" / "variables")
        wait_for(lambda: state(2) == "AVAILABLE")
        assert answer() == 3.0
