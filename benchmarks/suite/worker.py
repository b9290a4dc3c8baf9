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
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from suite.definition import Ready


def main() -> None:
    """Serves the parent until its end of the pipe is closed."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, work, arguments, mode = sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
    started = time.perf_counter()
    answer = function(name)(work, **arguments)
    if mode == "once":
        say(channel, told(answer))
        return
    say(channel, first(answer, started, warm=mode == "warm"))
    for _ in sys.stdin:
        say(channel, timed(answer))
    say(channel, {"facts": answer.facts()})


def function(name: str) -> Callable:
    """The function "module:name"."""
    module, _, own = name.partition(":")
    return getattr(importlib.import_module(module), own)


def first(ready: Ready, started: float, *, warm: bool) -> dict[str, Any]:
    """What getting ready took; with `warm` there is a call that does not count."""
    built = time.perf_counter()
    ready.before()
    seconds = 0.0
    if warm:
        begun = time.perf_counter()
        (ready.warm or ready.work)()
        seconds = time.perf_counter() - begun
    return {"setup_s": built - started, "first_s": seconds, "whole": ready.warm is None, "units": ready.units}


def timed(ready: Ready) -> dict[str, Any]:
    """One call."""
    ready.before()
    begun = time.perf_counter()
    answer = ready.work()
    return {"seconds": time.perf_counter() - begun} | told(answer)


def told(answer: Any) -> dict[str, Any]:
    """Facts that a function gave; other results are not told."""
    return answer if isinstance(answer, dict) else {}


def say(channel: TextIO, message: dict[str, Any]) -> None:
    """One line to the parent."""
    channel.write(json.dumps(message) + "\n")
    channel.flush()


if __name__ == "__main__":
    main()
