"""Units in which numbers are easily read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seis_tf.dataset.dataset_info import DatasetInfo
    from seis_tf.runs import Run


def frequency_unit(highest_hz: float) -> tuple[str, float]:
    """A unit for frequencies up to this one, and how many Hz it has."""
    for unit, scale in (("MHz", 1e6), ("kHz", 1e3)):
        if highest_hz >= scale:
            return unit, scale
    return "Hz", 1.0


def time_unit(longest_s: float) -> tuple[str, float]:
    """A unit for times up to this one, and how many seconds it has."""
    for unit, scale in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if longest_s >= 5 * scale:
            return unit, scale
    return "µs", 1e-6


def percent(part: float) -> str:
    """A part in percent: 0.8812 gives 88.1 %."""
    return f"{100 * part:.1f} %"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 gives "1 record", 1200 gives "1,200 records"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: "AE, UP and noise"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def p_value(value: float) -> str:
    """A p value as one reads it: with two digits, four when it is small, or as below 0.0001."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def data_words(run: Run, judged: DatasetInfo, folder: Path, own: bool, one: str) -> str:
    """What a model was trained on, and what it is judged on, for a report's section on the method.

    Args:
        run: that is judged.
        judged: the data set that it is judged on.
        folder: of that data set.
        own: whether it is the run's own data set.
        one: what is split: "event" or "earthquake".
    """
    info = judged if own else run.config.info
    parts = {
        name: count(s.records, "record") + (f" of {count(s.groups, one)}" if s.groups != s.records else "")
        for name, s in info.splits.items()
    }
    fitted = f"{parts['train']} for training and {parts['valid']} for validation"
    unit = one if info.grouped else "record"
    if own:
        return (
            f"Data: {folder}, {fitted}, {parts['test']} for test; fingerprint {info.fingerprint[:12]}. Every {unit} is "
            "in one split only."
        )
    trained_on = os.path.normpath(run.folder / run.config.dataset)
    records, groups = (sum(getattr(s, what) for s in judged.splits.values()) for what in ("records", "groups"))
    return (
        f"Trained on another data set: {trained_on}, {fitted}; fingerprint {info.fingerprint[:12]}. Judged on all "
        f"records of {folder}, {count(records, 'record')} of {count(groups, one)}, whatever their split there; "
        f"fingerprint {judged.fingerprint[:12]}."
    )
