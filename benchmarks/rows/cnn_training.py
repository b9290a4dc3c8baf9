"""Row 6: training the 2-D CNN 8-16-32 against PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from suite.definition import Comparison, Ready, Row, Way, either_thread_count

from rows import inputs

BATCH = 50


def row(scale: str) -> Row:
    """One epoch of 2,000 records a call."""
    count = 100 if scale == "quick" else 2000
    sizes = {"count": count}
    torch = either_thread_count("PyTorch", "rows.cnn_training:pytorch", scale, **sizes)
    return Row(
        "6",
        f"CNN 8-16-32, batches of {BATCH}, {count:,} records",
        "samples/s",
        (("rows.inputs:spectrograms_file", sizes),),
        {"ours": Way("rows.cnn_training:ours", sizes), **torch},
        (Comparison("against PyTorch", "ours", tuple(torch), 1.5),),
        repeats=3,
        note="Adam, cross entropy, dense layer of 20, dropout 0.3, shuffled, float32.",
    )


def ours(work: Path, count: int) -> Ready:
    """`training.fit`, one epoch."""
    from seis_tf.settings.training import TrainingSettings
    from seis_tf.training import loop, losses
    from seis_tf.training.inputs import Data, FitInputs, Member
    from seis_tf.waveforms import networks as waveform_networks

    power, labels = inputs.spectrograms(work, count)
    member = Member(np.arange(count), np.array([], int), 0)
    fitted = FitInputs(Data((power,), labels.astype(np.int32)), [member], losses.cross_entropy)
    settings = TrainingSettings(epochs=1, batch_size=BATCH, monitor="loss", keep="last")
    model = waveform_networks.cnn(power.shape[1:], 3)
    last = []

    def run() -> None:
        last[:] = loop.fit([model], fitted, settings).progress.history[0]

    return Ready(run, count, facts=lambda: {"final_loss": last[-1]["loss"]})


def pytorch(work: Path, count: int) -> Ready:
    """The same network and an epoch of the usual loop."""
    import torch

    from rows import torch_training

    torch.manual_seed(0)
    power, labels = inputs.spectrograms(work, count)
    x, y = torch.from_numpy(power[:, None]), torch.from_numpy(labels)
    last = []

    def run() -> None:
        last[:] = torch_training.train(torch_training.cnn(), x, y, torch.nn.functional.cross_entropy, 1, BATCH)

    return Ready(run, count, facts=lambda: {"final_loss": last[-1]})
