"""One buoy's record, and what the readers of all forms share: lines that can't be read, missing values, equal moments.

Time is in seconds, float64 [sample], ascending; levels are in metres, NaN where missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

MISSING_M = 9999.0
MISSING_WORDS = ("mm", "nan", "na", "n/a", "")  # NDBC's live pages say MM
QUOTED = 60  # characters of a bad line that a message quotes
_BUOY = re.compile(r"(?<!\d)(\d{5})(?!\d)")


@dataclass(frozen=True, eq=False)
class GaugeRecord:
    """One buoy's record.

    Attributes:
        buoy: name; "" where the file doesn't say it.
        time: seconds since 1970-01-01 UTC, or since the origin where `relative`; float64 [sample], ascending.
        level_m: float64 [sample], NaN where missing.
        relative: whether times count from the earthquake's origin.
        source: the file, for messages.
        note: what was left out of the file or taken for granted; "" where nothing was.
        kinds: int [sample], NDBC's type (1, 2 and 3 are 15 min, 1 min and 15 s); None where a file has none.
        spread_m: float64 [sample], how far values of the same moment (and type) are apart; 0 where there is one, None
            where the file can't have several.
    """

    buoy: str
    time: np.ndarray
    level_m: np.ndarray
    relative: bool
    source: str
    note: str = ""
    kinds: np.ndarray | None = None
    spread_m: np.ndarray | None = None

    def minutes_after(self, origin: datetime | None) -> np.ndarray:
        """Minutes after the origin, float64 [sample].

        Raises:
            ValueError: the record has absolute times and no origin time was given.
        """
        if self.relative:
            return self.time / 60
        if origin is None:
            raise ValueError(f"{self.source}: expected an origin time for a record with dates, received none")
        return (self.time - origin.timestamp()) / 60


def parse_origin(text: str) -> datetime:
    """An origin time in ISO 8601, UTC where no zone is given: `2018-01-23T09:31:40Z`.

    Raises:
        ValueError: the text is no such time.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError as err:
        raise ValueError(f"origin time: expected a time like 2018-01-23T09:31:40Z, received {text!r}") from err
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def buoy_of(path: Path) -> str:
    """The five-digit buoy number in a file's name, "" if there is none or more than one."""
    found = set(_BUOY.findall(Path(path).stem))
    return found.pop() if len(found) == 1 else ""


def readable_rows(
    path: Path, lines: list[str], read: Callable[[Path, int, str], tuple[float, ...]], strict: bool
) -> tuple[list[tuple[float, ...]], str]:
    """Rows of the lines that can be read, and a note on the others; comments and empty lines are no lines.

    Raises:
        ValueError: of the first that can't be, if `strict` or if not more than half can be.
    """
    rows, bad = [], []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            rows.append(read(path, number, line))
        except ValueError as err:
            if strict:
                raise
            bad.append((number, line, err))
    if not bad:
        return rows, ""
    if len(bad) >= len(rows):
        raise bad[0][2]
    number, line, _ = bad[0]
    more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
    return rows, f"line {number} {line[:QUOTED]!r} can't be read and was left out{more}"


def joined_notes(*notes: str) -> str:
    """Notes of one record in one; empty ones are left out."""
    return "; ".join(filter(None, notes))


def level_of(cell: str) -> float:
    """A height, NaN for a missing one: a word, or 9999 with or without decimals."""
    level = np.nan if cell.strip().lower() in MISSING_WORDS else float(cell)
    return np.nan if level == MISSING_M else level


def each_moment_once(time: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples in ascending order, each time once with the mean of its values, and how far those are apart.

    The mean is NaN, and the distance 0, where all of them are missing.
    """
    moments, which = np.unique(time, return_inverse=True)
    good = np.isfinite(level)
    count = np.bincount(which[good], minlength=len(moments))
    total = np.bincount(which[good], weights=level[good], minlength=len(moments))
    low, high = np.full(len(moments), np.inf), np.full(len(moments), -np.inf)
    np.minimum.at(low, which[good], level[good])
    np.maximum.at(high, which[good], level[good])
    mean = np.where(count > 1, total / np.maximum(count, 1), low)
    return moments, np.where(count > 0, mean, np.nan), np.where(count > 0, high - low, 0.0)
