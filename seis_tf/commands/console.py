"""What commands print with: tables, JSON, progress on a terminal and plain lines elsewhere, errors as one line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from seis_tf import startup
from seis_tf.files import rows_as_csv

# No markup: [/b] in a file's name is a part of the name, and so is :cat:.
_PLAIN_TEXT = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
# Into a file or a pipe, tables are as wide as they need to be: cut-off names would be of no use there.
out = Console(**_PLAIN_TEXT, width=None if sys.stdout.isatty() else 200)
err = Console(**_PLAIN_TEXT, stderr=True)
_PLAIN_SECONDS = 5.0

AnyFormat = Annotated[
    bool,
    typer.Option(
        "--any-format", help="Take whatever ObsPy reads: it may open files that a record names, so trust the records."
    ),
]

_verbose = False


def set_verbose(verbose: bool) -> None:
    """Whether TensorFlow may print its own messages."""
    global _verbose
    _verbose = verbose


def load_tensorflow() -> None:
    """Imports TensorFlow; without --verbose its own messages are thrown away."""
    startup.load_tensorflow(verbose=_verbose)


def fail(message: str) -> None:
    """One line about what is wrong."""
    err.print(f"seis-tf: {message}", style="red")


def note(message: str) -> None:
    """One line about something that is not wrong and should be known."""
    err.print(f"note: {message}", style="yellow", markup=False)


def tell_warning(message: Warning | str, *_: object) -> None:
    """In the place of `warnings.showwarning`: the words alone, as one line."""
    err.print(f"seis-tf: {message}", style="yellow", markup=False)


def print_json(content: Any) -> None:
    """Machine-readable answer of a command with --json."""
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")


def print_csv(rows: Sequence[dict[str, Any]]) -> None:
    """Rows with the same keys as CSV."""
    sys.stdout.write(rows_as_csv(rows) if rows else "\n")


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table with right-aligned numbers."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        number = bool(rows) and all(isinstance(row[i], (int, float)) for row in rows)
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_number(cell) if isinstance(cell, float) else str(cell) for cell in row))
    out.print(table)


def _number(value: float) -> str:
    """Four digits, and no power of ten for the seconds of a day."""
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e7 else f"{value:.4g}"


def pair(option: str, text: str | None) -> tuple[float, float] | None:
    """The two numbers of an option like --epicentre LON,LAT; None where it was not given."""
    if text is None:
        return None
    try:
        first, second = (float(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{option}: expected two numbers with a comma between, received {text!r}") from error
    return first, second


@contextmanager
def progress(what: str, unit: str) -> Iterator[Callable[..., None]]:
    """Gives a function (done, total, note) that shows how far a long job is, at which rate, and what time is left."""
    if not err.is_terminal:
        yield _Plain(what, unit)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(what, total=None, rate="", note="")
        start = time.monotonic()

        def show(done: int, total: int, note: str = "") -> None:
            seconds = time.monotonic() - start
            bar.update(task, completed=done, total=total, rate=f"{done / max(seconds, 1e-3):,.4g}/s", note=note)

        yield show


class _Plain:
    """A line now and then, for logs."""

    def __init__(self, what: str, unit: str):
        self.what, self.unit, self.start = what, unit, time.monotonic()
        self.last = self.start

    def __call__(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if now - self.last < _PLAIN_SECONDS and done < total:
            return
        self.last, seconds = now, max(now - self.start, 1e-3)
        rate = "not one yet"  # nothing to tell a time left from
        if done:
            rate = f"{done / seconds:,.4g}/s, {seconds * (total - done) / done:.0f} s left"
        err.print(f"{self.what}: {done}/{total} {self.unit}, {rate} {note}".rstrip())
