"""Units in which numbers are easily read."""

from __future__ import annotations

from collections.abc import Sequence

MODEL_NAMES = {"mlp": "MLP", "cnn": "CNN", "conv1d": "1-D CNN", "slip_mlp": "slip MLP"}


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
    """A p value as one reads it: with two digits, four when it is small, or as below what is told."""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"
