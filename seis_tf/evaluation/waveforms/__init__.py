"""Classifiers judged: scores, trivial predictors, calibration, report.

In: a run of task waveforms and a data set. Out: `metrics.json`, `predictions.csv`, `report.html`, and what studies
ask of the task. Imports `waveforms`, `evaluation.stats`, `evaluation.report`; never `evaluation.dart`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "evaluation": ["evaluate"],
        "file_plots": ["plot_files"],
        "study": ["EVALUATION"],
    },
)
