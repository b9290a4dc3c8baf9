"""Base of metrics and results of studies: typed objects whose JSON is `metrics.json`, `comparison.json` and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from pydantic import BaseModel, ConfigDict, ValidationError

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
            first = err.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"metrics.json: {where}: {first['msg']}; run seis-tf evaluate RUN again") from err

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
