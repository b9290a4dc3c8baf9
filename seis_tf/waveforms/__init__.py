"""The task "waveforms", from files to a network.

In: folders of seismograms in the formats of `formats`, tables of labels, SeisBench sets, `.mat` matrices. Out: data
sets of windows [sample] and log power spectrograms [frequency, time], classifiers, and their training data. Imports
`settings`, `dataset`, `models`, `training`; never `dart`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loading": ["load_batch"],
        "prepare": ["prepare_waveforms"],
        "prepare_mat": ["prepare_mat", "write_mat"],
        "readers": ["read_records", "read_traces"],
        "spectrograms": ["axes", "standardise"],
        "task": ["TASK"],
    },
)
