"""The task "dart", from files of buoys to a network.

In: records of bottom pressure or water level at DART buoys, Green's functions of unit sources. Out: detided windows
[minute, buoy] in m with masks, networks that give slip [source] in m, and least squares, the classical answer.
Imports `settings`, `dataset`, `models`, `training`; never `waveforms`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "buoy_files": ["GaugeRecord", "read_record"],
        "inversion": ["nnls", "smoothed_nnls"],
        "prepare": ["prepare_dart"],
        "task": ["TASK"],
        "unit_sources": ["GreensFunctions", "load_greens", "magnitude"],
        "windows": ["DartEvent", "event_from_records"],
    },
)
