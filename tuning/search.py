"""`seis-tf tune`: a KerasTuner search over the models and the training loop of `seis_tf`; it can be resumed.

SEARCH/search.json holds what the search is (space, data, code, objective); a resume that differs is refused with the
difference. SEARCH/oracle/ is KerasTuner's state, SEARCH/stands/ the trials' checkpoints, SEARCH/trials.csv, best.json
and report.html the answer. The objective is a validation score; nothing here opens the test split.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import keras_tuner as kt

from seis_tf import tasks
from seis_tf.dataset.shards import load_dataset
from seis_tf.files import write_json
from seis_tf.settings.base import load_settings, load_tree, merge
from seis_tf.settings.networks import network_settings
from seis_tf.settings.presets import preset_tree
from seis_tf.training.progress import Progress
from seis_tf.tuning import oracles, spaces
from seis_tf.tuning.record import check_same, record_of
from seis_tf.tuning.results import check_failures, too_many_failed, write_results
from seis_tf.tuning.settings import SearchSettings
from seis_tf.tuning.trials import Outcome, Trainer, TrialJob

_CHECKPOINT_SECONDS = 5.0


class OracleLike(Protocol):
    """What a search asks of an oracle: KerasTuner's own, or its client at a worker."""

    def create_trial(self, tuner_id: str) -> Any:
        """The next trial of a worker; its status is RUNNING, IDLE (ask again) or STOPPED (there are no more)."""

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Any:
        """Reports scores of a trial after `step` epochs."""

    def end_trial(self, trial: Any) -> None:
        """Ends a trial, whose status is COMPLETED or FAILED."""


@dataclass(frozen=True)
class Status:
    """How far a search is: trials that ended, failed, are planned and running; the best score; the running epoch."""

    ended: int
    failed: int
    planned: int
    best: float | None
    running: int
    epoch: int


def settings_for(
    model: str, config: Path | None, *, preset: str | None = None, objective: str | None = None, **options: Any
) -> SearchSettings:
    """Settings of a search from a command's options.

    Args:
        model: which.
        config: JSON of the job's settings that are not searched.
        preset: the same by a name of `presets.PRESETS`; `config` is laid over it.
        objective: by default the loss of a classifier, and the slip's mean squared error of a DART network.
        options: further fields of `SearchSettings`.

    Raises:
        ValueError: a value out of range.
    """
    base = preset_tree(model, preset) if preset else {}
    merge(base, load_tree(config))
    if objective is None:
        objective = tasks.TASKS[network_settings(model).task].objective
    return load_settings(SearchSettings, None, {"model": model, "base": base, "objective": objective, **options})


def warnings_for(dataset: Path | str, settings: SearchSettings, space_file: Path | None) -> list[str]:
    """What a person should know before the search starts."""
    points = spaces.size(space_for(dataset, settings, space_file))
    if points < settings.trials and settings.tuner != "hyperband":
        return [f"the space has {points:.0f} points, fewer than {settings.trials} trials: the search will end early"]
    return []


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
        on_status: called with how far it is.

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
    dataset: Path | str,
    out: Path,
    settings: SearchSettings,
    space_file: Path | None,
    overwrite: bool,
    *,
    with_workers: bool = False,
) -> tuple[spaces.Space, kt.Oracle]:
    """Makes the folder, or sees that it is of this search and takes up its state.

    Args:
        dataset: the data set's folder.
        out: SEARCH.
        settings: of the search.
        space_file: changes of the model's space.
        overwrite: throw away what is in `out`.
        with_workers: see `oracles.reload`.

    Raises:
        ValueError: the stored search differs; says in what.
    """
    space = space_for(dataset, settings, space_file)
    record = record_of(dataset, settings, space)
    path = out / "search.json"
    if overwrite and path.is_file():
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    stored = path.is_file()
    if stored:
        check_same(dataset, out, settings, space)
    elif any(out.iterdir()):
        raise ValueError(f"{out}: expected an empty folder or a search, received another")
    oracle = oracles.make(
        settings.tuner, spaces.declare(space), settings.objective, settings.trials, settings.epochs, settings.seed
    )
    oracles.place(oracle, out / "oracle")
    if (out / "oracle" / "oracle.json").is_file():
        oracles.reload(oracle, with_workers=with_workers)
    (out / "trials.csv").unlink(missing_ok=True)  # results are there when the search has ended
    if not stored:
        write_json(path, record)
    return space, oracle


def space_for(dataset: Path | str, settings: SearchSettings, space_file: Path | None) -> spaces.Space:
    """The space of a search on a data set; the same at chief and workers.

    Raises:
        ValueError: a space that can't be, or an objective that is not computed or can't be compared between trials.
    """
    info = load_dataset(Path(dataset))
    shapes = {feature.name: feature.shape for feature in info.features}
    space = spaces.space_of(settings.model, space_file, shapes)
    example = spaces.job_of(settings.model, {}, {}, settings.base)
    known = ["val_loss", *(f"val_{name}" for name in tasks.task_of(example.model).metrics)]
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
    """Asks for trials, trains those of one architecture together, reports; the same alone and as a worker.

    Its eight arguments are what differs between the two (oracle, name, time, report) beside what `open_search` takes.
    """

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
        self.trainer = Trainer(
            Path(dataset), example, settings.folds, settings.executions, settings.objective, out,
            settings.max_parameters,
        )  # fmt: skip
        self.at_once = settings.asked_at_once(alone=isinstance(oracle, kt.Oracle))
        self.saved = time.monotonic()

    def run(self) -> None:
        """Until the oracle has no more trials, the time is up, or too many have failed."""
        while not self._failing():
            trials, stopped = self._ask()
            if trials:
                self._train(trials)
            elif stopped or self._late():
                return
            else:
                time.sleep(0.5)  # the oracle waits for trials of other workers

    def _failing(self) -> bool:
        return isinstance(self.oracle, kt.Oracle) and too_many_failed(oracles.ended(self.oracle), self.settings.trials)

    def _ask(self) -> tuple[list[Any], bool]:
        if self._late():
            return [], True
        trials, stopped = [], False
        for i in range(self.at_once):
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
        jobs = []
        for trial in trials:
            try:
                jobs.append(self._job(trial))
            except ValueError as err:
                self._end(waiting.pop(trial.trial_id), Outcome(failure=str(err)))
        for group in self.trainer.groups(jobs):
            if self._late() or self._failing():
                return  # those that were not begun stay the oracle's to be run when the search goes on
            for trial_id, outcome in self.trainer.run(group, self._on_epoch).items():
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
        self._report(0, outcome.epochs)

    def _on_epoch(self, group: Sequence[TrialJob], progress: Progress) -> None:
        if time.monotonic() - self.saved > _CHECKPOINT_SECONDS:
            self.trainer.save_checkpoint(group, progress)
            self.saved = time.monotonic()
        self._report(len(group), progress.epoch)

    def _report(self, running: int, epoch: int) -> None:
        if isinstance(self.oracle, kt.Oracle):  # a worker's progress is the chief's to report
            self.on_status(status_of(self.oracle, self.settings, running, epoch))

    def _late(self) -> bool:
        return self.until is not None and time.monotonic() > self.until
