"""The data set on disk: a group's split by hash, the shards and their records, and whether they are what was written.

A data set is complete when it has a `dataset.json` (`dataset_info.py`). Everything that a reader must know is in it:
features with dtype and shape, order of classes or buoys and sources, units, settings, normalisation, counts, checksums
and what was rejected.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import google_crc32c
import numpy as np

from seis_tf.dataset import dataset_info, examples
from seis_tf.dataset.dataset_info import SPLITS, DatasetInfo, RejectedInfo, ShardInfo, Split, SplitInfo, load_dataset
from seis_tf.dataset.examples import Columns, decode
from seis_tf.dataset.tfrecords import DamagedShardError, read_records
from seis_tf.names import check_names
from seis_tf.settings.data import SplitSettings

__all__ = [
    "SPLITS", "DamagedShardError", "DatasetInfo", "RejectedInfo", "ShardInfo", "Split", "SplitInfo", "checked_paths",
    "file_crc32c", "iterate", "load_arrays", "load_dataset", "shard_paths", "shuffled", "split_of", "verify",
]  # fmt: skip

Item = TypeVar("Item")


def split_of(group: str, settings: SplitSettings) -> Split:
    """The split of a group: from a hash of seed and id, so that it does not change when more data comes."""
    digest = hashlib.sha256(f"{settings.seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < settings.test_fraction:
        return "test"
    return "valid" if position < settings.test_fraction + settings.valid_fraction else "train"


def shuffled(items: Iterable[Item], key: Callable[[Item], str], seed: int) -> list[Item]:
    """Items in an order that is random and the same everywhere: by a hash of seed and id."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{key(item)}".encode()).digest())


def shard_paths(folder: Path, info: DatasetInfo, split: str) -> list[Path]:
    """The split's shards, each there and of the size that `dataset.json` says."""
    paths = []
    for shard in info.splits[split].shards:
        path = Path(folder) / shard.file
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            raise DamagedShardError(
                f"{path}: expected {shard.bytes} bytes, received {size if size is not None else 'no file'}"
            )
        paths.append(path)
    return paths


@functools.lru_cache(maxsize=65536)
def _checked(path: str, size: int, modified_ns: int, expected: str) -> None:
    """Reads a file and compares its checksum: once in a process, as long as size and time stay what they are."""
    if (received := file_crc32c(Path(path))) != expected:
        raise DamagedShardError(_other_checksum(path, expected, received))


def _other_checksum(path: Path | str, expected: str, received: str) -> str:
    return (
        f"{path}: expected checksum {expected} of dataset.json, received {received}: "
        "damaged, or the shard of another data set"
    )


def checked_paths(folder: Path, info: DatasetInfo, split: str) -> Iterator[Path]:
    """As `shard_paths`, for readers that don't look at checksums themselves: each shard is read and compared first.

    Raises:
        DamagedShardError: a shard has another size or checksum than `dataset.json` says.
    """
    for path, shard in zip(shard_paths(folder, info, split), info.splits[split].shards, strict=True):
        _checked(str(path.absolute()), shard.bytes, path.stat().st_mtime_ns, shard.crc32c)
        yield path


def iterate(folder: Path, info: DatasetInfo, split: str) -> Iterator[dict[str, np.ndarray | str]]:
    """The decoded records of one split, in the order on disk; every checksum is checked."""
    for path, number, payload in _payloads(folder, info, split):
        try:
            yield decode(payload, list(info.features))
        except ValueError as err:
            raise DamagedShardError(f"{path}: record {number}: {err}") from err


def load_arrays(folder: Path, info: DatasetInfo, splits: Sequence[str], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Records of some splits in memory, in the order on disk; every checksum is checked.

    Returns:
        Name to array [record, ...]; texts as an array of `str`.

    Raises:
        ValueError: no such feature.
        DamagedShardError: a shard or a record is not what was written.
    """
    chosen = [info.feature(name).name for name in names]
    columns = Columns(sum(info.splits[split].records for split in splits), info.features, chosen)
    for split in splits:
        for path, number, payload in _payloads(folder, info, split):
            try:
                columns.append(payload)
            except ValueError as err:
                raise DamagedShardError(f"{path}: record {number}: {err}") from err
    return columns.arrays()


def _payloads(folder: Path, info: DatasetInfo, split: str) -> Iterator[tuple[Path, int, bytes]]:
    """Shard, number in the shard, and payload of each record.

    At its end each shard must have held as many records as it should, with the checksum of `dataset.json`.
    """
    for path, shard in zip(shard_paths(folder, info, split), info.splits[split].shards, strict=True):
        count, whole = 0, google_crc32c.Checksum()
        for payload in read_records(path, whole):
            if count < shard.records:
                yield path, count, payload
            count += 1
        if count != shard.records:
            raise DamagedShardError(f"{path}: expected {shard.records} records, received {count}")
        if (received := whole.hexdigest().decode()) != shard.crc32c:
            raise DamagedShardError(_other_checksum(path, shard.crc32c, received))


def verify(folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Re-reads every byte and says what is wrong: one line each, none when all is well.

    Checks the checksum of `dataset.json`, sizes, file checksums, each record's checksums, shapes, labels and their
    counts, finite values, and that no group is in two splits.

    Args:
        folder: the data set.
        progress: called with the bytes done and the bytes in all.

    Raises:
        ValueError: there is no readable `dataset.json`.
    """
    path = Path(folder) / "dataset.json"
    tree = dataset_info.read_tree(path)
    info = dataset_info.info_of(path, tree)
    faults = [f"{path}: {fault}"] if (fault := dataset_info.changed(tree)) else []
    groups: dict[str, str] = {}
    total = sum(shard.bytes for split in info.splits.values() for shard in split.shards)
    done = 0
    for split, contents in info.splits.items():
        before, counts = len(faults), {name: 0 for name in info.class_names}
        for shard in contents.shards:
            faults += _verify_shard(Path(folder) / shard.file, shard, info, split, groups, counts)
            done += shard.bytes
            progress(done, total)
        if len(faults) == before and counts != contents.class_counts:
            faults.append(f"{folder}: split {split}: expected records {contents.class_counts}, received {counts}")
    return faults


def _verify_shard(
    path: Path, shard: ShardInfo, info: DatasetInfo, split: str, groups: dict[str, str], counts: dict[str, int]
) -> list[str]:
    if not path.is_file():
        return [f"{path}: expected {shard.bytes} bytes, received no file"]
    if path.stat().st_size != shard.bytes:
        faults = [f"{path}: expected {shard.bytes} bytes, received {path.stat().st_size}"]
    else:
        received = file_crc32c(path)
        faults = [] if received == shard.crc32c else [f"{path}: expected checksum {shard.crc32c}, received {received}"]
    number = -1
    try:
        for number, payload in enumerate(read_records(path)):
            of_record = _record_faults(payload, info, split, groups, counts)
            faults += [f"{path}: record {number}: {fault}" for fault in of_record]
    except DamagedShardError as err:
        return [*faults, str(err)]
    if number + 1 != shard.records:
        faults.append(f"{path}: expected {shard.records} records, received {number + 1}")
    return faults


def _record_faults(
    payload: bytes, info: DatasetInfo, split: str, groups: dict[str, str], counts: dict[str, int]
) -> Iterator[str]:
    try:
        record = decode(payload, list(info.features))
    except ValueError as err:
        yield str(err)
        return
    for feature in info.features:
        value = record[feature.name]
        if feature.dtype == "float32" and not np.isfinite(value).all():
            yield f"feature {feature.name}: expected finite values, received NaN or Inf"
    if info.class_names:
        label = int(record["label"])
        if 0 <= label < len(info.class_names):
            counts[info.class_names[label]] += 1
        else:
            yield f"label: expected 0 to {len(info.class_names) - 1}, received {label}"
    other = groups.setdefault(cast(str, record["group"]), split)
    if other != split and info.grouped:
        yield f"group {record['group']}: expected it in {other} only, received it in {split}"


def file_crc32c(path: Path) -> str:
    """CRC-32C of a file, as eight hex digits."""
    checksum = google_crc32c.Checksum()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest().decode()


def check_task(folder: Path | str, info: DatasetInfo, task: str) -> None:
    """Refuses a data set of another task.

    Raises:
        ValueError: names both.
    """
    if info.task != task:
        raise ValueError(f"{folder}: expected a data set of task {task}, received {info.task}")


def open_dataset(
    folder: Path | str,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    gauge_names: Sequence[str] | None = None,
    source_names: Sequence[str] | None = None,
    features: Sequence[examples.Feature] = (),
) -> DatasetInfo:
    """Reads and checks `dataset.json`; what is given must be what the data set has, in its order.

    Raises:
        ValueError: the data set is unfinished or is not what is expected; names both.
    """
    info = load_dataset(Path(folder))
    if task is not None:
        check_task(folder, info, task)
    for what, expected, received in (
        ("classes", class_names, info.class_names),
        ("buoys", gauge_names, info.gauge_names),
        ("sources", source_names, info.source_names),
    ):
        if expected is not None:
            check_names(f"{folder}: {what}", expected, received)
    for feature in features:
        received = info.feature(feature.name)
        if received != feature:
            raise ValueError(
                f"{folder}: feature {feature.name}: expected {feature.dtype} {feature.shape}, "
                f"received {received.dtype} {received.shape}"
            )
    return info


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that can't be used: its file below the source, and 'expected ..., received ...'."""

    file: str
    reason: str
