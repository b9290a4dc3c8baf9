"""Commands that judge: evaluate, and what compares models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seis_tf.commands import console


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path | None, typer.Option(help="Judge on every record of this other data set.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Scores, figures and a report: metrics.json, figures/, report.html in the run folder."""
    console.load_tensorflow()
    from seis_tf import evaluation

    metrics = evaluation.evaluate(run, data)
    if json:
        console.print_json(metrics)
        return
    console.out.print(f"{run / 'report.html'}")
