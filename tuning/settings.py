"""All settings of a search but the data."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from seis_tf.settings.base import Settings
from seis_tf.settings.networks import network_settings


def _known(kind: str) -> str:
    network_settings(kind)
    return kind


class SearchSettings(Settings):
    """All of a search but the data."""

    model: Annotated[str, AfterValidator(_known)]
    tuner: Literal["random", "bayesian", "hyperband"] = "random"
    trials: int = Field(default=20, gt=0)
    epochs: int = Field(default=30, gt=0, description="of a trial; hyperband's longest")
    objective: str = "val_loss"
    folds: int = Field(default=0, ge=0, description="grouped folds that score a trial; 0 scores on the valid split")
    executions: int = Field(default=1, gt=0, description="seeds that a trial is trained with")
    seed: int = Field(default=0, ge=0)
    together: int | None = Field(
        default=None, gt=0, description="trials asked for at once; by default as the tuner allows"
    )
    max_parameters: int = Field(default=50_000_000, gt=0, description="a larger network is a failed trial")
    base: dict[str, Any] = Field(default={}, description="settings of the job that are not searched")

    def asked_at_once(self, *, alone: bool) -> int:
        """How many trials one process asks for; the more, the larger the stacks.

        A Bayesian search learns from each trial that has ended, the others draw whatever the scores; workers share.
        """
        if self.together is not None:
            return self.together
        if not alone:
            return 4
        return 8 if self.tuner == "bayesian" else 32
