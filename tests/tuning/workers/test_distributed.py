"""Chief and workers: lost workers, a lost chief, a chief that comes back; nobody hangs."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent import futures

import grpc
import pytest
from keras_tuner.src import protos
from keras_tuner.src.engine.trial import Trial

from seis_tf.tuning import oracles, search
from seis_tf.tuning.settings import SearchSettings
from seis_tf.tuning.workers import distributed, worker

SETTINGS = SearchSettings(model="slip_mlp", trials=6, epochs=3, objective="val_mse", together=1)


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


def start_worker(dataset, out, space_file, address, worker_id) -> subprocess.Popen:
    options = ["--out", str(out), "--space", str(space_file), "--trials", "6", "--epochs", "3", "--together", "1"]
    role = ["--role", "worker", "--oracle", address, "--worker-id", worker_id, "--timeout-s", "40"]
    command = [sys.executable, "-m", "seis_tf", "tune", "slip_mlp", str(dataset), *options, *role]
    return started(command)


def started(command: list[str]) -> subprocess.Popen:
    # A file and no pipe: nobody reads while the process runs, and a full pipe would stop it for ever.
    errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 (read when the process has ended)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, text=True)
    process.stderr = errors
    return process


def words_of(process: subprocess.Popen) -> str:
    process.stderr.seek(0)
    return process.stderr.read()[-2000:]


def test_a_silent_workers_trial_goes_back_to_the_queue(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=0.05)
    trial = oracle.create_trial("worker0-0")
    chief.give_back_lost()  # heard of for the first time now
    time.sleep(0.1)
    chief.give_back_lost()
    assert chief.given_back == [trial.trial_id]
    assert oracle.create_trial("worker1-0").trial_id == trial.trial_id


def test_a_worker_without_a_chief_ends_with_an_error(dataset, space_file, tmp_path, address, clean_environment):
    with pytest.raises(
        ValueError, match=f"oracle: expected a chief at {address} within 1 s, received DEADLINE_EXCEEDED"
    ):
        worker.run_worker(dataset, tmp_path, SETTINGS, address, "worker0", space_file=space_file, timeout_s=1)


def test_an_address_that_can_not_be_listened_on_is_refused(dataset, space_file, tmp_path):
    with pytest.raises(ValueError, match="expected an address to listen on, received 203.0.113.1:1"):
        distributed.run_chief(dataset, tmp_path / "s", SETTINGS, "203.0.113.1:1", space_file=space_file)


class Request:
    """What a call brings along."""

    def __init__(self, tuner_id: str = "", trial_id: str = "", trial=None, metrics=None):
        self.tuner_id, self.trial_id, self.metrics, self.step = tuner_id, trial_id, metrics or {}, 0
        self.trial = None if trial is None else trial.to_proto()


def ends(chief: distributed.Chief, trial, score: float = 1.0) -> None:
    chief.UpdateTrial(Request(trial_id=trial.trial_id, metrics={"val_mse": score}), None)
    trial.status = "COMPLETED"
    chief.EndTrial(Request(trial=trial), None)


def asks(chief: distributed.Chief, tuner_id: str) -> Trial:
    return Trial.from_proto(chief.CreateTrial(Request(tuner_id=tuner_id), None).trial)


def test_a_worker_waits_while_others_run_and_takes_over_their_trial(dataset, space_file, tmp_path):
    settings = SETTINGS.model_copy(update={"trials": 2})
    _, oracle = search.open_search(dataset, tmp_path / "s", settings, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=0.05)
    first, second = asks(chief, "a-0"), asks(chief, "b-0")
    ends(chief, first)
    # KerasTuner says STOPPED here: a would leave, and nobody would be there for the trial of b.
    assert asks(chief, "a-0").status == "IDLE"
    time.sleep(0.1)
    chief.give_back_lost()
    chief.give_back_of("b")  # not twice
    taken = asks(chief, "a-0")
    assert (taken.trial_id, taken.status) == (second.trial_id, "RUNNING")
    ends(chief, taken)
    assert asks(chief, "a-0").status == "STOPPED"


def test_a_late_result_of_a_trial_that_was_given_back_is_not_run_again(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=0.01)
    trial = asks(chief, "a-0")
    time.sleep(0.05)
    chief.give_back_lost()
    ends(chief, trial)  # it was only slow
    assert not oracles.waiting(oracle)
    assert asks(chief, "b-0").trial_id != trial.trial_id


def test_a_restarted_chief_leaves_trials_to_the_workers_that_are_still_at_them(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    trial = asks(distributed.Chief(oracle, timeout_s=60), "a-0")
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False, with_workers=True)
    chief = distributed.Chief(oracle, timeout_s=60)
    chief.give_back_lost()
    assert asks(chief, "b-0").trial_id != trial.trial_id
    assert asks(chief, "a-0").trial_id == trial.trial_id
    ends(chief, trial)
    assert [t.trial_id for t in oracles.ended(oracle)] == [trial.trial_id]


def test_a_trial_that_loses_its_workers_again_and_again_has_failed(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=60)
    trial = asks(chief, "a.1-0")
    for number in (1, 2, 3):
        assert asks(chief, f"a.{number}-0").trial_id == trial.trial_id
        chief.give_back_of("a")
    assert oracle.trials[trial.trial_id].status == "FAILED"
    assert (
        oracle.trials[trial.trial_id].message == "expected a result, received none: 3 workers were lost with this trial"
    )
    assert asks(chief, "b-0").trial_id != trial.trial_id


def test_a_call_about_a_trial_of_another_search_leaves_the_chief_at_work(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=60)
    with pytest.raises(ValueError, match="trial: expected one of this search, received 99"):
        chief.UpdateTrial(Request(trial_id="99", metrics={"val_mse": 1.0}), None)
    # KerasTuner's oracle keeps its lock when it raises, and another thread would wait for ever.
    with futures.ThreadPoolExecutor(1) as other:
        assert other.submit(asks, chief, "a-0").result(timeout=20).status == "RUNNING"


def test_a_closing_chief_gives_out_no_trial(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=60)
    chief.closing = True
    assert asks(chief, "a-0").status == "STOPPED"
    assert not oracle.trials


def test_sending_a_trial_prints_nothing(dataset, space_file, tmp_path, capsys):
    space_file.write_text("{}")  # widths of one to three layers: parameters with conditions
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    asks(distributed.Chief(oracle, timeout_s=60), "a-0")
    assert capsys.readouterr().out == ""


class Down(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE


def test_a_call_that_a_dying_chief_left_unanswered_is_made_again(monkeypatch):
    client = worker.Client.__new__(worker.Client)
    client.timeout_s, calls = 30.0, []

    def call(trial_id):
        calls.append(trial_id)
        if len(calls) == 1:
            raise Down
        return "answer"

    monkeypatch.setattr(distributed.time, "sleep", lambda seconds: None)
    assert client.patiently(call, "7") == "answer"
    client.timeout_s = -1.0
    calls.clear()
    with pytest.raises(Down):
        client.patiently(call, "7")


def served(oracle, address):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    protos.get_service_grpc().add_OracleServicer_to_server(distributed.Chief(oracle, timeout_s=60), server)
    server.add_insecure_port(address)
    server.start()
    return server


@pytest.fixture
def clean_environment(monkeypatch):
    for name in ("ORACLE_IP", "ORACLE_PORT", "TUNER_ID"):
        monkeypatch.setenv(f"KERASTUNER_{name}", "")


def test_a_chief_that_comes_back_is_looked_for_every_second(dataset, space_file, tmp_path, monkeypatch):
    # By default gRPC's pauses grow by 1.6 up to two minutes: a chief back after 30 s was found after 45 s.
    for name, value in (("ORACLE_IP", "127.0.0.1"), ("ORACLE_PORT", "1"), ("TUNER_ID", "w")):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    asked, channel = [], grpc.insecure_channel
    monkeypatch.setattr(grpc, "insecure_channel", lambda *a: asked.append(a) or channel(*a))
    client = worker.Client(oracle, timeout_s=20)
    client.close()
    assert asked[-1] == ("127.0.0.1:1", [("grpc.max_reconnect_backoff_ms", 1000)])


def test_a_worker_of_another_search_is_refused(dataset, space_file, tmp_path, address, clean_environment):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    server = served(oracle, address)
    other = SETTINGS.model_copy(update={"epochs": 5})
    with pytest.raises(ValueError, match="settings.epochs was 3, is 5"):
        worker.run_worker(dataset, tmp_path / "s", other, address, "w", space_file=space_file, timeout_s=10)
    server.stop(grace=None).wait()


def test_a_worker_that_comes_after_the_end_leaves_quietly(dataset, space_file, tmp_path, address, clean_environment):
    (tmp_path / "trials.csv").write_text("trial\n")
    worker.run_worker(dataset, tmp_path, SETTINGS, address, "w", space_file=space_file, timeout_s=1)
    assert {path.name for path in tmp_path.iterdir()} <= {"trials.csv", space_file.name}


def test_a_result_that_comes_twice_counts_once(dataset, space_file, tmp_path):
    _, oracle = search.open_search(dataset, tmp_path / "s", SETTINGS, space_file, False)
    chief = distributed.Chief(oracle, timeout_s=60)
    trial = oracle.create_trial("worker0-0")
    oracle.update_trial(trial.trial_id, {"val_mse": 1.0})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)

    chief.EndTrial(Request(trial=trial), None)
    assert oracle.end_order == [trial.trial_id]


@pytest.mark.slow
def test_a_killed_worker_and_a_restarted_chief_lose_no_trial(dataset, space_file, tmp_path, address):
    out = tmp_path / "s"
    chief_code = (
        "import json, sys; from seis_tf.tuning.workers import distributed; "
        "from seis_tf.tuning.settings import SearchSettings; "
        "from pathlib import Path; d, o, a, s, f = sys.argv[1:]; "
        "distributed.run_chief(d, o, SearchSettings(**json.loads(s)), a, space_file=Path(f), timeout_s=8)"
    )
    arguments = [str(dataset), str(out), address, SETTINGS.model_dump_json(), str(space_file)]

    def start_chief() -> subprocess.Popen:
        return started([sys.executable, "-c", chief_code, *arguments])

    def ended() -> int:
        return sum('"COMPLETED"' in path.read_text() for path in out.glob("oracle/trial_*/trial.json"))

    def wait_for(count: int) -> None:
        until = time.monotonic() + 400
        while ended() < count:
            assert time.monotonic() < until, f"expected {count} trials, received {ended()}"
            time.sleep(0.2)

    chief = start_chief()
    workers = [start_worker(dataset, out, space_file, address, f"worker{i}") for i in range(2)]
    wait_for(1)
    workers[0].send_signal(signal.SIGKILL)
    wait_for(2)
    chief.send_signal(signal.SIGKILL)
    chief.wait()
    chief.stderr.close()
    chief = start_chief()
    assert chief.wait(timeout=500) == 0, words_of(chief)
    assert workers[1].wait(timeout=120) == 0, words_of(workers[1])
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
