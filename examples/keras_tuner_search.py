"""KerasTuner's three tuners over the MLP's search space: simulated labquakes -> shards -> `tf.data` -> searches.

    python examples/keras_tuner_search.py [FOLDER]

FOLDER must be new; by default it is a temporary one. `tensorboard --logdir FOLDER/logs` shows the trials (HParams).
"""

import sys
import tempfile
from pathlib import Path

import keras
import keras_tuner as kt

from seis_tf.settings.data import WaveformJob
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.tuning.hypermodels import MlpHyperModel
from seis_tf.waveforms.prepare import prepare_waveforms
from seis_tf.waveforms.training_data import classification

work = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="seis_tf-"))
records = write_labquakes(work / "records", LabquakeSettings(), count=150, seed=0)
prepare_waveforms(records, work / "data", WaveformJob())
train = classification(work / "data", "train", batch_size=32, shuffle=True)
valid = classification(work / "data", "valid", batch_size=256)

hypermodel = MlpHyperModel(work / "data")
common = {"objective": hypermodel.objective, "seed": 1, "directory": work / "searches"}
for tuner in (
    kt.RandomSearch(hypermodel, max_trials=2, project_name="random", **common),
    kt.Hyperband(hypermodel, max_epochs=3, project_name="hyperband", **common),
    kt.BayesianOptimization(hypermodel, max_trials=3, num_initial_points=2, project_name="bayesian", **common),
):
    logs = keras.callbacks.TensorBoard(work / "logs" / tuner.project_name)
    tuner.search(train, validation_data=valid, epochs=2, callbacks=[logs], verbose=0)  # Hyperband sets its own epochs
    tuner.results_summary(num_trials=3)
