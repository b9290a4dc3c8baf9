"""TensorFlow Serving's files beside the models: which versions are loaded, under which labels, and how.

`models.config` alone stores the labels `stable`, `canary` and `previous` (what `stable` was before) and the versions
that have one. Versions without a label are on disk but not loaded. A server that polls the file follows a rewrite
without a restart.
"""

from __future__ import annotations

from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from seis_tf.files import write_atomically
from seis_tf.serve.export.warmup import BATCH_SIZES

CONFIG = "models.config"
STABLE, CANARY, PREVIOUS = "stable", "canary", "previous"
# Where the models are for TensorFlow Serving: the container's mount.
MOUNT = "/models"

_MOST_BATCHES = 128
_MOST_RECORDS = _MOST_BATCHES * BATCH_SIZES[-1]
_BATCHING = f"""\
# Single requests that come within 2 ms are answered as one batch. A larger request is answered in parts of
# {BATCH_SIZES[-1]} records; one of more than {_MOST_RECORDS} is refused, since no more parts than that can wait.
max_batch_size {{ value: {_MOST_RECORDS} }}
enable_large_batch_splitting {{ value: true }}
max_execution_batch_size {{ value: {BATCH_SIZES[-1]} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: {_MOST_BATCHES} }}
num_batch_threads {{ value: 4 }}
{chr(10).join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)}
# Never reached: TensorFlow Serving asks for max_batch_size as the last one.
allowed_batch_sizes: {_MOST_RECORDS}
"""

# What exports wrote before: TensorFlow Serving refuses requests of more than 32 records under it.
_EARLIER_BATCHING = f"""\
# Single requests that come within 2 ms are answered as one batch.
max_batch_size {{ value: {BATCH_SIZES[-1]} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 128 }}
num_batch_threads {{ value: 4 }}
{chr(10).join(f"allowed_batch_sizes: {size}" for size in BATCH_SIZES)}
"""

_MONITORING = """\
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""

_COMPOSE = """\
# TensorFlow Serving for the models in this folder: docker compose up
# REST is at http://127.0.0.1:8501, gRPC at 127.0.0.1:8500. The same without compose, from this folder:
#
#   docker run --rm --read-only --tmpfs /tmp -p 127.0.0.1:8500:8500 -p 127.0.0.1:8501:8501 \\
#     -v "$PWD:/models:ro" tensorflow/serving:latest \\
#     {joined}
#
# Ask for /labels/stable: a request without a label goes to the highest loaded version, which may be the canary.
services:
  serving:
    image: tensorflow/serving:${{TF_SERVING_TAG:-latest}}
    command:
{listed}
    ports: ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    # The folder and not the file: a file that is replaced would stay the old one in the container.
    volumes: [".:/models:ro"]
    read_only: true
    tmpfs: [/tmp]
    restart: unless-stopped
    healthcheck:
      test: ["CMD", "bash", "-c", "</dev/tcp/127.0.0.1/8501"]
      interval: 10s
"""

_FLAGS = (
    f"--model_config_file={MOUNT}/{CONFIG}",
    "--model_config_file_poll_wait_seconds=10",
    "--allow_version_labels_for_unavailable_models=true",
    "--enable_batching=true",
    f"--batching_parameters_file={MOUNT}/batching.config",
    f"--monitoring_config_file={MOUNT}/monitoring.config",
    "--rest_api_timeout_in_ms=30000",
)


def server_files() -> dict[str, str]:
    """Name to content of the files that a server needs and that no export changes."""
    compose = _COMPOSE.format(joined=" \\\n#     ".join(_FLAGS), listed="\n".join(f"      - {flag}" for flag in _FLAGS))
    return {"batching.config": _BATCHING, "monitoring.config": _MONITORING, "compose.yaml": compose}


def write_server_files(models: Path) -> None:
    """Writes those of `server_files` that are missing or as an earlier export wrote them; edited files stay."""
    for name, content in server_files().items():
        if not (models / name).is_file() or (models / name).read_text() == _EARLIER_BATCHING:
            write_atomically(models / name, content.encode())


def labels_of(models: Path, name: str) -> dict[str, int]:
    """Label to version of one model; empty where it has none.

    Raises:
        ValueError: `models.config` is no server configuration.
    """
    entry = _entry(_read(Path(models)), name)
    return dict(entry.version_labels) if entry is not None else {}


def check_label(label: str | None) -> None:
    """Refuses a label that an export can't get.

    Raises:
        ValueError: it is neither stable nor canary.
    """
    if label not in (None, STABLE, CANARY):
        raise ValueError(f"label: expected {STABLE} or {CANARY}, received {label!r}")


def publish(models: Path, name: str, version: int, label: str | None = None) -> dict[str, int]:
    """Gives a version a label; by default it becomes `stable`, and what was stable is `previous`.

    Returns:
        The model's labels now.

    Raises:
        ValueError: another label, or no such version.
    """
    check_label(label)
    labels = labels_of(models, name)
    if label == CANARY:
        labels[CANARY] = version
    else:
        labels = _with_stable(labels, version)
    return _write(models, name, labels)


def promote(models: Path, name: str) -> dict[str, int]:
    """The canary becomes stable; what was stable becomes `previous` and stays loaded.

    Raises:
        ValueError: there is no canary.
    """
    labels = labels_of(models, name)
    if CANARY not in labels:
        raise ValueError(f"{Path(models) / CONFIG}: {name}: expected a canary to promote, received labels {labels}")
    return _write(models, name, _with_stable(labels, labels.pop(CANARY)))


def rollback(models: Path, name: str) -> dict[str, int]:
    """`stable` goes back to the version that it was before; the version that it leaves has no label any more.

    Raises:
        ValueError: no version was stable before.
    """
    labels = labels_of(models, name)
    if PREVIOUS not in labels:
        raise ValueError(f"{Path(models) / CONFIG}: {name}: expected a previous version, received labels {labels}")
    return _write(models, name, labels | {STABLE: labels.pop(PREVIOUS)})


def withdraw(models: Path, name: str) -> dict[str, int]:
    """Takes the canary's label away.

    Raises:
        ValueError: there is none.
    """
    labels = labels_of(models, name)
    if labels.pop(CANARY, None) is None:
        raise ValueError(f"{Path(models) / CONFIG}: {name}: expected a canary, received labels {labels}")
    return _write(models, name, labels)


def _with_stable(labels: dict[str, int], version: int) -> dict[str, int]:
    before = labels.get(STABLE)
    changed = labels | {STABLE: version}
    return changed if before in (None, version) else changed | {PREVIOUS: before}


def _read(models: Path) -> model_server_config_pb2.ModelServerConfig:
    path = models / CONFIG
    if not path.is_file():
        return model_server_config_pb2.ModelServerConfig()
    try:
        return text_format.Parse(path.read_text(), model_server_config_pb2.ModelServerConfig())
    except (text_format.ParseError, UnicodeDecodeError) as err:
        raise ValueError(f"{path}: expected a ModelServerConfig as text, received {err}") from err


def _entry(config: model_server_config_pb2.ModelServerConfig, name: str) -> model_server_config_pb2.ModelConfig | None:
    return next((entry for entry in config.model_config_list.config if entry.name == name), None)


def _write(models: Path, name: str, labels: dict[str, int]) -> dict[str, int]:
    models = Path(models)
    for label, version in labels.items():
        if not (models / name / str(version) / "saved_model.pb").is_file():
            raise ValueError(f"{models / name}: expected version {version} for label {label}, received none there")
    config = _read(models)
    entry = _entry(config, name)
    if entry is None:
        entry = config.model_config_list.config.add(name=name, base_path=f"{MOUNT}/{name}")
    entry.model_platform = "tensorflow"
    entry.ClearField("model_version_policy")
    entry.model_version_policy.specific.versions.extend(sorted(set(labels.values())))
    entry.version_labels.clear()
    for label, version in labels.items():
        entry.version_labels[label] = version
    write_atomically(models / CONFIG, text_format.MessageToString(config).encode())
    return labels
