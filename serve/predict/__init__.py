"""Files, streams and arrays -> answers of an exported model.

In: raw records and a version's folder. Out: a dict an answer, and flat rows for tables. The one path that the command
line, the page and benchmarks take. Imports `serve.export`, nothing of `serve.server`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "exported": ["Exported", "load_model"],
        "paths": ["list_files"],
        "predict": ["PREDICTORS"],
    },
)
