"""`seis-tf demo`: both jobs from simulated raw records to a served answer, with the same functions as the commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from seis_tf.config import FakequakeSettings, LabquakeSettings, TrainJob, WaveformJob
from seis_tf.presets import preset_tree

Say = Callable[[str], None]


def waveform_demo(out: Path, say: Say, *, count: int = 900) -> list[Path]:
    """Simulated labquakes -> MLP and CNN, judged on events they never saw; returns the reports."""
    from seis_tf import evaluation, prepare, runs
    from seis_tf.synthetic.labquakes import write_labquakes

    say(f"waveforms: {count} simulated labquakes, pulses and noise records")
    records = write_labquakes(out / "labquakes", LabquakeSettings(), count, seed=0)
    info = prepare.prepare_waveforms(records, out / "labquakes-dataset", WaveformJob(), processes=2)
    say("waveforms: " + ", ".join(f"{split} {contents.records}" for split, contents in info.splits.items()))
    reports = []
    for kind, epochs in (("mlp", 40), ("cnn", 25)):
        tree = preset_tree(kind, None)
        tree["training"] = tree.get("training", {}) | {"epochs": epochs, "batch_size": 32}
        run = out / f"labquakes-{kind}"
        runs.train(out / "labquakes-dataset", TrainJob.model_validate(tree), run)
        metrics = evaluation.evaluate(run)
        say(f"waveforms: {kind} on test events: balanced accuracy {metrics['test']['balanced_accuracy']:.3f}")
        reports.append(run / "report.html")
    return reports


def dart_demo(out: Path, say: Say, *, count: int = 600) -> list[Path]:
    """Simulated earthquakes -> the published network, judged beside least squares; returns the report."""
    from seis_tf import dart_evaluation, prepare_dart, runs
    from seis_tf.config import DartJob
    from seis_tf.synthetic import fakequake_files, fakequakes
    from seis_tf.unit_sources import load_greens

    say(f"dart: {count} simulated earthquakes")
    greens = load_greens()
    quakes = fakequakes.simulate(FakequakeSettings(), greens, count, 0)
    records = fakequake_files.write_fakequakes(out / "fakequakes", quakes, greens, raw=2)
    prepare_dart.prepare_dart(records, out / "fakequakes-dataset", DartJob())
    tree = preset_tree("conv1d", "published")
    tree["training"]["epochs"] = 100
    run = out / "fakequakes-conv1d"
    runs.train(out / "fakequakes-dataset", TrainJob.model_validate(tree), run)
    dart_evaluation.evaluate(run)
    return [run / "report.html"]


def demo(out: Path, say: Say) -> Path:
    """Runs both jobs and writes a page with links to what they made.

    Args:
        out: a folder that is made anew; only one made by the demo itself is replaced.
        say: told what happens.

    Returns:
        The path of the page.

    Raises:
        ValueError: `out` exists and was not made by the demo.
    """
    marker = out / ".seis-tf-demo"
    if out.exists() and any(out.iterdir()) and not marker.is_file():
        raise ValueError(f"{out}: expected no folder or one made by the demo, received another")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    marker.touch()
    reports = waveform_demo(out, say) + dart_demo(out, say)
    return reports[-1]
