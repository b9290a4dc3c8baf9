"""SIGTERM ends the server even where a part of it hangs: a real process that reads a pipe without a writer."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

# The server with one function replaced by one that reads the pipe.
SERVER = """
import os, sys
from pathlib import Path
from seis_tf import isolated
from seis_tf.serve import local_server
from seis_tf.serve.server import models, servable
folder, what = Path(sys.argv[1]), sys.argv[2]

def hang(*arguments, **options):
    (folder / "hangs").touch()
    return os.open(folder / "pipe", os.O_RDONLY)

call = isolated.call
def call_that_hangs(function, *arguments, **limits):
    (folder / "hangs").touch()
    return call(os.open, str(folder / "pipe"), os.O_RDONLY, **limits)

def started(where):
    print(where.url, flush=True)
    if what == "upload":
        isolated.call = call_that_hangs
    elif what == "model":
        servable.Signature.run = hang
    elif what == "file system":
        models.ModelStore.scan = hang

local_server.serve(folder / "models", rest_port=0, grpc_port=0, started=started, last=True)
"""
QUESTIONS = {
    "upload": ("/page/answer", {"model": "toy", "files": [{"name": "x", "b64": "AAAA"}]}),
    "model": ("/v1/models/toy:predict", {"instances": [[0, 0, 0, 0]]}),
}


@pytest.fixture
def folder(toy_models, tmp_path) -> Path:
    """A model whose metadata say that it takes waveforms, and a pipe."""
    import os

    version = tmp_path / "models" / "toy" / "1"
    shutil.copytree(toy_models / "toy" / "1", version)
    (version / "assets.extra").mkdir()
    metadata = {"task": "waveforms", "sampling_rate_hz": 100.0, "preprocessing": {"record": {"length_samples": 4}}}
    (version / "assets.extra" / "metadata.json").write_text(json.dumps(metadata))
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


@pytest.mark.parametrize(("what", "status"), [("nothing", 0), ("upload", 0), ("model", 1), ("file system", 1)])
def test_the_server_ends_though_a_part_hangs(folder, what, status):
    command = [sys.executable, "-c", SERVER, str(folder), what]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            sender = threading.Thread(target=send, args=(url, what), daemon=True)
            sender.start()
            while what != "nothing" and not (folder / "hangs").exists():
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            _, errors = process.communicate(timeout=30)  # without the forced end this would take for ever
            print(f"{what}: {time.monotonic() - started:.2f} s")
        finally:
            process.kill()
    assert process.returncode == status, errors
    assert "Traceback" not in errors


def send(url: str, what: str) -> None:
    path, question = QUESTIONS.get(what, ("/", None))
    try:
        if question is not None:
            httpx.post(url + path, json=question, headers={"x-requested-with": "seis-tf"}, timeout=60)
    except httpx.HTTPError:
        pass  # the server has ended
