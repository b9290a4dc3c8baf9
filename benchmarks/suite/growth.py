"""How cost grows: with the number of records (rows 1 and 3), with batch, window and sources (rows 4 and 8)."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from suite.definition import Way, either_thread_count
from suite.workers import Here, Worker, once

RECORDS = {"quick": (300, 600), "normal": (2_000, 8_000, 20_000), "full": (2_000, 20_000, 200_000)}
# What is changed of the DART network's training and answers; the middle value is the published one or near it.
SWEEPS = {
    "batch": {"quick": (20,), "normal": (5, 20, 80), "full": (5, 10, 20, 40, 80, 160)},
    "minutes": {"quick": (), "normal": (15, 45, 120), "full": (15, 30, 45, 60, 90, 120)},
    "sources": {"quick": (), "normal": (10, 31, 124), "full": (10, 31, 62, 124, 248)},
}


def measure(scale: str, work: Path) -> dict[str, Any]:
    """All of it."""
    return {"records": _records(scale, work), "sweeps": {name: _sweep(name, scale, work) for name in SWEEPS}}


def _records(scale: str, work: Path) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {"1: prepare": [], "3: one epoch from shards": []}
    for count in RECORDS[scale]:
        once("rows.inputs:waveform_dataset", work, count=count)  # also makes the files
        calls = 1 if count > 20_000 or scale == "quick" else 3
        for name, function in zip(found, ("rows.prepare:once", "rows.epoch:once"), strict=True):
            runs = [once(function, work, watched=True, count=count) for _ in range(calls)]
            middle = {key: statistics.median(run[key] for run in runs) for key in ("seconds", "memory_mb")}
            found[name].append({"records": runs[0].get("units", count)} | middle)
            print(f"  {name}, {count:,}: {middle['seconds']:.2f} s, {middle['memory_mb']:,.0f} MB", flush=True)
    return found


def _sweep(name: str, scale: str, work: Path) -> list[dict[str, float]]:
    """Rates at each value: ours and PyTorch's training, the network's answers and NNLS (which know no batch)."""
    points = []
    for value in SWEEPS[name][scale]:
        sizes = {name: value}
        training = {"epochs": 1 if scale == "quick" else 5, "count": 200 if scale == "quick" else 910} | sizes
        point: dict[str, float] = {name: value}
        point["ours, training"] = _rate(Way("rows.dart_training:ours", training | {"members": 1}), work, scale)
        point["PyTorch, training"] = max(
            _rate(way, work, scale)
            for way in either_thread_count("PyTorch", "rows.dart_training:pytorch", scale, **training).values()
        )
        if name != "batch":
            point["ours, answers"] = _rate(Way("rows.inversion:sweep_network", sizes), work, scale)
            point["NNLS, answers"] = _rate(Way("rows.inversion:sweep_nnls", sizes, 1), work, scale)
        points.append(point)
        print(f"  {name} {value}: " + ", ".join(f"{k} {v:,.0f}/s" for k, v in point.items() if k != name), flush=True)
    return points


def _rate(way: Way, work: Path, scale: str, calls: int = 3) -> float:
    worker = (Here if scale == "quick" else Worker)(way, work, "warm")
    units = worker.answer()["units"]
    seconds = [worker.call()["seconds"] for _ in range(calls)]
    worker.end()
    return units / statistics.median(seconds)
