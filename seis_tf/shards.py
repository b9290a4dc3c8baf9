"""The data set on disk: which group goes to which split, the shards and their records, `dataset.json`, written last.

A data set is complete when it has a `dataset.json`. Everything that a reader must know is in it: features with dtype
and shape, order of classes or buoys and sources, units, settings, normalisation, counts, checksums and what was
rejected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import google_crc32c
import numpy as np
from pydantic import ValidationError, model_validator

from seis_tf.config import Settings, first_error
from seis_tf.examples import Columns, Feature, decode
from seis_tf.settings.data import SplitSettings
from seis_tf.tfrecords import DamagedShardError, read_records

FORMAT_VERSION = 1
SPLITS = ("train", "valid", "test")
Split = Literal["train", "valid", "test"]


class ShardInfo(Settings):
    """One shard as it was written."""

    file: str
    records: int
    bytes: int
    crc32c: str


class SplitInfo(Settings):
    """What one split holds."""

    groups: int
    records: int
    class_counts: dict[str, int] = {}
    shards: tuple[ShardInfo, ...]

    @model_validator(mode="after")
    def _adds_up(self):
        if self.records != (held := sum(shard.records for shard in self.shards)):
            raise ValueError(f"expected {self.records} records, received {held} in the shards")
        return self


class RejectedInfo(Settings):
    """A record that is not in the data set, and why."""

    file: str
    reason: str


class RecordLengths(Settings):
    """How long the source's records are, before they are cut to one length: samples at the data set's rate."""

    shortest: int
    median: int
    longest: int


class DatasetInfo(Settings):
    """All of `dataset.json`."""

    format_version: int = FORMAT_VERSION
    task: Literal["waveforms", "dart"]
    features: tuple[Feature, ...]
    class_names: tuple[str, ...] = ()
    gauge_names: tuple[str, ...] = ()
    source_names: tuple[str, ...] = ()
    forecast_gauges: tuple[str, ...] = ()
    sampling_rate_hz: float | None = None
    units: dict[str, str] = {}
    job: dict[str, Any]
    normalisation: dict[str, list[float]] = {}
    splits: dict[str, SplitInfo]
    rejected: tuple[RejectedInfo, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    record_lengths: RecordLengths | None = None
    grouped: bool = True
    simulated: bool = False
    fingerprint: str

    def feature(self, name: str) -> Feature:
        """The feature of that name.

        Raises:
            ValueError: there is none; lists those there are.
        """
        for feature in self.features:
            if feature.name == name:
                return feature
        raise ValueError(f"data set: expected a feature {name}, received {[f.name for f in self.features]}")

    def has(self, name: str) -> bool:
        """Whether records have that feature."""
        return any(feature.name == name for feature in self.features)


def split_of(group: str, settings: SplitSettings) -> Split:
    """The split of a group: from a hash of seed and id, so that it does not change when more data comes."""
    digest = hashlib.sha256(f"{settings.seed}:{group}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < settings.test_fraction:
        return "test"
    return "valid" if position < settings.test_fraction + settings.valid_fraction else "train"


def shuffled(items: list, key: Callable[[Any], str], seed: int) -> list:
    """Items in an order that is random and the same everywhere: by a hash of seed and id."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}:{key(item)}".encode()).digest())


def check_classes(
    counts: dict[str, dict[str, int]], class_names: tuple[str, ...], groups: dict[str, dict[str, int]]
) -> None:
    """Refuses a split without records of some class.

    Args:
        counts: split -> class -> records.
        class_names: all that must be there.
        groups: class -> split -> groups, for the message.
    """
    for split in SPLITS:
        missing = [name for name in class_names if not counts.get(split, {}).get(name)]
        if missing:
            table = "; ".join(
                f"{name} " + "/".join(str(groups[name].get(s, 0)) for s in SPLITS) for name in class_names
            )
            raise ValueError(
                f"split {split}: expected records of every class, received none of {', '.join(missing)} "
                f"(groups in {'/'.join(SPLITS)}: {table}); try another --seed or other fractions"
            )


def load_dataset(folder: Path) -> DatasetInfo:
    """Reads `dataset.json`.

    Raises:
        ValueError: there is none (the data set is not finished), or this version can't read it.
    """
    path = Path(folder) / "dataset.json"
    try:
        tree = json.loads(path.read_text())
    except FileNotFoundError as err:
        raise ValueError(f"{path}: expected a finished data set, received no dataset.json") from err
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected JSON, received {err}") from err
    version = tree.get("format_version") if isinstance(tree, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format version {FORMAT_VERSION}, received {version}; prepare it again")
    try:
        return DatasetInfo.model_validate(tree)
    except ValidationError as err:
        raise ValueError(f"{path}: {first_error(err)}") from err


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
    wanted = [info.feature(name) for name in names]
    columns = Columns(sum(info.splits[split].records for split in splits), info.features, [f.name for f in wanted])
    for split in splits:
        for path, number, payload in _payloads(folder, info, split):
            try:
                columns.append(payload)
            except ValueError as err:
                raise DamagedShardError(f"{path}: record {number}: {err}") from err
    return columns.arrays()


def _payloads(folder: Path, info: DatasetInfo, split: str) -> Iterator[tuple[Path, int, bytes]]:
    """Shard, number in the shard, and payload of each record; each shard must hold as many as it should."""
    for path, shard in zip(shard_paths(folder, info, split), info.splits[split].shards, strict=True):
        count = 0
        for payload in read_records(path):
            if count < shard.records:
                yield path, count, payload
            count += 1
        if count != shard.records:
            raise DamagedShardError(f"{path}: expected {shard.records} records, received {count}")


def verify(folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> list[str]:
    """Re-reads every byte and says what is wrong: one line each, none when all is well.

    Checks sizes, file checksums, each record's checksums, shapes, labels and their counts, finite values, and that no
    group is in two splits.

    Args:
        folder: the data set.
        progress: told the bytes done and the bytes in all.

    Raises:
        ValueError: there is no readable `dataset.json`.
    """
    info = load_dataset(folder)
    faults: list[str] = []
    groups: dict[str, str] = {}
    total = sum(shard.bytes for split in info.splits.values() for shard in split.shards)
    done = 0
    for split, contents in info.splits.items():
        before, counts = len(faults), {name: 0 for name in info.class_names}
        for shard in contents.shards:
            path = Path(folder) / shard.file
            faults += _verify_shard(path, shard, info, split, groups, counts)
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
            found = _record_faults(payload, info, split, groups, counts)
            faults += [f"{path}: record {number}: {fault}" for fault in found]
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
        if 0 <= record["label"] < len(info.class_names):
            counts[info.class_names[record["label"]]] += 1
        else:
            yield f"label: expected 0 to {len(info.class_names) - 1}, received {record['label']}"
    other = groups.setdefault(record["group"], split)
    if other != split and info.grouped:
        yield f"group {record['group']}: expected it in {other} only, received it in {split}"


def file_crc32c(path: Path) -> str:
    """CRC-32C of a file, as eight hex digits."""
    checksum = google_crc32c.Checksum()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            checksum.update(block)
    return checksum.hexdigest().decode()
