"""Stage 4: encoded records -> shards -> `dataset.json`, written last.

Which record goes into which shard is planned from the names alone, before anything is read. So a shard is a task of
its own: any number of processes gives the same bytes, and an interrupted run goes on with the shards that are missing.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from seis_tf.dataset import job_folder
from seis_tf.dataset.dataset_info import SPLITS, DatasetInfo, RecordLengths, RejectedInfo, write_info
from seis_tf.dataset.shard_task import Encoder, ShardTask
from seis_tf.dataset.shard_writer import without_copies, write_shard
from seis_tf.dataset.splits import rule_of
from seis_tf.dataset.summaries import check_splits, find_duplicates, normalisation, resumed_words, split_info
from seis_tf.files import checksum
from seis_tf.settings.data import SplitSettings

Progress = Callable[[int, int], None]
Note = Callable[[str], None]


def plan(
    prefix: str,
    out: Path,
    by_split: dict[str, list[Any]],
    encoder: Encoder,
    record_bytes: int,
    shard_mb: float,
    source_of: Callable[[Sequence[Any]], str | None] = lambda items: None,
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


@dataclass(frozen=True)
class DatasetPlan:
    """All that is decided before the first record is read.

    Attributes:
        tasks: the shards, as `plan` gives them.
        header: what `dataset.json` says of task, features, classes, units, job and source.
        max_rejected: part of the records that may be rejected.
        rejected: `file` and `reason` of records that are left out already.
    """

    tasks: list[ShardTask]
    header: dict[str, Any]
    max_rejected: float
    rejected: list[dict[str, str]] = field(default_factory=list)


def write_dataset(
    out: Path,
    planned: DatasetPlan,
    *,
    processes: int = 1,
    progress: Progress = lambda done, total: None,
    note: Note = lambda line: None,
) -> DatasetInfo:
    """Writes the shards that are missing, checks the whole, writes `dataset.json` last.

    Args:
        out: the data set's folder.
        planned: shards and header.
        processes: worker processes; the bytes written do not depend on it.
        progress: called with the records done and the records in all.
        note: called with each line that the user should read.

    Raises:
        ValueError: as `prepare_waveforms`.
    """
    out, header, names = Path(out), planned.header, [task.path.name for task in planned.tasks]
    done = job_folder.finished(out, header)
    if done is None or job_folder.leftovers(out, names):
        with job_folder.locked(out):
            done = job_folder.finished(out, header)  # another process may have been faster
            if done is None:
                job = {"job": {key: value for key, value in header["job"].items() if key != "shards"}, "shards": names}
                job_folder.check_plan(out, job | {"records": _records_of(planned.tasks, header)})
                tasks = [_of_job(task, job, header) for task in planned.tasks]
                info = _written(out, replace(planned, tasks=tasks), processes, progress, note)
            job_folder.tidy(out, names)
    if done is None:
        return info
    bad = f", without the {len(done.rejected)} records that were rejected then" if done.rejected else ""
    note(
        f"{out}: finished by an earlier run and taken as it is{bad}; nothing was read again. "
        "To prepare anew, name another folder or remove this one"
    )
    return done


def _written(out: Path, planned: DatasetPlan, processes: int, progress: Progress, note: Note) -> DatasetInfo:
    tasks, header = planned.tasks, planned.header
    summaries = _run(tasks, processes, progress)
    resumed = resumed_words(summaries)
    if resumed:
        note(f"{out}: {resumed}")
    duplicates, copies = find_duplicates(summaries)
    if copies:
        summaries = [without_copies(task, summary, copies) for task, summary in zip(tasks, summaries, strict=True)]
    rejected = planned.rejected + [r for summary in summaries for r in summary["rejected"]]
    kept = sum(len(summary["labels"]) for summary in summaries)
    if len(rejected) > planned.max_rejected * (kept + len(rejected)):
        raise ValueError(
            f"{out}: expected at most {planned.max_rejected:.1%} rejected records, received {len(rejected)} of "
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
def rejections_first(rejected: list[dict[str, str]]) -> Generator[None]:
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
    pool = ProcessPoolExecutor(min(processes, len(tasks)), worker_context(tasks[0].encode), _start_worker, (tasks,))
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


def worker_context(encode: Encoder) -> BaseContext:
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


def _record_lengths(summaries: list[dict[str, Any]], kept: int) -> RecordLengths | None:
    """Of the records that were kept; None where they have none, or a shard of an earlier version doesn't say."""
    held = sorted(length for summary in summaries for length in summary.get("lengths", ()))
    if not held or len(held) != kept:
        return None
    return RecordLengths(shortest=held[0], median=held[len(held) // 2], longest=held[-1])
