"""The worker's side of a distributed search: asks a chief for trials and trains them."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import grpc
import keras_tuner as kt

from seis_tf.tuning import oracles, spaces
from seis_tf.tuning.record import check_same
from seis_tf.tuning.search import (
    Loop,
    space_for,
)
from seis_tf.tuning.settings import SearchSettings


class Client(oracles.OracleClient):
    """KerasTuner's client with a time-out that a person can wait for, and a sign of life while a trial runs.

    Args:
        oracle: one of the same settings (asked for its objective only).
        timeout_s: how long the chief may be away.
    """

    def __init__(self, oracle: kt.Oracle, timeout_s: float):
        super().__init__(oracle)
        # gRPC's own pauses between attempts grow to minutes: a chief that is back would not be found in time.
        address = ":".join(os.environ[f"KERASTUNER_ORACLE_{part}"] for part in ("IP", "PORT"))
        channel = grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 1000)])
        self.stub = oracles.protos.get_service_grpc().OracleStub(channel)
        self.timeout_s = timeout_s
        oracles.set_client_timeout(timeout_s)
        self._running: set[str] = set()
        self._beat_every = max(timeout_s / 5, 0.2)
        self._stop = threading.Event()
        threading.Thread(target=self._beat, daemon=True).start()

    def create_trial(self, tuner_id: str):
        """As KerasTuner's; the trial counts as running from here on."""
        trial = self.patiently(super().create_trial, tuner_id)
        if trial.status == "RUNNING":
            self._running.add(trial.trial_id)
        return trial

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0):
        """As KerasTuner's."""
        return self.patiently(super().update_trial, trial_id, metrics, step)

    def end_trial(self, trial) -> None:
        """As KerasTuner's."""
        self.patiently(super().end_trial, trial)
        self._running.discard(trial.trial_id)

    def patiently(self, call: Callable, *arguments):
        """A chief that dies in the middle of a call may come back; all calls can be made twice."""
        until = time.monotonic() + self.timeout_s
        while True:
            try:
                return call(*arguments)
            except grpc.RpcError as err:
                if err.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > until:
                    raise
                time.sleep(0.5)

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


def run_worker(
    dataset: Path | str,
    out: Path | str,
    settings: SearchSettings,
    address: str,
    worker_id: str,
    *,
    space_file: Path | None = None,
    minutes: float | None = None,
    timeout_s: float = 60.0,
    at_once: int | None = None,
) -> None:
    """Trains trials that a chief hands out, until there are no more.

    Its nine arguments are the options of `seis-tf tune` that concern a worker.

    Args:
        dataset: the data set's folder.
        out: SEARCH, the chief's own folder.
        settings: as the chief's.
        address: HOST:PORT of the chief.
        worker_id: the name in the chief's state.
        space_file: as the chief's.
        minutes: after which no new trial is begun.
        timeout_s: how long the chief may be away.
        at_once: how many trials are asked for at once, where the settings do not say.

    Raises:
        ValueError: the chief was away for `timeout_s` before the search had ended, or its search is another one.
    """
    out = Path(out)
    host, _, port = address.rpartition(":")
    worker_id = f"{worker_id}.{uuid.uuid4().hex[:8]}"  # a worker that is started again is another one
    os.environ |= {"KERASTUNER_ORACLE_IP": host, "KERASTUNER_ORACLE_PORT": port, "KERASTUNER_TUNER_ID": worker_id}
    space = space_for(dataset, settings, space_file)
    oracle = oracles.make(
        settings.tuner, spaces.declare(space), settings.objective, settings.trials, settings.epochs, settings.seed
    )
    client = Client(oracle, timeout_s)
    try:
        client.get_space()  # waits for the chief, which has written the search's folder by then
        check_same(dataset, out, settings, space)
        loop = Loop(dataset, out, settings, space, client, worker_id, minutes, lambda status: None)
        loop.at_once = settings.together or at_once or loop.at_once
        loop.run()
    except grpc.RpcError as err:
        if (out / "trials.csv").is_file():
            return  # the search has ended, and its chief is gone for good
        code = err.code().name if hasattr(err, "code") else str(err)
        raise ValueError(f"oracle: expected a chief at {address} within {timeout_s:g} s, received {code}") from err
    finally:
        client.close()
