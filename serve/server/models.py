"""The models folder -> the versions that are served, which are loaded, replaced and removed while requests go on.

The folder is read as TensorFlow Serving reads it: MODELS/NAME/VERSION with integer versions; `models.config`, where
there is one, says which models and versions are served and which labels they have. Otherwise every model's latest
version is served.
"""

from __future__ import annotations

import logging
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2
from tensorflow_serving.config import model_server_config_pb2

from seis_tf.serve.server.errors import Refused, in_words
from seis_tf.serve.server.servable import Servable, load_servable

CONFIG = "models.config"
log = logging.getLogger(__name__)
State = get_model_status_pb2.ModelVersionStatus.State


# Name, size and time of each file of a version.
Files = frozenset[tuple[str, int, int]]


@dataclass(frozen=True)
class ModelConfig:
    """Which versions of one model are to be served, from which folder and under which labels."""

    folder: Path
    versions: list[int]
    labels: dict[str, int]


@dataclass(frozen=True)
class Status:
    """State of a version in TensorFlow Serving's terms; `code` and `message` are of the error that ended it."""

    state: str
    code: str = "OK"
    message: str = ""


@dataclass
class ModelStore:
    """The models that are served.

    `scan` is called by one thread at a time; everything else may be called meanwhile, because the tables that it reads
    are replaced as a whole.

    Attributes:
        folder: MODELS.
        prepare: called with a version that was loaded, before it gets requests.
    """

    folder: Path
    prepare: Callable[[Servable], None] = lambda servable: None
    _served: dict[str, dict[int, Servable]] = field(default_factory=dict)
    _labels: dict[str, dict[str, int]] = field(default_factory=dict)
    _status: dict[str, dict[int, Status]] = field(default_factory=dict)
    _failed: dict[Path, Files] = field(default_factory=dict)

    def scan(self) -> list[Servable]:
        """Reads the folder and loads new versions.

        Returns:
            Versions that get no more requests. Pass each to `unloaded` when its last request is answered.

        Raises:
            ValueError: `models.config` can't be read; what was served before still is.
        """
        configs = read_configs(self.folder)
        served: dict[str, dict[int, Servable]] = {}
        for name, model in configs.items():
            before = self._served.get(name, {})
            now = {version: before[version] for version in model.versions if version in before}
            for version in model.versions:
                if version not in now and (loaded := self._load(name, version, model.folder / str(version))):
                    now[version] = loaded
            # Earlier versions stay in service until one of the new ones could be loaded.
            served[name] = now or before
        gone = [
            servable
            for name, versions in self._served.items()
            for version, servable in versions.items()
            if version not in served.get(name, {})
        ]
        self._labels = {name: model.labels for name, model in configs.items()}
        self._served = served
        for servable in gone:
            self._note(servable.name, servable.version, Status("UNLOADING"))
        return gone

    def unloaded(self, servable: Servable) -> None:
        """Notes that a version is unloaded; the caller must not keep a reference to it."""
        self._note(servable.name, servable.version, Status("END"))
        log.info("unloaded %s version %d", servable.name, servable.version)

    def serves(self, name: str) -> bool:
        """Whether any version of a model answers."""
        return bool(self._served.get(name))

    def names(self) -> list[str]:
        """Models with a version that answers."""
        return sorted(name for name, versions in self._served.items() if versions)

    def labels(self, name: str) -> dict[str, int]:
        """Labels of a model and their versions."""
        return dict(self._labels.get(name, {}))

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """The version that answers a request.

        Args:
            name: of the model.
            version: a number; None or 0 for the highest that is loaded.
            label: a name for a version.

        Raises:
            Refused: NOT_FOUND for a model or version, INVALID_ARGUMENT for a label, as TensorFlow Serving.
        """
        versions = self._served.get(name, {})
        if label:
            version = self.version_of_label(name, label)
        if version and version not in versions:
            raise Refused("NOT_FOUND", f"Servable not found for request: Specific({name}, {version})")
        if not versions:
            raise Refused("NOT_FOUND", f"Servable not found for request: Latest({name})")
        return versions[version or max(versions)]

    def version_of_label(self, name: str, label: str) -> int:
        """The version that has a label.

        Raises:
            Refused: INVALID_ARGUMENT, there is no such label.
        """
        version = self._labels.get(name, {}).get(label)
        if version is None:
            raise Refused("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return version

    def status(self, name: str, version: int | None = None, label: str | None = None) -> dict[int, Status]:
        """State of one version or, without one, of all that were ever there, the newest first.

        Raises:
            Refused: NOT_FOUND or INVALID_ARGUMENT, as `find`.
        """
        known = dict(self._status.get(name, {}))
        if label:
            version = self.version_of_label(name, label)
        if not known:
            raise Refused("NOT_FOUND", f"Could not find any versions of model {name}")
        if version and version not in known:
            raise Refused("NOT_FOUND", f"Could not find version {version} of model {name}")
        if version:
            return {version: known[version]}
        return dict(sorted(known.items(), reverse=True))

    def _load(self, name: str, version: int, folder: Path) -> Servable | None:
        """Loads a version; None where that fails. Loading is tried again when any of its files has changed."""
        if not (folder / "saved_model.pb").is_file():
            self._note(name, version, Status("END", "NOT_FOUND", f"{folder}: expected a SavedModel, received none"))
            return None
        try:
            files = _files(folder)
            if self._failed.get(folder) == files:
                return None
            self._failed[folder] = files
            self._note(name, version, Status("LOADING"))
            servable = load_servable(folder, name, version)
            self.prepare(servable)
        except Exception as err:  # a damaged or half-copied version must not end the loop that loads the others
            code, reason = "INVALID_ARGUMENT", str(err)
            if not isinstance(err, ValueError):
                code, reason = "INTERNAL", f"{folder}: expected a version that loads, received {in_words(err)}"
            self._note(name, version, Status("END", code, reason))
            log.error("could not load %s version %d: %s", name, version, reason)
            return None
        del self._failed[folder]
        self._note(name, version, Status("AVAILABLE"))
        return servable

    def _note(self, name: str, version: int, status: Status) -> None:
        self._status = self._status | {name: self._status.get(name, {}) | {version: status}}


def read_configs(models_folder: Path) -> dict[str, ModelConfig]:
    """Which versions of which models are to be served, by the model's name.

    Raises:
        ValueError: there is no such folder, it is another kind of folder, or `models.config` is not what TensorFlow
            Serving reads.
    """
    if not models_folder.is_dir():
        received = "a file" if models_folder.exists() else "none"
        raise ValueError(f"{models_folder}: expected a folder of models, received {received}")
    path = models_folder / CONFIG
    if path.is_file():
        return dict(_configured(models_folder, path))
    configs: dict[str, ModelConfig] = {}
    for folder in sorted(models_folder.iterdir()):
        if folder.name.startswith(".") or not folder.is_dir():
            continue
        if versions := versions_in(folder):
            configs[folder.name] = ModelConfig(folder, versions[-1:], {})
    if not configs and (other := _something_else(models_folder)):
        raise ValueError(f"{models_folder}: expected a folder of models (MODELS/NAME/VERSION), received {other}")
    return configs


def _something_else(folder: Path) -> str:
    """What a folder is instead of a folder of models, and what to do; "" where it may be one that is still empty."""
    whole = folder.resolve()
    if (folder / "saved_model.pb").is_file():
        return f"one version of a model; serve {whole.parent.parent}"
    if versions_in(folder):
        return f"the folder of one model; serve {whole.parent}"
    if (folder / "dataset.json").is_file():
        return "a data set; train a run on it, export the run and serve the folder of exports"
    if (folder / "model.keras").is_file():
        return f"a run; `seis-tf export {folder} MODELS`, then serve MODELS"
    return ""


def versions_in(folder: Path) -> list[int]:
    """The versions in a model's folder, ascending."""
    if not folder.is_dir():
        return []
    return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir())


def _files(folder: Path) -> Files:
    """Name, size and time of a version's files; they differ after a file was added, grew or was replaced.

    Raises:
        ValueError: there is a pipe or a device, from which reading could block.
    """
    files = []
    for path in folder.rglob("*"):
        about = path.stat()
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            raise ValueError(f"{path}: expected a file, received a pipe or a device")
        files.append((str(path), about.st_size, about.st_mtime_ns))
    return frozenset(files)


def _configured(models_folder: Path, path: Path) -> Iterator[tuple[str, ModelConfig]]:
    """The entries of `models.config`."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(path.read_text(), config)
    except (OSError, UnicodeDecodeError, text_format.ParseError) as err:
        raise ValueError(f"{path}: expected a ModelServerConfig in text form, received {err}") from err
    for model in config.model_config_list.config:
        # The path in the file is the one inside the container; here the model lies beside the file.
        folder = models_folder / Path(model.base_path or model.name).name
        available, policy = versions_in(folder), model.model_version_policy
        kind = policy.WhichOneof("policy_choice")
        if kind == "all":
            versions = available
        elif kind == "specific":
            versions = sorted(set(policy.specific.versions))
        else:
            versions = available[-max(policy.latest.num_versions, 1) :]
        yield model.name, ModelConfig(folder, versions, dict(model.version_labels))
