"""The classifiers that real_records.py compares, and what each of them may choose inside a training fold.

All that take a spectrogram choose between the same two. The baselines choose between two ways of training as well; the
CNN does not (without added noise it was chosen in one fold of twenty). Peak amplitude has the two ways alone, and the
largest class has nothing to choose. "CNN, shifted" and "CNN, pretrained" (on simulated labquakes) are attempts at a
better network.
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from seis_tf import tasks
from seis_tf.dataset import tables
from seis_tf.dataset.shards import SPLITS
from seis_tf.settings.base import merge
from seis_tf.settings.data import WaveformJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.settings.training import TrainJob
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.training.inputs import FitInputs, Member
from seis_tf.training.loop import fit
from seis_tf.waveforms import training_data as waveform_training
from seis_tf.waveforms.prepare import prepare_waveforms

# The coarse spectrograms have 65 x 101 cells in both data sets. The fine one of `field` has 0.5 Hz instead of 1.3 Hz
# between independent frequencies, that of `lab` 250 kHz instead of 500 kHz.
SPECTROGRAMS = {
    "lab": {
        "coarse": {"nperseg": 20, "noverlap": 10, "nfft": 128},
        "fine": {"nperseg": 40, "noverlap": 32, "nfft": 128},
    },
    "field": {
        "coarse": {"nperseg": 78, "noverlap": 39, "nfft": 128},
        "fine": {"nperseg": 200, "noverlap": 160, "nfft": 256},
    },
}
EPOCHS = {"field": 30}  # six times as many records as in the other rows; the preset's 80 elsewhere
CHOICE_EPOCHS = {"field": 10}  # of a network while it is chosen; 20 elsewhere
WAYS = {"plain": None, "balanced": "balanced"}  # class weights
NETWORKS = ("CNN", "CNN, shifted", "CNN, pretrained")


@dataclass(frozen=True)
class Candidate:
    """A spectrogram and a way of training.

    Attributes:
        spectrogram: name in `SPECTROGRAMS`; any where it is not used.
        answer: (table, training rows, test rows, seed, whether this only serves the choice) -> probabilities
            [test row, class].
        seeded: whether the answer depends on the seed.
    """

    spectrogram: str
    answer: Callable[[tables.Table, np.ndarray, np.ndarray, int, bool], np.ndarray]
    seeded: bool = False


def methods(row: str) -> dict[str, dict[str, Candidate]]:
    """All methods for a row of the table: name to candidates by name."""
    spectrograms = SPECTROGRAMS[row.split("-")[0]]
    found: dict[str, dict[str, Candidate]] = {
        "largest class": {"": Candidate("coarse", _largest_class)},
        "peak amplitude": {way: Candidate("coarse", _logistic(_peak, weight)) for way, weight in WAYS.items()},
    }
    makers = {
        "linear": lambda name: {way: Candidate(name, _logistic(_rows, weight)) for way, weight in WAYS.items()},
        "MLP, Adam (scikit-learn)": lambda name: _perceptrons(name, "adam"),
        "MLP, SGD (scikit-learn)": lambda name: _perceptrons(name, "sgd"),
        "MLP": lambda name: _own_perceptrons(name),
        "CNN": lambda name: _cnns(row, name, {"noisy": {}}),
        "CNN, shifted": lambda name: _cnns(
            row, name, {"shift 0.05": {"shift_fraction": 0.05}, "shift 0.2": {"shift_fraction": 0.2}}
        ),
        "CNN, pretrained": lambda name: _cnns(row, name, {"pretrained": {}}, pretrained=True),
    }
    for method, make in makers.items():
        found[method] = {f"{name}, {way}": c for name in spectrograms for way, c in make(name).items()}
    return found


def network(
    tree: dict, choice_epochs: int, spectrogram: dict | None = None
) -> Callable[[tables.Table, np.ndarray, np.ndarray, int, bool], np.ndarray]:
    """Trains a job's network; for a choice among candidates a shorter training has to do.

    With a spectrogram's settings its kernels start, but for the output layer's, from a network for simulated labquakes.
    """

    def answer(table, train, test, seed, choosing):
        job = TrainJob.model_validate(tree)
        changes = {"monitor": "loss", "keep": "last"}
        if choosing:
            changes["epochs"] = min(choice_epochs, job.training.epochs)
        settings = job.training.model_copy(update=changes)
        data = waveform_training.classification_data(table, settings, train)
        model = tasks.build(job.model, table.info, seed=seed, l2=settings.l2)
        if spectrogram is not None:
            start = _simulated_weights(job.model_dump_json(), tuple(spectrogram.items()), seed)
            model.set_weights([*start, *model.get_weights()[len(start) :]])
        loss = tasks.task_of(job.model).loss(table, job, train)
        done = fit([model], FitInputs(data, [Member(train, test[:0], seed)], loss), settings)
        return done.stack.predict(done.state, [data.inputs[0]], rows=test[None].astype(np.int32))[0]

    return answer


@functools.cache
def _simulated_weights(job_json: str, spectrogram: tuple, seed: int) -> list[np.ndarray]:
    """Weights below the output layer of a job's network that was trained on 900 simulated labquakes."""
    job = TrainJob.model_validate_json(job_json)
    with tempfile.TemporaryDirectory() as work:
        raw, dataset = Path(work, "raw"), Path(work, "dataset")
        write_labquakes(raw, LabquakeSettings(), 900, seed=0)
        prepare_waveforms(raw, dataset, WaveformJob.model_validate({"spectrogram": dict(spectrogram)}))
        table = tables.load(dataset, SPLITS, ("spectrogram", "waveform", "label", "group"))
    rows = np.arange(len(table))
    settings = job.training.model_copy(update={"monitor": "loss", "keep": "last"})
    data = waveform_training.classification_data(table, settings, rows)
    model = tasks.build(job.model, table.info, seed=seed, l2=settings.l2)
    loss = tasks.task_of(job.model).loss(table, job, rows)
    done = fit([model], FitInputs(data, [Member(rows, rows[:0], seed)], loss), settings)
    return done.model(0, model).get_weights()[:-2]


def _cnns(row: str, name: str, ways: dict[str, dict], pretrained: bool = False) -> dict[str, Candidate]:
    found = {}
    for way, augment in ways.items():
        tree = preset_tree("cnn", "noisy")
        change = {"training": {"augment": augment}}
        if row in EPOCHS:
            change["training"]["epochs"] = EPOCHS[row]
        if row.startswith("field") and name == "fine":
            change["model"] = {"stem": [4, 2]}  # twice as many frequencies
        merge(tree, change)
        spectrogram = SPECTROGRAMS[row.split("-")[0]][name] if pretrained else None
        found[way] = Candidate(name, network(tree, CHOICE_EPOCHS.get(row, 20), spectrogram), seeded=True)
    return found


def _own_perceptrons(name: str) -> dict[str, Candidate]:
    found = {}
    noise = {"noise_probability": 0.8, "noise_snr_db": [0.0, 20.0]}
    for way, change in {"default": {}, "default, noisy": {"augment": noise}}.items():
        tree = preset_tree("mlp", None)
        merge(tree, {"training": change})
        found[way] = Candidate(name, network(tree, tree["training"]["epochs"]), seeded=True)
    return found


def _perceptrons(name: str, solver: str) -> dict[str, Candidate]:
    return {way: Candidate(name, _perceptron(solver, weight), seeded=True) for way, weight in WAYS.items()}


def _perceptron(solver: str, weight: str | None):
    def answer(table, train, test, seed, choosing):
        labels = table["label"].astype(int)
        power = waveform_training.standardised(table, train)
        power = power.reshape(len(power), -1)
        model = MLPClassifier((20,), solver=solver, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # 200 epochs, its default, are what it gets
            model.fit(power[train], labels[train], sample_weight=compute_sample_weight(weight, labels[train]))
        return model.predict_proba(power[test])

    return answer


def _logistic(features: Callable[[tables.Table], np.ndarray], weight: str | None):
    def answer(table, train, test, seed, choosing):
        values, labels = features(table), table["label"].astype(int)
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight=weight, max_iter=2000))
        return model.fit(values[train], labels[train]).predict_proba(values[test])

    return answer


def _largest_class(table, train, test, seed, choosing):
    counts = np.bincount(table["label"].astype(int)[train], minlength=len(table.info.class_names))
    return np.tile(np.eye(len(counts))[counts.argmax()], (len(test), 1))


def _peak(table: tables.Table) -> np.ndarray:
    return np.log10(table["peak_amplitude"])[:, None]


def _rows(table: tables.Table) -> np.ndarray:
    """Mean and deviation of each frequency's row."""
    power = waveform_training.standardised(table, np.arange(len(table)))
    return np.concatenate([power.mean(axis=2), power.std(axis=2)], axis=1)
