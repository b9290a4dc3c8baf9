"""A classifier's answers on records, with all that the scores and the report need."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf.dataset.dataset_info import DatasetInfo
from seis_tf.evaluation.stats import calibration
from seis_tf.evaluation.waveforms.trivial import Predictor
from seis_tf.runs import Run


@dataclass(frozen=True)
class Judged:
    """A run and what it answered.

    Attributes:
        run: the run.
        info: of the data set that it is judged on.
        dataset: that data set's folder, as it was named.
        columns: feature name to [record, ...]; spectrograms not standardised.
        rows: part ("train", "valid", "test"; or "all" of another data set) to its records.
        members: probabilities of each member before scaling [member, record, class].
        temperature: that the mean over members is scaled with.
        predictors: trivial ones, fitted on the run's training records; none where those are not at hand.
        seen_groups: events of another data set that are also among the run's training events; None where not known.
    """

    run: Run
    info: DatasetInfo
    dataset: Path
    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    members: np.ndarray
    temperature: float
    predictors: list[Predictor]
    seen_groups: int | None

    @property
    def main(self) -> str:
        """The part that counts."""
        return "all" if "all" in self.rows else "test"

    @property
    def unscaled(self) -> np.ndarray:
        """Mean probabilities over members, as the model gives them [record, class]."""
        return self.members.mean(axis=0, dtype=np.float64)

    @property
    def probabilities(self) -> np.ndarray:
        """The same after temperature scaling: what an export answers."""
        return calibration.with_temperature(self.unscaled, self.temperature)
