"""A run's `calibration.json` -> temperature and intervals, fitted on validation records, for the exported graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seis_tf.evaluation.stats import calibration
from seis_tf.evaluation.stats.intervals import Intervals
from seis_tf.settings.base import first_error

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Calibration(BaseModel):
    """The entries that an export uses; others are for the report.

    Attributes:
        temperature: log probabilities are divided by it.
        intervals: of a DART run's answers, as they were fitted at the end of `train`; None where they could not be.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    temperature: Positive = 1.0
    intervals: Intervals | None = None


def read_calibration(run_folder: Path) -> Calibration:
    """The run's calibration; without one temperature 1 and no intervals.

    Raises:
        ValueError: the file is no calibration.
    """
    try:
        return Calibration.model_validate(calibration.read_calibration(run_folder))
    except ValidationError as err:
        raise ValueError(f"{run_folder / calibration.FILE}: {first_error(err)}") from err
