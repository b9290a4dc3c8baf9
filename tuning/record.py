"""`search.json`: what a search is, so that it is not taken up again as another one."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
from pathlib import Path
from typing import Any

from seis_tf import __version__
from seis_tf.dataset.shards import load_dataset
from seis_tf.settings.base import Settings
from seis_tf.tuning import spaces
from seis_tf.tuning.settings import SearchSettings


class SearchRecord(Settings):
    """`search.json`: what a resumed search, and each worker, must agree with."""

    settings: SearchSettings
    space: dict[str, Any]
    data: dict[str, Any]
    code: dict[str, str]


def check_same(dataset: Path | str, out: Path, settings: SearchSettings, space: spaces.Space) -> None:
    """Refuses to go on with a search that is another one.

    Raises:
        ValueError: there is no search in `out`, or it differs; says in what.
    """
    path, now = out / "search.json", _flat(record_of(dataset, settings, space).model_dump(mode="json"))
    try:
        before = _flat(SearchRecord.model_validate(json.loads(path.read_text())).model_dump(mode="json"))
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected a search, received {err}; use --overwrite") from err
    changed = [
        f"{key} was {before.get(key)}, is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise ValueError(f"{path}: expected the stored search, received another: {'; '.join(changed)}; use --overwrite")


def record_of(dataset: Path | str, settings: SearchSettings, space: spaces.Space) -> SearchRecord:
    """The record of a search that starts now."""
    info = load_dataset(Path(dataset))
    return SearchRecord(
        settings=settings,
        space={name: parameter.model_dump(mode="json") for name, parameter in space.items()},
        data={"fingerprint": info.fingerprint, "job": info.job},
        code={name: importlib.metadata.version(name) for name in ("tensorflow", "keras", "keras-tuner")}
        | {"seis_tf": f"{__version__} {_digest()}"},
    )


def _digest() -> str:
    """Of the sources that decide a trial's score: the version number says nothing of a change in between."""
    paths = sources_of("seis_tf.tuning.trials", "seis_tf.tuning.oracles")
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def sources_of(*modules: str) -> list[Path]:
    """The files of this package that modules import, directly or through others; theirs too. Sorted by module."""
    files: dict[str, Path] = {}
    ahead = list(modules)
    while ahead:
        name = ahead.pop()
        if not name.startswith("seis_tf.") or name in files:
            continue
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:  # the name of something in a module, not of a module
            spec = None
        if spec is None or spec.origin is None:
            continue
        files[name] = Path(spec.origin)
        for node in ast.walk(ast.parse(files[name].read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module:
                ahead += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [files[name] for name in sorted(files)]


def _flat(tree: dict[str, Any]) -> dict[str, Any]:
    """Dotted names; parameters of the space stay whole."""
    flat = {f"{part}.{key}": value for part, values in tree.items() for key, value in values.items()}
    job = flat.pop("data.job", {})
    return flat | {f"data.job.{key}": value for key, value in job.items()}
