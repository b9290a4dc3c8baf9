"""One shard: its items encoded and written under a temporary name, with a summary of its records beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from seis_tf.dataset import shards, tfrecords
from seis_tf.dataset.shard_task import Batch, ShardTask
from seis_tf.files import write_json

BATCH = 256  # records read and transformed together


def write_shard(task: ShardTask, progress: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Writes one shard under a temporary name, and a summary beside it; a shard of this job that is there is kept.

    Records that were rejected then are tried again first: reading may have failed for a passing reason, or the file was
    mended. Where one is good now, the shard is written anew.

    Returns:
        The summary: bytes, checksum, labels, groups, ids, hashes and rejections of its records; `cached` says what was
        there, if anything was.
    """
    sidecar = _sidecar(task.path)
    earlier, cached = _of_earlier_run(task), {}
    if earlier is not None:
        left = set(earlier["record_ids"])
        again = [item for item in task.items if item.record_id not in left]
        tried = list(encoded(replace(task, items=again)))
        good = sum(len(batch.payloads) for batch in tried)
        cached = {"cached": {"tried": len(again), "good": good}}
        if not good:
            progress(len(task.items))
            return earlier | {"rejected": [r for batch in tried for r in batch.rejected]} | cached
    summary = write_batches(task.path, encoded(task, progress)) | {"job": task.job}
    write_json(sidecar, summary)
    return summary | cached


def _of_earlier_run(task: ShardTask) -> dict[str, Any] | None:
    """The summary of a shard that is there, whole, and of this very job."""
    sidecar = _sidecar(task.path)
    if not (sidecar.is_file() and task.path.is_file()):
        return None
    summary = json.loads(sidecar.read_text())
    if summary.get("job") != task.job or summary["bytes"] != task.path.stat().st_size:
        return None
    return summary if shards.file_crc32c(task.path) == summary["crc32c"] else None


def encoded(task: ShardTask, progress: Callable[[int], None] = lambda done: None) -> Iterator[Batch]:
    """The shard's items as examples, `BATCH` at a time; `progress` is called with the items done."""
    for first in range(0, len(task.items), BATCH):
        items = task.items[first : first + BATCH]
        yield task.encode(items)
        progress(first + len(items))


def write_batches(path: Path, batches: Iterable[Batch]) -> dict[str, Any]:
    """Writes a shard under a temporary name, syncs and renames it; returns its summary without `job`."""
    columns = ("labels", "groups", "record_ids", "hashes", "rejected", "lengths")
    summary: dict[str, Any] = {key: [] for key in columns}
    sums, largest = None, 0.0
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            writer = tfrecords.Writer(file)
            for batch in batches:
                writer.write_all(batch.payloads)
                for key in columns:
                    summary[key] += getattr(batch, key)
                largest = max(largest, batch.largest)
                if batch.sums is not None:
                    sums = batch.sums if sums is None else sums + batch.sums
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sums = None if sums is None else sums.tolist()
    return summary | {"bytes": writer.bytes, "crc32c": writer.crc32c(), "sums": sums, "largest": largest}


def without_copies(task: ShardTask, summary: dict[str, Any], copies: dict[str, str]) -> dict[str, Any]:
    """The shard written again without the records that are also under another class.

    Args:
        task: the shard.
        summary: as `write_shard` gave it.
        copies: hash of samples -> the records that hold them, in words, where their classes differ.
    """
    gone = {summary["record_ids"][i]: h for i, h in enumerate(summary["hashes"]) if h in copies}
    if not gone:
        return summary
    left = [item for item in task.items if item.record_id not in gone]
    # The summary on disk stays that of all records, so that a run that is resumed finds the same copies.
    again = write_batches(task.path, encoded(replace(task, items=left)))
    files = {item.record_id: getattr(item, "file", item.record_id) for item in task.items}
    again["rejected"] += [
        {"file": files[record_id], "reason": f"expected one class, received the same samples in {copies[h]}"}
        for record_id, h in gone.items()
    ]
    return again


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
