"""Row 2: spectrograms of waveforms in memory, against SciPy's."""

from __future__ import annotations

from pathlib import Path

from suite.definition import Comparison, Ready, Row, Way, either_thread_count

from rows import inputs

_BLOCK = 16  # waveforms that SciPy is given at once; tried 16 to 1,000, this is fastest: all fits the cache


def row(scale: str) -> Row:
    """10,000 waveforms of 1,024 samples, float32; the power itself, without its logarithm."""
    count = 200 if scale == "quick" else 10_000
    sizes = {"count": count}
    one = either_thread_count("ours, NumPy", "rows.spectrograms:ours_numpy", scale, **sizes)
    graph = {"ours, in the graph (XLA)": Way("rows.spectrograms:ours_graph", sizes)}
    scipy = {
        "SciPy, one by one": Way("rows.spectrograms:scipy_each", sizes, 1),
        "SciPy, batched": Way("rows.spectrograms:scipy_batched", sizes, 1),
    }
    each, batched = scipy
    return Row(
        "2",
        f"spectrograms of {count:,} waveforms in memory",
        "waveforms/s",
        (("rows.inputs:waveforms_file", sizes),),
        one | graph | scipy,
        tuple(
            Comparison(f"{label}, against {other}", name, (against,), aim)
            for label, name in (("NumPy", list(one)[-1]), ("graph", next(iter(graph))))
            for other, against, aim in (("SciPy one by one", each, 20), ("SciPy batched", batched, 10))
        ),
        repeats=3,
        note="Power of 65 x 101 without the logarithm, float32 throughout; NumPy's and SciPy's ways fill an array "
        "that is there already. SciPy's transforms use one thread.",
    )


def ours_numpy(work: Path, count: int) -> Ready:
    """`seis_tf.waveforms.spectrograms`."""
    from seis_tf.settings.data import SpectrogramSettings
    from seis_tf.waveforms.spectrograms import spectrograms

    samples, out = inputs.waveforms(work, count)[0], _room(count)
    return Ready(lambda: spectrograms(samples, SpectrogramSettings(log=False), inputs.RATE_HZ, out), count)


def ours_graph(work: Path, count: int) -> Ready:
    """The layer that is inside an exported model, 1,000 waveforms at a time."""
    import tensorflow as tf

    from seis_tf.settings.data import SpectrogramSettings
    from seis_tf.waveforms.layers import Spectrogram

    layer = Spectrogram(SpectrogramSettings(log=False), inputs.RATE_HZ)
    function = tf.function(layer, jit_compile=True)
    samples = inputs.waveforms(work, count)[0]
    step = min(1000, count)

    def run() -> None:
        for first in range(0, count, step):
            function(tf.constant(samples[first : first + step])).numpy()

    return Ready(run, count)


def _room(count: int):
    """Memory for the result that has been touched before: new memory costs up to 3 ns a byte here."""
    import numpy as np

    return np.ones((count, 65, 101), np.float32)


def scipy_each(work: Path, count: int) -> Ready:
    """`scipy.signal.spectrogram` of one waveform after the other."""
    import numpy as np
    from scipy import signal

    samples, out = inputs.waveforms(work, count)[0], _room(count)

    def run(some: np.ndarray) -> None:
        for i, waveform in enumerate(some):
            out[i] = signal.spectrogram(waveform, inputs.RATE_HZ, nperseg=20, noverlap=10, nfft=128)[2]

    return Ready(lambda: run(samples), count, warm=lambda: run(samples[:10]))


def scipy_batched(work: Path, count: int) -> Ready:
    """`scipy.signal.spectrogram` of many at once."""
    import numpy as np
    from scipy import signal

    samples, out = inputs.waveforms(work, count)[0], _room(count)

    def run(some: np.ndarray) -> None:
        for first in range(0, len(some), _BLOCK):
            block = some[first : first + _BLOCK]
            power = signal.spectrogram(block, inputs.RATE_HZ, nperseg=20, noverlap=10, nfft=128)[2]
            out[first : first + len(block)] = power

    return Ready(lambda: run(samples), count, warm=lambda: run(samples[:10]))
