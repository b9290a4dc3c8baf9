"""One shard to write, and what encoding its items gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


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
    """One shard to write: its place, its items and how they become examples.

    Attributes:
        path: of the file.
        split: that it belongs to.
        items: what is encoded, each with a `record_id`.
        encode: items -> examples.
        source: fingerprint of the items' own files, where they have some.
        job: hash of all that decides the shard's content; `write_dataset` sets it.
    """

    path: Path
    split: str
    items: Sequence[Any]
    encode: Encoder
    source: str | None = None
    job: str = ""
