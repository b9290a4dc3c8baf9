"""What is searched: for each model a table from settings of a job to the values that they may take.

A parameter's name is its place in `TrainJob` ("model.hidden", "training.learning_rate"), so a space can only hold what
the models and the training loop really have, and a trial's values are a job that `train --config` takes.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import keras_tuner as kt
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from seis_tf.settings.base import Settings, first_error, merge
from seis_tf.settings.presets import DEFAULTS
from seis_tf.settings.training import TrainJob


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

_TRAINING: Space = {
    "training.learning_rate": Real(low=1e-4, high=1e-2, log=True),
    "training.optimizer": Choice(values=("adam", "sgd")),
    "training.l2": Real(low=1e-7, high=1e-2, log=True),
    "training.batch_size": Choice(values=(20, 32, 64, 128)),
    "model.dropout": Real(low=0.0, high=0.6),
}
SPACES: dict[str, Space] = {
    "mlp": {
        "model.hidden": Widths(layers=(1, 2), values=(2, 10, 20, 50, 100)),
        "model.activation": Choice(values=("relu", "silu", "tanh")),
        **_TRAINING,
    },
    "cnn": {
        "model.filters": Widths(layers=(2, 4), values=(8, 16, 32)),
        "model.kernel": Choice(values=(3, 5)),
        "model.dense": Choice(values=(0, 20, 50)),
        "model.activation": Choice(values=("relu", "silu")),
        **_TRAINING,
    },
    # Both published channel patterns, 20-20-40-40-80 and 15-15-30-30-60, are points of this space.
    "conv1d": {
        "model.widths": Widths(layers=(1, 8), values=(15, 20, 30, 40, 60, 80)),
        "model.dense": Choice(values=(20, 40, 80, 160)),
        "model.activation": Choice(values=("leaky_relu", "relu", "silu", "gelu")),
        "training.loss.wave_weight": Real(low=0.1, high=100.0, log=True),
        **_TRAINING,
    },
    "slip_mlp": {
        "model.hidden": Widths(layers=(1, 3), values=(64, 128, 256, 512)),
        "model.activation": Choice(values=("relu", "silu", "gelu")),
        "training.loss.wave_weight": Real(low=0.1, high=100.0, log=True),
        **_TRAINING,
    },
}


def space_of(model: str, path: Path | None = None, window_min: int | None = None) -> Space:
    """The space of a model, changed by a file.

    Args:
        model: "mlp", "cnn", "conv1d" or "slip_mlp".
        path: TOML or JSON: parameter to a table like `{kind = "real", low = 1e-4, high = 1e-2, log = true}`, to a plain
            value that fixes it, or to the word "default" that takes it out of the search.
        window_min: for conv1d: the number of stages follows from it.

    Raises:
        ValueError: no such model; the file has an unknown parameter or a table that is no parameter.
    """
    if model not in SPACES:
        raise ValueError(f"model: expected one of {list(SPACES)}, received {model!r}")
    space = dict(SPACES[model])
    if model == "conv1d" and window_min is not None:
        stages = int(math.log2(window_min))
        space["model.widths"] = space["model.widths"].model_copy(update={"layers": (stages, stages)})
    for name, wanted in _read(path).items():
        if wanted == "default":
            space.pop(name, None)
            continue
        space[name] = _parameter(f"{path}: {name}", wanted)
    defaults = job_of(model, {}, {}, {})
    for name in space:
        _check_place(f"{path or 'space'}: {name}", name, defaults)
    return space


def declare(space: Space) -> kt.HyperParameters:
    """The space in KerasTuner's terms."""
    hyperparameters = kt.HyperParameters()
    for name, parameter in space.items():
        if isinstance(parameter, Real):
            hyperparameters.Float(name, parameter.low, parameter.high, sampling="log" if parameter.log else "linear")
        elif isinstance(parameter, Choice):
            _choice(hyperparameters, name, parameter.values)
        else:
            fewest, most = parameter.layers
            hyperparameters.Int(f"{name}.layers", fewest, most)
            for i in range(most):
                with hyperparameters.conditional_scope(f"{name}.layers", list(range(max(i + 1, fewest), most + 1))):
                    _choice(hyperparameters, f"{name}.{i}", parameter.values)
    return hyperparameters


def size(space: Space) -> float:
    """How many different points there are; infinite where a parameter is a real number."""
    total = 1.0
    for parameter in space.values():
        if isinstance(parameter, Real):
            return math.inf
        if isinstance(parameter, Choice):
            total *= len(parameter.values)
        else:
            fewest, most = parameter.layers
            total *= sum(len(parameter.values) ** n for n in range(fewest, most + 1))
    return total


def job_of(model: str, space: Space, values: Mapping[str, Any], base: dict[str, Any]) -> TrainJob:
    """The job of a trial.

    Args:
        model: which.
        space: its parameters.
        values: of the trial, by KerasTuner's names.
        base: settings that are not searched, as a tree.

    Raises:
        ValueError: the values are no job.
    """
    tree = json.loads(json.dumps(DEFAULTS[model]))
    merge(tree, base)
    for name, parameter in space.items():
        if isinstance(parameter, Widths):
            value: Any = [values[f"{name}.{i}"] for i in range(values[f"{name}.layers"])]
        else:
            value = values[name]
        for part in reversed(name.split(".")):
            value = {part: value}
        merge(tree, value)
    try:
        return TrainJob.model_validate(tree)
    except ValidationError as err:
        raise ValueError(f"trial: {first_error(err)}") from err


def _choice(hyperparameters: kt.HyperParameters, name: str, values: tuple) -> None:
    if len(values) == 1:
        hyperparameters.Fixed(name, values[0])
    else:
        hyperparameters.Choice(name, list(values))


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        text = Path(path).read_text()
        tree = tomllib.loads(text) if Path(path).suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected a TOML or JSON file of parameters, received {err}") from err
    return _named(tree)


def _named(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names; a table with a `kind` is a parameter, any other is a part of the name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and "kind" not in value:
            found |= _named(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _parameter(where: str, wanted: Any) -> Parameter:
    if not isinstance(wanted, dict):
        if isinstance(wanted, list):
            return (
                Widths(layers=(len(wanted), len(wanted)), values=tuple(wanted))
                if len(set(wanted)) == 1
                else _fixed(where)
            )
        return Choice(values=(wanted,))
    try:
        return TypeAdapter(Parameter).validate_python(wanted)
    except ValidationError as err:
        raise ValueError(f"{where}: {first_error(err)}") from err


def _fixed(where: str) -> Parameter:
    raise ValueError(
        f'{where}: expected a table with a kind, a plain value or "default", received a list; '
        "give fixed layer widths with --config and take the parameter out of the search"
    )


def _check_place(where: str, name: str, defaults: TrainJob) -> None:
    tree: Any = defaults.model_dump()
    for part in name.split("."):
        if not isinstance(tree, dict) or part not in tree:
            known = sorted(set(tree)) if isinstance(tree, dict) else []
            raise ValueError(f"{where}: expected a setting of the job ({', '.join(known)}), received {part!r}")
        tree = tree[part]
