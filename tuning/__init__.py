"""Search for good settings, on KerasTuner; installed as `seis_tf.tuning`.

In: a data set and a search space. Out: a folder with trials, the best job and a report; an interrupted search goes
on. `workers` shares it among processes. Imports everything up to `evaluation`; never `serve`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "hypermodels": ["CnnHyperModel", "Conv1DHyperModel", "MlpHyperModel", "SlipMlpHyperModel"],
        "search": ["settings_for"],
        "settings": ["SearchSettings"],
    },
)
