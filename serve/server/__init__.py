"""TensorFlow Serving's protocol: REST, gRPC, model status, polling of versions, batching, limits.

In: a folder of models, requests from anybody. Out: answers and errors as TensorFlow Serving words them. Imports
nothing of `serve.page`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "core": ["Core"],
        "errors": ["Refused"],
        "rest": ["RestApp"],
    },
)
