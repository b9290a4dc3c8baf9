"""The progress of a training: state, best state so far and history; written to and read from a checkpoint."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seis_tf.files import write_atomically
from seis_tf.training.state import StackState


@dataclass
class Progress:
    """All that a checkpoint must hold.

    Attributes:
        state: after the last epoch.
        best: after each member's best epoch.
        best_value: [member], the monitored score of that epoch; negative where larger is better.
        best_epoch: int [member], counted from 1; 0 before the first.
        epoch: epochs that are done.
        history: a row of scores for each member and epoch.
    """

    state: StackState
    best: StackState
    best_value: np.ndarray
    best_epoch: np.ndarray
    epoch: int = 0
    history: list[list[dict[str, float]]] = field(default_factory=list)

    @property
    def members(self) -> int:
        """How many models."""
        return len(self.best_epoch)

    def part(self, members: Sequence[int]) -> Progress:
        """The progress of some of the members."""
        chosen = list(members)
        return Progress(
            self.state.part(chosen),
            self.best.part(chosen),
            self.best_value[chosen],
            self.best_epoch[chosen],
            self.epoch,
            [self.history[k] for k in chosen],
        )

    @classmethod
    def joined(cls, parts: Sequence[Progress]) -> Progress:
        """Members that have trained the same number of epochs, as one stack."""
        return cls(
            StackState.joined([p.state for p in parts]),
            StackState.joined([p.best for p in parts]),
            np.concatenate([p.best_value for p in parts]),
            np.concatenate([p.best_epoch for p in parts]),
            parts[0].epoch,
            [history for p in parts for history in p.history],
        )

    def save(self, path: Path) -> None:
        """Writes a checkpoint, atomically."""
        arrays = {f"state/{k}": v for k, v in self.state.arrays().items()}
        arrays |= {f"best/{k}": v for k, v in self.best.arrays().items()}
        arrays |= {"best_value": self.best_value, "best_epoch": self.best_epoch, "epoch": np.array(self.epoch)}
        arrays["history"] = np.frombuffer(json.dumps(self.history).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> Progress:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        history = json.loads(arrays["history"].tobytes())
        state, best = (
            StackState.from_arrays({k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{name}/")})
            for name in ("state", "best")
        )
        return cls(state, best, arrays["best_value"], arrays["best_epoch"], int(arrays["epoch"]), history)
