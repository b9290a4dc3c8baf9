"""Workers of a search as processes of this machine.

Nothing here imports TensorFlow: a new process reads this module before it can choose what TensorFlow may print.
"""

from __future__ import annotations

import multiprocessing
import sys

from seis_tf import startup

GOODBYE_SECONDS = 3.0  # in which a worker asks once more and hears that it is over


class WorkerProcesses:
    """Workers as processes of this machine.

    Its eight arguments but `count` are those of `run_worker`, which a process gets as plain values.

    Args:
        dataset: the data set's folder.
        out: SEARCH.
        settings: of the search.
        address: of the chief.
        space_file: as the chief's.
        timeout_s: as the chief's.
        minutes: as the chief's.
        count: how many; may be none.
    """

    def __init__(self, dataset, out, settings, address, space_file, timeout_s, minutes, count: int):
        # More trials at once train faster, but every worker is to get some.
        at_once = max(1, min(8, settings.trials // (2 * count))) if count else None
        self._arguments = (
            str(dataset),
            str(out),
            settings,
            address,
            space_file,
            timeout_s,
            minutes,
            at_once,
            startup.quiet,
        )
        # Spawned: a forked child can't use the TensorFlow that its parent has started.
        self._context = multiprocessing.get_context("spawn")
        self._processes = {f"worker{i}": self._start(f"worker{i}") for i in range(count)}
        self._deaths, self._ended = 0, 0

    def keep(self, ended: int) -> list[str]:
        """Starts workers again that died; returns all that have left.

        Args:
            ended: trials that have ended: while there come more, workers may die now and then.

        Raises:
            ValueError: workers die as soon as they are started.
        """
        left = [worker_id for worker_id, process in self._processes.items() if process.exitcode is not None]
        self._deaths, self._ended = (self._deaths if ended == self._ended else 0), ended
        for worker_id in left:
            if self._processes[worker_id].exitcode:
                self._deaths += 1
                if self._deaths > 3 * len(self._processes) + 3:
                    raise ValueError(f"workers: expected them to run, received {self._deaths} deaths")
                self._processes[worker_id] = self._start(worker_id)
        return left

    def stop(self) -> None:
        """Waits for the workers to end; those that do not are terminated."""
        for process in self._processes.values():
            process.join(timeout=GOODBYE_SECONDS)
            if process.is_alive():
                process.terminate()
                process.join()

    def _start(self, worker_id: str):
        process = self._context.Process(target=_work, args=(*self._arguments, worker_id), daemon=True)
        process.start()
        return process


def _work(dataset, out, settings, address, space_file, timeout_s, minutes, at_once, quiet, worker_id) -> None:
    """A worker process: one line and status 1 where it can't go on.

    Its arguments are those of `run_worker`, as plain values that a spawned process can be sent.
    """
    if quiet:
        startup.load_tensorflow()
    from seis_tf.tuning.workers import worker

    try:
        worker.run_worker(
            dataset, out, settings, address, worker_id,
            space_file=space_file, minutes=minutes, timeout_s=timeout_s, at_once=at_once,
        )  # fmt: skip
    except ValueError as err:
        sys.exit(f"{worker_id}: {err}")
