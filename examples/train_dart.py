"""A training script of one's own for DART: shards -> pipeline -> models -> plain Keras `compile` and `fit`.

    python examples/train_dart.py [FOLDER]

FOLDER holds earthquakes with known slip and waves, as `seis-tf simulate fakequakes` writes them; without one, some are
simulated.
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from seis_tf.dart import inversion
from seis_tf.dart import networks as dart_networks
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dataset import pipeline, shards
from seis_tf.settings.data import DartJob
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

WINDOW_MIN = 45


def main(source: Path | None) -> None:
    work, greens = Path(tempfile.mkdtemp(prefix="seis_tf-")), load_greens()
    if source is None:
        events = simulate(FakequakeSettings(), greens, count=1000, seed=0)
        source = write_fakequakes(work / "events", events, greens)
    job = DartJob.model_validate({"record": {"window_min": WINDOW_MIN}})
    info = prepare_dart(source, work / "dataset", job)

    keras.utils.set_random_seed(0)
    names = ("water_level_m", "mask", "weights_m")
    train, valid = (
        pipeline.records(work / "dataset", split, names, batch_size=20, shuffle=split == "train", in_memory=True).map(
            lambda record: ((record["water_level_m"], record["mask"]), record["weights_m"])
        )
        for split in ("train", "valid")
    )
    model = dart_networks.conv1d(WINDOW_MIN, len(info.gauge_names), len(info.source_names), use_mask=True)
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    model.fit(train, validation_data=valid, epochs=30, verbose=2)

    test = shards.load_arrays(work / "dataset", info, ("test",), (*names, "truth_m"))
    slip = model.predict([test["water_level_m"], test["mask"]], verbose=0)
    waves = greens.select(info.source_names, info.forecast_gauges).waves(slip)
    explained = inversion.explained_variance(test["truth_m"][:, WINDOW_MIN + 1 :], waves[:, WINDOW_MIN + 1 :])
    mse = np.mean((slip - test["weights_m"]) ** 2)
    print(f"test events never seen in training: slip MSE {mse:.1f} m2, wave to come explained {explained:.3f}")
    model.save(work / "model.keras")
    print(work / "model.keras")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
