"""Paths, globs and folders -> files."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seis_tf.waveforms.sources import is_left_behind

if TYPE_CHECKING:
    pass


def list_files(records: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that paths, globs and folders stand for, each once, in the order given.

    What lies in any folder (hidden files, README, Thumbs.db and the like) is left out.

    Raises:
        ValueError: one of them stands for nothing.
    """
    given = [records] if isinstance(records, str | Path) else list(records)
    files: dict[Path, None] = {}
    for item in given:
        path = Path(item)
        if path.is_file():
            found = [path]
        else:
            places = (
                [path] if path.is_dir() else [Path(place) for place in sorted(glob.glob(str(item), recursive=True))]
            )
            found = [file for place in places for file in _below(place)]
        if not found:
            raise ValueError(f"{item}: expected files, a glob or a folder with files, received none")
        files |= dict.fromkeys(found)
    if not files:
        raise ValueError("records: expected at least one, received none")
    return list(files)


def _below(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = (file for file in sorted(place.rglob("*")) if file.is_file())
    return [file for file in files if not any(map(is_left_behind, file.relative_to(place).parts))]
