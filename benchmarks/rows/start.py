"""Row 10: how long commands and the import take, against the same with TensorFlow imported first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from suite.definition import Comparison, Ready, Row, Way

COMMANDS = {
    "--help": "from seis_tf.cli import main; main(['--help'])",
    "inspect": "from seis_tf.cli import main; main(['inspect', {dataset!r}])",
    "import seis_tf": "import seis_tf",
}


def row(scale: str) -> Row:
    """Each is a new process."""
    ways, comparisons = {}, []
    for name, code in COMMANDS.items():
        names = (name, f"{name}, TensorFlow first")
        ways[names[0]] = Way("rows.start:run", {"code": code})
        ways[names[1]] = Way("rows.start:run", {"code": f"import tensorflow; {code}"})
        comparisons.append(Comparison(name, names[0], (names[1],), 10))
    return Row(
        "10",
        "start of a command, from nothing",
        "starts/s",
        (("rows.inputs:waveform_dataset", {"count": 300}),),
        ways,
        tuple(comparisons),
        repeats=3 if scale == "normal" else 1,
        note="A new process each time; the interpreter's own start is in both.",
    )


def run(work: Path, code: str) -> Ready:
    """One start a call."""
    command = [sys.executable, "-c", code.format(dataset=str(work / "dataset-300"))]

    def start() -> None:
        result = subprocess.run(command, capture_output=True, text=True)
        if result.returncode:
            raise ValueError(f"{code}: expected status 0, received {result.returncode}: {result.stderr[-500:]}")

    return Ready(start, 1)
