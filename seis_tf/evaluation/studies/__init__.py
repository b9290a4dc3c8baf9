"""Studies that train many models on grouped folds: comparison, learning curve, ablation, leaks, epochs, windows.

In: a data set and jobs. Out: a folder with numbers as JSON, figures and a report. Imports the rest of `evaluation`;
asks `evaluation.tasks` for what depends on the task.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["compare"],
        "leaks": ["leak_meter"],
    },
)
