"""Every setting of a job as a typed, validated object, and its JSON beside the artifact that it made.

Each stage takes one of these objects and nothing else that steers it. They are frozen (a stage can't change what will
be saved beside its result), refuse unknown keys, and name the key, the expected and the received value when one is
wrong.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Units = Annotated[int, Field(gt=0)]
# A part of file names: without underscore, which separates the fields there.
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class OptionError(ValueError):
    """An option of the command line has a value that can't be: wrong usage, and nothing that a file is at fault for."""


SettingsType = TypeVar("SettingsType", bound=Settings)


def load_settings(
    kind: type[SettingsType], path: Path | None, overrides: dict[str, Any], base: dict[str, Any] | None = None
) -> SettingsType:
    """Settings from a JSON file, with the options given on the command line laid over it.

    Args:
        kind: the class of the settings.
        path: a JSON file, or None for the defaults.
        overrides: dotted key to value, e.g. `{"record.length_samples": 1024}`; None values are skipped.
        base: what the file is laid over.

    Raises:
        ValueError: the file is no JSON, a key is unknown, or a value is out of range; names file, key and value.
        OptionError: the value is one of `overrides`; names the option, which is called as the key's last part.
    """
    tree: dict[str, Any] = copy.deepcopy(base or {})
    merge(tree, load_tree(path))
    for key, value in overrides.items():
        if value is None:
            continue
        for part in reversed(key.split(".")):
            value = {part: value}
        merge(tree, value)
    try:
        return kind.model_validate(tree)
    except ValidationError as err:
        where = [str(part) for part in err.errors()[0]["loc"]]
        given = [key for key, value in overrides.items() if value is not None]
        at_fault = next((key for key in given if _concerns(where, key.split("."))), None)
        if at_fault is None:
            raise ValueError(f"{path or 'options'}: {first_error(err)}") from err
        option = at_fault.rpartition(".")[2].replace("_", "-")
        raise OptionError(f"--{option}: {first_error(err)}") from err


def _concerns(where: list[str], key: list[str]) -> bool:
    """Whether an error's place is that of a key, inside it, or a group of settings that the key is in."""
    places = iter(where)  # may name the kind of a model between: model, mlp, hidden, 0
    return all(part in places for part in key) or key[: len(where)] == where


def load_tree(path: Path | None) -> dict[str, Any]:
    """A JSON file of settings as it is, before any check; nothing for None.

    Raises:
        ValueError: the file is no JSON object.
    """
    if path is None:
        return {}
    try:
        tree = json.loads(Path(path).read_text())
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected a JSON object of settings, received {err}") from err
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a JSON object of settings, received {type(tree).__name__}")
    return cast(dict[str, Any], tree)


def first_error(err: ValidationError) -> str:
    """The first thing that pydantic found wrong, as one line "key: expected ..., received ..."."""
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":  # of a validator here: its text names both values
        inner = first.get("ctx", {}).get("error", first["msg"])
        if isinstance(inner, ValidationError):  # of settings inside these whose class depends on their kind
            return f"{where}.{first_error(inner)}"
        return ": ".join(filter(None, (where, str(inner))))
    if first["type"] == "missing":  # what was received is all that stands beside it
        return f"{where}: {first['msg']}"
    return f"{where}: {first['msg']}, received {first['input']!r}"


def merge(tree: dict[str, Any], over: dict[str, Any]) -> None:
    """Lays one tree of settings over another."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge(tree[key], cast(dict[str, Any], value))
        else:
            tree[key] = value


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of settings as dotted key to value."""
    dotted: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            dotted |= flat(cast(dict[str, Any], value), f"{prefix}{key}.")
        else:
            dotted[f"{prefix}{key}"] = value
    return dotted
