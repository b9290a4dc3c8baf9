"""Stage 4: encoded records -> shards -> `dataset.json`, written last.

Which record goes into which shard is planned from the names alone, before anything is read. So a shard is a task of
its own: any number of processes gives the same bytes, and an interrupted run goes on with the shards that are missing.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from seis_tf.dataset import job_folder, shards, tfrecords
from seis_tf.dataset.dataset_info import SPLITS, DatasetInfo, RecordLengths, RejectedInfo, write_info
from seis_tf.dataset.shard_task import Batch, Encoder, ShardTask
from seis_tf.dataset.splits import rule_of
from seis_tf.dataset.summaries import check_splits, find_duplicates, normalisation, resumed_words, split_info
from seis_tf.files import checksum, write_json
from seis_tf.settings.data import SplitSettings

BATCH = 256  # records read and transformed together
Progress = Callable[[int, int], None]
Note = Callable[[str], None]


def plan(
    prefix: str,
    out: Path,
    by_split: dict[str, list],
    encoder: Encoder,
    record_bytes: int,
    shard_mb: float,
    source_of: Callable[[Sequence[Any]], str] = lambda items: None,
) -> list[ShardTask]:
    """The shards of a data set, from the number of records and the bytes of each.

    `source_of` gives the fingerprint of some items' files, where each has its own: when files are mended, only the
    shards of an unfinished data set that hold them are written again.
    """
    tasks = []
    for split in SPLITS:
        items = by_split[split]
        count = min(max(math.ceil(len(items) * record_bytes / (shard_mb * 1e6)), 1), max(len(items), 1))
        bounds = [len(items) * i // count for i in range(count + 1)]
        for i in range(count):
            path = Path(out) / f"{prefix}-{split}.tfrecord-{i:05d}-of-{count:05d}"
            part = items[bounds[i] : bounds[i + 1]]
            tasks.append(ShardTask(path, split, part, encoder, source_of(part)))
    return tasks


def write_dataset(
    out: Path,
    tasks: list[ShardTask],
    header: dict[str, Any],
    rejected: list[dict[str, str]],
    max_rejected: float,
    processes: int,
    progress: Progress,
    note: Note = lambda line: None,
) -> DatasetInfo:
    """Writes the shards that are missing, checks the whole, writes `dataset.json` last.

    Raises:
        ValueError: as `prepare_waveforms`.
    """
    out, names = Path(out), [task.path.name for task in tasks]
    done = job_folder.finished(out, header)
    if done is None or job_folder.leftovers(out, names):
        with job_folder.locked(out):
            done = job_folder.finished(out, header)  # another process may have been faster
            if done is None:
                job = {"job": {key: value for key, value in header["job"].items() if key != "shards"}, "shards": names}
                job_folder.check_plan(out, job | {"records": _records_of(tasks, header)})
                tasks = [_of_job(task, job, header) for task in tasks]
                info = _written(out, tasks, header, rejected, max_rejected, processes, progress, note)
            job_folder.tidy(out, names)
    if done is None:
        return info
    bad = f", without the {len(done.rejected)} records that were rejected then" if done.rejected else ""
    note(
        f"{out}: finished by an earlier run and taken as it is{bad}; nothing was read again. "
        "To prepare anew, name another folder or remove this one"
    )
    return done


def _written(
    out: Path,
    tasks: list[ShardTask],
    header: dict[str, Any],
    rejected: list[dict[str, str]],
    max_rejected: float,
    processes: int,
    progress: Progress,
    note: Note,
) -> DatasetInfo:
    summaries = _run(tasks, processes, progress)
    resumed = resumed_words(summaries)
    if resumed:
        note(f"{out}: {resumed}")
    duplicates, copies = find_duplicates(summaries)
    if copies:
        summaries = [_without(task, summary, copies) for task, summary in zip(tasks, summaries, strict=True)]
    rejected = rejected + [r for summary in summaries for r in summary["rejected"]]
    kept = sum(len(summary["labels"]) for summary in summaries)
    if len(rejected) > max_rejected * (kept + len(rejected)):
        raise ValueError(
            f"{out}: expected at most {max_rejected:.1%} rejected records, received {len(rejected)} of "
            f"{kept + len(rejected)}: {_shown(rejected)}; "
            "when files are mended, run it again: rejected records are read anew, finished shards are kept"
        )
    settings = SplitSettings.model_validate(header["job"].get("split", {}))
    splits = {split: split_info(split, tasks, summaries, header.get("class_names", ())) for split in SPLITS}
    with rejections_first(rejected):
        check_splits(splits, tasks, summaries, header, settings)
    info = DatasetInfo(
        **header,
        split_rule=rule_of(settings),
        normalisation=normalisation(tasks, summaries),
        splits=splits,
        rejected=tuple(RejectedInfo(**r) for r in rejected),
        duplicates=tuple(tuple(d) for d in duplicates),
        record_lengths=_record_lengths(summaries, kept),
    )
    write_info(out, info)
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


def _records_of(tasks: list[ShardTask], header: dict[str, Any]) -> str:
    """Which records these are: by their names where each has its own file, which may be mended; else by content."""
    if any(task.source is None for task in tasks):
        return header["fingerprint"]
    digest = hashlib.sha256()
    for task in tasks:
        for item in task.items:
            digest.update(f"{item.record_id}\n".encode())
    return digest.hexdigest()


def _of_job(task: ShardTask, job: dict[str, Any], header: dict[str, Any]) -> ShardTask:
    """The task with the hash of all that decides its shard's content."""
    source = header["fingerprint"] if task.source is None else task.source
    return replace(task, job=checksum(job | {"shard": task.path.name, "source": source}))


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
    pool = ProcessPoolExecutor(min(processes, len(tasks)), _context(tasks[0].encode), _start_worker, (tasks,))
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


def _context(encode: Encoder) -> multiprocessing.context.BaseContext:
    """How worker processes start: forked where that is safe, at no cost; else from a clean server that imports anew.

    A fork copies one thread only: what TensorFlow's threads, or a progress bar's, hold at that moment stays locked.
    """
    if sys.platform == "linux" and "tensorflow" not in sys.modules and threading.active_count() == 1:
        return multiprocessing.get_context("fork")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", type(encode).__module__])
    return context


_worker_tasks: list[ShardTask] = []


def _start_worker(tasks: list[ShardTask]) -> None:
    threadpool_limits(1)
    _worker_tasks[:] = tasks


def _write_shard_number(number: int) -> dict[str, Any]:
    return write_shard(_worker_tasks[number])


def write_shard(task: ShardTask, progress: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Writes one shard under a temporary name, and a summary beside it; a shard of this job that is there is kept.

    Records that were rejected then are tried again first: reading may have failed for a passing reason, or the file was
    mended. Where one is good now, the shard is written anew.

    Returns:
        The summary: bytes, checksum, labels, groups, ids, hashes and rejections of its records; `cached` says what was
        there, if anything was.
    """
    sidecar = _sidecar(task.path)
    found, cached = _of_earlier_run(task), {}
    if found is not None:
        left = set(found["record_ids"])
        again = [item for item in task.items if item.record_id not in left]
        tried = list(_encoded(replace(task, items=again)))
        good = sum(len(batch.payloads) for batch in tried)
        cached = {"cached": {"tried": len(again), "good": good}}
        if not good:
            progress(len(task.items))
            return found | {"rejected": [r for batch in tried for r in batch.rejected]} | cached
    summary = _write(task.path, _encoded(task, progress)) | {"job": task.job}
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


def _record_lengths(summaries: list[dict[str, Any]], kept: int) -> RecordLengths | None:
    """Of the records that were kept; None where they have none, or a shard of an earlier version doesn't say."""
    held = sorted(length for summary in summaries for length in summary.get("lengths", ()))
    if not held or len(held) != kept:
        return None
    return RecordLengths(shortest=held[0], median=held[len(held) // 2], longest=held[-1])


def _sidecar(path: Path) -> Path:
    return path.with_name(f".{path.name}.json")
