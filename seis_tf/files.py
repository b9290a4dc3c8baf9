"""Files that are either the old ones or whole new ones."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from seis_tf.settings.base import Settings


def write_json(path: Path, content: Settings | dict[str, Any]) -> None:
    """Writes JSON so that the file is either the old one or the whole new one."""
    tree = content.model_dump(mode="json") if isinstance(content, Settings) else content
    write_atomically(path, (json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV: commas, quotes where needed, a line feed after each line; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def rows_as_csv(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> str:
    """Rows by column name as CSV; columns, if not named, are those of the first row. A missing value is empty.

    Raises:
        ValueError: a row has a column that is not among them.
    """
    columns = list(rows[0]) if columns is None else columns
    if unknown := sorted({key for row in rows for key in row} - set(columns)):
        raise ValueError(f"CSV: expected the columns {', '.join(columns)}, received {', '.join(unknown)} as well")
    return as_csv(columns, ([row.get(name) for name in columns] for row in rows))


def checksum(tree: dict[str, Any]) -> str:
    """SHA-256 of JSON content, however it is laid out; a key `checksum` of the outermost object does not count."""
    counted = {key: value for key, value in tree.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(counted, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, syncs it to disk, renames it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
