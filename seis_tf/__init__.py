"""From raw geophysical records to served answers, on Keras and TensorFlow.

`prepare_waveforms` and `prepare_dart` make data sets of files, `train` a run of a data set, `evaluate` judges it,
`export` publishes it for TensorFlow Serving, `predict` asks it about new files. docs/architecture.md says where
everything is. Importing this package imports nothing heavy: each name is loaded when it is used.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "waveforms.prepare": ["prepare_waveforms"],
        "dart.prepare": ["prepare_dart"],
        "dataset.shards": ["load_dataset", "open_dataset", "verify"],
        "settings.data": ["DartJob", "WaveformJob"],
        "settings.training": ["TrainJob", "TrainingSettings"],
        "settings.presets": ["preset_tree"],
        "runs": ["Run", "load_run", "train"],
        "evaluation.evaluate": ["evaluate"],
        "evaluation.studies.comparison": ["compare"],
        "serve.export.export": ["export"],
        "serve.predict.predict": ["predict"],
    },
)
