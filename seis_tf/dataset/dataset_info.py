"""`dataset.json`: all that a reader must know of a data set, written last and with a checksum of itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from seis_tf.dataset.examples import Feature
from seis_tf.files import checksum, write_json
from seis_tf.settings.base import Settings, first_error
from seis_tf.settings.data import DartJob, WaveformJob

FORMAT_VERSION = 1
Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")
_JOBS: dict[str, type[WaveformJob | DartJob]] = {"waveforms": WaveformJob, "dart": DartJob}


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
    split_rule: str = ""
    grouped: bool = True
    simulated: bool = False
    fingerprint: str

    @model_validator(mode="before")
    @classmethod
    def _job_is_complete(cls, tree: Any) -> Any:
        """Settings that came after a data set was made: as it was made then, so that two jobs can be compared."""
        if not isinstance(tree, dict) or tree.get("task") not in _JOBS or not isinstance(tree.get("job"), dict):
            return tree
        job = dict(tree["job"])
        if "split" in job:
            job["split"] = {"method": "hash"} | job["split"]
        if tree["task"] == "dart" and isinstance(job.get("record"), dict):
            job["record"] = {"quality": None} | job["record"]
        try:
            return tree | {"job": _JOBS[tree["task"]].model_validate(job).model_dump(mode="json")}
        except ValidationError as err:
            raise ValueError(f"job: {first_error(err)}") from err

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


def load_dataset(folder: Path) -> DatasetInfo:
    """Reads `dataset.json`.

    Raises:
        ValueError: there is none (the data set is not finished), it was changed since it was written, or this version
            can't read it.
    """
    path = Path(folder) / "dataset.json"
    tree = read_tree(path)
    if fault := changed(tree):
        raise ValueError(
            f"{path}: {fault}; if you changed it on purpose: seis-tf verify {folder} --accept-changes; "
            "else restore the file or prepare the data set anew"
        )
    return info_of(path, tree)


def write_info(folder: Path, info: DatasetInfo) -> None:
    """Writes `dataset.json`, with a checksum of itself."""
    tree = info.model_dump(mode="json")
    write_json(Path(folder) / "dataset.json", tree | {"checksum": checksum(tree)})


def accept_changes(folder: Path) -> None:
    """Writes a `dataset.json` that was changed on purpose with the checksum that it has now.

    Raises:
        ValueError: there is none, or this version can't read it.
    """
    path = Path(folder) / "dataset.json"
    tree = read_tree(path)
    info_of(path, tree)
    write_json(path, tree | {"checksum": checksum(tree)})


def read_tree(path: Path) -> dict[str, Any]:
    """The content of a `dataset.json`, unchecked but for its version."""
    try:
        tree = json.loads(path.read_text())
    except FileNotFoundError as err:
        raise ValueError(f"{path}: expected a finished data set, received no dataset.json") from err
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected JSON, received {err}") from err
    version = tree.get("format_version") if isinstance(tree, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(f"{path}: expected format version {FORMAT_VERSION}, received {version}; prepare it again")
    return tree


def changed(tree: dict[str, Any]) -> str:
    """What is wrong with the tree's own checksum; "" where it is right, or there is none, as before it was written."""
    stored = tree.get("checksum")
    if stored is None or stored == (received := checksum(tree)):
        return ""
    return f"expected the content that was written (checksum {str(stored)[:12]}), received another ({received[:12]})"


def info_of(path: Path, tree: dict[str, Any]) -> DatasetInfo:
    """The content of a `dataset.json` as it is used."""
    try:
        return DatasetInfo.model_validate({key: value for key, value in tree.items() if key != "checksum"})
    except ValidationError as err:
        raise ValueError(f"{path}: {first_error(err)}") from err


def check_filled(folder: Path | str, info: DatasetInfo, splits: Sequence[str]) -> None:
    """Refuses a data set that has no records in one of these splits.

    Raises:
        ValueError: names the split, how the data set was split, and the option.
    """
    for split in splits:
        if not info.splits[split].records:
            held = "/".join(str(info.splits[s].records) for s in SPLITS)
            option = "without --all-to" if split == "train" else f"with --{split}-fraction above 0 and without --all-to"
            other = "; evaluate RUN --data OTHER judges on another data set" if split == "test" else ""
            raise ValueError(
                f"{folder}: expected records in split {split}, received none ({'/'.join(SPLITS)}: {held}); "
                f"prepare the data set {option}{other}"
            )
