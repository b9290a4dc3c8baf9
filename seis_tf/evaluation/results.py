"""Base of metrics and results of studies: typed objects whose JSON is `metrics.json`, `comparison.json` and so on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from seis_tf.settings.base import first_error

if TYPE_CHECKING:
    from seis_tf.dataset.dataset_info import DatasetInfo
    from seis_tf.runs import Run

Interval = list[float]  # [low, high], 95 % over resampled events


class Result(BaseModel):
    """Base of all results: immutable; a file's keys are the attributes, in their order.

    An attribute with a default may be absent from a file: it was not computed there, is not written, and reads as its
    default. None in a file is a value that was computed and is not defined. Keys that this version does not know are
    ignored on reading, so that files of other versions load.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True, protected_namespaces=())

    @classmethod
    def read(cls, tree: Mapping[str, Any]) -> Self:
        """From the content of a run's file.

        Raises:
            ValueError: it is not what `evaluate` writes.
        """
        try:
            return cls.model_validate(tree)
        except ValidationError as err:
            raise ValueError(f"metrics.json: {first_error(err)}; run seis-tf evaluate RUN again") from err

    def tree(self) -> dict[str, Any]:
        """The JSON content."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Spread(Result):
    """A score over folds or seeds: mean, and standard deviation (n - 1; 0 of a single value)."""

    mean: float
    std: float


class StudyResult(Result):
    """Base of studies of one job; each declares `job`, the JSON of its `TrainJob`, where its file has it."""

    @property
    def model_kind(self) -> str:
        """Kind of the network, such as "mlp"."""
        job: dict[str, Any] = getattr(self, "job")  # noqa: B009
        return job["model"]["kind"]


class RunMetrics(Result):
    """How the metrics of every task begin: what was judged, on what.

    Attributes:
        task: name of the task.
        model: kind of the network.
        parameters: trained numbers of one network.
        members: networks of the ensemble.
        dataset: folder of the data set that was judged.
        fingerprint: of that data set.
        simulated: whether its records were made by a program.
    """

    task: str
    model: str
    parameters: int
    members: int
    dataset: str = ""  # absent from the metadata of an export
    fingerprint: str
    simulated: bool


def judged_on(run: Run, dataset: Path, info: DatasetInfo) -> dict[str, Any]:
    """The fields of `RunMetrics` for a run and the data set that it is judged by."""
    return {
        "task": info.task,
        "model": run.config.job.model.kind,
        "parameters": run.parameters,
        "members": run.members,
        "dataset": str(dataset),
        "fingerprint": info.fingerprint,
        "simulated": info.simulated,
    }


class Metrics(Protocol):
    """What the metrics of all tasks have in common."""

    @property
    def task(self) -> str:
        """Name of the task."""
        ...

    @property
    def main(self) -> str:
        """The part of the records that counts: "test", or "all" of another data set."""
        ...

    @property
    def calibration(self) -> str:
        """What the run's calibration was fitted on, in words; "" for none."""
        ...

    def tree(self) -> dict[str, Any]:
        """The content of `metrics.json`."""
        ...
