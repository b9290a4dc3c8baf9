"""A client of TensorFlow Serving and of the local server, over REST or gRPC.

In: an address and arrays. Out: arrays. Needs no TensorFlow. Imports nothing else of `serve`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "client": ["Client"],
    },
)
