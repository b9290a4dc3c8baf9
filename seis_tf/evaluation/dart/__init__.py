"""DART networks judged beside least squares: slip, waves, peaks, magnitude, alarms, intervals.

In: a run of task dart and a data set, or recorded events. Out: `metrics.json`, `predictions.csv`, `report.html`, and
what studies ask of the task. Levels and slip in m, times in min. Imports `dart`, `evaluation.stats`,
`evaluation.report`; never `evaluation.waveforms`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "evaluation": ["evaluate"],
        "methods": ["Methods"],
        "real_events": ["real_event"],
        "study": ["EVALUATION"],
    },
)
