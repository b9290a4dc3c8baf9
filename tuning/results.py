"""What a search leaves: trials.csv, best.json, logs for TensorBoard, and the best job trained and judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras_tuner as kt

from seis_tf.evaluation.results import Metrics
from seis_tf.files import rows_as_csv, write_atomically, write_json
from seis_tf.settings.base import load_settings
from seis_tf.settings.training import TrainJob
from seis_tf.tuning import oracles, spaces
from seis_tf.tuning.settings import SearchSettings

_RETRAINED = "best-run"
_ENOUGH = 10  # trials before a share of failures says something


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
    write_atomically(out / "trials.csv", rows_as_csv(rows, names).encode())
    write_hparams(out, rows)
    best = best_job(settings, space, oracle)
    if best is not None:
        write_json(out / "best.json", best)
    return rows


def write_hparams(out: Path, rows: list[dict[str, Any]]) -> None:
    """The trials for TensorBoard's HParams page, in SEARCH/logs."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hp

    for row in rows:
        if row["score"] is None:
            continue
        values = {k: v for k, v in row.items() if k.startswith(("model.", "training.")) and v is not None}
        with tf.summary.create_file_writer(str(out / "logs" / row["trial"])).as_default():
            hp.hparams(values, trial_id=row["trial"])
            for name, value in row.items():
                if name.startswith("val_") and not name.endswith("_spread"):
                    tf.summary.scalar(name, value, step=row["epochs"])


def best_job(settings: SearchSettings, space: spaces.Space, oracle: kt.Oracle) -> TrainJob | None:
    """The job of the best trial, None where none was scored."""
    done = [trial for trial in oracles.ended(oracle) if trial.status == "COMPLETED"]
    if not done:
        return None
    best = (min if oracle.objective.direction == "min" else max)(done, key=lambda trial: trial.score)
    job = spaces.job_of(settings.model, space, best.hyperparameters.values, settings.base)
    update = {"epochs": settings.epochs, "seed": settings.seed, "monitor": settings.objective}
    return job.model_copy(update={"training": job.training.model_copy(update=update)})


def too_many_failed(ended: Sequence[kt.engine.trial.Trial], planned: int) -> bool:
    """Whether a search is to be stopped: more than half of the trials have failed, and there were enough to tell."""
    failed = sum(trial.status == "FAILED" for trial in ended)
    return len(ended) >= min(_ENOUGH, planned) and 2 * failed > len(ended)


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


def retrain(dataset: Path | str, out: Path) -> Metrics:
    """Trains the best job on the train split and judges it once on the test split, in SEARCH/best-run.

    Not on train and valid together: the temperature of probabilities is fitted on records that training did not see.

    Raises:
        ValueError: no trial was scored, or another job was the best before; says in what they differ.
    """
    from seis_tf import runs
    from seis_tf.evaluation.evaluate import evaluate

    path, run = Path(out) / "best.json", Path(out) / _RETRAINED
    if not path.is_file():
        raise ValueError(f"{path}: expected the best job, received none: no trial was scored")
    best = load_settings(TrainJob, path, {})
    runs.train(dataset, best, run, resume=(run / "config.json").is_file())
    return evaluate(run)


def retrained(out: Path) -> Path | None:
    """The judged run of the best job, where `retrain` has made one."""
    run = Path(out) / _RETRAINED
    return run if (run / "metrics.json").is_file() else None


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
