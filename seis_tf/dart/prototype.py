"""Weights that were trained with the published PyTorch prototype -> a run of `conv1d`.

The prototype (C. Liu, 2021) names its layers conv1, conv2, ..., lin, lin2 and saves a state dict. Buoys and sources
have no names there: whoever imports says with the data set in which order they are.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from seis_tf.settings.networks import Conv1dSettings

_CONVOLUTION = re.compile(r"conv(\d+)\.weight")
_DENSE = {"lin": "linear_1", "lin2": "weights_m"}


def read_weights(path: Path | str) -> dict[str, np.ndarray]:
    """The arrays of a state dict by name.

    Args:
        path: an `.npz` with the state dict's names, or a file of `torch.save(model.state_dict(), path)`, which needs
            torch; it is read with `weights_only=True`, which runs nothing that the file holds.

    Raises:
        ValueError: it is something else; a pickled whole model is refused, since reading it would run its code.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected a file of weights, received nothing there")
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (ValueError, OSError, zipfile.BadZipFile) as err:
            raise ValueError(f"{path}: expected an .npz of plain arrays, received {err}") from err
    if not zipfile.is_zipfile(path):
        expected = "an .npz or a file of torch.save (PyTorch 1.6 or newer)"
        raise ValueError(f"{path}: expected {expected}, received other bytes")
    found = _load_torch(path)
    if not isinstance(found, dict) or not all(hasattr(value, "detach") for value in found.values()):
        raise ValueError(f"{path}: expected a state dict (tensors by name), received {_kind(found)}")
    return {name: value.detach().cpu().numpy() for name, value in found.items()}


def settings_of(weights: dict[str, np.ndarray], *, activation: str = "leaky_relu") -> Conv1dSettings:
    """The network that these weights belong to.

    Args:
        weights: of `read_weights`.
        activation: after each convolution. The weights don't tell; the prototype's is LeakyReLU with slope 0.01.

    Raises:
        ValueError: a layer is missing, unknown, or does not fit the one before it.
    """
    numbers = sorted(int(match[1]) for name in weights if (match := _CONVOLUTION.fullmatch(name)))
    stages = [f"conv{number}" for number in range(1, len(numbers) + 1)]
    expected = {f"{layer}.{part}" for layer in (*stages, *_DENSE) for part in ("weight", "bias")}
    if not stages or weights.keys() != expected:
        raise ValueError(
            f"weights: expected conv1, conv2, ..., lin and lin2 with weight and bias, received {sorted(weights)}"
        )
    before = weights["conv1.weight"].shape[1] if weights["conv1.weight"].ndim == 3 else 0
    widths = []
    for layer in (*stages, *_DENSE):
        width = weights[f"{layer}.bias"].size
        shape = (width, before, 3) if layer in stages else (width, before)
        if weights[f"{layer}.weight"].shape != shape:
            raise ValueError(f"{layer}.weight: expected shape {shape}, received {weights[f'{layer}.weight'].shape}")
        widths.append(width)
        before = width
    return Conv1dSettings(widths=tuple(widths[: len(stages)]), dense=widths[-2], activation=activation)


def assign(model: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Gives a network of `conv1d` the weights: PyTorch's kernels are [out, in, tap] and [out, in], Keras's reversed."""
    names = {f"conv{i + 1}": f"conv_{i + 1}" for i in range(len(weights) // 2 - len(_DENSE))} | _DENSE
    for theirs, ours in names.items():
        model.get_layer(ours).set_weights([weights[f"{theirs}.weight"].T, weights[f"{theirs}.bias"]])


def _load_torch(path: Path) -> Any:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as err:
        raise ValueError(
            f"{path}: expected torch to be installed or an .npz, received neither; where torch is, "
            "numpy.savez('weights.npz', **{name: value.numpy() for name, value in model.state_dict().items()})"
        ) from err
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as err:
        raise ValueError(
            f"{path}: expected a state dict, received a pickled model or other objects, which are not read; "
            "save torch.save(model.state_dict(), path) where the model's code is"
        ) from err
    except (RuntimeError, OSError) as err:
        raise ValueError(f"{path}: expected weights saved by torch.save, received {str(err).splitlines()[0]}") from err


def _kind(found: Any) -> str:
    return f"entries {sorted(map(str, found))[:6]}" if isinstance(found, dict) else type(found).__name__
