"""A run's calibration: fitted once on its validation records, when it was trained, and then used by all that follows.

A classifier has a temperature (and thresholds for a wished-for recall), a DART network the intervals of its answers;
both lie in the run's `calibration.json`. The commands `train` and `import-weights` end with it. What needs it of a run
that has none, because it was made before or from Python, fits it first and says so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seis_tf.evaluation.calibrated import Say
from seis_tf.evaluation.tasks import evaluation_of
from seis_tf.runs import Run


def calibrate(run: Run, dataset: Path | str | None = None, say: Say = lambda words: None) -> dict[str, Any]:
    """The content of a run's `calibration.json`, fitted now where the run has none.

    Args:
        run: a finished run.
        dataset: its data set, where that is not found from the run.
        say: called with what is fitted, and what can't be.

    Returns:
        The content: `temperature` and `thresholds`, or `intervals` (None where there were too few events), and
        `fitted_on` in words. Nothing where the run has none and its data set is not at hand.

    Raises:
        ValueError: the file is no calibration, or `dataset` is not the run's.
    """
    return evaluation_of(run.config.job.model).calibrate(run, dataset, say)
