"""Chief and workers of one search, over KerasTuner's own gRPC protocol.

KerasTuner's chief waits for ever for a worker that died, its client waits an hour for a chief that did, and a
restarted chief forgets which workers are still at work. Here a worker is gone when nothing was heard of it for
`timeout_s`: its trial goes back to the queue. A worker that can't reach its chief for `timeout_s` ends with an error.
A chief that is started again goes on with the stored state. The chief ends when all trials have ended, whether or not
workers say goodbye.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path

import grpc
import keras_tuner as kt

from seis_tf.tuning import oracles
from seis_tf.tuning.results import check_failures, too_many_failed, write_results
from seis_tf.tuning.search import (
    Status,
    open_search,
    status_of,
)
from seis_tf.tuning.settings import SearchSettings
from seis_tf.tuning.workers.chief import Chief
from seis_tf.tuning.workers.processes import GOODBYE_SECONDS, WorkerProcesses


def run_chief(
    dataset: Path | str,
    out: Path | str,
    settings: SearchSettings,
    address: str,
    *,
    space_file: Path | None = None,
    minutes: float | None = None,
    overwrite: bool = False,
    workers: int = 0,
    timeout_s: float = 60.0,
    on_status: Callable[[Status], None] = lambda status: None,
) -> list[dict]:
    """Serves a search's oracle to workers until all trials have ended, then writes the results.

    Its ten arguments are the options of `seis-tf tune` that concern a chief.

    Args:
        dataset: the data set's folder.
        out: SEARCH, on storage that the workers share.
        settings: of the search.
        address: HOST:PORT to listen on.
        space_file: see `search.search`.
        minutes: after which no new trial is given out.
        overwrite: see `search.search`.
        workers: processes of this machine that are started as workers, and again when one dies.
        timeout_s: silence after which a worker counts as gone.
        on_status: called with how far the search is.

    Returns:
        The trials, best first.

    Raises:
        ValueError: as `search.search`; the address can't be listened on.
    """
    out = Path(out)
    space, oracle = open_search(dataset, out, settings, space_file, overwrite, with_workers=True)
    until = None if minutes is None else time.monotonic() + 60 * minutes
    chief = Chief(oracle, timeout_s)
    server = _served(chief, address)
    processes = WorkerProcesses(dataset, out, settings, address, space_file, timeout_s, minutes, workers)
    try:
        while not _finished(oracle, settings, chief):
            time.sleep(0.2)
            chief.give_back_lost()
            for worker_id in processes.keep(len(oracles.ended(oracle))):
                chief.give_back_of(worker_id)
            late = until is not None and time.monotonic() > until
            chief.closing = late or too_many_failed(oracles.ended(oracle), settings.trials)
            on_status(status_of(oracle, settings, len(oracle.ongoing_trials)))
        time.sleep(GOODBYE_SECONDS)  # workers ask once more and hear that it is over
    finally:
        server.stop(grace=1).wait()
        processes.stop()
    rows = write_results(out, settings, space, oracle)
    check_failures(rows, out)
    return rows


def _served(chief: Chief, address: str) -> grpc.Server:
    """A started gRPC server of the chief.

    Raises:
        ValueError: the address can't be listened on.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    oracles.protos.get_service_grpc().add_OracleServicer_to_server(chief, server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError as err:
        raise ValueError(f"oracle: expected an address to listen on, received {address}: {err}") from err
    if not bound:
        raise ValueError(f"oracle: expected an address to listen on, received {address}")
    server.start()
    return server


def _finished(oracle: kt.Oracle, settings: SearchSettings, chief: Chief) -> bool:
    """Nothing runs, and nothing waits or will come: all were run, or there are no more, or no more are wanted."""
    if oracle.ongoing_trials:
        return False
    if chief.closing:
        return True
    return not oracles.waiting(oracle) and (chief.stop_triggered or len(oracles.ended(oracle)) >= settings.trials)
