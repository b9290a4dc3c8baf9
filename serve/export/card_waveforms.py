"""What the model card of a classifier says: its input, scores, calibration and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seis_tf.evaluation.report.cells import with_interval
from seis_tf.evaluation.stats.classification import SplitScores
from seis_tf.evaluation.waveforms.metrics import WaveformMetrics
from seis_tf.evaluation.waveforms.summary import trivial_rows
from seis_tf.serve.export.markdown import network, table

_SCORES = ("balanced_accuracy", "accuracy", "macro_f1", "roc_auc", "log_loss", "ece")


def what(metadata: Mapping[str, Any]) -> list[str]:
    """What goes in and what comes out."""
    preprocessing = metadata["preprocessing"]
    kind = f"{network(metadata)} from spectrograms to one of the classes {', '.join(metadata['class_names'])}."
    if metadata["length_samples"] is None:
        return [kind]
    record = preprocessing["record"]
    length, rate_hz = metadata["length_samples"], metadata["sampling_rate_hz"]
    band = record["bandpass_hz"]
    steps = [f"detrended ({record['detrend']})"] + ([f"band-passed {band[0]:g} to {band[1]:g} Hz"] if band else [])
    window = f"It takes {length} samples at {rate_hz:g} Hz ({length / rate_hz:.6g} s), {', '.join(steps)} in the graph."
    return [kind, window if preprocessing["raw_waveforms"] else f"It takes no raw waveforms: {preprocessing['note']}."]


def scores(metrics: Mapping[str, Any]) -> list[str]:
    """The scores of each split, and of the trivial predictors, as a table."""
    found = WaveformMetrics.read(metrics)
    rows = [[name, *(_with_interval(split, score) for score in _SCORES)] for name, split in found.splits.items()]
    rows += trivial_rows(found, _SCORES)
    text = "With 95 % intervals over events where there are some; test is of events that training never saw."
    return [text, table(["", *_SCORES], rows)]


def calibration(metadata: Mapping[str, Any]) -> str:
    """Whether the probabilities were scaled, and by what."""
    if metadata["temperature"] == 1.0:
        return "The probabilities are as the network gives them: no temperature could be fitted."
    return (
        f"Log probabilities are divided by the temperature {metadata['temperature']:.3f}, fitted on validation records."
    )


def limits(metadata: Mapping[str, Any]) -> list[str]:
    """Where it must not be trusted."""
    sentences = [
        "It names one of its classes for any record that is finite and not constant, whatever the record is.",
        "Records from other instruments, places or sampling rates than the training data's are not covered by the "
        "scores above.",
    ]
    if metadata["preprocessing"]["note"] and metadata["preprocessing"]["raw_waveforms"]:
        sentences.append(f"Raw waveforms: {metadata['preprocessing']['note']}.")
    return sentences


def _with_interval(split: SplitScores, score: str) -> str:
    return with_interval(split.headline(score), split.intervals.get(score))
