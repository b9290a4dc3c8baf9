"""Chief and workers: lost workers, a lost chief, a chief that comes back; nobody hangs."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from seis_tf.prepare_dart import prepare_dart
from seis_tf.settings.data import DartJob
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic import fakequake_files, fakequakes
from seis_tf.tuning import distributed, search
from seis_tf.tuning.settings import SearchSettings
from seis_tf.unit_sources import load_greens

SETTINGS = SearchSettings(model="slip_mlp", trials=6, epochs=3, objective="val_mse", together=1)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    greens = load_greens()
    quakes = fakequakes.simulate(FakequakeSettings(), greens, 120, 0)
    fakequake_files.write_fakequakes(folder / "quakes", quakes, greens)
    prepare_dart(folder / "quakes", folder / "data", DartJob.model_validate({"record": {"window_min": 15}}))
    return folder / "data"


@pytest.fixture
def address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def space_file(tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"model.hidden": {"kind": "widths", "layers": [1, 1], "values": [16]}}))
    return file


def worker(dataset, out, space_file, address, worker_id) -> subprocess.Popen:
    options = ["--out", str(out), "--space", str(space_file), "--trials", "6", "--epochs", "3", "--together", "1"]
    role = ["--role", "worker", "--oracle", address, "--worker-id", worker_id, "--timeout-s", "40"]
    command = [sys.executable, "-m", "seis_tf", "tune", "slip_mlp", str(dataset), *options, *role]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_a_silent_workers_trial_goes_back_to_the_queue(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=0.05)
    trial = oracle.create_trial("worker0-0")
    chief.give_back_lost()  # heard of for the first time now
    time.sleep(0.1)
    chief.give_back_lost()
    assert chief.given_back == [trial.trial_id]
    assert oracle.create_trial("worker1-0").trial_id == trial.trial_id


def test_a_worker_without_a_chief_ends_with_an_error(dataset, space_file, tmp_path, address, monkeypatch):
    for name in ("IP", "PORT"):
        monkeypatch.setenv(f"KERASTUNER_ORACLE_{name}", "")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "")
    with pytest.raises(
        ValueError, match=f"oracle: expected a chief at {address} within 1 s, received DEADLINE_EXCEEDED"
    ):
        distributed.run_worker(dataset, tmp_path, SETTINGS, address, "worker0", space_file=space_file, timeout_s=1)


def test_an_address_that_can_not_be_listened_on_is_refused(dataset, space_file, tmp_path):
    with pytest.raises(ValueError, match="expected an address to listen on, received 203.0.113.1:1"):
        distributed.run_chief(dataset, tmp_path / "s", SETTINGS, "203.0.113.1:1", space_file=space_file)


def test_a_result_that_comes_twice_counts_once(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=60)
    trial = oracle.create_trial("worker0-0")
    oracle.update_trial(trial.trial_id, {"val_mse": 1.0})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)

    class Request:
        pass

    request = Request()
    request.trial = trial.to_proto()
    chief.EndTrial(request, None)
    assert oracle.end_order == [trial.trial_id]


@pytest.mark.slow
def test_a_killed_worker_and_a_restarted_chief_lose_no_trial(dataset, space_file, tmp_path, address):
    out = tmp_path / "s"
    chief_code = (
        "import json, sys; from seis_tf.tuning import distributed; from seis_tf.tuning.settings import SearchSettings; "
        "from pathlib import Path; d, o, a, s, f = sys.argv[1:]; "
        "distributed.run_chief(d, o, SearchSettings(**json.loads(s)), a, space_file=Path(f), timeout_s=8)"
    )
    arguments = [str(dataset), str(out), address, SETTINGS.model_dump_json(), str(space_file)]

    def start_chief() -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", chief_code, *arguments], stderr=subprocess.PIPE, text=True)

    def ended() -> int:
        return sum('"COMPLETED"' in path.read_text() for path in out.glob("oracle/trial_*/trial.json"))

    def wait_for(count: int) -> None:
        until = time.monotonic() + 400
        while ended() < count:
            assert time.monotonic() < until, f"expected {count} trials, received {ended()}"
            time.sleep(0.2)

    chief = start_chief()
    workers = [worker(dataset, out, space_file, address, f"worker{i}") for i in range(2)]
    wait_for(1)
    workers[0].send_signal(signal.SIGKILL)
    wait_for(2)
    chief.send_signal(signal.SIGKILL)
    chief.communicate()  # also closes its pipe
    chief = start_chief()
    assert chief.wait(timeout=500) == 0, chief.stderr.read()[-2000:]
    assert workers[1].wait(timeout=120) == 0, workers[1].stderr.read()[-2000:]
    workers[0].wait()
    rows = (out / "trials.csv").read_text().splitlines()
    assert len(rows) == 1 + SETTINGS.trials
    assert all(",COMPLETED," in row for row in rows[1:])
    for process in (chief, *workers):
        process.stderr.close()


@pytest.mark.slow
def test_workers_of_this_machine_are_started_and_leave(dataset, space_file, tmp_path, address):
    before = threading.active_count()
    rows = distributed.run_chief(
        dataset, tmp_path / "s", SETTINGS.model_copy(update={"trials": 3}), address, space_file=space_file, workers=1
    )
    assert [row["status"] for row in rows] == ["COMPLETED"] * 3
    assert threading.active_count() <= before + 2
    assert os.environ.get("KERASTUNER_TUNER_ID") is None  # set in the workers' processes only
