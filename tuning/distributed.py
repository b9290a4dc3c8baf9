"""Chief and workers of one search, over KerasTuner's own gRPC protocol.

KerasTuner's chief waits for ever for a worker that died, its client waits an hour for a chief that did, and a
restarted chief forgets which workers are still at work. Here a worker is gone when nothing was heard of it for
`timeout_s`: its trial goes back to the queue. A worker that can't reach its chief for `timeout_s` ends with an error.
A chief that is started again goes on with the stored state. The chief ends when all trials have ended, whether or not
workers say goodbye.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
import keras_tuner as kt
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_client
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.engine.oracle import synchronized

from seis_tf.tuning import oracles, spaces
from seis_tf.tuning.results import check_failures, write_results
from seis_tf.tuning.search import (
    Loop,
    Status,
    open_search,
    space_for,
    status_of,
)
from seis_tf.tuning.settings import SearchSettings

_GOODBYE_SECONDS = 3.0


class Chief(OracleServicer):
    """KerasTuner's servicer, which also remembers when each worker was last heard of.

    Args:
        oracle: of the search.
        timeout_s: silence after which a worker counts as gone.
    """

    def __init__(self, oracle: kt.Oracle, timeout_s: float):
        super().__init__(oracle)
        self.timeout_s = timeout_s
        self.heard: dict[str, float] = {}
        self.given_back: list[str] = []

    def CreateTrial(self, request, context):
        self._hear(request.tuner_id)
        return super().CreateTrial(request, context)

    def GetTrial(self, request, context):
        """Also a worker's sign of life: it asks for the trial that it is running."""
        for tuner_id, trial in list(self.oracle.ongoing_trials.items()):
            if trial.trial_id == request.trial_id:
                self._hear(tuner_id)
        return super().GetTrial(request, context)

    def EndTrial(self, request, context):
        """Takes a result once: a trial that was given to another worker in the meantime counts as it ended first."""
        if self.oracle.trials[request.trial.trial_id].status in oracles.ENDED:
            return protos.get_service().EndTrialResponse()
        return super().EndTrial(request, context)

    def give_back_lost(self) -> None:
        """Sends the trials of silent workers back to the queue."""
        now = time.monotonic()
        for tuner_id in list(self.oracle.ongoing_trials):
            if now - self.heard.setdefault(tuner_id, now) > self.timeout_s:
                trial_id = _locked_give_back(self.oracle, tuner_id)
                if trial_id is not None:
                    self.given_back.append(trial_id)

    def _hear(self, tuner_id: str) -> None:
        self.heard[tuner_id] = time.monotonic()


@synchronized
def _locked_give_back(oracle: kt.Oracle, tuner_id: str) -> str | None:
    return oracles.give_back(oracle, tuner_id)


class Client(oracle_client.OracleClient):
    """KerasTuner's client with a time-out that a person can wait for, and a sign of life while a trial runs.

    Args:
        oracle: one of the same settings (asked for its objective only).
        timeout_s: how long the chief may be away.
    """

    def __init__(self, oracle: kt.Oracle, timeout_s: float):
        super().__init__(oracle)
        oracle_client.TIMEOUT = timeout_s
        self._running: set[str] = set()
        self._beat_every = max(timeout_s / 5, 0.2)
        self._stop = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def create_trial(self, tuner_id: str):
        """As KerasTuner's; the trial counts as running from here on."""
        trial = super().create_trial(tuner_id)
        if trial.status == "RUNNING":
            self._running.add(trial.trial_id)
        return trial

    def end_trial(self, trial) -> None:
        """As KerasTuner's."""
        super().end_trial(trial)
        self._running.discard(trial.trial_id)

    def close(self) -> None:
        """No more signs of life."""
        self._stop.set()

    def _beat(self) -> None:
        # A thread of its own: a first epoch that compiles for a minute is no silence.
        while not self._stop.wait(self._beat_every):
            for trial_id in list(self._running):
                try:
                    self.get_trial(trial_id)
                except grpc.RpcError:
                    break  # the main thread's own call tells of a chief that is gone


def run_chief(
    dataset: Path | str,
    out: Path | str,
    settings: SearchSettings,
    address: str,
    *,
    space_file: Path | None = None,
    overwrite: bool = False,
    workers: int = 0,
    timeout_s: float = 60.0,
    on_status: Callable[[Status], None] = lambda status: None,
) -> list[dict]:
    """Serves a search's oracle to workers until all trials have ended, then writes the results.

    Args:
        dataset: the data set's folder.
        out: SEARCH, on storage that the workers share.
        settings: of the search.
        address: HOST:PORT to listen on.
        space_file: see `search.search`.
        overwrite: see `search.search`.
        workers: processes of this machine that are started as workers, and again when one dies.
        timeout_s: silence after which a worker counts as gone.
        on_status: told how far the search is.

    Returns:
        The trials, best first.

    Raises:
        ValueError: as `search.search`; the address can't be listened on.
    """
    out = Path(out)
    space, oracle = open_search(dataset, out, settings, space_file, overwrite)
    chief = Chief(oracle, timeout_s)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    protos.get_service_grpc().add_OracleServicer_to_server(chief, server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as err:
        raise ValueError(f"oracle: expected an address to listen on, received {address}: {err}") from err
    if not bound:
        raise ValueError(f"oracle: expected an address to listen on, received {address}")
    server.start()
    crew = Crew(dataset, out, settings, address, space_file, timeout_s, workers)
    try:
        while not _finished(oracle, settings, chief):
            time.sleep(0.2)
            chief.give_back_lost()
            crew.keep()
            on_status(status_of(oracle, settings, len(oracle.ongoing_trials)))
        time.sleep(_GOODBYE_SECONDS)  # workers ask once more and hear that it is over
    finally:
        server.stop(grace=1).wait()
        crew.stop()
    rows = write_results(out, settings, space, oracle)
    check_failures(rows, out)
    return rows


def run_worker(
    dataset: Path | str,
    out: Path | str,
    settings: SearchSettings,
    address: str,
    worker_id: str,
    *,
    space_file: Path | None = None,
    timeout_s: float = 60.0,
) -> None:
    """Trains trials that a chief hands out, until there are no more.

    Raises:
        ValueError: the chief was away for `timeout_s`.
    """
    host, _, port = address.rpartition(":")
    os.environ |= {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": port, "KERASTUNER_TUNER_ID": worker_id}
    space = space_for(dataset, settings, space_file)
    oracle = oracles.make(
        settings.tuner, spaces.declare(space), settings.objective, settings.trials, settings.epochs, settings.seed
    )
    client = Client(oracle, timeout_s)
    try:
        Loop(dataset, Path(out), settings, space, client, worker_id, None, lambda status: None).run()
    except grpc.RpcError as err:
        code = err.code().name if hasattr(err, "code") else str(err)
        raise ValueError(f"oracle: expected a chief at {address} within {timeout_s:g} s, received {code}") from err
    finally:
        client.close()


class Crew:
    """Workers as processes of this machine.

    Args:
        dataset: the data set's folder.
        out: SEARCH.
        settings: of the search.
        address: of the chief.
        space_file: as the chief's.
        timeout_s: as the chief's.
        count: how many; may be none.
    """

    def __init__(self, dataset, out, settings, address, space_file, timeout_s: float, count: int):
        self._arguments = (str(dataset), str(out), settings, address, space_file, timeout_s)
        # Spawned: a forked child can't use the TensorFlow that its parent has started.
        self._context = multiprocessing.get_context("spawn")
        self._crew = {f"worker{i}": self._start(f"worker{i}") for i in range(count)}
        self._deaths = 0

    def keep(self) -> None:
        """Starts a worker again that died.

        Raises:
            ValueError: workers die as soon as they are started.
        """
        for worker_id, process in self._crew.items():
            if process.exitcode not in (None, 0):
                self._deaths += 1
                if self._deaths > 3 * len(self._crew) + 3:
                    raise ValueError(f"workers: expected them to run, received {self._deaths} deaths")
                self._crew[worker_id] = self._start(worker_id)

    def stop(self) -> None:
        """Waits for the workers to leave; who does not is ended."""
        for process in self._crew.values():
            process.join(timeout=_GOODBYE_SECONDS)
            if process.is_alive():
                process.terminate()
                process.join()

    def _start(self, worker_id: str):
        process = self._context.Process(target=_work, args=(*self._arguments, worker_id), daemon=True)
        process.start()
        return process


def _work(dataset, out, settings, address, space_file, timeout_s, worker_id) -> None:
    """A worker process; leaves quietly when the chief is gone, which the chief's own process has told the user."""
    try:
        run_worker(dataset, out, settings, address, worker_id, space_file=space_file, timeout_s=timeout_s)
    except ValueError as err:
        sys.exit(f"{worker_id}: {err}")


def _finished(oracle: kt.Oracle, settings: SearchSettings, chief: Chief) -> bool:
    """Nothing runs, nothing waits, and there are no more: all were run, or the oracle said so to a worker."""
    if oracle.ongoing_trials or oracle._retry_queue:
        return False
    return chief.stop_triggered or len(oracles.ended(oracle)) >= settings.trials
