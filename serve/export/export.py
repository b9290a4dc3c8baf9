"""A run -> a version of a model that TensorFlow Serving loads: MODELS/NAME/VERSION.

A version is written to a temporary folder, checked, and only then renamed to its number, so that a server that polls
the folder never sees half a version, nor one that answers differently from the model that was trained.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seis_tf import runs
from seis_tf.evaluation.calibrate import calibrate
from seis_tf.files import write_json
from seis_tf.runs import Run
from seis_tf.serve.export import labels, tflite
from seis_tf.serve.export.calibration import read_calibration
from seis_tf.serve.export.card import model_card
from seis_tf.serve.export.check import CheckFailed, Report, TestRecords, check, load_test_records
from seis_tf.serve.export.signature import Graph, save
from seis_tf.serve.export.tasks import EXPORTS
from seis_tf.serve.export.warmup import FILE as WARMUP_FILE
from seis_tf.serve.export.warmup import write_warmup

METADATA_VERSION = 1
EXTRA = "assets.extra"
FORMATS = ("saved_model", "tflite")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def export(
    run_folder: Path | str,
    models_folder: Path | str,
    name: str,
    *,
    label: str | None = None,
    formats: Sequence[str] = ("saved_model",),
    dataset: Path | str | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> Path:
    """Publishes a run as the next version of a model.

    Args:
        run_folder: a finished run.
        models_folder: MODELS; made if it is not there.
        name: of the model: letters, digits, `_`, `.`, `-`.
        label: "stable" (the default) or "canary".
        formats: with "tflite" the version also holds `assets.extra/model.tflite`; the SavedModel is always made.
        dataset: the run's data set, where it has moved since training; its test records check the export.
        say: called with a sentence where the run's calibration is fitted only now, or can't be.

    Returns:
        The version's folder, MODELS/NAME/VERSION.

    Raises:
        ValueError: no finished run, no data set, or a name that no URL or folder can have.
        CheckFailed: the exported model does not answer as the trained one; nothing was published.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name: expected letters, digits, '_', '.' or '-', received {name!r}")
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"formats: expected some of {list(FORMATS)}, received {unknown}")
    run = runs.load_run(run_folder)
    home = runs.dataset_of(run, dataset)
    records = load_test_records(home)
    calibrate(run, home, say)
    task, graph = EXPORTS[run.config.info.task], graph_of(run)
    models, base = Path(models_folder), Path(models_folder) / name
    labels.check_label(label)
    base.mkdir(parents=True, exist_ok=True)
    unpublished = Path(tempfile.mkdtemp(dir=base, prefix=".unpublished-"))
    try:
        version = max(versions(base), default=0) + 1
        report = _write_checked(unpublished, run, graph, name, records, "tflite" in formats)
        described = metadata(run, graph, name, version)
        write_json(unpublished / EXTRA / "metadata.json", described)
        card = model_card(described, report.describe(), task.card)
        (unpublished / EXTRA / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        final = _publish(unpublished, base / str(version))
    finally:
        shutil.rmtree(unpublished, ignore_errors=True)
    labels.write_server_files(models)
    labels.publish(models, name, version, label)
    return final


def versions(base: Path) -> list[int]:
    """The published versions of a model, ascending."""
    if not base.is_dir():
        return []
    return sorted(int(entry.name) for entry in base.iterdir() if entry.name.isdecimal() and entry.is_dir())


def graph_of(run: Run) -> Graph:
    """The graph that is exported for a run.

    Raises:
        ValueError: the run's calibration is damaged, or its Green's functions are not there.
    """
    return EXPORTS[run.config.info.task].graph(run, read_calibration(run.folder))


def metadata(run: Run, graph: Graph, name: str, version: int) -> dict[str, Any]:
    """The content of `metadata.json`: orders, units, window, settings, signatures, scores, versions."""
    config, info = run.config, run.config.info
    described = {
        key: {
            "inputs": {field.name: field.describe() for field in signature.inputs},
            "outputs": {field.name: field.describe() for field in signature.outputs},
        }
        for key, signature in graph.signatures().items()
    }
    tree = {
        "metadata_version": METADATA_VERSION,
        "name": name,
        "version": version,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "task": info.task,
        "signatures": described,
        "units": info.units,
        "members": run.members,
        "model": config.job.model.model_dump(mode="json") | {"parameters": run.parameters},
        "training": None if config.imported else config.job.training.model_dump(mode="json"),
        "imported": config.imported,
        "dataset": {
            "name": (run.folder / config.dataset).resolve().name,
            "fingerprint": info.fingerprint,
            "simulated": info.simulated,
            "grouped": info.grouped,
            "splits": {
                key: {"groups": split.groups, "records": split.records, "class_counts": split.class_counts}
                for key, split in info.splits.items()
            },
        },
        "metrics": metrics_of(run),
        "versions": config.versions,
    }
    return tree | graph.describe()


def metrics_of(run: Run) -> dict[str, Any]:
    """Scores of the run: `metrics.json` where it was evaluated, else the last epoch's, averaged over the members."""
    path = run.folder / "metrics.json"
    if path.is_file():
        # Without the data set's path, which belongs to the machine that trained.
        return {key: value for key, value in json.loads(path.read_text()).items() if key != "dataset"}
    last = [rows[-1] for rows in run.history]
    return {"last_epoch": {key: sum(row[key] for row in last) / len(last) for key in last[0]}}


def _write_checked(folder: Path, run: Run, graph: Graph, name: str, records: TestRecords, with_tflite: bool) -> Report:
    """Writes the SavedModel and what lies beside it but metadata and card, and checks it.

    Raises:
        CheckFailed: the exported model does not answer as the trained one.
    """
    task, extra, signatures = EXPORTS[run.config.info.task], folder / EXTRA, graph.signatures()
    extra.mkdir()
    save(signatures, graph.variables, folder)
    write_warmup(extra / WARMUP_FILE, name, signatures)
    report = check(folder, run, graph, records, task.check)
    if with_tflite:
        answers = tflite.write_tflite(extra / tflite.FILE, run, graph)
        task.check(report.part("tflite", tflite.OUTPUT_LIMIT), answers, run, graph, records)
    _refuse_failed(report, name)
    write_json(extra / "check.json", report.describe())
    for file, content in graph.files().items():
        (extra / file).write_bytes(content)
    return report


def _refuse_failed(report: Report, name: str) -> None:
    if not report.passed:
        failed = "; ".join(_in_words(result) for result in report.results if not result["passed"])
        raise CheckFailed(f"{name}: expected an export that passes its check, received {failed}")


def _in_words(result: dict[str, Any]) -> str:
    if "allowed" not in result:
        return f"{result['name']} failed ({result.get('detail', 'no detail')})"
    return f"{result['name']}: off by {result['largest']} where {result['allowed']:g} is allowed"


def _publish(unpublished: Path, final: Path) -> Path:
    """Syncs every file to disk, then renames the folder, which makes it a version."""
    for path in [*unpublished.rglob("*"), unpublished]:
        _sync(path)
    os.chmod(unpublished, 0o755)
    try:
        os.rename(unpublished, final)
    except OSError as err:
        raise ValueError(f"{final}: expected a free version number, received one that is taken ({err})") from err
    _sync(final.parent)
    return final


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
