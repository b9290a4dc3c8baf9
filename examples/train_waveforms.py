"""A training script of one's own: shards -> pipeline -> models -> plain Keras `compile` and `fit`.

    python examples/train_waveforms.py [FOLDER]

FOLDER holds class folders of records; without one, labquakes are simulated. The data set is made beside them.
"""

import sys
import tempfile
from pathlib import Path

import keras

from seis_tf.settings.data import WaveformJob
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.waveforms import networks as waveform_networks
from seis_tf.waveforms import training_data as waveform_training
from seis_tf.waveforms.prepare import prepare_waveforms


def main(source: Path | None) -> None:
    work = Path(tempfile.mkdtemp(prefix="seis_tf-"))
    if source is None:
        source = write_labquakes(work / "records", LabquakeSettings(), count=600, seed=0)
    info = prepare_waveforms(source, work / "dataset", WaveformJob())

    keras.utils.set_random_seed(0)
    train = waveform_training.classification(work / "dataset", "train", batch_size=50, shuffle=True)
    valid = waveform_training.classification(work / "dataset", "valid", batch_size=256)
    model = waveform_networks.cnn(info.feature("spectrogram").shape, len(info.class_names))
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, validation_data=valid, epochs=5, verbose=2)

    test = waveform_training.classification(work / "dataset", "test", batch_size=256)
    loss, accuracy = model.evaluate(test, verbose=0)
    print(f"classes {info.class_names}, test events never seen in training: loss {loss:.3f}, accuracy {accuracy:.3f}")
    model.save(work / "model.keras")
    print(work / "model.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
