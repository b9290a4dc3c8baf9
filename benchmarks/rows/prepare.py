"""Row 1: miniSEED files -> a data set, against the exercise's loop."""

from __future__ import annotations

import time
from pathlib import Path

from suite.definition import Comparison, Ready, Row, Way, cores, fresh_folder


def row(scale: str) -> Row:
    """20,000 files; the loop does a part of them, as it takes the same time for each."""
    count, few = {"quick": (300, 60), "normal": (20_000, 2_000), "full": (20_000, 20_000)}[scale]
    return Row(
        "1",
        f"prepare {count:,} miniSEED files of 1,024 samples",
        "files/s",
        (("rows.inputs:labquake_files", {"count": count}),),
        {
            "ours": Way("rows.prepare:ours", {"count": count}),
            "ours, whole command": Way("rows.prepare:whole_command", {"count": count}),
            "ours, whole command, TensorFlow imported": Way(
                "rows.prepare:whole_command", {"count": count, "tensorflow": True}
            ),
            "the exercise's loop": Way("rows.prepare:loop", {"count": count, "files": few}),
        },
        (
            Comparison("once started", "ours", ("the exercise's loop",), 40),
            Comparison("whole command", "ours, whole command", ("the exercise's loop",)),
            Comparison(
                "whole command with TensorFlow's import",
                "ours, whole command, TensorFlow imported",
                ("the exercise's loop",),
            ),
        ),
        repeats=3,
        note=f"The loop was given {few:,} of the files; its rate does not depend on their number. Files are in the "
        "page cache.",
    )


def ours(work: Path, count: int, processes: int | None = None) -> Ready:
    """`prepare_waveforms` in a process that has imported it; starting its workers is timed."""
    from seis_tf.settings.data import WaveformJob
    from seis_tf.waveforms import readers  # noqa: F401  what the first batch would import
    from seis_tf.waveforms.prepare import prepare_waveforms

    source, out = work / f"records-{count}", work / f"prepared-{count}"
    return Ready(
        lambda: prepare_waveforms(source, out, WaveformJob(), processes=processes or cores()),
        count,
        before=lambda: fresh_folder(out),
    )


def whole_command(work: Path, count: int, tensorflow: bool = False) -> Ready:
    """The command from nothing, as a user types it; with `tensorflow` that is imported first, as most packages do."""
    import subprocess
    import sys

    out = work / f"commanded-{count}-{tensorflow}"
    start = "import tensorflow; " * tensorflow + "from seis_tf.cli import main; import sys; main(sys.argv[1:])"
    arguments = ["prepare", "waveforms", str(work / f"records-{count}"), str(out), "--processes", str(cores())]
    return Ready(
        lambda: subprocess.run([sys.executable, "-c", start, *arguments], check=True, capture_output=True),
        count,
        before=lambda: fresh_folder(out),
        warm=lambda: None,
    )


def loop(work: Path, count: int, files: int) -> Ready:
    """One file after the other: read, detrend, spectrogram, a column of one matrix, saved as .mat at the end."""
    import numpy as np
    import scipy.io
    import scipy.signal
    from obspy import read

    names = sorted(folder.name for folder in (work / f"records-{count}").iterdir() if folder.is_dir())
    paths = sorted((work / f"records-{count}").glob("*/*.mseed"))
    paths = [paths[i] for i in np.linspace(0, len(paths) - 1, files).astype(int)]

    def run(chosen: list[Path]) -> None:
        matrix = np.zeros((65 * 101 + 1, len(chosen)))
        for i, path in enumerate(chosen):
            trace = read(str(path))[0]
            trace.detrend("linear")
            _, _, power = scipy.signal.spectrogram(
                trace.data[:1024], trace.stats.sampling_rate, nperseg=20, noverlap=10, nfft=128
            )
            matrix[:-1, i] = np.log10(power + 1e-30).ravel()
            matrix[-1, i] = names.index(path.parent.name)
        scipy.io.savemat(work / "loop.mat", {"mSpec": matrix, "nx": 101, "ny": 65})

    return Ready(lambda: run(paths), files, warm=lambda: run(paths[:20]))


def once(work: Path, count: int) -> dict[str, float]:
    """Seconds of one `prepare`, for the growth plot."""
    ready = ours(work, count)
    ready.before()
    started = time.perf_counter()
    ready.work()
    seconds = time.perf_counter() - started
    ready.before()
    return {"seconds": seconds}
