"""Row 5: training the MLP 6565-20-3 against scikit-learn's `MLPClassifier`, and both loss curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from suite.definition import Comparison, Ready, Row, Way, either_thread_count

from rows import inputs

BATCH = 50


def row(scale: str) -> Row:
    """Ten epochs of 2,000 records; the loss curves are means over five seeds."""
    count, epochs = (200, 2) if scale == "quick" else (2000, 10)
    sizes = {"count": count, "epochs": epochs, "seeds": 2 if scale == "quick" else 5}
    sklearn = either_thread_count("scikit-learn", "rows.mlp_training:scikit", scale, **sizes)
    return Row(
        "5",
        f"MLP 6565-20-3, batches of {BATCH}, {count:,} records, {epochs} epochs",
        "samples/s",
        (("rows.inputs:spectrograms_file", {"count": count}),),
        {"ours": Way("rows.mlp_training:ours", sizes), **sklearn},
        (Comparison("against MLPClassifier", "ours", tuple(sklearn), 1.3),),
        note="Adam, learning rate 0.001, no L2, ReLU, Glorot uniform weights, float32, shuffled. scikit-learn also "
        "draws its biases, ours begin at 0.",
    )


def ours(work: Path, count: int, epochs: int, seeds: int) -> Ready:
    """`training.fit`."""
    from seis_tf.settings.training import TrainingSettings
    from seis_tf.training import loop, losses
    from seis_tf.training.inputs import Data, FitInputs, Member
    from seis_tf.waveforms import networks as waveform_networks

    power, labels = inputs.spectrograms(work, count)
    data = Data((power,), labels.astype(np.int32))
    nothing, rows = np.array([], int), np.arange(count)
    settings = TrainingSettings(epochs=epochs, batch_size=BATCH, monitor="loss", keep="last")

    def fit(seed: int) -> list[float]:
        model = waveform_networks.mlp(power.shape[1:], 3, seed=seed)
        member = Member(rows, nothing, seed)
        done = loop.fit([model], FitInputs(data, [member], losses.cross_entropy), settings)
        return [row["loss"] for row in done.progress.history[0]]

    return Ready(lambda: fit(0), epochs * count, facts=lambda: {"curves": [fit(seed) for seed in range(seeds)]})


def scikit(work: Path, count: int, epochs: int, seeds: int) -> Ready:
    """`MLPClassifier.fit` that never stops early."""
    from sklearn.neural_network import MLPClassifier

    power, labels = inputs.spectrograms(work, count)
    flat = power.reshape(count, -1)

    def fit(seed: int) -> list[float]:
        model = MLPClassifier(
            (20,), batch_size=BATCH, alpha=0.0, max_iter=epochs, tol=0.0, n_iter_no_change=10**6, random_state=seed
        )
        return model.fit(flat, labels).loss_curve_

    return Ready(lambda: fit(0), epochs * count, facts=lambda: {"curves": [fit(seed) for seed in range(seeds)]})


def remarks(found: dict) -> list[str]:
    """Whether the loss curves are the same within the seeds' spread."""
    names = list(found)
    one, other = (np.array(found[name]["facts"]["curves"]) for name in names[:2])
    spread = np.sqrt(one.var(axis=0, ddof=1) + other.var(axis=0, ddof=1))
    apart = np.abs(one.mean(axis=0) - other.mean(axis=0))
    worst = int(np.argmax(apart / spread))
    return [
        f"Loss curves, mean of {len(one)} seeds: last epoch {one.mean(axis=0)[-1]:.4f} (ours) and "
        f"{other.mean(axis=0)[-1]:.4f}; furthest apart in epoch {worst + 1}, by {apart[worst] / spread[worst]:.1f} of "
        "the seeds' standard deviation (of a difference)."
    ]
