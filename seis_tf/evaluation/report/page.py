"""Findings -> one self-contained HTML page that a person likes to read: question, answer, figures, tables, method.

The same page serves every judgement: of a classifier, of a tsunami model, of a comparison. It knows sections of text,
pictures and tables, and nothing of what they say. It holds all pictures itself and asks nothing from outside.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from seis_tf import __version__
from seis_tf.files import write_atomically

_DPI = 160
PAGE = "report.html"


@dataclass(frozen=True)
class Picture:
    """A figure in a report.

    Attributes:
        name: of its file in `figures/`, without suffix.
        figure: what is drawn.
        caption: below it; also what a screen reader says.
        size: "card" for galleries (three or four beside each other), "half" (two), "wide" (one).
    """

    name: str
    figure: Figure
    caption: str
    size: Literal["card", "half", "wide"] = "half"


@dataclass(frozen=True)
class Table:
    """A table in a report; cells are text as it is to be read.

    Attributes:
        header: a name for each column.
        rows: cells; the first column is of names, the others of numbers.
        caption: above it.
        strong: numbers of the rows that are set in bold.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    strong: Sequence[int] = ()


@dataclass(frozen=True)
class Section:
    """A part of a report: paragraphs, then tables, then pictures."""

    title: str
    text: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class KeyNumber:
    """A number at the top of the page."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """A page.

    Attributes:
        title: of the page.
        asked: the question, in a sentence or two.
        answer: in a sentence or two; the first thing that is read.
        sections: in order; the method comes last.
        key_numbers: three or four.
        notices: what a reader must know before believing anything: simulated data, no groups.
    """

    title: str
    asked: str
    answer: str
    sections: Sequence[Section]
    key_numbers: Sequence[KeyNumber] = ()
    notices: Sequence[str] = ()


def write_report(folder: Path | str, report: Report) -> Path:
    """Writes `figures/<name>.png` for each picture, then the page.

    Args:
        folder: an existing folder; pictures of the same names and the page are replaced.
        report: what it says.

    Returns:
        The page's path.

    Raises:
        ValueError: two pictures have one name, or a table's row has another number of cells than its header.
    """
    folder = Path(folder)
    _check(report)
    (folder / "figures").mkdir(exist_ok=True)
    embedded = {}
    for picture in _pictures(report):
        content = as_png(picture.figure)
        write_atomically(folder / "figures" / f"{picture.name}.png", content)
        embedded[picture.name] = "data:image/png;base64," + base64.b64encode(content).decode()
    path = folder / PAGE
    write_atomically(path, render(report, embedded).encode())
    return path


def render(report: Report, embedded: dict[str, str]) -> str:
    """The page as text.

    Args:
        report: what it says.
        embedded: picture name to data URL.
    """
    environment = Environment(
        loader=PackageLoader("seis_tf.evaluation.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(report=report, embedded=embedded, version=__version__)


def as_png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def simulated_notice() -> str:
    """What a report on simulated records says first."""
    return "Simulated data: these records were made by a program. What holds here need not hold for real records."


def ungrouped_notice() -> str:
    """What a report on records without event ids says first."""
    return (
        "Ungrouped: the source names no events, so records of one event may be on both sides of the split. "
        "Scores on new events are likely lower than these."
    )


def notices_of(simulated: bool, grouped: bool = True) -> list[str]:
    """What a report says first of the records it stands on."""
    return [simulated_notice()] * simulated + [ungrouped_notice()] * (not grouped)


def _pictures(report: Report) -> list[Picture]:
    return [picture for section in report.sections for picture in section.pictures]


def _check(report: Report) -> None:
    names = [picture.name for picture in _pictures(report)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"report: expected a name for each picture, received {', '.join(twice)} more than once")
    for section in report.sections:
        for table in section.tables:
            for row in table.rows:
                if len(row) != len(table.header):
                    raise ValueError(
                        f"report: section {section.title}: expected {len(table.header)} cells a row, "
                        f"received {len(row)}: {list(row)}"
                    )
