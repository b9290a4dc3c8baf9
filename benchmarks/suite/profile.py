"""Where the time of rows 1, 4 and 6 goes, and how far that is from what the machine can do."""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from suite import machine
from suite.definition import cores
from suite.workers import once, once_here

Part = dict[str, Any]


def measure(scale: str, work: Path) -> dict[str, Any]:
    """Each in a process of its own."""
    quick = scale == "quick"
    call = once_here if quick else once
    limits = once("suite.profile:limits", work, megabytes=16 if quick else 512)
    count = 300 if quick else 5000
    once("rows.inputs:labquake_files", work, count=count)
    profiles = {
        f"1: prepare {count:,} files, one process": once("suite.profile:preparing", work, 1, count=count),
        "4: one epoch of the DART network, 910 records, batches of 20": call(
            "suite.profile:dart_epoch", work, epochs=2 if quick else 20
        ),
        "6: one epoch of the CNN, batches of 50": call(
            "suite.profile:cnn_epoch", work, count=100 if quick else 2000, epochs=1 if quick else 3
        ),
    }
    return {"limits": limits, "limit_threads": cores(), "profiles": profiles}


def limits(work: Path, megabytes: int) -> dict[str, float]:
    """What the machine can do."""
    return machine.limits(work, megabytes)


def preparing(work: Path, count: int) -> dict[str, Any]:
    """Clocks around the stages of `prepare_waveforms`; what they miss is told as the rest."""
    from rows.prepare import ours

    ready = ours(work, count, processes=1)
    stages = {
        "list the files, choose splits": ("seis_tf.waveforms.prepare", ("sources.list_records", "_split_records")),
        "read, cut, detrend, measure": ("seis_tf.waveforms.prepare", ("loading.load_batch",)),
        "transform": ("seis_tf.waveforms.prepare", ("spectrograms",)),
        "encode as Examples": ("seis_tf.waveforms.prepare", ("examples.encode_batch",)),
        "checksum and write": ("seis_tf.dataset.shard_writer", ("tfrecords.Writer.write_all",)),
        "wait for the disk (fsync)": ("os", ("fsync",)),
    }
    ready.before()
    ready.work()  # what is imported on the way is imported
    ready.before()
    with contextlib.ExitStack() as stack:
        clocks = {name: stack.enter_context(clock(*place)) for name, place in stages.items()}
        started = time.perf_counter()
        ready.work()
        total = time.perf_counter() - started
    paths = sorted((work / f"records-{count}").glob("*/*.mseed"))
    bytes_alone = machine.best_seconds(lambda: [path.read_bytes() for path in paths], 0.5)
    product = 2 * 101 * 20 * 130 * count
    notes = {
        "read, cut, detrend, measure": f"opening and reading the bytes alone: {1e3 * bytes_alone:.0f} ms",
        "transform": _arithmetic(product, (130, 20, 101)) + "; with the logarithm",
        "checksum and write": _written(work / f"prepared-{count}"),
    }
    return _profile({name: seconds[0] for name, seconds in clocks.items()}, total, notes)


@contextlib.contextmanager
def clock(module: str, names: tuple[str, ...]) -> Iterator[list[float]]:
    """Adds up the time in some functions, by their names in a module, as long as the context lasts."""
    seconds, kept = [0.0], []
    for name in names:
        *path, last = name.split(".")
        owner = importlib.import_module(module)
        for part in path:
            owner = getattr(owner, part)
        kept.append((owner, last, getattr(owner, last)))
        setattr(owner, last, _clocked(getattr(owner, last), seconds))
    try:
        yield seconds
    finally:
        for owner, last, function in kept:
            setattr(owner, last, function)


def _clocked(function: Callable, seconds: list[float]) -> Callable:
    def call(*arguments, **named):
        started = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[0] += time.perf_counter() - started

    return call


def dart_epoch(work: Path, epochs: int) -> dict[str, Any]:
    """The published network."""
    from rows import inputs

    from seis_tf.dart import networks as dart_networks
    from seis_tf.training import losses

    level, slip = inputs.dart_arrays(910)
    product, length, channels = 0, 45, 3
    for width in dart_networks.conv1d_widths(45, None):
        product += 2 * length * 3 * channels * width
        length, channels = length // 2, width
    product += 2 * (channels * 40 + 40 * 31)
    note = _arithmetic(3 * 910 * product, (20 * 22, 60, 20))
    return _epoch(dart_networks.conv1d(45, 3, 31), level, slip, losses.squared_error, 20, epochs, note)


def cnn_epoch(work: Path, count: int, epochs: int) -> dict[str, Any]:
    """The CNN 8-16-32."""
    from rows import inputs

    from seis_tf.training import losses
    from seis_tf.waveforms import networks as waveform_networks

    power, labels = inputs.spectrograms(work, count)
    product, height, width, channels = 0, *power.shape[1:], 1
    for filters in (8, 16, 32):
        product += 2 * height * width * 9 * channels * filters
        height, width, channels = height // 2, width // 2, filters
    product += 2 * (channels * height * width * 20 + 20 * 3)
    note = _arithmetic(3 * count * product, (50 * 32 * 50, 72, 16))
    return _epoch(
        waveform_networks.cnn(power.shape[1:], 3),
        power,
        labels.astype(np.int32),
        losses.cross_entropy,
        50,
        epochs,
        note,
    )


def _epoch(model, inputs: np.ndarray, targets: np.ndarray, loss, batch: int, epochs: int, note: str) -> dict[str, Any]:
    """An epoch of `training.fit`, and loops that do less and less of its step: what a part costs is the difference."""
    import tensorflow as tf

    from seis_tf.settings.training import TrainingSettings
    from seis_tf.training import batches, loop
    from seis_tf.training.architecture import is_stackable
    from seis_tf.training.inputs import Data, FitInputs, Member

    count, steps = len(inputs), len(inputs) // batch
    settings = TrainingSettings(epochs=epochs + 1, batch_size=batch, monitor="loss", keep="last")
    member = Member(np.arange(count), np.array([], int), 0)
    fitted = FitInputs(Data((inputs,), targets), [member], loss)
    history = loop.fit([model], fitted, settings).progress.history[0]
    total = min(row["seconds"] for row in history[1:])
    ordering = machine.best_seconds(lambda: batches.epoch_batches([member], 1, batch, None), 0.2)
    order = tf.constant(np.random.default_rng(0).permutation(count)[: steps * batch].reshape(steps, batch))
    x_all, y_all = tf.constant(inputs), tf.constant(targets)
    trainable = [tf.constant(v.value) for v in model.trainable_variables]
    still = [tf.constant(v.value) for v in model.non_trainable_variables]

    def forward(x, y):
        outputs, _ = model.stateless_call(trainable, still, x, training=True)
        return tf.reduce_mean(loss(y, outputs))

    def gradient(x, y):
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            value = forward(x, y)
        return tf.add_n([tf.reduce_sum(g) for g in tape.gradient(value, trainable)])

    def seconds(step: Callable) -> float:
        compiled = is_stackable(model)
        inner = tf.autograph.experimental.do_not_convert(step) if compiled else tf.function(step, autograph=False)

        @tf.function(jit_compile=compiled or None)
        def loop():
            left = tf.constant(0.0)
            for i in tf.range(steps):
                left += inner(tf.gather(x_all, order[i]), tf.gather(y_all, order[i]))
            return left

        loop()
        return machine.best_seconds(loop, 1.0)

    gathered = seconds(lambda x, y: tf.reduce_sum(x[0]) + tf.cast(tf.reduce_sum(y[0]), tf.float32))
    ahead, back = seconds(forward), seconds(gradient)
    parts = {
        "draw the order of records": ordering,
        "loop (compiled: without taking batches)": gathered,
        "forward": max(ahead - gathered, 0.0),
        "gradient": max(back - ahead, 0.0),
    }
    done = {"gradient": note}
    return _profile(parts, total, done, "optimizer (Adam), state from step to step, the rest")


def _arithmetic(product: float, shape: tuple[int, int, int]) -> str:
    rate = machine.product_gflops(*shape)
    rows, inner, columns = shape
    return (
        f"{product / 1e9:.3g} GFLOP in all, at the rate of a matrix product of {rows:,} x {inner} x {columns} "
        f"({rate:.0f} GFLOP/s) {product / rate / 1e6:.3g} ms"
    )


def _written(folder: Path) -> str:
    size = sum(path.stat().st_size for path in folder.iterdir())
    return f"{size / 1e6:.0f} MB"


def _profile(parts: dict[str, float], total: float, notes: dict[str, str], rest: str = "the rest") -> dict[str, Any]:
    left = total - sum(parts.values())
    listed: list[Part] = [{"name": name, "seconds": s, "note": notes.get(name, "")} for name, s in parts.items()]
    return {"total_s": total, "parts": [*listed, {"name": rest, "seconds": left, "note": ""}]}
