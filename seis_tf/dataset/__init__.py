"""The contract on disk.

In: records that a task has encoded (named arrays with class and group). Out: sharded TFRecords with `dataset.json`,
written by any number of processes with the same bytes, verified, and read back as `tf.data` or as arrays in memory.
Imports `settings` and the modules of seis_tf that stand alone.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "dataset_info": ["SPLITS", "DatasetInfo"],
        "pipeline": ["records"],
        "shards": ["load_dataset", "open_dataset", "verify"],
        "tables": ["Table", "load"],
        "writer": ["write_dataset"],
    },
)
