"""The page at `/` of the local server: files and examples in, answers drawn.

In: uploads (read in a child process) and examples. Out: what the page's script draws, as JSON. Imports `serve.server`
and `serve.predict`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["add_routes"],
    },
)
