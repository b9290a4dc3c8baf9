"""Rows 9c and 9d: a search of 20 trials of the DART network, against plain KerasTuner with `fit`."""

from __future__ import annotations

from pathlib import Path

from suite.definition import Comparison, Ready, Row, Way, fresh_folder

TRIALS = 20
# What varies without changing a shape, and what changes it; the same ranges in both ways.
VALUES = {
    "training.learning_rate": {"kind": "real", "low": 1e-4, "high": 1e-2, "log": True},
    "training.l2": {"kind": "real", "low": 1e-7, "high": 1e-2, "log": True},
    "model.dropout": {"kind": "real", "low": 0.0, "high": 0.6},
}
WIDTHS, DENSE = (15, 20, 30, 40, 60, 80), (20, 40, 80, 160)
STAGES = 5


def same_row(scale: str) -> Row:
    """Learning rate, L2 and dropout are searched."""
    return _row("9c", "same shapes", False, scale)


def varying_row(scale: str) -> Row:
    """Widths of all layers as well: nearly every trial is another network."""
    return _row("9d", "other shapes in each trial", True, scale)


def _row(key: str, what: str, varying: bool, scale: str) -> Row:
    events, epochs, trials, theirs = {
        "quick": (300, 1, 2, 2),
        "normal": (1300, 30, TRIALS, 4),
        "full": (1300, 30, TRIALS, TRIALS),
    }[scale]
    sizes = {"events": events, "epochs": epochs, "varying": varying}
    part = "" if theirs == trials else f" KerasTuner's rate is that of {theirs} trials, as each takes as long."
    return Row(
        key,
        f"search of {trials} trials, {what}, DART network, {epochs} epochs each",
        "trials/s",
        (("rows.inputs:dart_dataset", {"count": events}),),
        {
            "ours": Way("rows.search:ours", sizes | {"trials": trials}),
            "KerasTuner RandomSearch and fit": Way("rows.search:keras_tuner", sizes | {"trials": theirs}),
        },
        (Comparison("whole search, compiling included", "ours", ("KerasTuner RandomSearch and fit",), 2.5),),
        repeats=1,
        fresh=True,
        note=f"About 910 training events, batches of 20, validation loss after each epoch.{part}",
    )


def ours(work: Path, events: int, epochs: int, varying: bool, trials: int) -> Ready:
    """`search`, with its checkpoints, tables and report."""
    import json

    from seis_tf.settings.networks import Conv1dSettings
    from seis_tf.tuning import search

    space: dict = {name: "default" for name in Conv1dSettings.space} | VALUES
    if varying:
        space["model.widths"] = {"kind": "widths", "layers": [STAGES, STAGES], "values": WIDTHS}
        space["model.dense"] = {"kind": "choice", "values": DENSE}
    path = work / f"space-{varying}.json"
    path.write_text(json.dumps(space))
    base = {"training": {"batch_size": 20}}
    settings = search.settings_for("conv1d", None, trials=trials, epochs=epochs, seed=0, objective="val_loss")
    settings = settings.model_copy(update={"base": base})
    out = work / f"search-{varying}"
    return Ready(
        lambda: search.search(work / f"dart-{events}", out, settings, space_file=path) and None,
        trials,
        before=lambda: fresh_folder(out),
    )


def keras_tuner(work: Path, events: int, epochs: int, varying: bool, trials: int) -> Ready:
    """A builder, `RandomSearch`, and `fit` for each trial: KerasTuner's first page."""
    import keras
    import keras_tuner
    from keras import layers

    from seis_tf.dataset import tables

    table = tables.load(work / f"dart-{events}", ("train", "valid"), ("water_level_m", "weights_m"))
    train, valid = ((table["water_level_m"][rows], table["weights_m"][rows]) for rows in table.rows.values())

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        decay = keras.regularizers.L2(hp.Float("l2", 1e-7, 1e-2, sampling="log"))
        widths = [hp.Choice(f"width_{i}", WIDTHS) if varying else (20, 20, 40, 40, 80)[i] for i in range(STAGES)]
        model = keras.Sequential([layers.Input(train[0].shape[1:])])
        for width in widths:
            model.add(layers.Conv1D(width, 3, padding="same", kernel_regularizer=decay))
            model.add(layers.LeakyReLU(0.01))
            model.add(layers.MaxPooling1D(2))
        model.add(layers.Flatten())
        model.add(layers.Dense(hp.Choice("dense", DENSE) if varying else 40, kernel_regularizer=decay))
        model.add(layers.Dropout(hp.Float("dropout", 0.0, 0.6)))
        model.add(layers.Dense(train[1].shape[1], activation="relu", kernel_regularizer=decay))
        model.compile(keras.optimizers.Adam(hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")), "mse")
        return model

    def run() -> None:
        tuner = keras_tuner.RandomSearch(
            build,
            "val_loss",
            max_trials=trials,
            seed=0,
            directory=work,
            project_name=f"plain-{varying}",
            overwrite=True,
        )
        tuner.search(*train, validation_data=valid, epochs=epochs, batch_size=20, verbose=0)

    return Ready(run, trials)
