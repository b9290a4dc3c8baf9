"""Row 7: raw waveform -> probabilities, one and 1,024 at a time, against SciPy with scikit-learn, and PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from suite.definition import Comparison, Ready, Row, Way, either_thread_count

from rows import inputs


def row(scale: str) -> Row:
    """The same MLP 6565-20-3, with the same weights, in all ways."""
    many, calls = (64, 5) if scale == "quick" else (1024, 200)
    ways: dict[str, Way] = {}
    others: dict[int, tuple[str, ...]] = {}
    for size, count in ((1, calls), (many, 1)):
        sizes = {"size": size, "calls": count}
        other = either_thread_count(f"SciPy and scikit-learn, {size:,}", "rows.answers:scikit", scale, **sizes)
        other |= either_thread_count(f"PyTorch, {size:,}", "rows.answers:pytorch", scale, **sizes)
        ways |= {f"ours, {size:,}": Way("rows.answers:ours", sizes), **other}
        others[size] = tuple(other)
    return Row(
        "7",
        f"raw waveform -> probabilities, 1 and {many:,} at a time",
        "waveforms/s",
        (("rows.inputs:exported", {"task": "waveforms"}), ("rows.inputs:waveforms_file", {"count": 2000})),
        ways,
        tuple(
            Comparison(f"{size:,} at a time, against {word}", f"ours, {size:,}", named(others[size], word), aim)
            for size, aim in ((1, 1.0), (many, 3.0))
            for word in ("SciPy and scikit-learn", "PyTorch")
        ),
        note="Detrend, log spectrogram, standardise, MLP. Ours is the exported SavedModel, which also judges whether a "
        "record is valid and gives class names. The transform in PyTorch is a batched FFT.",
    )


def named(names: Iterable[str], start: str) -> tuple[str, ...]:
    """Those that begin so."""
    return tuple(name for name in names if name.startswith(start))


def ours(work: Path, size: int, calls: int) -> Ready:
    """The SavedModel's default signature."""
    import tensorflow as tf

    function = tf.saved_model.load(str(exported_folder(work))).signatures["serving_default"]

    def answer(samples: np.ndarray) -> np.ndarray:
        return function(waveform=tf.constant(samples))["probabilities"].numpy()

    return _ready(work, answer, size, calls)


def scikit(work: Path, size: int, calls: int) -> Ready:
    """SciPy's detrend and spectrogram, NumPy's logarithm, `MLPClassifier.predict_proba` with the exported weights."""
    from scipy import signal
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((20,)).partial_fit(np.zeros((3, 6565), np.float32), np.arange(3), classes=np.arange(3))
    weights = _weights(work)
    model.coefs_, model.intercepts_ = weights[::2], weights[1::2]

    def answer(samples: np.ndarray) -> np.ndarray:
        straight = signal.detrend(samples, axis=-1)
        power = signal.spectrogram(straight, inputs.RATE_HZ, nperseg=20, noverlap=10, nfft=128)[2]
        flat = np.log10(np.maximum(power, 1e-8 * power.max(axis=(1, 2), keepdims=True))).reshape(len(samples), -1)
        flat -= flat.mean(axis=1, keepdims=True)
        flat /= flat.std(axis=1, keepdims=True)
        return model.predict_proba(flat)

    return _ready(work, answer, size, calls)


def pytorch(work: Path, size: int, calls: int) -> Ready:
    """All in PyTorch: frames by `unfold`, one batched FFT, the network without gradients."""
    import torch
    from scipy import signal

    from rows import torch_training

    model = torch_training.mlp().eval()
    layers = [layer for layer in model if isinstance(layer, torch.nn.Linear)]
    for layer, kernel, bias in zip(layers, _weights(work)[::2], _weights(work)[1::2], strict=True):
        layer.weight.data, layer.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias)
    window = torch.from_numpy(signal.get_window(("tukey", 0.25), 20).astype(np.float32))
    scale = torch.full((65,), 2 / (inputs.RATE_HZ * float((window**2).sum())))
    scale[[0, -1]] /= 2
    time = torch.arange(1024) - 511.5
    time /= time.norm()

    def answer(samples: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(samples)
            x = x - x.mean(dim=1, keepdim=True)
            x = x - (x @ time)[:, None] * time
            frames = x.unfold(1, 20, 10)
            frames = (frames - frames.mean(dim=2, keepdim=True)) * window
            power = torch.fft.rfft(frames, 128).abs().square() * scale
            flat = torch.log10(torch.maximum(power, 1e-8 * power.amax(dim=(1, 2), keepdim=True)))
            flat = flat.transpose(1, 2).flatten(1)
            flat = (flat - flat.mean(dim=1, keepdim=True)) / flat.std(dim=1, keepdim=True, correction=0)
            return model(flat).softmax(dim=1).numpy()

    return _ready(work, answer, size, calls)


def exported_folder(work: Path, task: str = "waveforms") -> Path:
    """Where `inputs.exported` put it."""
    return work / f"model-{task}"


def remarks(found: dict) -> list[str]:
    """How far the ways' probabilities are apart."""
    first = np.array(next(iter(found.values()))["facts"]["probabilities"])
    worst = max(np.abs(np.array(way["facts"]["probabilities"]) - first).max() for way in found.values())
    return [f"The ways' probabilities of the same {len(first)} waveforms differ by at most {worst:.1e}."]


def _ready(work: Path, answer: Callable[[np.ndarray], np.ndarray], size: int, calls: int) -> Ready:
    samples = inputs.waveforms(work, 2000)[0]
    blocks = [np.ascontiguousarray(samples[k % (len(samples) - size + 1) :][:size]) for k in range(calls)]

    def run() -> None:
        for block in blocks:
            answer(block)

    some = [answer(samples[i : i + 1])[0] for i in range(20)]
    return Ready(run, size * calls, facts=lambda: {"probabilities": [p.astype(float).tolist() for p in some]})


def _weights(work: Path) -> list[np.ndarray]:
    """Kernel, bias, kernel, bias of the exported run, read without its framework."""
    with np.load(work / "mlp-weights.npz") as file:
        return [file[name] for name in sorted(file.files)]
