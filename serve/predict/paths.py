"""Paths, globs and folders -> files."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from seis_tf.waveforms.sources import is_left_behind


def list_files(records: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files of paths, globs and folders, each once, in the order given.

    Files that lie in folders of all kinds (hidden files, README, Thumbs.db and the like) are left out.

    Raises:
        ValueError: a path, glob or folder has no files.
    """
    given = [records] if isinstance(records, str | Path) else list(records)
    files: dict[Path, None] = {}
    for item in given:
        path = Path(item)
        if path.is_file():
            matches = [path]
        else:
            places = (
                [path] if path.is_dir() else [Path(place) for place in sorted(glob.glob(str(item), recursive=True))]
            )
            matches = [file for place in places for file in _below(place)]
        if not matches:
            raise ValueError(f"{item}: expected files, a glob or a folder with files, received none")
        files |= dict.fromkeys(matches)
    if not files:
        raise ValueError("records: expected at least one, received none")
    return list(files)


def _below(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = (file for file in sorted(place.rglob("*")) if file.is_file())
    return [file for file in files if not any(map(is_left_behind, file.relative_to(place).parts))]
