"""What training a learning curve's networks together is worth: 25 DART networks, 5 sizes x 5 folds, 30 epochs.

    python benchmarks/learning_curve.py [--events 1300] [--epochs 30]

Three ways to the same 25 fits: one stack of models a size (`curves.learning_curve`); the same code, one fit after the
other; Keras's own `compile` and `fit`, one after the other. Simulated earthquakes, 45 minutes at 3 buoys, 31 sources,
batches of 20, one thread. Prints processor seconds of the epochs (what else runs on the machine does not count), with
compiling and set-up apart, and how far the curves are from each other; writes benchmarks/learning_curve.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from seis_tf import tasks
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.stats.folds import Fold, grouped_folds, nested_subset
from seis_tf.evaluation.studies import fitting
from seis_tf.evaluation.studies.fitting import Trial
from seis_tf.evaluation.studies.learning_curve import FRACTIONS
from seis_tf.settings.data import DartJob
from seis_tf.settings.networks import Conv1dSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic import fakequake_files, fakequakes


def main() -> None:
    """Prints one line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1300)
    parser.add_argument("--epochs", type=int, default=30)
    arguments = parser.parse_args()
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    training = TrainingSettings(epochs=arguments.epochs, batch_size=20, learning_rate=5e-4)
    job = TrainJob(model=Conv1dSettings(), training=training)
    with tempfile.TemporaryDirectory() as folder:
        table = _events(arguments.events, Path(folder), job)
    labels, groups = fitting.labels_of(table), table["group"]
    trials = [
        Trial(number, 0, Fold(part, fold.valid, fold.test), size)
        for number, fold in enumerate(grouped_folds(labels, groups, 5))
        for size, part in enumerate(nested_subset(fold.train, labels, groups, FRACTIONS, 0))
    ]
    ways = {
        "stacked": lambda: _stacks(job, table, trials),
        "one after the other": lambda: _alone(job, table, trials),
        "Keras fit, one after the other": lambda: _keras(job, table, trials),
    }
    found = {name: _measure(way, trials) for name, way in ways.items()}
    first = found["stacked"]
    for name, row in found.items():
        ratio = row["epochs_s"] / first["epochs_s"]
        print(f"{name}: {row['epochs_s']:.1f} s of epochs ({ratio:.2f} x stacked), {row['setup_s']:.1f} s set-up")
        print("  mse by size, m^2: " + ", ".join(f"{m:.2f} +- {s:.2f}" for m, s in row["mse"]))
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")


def _events(count: int, folder: Path, job: TrainJob) -> Table:
    greens = load_greens(None)
    fakequake_files.write_fakequakes(
        folder / "raw", fakequakes.simulate(FakequakeSettings(), greens, count, 0), greens, raw=0
    )
    prepare_dart(folder / "raw", folder / "data", DartJob())
    return fitting.load_table(job, folder / "data")


def _measure(way, trials: list[Trial]) -> dict:
    epochs_s, setup_s, errors = way()
    sizes = np.array([trial.size for trial in trials])
    mse = [[float(np.mean(e)), float(np.std(e, ddof=1))] for e in (errors[sizes == k] for k in range(len(FRACTIONS)))]
    return {"epochs_s": epochs_s, "setup_s": setup_s, "mse": mse}


def _stacks(job: TrainJob, table: Table, trials: list[Trial]) -> tuple[float, float, np.ndarray]:
    """The first call compiles and is set-up; the second is the epochs."""
    seconds = []
    for _ in range(2):
        started = time.process_time()
        fits, _ = fitting.fit_trials(job, table, trials)
        seconds.append(time.process_time() - started)
    return seconds[1], seconds[0] - seconds[1], _errors(job, table, fits)


def _alone(job: TrainJob, table: Table, trials: list[Trial]) -> tuple[float, float, np.ndarray]:
    started = time.process_time()
    fitting.fit_trials(job, table, trials[:1])
    first, started = time.process_time() - started, time.process_time()
    fits = [fitting.fit_trials(job, table, [trial])[0][0] for trial in trials]
    epochs_s = time.process_time() - started
    return epochs_s, first, _errors(job, table, fits)


def _keras(job: TrainJob, table: Table, trials: list[Trial]) -> tuple[float, float, np.ndarray]:
    settings, errors, epochs_s, setup_s = job.training, [], 0.0, 0.0
    level, slip = table["water_level_m"], table["weights_m"]
    for trial in trials:
        started = time.process_time()
        model = tasks.build(job.model, table.info, seed=trial.seed)
        model.compile(keras.optimizers.Adam(settings.learning_rate), "mse")
        arrays = {part: (level[rows], slip[rows]) for part, rows in vars(trial.rows).items()}
        fitting = {"batch_size": settings.batch_size, "validation_data": arrays["valid"], "verbose": 0}
        model.fit(*arrays["train"], epochs=1, **fitting)  # with tracing
        setup_s += time.process_time() - started
        started = time.process_time()
        model.fit(*arrays["train"], epochs=settings.epochs, initial_epoch=1, **fitting)
        epochs_s += time.process_time() - started
        errors.append(np.mean(np.square(model.predict(arrays["test"][0], verbose=0) - arrays["test"][1])))
    return epochs_s, setup_s, np.array(errors)


def _errors(job: TrainJob, table: Table, fits: list[fitting.Trained]) -> np.ndarray:
    return np.array([fitting.score(job, table, done, done.trial.rows.test)["mse"] for done in fits])


if __name__ == "__main__":
    main()
