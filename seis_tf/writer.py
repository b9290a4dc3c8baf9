"""Stage 4: encoded records -> shards -> `dataset.json`, written last.

Which record goes into which shard is planned from the names alone, before anything is read. So a shard is a task of
its own: any number of processes gives the same bytes, and an interrupted run goes on with the shards that are missing.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import sys
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from seis_tf import shards, tfrecords
from seis_tf.files import write_json
from seis_tf.shards import SPLITS, DatasetInfo, RecordLengths, RejectedInfo, ShardInfo, SplitInfo

BATCH = 256  # records read and transformed together
Progress = Callable[[int, int], None]


@dataclass
class Batch:
    """What one call of an encoder gives: serialized examples and what `dataset.json` must know of them."""

    payloads: list[bytes]
    labels: list[int]
    groups: list[str]
    record_ids: list[str]
    hashes: list[str]
    rejected: list[dict[str, str]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)  # samples that whole records hold
    sums: np.ndarray | None = None
    largest: float = 0.0


Encoder = Callable[[Sequence[Any]], Batch]


@dataclass(frozen=True)
class ShardTask:
    """One shard to write: its place, its items and how they become examples."""

    path: Path
    split: str
    items: Sequence[Any]
    encode: Encoder


def plan(
    prefix: str, out: Path, by_split: dict[str, list], encoder: Encoder, record_bytes: int, shard_mb: float
) -> list[ShardTask]:
    """The shards of a data set, from the number of records and the bytes of each."""
    tasks = []
    for split in SPLITS:
        items = by_split[split]
        count = min(max(math.ceil(len(items) * record_bytes / (shard_mb * 1e6)), 1), max(len(items), 1))
        bounds = [len(items) * i // count for i in range(count + 1)]
        for i in range(count):
            path = Path(out) / f"{prefix}-{split}.tfrecord-{i:05d}-of-{count:05d}"
            tasks.append(ShardTask(path, split, items[bounds[i] : bounds[i + 1]], encoder))
    return tasks


def write_dataset(
    out: Path,
    tasks: list[ShardTask],
    header: dict[str, Any],
    rejected: list[dict[str, str]],
    max_rejected: float,
    processes: int,
    progress: Progress,
) -> DatasetInfo:
    """Writes the shards that are missing, checks the whole, writes `dataset.json` last.

    Raises:
        ValueError: as `prepare_waveforms`.
    """
    finished = _open_folder(Path(out), tasks, header)
    if finished is not None:
        _tidy(Path(out), tasks)
        return finished
    summaries = _run(tasks, processes, progress)
    duplicates, copies = _duplicates(summaries)
    if copies:
        summaries = [_without(task, summary, copies) for task, summary in zip(tasks, summaries, strict=True)]
    rejected = rejected + [r for summary in summaries for r in summary["rejected"]]
    kept = sum(len(summary["labels"]) for summary in summaries)
    if len(rejected) > max_rejected * (kept + len(rejected)):
        raise ValueError(
            f"{out}: expected at most {max_rejected:.1%} rejected records, received {len(rejected)} of "
            f"{kept + len(rejected)}: {_shown(rejected)}"
        )
    splits = {split: _split_info(split, tasks, summaries, header.get("class_names", ())) for split in SPLITS}
    with rejections_first(rejected):
        _check_splits(splits, tasks, summaries, header)
    info = DatasetInfo(
        **header,
        normalisation=_normalisation(tasks, summaries),
        splits=splits,
        rejected=tuple(RejectedInfo(**r) for r in rejected),
        duplicates=tuple(tuple(d) for d in duplicates),
        record_lengths=_record_lengths(summaries, kept),
    )
    write_json(Path(out) / "dataset.json", info)
    _tidy(Path(out), tasks)
    return info


def _shown(rejected: list[dict[str, str]]) -> str:
    return "; ".join(f"{r['file']}: {r['reason']}" for r in rejected[:5]) + (" ..." if len(rejected) > 5 else "")


@contextmanager
def rejections_first(rejected: list[dict[str, str]]) -> Iterator[None]:
    """What goes wrong with splits in this block may come of records that were rejected: they are named before it."""
    try:
        yield
    except ValueError as err:
        if not rejected:
            raise
        raise ValueError(f"{len(rejected)} rejected ({_shown(rejected)}), and of the others: {err}") from err


_PLAN = ".plan.json"


def _tidy(out: Path, tasks: list[ShardTask]) -> None:
    """Removes what only an unfinished data set needs, and what killed processes left."""
    hidden = tuple(f".{name}" for name in (_PLAN, "dataset.json", *(task.path.name for task in tasks)))
    for path in out.iterdir():
        if path.name == _PLAN or path.name.startswith(hidden):
            path.unlink()


def _open_folder(out: Path, tasks: list[ShardTask], header: dict[str, Any]) -> DatasetInfo | None:
    """Makes the folder, or sees that what it holds is of this job; gives the data set where it is finished."""
    job = {k: v for k, v in header["job"].items() if k != "shards"} | {"fingerprint": header["fingerprint"]}
    job["shards"] = [task.path.name for task in tasks]
    out.mkdir(parents=True, exist_ok=True)
    if (out / "dataset.json").is_file():
        info = shards.load_dataset(out)
        if info.fingerprint == header["fingerprint"] and info.job == header["job"]:
            return info
        raise ValueError(
            f"{out}: expected an empty folder or a data set of the same job, received a finished other one"
        )
    if (out / _PLAN).is_file():
        if json.loads((out / _PLAN).read_text()) != json.loads(json.dumps(job)):
            raise ValueError(
                f"{out}: expected an empty folder or one of the same job, received an unfinished other one"
            )
    elif others := sorted(path.name for path in out.iterdir() if not path.name.startswith(f".{_PLAN}.")):
        raise ValueError(f"{out}: expected an empty folder, received one with {others[0]}")
    else:
        write_json(out / _PLAN, job)
    return None


def _run(tasks: list[ShardTask], processes: int, progress: Progress) -> list[dict[str, Any]]:
    total, done = sum(len(task.items) for task in tasks), 0
    progress(0, total)
    summaries: dict[int, dict[str, Any]] = {}
    if processes <= 1 or len(tasks) == 1:
        for i, task in enumerate(tasks):
            summaries[i] = write_shard(task, lambda n, base=done: progress(base + n, total))
            done += len(task.items)
        return [summaries[i] for i in range(len(tasks))]
    # The tasks go to each worker once, as it starts: a forked one has them already.
    pool = ProcessPoolExecutor(min(processes, len(tasks)), _context(), _start_worker, (tasks,))
    with pool:
        # The largest first, so that no worker is left alone with a large one at the end.
        order = sorted(range(len(tasks)), key=lambda i: -len(tasks[i].items))
        futures = {pool.submit(_write_shard_number, i): i for i in order}
        try:
            for future in as_completed(futures):
                summaries[futures[future]] = future.result()
                done += len(tasks[futures[future]].items)
                progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [summaries[i] for i in range(len(tasks))]


def _context() -> multiprocessing.context.BaseContext:
    """How worker processes start: forked where that is safe, at no cost; else from a clean server that imports anew.

    A fork copies one thread only: what TensorFlow's threads, or a progress bar's, hold at that moment stays locked.
    """
    if sys.platform == "linux" and "tensorflow" not in sys.modules and threading.active_count() == 1:
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seis_tf.prepare", "seis_tf.cli"])
    return context


_worker_tasks: list[ShardTask] = []


def _start_worker(tasks: list[ShardTask]) -> None:
    threadpool_limits(1)
    _worker_tasks[:] = tasks


def _write_shard_number(number: int) -> dict[str, Any]:
    return write_shard(_worker_tasks[number])


def write_shard(task: ShardTask, progress: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Writes one shard under a temporary name, and a summary beside it; a shard that has one is left as it is.

    Returns:
        The summary: bytes, checksum, labels, groups, ids, hashes and rejections of its records.
    """
    sidecar = _sidecar(task.path)
    if sidecar.is_file() and task.path.is_file():
        summary = json.loads(sidecar.read_text())
        if summary["bytes"] == task.path.stat().st_size:
            return summary
    summary = _write(task.path, _encoded(task, progress))
    write_json(sidecar, summary)
    return summary


def _encoded(task: ShardTask, progress: Callable[[int], None] = lambda done: None) -> Iterator[Batch]:
    for first in range(0, len(task.items), BATCH):
        items = task.items[first : first + BATCH]
        yield task.encode(items)
        progress(first + len(items))


def _write(path: Path, batches: Iterable[Batch]) -> dict[str, Any]:
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


def _without(task: ShardTask, summary: dict[str, Any], copies: dict[str, str]) -> dict[str, Any]:
    """The shard written again without the records that are also under another class."""
    gone = {summary["record_ids"][i]: h for i, h in enumerate(summary["hashes"]) if h in copies}
    if not gone:
        return summary
    left = [item for item in task.items if item.record_id not in gone]
    # The summary on disk stays that of all records: who goes on after an interruption must find the same copies.
    again = _write(task.path, _encoded(replace(task, items=left)))
    files = {item.record_id: getattr(item, "file", item.record_id) for item in task.items}
    again["rejected"] += [
        {"file": files[record_id], "reason": f"expected one class, received the same samples in {copies[h]}"}
        for record_id, h in gone.items()
    ]
    return again


def _duplicates(summaries: list[dict[str, Any]]) -> tuple[list[list[str]], dict[str, str]]:
    """Records with the same samples: those of one class (reported), and hashes found under several (to be rejected)."""
    seen: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for summary in summaries:
        for record_id, label, content in zip(summary["record_ids"], summary["labels"], summary["hashes"], strict=True):
            if content:
                seen[content].append((record_id, label))
    several = {content: found for content, found in seen.items() if len(found) > 1}
    copies = {
        content: ", ".join(record_id for record_id, _ in found)
        for content, found in several.items()
        if len({label for _, label in found}) > 1
    }
    same_class = [[record_id for record_id, _ in found] for content, found in several.items() if content not in copies]
    return sorted(same_class), copies


def _split_info(split: str, tasks: list[ShardTask], summaries: list[dict], class_names: Sequence[str]) -> SplitInfo:
    mine = [(task, summary) for task, summary in zip(tasks, summaries, strict=True) if task.split == split]
    counts = Counter(label for _, summary in mine for label in summary["labels"])
    return SplitInfo(
        groups=len({group for _, summary in mine for group in summary["groups"]}),
        records=sum(len(summary["groups"]) for _, summary in mine),
        class_counts={name: counts[i] for i, name in enumerate(class_names)},
        shards=tuple(
            ShardInfo(file=task.path.name, records=len(s["groups"]), bytes=s["bytes"], crc32c=s["crc32c"])
            for task, s in mine
        ),
    )


def _check_splits(splits: dict[str, SplitInfo], tasks, summaries, header: dict[str, Any]) -> None:
    names = header.get("class_names", ())
    where: dict[str, str] = {}
    groups: dict[str, dict[str, set]] = {name: defaultdict(set) for name in names}
    for task, summary in zip(tasks, summaries, strict=True):
        for group, label in zip(summary["groups"], summary["labels"], strict=True):
            if where.setdefault(group, task.split) != task.split and header.get("grouped", True):
                raise ValueError(
                    f"group {group}: expected it in one split, received it in {where[group]} and {task.split}"
                )
            if names:
                groups[names[label]][task.split].add(group)
    counted = {name: {split: len(found) for split, found in by.items()} for name, by in groups.items()}
    shards.check_classes({split: info.class_counts for split, info in splits.items()}, names, counted)
    for split, info in splits.items():
        if not info.records:
            raise ValueError(f"split {split}: expected records, received none; try another --seed or other fractions")


def _normalisation(tasks: list[ShardTask], summaries: list[dict[str, Any]]) -> dict[str, list[float]]:
    """What later stages must know of the training records, and of no others."""
    training = [summary for task, summary in zip(tasks, summaries, strict=True) if task.split == "train"]
    largest = max(summary["largest"] for summary in training)
    numbers = {"largest": [largest]} if largest else {}
    sums = [np.array(summary["sums"]) for summary in training if summary["sums"] is not None]
    if not sums:
        return numbers
    count, total, squares = np.sum(sums, axis=0)
    mean = total / count
    return numbers | {"mean": mean.tolist(), "std": np.sqrt(np.maximum(squares / count - mean**2, 0)).tolist()}


def _record_lengths(summaries: list[dict[str, Any]], kept: int) -> RecordLengths | None:
    """Of the records that were kept; None where they have none, or a shard of an earlier version doesn't say."""
    held = sorted(length for summary in summaries for length in summary.get("lengths", ()))
    if not held or len(held) != kept:
        return None
    return RecordLengths(shortest=held[0], median=held[len(held) // 2], longest=held[-1])


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
