"""Rows 9a and 9b: a learning curve's 25 fits, the MLP against scikit-learn and the DART network against PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from suite.definition import Comparison, Ready, Row, Way, either_thread_count

FOLDS = 5


def mlp_row(scale: str) -> Row:
    """The MLP 6565-20-3, five sizes and five folds."""
    count, epochs = (300, 2) if scale == "quick" else (2000, 20)
    sizes = {"count": count, "epochs": epochs}
    sklearn = {
        f"scikit-learn, {n} process{'es' * (n > 1)}": Way("rows.curves:scikit", sizes | {"processes": n}, 1)
        for n in ((1,) if scale == "quick" else (1, 2))
    }
    return Row(
        "9a",
        f"learning curve of the MLP: 25 fits, {count:,} records, {epochs} epochs",
        "fits/s",
        (("rows.inputs:waveform_dataset", {"count": count}),),
        {"ours": Way("rows.curves:our_mlp", sizes), **sklearn},
        _comparisons("against learning_curve", tuple(sklearn), 1.5),
        repeats=2,
        fresh=True,
        note="Fits and scores on training and test records. No validation: scikit-learn has none. Both have the same "
        "folds of whole events.",
    )


def dart_row(scale: str) -> Row:
    """The published network, five sizes and five folds."""
    count, epochs = {"quick": (300, 1), "normal": (1300, 15), "full": (1300, 30)}[scale]
    sizes = {"count": count, "epochs": epochs}
    torch = either_thread_count("PyTorch", "rows.curves:pytorch", scale, **sizes)
    if scale != "full":  # row 4 says which is faster; this one takes long
        torch = dict([next(iter(torch.items()))])
    return Row(
        "9b",
        f"learning curve of the DART network: 25 fits, {count:,} events, {epochs} epochs",
        "fits/s",
        (("rows.inputs:dart_dataset", {"count": count}),),
        {"ours": Way("rows.curves:our_dart", sizes), **torch},
        _comparisons("against PyTorch's loops", tuple(torch), 6),
        repeats=1 if scale == "quick" else 2,
        fresh=True,
        note="Each epoch is scored on validation events and the best one's weights are kept, in both ways.",
    )


def _comparisons(label: str, others: tuple[str, ...], aim: float) -> tuple[Comparison, ...]:
    return (
        Comparison(f"{label}, epochs alone", "ours", others, aim),
        Comparison(f"{label}, compiling included", "ours", others, compiling=True),
    )


def our_mlp(work: Path, count: int, epochs: int) -> Ready:
    """`studies.fit_trials` and its scores."""
    from seis_tf.settings.networks import MlpSettings
    from seis_tf.settings.training import TrainingSettings, TrainJob

    training = TrainingSettings(epochs=epochs, keep="last")
    return _ours(TrainJob(model=MlpSettings(), training=training), work / f"dataset-{count}")


def our_dart(work: Path, count: int, epochs: int) -> Ready:
    """Likewise; the best epoch by validation loss is kept."""
    from seis_tf.settings.networks import Conv1dSettings
    from seis_tf.settings.training import TrainingSettings, TrainJob

    training = TrainingSettings(epochs=epochs, batch_size=20)
    return _ours(TrainJob(model=Conv1dSettings(), training=training), work / f"dart-{count}")


def _ours(job, dataset: Path) -> Ready:
    from seis_tf.evaluation.studies import fitting

    table = fitting.load_table(job, dataset)
    trials = _trials(table)
    name = fitting.main_score(job)[0]
    scores = []

    def run() -> dict[str, float]:
        fits, seconds = fitting.fit_trials(job, table, trials)
        both = [[fitting.score(job, table, done, rows)[name] for rows in _parts(done.trial.rows)] for done in fits]
        scores[:] = [score[1] for score in both]
        return {"compile_s": seconds.setup}

    return Ready(run, len(trials), facts=lambda: {"test_score": _last_size(scores)})


def scikit(work: Path, count: int, epochs: int, processes: int) -> Ready:
    """`learning_curve` with the same folds."""
    from sklearn.model_selection import learning_curve
    from sklearn.neural_network import MLPClassifier

    from seis_tf.dataset import tables
    from seis_tf.evaluation.studies.learning_curve import FRACTIONS
    from seis_tf.waveforms.spectrograms import standardise

    table = tables.load(work / f"dataset-{count}", ("train", "valid", "test"), ("spectrogram", "label", "group"))
    flat = standardise(table["spectrogram"]).reshape(len(table), -1)
    folds = [(np.random.default_rng(0).permutation(rest), test) for rest, test in _folds(table)]
    scores = []

    def run() -> None:
        model = MLPClassifier(
            (20,), batch_size=50, alpha=0.0, max_iter=epochs, tol=0.0, n_iter_no_change=10**6, random_state=0
        )
        found = learning_curve(
            model, flat, table["label"], cv=folds, train_sizes=FRACTIONS, scoring="balanced_accuracy", n_jobs=processes
        )
        scores[:] = found[2][-1]

    return Ready(run, FOLDS * len(FRACTIONS), facts=lambda: {"test_score": float(np.mean(scores))})


def pytorch(work: Path, count: int, epochs: int) -> Ready:
    """One loop after the other; each keeps its best epoch and answers training and test events."""
    import torch

    from rows import torch_training
    from seis_tf.dataset import tables

    table = tables.load(work / f"dart-{count}", ("train", "valid", "test"), ("water_level_m", "weights_m", "group"))
    x, y = torch_training.dart_tensors(table["water_level_m"], table["weights_m"])
    trials, scores, mse = _trials(table), [], torch.nn.functional.mse_loss

    def run() -> None:
        scores.clear()
        for trial in trials:
            torch.manual_seed(trial.seed)
            model, rows = torch_training.conv1d(), trial.rows
            valid = x[rows.valid], y[rows.valid]
            torch_training.train(model, x[rows.train], y[rows.train], mse, epochs, 20, valid=valid)
            model.eval()
            with torch.no_grad():
                scores.append([mse(model(x[part]), y[part]).item() for part in _parts(rows)][1])

    return Ready(run, len(trials), facts=lambda: {"test_score": _last_size(scores)})


def remarks(found: dict) -> list[str]:
    """The scores beside each other: the same study was done."""
    told = ", ".join(f"{way['facts']['test_score']:.3f} ({name})" for name, way in found.items())
    return [f"Mean score on test records, all training data: {told}."]


def _trials(table) -> list:
    from seis_tf.evaluation.stats.folds import Fold, grouped_folds, nested_subset
    from seis_tf.evaluation.studies import fitting
    from seis_tf.evaluation.studies.learning_curve import FRACTIONS

    labels, groups = fitting.labels_of(table), table["group"]
    return [
        fitting.Trial(number, 0, Fold(part, fold.valid, fold.test), size)
        for number, fold in enumerate(grouped_folds(labels, groups, FOLDS))
        for size, part in enumerate(nested_subset(fold.train, labels, groups, FRACTIONS, 0))
    ]


def _folds(table) -> list[tuple[np.ndarray, np.ndarray]]:
    from seis_tf.evaluation.stats.folds import grouped_folds

    folds = grouped_folds(table["label"].astype(int), table["group"], FOLDS)
    return [(np.concatenate([fold.train, fold.valid]), fold.test) for fold in folds]


def _parts(rows) -> tuple[np.ndarray, np.ndarray]:
    return rows.train, rows.test


def _last_size(scores: list[float]) -> float:
    """Trials are ordered by fold, then size."""
    return float(np.mean(np.reshape(scores, (FOLDS, -1))[:, -1]))
