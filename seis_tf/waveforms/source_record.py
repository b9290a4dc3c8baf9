"""One record of a source before it is read, and tables that name records."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SPLITS = {"train": "train", "dev": "valid", "valid": "valid", "test": "test"}


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One record to be read, and what the source says about it.

    Attributes:
        path: the file; text, since a data set has very many.
        class_name: the label.
        group: id of the event; records of one group never go to different splits.
        record_id: unique in the data set: the path below the source without suffix (with it, where two names differ in
            nothing else), or SeisBench's trace name.
        station: sensor or station, "" where unknown.
        index: row within a container (SeisBench's metadata), else 0.
        split: "train", "valid" or "test" where the source says so.
        location: within a container, dataset and index expression of one trace, e.g. `bucket0$3,0,:1000`; else "".
        sampling_rate_hz: where the file doesn't say it itself (SeisBench).
        any_format: whether ObsPy may take the file for any of its formats, and open what it names; see `readers.py`.
    """

    path: str
    class_name: str
    group: str
    record_id: str
    station: str
    index: int = 0
    split: str | None = None
    location: str = ""
    sampling_rate_hz: float | None = None
    any_format: bool = False

    @property
    def file(self) -> str:
        """Name for messages: the path below the source, the same on every machine."""
        if self.location:
            return f"{os.path.basename(self.path)}:{self.record_id}"
        folder, slash, _ = self.record_id.rpartition("/")
        return f"{folder}{slash}{os.path.basename(self.path)}"


def read_table(path: Path, required: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells (stripped) of each row of a CSV with a header.

    Raises:
        ValueError: no such file, not UTF-8, or one of the `required` columns is missing; names them.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file)
            header = [cell.strip() for cell in next(rows, [])]
            missing = [name for name in required if name not in header]
            if missing:
                raise ValueError(f"{path}: expected the columns {','.join(required)}, received {','.join(header)}")
            for row in rows:
                if row:
                    cells = [cell.strip() for cell in row] + [""] * (len(header) - len(row))
                    yield rows.line_num, dict(zip(header, cells, strict=False))
    except (OSError, UnicodeDecodeError, csv.Error) as err:
        raise ValueError(f"{path}: expected a CSV file with a header, received {err}") from err
