"""Processes that ways run in, from the parent's side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from suite import worker
from suite.definition import Way, cores

FOLDER = Path(__file__).resolve().parents[1]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


class WorkerFailed(RuntimeError):
    """A way ended without an answer."""


class Worker:
    """The process of one way."""

    def __init__(self, way: Way, work: Path, mode: str):
        self.name = way.function
        self.process = subprocess.Popen(
            [sys.executable, "-m", "suite.worker", way.function, str(work), json.dumps(dict(way.arguments)), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=FOLDER,
            env=environment(way.threads),
        )
        # Read all along: a full pipe would stop the worker.
        self.errors: list[str] = []
        self.reader = _drain(self.process.stderr, self.errors)

    def answer(self) -> dict[str, Any]:
        """The next line of JSON.

        Raises:
            WorkerFailed: there is none; says what the process printed last.
        """
        line = self.process.stdout.readline()
        if not line:
            self.close()
            raise WorkerFailed(f"{self.name}: expected an answer, received {''.join(self.errors[-15:]).strip()}")
        return json.loads(line)

    def call(self) -> dict[str, Any]:
        """One timed call."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self) -> dict[str, Any]:
        """Its last words."""
        self.process.stdin.close()
        last = self.answer()
        self.close()
        return last

    def close(self) -> None:
        """Waits for the process's end."""
        self.process.stdin.close()
        self.process.wait()
        self.reader.join()
        self.process.stdout.close()
        self.process.stderr.close()


def environment(threads: int | None) -> dict[str, str]:
    """Of a process whose libraries may use so many threads."""
    count = str(threads or cores())
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow", "PYTHONWARNINGS": "ignore"}
    return os.environ | quiet | dict.fromkeys(_THREADS, count)


def once(
    function: str, work: Path, threads: int | None = None, *, watched: bool = False, **arguments: Any
) -> dict[str, Any]:
    """Calls a function in a process of its own.

    Args:
        function: "module:name".
        work: scratch folder.
        threads: of its libraries.
        watched: whether the answer gets "memory_mb": its peak memory and that of each process below it, added.
        arguments: JSON.
    """
    worker = Worker(Way(function, arguments, threads), work, "once")
    peaks: dict[int, int] = {}
    watcher = threading.Thread(target=_watch, args=(worker.process, peaks))
    if watched:
        watcher.start()
    answer = worker.answer()
    worker.close()
    if watched:
        watcher.join()
        answer["memory_mb"] = sum(peaks.values()) / 1024
    return answer


class Here:
    """A way in this very process: saves a smoke run the imports, and measures nothing."""

    def __init__(self, way: Way, work: Path, mode: str):
        started = time.perf_counter()
        self.ready = worker.function(way.function)(work, **way.arguments)
        self.first = worker.first(self.ready, started, warm=mode == "warm")

    def answer(self) -> dict[str, Any]:
        """What getting ready took."""
        return self.first

    def call(self) -> dict[str, Any]:
        """One call."""
        return worker.timed(self.ready)

    def end(self) -> dict[str, Any]:
        """Its last words."""
        return {"facts": self.ready.facts()}


def once_here(name: str, work: Path, **arguments: Any) -> dict[str, Any]:
    """As `once`, in this process."""
    return worker.told(worker.function(name)(work, **arguments))


def _drain(stream: TextIO, lines: list[str]) -> threading.Thread:
    thread = threading.Thread(target=lambda: lines.extend(stream), daemon=True)
    thread.start()
    return thread


def _watch(process: subprocess.Popen, peaks: dict[int, int]) -> None:
    """Looks ten times a second, from outside: a thread inside would change how the watched process works."""
    while process.poll() is None:
        for number in _tree(process.pid):
            peaks[number] = max(peaks.get(number, 0), _resident_kb(number))
        time.sleep(0.1)


def _tree(root: int) -> list[int]:
    found = [root]
    for process in found:
        for thread in Path(f"/proc/{process}/task").glob("*/children"):
            try:
                found += [int(child) for child in thread.read_text().split()]
            except OSError:
                continue  # it has just ended
    return found


def _resident_kb(process: int) -> int:
    """Memory of a process's own, without pages of files, which others may share."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0  # it has just ended
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(fields.get("RssAnon", "0 kB").split()[0])
