"""Every setting of a job.

In: options of the command line and JSON files. Out: frozen pydantic models, checked for type and range, which data
sets, runs and searches store. A module a stage: `data`, `networks` (kinds of networks with defaults and search
spaces), `training`, `simulation`, `serving`; `presets` have names. Imports nothing else of seis_tf.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "base": ["OptionError", "Settings", "load_settings", "merge"],
        "data": ["DartJob", "WaveformJob"],
        "networks": ["CnnSettings", "Conv1dSettings", "MlpSettings", "NetworkSettings", "SlipMlpSettings"],
        "presets": ["preset_tree"],
        "training": ["TrainJob", "TrainingSettings"],
    },
)
