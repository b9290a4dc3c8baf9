"""Records with known truth: laboratory quakes and earthquakes with their tsunamis.

In: settings and a seed. Out: files as instruments would have written them, with `truth.csv` or slip beside them, and
`simulated.json`, by which everything that is made of them is called simulated. Imports `settings`, `files`, and of
`dart` the unit sources and the inversion.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "fakequake_files": ["write_fakequakes"],
        "labquakes": ["write_labquakes"],
    },
)
