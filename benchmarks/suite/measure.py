"""Runs the ways of a row in turn, each in a process of its own, and makes rates, ratios and spreads of it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from suite.definition import Comparison, Row, Way, cores

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
            self.process.wait()
            self.reader.join()
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
        self.process.wait()
        return last


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
    worker.process.wait()
    if watched:
        watcher.join()
        answer["memory_mb"] = sum(peaks.values()) / 1024
    return answer


def measure(
    row: Row,
    work: Path,
    repeats: int | None = None,
    tell: Callable[[str], None] = print,
    *,
    together: bool = False,
) -> dict[str, Any]:
    """All of a row.

    Args:
        row: what is measured.
        work: scratch folder.
        repeats: other than the row's.
        tell: progress.
        together: start all ways at once: quicker, and worth nothing as a measurement.

    Returns:
        What results.json holds of it.
    """
    tell(f"{row.key}: {row.title}")
    for function, arguments in row.inputs:
        once(function, work, **arguments)
    if row.fresh:
        found = _fresh(row, work, repeats or row.repeats, tell)
    else:
        found = _warm(row, work, repeats or row.repeats, tell, together)
    return {
        "title": row.title,
        "unit": row.unit,
        "note": row.note,
        "fresh": row.fresh,
        "ways": found,
        "comparisons": [compare(comparison, found) for comparison in row.comparisons],
    }


def _warm(row: Row, work: Path, repeats: int, tell: Callable[[str], None], together: bool) -> dict[str, Any]:
    """Every way is started once, and then called in turn."""
    workers, found = {}, {}
    if together:
        workers = {name: Worker(way, work, "warm") for name, way in row.ways.items()}
    for name, way in row.ways.items():
        if not together:  # one after the other: none may take time from another
            workers[name] = Worker(way, work, "warm")
        ready = workers[name].answer()
        found[name] = {"threads": way.threads or cores(), "units": ready["units"], "seconds": []} | ready
    for repeat in range(repeats):
        # There and back, so that a drift of the machine's speed falls on all alike.
        for name in list(row.ways)[:: -1 if repeat % 2 else 1]:
            found[name]["seconds"].append(workers[name].call()["seconds"])
        tell(f"  {repeat + 1} of {repeats}")
    for name, worker in workers.items():
        facts = worker.end()["facts"]
        entry = found[name]
        middle = statistics.median(entry["seconds"])
        compiling = max(entry.pop("first_s") - middle, 0.0) if entry.pop("whole") else 0.0
        found[name] = entry | {"compile_s": compiling, "facts": facts}
        _add_rates(found[name], "rates", entry["seconds"])
    return found


def _fresh(row: Row, work: Path, repeats: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """A process for each call; what is compiled is a part of it."""
    found = {
        name: {"threads": way.threads or cores(), "seconds": [], "compiling": []} for name, way in row.ways.items()
    }
    for repeat in range(repeats):
        for name in list(row.ways)[:: -1 if repeat % 2 else 1]:
            worker = Worker(row.ways[name], work, "fresh")
            found[name] |= {key: value for key, value in worker.answer().items() if key in ("units", "setup_s")}
            answer = worker.call()
            found[name]["seconds"].append(answer["seconds"])
            found[name]["compiling"].append(answer.get("compile_s", 0.0))
            found[name]["facts"] = worker.end()["facts"]
            tell(f"  {repeat + 1} of {repeats}: {name} {answer['seconds']:.1f} s")
    for entry in found.values():
        compiling = entry.pop("compiling")
        entry["compile_s"] = statistics.median(compiling)
        _add_rates(entry, "whole_rates", entry["seconds"])
        _add_rates(entry, "rates", [s - c for s, c in zip(entry["seconds"], compiling, strict=True)])
    return found


def _add_rates(entry: dict[str, Any], key: str, seconds: list[float]) -> None:
    entry[key] = [entry["units"] / s for s in seconds]


def compare(comparison: Comparison, found: dict[str, Any]) -> dict[str, Any]:
    """The ratio of rates, call by call, of our way and the best of the others."""
    key = "whole_rates" if comparison.compiling else "rates"
    best = max(comparison.against, key=lambda name: statistics.median(found[name][key]))
    ours, theirs = found[comparison.ours][key], found[best][key]
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return {
        "label": comparison.label,
        "ours": comparison.ours,
        "against": best,
        "our_rate": statistics.median(ours),
        "their_rate": statistics.median(theirs),
        "ratio": ratio,
        "low": min(ratios),
        "high": max(ratios),
        "calls": len(ratios),
        "aim": comparison.aim,
        "met": None if comparison.aim is None else ratio >= comparison.aim,
    }


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
