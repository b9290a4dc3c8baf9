"""Tables and numbers of a model card."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def table(header: list[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def number(value: float | None) -> str:
    """A score as text; empty for None."""
    if value is None or value == round(value):
        return "" if value is None else f"{value:.0f}"
    return f"{value:.3f}" if abs(value) >= 1e-3 else f"{value:.2g}"


def small(value: float | None) -> str:
    """A deviation or its limit as text; empty for None."""
    return "" if value is None else f"{value:.2g}"


def network(metadata: Mapping[str, Any]) -> str:
    """Kind, members and weights of a version's network, as the beginning of a sentence."""
    model, members = metadata["model"], metadata["members"]
    of = f", an ensemble of {members}" if members > 1 else ""
    each = " each" if members > 1 else ""
    return f"A network of kind {model['kind']}{of} with {model['parameters']:,} trained weights{each},"
