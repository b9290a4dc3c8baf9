"""A run -> a version of a model that TensorFlow Serving loads: MODELS/NAME/VERSION.

In: a run and its data set. Out: a SavedModel that takes raw records, checked against Keras and SciPy, with labels,
metadata and a model card. Imports nothing of `serve.server`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "export": ["graph_of", "versions"],
        "labels": ["promote", "rollback", "withdraw"],
    },
)
