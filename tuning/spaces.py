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
from typing import Any

import keras_tuner as kt
from pydantic import TypeAdapter, ValidationError

from seis_tf.settings.base import first_error, merge
from seis_tf.settings.networks import network_settings
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.spaces import Choice, Parameter, Real, Space, Widths
from seis_tf.settings.training import TrainJob


def space_of(model: str, path: Path | None = None, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Space:
    """The space of a model, changed by a file.

    Args:
        model: a kind of network.
        path: TOML or JSON: parameter to a table like `{kind = "real", low = 1e-4, high = 1e-2, log = true}`, to a plain
            value that fixes it, or to the word "default" that takes it out of the search.
        shapes: of the data set's features by name; some sizes follow from them.

    Raises:
        ValueError: no such model; the file has an unknown parameter or a table that is no parameter.
    """
    space = network_settings(model).space_for(shapes or {})
    for name, wanted in _read(path).items():
        if wanted == "default":
            space.pop(name, None)
            continue
        space[name] = _parameter(f"{path}: {name}", wanted)
    defaults = job_of(model, {}, {}, {})
    for name in space:
        _check_place(f"{path or 'space'}: {name}", name, defaults)
    return space


def declare(
    space: Space, hyperparameters: kt.HyperParameters | None = None, defaults: Mapping[str, Any] | None = None
) -> kt.HyperParameters:
    """The space in KerasTuner's terms.

    Args:
        space: parameters of a job.
        hyperparameters: set that they are added to; a parameter that it has already stays as it is there.
        defaults: dotted name to the value that a parameter has while it is not searched. KerasTuner's own default (the
            smallest or first value) where none is given, or one that the parameter can't take.

    Returns:
        The set, a new one where none was given.
    """
    hyperparameters = kt.HyperParameters() if hyperparameters is None else hyperparameters
    for name, parameter in space.items():
        default = (defaults or {}).get(name)
        if isinstance(parameter, Real):
            fits = default is not None and parameter.low <= default <= parameter.high
            sampling = "log" if parameter.log else "linear"
            hyperparameters.Float(
                name, parameter.low, parameter.high, sampling=sampling, default=default if fits else None
            )
        elif isinstance(parameter, Choice):
            _choice(hyperparameters, name, parameter.values, default)
        else:
            fewest, most = parameter.layers
            widths = list(default or ())
            hyperparameters.Int(f"{name}.layers", fewest, most, default=min(max(len(widths), fewest), most))
            for i in range(most):
                with hyperparameters.conditional_scope(f"{name}.layers", list(range(max(i + 1, fewest), most + 1))):
                    _choice(hyperparameters, f"{name}.{i}", parameter.values, widths[i] if i < len(widths) else None)
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


def job_of(model: str, space: Space, values: Mapping[str, Any] | kt.HyperParameters, base: dict[str, Any]) -> TrainJob:
    """The job of a trial.

    Args:
        model: which.
        space: its parameters.
        values: of the trial, by KerasTuner's names.
        base: settings that are not searched, as a tree.

    Raises:
        ValueError: the values are no job.
    """
    tree = preset_tree(model, None)
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


def _choice(hyperparameters: kt.HyperParameters, name: str, values: tuple, default: Any) -> None:
    if len(values) == 1:
        hyperparameters.Fixed(name, values[0])
    else:
        hyperparameters.Choice(name, list(values), default=default if default in values else None)


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
