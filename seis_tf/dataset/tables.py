"""A data set in memory: arrays of all records with their groups, and which rows each split has.

Training, k-fold, learning curves and search work on such a table; a fold is a list of rows and costs no copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf.dataset import shards
from seis_tf.dataset.dataset_info import DatasetInfo, check_filled


@dataclass
class Table:
    """Records of some splits, one after the other.

    Attributes:
        info: of the data set.
        columns: feature name to array [record, ...].
        rows: split name to the rows it has.
    """

    info: DatasetInfo
    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows.values())


def load(folder: Path | str, splits: Sequence[str], features: Sequence[str], *, filled: bool = False) -> Table:
    """Reads splits into memory; nothing of any other split is opened.

    Args:
        folder: the data set.
        splits: in the order that the rows are to have.
        features: names; those that the data set lacks are left out.
        filled: whether each of the splits must hold records.

    Raises:
        ValueError: no such data set; a shard is damaged; none of the features is there; a split holds no records.
    """
    info = shards.open_dataset(folder)
    if filled:
        check_filled(folder, info, splits)
    names = [name for name in features if info.has(name)]
    if not names:
        received = [feature.name for feature in info.features]
        raise ValueError(f"{folder}: expected one of the features {list(features)}, received {received}")
    bounds = np.cumsum([0] + [info.splits[split].records for split in splits])
    rows = {split: np.arange(bounds[i], bounds[i + 1]) for i, split in enumerate(splits)}
    return Table(info, shards.load_arrays(Path(folder), info, splits, names), rows)
