"""`seis-tf demo`: both jobs from simulated raw records to a served answer, with the same functions as the commands."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from seis_tf import __version__
from seis_tf.files import write_atomically
from seis_tf.settings.data import DartJob, WaveformJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.simulation import FakequakeSettings, LabquakeSettings
from seis_tf.settings.training import TrainJob

Say = Callable[[str], None]
_MARKER = ".seis-tf-demo"


@dataclass
class Part:
    """A part of the demo's page."""

    title: str
    lines: list[str] = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)
    answer: str = ""


def demo(out: Path, say: Say) -> Path:
    """Runs both jobs and writes a page with what came out and links to the reports.

    Args:
        out: a folder that is made anew; only one that the demo itself made is replaced.
        say: called with a line on each part that is done.

    Returns:
        The path of the page.

    Raises:
        ValueError: `out` exists and was not made by the demo.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()) and not (out / _MARKER).is_file():
        raise ValueError(f"{out}: expected no folder or one that the demo made, received another")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / _MARKER).touch()
    started = time.perf_counter()
    parts = []
    for step in (waveform_part, search_part, dart_part, serving_part):
        part = step(out)
        say(f"{part.title}: {' '.join(part.lines)}")
        parts.append(part)
    page = Environment(
        loader=PackageLoader("seis_tf.evaluation.report"), autoescape=True, undefined=StrictUndefined
    ).get_template("demo.html")
    text = page.render(parts=parts, version=__version__, seconds=round(time.perf_counter() - started))
    write_atomically(out / "report.html", text.encode())
    return out / "report.html"


def waveform_part(out: Path) -> Part:
    """Labquakes, pulses and noise -> data set -> MLP and CNN, judged on events that they never saw."""
    from seis_tf import runs
    from seis_tf.evaluation import plots
    from seis_tf.evaluation.waveforms import evaluation as waveforms
    from seis_tf.synthetic.labquakes import write_labquakes
    from seis_tf.waveforms import prepare

    write_labquakes(out / "labquakes", LabquakeSettings(), 900, seed=0)
    info = prepare.prepare_waveforms(out / "labquakes", out / "labquakes-data", WaveformJob(), processes=2)
    counts = ", ".join(f"{contents.records} {split}" for split, contents in info.splits.items())
    part = Part("Waveforms", [f"900 simulated records of three classes, split by event: {counts}."])
    plots.plot_dataset(out / "labquakes-data", out / "labquakes-figures")
    part.links.append(("example records", "labquakes-figures/report.html"))
    for kind, epochs in (("mlp", 40), ("cnn", 30)):
        tree = preset_tree(kind, "noisy" if kind == "cnn" else None)
        tree["training"] = tree.get("training", {}) | {"epochs": epochs, "batch_size": 32}
        run = out / f"labquakes-{kind}"
        runs.train(out / "labquakes-data", TrainJob.model_validate(tree), run)
        score = waveforms.evaluate(run).splits["test"].balanced_accuracy
        part.lines.append(f"{kind.upper()}: balanced accuracy {score:.3f} on events that it never saw.")
        part.links.append((f"report of the {kind.upper()}", f"{run.name}/report.html"))
    return part


def search_part(out: Path) -> Part:
    """A small search over the MLP."""
    from seis_tf.tuning import report, search

    settings = search.settings_for("mlp", None, trials=6, epochs=10, together=6)
    rows = search.search(out / "labquakes-data", out / "labquakes-search", settings)
    report.write(out / "labquakes-search", settings, rows)
    lines = [f"6 trials of an MLP, 10 epochs each: best validation loss {rows[0]['score']:.3f}."]
    return Part("Search", lines, [("report of the search", "labquakes-search/report.html")])


def dart_part(out: Path) -> Part:
    """Simulated earthquakes -> the published network, judged beside least squares."""
    from seis_tf import runs
    from seis_tf.dart import prepare as dart_prepare
    from seis_tf.dart.unit_sources import load_greens
    from seis_tf.evaluation.evaluate import evaluate
    from seis_tf.synthetic import fakequake_files, fakequakes

    greens = load_greens()
    quakes = fakequakes.simulate(FakequakeSettings(), greens, 600, 0)
    fakequake_files.write_fakequakes(out / "fakequakes", quakes, greens, raw=1)
    dart_prepare.prepare_dart(out / "fakequakes", out / "fakequakes-data", DartJob())
    tree = preset_tree("conv1d", "published")
    tree["training"]["epochs"] = 100
    run = out / "fakequakes-conv1d"
    runs.train(out / "fakequakes-data", TrainJob.model_validate(tree), run)
    evaluate(run)
    lines = ["600 simulated earthquakes; the published network, 100 epochs instead of its 300; NNLS beside it."]
    return Part("DART buoys", lines, [("report of the network and of least squares", f"{run.name}/report.html")])


def serving_part(out: Path) -> Part:
    """Both models exported and checked, and one raw record of each answered through the local server's REST."""
    from seis_tf.serve.client.client import Client
    from seis_tf.serve.export.export import export
    from seis_tf.serve.local_server import running
    from seis_tf.serve.predict import predict as prediction
    from seis_tf.serve.predict import rows

    models = out / "models"
    part = Part("Serving")
    for run, name in (("labquakes-cnn", "labquakes"), ("fakequakes-conv1d", "fakequakes")):
        version = export(out / run, models, name)
        checked = json.loads((version / "assets.extra" / "check.json").read_text())
        part.lines.append(f"{name}: SavedModel version {version.name}, its checks {_verdict(checked)}.")
        part.links.append((f"model card of {name}", f"{version.relative_to(out)}/assets.extra/MODEL_CARD.md"))
    waveform, record = _first_test_waveform(out / "labquakes-data")
    with running(models, grpc_port=None) as server, Client("labquakes", server.url) as client:
        answer = client.predict({"waveform": waveform[None]})
    part.lines.append(f"Over REST, the record {record} is {answer['class_name'][0]}.")
    event = next((out / "fakequakes" / "raw").iterdir())
    event_info = json.loads((event / "event.json").read_text())
    answers = prediction.predict(
        models / "fakequakes", [str(event)], origin_time=event_info["origin_time"], figures=out / "event-figures"
    )
    part.answer = json.dumps(rows.rows(answers)[0], indent=1, default=str)
    part.lines.append("Below: the answer for one earthquake's raw buoy files, tides included.")
    part.links += [(path.stem, f"event-figures/{path.name}") for path in sorted((out / "event-figures").glob("*.png"))]
    return part


def _verdict(checked: dict[str, Any]) -> str:
    return "passed" if checked.get("passed") else "failed"


def _first_test_waveform(folder: Path):
    from seis_tf.dataset import shards

    record = next(shards.iterate(folder, shards.load_dataset(folder), "test"))
    return record["waveform"], record["record_id"]
