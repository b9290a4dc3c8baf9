"""What a benchmark is made of: a row of the table has ways to do the same work, and comparisons between them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# How much is measured: quick is a smoke run, full has the sizes that take long.
SCALES = ("quick", "normal", "full")


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Way:
    """One way to do a row's work; runs in a process of its own.

    Args:
        function: "module:name" of a function (work folder, **arguments) -> `Ready`.
        arguments: sizes and the like; JSON.
        threads: that its libraries may use; None for all cores.
    """

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    threads: int | None = None


@dataclass(frozen=True)
class Comparison:
    """One of our ways against the best of some others.

    Args:
        label: in the table.
        ours: name of a way.
        against: names of ways; the one with the highest median rate counts.
        aim: smallest ratio of rates that is wished for; None where there is no aim.
        compiling: whether building and compiling count (rows that start a process for each call only).
    """

    label: str
    ours: str
    against: tuple[str, ...]
    aim: float | None = None
    compiling: bool = False


@dataclass(frozen=True)
class Row:
    """One line of the table, or a few of the same work.

    Args:
        key: its number in the table.
        title: the work.
        unit: what is counted, a second.
        inputs: "module:name" of functions (work folder, **arguments), with arguments, that make what all ways read.
        ways: by name.
        comparisons: what the row shows.
        repeats: calls of each way, in turn.
        fresh: a process for each call, and no call to warm up: compiling is a part of the work.
        note: what a reader must know.
    """

    key: str
    title: str
    unit: str
    inputs: tuple[tuple[str, dict[str, Any]], ...]
    ways: dict[str, Way]
    comparisons: tuple[Comparison, ...]
    repeats: int = 5
    fresh: bool = False
    note: str = ""


@dataclass
class Ready:
    """A way that has imported and built all it needs.

    Args:
        work: what is timed; a dict that it returns may hold "compile_s", a part of the time that is told apart.
        units: that one call does.
        before: called before each call, not timed.
        warm: called once at first; by default `work`.
        facts: at the end.
    """

    work: Callable[[], Any]
    units: float
    before: Callable[[], None] = lambda: None
    warm: Callable[[], Any] | None = None
    facts: Callable[[], dict[str, Any]] = dict


def either_thread_count(name: str, function: str, scale: str, **arguments: Any) -> dict[str, Way]:
    """The same way with one thread and with all cores: small work is often faster with one. A smoke run takes one."""
    counts = sorted({1} if scale == "quick" else {1, cores()})
    return {f"{name}, {n} thread{'s' * (n > 1)}": Way(function, arguments, n) for n in counts}


def fresh_folder(folder: Path) -> Path:
    """The path of a folder that is not there yet; what was there is removed."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    return folder
