"""What runs are worth.

In: runs and data sets. Out: scores with intervals over events, calibration, `metrics.json`, reports, and studies that
train many models. `stats` has numbers only, `report` pages and figures, `waveforms` and `dart` a task each, `studies`
both. Imports everything above `runs`; never `tuning` or `serve`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "plots": ["plot_dataset"],
        "study": ["Evaluation", "Variant"],
        "tasks": ["EVALUATIONS"],
    },
)
