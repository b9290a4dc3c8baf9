"""From raw geophysical records to served answers, on Keras and TensorFlow.

The modules in the order the data flows: `waveforms`, `spectrograms`, `dart`, `unit_sources`, `examples`, `shards`,
`prepare`, `pipeline`, `models`, `training`, `evaluation`, `report`; then `seis_tf.tuning` and `seis_tf.serve`.
Importing this package imports nothing heavy.
"""

__version__ = "0.1.0"
