"""What a search varies: a table from settings of a job, by their dotted names, to the values that they may take."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from seis_tf.settings.base import Settings


class Real(Settings):
    """A number between two bounds."""

    kind: Literal["real"] = "real"
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Real:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError(f"expected low < high (low > 0 with log), received {self.low} and {self.high}")
        return self


class Choice(Settings):
    """One of some values; a single value fixes the parameter."""

    kind: Literal["choice"] = "choice"
    values: tuple[int | float | str | bool, ...] = Field(min_length=1)


class Widths(Settings):
    """A list of layer widths: how many, and each one of some values."""

    kind: Literal["widths"] = "widths"
    layers: tuple[int, int] = Field(description="fewest and most")
    values: tuple[int, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _ordered(self) -> Widths:
        if not 1 <= self.layers[0] <= self.layers[1]:
            raise ValueError(f"layers: expected 1 <= fewest <= most, received {self.layers}")
        return self


Parameter = Annotated[Real | Choice | Widths, Field(discriminator="kind")]
Space = dict[str, Parameter]

# What is searched for every kind of network, beside its own sizes.
TRAINING_SPACE: Space = {
    "training.learning_rate": Real(low=1e-4, high=1e-2, log=True),
    "training.optimizer": Choice(values=("adam", "sgd")),
    "training.l2": Real(low=1e-7, high=1e-2, log=True),
    "training.batch_size": Choice(values=(20, 32, 64, 128)),
    "model.dropout": Real(low=0.0, high=0.6),
}
