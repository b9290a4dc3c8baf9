"""Cells of tables of scores, as the command line, the model card and the reports write them."""

from __future__ import annotations

PARTS = {"test": "test split", "all": "all records"}  # of the records, in words


def with_interval(value: float | None, ends: list[float] | None, digits: int = 3) -> str:
    """Such as "0.913 (0.880 to 0.941)"; nothing for no value."""
    if value is None:
        return ""
    words = f"{value:.{digits}f}"
    return words if not ends or None in ends else f"{words} ({ends[0]:.{digits}f} to {ends[1]:.{digits}f})"
