"""`seis-tf tune`: a KerasTuner search over the models and the training loop of `seis_tf`, resumable and honest.

SEARCH/search.json holds what the search is (space, data, code, objective); a resume that differs is refused with the
difference. SEARCH/oracle/ is KerasTuner's state, SEARCH/stands/ the trials' checkpoints, SEARCH/trials.csv, best.json
and report.html the answer. The objective is a validation score; nothing here opens the test split.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import keras_tuner as kt
from pydantic import Field

from seis_tf import __version__, jobs
from seis_tf.config import Settings, TrainJob, load_settings, load_tree, write_atomically, write_json
from seis_tf.progress import Progress
from seis_tf.shards import load_dataset
from seis_tf.tuning import oracles, spaces
from seis_tf.tuning.trials import Outcome, Trainer, TrialJob

_CHECKPOINT_SECONDS = 5.0


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


class SearchRecord(Settings):
    """`search.json`: what a resumed search must agree with."""

    settings: SearchSettings
    space: dict[str, Any]
    fingerprint: str
    code_version: str = __version__


class OracleLike(Protocol):
    """What a search asks of an oracle: KerasTuner's own, or its client at a worker."""

    def create_trial(self, tuner_id: str) -> Any: ...
    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any: ...
    def end_trial(self, trial: Any) -> None: ...


@dataclass(frozen=True)
class Status:
    """How far a search is, for whoever watches."""

    ended: int
    failed: int
    planned: int
    best: float | None
    running: int
    epoch: int


def settings_for(model: str, config: Path | None, *, objective: str | None = None, **options: Any) -> SearchSettings:
    """Settings of a search from a command's options.

    Args:
        model: which.
        config: JSON of the job's settings that are not searched.
        objective: by default the loss of a classifier, and the slip's mean squared error of a DART network.
        options: further fields of `SearchSettings`.

    Raises:
        ValueError: a value out of range.
    """
    base = load_tree(config)
    if objective is None:
        objective = "val_loss" if model in ("mlp", "cnn") else "val_mse"
    return load_settings(SearchSettings, None, {"model": model, "base": base, "objective": objective, **options})


def warnings_for(dataset: Path | str, settings: SearchSettings, space_file: Path | None) -> list[str]:
    """What a person should know before the search starts."""
    points = spaces.size(space_for(dataset, settings, space_file))
    if points < settings.trials and settings.tuner != "hyperband":
        return [f"the space has {points:.0f} points, fewer than {settings.trials} trials: the search will end early"]
    return []


def retrain(dataset: Path | str, out: Path) -> dict[str, Any]:
    """Trains the best job on the train split and judges it once on the test split, in SEARCH/best-run.

    Raises:
        ValueError: no trial was scored.
    """
    from seis_tf import evaluation, runs

    best = load_settings(TrainJob, Path(out) / "best.json", {})
    runs.train(dataset, best, Path(out) / "best-run", resume=(Path(out) / "best-run" / "config.json").is_file())
    return evaluation.evaluate(Path(out) / "best-run")


def search(
    dataset: Path | str,
    out: Path | str,
    settings: SearchSettings,
    *,
    space_file: Path | None = None,
    minutes: float | None = None,
    overwrite: bool = False,
    on_status: Callable[[Status], None] = lambda status: None,
) -> list[dict[str, Any]]:
    """Searches in this process, or takes up a search that was stopped.

    Args:
        dataset: the data set's folder.
        out: SEARCH.
        settings: of the search.
        space_file: changes of the model's space, see `spaces.space_of`.
        minutes: after which no new trial starts.
        overwrite: throw away what is in `out`.
        on_status: told how far it is.

    Returns:
        The trials, best first; also in trials.csv.

    Raises:
        ValueError: a resumed search differs from the stored one, or more than half of the trials failed.
    """
    out = Path(out)
    space, oracle = open_search(dataset, out, settings, space_file, overwrite)
    loop = Loop(dataset, out, settings, space, oracle, "tuner0", minutes, on_status)
    loop.run()
    rows = write_results(out, settings, space, oracle)
    check_failures(rows, out)
    return rows


def open_search(
    dataset: Path | str, out: Path, settings: SearchSettings, space_file: Path | None, overwrite: bool
) -> tuple[spaces.Space, kt.Oracle]:
    """Makes the folder, or sees that it is of this search and takes up its state.

    Raises:
        ValueError: the stored search differs; says in what.
    """
    space = space_for(dataset, settings, space_file)
    record = SearchRecord(
        settings=settings,
        space={name: parameter.model_dump(mode="json") for name, parameter in space.items()},
        fingerprint=load_dataset(Path(dataset)).fingerprint,
    )
    path = out / "search.json"
    if overwrite and path.is_file():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    stored = path.is_file()
    if stored:
        _check_same(path, record)
    elif any(out.iterdir()):
        raise ValueError(f"{out}: expected an empty folder or a search, received another")
    oracle = oracles.make(
        settings.tuner, spaces.declare(space), settings.objective, settings.trials, settings.epochs, settings.seed
    )
    oracle._set_project_dir(str(out), "oracle")
    if (out / "oracle" / "oracle.json").is_file():
        oracles.reload(oracle)
    if not stored:
        write_json(path, record)
    return space, oracle


def space_for(dataset: Path | str, settings: SearchSettings, space_file: Path | None) -> spaces.Space:
    """The space of a search on a data set; the same at chief and workers.

    Raises:
        ValueError: a space that can't be, or an objective that is not computed or can't be compared between trials.
    """
    info = load_dataset(Path(dataset))
    window = info.feature("water_level_m").shape[0] if info.task == "dart" else None
    space = spaces.space_of(settings.model, space_file, window)
    example = spaces.job_of(settings.model, {}, {}, settings.base)
    known = ["val_loss", *(f"val_{name}" for name in jobs.metrics_of(example.model))]
    if settings.objective not in known:
        raise ValueError(f"objective: expected one of {known}, received {settings.objective!r}")
    weights = [name for name in space if name.startswith("training.loss.")]
    if weights and settings.objective == "val_loss":
        raise ValueError(
            f"objective: expected one of {known[1:]} while {', '.join(weights)} is searched (a loss with other weights "
            "is another loss), received 'val_loss'"
        )
    return space


def status_of(oracle: kt.Oracle, settings: SearchSettings, running: int, epoch: int = 0) -> Status:
    """How far a search is."""
    done = oracles.ended(oracle)
    scores = [trial.score for trial in done if trial.score is not None]
    best = (min if oracle.objective.direction == "min" else max)(scores) if scores else None
    return Status(len(done), sum(trial.status == "FAILED" for trial in done), settings.trials, best, running, epoch)


class Loop:
    """Asks for trials, trains those of one architecture together, reports; the same alone and as a worker."""

    def __init__(
        self,
        dataset: Path | str,
        out: Path,
        settings: SearchSettings,
        space: spaces.Space,
        oracle: OracleLike,
        tuner_id: str,
        minutes: float | None,
        on_status: Callable[[Status], None],
    ):
        self.out, self.settings, self.space, self.oracle = out, settings, space, oracle
        self.tuner_id, self.on_status = tuner_id, on_status
        self.until = None if minutes is None else time.monotonic() + 60 * minutes
        example = spaces.job_of(settings.model, {}, {}, settings.base)
        self.trainer = Trainer(Path(dataset), example, settings.folds, settings.executions, settings.objective, out)
        self.saved = time.monotonic()

    def run(self) -> None:
        """Until the oracle has no more trials or the time is up."""
        while True:
            trials, stopped = self._ask()
            if trials:
                self._train(trials)
            elif stopped or self._late():
                return
            else:
                time.sleep(0.5)  # the oracle waits for trials of other workers

    def _ask(self) -> tuple[list[Any], bool]:
        if self._late():
            return [], True
        trials, stopped = [], False
        for i in range(self.settings.together):
            trial = self.oracle.create_trial(f"{self.tuner_id}-{i}")
            if trial.status == "STOPPED":
                stopped = True
                break
            if trial.status == "IDLE":
                break
            trials.append(trial)
        return trials, stopped

    def _train(self, trials: Sequence[Any]) -> None:
        waiting = {trial.trial_id: trial for trial in trials}
        jobs_by_id: dict[str, TrialJob] = {}
        for trial in trials:
            try:
                jobs_by_id[trial.trial_id] = self._job(trial)
            except ValueError as err:
                self._end(waiting.pop(trial.trial_id), Outcome(failure=str(err)))
        outcomes = self.trainer.run(list(jobs_by_id.values()), self._on_epoch)
        for trial_id, outcome in outcomes.items():
            self._end(waiting[trial_id], outcome)

    def _job(self, trial: Any) -> TrialJob:
        values = trial.hyperparameters.values
        job = spaces.job_of(self.settings.model, self.space, values, self.settings.base)
        epochs = int(values.get("tuner/epochs", self.settings.epochs))
        update = {"epochs": epochs, "seed": self.settings.seed}
        job = job.model_copy(update={"training": job.training.model_copy(update=update)})
        return TrialJob(trial.trial_id, job, values.get("tuner/trial_id"))

    def _end(self, trial: Any, outcome: Outcome) -> None:
        if outcome.failure is None:
            spread = {f"{name}_spread": value for name, value in outcome.spreads.items()}
            self.oracle.update_trial(trial.trial_id, outcome.scores | spread, step=outcome.epochs)
            trial.status = "COMPLETED"
        else:
            trial.status, trial.message = "FAILED", outcome.failure
        self.oracle.end_trial(trial)
        self._tell(0, outcome.epochs)

    def _on_epoch(self, group: Sequence[TrialJob], progress: Progress) -> None:
        if time.monotonic() - self.saved > _CHECKPOINT_SECONDS:
            self.trainer.save_stand(group, progress)
            self.saved = time.monotonic()
        self._tell(len(group), progress.epoch)

    def _tell(self, running: int, epoch: int) -> None:
        if isinstance(self.oracle, kt.Oracle):  # a worker's progress is the chief's to tell
            self.on_status(status_of(self.oracle, self.settings, running, epoch))

    def _late(self) -> bool:
        return self.until is not None and time.monotonic() > self.until


def write_results(out: Path, settings: SearchSettings, space: spaces.Space, oracle: kt.Oracle) -> list[dict[str, Any]]:
    """trials.csv and best.json (a job for `train --config`); returns the trials, best first."""
    rows = []
    for trial in oracles.ended(oracle):
        values = trial.hyperparameters.values
        row: dict[str, Any] = {"trial": trial.trial_id, "status": trial.status, "score": _number(trial.score)}
        row |= {name: _number(trial.metrics.get_best_value(name)) for name in sorted(trial.metrics.metrics)}
        row |= {name: value for name, value in values.items() if name in _names(space, values)}
        row |= {"epochs": int(values.get("tuner/epochs", settings.epochs)), "reason": trial.message or ""}
        rows.append(row)
    sign = 1 if oracle.objective.direction == "min" else -1
    rows.sort(key=lambda row: (row["score"] is None, sign * (row["score"] or 0), row["trial"]))
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(out / "trials.csv", text.getvalue().encode())
    best = best_job(settings, space, oracle)
    if best is not None:
        write_json(out / "best.json", best)
    return rows


def best_job(settings: SearchSettings, space: spaces.Space, oracle: kt.Oracle) -> TrainJob | None:
    """The job of the best trial, None where none was scored."""
    done = [trial for trial in oracles.ended(oracle) if trial.status == "COMPLETED"]
    if not done:
        return None
    best = (min if oracle.objective.direction == "min" else max)(done, key=lambda trial: trial.score)
    job = spaces.job_of(settings.model, space, best.hyperparameters.values, settings.base)
    update = {"epochs": settings.epochs, "seed": settings.seed, "monitor": settings.objective}
    return job.model_copy(update={"training": job.training.model_copy(update=update)})


def check_failures(rows: list[dict[str, Any]], out: Path) -> None:
    """Refuses a search of which more than half failed.

    Raises:
        ValueError: counts and the commonest reason.
    """
    failed = [row for row in rows if row["status"] == "FAILED"]
    if len(failed) * 2 > len(rows):
        reasons = [row["reason"] for row in failed]
        commonest = max(set(reasons), key=reasons.count)
        raise ValueError(
            f"{out}: expected at most half of the trials to fail, received {len(failed)} of {len(rows)}; "
            f"most often: {commonest}"
        )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _names(space: spaces.Space, values: dict[str, Any]) -> set[str]:
    names = set()
    for name, parameter in space.items():
        if isinstance(parameter, spaces.Widths):
            names |= {f"{name}.layers", *(f"{name}.{i}" for i in range(values.get(f"{name}.layers", 0)))}
        else:
            names.add(name)
    return names


def _check_same(path: Path, record: SearchRecord) -> None:
    try:
        before = SearchRecord.model_validate(json.loads(path.read_text())).model_dump(mode="json")
    except ValueError as err:
        raise ValueError(f"{path}: expected a search, received {err}; use --overwrite") from err
    now = record.model_dump(mode="json")
    changed = [
        f"{what}.{key} was {before[what].get(key)}, is {now[what].get(key)}"
        for what in ("settings", "space")
        for key in sorted(before[what].keys() | now[what].keys())
        if before[what].get(key) != now[what].get(key)
    ]
    changed += [
        f"{key} was {before[key]}, is {now[key]}" for key in ("fingerprint", "code_version") if before[key] != now[key]
    ]
    if changed:
        raise ValueError(f"{path}: expected the stored search, received another: {'; '.join(changed)}; use --overwrite")
