"""`evaluate`: a run of any task -> what it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seis_tf.evaluation.results import Metrics
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.runs import load_run


def evaluate(run_folder: Path | str, data: Path | str | None = None, **options: Any) -> Metrics:
    """Judges a run and writes what was found; see `evaluation.waveforms` and `evaluation.dart` for the options.

    Args:
        run_folder: a finished run.
        data: another data set, of which every record is judged; by default the run's own.
        options: of the task's `evaluate`.

    Returns:
        The metrics, which `metrics.json` holds.

    Raises:
        ValueError: no finished run, or `data` is not like the run's own data set.
    """
    run = load_run(run_folder)
    return evaluation_of(run.config.job.model).evaluate(run, data, **options)
