"""MODEL_CARD.md: what a model is for, what it was made from, how good it is and where it must not be trusted.

Written from the metadata and the check alone, so that it says nothing that is not in the version's folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from seis_tf.evaluation.report.cells import with_interval
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.summary import summary
from seis_tf.evaluation.waveforms.summary import trivial_rows

_SCORES = ("balanced_accuracy", "accuracy", "macro_f1", "roc_auc", "log_loss", "ece")


def model_card(metadata: Mapping[str, Any], check: Mapping[str, Any]) -> str:
    """The card as Markdown.

    Args:
        metadata: of the version.
        check: its `check.json`.
    """
    task_part = _waveforms if metadata["task"] == "waveforms" else _dart
    parts = [
        f"# {metadata['name']}, version {metadata['version']}",
        *task_part(metadata),
        "## Data",
        *_data(metadata),
        "## Scores",
        *_scores(metadata["metrics"]),
        "## Calibration",
        _calibration(metadata),
        "## Limits",
        *_limits(metadata),
        "## Asking it",
        *_signatures(metadata["signatures"]),
        "## Check of this export",
        _check(check),
        f"Made {metadata['created']} with {', '.join(f'{k} {v}' for k, v in metadata['versions'].items())}.",
    ]
    return "\n\n".join(parts) + "\n"


def _waveforms(metadata: Mapping[str, Any]) -> list[str]:
    own = metadata["preprocessing"]
    kind = f"{_network(metadata)} from spectrograms to one of the classes {', '.join(metadata['class_names'])}."
    if metadata["length_samples"] is None:
        return [kind]
    record = own["record"]
    length, rate_hz = metadata["length_samples"], metadata["sampling_rate_hz"]
    band = record["bandpass_hz"]
    steps = [f"detrended ({record['detrend']})"] + ([f"band-passed {band[0]:g} to {band[1]:g} Hz"] if band else [])
    window = f"It takes {length} samples at {rate_hz:g} Hz ({length / rate_hz:.6g} s), {', '.join(steps)} in the graph."
    return [kind, window if own["raw_waveforms"] else f"It takes no raw waveforms: {own['note']}."]


def _dart(metadata: Mapping[str, Any]) -> list[str]:
    window = (
        f"It takes {metadata['window_min']} minutes of detided water column after an earthquake, a sample every "
        f"{metadata['step_min']} min, of the buoys {', '.join(metadata['buoy_names'])} in this order."
    )
    answer = (
        f"It gives slip on {len(metadata['source_names'])} unit sources, the magnitude, and the wave of the first "
        f"{metadata['forecast_minutes'] - 1} minutes at {', '.join(metadata['forecast_gauges'])}."
    )
    return [f"{_network(metadata)} from buoy records to slip.", window, answer]


def _network(metadata: Mapping[str, Any]) -> str:
    model, members = metadata["model"], metadata["members"]
    of = f", an ensemble of {members}" if members > 1 else ""
    each = " each" if members > 1 else ""
    return f"A network of kind {model['kind']}{of} with {model['parameters']:,} trained weights{each},"


def _data(metadata: Mapping[str, Any]) -> list[str]:
    data = metadata["dataset"]
    classes = metadata.get("class_names", [])
    told = f"Data set {data['name']}, fingerprint {data['fingerprint'][:16]}."
    if metadata.get("imported"):
        told += f" **The weights were not trained on it but imported: {metadata['imported']}.**"
    if data["simulated"]:
        told += " **All records are simulated.**"
    if not data["grouped"]:
        told += " **No event ids: records of one event may be in more than one split.**"
    rows = [
        [split, found["groups"], found["records"], *(found["class_counts"].get(name, 0) for name in classes)]
        for split, found in data["splits"].items()
    ]
    return [told, _table(["split", "events", "records", *classes], rows)]


def _scores(metrics: Mapping[str, Any]) -> list[str]:
    splits = metrics.get("splits")
    if splits and metrics.get("task") == "waveforms":
        rows = [[name, *(_with_interval(found, score) for score in _SCORES)] for name, found in splits.items()]
        rows += trivial_rows(metrics, _SCORES)
        text = "With 95 % intervals over events where there are some; test is of events that training never saw."
        return [text, _table(["", *_SCORES], rows)]
    if "last_epoch" in metrics:
        told = "Not evaluated yet (`seis-tf evaluate`). Of the last epoch of training:"
        return [told, _table(["", "value"], [[k, _number(v)] for k, v in metrics["last_epoch"].items()])]
    title, header, rows = summary(metrics)
    told = f"{title[0].upper()}{title[1:]}; 95 % intervals over events in brackets."
    return [f"{told} All numbers are in `metadata.json` beside this card.", _table(header, rows)]


def _with_interval(found: Mapping[str, Any], score: str) -> str:
    return with_interval(found.get(score), found.get("intervals", {}).get(score))


def _calibration(metadata: Mapping[str, Any]) -> str:
    if metadata["task"] == "dart":
        own = metadata["intervals"]
        if not own:
            return "A single network without intervals: there were too few validation events to fit them to."
        levels = ", ".join(f"{level:.0%}" for level in metadata["interval_levels"])
        of = f"Central intervals of {levels} of {', '.join(own['quantities'])}"
        if not own["events"]:
            return (
                f"{of}: as if the members were drawn around the truth. **They were not fitted to any errors (there "
                "were too few validation events) and are as a rule far too narrow.**"
            )
        return (
            f"{of}: fitted to the errors on {own['events']:,} validation events (conformal), in "
            f"{count(len(own['edges']) + 1, 'bin')} of the predicted magnitude. They hold for events like those of the "
            "training data; those of waves for the minutes after the window, each minute for itself. Where answers "
            "were too high or too low, an interval lies to one side of the answer."
        )
    if metadata["temperature"] == 1.0:
        return "The probabilities are as the network gives them: no temperature could be fitted."
    return (
        f"Log probabilities are divided by the temperature {metadata['temperature']:.3f}, fitted on validation records."
    )


def _limits(metadata: Mapping[str, Any]) -> list[str]:
    if metadata["task"] == "dart":
        limits = [
            "Only for earthquakes on the unit sources that it was trained on; `predict` flags others as far as it can.",
            f"Levels beyond {metadata['max_level_m']:.3g} m are no detided water column: `valid` is false.",
            *_needed(metadata),
            "The wave is linear and for deep water: it says nothing about harbours and coasts.",
            "Its Green's functions stand for the truth: their errors (grid, bathymetry, no dispersion) are not in it.",
        ]
    else:
        limits = [
            "It names one of its classes for any record that is finite and not constant, whatever the record is.",
            "Records from other instruments, places or sampling rates than the training data's are not covered by the "
            "scores above.",
        ]
        if metadata["preprocessing"]["note"] and metadata["preprocessing"]["raw_waveforms"]:
            limits.append(f"Raw waveforms: {metadata['preprocessing']['note']}.")
    if metadata["dataset"]["simulated"]:
        limits.append("Trained on simulated records: how it does on real ones has to be measured.")
    return ["\n".join(f"- {limit}" for limit in limits)]


def _needed(metadata: Mapping[str, Any]) -> list[str]:
    """What a record must hold; nothing of exports that ask for nothing."""
    if "answer" not in metadata:
        return []
    own = metadata["answer"]
    return [
        f"No magnitude below {100 * own['min_samples']:g} % of the window's samples, or where they deviate less than "
        f"{1000 * own['min_signal_m']:g} mm (rms) from each buoy's mean: `valid` is false and `reason` says why.",
        f"No intervals where a buoy or more than {100 * own['max_missing']:g} % of the window is missing; with less "
        "missing they hold somewhat less often than stated.",
    ]


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
    return [_table(["signature", "", "name", "type", "meaning"], rows)]


def _check(check: Mapping[str, Any]) -> str:
    rows = [
        [
            result["name"],
            "yes" if result["passed"] else "no",
            _small(result.get("largest")),
            _small(result.get("allowed")),
        ]
        for result in check["results"]
    ]
    times = [
        [key, *(f"{found[name]:.2f}" for name in ("first", "warm_1", "warm_32"))]
        for key, found in check["latency_ms"].items()
    ]
    told = f"On {check['records']} records of the test split:"
    header = ["signature", "first request, ms", "1 record warm, ms", "32 records warm, ms"]
    return "\n\n".join([told, _table(["", "passed", "largest", "allowed"], rows), _table(header, times)])


def _table(header: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _number(value: float | None) -> str:
    if value is None or value == round(value):
        return "" if value is None else f"{value:.0f}"
    return f"{value:.3f}" if abs(value) >= 1e-3 else f"{value:.2g}"


def _small(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
