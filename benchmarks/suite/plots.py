"""Figures of how cost grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

AXES = {"batch": "batch size", "minutes": "window (min)", "sources": "unit sources"}
# One look for each way in all panels.
STYLES = {
    "ours, training": "o-C0",
    "PyTorch, training": "s--C0",
    "ours, answers": "o-C1",
    "NNLS, answers": "s--C1",
}


def draw(folder: Path, results: dict[str, Any]) -> dict[str, str]:
    """Draws what there is into the folder.

    Returns:
        File name to title, in the order to be shown.
    """
    if "growth" not in results:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    return _records(folder, results["growth"]["records"]) | _sweeps(folder, results["growth"]["sweeps"])


def _records(folder: Path, found: dict[str, list[dict[str, float]]]) -> dict[str, str]:
    figure, axes = _figure(2)
    for name, points in found.items():
        count = [p["records"] for p in points]
        for axis, key in zip(axes, ("seconds", "memory_mb"), strict=True):
            axis.plot(count, [p[key] for p in points], "o-", label=name)
    for axis, label in zip(axes, ("seconds", "peak memory (MB)"), strict=True):
        axis.set(xlabel="records", ylabel=label, xlim=(0, None), ylim=(0, None))
    _legend(figure, axes[0])
    return _saved(figure, folder, "records.png", "Time and memory against the number of records")


def _sweeps(folder: Path, sweeps: dict[str, list[dict[str, float]]]) -> dict[str, str]:
    sweeps = {name: points for name, points in sweeps.items() if points}
    figure, axes = _figure(len(sweeps))
    for axis, (name, points) in zip(axes, sweeps.items(), strict=True):
        for key in [key for key in STYLES if key in points[0]]:
            axis.loglog([p[name] for p in points], [p[key] for p in points], STYLES[key], label=key)
        axis.set(xlabel=AXES[name])
        axis.set_xticks([p[name] for p in points], [str(p[name]) for p in points], minor=False)
        axis.minorticks_off()
    axes[0].set_ylabel("a second")
    _legend(figure, axes[-1])
    return _saved(figure, folder, "sizes.png", "Training samples and answers a second against sizes")


def _figure(columns: int):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, columns, figsize=(3.4 * columns, 2.8), layout="constrained", squeeze=False)
    return figure, axes[0]


def _legend(figure, axis) -> None:
    """Above all panels, where no line runs through it."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)


def _saved(figure, folder: Path, file: str, title: str) -> dict[str, str]:
    from matplotlib import pyplot as plt

    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / file, dpi=110)
    plt.close(figure)
    return {file: title}
