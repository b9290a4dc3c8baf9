"""Pages: one HTML file that needs no other, with tables and figures.

In: sections of text, tables and pictures. Out: `report.html` and PNG files. Knows no task; units and numbers are
worded here. Imports `evaluation.stats` and what stands above `evaluation`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "page": ["Picture", "Report", "Section", "Table", "write_report"],
    },
)
