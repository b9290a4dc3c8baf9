"""The folder of an exported model -> its version, loaded, as functions of arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from seis_tf.serve.export.export import EXTRA, versions
from seis_tf.serve.export.labels import STABLE, labels_of

BATCH = 256


Answer = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """A version of a model, loaded.

    Attributes:
        folder: of the version.
        metadata: its `metadata.json`.
        loaded: what `tf.saved_model.load` gave.
    """

    folder: Path
    metadata: dict[str, Any]
    loaded: Any

    def ask(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for any number of records, in batches."""
        count = len(next(iter(inputs.values())))
        parts = []
        for first in range(0, count, BATCH):
            batch = {name: tf.constant(values[first : first + BATCH]) for name, values in inputs.items()}
            parts.append(self.loaded.signatures[signature](**batch))
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]} if parts else {}


def load_model(model: Path | str) -> Exported:
    """Loads a version: that of the folder, or of MODELS/NAME the stable one (the latest, where there are no labels).

    Raises:
        ValueError: there is no exported model.
    """
    folder = Path(model)
    if not (folder / "saved_model.pb").is_file():
        published = versions(folder)
        if not published:
            raise ValueError(f"{model}: expected an exported model, received a folder without versions")
        # Resolved, because a path may end in ".": parent and name are then not what they look like.
        folder = folder.resolve()
        folder = folder / str(labels_of(folder.parent, folder.name).get(STABLE, published[-1]))
    path = folder / EXTRA / "metadata.json"
    try:
        metadata = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected the metadata of an exported model, received {err}") from err
    return Exported(folder, metadata, tf.saved_model.load(str(folder)))
