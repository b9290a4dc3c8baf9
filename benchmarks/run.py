"""The package side by side with what a user would pick instead: one run, one machine, ours and the others in turn.

    python benchmarks/run.py [--quick | --full] [--only 1,4,growth,profile] [--repeats N] [--out JSON]

Parts: rows 1 to 8, 9a to 9d ("9" is all four) and 10; `growth` (how cost grows with size); `profile` (where the time
goes, and how far that is from what the machine can do). Each part is merged into the JSON when it is done, so a run can
be made in pieces; README.md and figures beside the JSON are drawn anew from all that it holds. Numbers are worth
something on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import threadpoolctl
from rows import (
    answers,
    cnn_training,
    curves,
    dart_training,
    epoch,
    inversion,
    mlp_training,
    prepare,
    search,
    spectrograms,
    start,
)
from suite import growth, machine, profile, render, workers
from suite.measure import measure

ROWS = {
    "1": (prepare.row, None),
    "2": (spectrograms.row, None),
    "3": (epoch.row, None),
    "4": (dart_training.row, None),
    "5": (mlp_training.row, mlp_training.remarks),
    "6": (cnn_training.row, None),
    "7": (answers.row, answers.remarks),
    "8": (inversion.row, None),
    "9a": (curves.mlp_row, curves.remarks),
    "9b": (curves.dart_row, curves.remarks),
    "9c": (search.same_row, None),
    "9d": (search.varying_row, None),
    "10": (start.row, None),
}
EXTRAS = {"growth": growth.measure, "profile": profile.measure}
HERE = Path(__file__).resolve().parent


def main() -> None:
    """Measures what was asked for."""
    options = _options()
    if options.quick:
        # One process for nearly all: its libraries' threads must not wait for each other.
        os.environ |= workers.environment(1)
        threadpoolctl.threadpool_limits(1)
    out = options.out or (HERE.parent / "build" / "bench-quick" if options.quick else HERE) / "results.json"
    scale = "quick" if options.quick else "full" if options.full else "normal"
    out.parent.mkdir(parents=True, exist_ok=True)
    results = render.load(out)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.work) as folder:
        for part in options.only:
            started = time.perf_counter()
            results[part] = _part(part, scale, Path(folder), options.repeats)
            results[part] |= {"scale": scale, "machine": machine.describe()}
            render.save(out, results)
            print(f"  {part} took {time.perf_counter() - started:.0f} s", flush=True)
    render.show(out, results)
    print(render.table(results))


def _part(part: str, scale: str, work: Path, repeats: int | None) -> dict[str, Any]:
    if part in EXTRAS:
        print(f"{part}:", flush=True)
        return EXTRAS[part](scale, work)
    make, remarks = ROWS[part]
    # A smoke run saves the imports, but for what must not be forked from a process with TensorFlow's threads.
    here = scale == "quick" and part not in ("1", "3", "10")
    repeats = repeats or (1 if scale == "quick" else None)
    found = measure(make(scale), work, repeats, lambda text: print(text, flush=True), here=here)
    found["remarks"] = remarks(found["ways"]) if remarks else []
    for way in found["ways"].values():
        way.pop("facts")
    return found


def parts_of(text: str) -> list[str]:
    """The parts that a list names, in the order of the table.

    Raises:
        ValueError: one that there is not.
    """
    known = [*ROWS, *EXTRAS]
    wanted = [name for name in (word.strip() for word in text.split(",")) if name]
    chosen = {part for part in known for name in wanted if part == name or part.rstrip("abcd") == name}
    unknown = [name for name in wanted if name not in {*known, "9"}]
    if unknown:
        raise ValueError(f"--only: expected some of {', '.join(known)}, received {', '.join(unknown)}")
    return [part for part in known if part in chosen]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="tiny sizes: only shows that all runs")
    size.add_argument("--full", action="store_true", help="also what takes long: 200,000 records, all trials")
    parser.add_argument("--only", default=",".join([*ROWS, *EXTRAS]), help="parts, separated by commas")
    parser.add_argument("--repeats", type=int, help="calls of each way; default: the row's own")
    parser.add_argument("--out", type=Path, help="JSON; default benchmarks/results.json, with --quick in build/")
    parser.add_argument("--work", type=Path, help="folder for scratch files; default: temporary")
    options = parser.parse_args()
    try:
        options.only = parts_of(options.only)
    except ValueError as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    main()
