"""One training loop for every network, alone or many at once.

In: arrays (`Data`), Keras models and what is drawn for each (`Member`), settings. Out: weights, history, and a state
that an interrupted training goes on from. `task` says what a task gives: networks, data, loss, scores. Imports
`settings`, `dataset`, `models`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "inputs": ["Data", "Member"],
        "loop": ["Fit", "fit"],
        "scores": ["best_row", "smaller_is_better"],
        "task": ["Network", "Task"],
    },
)
