"""MODEL_CARD.md: what a model is for, what it was made from, how good it is and where it must not be trusted.

Written from the metadata and the check alone, so that it says nothing that is not in the version's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seis_tf.serve.export.markdown import number, small, table


@dataclass(frozen=True)
class CardParts:
    """What the card says differently for each task.

    Attributes:
        what: metadata -> paragraphs: what goes in and what comes out.
        scores: content of an evaluation's `metrics.json` -> paragraphs with a table.
        calibration: metadata -> what probabilities or intervals were fitted to.
        limits: metadata -> sentences: where the model must not be trusted.
    """

    what: Callable[[Mapping[str, Any]], list[str]]
    scores: Callable[[Mapping[str, Any]], list[str]]
    calibration: Callable[[Mapping[str, Any]], str]
    limits: Callable[[Mapping[str, Any]], list[str]]


def model_card(metadata: Mapping[str, Any], check: Mapping[str, Any], parts: CardParts) -> str:
    """The card as Markdown.

    Args:
        metadata: of the version.
        check: its `check.json`.
        parts: of the model's task.
    """
    paragraphs = [
        f"# {metadata['name']}, version {metadata['version']}",
        *parts.what(metadata),
        "## Data",
        *data_section(metadata),
        "## Scores",
        *_scores(metadata["metrics"], parts),
        "## Calibration",
        parts.calibration(metadata),
        "## Limits",
        *_limits(metadata, parts),
        "## Asking it",
        *_signatures(metadata["signatures"]),
        "## Check of this export",
        _check(check),
        f"Made {metadata['created']} with {', '.join(f'{k} {v}' for k, v in metadata['versions'].items())}.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def data_section(metadata: Mapping[str, Any]) -> list[str]:
    """The data set that the model was trained on (or, of imported weights, is judged on), with counts of each split."""
    data = metadata["dataset"]
    classes = metadata.get("class_names", [])
    text = f"Data set {data['name']}, fingerprint {data['fingerprint'][:16]}."
    if metadata.get("imported"):
        text += f" **The weights were not trained on it but imported: {metadata['imported']}.**"
    if data["simulated"]:
        text += " **All records are simulated.**"
    if not data["grouped"]:
        text += " **No event ids: records of one event may be in more than one split.**"
    rows = [
        [name, split["groups"], split["records"], *(split["class_counts"].get(key, 0) for key in classes)]
        for name, split in data["splits"].items()
    ]
    return [text, table(["split", "events", "records", *classes], rows)]


def _scores(metrics: Mapping[str, Any], parts: CardParts) -> list[str]:
    if "last_epoch" in metrics:
        text = "Not evaluated yet (`seis-tf evaluate`). Of the last epoch of training:"
        return [text, table(["", "value"], [[k, number(v)] for k, v in metrics["last_epoch"].items()])]
    return parts.scores(metrics)


def _limits(metadata: Mapping[str, Any], parts: CardParts) -> list[str]:
    limits = parts.limits(metadata)
    if metadata["dataset"]["simulated"]:
        limits.append("Trained on simulated records: how it does on real ones has to be measured.")
    return ["\n".join(f"- {limit}" for limit in limits)]


def _signatures(signatures: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, signature in signatures.items():
        for direction, fields in signature.items():
            if key != "serving_default" and fields == signatures["serving_default"][direction]:
                rows.append([key, direction[:-1], "", "", "as of `serving_default`"])
                continue
            for name, field in fields.items():
                unit = f" ({field['unit']})" if field["unit"] else ""
                shape = [f"{'batch' if size == -1 else size}" for size in field["shape"]]
                what = f"{field['dtype']} [{', '.join(shape)}]"
                rows.append([key, direction[:-1], f"`{name}`", what, field["meaning"] + unit])
    return [table(["signature", "", "name", "type", "meaning"], rows)]


def _check(check: Mapping[str, Any]) -> str:
    rows = [
        [
            result["name"],
            "yes" if result["passed"] else "no",
            small(result.get("largest")),
            small(result.get("allowed")),
        ]
        for result in check["results"]
    ]
    times = [
        [key, *(f"{latency_ms[name]:.2f}" for name in ("first", "warm_1", "warm_32"))]
        for key, latency_ms in check["latency_ms"].items()
    ]
    text = f"On {check['records']} records of the test split:"
    header = ["signature", "first request, ms", "1 record warm, ms", "32 records warm, ms"]
    return "\n\n".join([text, table(["", "passed", "largest", "allowed"], rows), table(header, times)])
