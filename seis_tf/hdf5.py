"""HDF5 that stays inside its own file: a link or a dataset in it may name any other file, which would be read as data.

So objects are found link by link, and datasets are refused that lie in other files or are larger than said.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import h5py

# A bucket of SeisBench's is read trace by trace; nothing that is read at once comes near this.
MOST_BYTES = 256 * 2**20


def open_file(path: str | Path) -> h5py.File:
    """Opens a file for reading.

    Raises:
        OSError: there is no such file, it is a pipe or a device (HDF5 would wait for it), or it is no HDF5.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("a folder, a device or a pipe")
    return h5py.File(path, "r")


def find(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset:
    """The object below a group, names separated by `/`.

    Raises:
        KeyError: there is none.
        ValueError: the way there is not of plain links, or the dataset's samples lie in other files.
    """
    found = group
    for name in filter(None, path.split("/")):
        if not isinstance(found, h5py.Group):
            raise KeyError(f"{found.name} holds no {name}")
        links, key = found.id.links, name.encode()
        if not links.exists(key):
            raise KeyError(f"{found.name} holds no {name}")
        # h5py's own getlink takes seven times as long.
        if links.get_info(key).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"expected data in the file itself, received a link at {name} that leads elsewhere")
        found = found[name]
    if isinstance(found, h5py.Dataset) and (found.external or found.is_virtual):
        raise ValueError(f"expected data in the file itself, received {path} with samples in other files")
    return found


def check_size(byte_count: int, what: str) -> None:
    """Refuses to read more at once than `MOST_BYTES`.

    Raises:
        ValueError: there is more.
    """
    if byte_count > MOST_BYTES:
        raise ValueError(f"expected at most {MOST_BYTES >> 20} MiB in {what}, received {byte_count >> 20} MiB")
