"""One way in a process of its own: `python -m suite.worker module:function WORK ARGUMENTS [once|time]`.

Lines of JSON on standard output: first what getting ready took, then an answer to each line on standard input. What
libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO


def main() -> None:
    """Serves the parent until its end of the pipe is closed."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, work, arguments, mode = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
    started = time.perf_counter()
    module, function = name.split(":")
    call = getattr(importlib.import_module(module), function)
    if mode == "once":
        answer = call(work, **arguments)
        say(channel, answer if isinstance(answer, dict) else {})
        return
    serve(call(work, **arguments), started, channel, sys.stdin, warm=mode == "warm")


def serve(ready: Any, started: float, channel: TextIO, orders: Iterable[str], *, warm: bool) -> None:
    """Answers each order with one timed call of the work."""
    built = time.perf_counter()
    ready.before()
    if warm:
        begun = time.perf_counter()
        (ready.warm or ready.work)()
        first = time.perf_counter() - begun
    else:
        first = 0.0
    say(channel, {"setup_s": built - started, "first_s": first, "whole": ready.warm is None, "units": ready.units})
    for _ in orders:
        ready.before()
        begun = time.perf_counter()
        facts = ready.work()
        seconds = time.perf_counter() - begun
        say(channel, {"seconds": seconds} | (facts if isinstance(facts, dict) else {}))
    say(channel, {"facts": ready.facts()})


def say(channel: TextIO, message: dict[str, Any]) -> None:
    """One line to the parent."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
