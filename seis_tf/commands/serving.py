"""Commands from a run to answers: export, predict, serve."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
