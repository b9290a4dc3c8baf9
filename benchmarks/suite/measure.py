"""Runs the ways of a row in turn, each in a process of its own, and makes rates, ratios and spreads of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from suite import workers
from suite.definition import Comparison, Row, Way, cores

Start = Callable[[Way, Path, str], "workers.Worker | workers.Here"]


def measure(
    row: Row,
    work: Path,
    repeats: int | None = None,
    tell: Callable[[str], None] = print,
    *,
    here: bool = False,
) -> dict[str, Any]:
    """All of a row.

    Args:
        row: what is measured.
        work: scratch folder.
        repeats: other than the row's.
        tell: progress.
        here: all ways in this process: quicker, and worth nothing as a measurement.

    Returns:
        What results.json holds of it.
    """
    tell(f"{row.key}: {row.title}")
    for function, arguments in row.inputs:
        (workers.once_here if here else workers.once)(function, work, **arguments)
    start = workers.Here if here else workers.Worker
    found = (_fresh if row.fresh else _warm)(row, work, repeats or row.repeats, tell, start)
    return {
        "title": row.title,
        "unit": row.unit,
        "note": row.note,
        "fresh": row.fresh,
        "ways": found,
        "comparisons": [compare(comparison, found) for comparison in row.comparisons],
    }


def _warm(row: Row, work: Path, repeats: int, tell: Callable[[str], None], start: Start) -> dict[str, Any]:
    """Every way is started once, and then called in turn."""
    started, found = {}, {}
    for name, way in row.ways.items():
        started[name] = start(way, work, "warm")
        ready = started[name].answer()  # one after the other: none may take time from another
        found[name] = {"threads": way.threads or cores(), "units": ready["units"], "seconds": []} | ready
    for repeat in range(repeats):
        # There and back, so that a drift of the machine's speed falls on all alike.
        for name in list(row.ways)[:: -1 if repeat % 2 else 1]:
            found[name]["seconds"].append(started[name].call()["seconds"])
        tell(f"  {repeat + 1} of {repeats}")
    for name, worker in started.items():
        facts = worker.end()["facts"]
        entry = found[name]
        middle = statistics.median(entry["seconds"])
        compiling = max(entry.pop("first_s") - middle, 0.0) if entry.pop("whole") else 0.0
        found[name] = entry | {"compile_s": compiling, "facts": facts}
        _add_rates(found[name], "rates", entry["seconds"])
    return found


def _fresh(row: Row, work: Path, repeats: int, tell: Callable[[str], None], start: Start) -> dict[str, Any]:
    """A process for each call; what is compiled is a part of it."""
    found = {
        name: {"threads": way.threads or cores(), "seconds": [], "compiling": []} for name, way in row.ways.items()
    }
    for repeat in range(repeats):
        for name in list(row.ways)[:: -1 if repeat % 2 else 1]:
            worker = start(row.ways[name], work, "fresh")
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
