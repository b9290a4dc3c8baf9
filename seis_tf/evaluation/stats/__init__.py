"""Numbers in, numbers out: scores, intervals over events, folds, calibration, paired comparisons.

In: arrays of answers, truth and groups. Out: arrays and small dataclasses. No files but `calibration.json`, no
figures. Imports `settings` and `files` only.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": ["fit_temperature"],
        "folds": ["Fold", "grouped_folds"],
        "intervals": ["Conformal", "fit_conformal"],
        "scores": ["balanced_accuracy", "headline_scores"],
    },
)
