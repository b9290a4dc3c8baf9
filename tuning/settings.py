"""All settings of a search but the data."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from seis_tf.config import Settings


class SearchSettings(Settings):
    """All of a search but the data."""

    model: Literal["mlp", "cnn", "conv1d", "slip_mlp"]
    tuner: Literal["random", "bayesian", "hyperband"] = "random"
    trials: int = Field(20, gt=0)
    epochs: int = Field(30, gt=0, description="of a trial; hyperband's longest")
    objective: str = "val_loss"
    folds: int = Field(0, ge=0, description="grouped folds that score a trial; 0 scores on the valid split")
    executions: int = Field(1, gt=0, description="seeds that a trial is trained with")
    seed: int = Field(0, ge=0)
    together: int = Field(8, gt=0, description="trials asked for at once")
    base: dict[str, Any] = Field({}, description="settings of the job that are not searched")
