"""KerasTuner's oracles, mended for searches that may be killed, resumed and distributed.

The only module that reads or changes what KerasTuner does not document (`keras_tuner.src`, private attributes); the
other modules of `tuning` take it from here. It refuses versions that it was not written for.

KerasTuner saves its state before it takes a finished trial off the list of running ones, so a kill between the two
makes it run a scored trial again; a kill while it writes leaves half a file, with which no search starts again; it
raises after three failures in a row; it prints to the screen.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import keras_tuner as kt
from keras_tuner.src import protos, utils
from keras_tuner.src.distribute import oracle_client
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient
from keras_tuner.src.engine import conditions
from keras_tuner.src.engine.oracle import synchronized
from keras_tuner.src.engine.trial import Trial

from seis_tf.files import write_atomically
from seis_tf.training.scores import smaller_is_better

__all__ = [
    "ENDED", "TUNERS", "OracleClient", "OracleServicer", "Trial", "check_version", "ended", "fail", "give_back", "make",
    "place", "protos", "reload", "set_client_timeout", "settle", "synchronized", "waiting",
]  # fmt: skip

TUNERS = ("random", "bayesian", "hyperband")
ENDED = ("COMPLETED", "FAILED")


def check_version(version: str) -> None:
    """Refuses a KerasTuner whose insides this module does not know.

    Raises:
        ValueError: it is not of the series 1.4.
    """
    if version.split(".")[:2] != ["1", "4"]:
        raise ValueError(f"keras-tuner: expected version 1.4, received {version}; pip install 'keras-tuner>=1.4,<1.5'")


check_version(importlib.metadata.version("keras-tuner"))

# KerasTuner 1.4.8 has left a print in Parent.to_proto: each trial that is sent would write a number to stdout.
conditions.print = lambda *values: None


def _save_json(path: str, content: Any) -> str:
    """In place of KerasTuner's: the file is either the old one or the whole new one."""
    text = json.dumps(content)
    write_atomically(Path(path), text.encode())
    return text


utils.save_json = _save_json


def make(
    tuner: str, hyperparameters: kt.HyperParameters, objective: str, trials: int, epochs: int, seed: int
) -> kt.Oracle:
    """An oracle that has not started.

    Args:
        tuner: "random", "bayesian" or "hyperband".
        hyperparameters: the space.
        objective: score to be improved.
        trials: how many; hyperband stops at that number too, even inside a bracket.
        epochs: of a trial; hyperband's longest.
        seed: of what is drawn.

    Raises:
        ValueError: no such tuner.
    """
    common: dict[str, Any] = {
        "objective": kt.Objective(objective, "min" if smaller_is_better(objective) else "max"),
        "hyperparameters": hyperparameters,
        "seed": seed + 1,  # KerasTuner takes a seed of 0 for none
        "max_consecutive_failed_trials": 10**9,
        "allow_new_entries": False,
        "tune_new_entries": False,
    }
    if tuner == "random":
        oracle = kt.oracles.RandomSearchOracle(max_trials=trials, **common)
    elif tuner == "bayesian":
        oracle = kt.oracles.BayesianOptimizationOracle(max_trials=trials, **common)
    elif tuner == "hyperband":
        oracle = kt.oracles.HyperbandOracle(max_epochs=epochs, **common)
        oracle.max_trials = trials
    else:
        raise ValueError(f"tuner: expected one of {list(TUNERS)}, received {tuner!r}")
    oracle.verbose = 0
    return oracle


def place(oracle: kt.Oracle, folder: Path) -> None:
    """Sets the folder that the oracle keeps its state in."""
    oracle._set_project_dir(str(folder.parent), folder.name)


def waiting(oracle: kt.Oracle) -> bool:
    """Whether trials that were begun and not ended wait to be run again."""
    return bool(oracle._retry_queue)


def set_client_timeout(seconds: float) -> None:
    """How long each call of KerasTuner's client waits for its chief; its own default is an hour."""
    oracle_client.TIMEOUT = seconds


def reload(oracle: kt.Oracle, *, with_workers: bool = False) -> None:
    """Takes up the stored state; trials that had ended are not run again.

    Args:
        oracle: of the same settings, not started.
        with_workers: workers may still be at the trials that were running, which stay theirs; otherwise those are to be
            run again.
    """
    oracle.reload()
    oracle.verbose = 0
    to_run_again = [trial_id for trial_id in oracle._retry_queue if oracle.trials[trial_id].status not in ENDED]
    if with_workers:
        held = json.loads(Path(oracle._get_oracle_fname()).read_text())["ongoing_trials"]
        oracle.ongoing_trials = {
            tuner_id: oracle.trials[trial_id]
            for tuner_id, trial_id in held.items()
            if oracle.trials[trial_id].status not in ENDED
        }
    running = {trial.trial_id for trial in oracle.ongoing_trials.values()}
    oracle._retry_queue = [trial_id for trial_id in dict.fromkeys(to_run_again) if trial_id not in running]
    # A trial whose file says that it runs and that no list holds was stopped while the state was being saved.
    for trial_id, trial in oracle.trials.items():
        if trial.status not in ENDED and trial_id not in running | set(oracle._retry_queue):
            oracle._retry_queue.append(trial_id)
        if trial.status in ENDED and trial_id not in oracle.end_order:
            oracle.end_order.append(trial_id)


def give_back(oracle: kt.Oracle, tuner_id: str) -> str | None:
    """Takes the running trial of a worker that is gone, for another to run; returns its id."""
    trial = oracle.ongoing_trials.pop(tuner_id, None)
    oracle.tuner_ids.discard(tuner_id)
    if trial is None:
        return None
    oracle._retry_queue.append(trial.trial_id)
    oracle.save()
    return trial.trial_id


def settle(oracle: kt.Oracle, trial_id: str) -> None:
    """Removes a trial that has ended from the list of running ones and from those to be run again."""
    if trial_id in oracle._retry_queue:
        oracle._retry_queue.remove(trial_id)
    for tuner_id in [k for k, trial in oracle.ongoing_trials.items() if trial.trial_id == trial_id]:
        oracle.ongoing_trials.pop(tuner_id)
    oracle.save()


def fail(oracle: kt.Oracle, trial_id: str, reason: str) -> None:
    """Ends a trial as failed, in place of the workers that were lost with it."""
    trial = oracle.trials[trial_id]
    trial.status, trial.message = "FAILED", reason
    oracle.end_trial(trial)
    settle(oracle, trial_id)


def ended(oracle: kt.Oracle) -> list[Trial]:
    """Scored and failed trials in the order in which they were asked for."""
    return [oracle.trials[i] for i in sorted(oracle.trials) if oracle.trials[i].status in ENDED]
