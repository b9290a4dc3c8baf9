"""Networks and training loops in PyTorch, as its users write them: what rows 4, 6, 7 and 9 are compared with.

The data is one tensor in memory and a batch is taken by index, which is faster than a `DataLoader` on data this small.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import nn


def conv1d(minutes: int = 45, buoys: int = 3, sources: int = 31) -> nn.Sequential:
    """The published DART network: [batch, buoy, minute] -> [batch, source]."""
    from seis_tf.dart.networks import conv1d_widths

    layers, channels = [], buoys
    for width in conv1d_widths(minutes, None):
        layers += [nn.Conv1d(channels, width, 3, padding=1), nn.LeakyReLU(), nn.MaxPool1d(2)]
        channels = width
    layers += [nn.Flatten(), nn.Linear(channels, 40), nn.Dropout(0.3), nn.Linear(40, sources), nn.ReLU()]
    return nn.Sequential(*layers)


def cnn(frequencies: int = 65, times: int = 101, classes: int = 3) -> nn.Sequential:
    """The 2-D CNN 8-16-32: [batch, 1, frequency, time] -> logits [batch, class]."""
    layers, channels = [], 1
    for width in (8, 16, 32):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels, frequencies, times = width, frequencies // 2, times // 2
    layers += [nn.Flatten(), nn.Linear(channels * frequencies * times, 20), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(*layers, nn.Linear(20, classes))


def mlp(inputs: int = 6565, classes: int = 3) -> nn.Sequential:
    """6565-20-3: [batch, ...] -> logits [batch, class]."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 20), nn.ReLU(), nn.Linear(20, classes))


def train(
    model: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    loss: Callable,
    epochs: int,
    batch: int,
    rate: float = 1e-3,
    valid: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> list[float]:
    """The usual loop, and the mean loss of each epoch; with `valid` the best epoch's weights are kept."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    history, best, kept = [], np.inf, None
    for _ in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad()
            value = loss(model(x[rows]), y[rows])
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        history.append(total / len(x))
        if valid is not None:
            model.eval()
            with torch.no_grad():
                score = loss(model(valid[0]), valid[1]).item()
            if score < best:
                best, kept = score, copy.deepcopy(model.state_dict())
    if kept is not None:
        model.load_state_dict(kept)
    return history


def dart_tensors(level: np.ndarray, slip: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Windows as PyTorch's convolutions take them, [event, buoy, minute], and slip."""
    return torch.from_numpy(np.ascontiguousarray(level.swapaxes(1, 2))), torch.from_numpy(slip)
