"""What the summaries of all shards say together: copies, counts, normalisation, and whether the splits are right."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seis_tf.dataset.dataset_info import ShardInfo, SplitInfo
from seis_tf.dataset.splits import check_classes
from seis_tf.settings.data import SplitSettings

if TYPE_CHECKING:
    from seis_tf.dataset.shard_task import ShardTask


def find_duplicates(summaries: list[dict[str, Any]]) -> tuple[list[list[str]], dict[str, str]]:
    """Records with the same samples: those of one class (reported), and hashes found under several (to be rejected)."""
    seen: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for summary in summaries:
        for record_id, label, content in zip(summary["record_ids"], summary["labels"], summary["hashes"], strict=True):
            if content:
                seen[content].append((record_id, label))
    several = {content: copied for content, copied in seen.items() if len(copied) > 1}
    copies = {
        content: ", ".join(record_id for record_id, _ in copied)
        for content, copied in several.items()
        if len({label for _, label in copied}) > 1
    }
    same_class = [
        [record_id for record_id, _ in copied] for content, copied in several.items() if content not in copies
    ]
    return sorted(same_class), copies


def split_info(
    split: str, tasks: list[ShardTask], summaries: list[dict[str, Any]], class_names: Sequence[str]
) -> SplitInfo:
    """What `dataset.json` says of one split: groups, records, records of each class, shards.

    Args:
        split: "train", "valid" or "test".
        tasks: all shards of the data set.
        summaries: of each shard, in the same order.
        class_names: in the order of the labels; none where there are no classes.
    """
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


def check_splits(
    splits: dict[str, SplitInfo],
    tasks: list[ShardTask],
    summaries: list[dict[str, Any]],
    header: dict[str, Any],
    settings: SplitSettings,
) -> None:
    """Refuses splits that share a group, lack a class, or hold nothing where they should hold records.

    Args:
        splits: as `split_info` gives them.
        tasks: all shards of the data set.
        summaries: of each shard, in the same order.
        header: what `dataset.json` says beside: `class_names`, and `grouped` where a group must stay in one split.
        settings: which splits are to hold records.

    Raises:
        ValueError: says what is wrong, and the option that helps.
    """
    names = header.get("class_names", ())
    where: dict[str, str] = {}
    groups: dict[str, dict[str, set[str]]] = {name: defaultdict(set) for name in names}
    for task, summary in zip(tasks, summaries, strict=True):
        for group, label in zip(summary["groups"], summary["labels"], strict=True):
            if where.setdefault(group, task.split) != task.split and header.get("grouped", True):
                raise ValueError(
                    f"group {group}: expected it in one split, received it in {where[group]} and {task.split}"
                )
            if names:
                groups[names[label]][task.split].add(group)
    counted = {name: {split: len(ids) for split, ids in by.items()} for name, by in groups.items()}
    check_classes({split: info.class_counts for split, info in splits.items()}, names, counted, settings)
    for split in settings.fractions:
        if not splits[split].records:
            raise ValueError(
                f"split {split}: expected records, received none; try --split stratified, another --seed or other "
                "fractions (0 leaves a split empty)"
            )


def normalisation(tasks: list[ShardTask], summaries: list[dict[str, Any]]) -> dict[str, list[float]]:
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


def resumed_words(summaries: list[dict[str, Any]]) -> str:
    """What was taken from an earlier run, and what was tried again."""
    cached = [summary["cached"] for summary in summaries if "cached" in summary]
    if not cached:
        return ""
    tried, good = (sum(part[key] for part in cached) for key in ("tried", "good"))
    kept = sum(not part["good"] for part in cached)
    words = f"{kept} of {len(summaries)} shards were finished by an earlier run and are taken as they are"
    if tried:
        words += f"; the {tried} records that it rejected were tried again: {good} are good now"
    return words
