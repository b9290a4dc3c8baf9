"""How cost grows: with the number of records (rows 1 and 3), with batch, window and sources (rows 4 and 8)."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from suite import worker
from suite.definition import either_thread_count
from suite.workers import once, once_here

RECORDS = {"quick": (300, 600), "normal": (2_000, 8_000, 20_000), "full": (2_000, 20_000, 200_000)}
# What is changed of the DART network's training and answers; the value in the middle is the published one.
PUBLISHED = {"batch": 20, "minutes": 45, "sources": 31}
SWEEPS = {
    "batch": {"quick": (20,), "normal": (5, 20, 80), "full": (5, 10, 20, 40, 80, 160)},
    "minutes": {"quick": (), "normal": (15, 45, 120), "full": (15, 30, 45, 60, 90, 120)},
    "sources": {"quick": (), "normal": (10, 31, 124), "full": (10, 31, 62, 124, 248)},
}
TRAINING = {"ours, training": "rows.dart_training:ours", "PyTorch, training": "rows.dart_training:pytorch"}
ANSWERS = {"ours, answers": "rows.inversion:sweep_network", "NNLS, answers": "rows.inversion:sweep_nnls"}


def measure(scale: str, work: Path) -> dict[str, Any]:
    """All of it."""
    return {"records": _records(scale, work), "sweeps": _sweeps(scale, work)}


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


def _sweeps(scale: str, work: Path) -> dict[str, list[dict[str, float]]]:
    """Rates at each value: ours and PyTorch's training (best thread count), the network's answers and NNLS."""
    quick = scale == "quick"
    call = once_here if quick else once
    values = [(name, value) for name, by_scale in SWEEPS.items() for value in by_scale[scale]]
    settings = [PUBLISHED | {name: value} for name, value in values]
    training = {"epochs": 1 if quick else 5, "count": 200 if quick else 910}
    points: list[dict[str, float]] = [{name: value} for name, value in values]
    for label, function in (TRAINING | ANSWERS).items():
        counts = [1] if "NNLS" in label else [None]
        if "PyTorch" in label:
            counts = [way.threads for way in either_thread_count("", "", scale).values()]
        asked = [_asked(function, training, setting) for setting in settings]
        tried = []
        for count in counts:
            threads = {} if quick else {"threads": count}
            tried.append(call("suite.growth:rates", work, way=function, asked=asked, **threads)["rates"])
        for point, rates in zip(points, zip(*tried, strict=True), strict=True):
            if label in TRAINING or "batch" not in point:  # an answer knows no batch
                point[label] = max(rates)
        print(f"  {label}: " + ", ".join(f"{max(rates):,.0f}/s" for rates in zip(*tried, strict=True)), flush=True)
    return {name: [point for point in points if name in point] for name in SWEEPS}


def _asked(function: str, training: dict[str, int], setting: dict[str, int]) -> dict[str, int]:
    """The arguments that a function takes of a setting."""
    if function in ANSWERS.values():
        return {name: value for name, value in setting.items() if name != "batch"}
    return training | setting | ({"members": 1} if function == TRAINING["ours, training"] else {})


def rates(work: Path, way: str, asked: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Units a second of a way for each set of arguments; equal ones are measured once."""
    found: dict[str, float] = {}
    for arguments in asked:
        key = repr(sorted(arguments.items()))
        if key not in found:
            ready = worker.function(way)(work, **arguments)
            ready.work()
            found[key] = ready.units / statistics.median(worker.timed(ready)["seconds"] for _ in range(3))
    return {"rates": [found[repr(sorted(arguments.items()))] for arguments in asked]}
