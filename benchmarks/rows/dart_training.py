"""Row 4: training the published DART network, one and five at a time, against PyTorch and Keras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from suite.definition import Comparison, Ready, Row, Way, either_thread_count

from rows import inputs

COUNT, BATCH = 910, 20


def row(scale: str) -> Row:
    """Five epochs a call; losses are told, so that equal work can be seen."""
    epochs = 1 if scale == "quick" else 5
    sizes = {"epochs": epochs}
    torch = either_thread_count("PyTorch", "rows.dart_training:pytorch", scale, **sizes)
    return Row(
        "4",
        f"DART network (22,891 parameters), batches of {BATCH}, {COUNT} records, {epochs} epochs",
        "model-samples/s",
        (),
        {
            "ours, one model": Way("rows.dart_training:ours", sizes | {"members": 1}),
            "ours, stack of 5": Way("rows.dart_training:ours", sizes | {"members": 5}),
            **torch,
            "Keras fit": Way("rows.dart_training:keras_fit", sizes),
        },
        (
            Comparison("one model, against PyTorch", "ours, one model", tuple(torch), 3.5),
            Comparison("one model, against Keras fit", "ours, one model", ("Keras fit",), 5),
            Comparison("stack of 5, per model, against PyTorch", "ours, stack of 5", tuple(torch), 8),
        ),
        note="Adam, mean squared error, dropout 0.3, shuffled, float32 everywhere. PyTorch's loop takes batches by "
        "index from a tensor in memory, which is faster than the published `DataLoader`.",
    )


def ours(
    work: Path, epochs: int, members: int, count: int = COUNT, batch: int = BATCH, minutes: int = 45, sources: int = 31
) -> Ready:
    """`training.fit`: the order of records, the steps and the history are timed; the model is built before."""
    from seis_tf.dart import networks as dart_networks
    from seis_tf.settings.training import TrainingSettings
    from seis_tf.training import loop, losses
    from seis_tf.training.inputs import Data, FitInputs, Member

    level, slip = inputs.dart_arrays(count, minutes, sources)
    data = Data((level,), slip)
    built = [dart_networks.conv1d(minutes, 3, sources, seed=seed) for seed in range(members)]
    nothing, rows = np.array([], int), np.arange(count)
    chosen = [Member(rows, nothing, seed) for seed in range(members)]
    settings = TrainingSettings(epochs=epochs, batch_size=batch, monitor="loss", keep="last")
    last = []

    def run() -> None:
        last[:] = loop.fit(built, FitInputs(data, chosen, losses.squared_error), settings).progress.history

    final = lambda: {"final_loss": float(np.mean([h[-1]["loss"] for h in last]))}  # noqa: E731
    return Ready(run, epochs * count * members, facts=final)


def pytorch(
    work: Path, epochs: int, count: int = COUNT, batch: int = BATCH, minutes: int = 45, sources: int = 31
) -> Ready:
    """One model after the other is all that a loop can do, so its rate is that of one."""
    import torch

    from rows import torch_training

    torch.manual_seed(0)
    x, y = torch_training.dart_tensors(*inputs.dart_arrays(count, minutes, sources))
    last = []

    def run() -> None:
        model = torch_training.conv1d(minutes, 3, sources)
        last[:] = torch_training.train(model, x, y, torch.nn.functional.mse_loss, epochs, batch)

    return Ready(run, epochs * count, facts=lambda: {"final_loss": last[-1]})


def keras_fit(work: Path, epochs: int) -> Ready:
    """Keras's own layers, `compile` and `fit`, nothing set that most would not set."""
    import keras
    from keras import layers

    from seis_tf.dart.networks import conv1d_widths

    level, slip = inputs.dart_arrays(COUNT)
    stages = [
        layer
        for width in conv1d_widths(45, None)
        for layer in (layers.Conv1D(width, 3, padding="same"), layers.LeakyReLU(0.01), layers.MaxPooling1D(2))
    ]
    head = [layers.Flatten(), layers.Dense(40), layers.Dropout(0.3), layers.Dense(31, activation="relu")]
    model = keras.Sequential([layers.Input((45, 3)), *stages, *head])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    last = []

    def run() -> None:
        last[:] = model.fit(level, slip, batch_size=BATCH, epochs=epochs, verbose=0).history["loss"]

    return Ready(run, epochs * COUNT, facts=lambda: {"parameters": model.count_params()})
