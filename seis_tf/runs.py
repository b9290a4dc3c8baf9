"""`train`: a data set and a job -> a run folder, and a run folder back as a model.

A run holds `model.keras`, `config.json` (job, data set, versions), `history.csv`, `checkpoints/` and TensorBoard logs
in `logs/`. Training that was interrupted goes on from the last checkpoint and ends with the same weights.
"""

from __future__ import annotations

import csv
import importlib.metadata
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from pydantic import ValidationError

from seis_tf import tasks
from seis_tf.dataset.shards import DatasetInfo, load_dataset
from seis_tf.files import checksum, rows_as_csv, write_atomically, write_json
from seis_tf.models.layers import StackMembers
from seis_tf.settings.base import Settings, first_error, flat
from seis_tf.settings.training import TrainJob
from seis_tf.training.finite import NotFiniteError
from seis_tf.training.loop import Fit, check, fit
from seis_tf.training.progress import Progress

RUN_VERSION = 1
_CHECKPOINT_SECONDS = 5.0  # a kill costs at most that much and one epoch


class RunConfig(Settings):
    """`config.json` of a run."""

    run_version: int = RUN_VERSION
    job: TrainJob
    dataset: str  # its folder, seen from the run's folder
    info: DatasetInfo
    versions: dict[str, str]
    imported: str | None = None  # where the weights come from, if they were not trained here


@dataclass
class Run:
    """A finished run."""

    folder: Path
    config: RunConfig
    model: keras.Model
    history: list[list[dict[str, float]]]

    @property
    def members(self) -> int:
        """Models of the ensemble; 1 for a single model."""
        return self.config.job.training.members

    @property
    def parameters(self) -> int:
        """Trained weights of one member."""
        return sum(v.value.shape.num_elements() for v in self.model.trainable_variables) // self.members

    def check_task(self, task: str) -> None:
        """Refuses a run of another task.

        Raises:
            ValueError: names both.
        """
        if self.config.info.task != task:
            raise ValueError(f"{self.folder}: expected a run of task {task}, received one of {self.config.info.task}")

    def predict(self, inputs: list[np.ndarray], batch_size: int = 256) -> np.ndarray:
        """Outputs of every member [member, record, ...]."""
        outputs = self.model.predict(inputs if len(inputs) > 1 else inputs[0], batch_size=batch_size, verbose=0)
        return outputs.swapaxes(0, 1) if self.members > 1 else outputs[None]


def train(
    dataset: Path | str,
    job: TrainJob,
    out: Path | str,
    *,
    resume: bool = False,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> Run:
    """Trains one model, or an ensemble, and writes the run folder.

    Args:
        dataset: the data set's folder; its test split is not opened.
        job: model and training settings.
        out: the run folder; must be empty, unless `resume`.
        resume: go on with an interrupted run of the same job and data.
        on_epoch: called with the progress after each epoch.

    Returns:
        The finished run.

    Raises:
        ValueError: `out` is taken, a resumed run is of another job or data, or the loss or a weight is not finite.
        KeyboardInterrupt: after the last checkpoint was written.
    """
    out = Path(out)
    info = load_dataset(Path(dataset))
    config = _config(tasks.possible_job(job, info), info, dataset, out)
    job = config.job
    progress = _look_into(out, config, resume)
    if (out / "model.keras").is_file():
        return load_run(out)
    inputs = tasks.fit_inputs(job, dataset)
    models = [tasks.build(job.model, config.info, seed=member.seed, l2=job.training.l2) for member in inputs.members]
    check(models, inputs, job.training)
    # Nothing is written for a job that can't be trained.
    out.mkdir(parents=True, exist_ok=True)
    _write_config(out, config)
    checkpoint = _Checkpoint(out, on_epoch)
    try:
        done = fit(models, inputs, job.training, progress=progress, on_epoch=checkpoint)
    except KeyboardInterrupt:
        checkpoint.save()
        raise
    except NotFiniteError as error:
        raise ValueError(f"{out}: {error.message(tasks.record_names(dataset, error.rows))}") from error
    finally:
        checkpoint.writer.close()
    _finish(out, models, done)
    return load_run(out)


def keep_imported(
    model: keras.Model, job: TrainJob, dataset: Path | str, out: Path, imported: str, row: dict[str, float]
) -> Run:
    """A run folder for weights that were trained elsewhere.

    Args:
        model: with its weights.
        job: the model's settings; of training, only what later stages ask for.
        dataset: whose task, orders and window the model has.
        out: the folder; must be empty.
        imported: where the weights come from, in words.
        row: of the history, epoch 0.

    Raises:
        ValueError: `out` is taken.
    """
    config = _config(job, load_dataset(Path(dataset)), dataset, out, imported)
    _look_into(out, config, resume=False)
    (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    _write_config(out, config)
    _write_history(out / "history.csv", [[row]])
    write_json(out / "checkpoints" / "best.json", {"best_epoch": [0], "kept": "last", "seconds": {}})
    _save_model(out / "model.keras", model)
    return load_run(out)


def load_run(folder: Path | str) -> Run:
    """Reads a finished run.

    Raises:
        ValueError: there is none, it is not finished, this version can't read it, or its settings or its data set are
            not those of its weights.
    """
    folder = Path(folder)
    config = _load_config(folder)
    if not (folder / "model.keras").is_file():
        raise ValueError(f"{folder}: expected a finished run, received one without model.keras; use --resume")
    run = Run(folder, config, keras.models.load_model(folder / "model.keras", compile=False), [])
    _check_weights(run)
    run.history = _read_history(folder / "history.csv")
    return run


def _check_weights(run: Run) -> None:
    """Refuses weights that another architecture, other classes, sources or shapes would have."""
    job, info, where = run.config.job, run.config.info, f"{run.folder}: model.keras"
    built = tasks.build(job.model, info)
    members = len([layer for layer in run.model.layers if layer.name.startswith("member_")]) or 1
    if members != run.members:
        raise ValueError(f"{where}: expected {run.members} members as config.json says, received {members}")
    pairs = {
        "outputs": (built.output_shape[-1], run.model.output_shape[-1]),
        "inputs": ([i.shape[1:] for i in built.inputs], [i.shape[1:] for i in run.model.inputs]),
        "weights": ([tuple(w.shape) for w in built.weights], [tuple(w.shape) for w in single_model(run).weights]),
    }
    for what, (expected, received) in pairs.items():
        if expected != received:
            names = info.class_names or info.source_names
            raise ValueError(
                f"{where}: {what}: expected {expected} for a {job.model.kind} of config.json's settings and "
                f"{len(names)} {'classes' if info.class_names else 'sources'}, received {received}"
            )


def dataset_of(run: Run, named: Path | str | None = None) -> Path:
    """The folder of the data set that a run was trained on.

    Args:
        run: the run.
        named: where it is, for a run from whose folder it is not found.

    Raises:
        ValueError: it is not there; names the option that says where.
    """
    folder = find_dataset(run, named)
    if folder is not None:
        return folder
    raise ValueError(
        f"{run.folder}: expected its data set {run.config.info.fingerprint[:12]} in {run.config.dataset} or beside the "
        "run, received none with this content and these settings; say where it is with --dataset"
    )


def find_dataset(run: Run, named: Path | str | None = None) -> Path | None:
    """As `dataset_of`, with None where it is not found.

    Looked for where the run says (older runs say it from the folder that training was started in), then among the
    neighbours of the run's folder and of the folder above it.

    Raises:
        ValueError: `named` is another data set or none.
    """
    if named is not None:
        info, own = load_dataset(Path(named)), run.config.info
        if not is_same(info, own):
            raise ValueError(
                f"{named}: expected data set {own.fingerprint[:12]} that {run.folder} was trained on, with its "
                f"settings, received {info.fingerprint[:12]}{' with others' if info.job != own.job else ''}"
            )
        return Path(named)
    above = run.folder.resolve().parents[:2]
    near = [path.parent for parent in above for path in sorted(parent.glob("*/dataset.json"))]
    for folder in (run.folder / run.config.dataset, Path(run.config.dataset), *near):
        if not (folder / "dataset.json").is_file():
            continue
        try:
            info = load_dataset(folder)
        except ValueError:
            continue  # a neighbour that is damaged or of another version is not the one that is looked for
        if is_same(info, run.config.info):
            return folder.resolve()
    return None


def is_same(info: DatasetInfo, other: DatasetInfo) -> bool:
    """Whether two data sets hold the same records in the same way, wherever they lie."""
    return info.fingerprint == other.fingerprint and info.job == other.job


def versions() -> dict[str, str]:
    """Versions of what decides the result."""
    names = ("seis_tf", "tensorflow", "keras", "numpy", "scipy")
    return {name: importlib.metadata.version(name) for name in names}


def single_model(run: Run, member: int = 0) -> keras.Model:
    """One member of the run as a model of its own."""
    return run.model.get_layer(f"member_{member}") if run.members > 1 else run.model


def _config(job: TrainJob, info: DatasetInfo, dataset: Path | str, out: Path, imported: str | None = None) -> RunConfig:
    place = os.path.relpath(Path(dataset).resolve(), out.resolve())
    return RunConfig(job=job, dataset=place, info=info, versions=versions(), imported=imported)


def _look_into(out: Path, config: RunConfig, resume: bool) -> Progress | None:
    """The checkpoint of an interrupted run of the same job; None where the folder is new or has none yet."""
    if not (out / "config.json").is_file():
        others = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
        if others:
            raise ValueError(f"{out}: expected an empty folder, received one with {others[0]}")
        return None
    if not resume:
        raise ValueError(f"{out}: expected an empty folder, received a run; go on with it with --resume")
    before = _load_config(out)
    if before.job != config.job:
        raise ValueError(f"{out}: expected the job of the run, received another: {_difference(before.job, config.job)}")
    if not is_same(before.info, config.info):
        raise ValueError(
            f"{out}: expected data set {before.dataset} {before.info.fingerprint[:12]}, "
            f"received {config.dataset} {config.info.fingerprint[:12]}"
        )
    path = out / "checkpoints" / "last.npz"
    return Progress.load(path) if path.is_file() else None


def _write_config(folder: Path, config: RunConfig) -> None:
    """The settings of a run; what they say of the data set has a checksum, for weights mean nothing without it."""
    tree = config.model_dump(mode="json")
    tree["info"]["checksum"] = checksum(tree["info"])
    write_json(folder / "config.json", tree)


def _load_config(folder: Path) -> RunConfig:
    path = folder / "config.json"
    try:
        tree = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected a run, received {err}") from err
    version = tree.get("run_version") if isinstance(tree, dict) else None
    if version != RUN_VERSION:
        raise ValueError(f"{path}: expected run version {RUN_VERSION}, received {version}; train it again")
    info = tree.get("info")
    # Runs from before it was written have none.
    stored = info.pop("checksum", None) if isinstance(info, dict) else None
    if stored is not None and stored != checksum(info):
        raise ValueError(
            f"{path}: info: expected the data set as it was trained on, received a changed one (classes, order, rate "
            "and units belong to the weights); restore the file, or take out info.checksum if you changed it on purpose"
        )
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as err:
        raise ValueError(f"{path}: {first_error(err)}") from err


def _difference(before: Settings, now: Settings) -> str:
    old, new = (flat(settings.model_dump(mode="json")) for settings in (before, now))
    changed = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return "; ".join(f"{key} was {old.get(key)}, is {new.get(key)}" for key in changed)


class _Checkpoint:
    """Called after each epoch: writes history, checkpoint and TensorBoard's scalars now and then."""

    def __init__(self, out: Path, on_epoch: Callable[[Progress], None]):
        self.out, self.on_epoch = out, on_epoch
        self.progress: Progress | None = None
        self.saved = time.monotonic()
        self.writer = tf.summary.create_file_writer(str(out / "logs"))
        (out / "checkpoints").mkdir(exist_ok=True)

    def __call__(self, progress: Progress) -> None:
        # A copy: an interruption may come when the next epoch has changed a part of it.
        self.progress = replace(progress, history=[list(rows) for rows in progress.history])
        last = [history[-1] for history in progress.history]
        with self.writer.as_default(step=progress.epoch):
            for name in last[0].keys() - {"epoch"}:
                tf.summary.scalar(name, float(np.mean([row[name] for row in last])))
        if time.monotonic() - self.saved > _CHECKPOINT_SECONDS:
            self.save()
        self.on_epoch(progress)

    def save(self) -> None:
        """Writes the checkpoint and the history."""
        if self.progress is None:
            return
        self.progress.save(self.out / "checkpoints" / "last.npz")
        _write_history(self.out / "history.csv", self.progress.history)
        self.saved = time.monotonic()


def _finish(out: Path, models: list[keras.Model], done: Fit) -> None:
    members = [done.stack.assign(model, done.state, k) for k, model in enumerate(models)]
    last = [done.stack.assign(keras.models.clone_model(m), done.progress.state, k) for k, m in enumerate(models)]
    _write_history(out / "history.csv", done.progress.history)
    best = [int(epoch) for epoch in done.progress.best_epoch]
    write_json(out / "checkpoints" / "best.json", {"best_epoch": best, "kept": done.keep, "seconds": done.seconds})
    _save_model(out / "checkpoints" / "last.keras", ensemble(last))
    _save_model(out / "model.keras", ensemble(members))  # last: it is what says that the run is finished
    (out / "checkpoints" / "last.npz").unlink(missing_ok=True)


def ensemble(members: list[keras.Model]) -> keras.Model:
    """One model, or a model that gives the outputs of all members [batch, member, ...]."""
    if len(members) == 1:
        return members[0]
    for k, member in enumerate(members):
        member.name = f"member_{k}"
    inputs = [keras.Input(i.shape[1:], name=i.name) for i in members[0].inputs]
    fed = inputs if len(inputs) > 1 else inputs[0]
    outputs = StackMembers(name=members[0].output_names[0])([member(fed) for member in members])
    return keras.Model(fed, outputs, name="ensemble")


def _save_model(path: Path, model: keras.Model) -> None:
    temporary = path.with_name(f".{path.name}.tmp.keras")
    model.save(temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def _write_history(path: Path, history: list[list[dict[str, float]]]) -> None:
    rows = [{"member": k, **row} for k, member in enumerate(history) for row in member]
    write_atomically(path, rows_as_csv(rows).encode())


def _read_history(path: Path) -> list[list[dict[str, float]]]:
    members: dict[int, list[dict[str, float]]] = {}
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            values = {key: float(value) for key, value in row.items()}
            members.setdefault(int(values.pop("member")), []).append(values)
    return [members[k] for k in sorted(members)]
