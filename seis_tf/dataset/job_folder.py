"""The folder that `prepare` fills: one process at a time, one job only, and tidy when it is finished."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from seis_tf.dataset.dataset_info import DatasetInfo, load_dataset
from seis_tf.files import write_json
from seis_tf.settings.base import flat

_PLAN = ".plan.json"
_LOCK = ".prepare.lock"


@contextmanager
def locked(out: Path) -> Generator[None]:
    """Makes the folder and keeps other processes from filling it; the operating system ends the lock with the process.

    Raises:
        ValueError: another process is at it; names it.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / _LOCK
    lock = FileLock(path, blocking=False)
    try:
        lock.acquire()
    except Timeout as err:
        holder = path.read_text() if path.is_file() else ""
        raise ValueError(
            f"{out}: expected a folder that nobody else is writing, received one that {holder or 'another process'} "
            "is preparing; wait until it is done, or name another folder"
        ) from err
    try:
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        # Removed while the lock is held: a process that opened it in between sees that it is gone, and tries again.
        path.unlink(missing_ok=True)
        lock.release()


def finished(out: Path, header: dict[str, Any]) -> DatasetInfo | None:
    """The data set that is in the folder; None where there is none.

    Raises:
        ValueError: it is of another job.
    """
    if not (out / "dataset.json").is_file():
        return None
    info = load_dataset(out)
    if info.fingerprint == header["fingerprint"] and info.job == header["job"]:
        return info
    raise ValueError(
        f"{out}: expected an empty folder or a data set of the same job, received a finished other one "
        f"({_difference(info.job, header['job'])}); name another folder, or remove this one to prepare it anew"
    )


def check_plan(out: Path, job: dict[str, Any]) -> None:
    """Sees that what an unfinished folder holds is of this job; notes the job in an empty one.

    Args:
        out: the folder.
        job: all that decides which records go into which shard, and what becomes of them.

    Raises:
        ValueError: it holds something else.
    """
    if (out / _PLAN).is_file():
        before = json.loads((out / _PLAN).read_text())
        if before != json.loads(json.dumps(job)):
            raise ValueError(
                f"{out}: expected an empty folder or one of the same job, received an unfinished other one "
                f"({_difference(before, job)}); name another folder, or remove this one to prepare it anew"
            )
    elif others := sorted(path.name for path in out.iterdir() if path.name != _LOCK and not _of_killed(path, _PLAN)):
        raise ValueError(f"{out}: expected an empty folder, received one with {others[0]}")
    else:
        write_json(out / _PLAN, job)


def tidy(out: Path, shards: Sequence[str]) -> None:
    """Removes what only an unfinished data set needs, and what killed processes left."""
    for path in leftovers(out, shards):
        path.unlink()


def leftovers(out: Path, shards: Sequence[str]) -> list[Path]:
    """What a finished data set does not need: the plan, summaries and temporary files of these shards."""
    return [path for path in out.iterdir() if path.name == _PLAN or _of_killed(path, _PLAN, "dataset.json", *shards)]


def _of_killed(path: Path, *names: str) -> bool:
    return path.name.startswith(tuple(f".{name}" for name in names))


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first settings that differ, in words; where none does, it is the records."""
    old, new = flat(before), flat(now)
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    words = [f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed if key not in ("shards", "records")]
    return "; ".join(words[:3]) or "the records are others, or their files changed"
