"""Hypermodels for KerasTuner: the project's spaces and networks, trained by Keras as `seis-tf train` trains them."""

import json
import shutil
from pathlib import Path

import keras
import keras_tuner as kt
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from seis_tf import tasks
from seis_tf.dart.networks import conv1d
from seis_tf.dataset import pipeline
from seis_tf.dataset.shards import load_dataset
from seis_tf.settings.networks import KINDS
from seis_tf.training import loop
from seis_tf.tuning import hypermodels, spaces
from seis_tf.waveforms.networks import mlp
from seis_tf.waveforms.training_data import classification

CLASSES = {
    "mlp": hypermodels.MlpHyperModel,
    "cnn": hypermodels.CnnHyperModel,
    "conv1d": hypermodels.Conv1DHyperModel,
    "slip_mlp": hypermodels.SlipMlpHyperModel,
}
# Widths of the layers of each kind, as KerasTuner names them.
WIDTHS = {
    "mlp": {"model.hidden.layers": 2, "model.hidden.0": 20, "model.hidden.1": 10},
    "cnn": {"model.filters.layers": 2, "model.filters.0": 8, "model.filters.1": 16, "model.dense": 20},
    "conv1d": {"model.widths.layers": 3, "model.widths.0": 15, "model.widths.1": 20, "model.widths.2": 30},
    "slip_mlp": {"model.hidden.layers": 2, "model.hidden.0": 64, "model.hidden.1": 128},
}
WIDTHS["cnn"]["model.kernel"] = 3
WIDTHS["conv1d"]["model.dense"] = 40


@pytest.fixture
def folders(tiny_waveforms, tiny_dart) -> dict[str, Path]:
    return {"mlp": tiny_waveforms, "cnn": tiny_waveforms, "conv1d": tiny_dart, "slip_mlp": tiny_dart}


def values(kind: str, **changes) -> kt.HyperParameters:
    """Fixed hyperparameters; others are the defaults of the hypermodel."""
    hp = kt.HyperParameters()
    fixed = WIDTHS[kind] | {"model.dropout": 0.0, "training.batch_size": 32, "training.l2": 1e-3}
    for name, value in (fixed | changes).items():
        hp.Fixed(name, value)
    return hp


def arrays(kind: str, folder: Path, split: str) -> tuple:
    """Inputs and targets of a split."""
    hypermodel = CLASSES[kind](folder)
    (pair,) = pipeline.records(folder, split, hypermodel.features, 1000).map(hypermodel.pair)
    return keras.tree.map_structure(np.asarray, pair)


def test_there_is_one_for_every_kind_of_network():
    assert set(CLASSES) == set(KINDS)
    assert all(CLASSES[kind].kind == kind for kind in KINDS)


def test_layers_and_parameters_follow_the_values(folders):
    # Inputs 8 x 9 cells, 3 classes; 8 minutes, 2 buoys, 3 sources.
    expected = {
        "mlp": (72 + 1) * 20 + (20 + 1) * 10 + (10 + 1) * 3,
        # 4 x 4 cells after the stem, 1 after two pools.
        "cnn": (9 * 1 + 1) * 8 + (9 * 8 + 1) * 16 + (16 + 1) * 20 + (20 + 1) * 3,
        "conv1d": (3 * 2 + 1) * 15 + (3 * 15 + 1) * 20 + (3 * 20 + 1) * 30 + (30 + 1) * 40 + (40 + 1) * 3,
        "slip_mlp": (2 * 16 + 1 + 1) * 64 + (64 + 1) * 128 + (128 + 1) * 3,
    }
    for kind, count in expected.items():
        model = CLASSES[kind](folders[kind]).build(values(kind))
        assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == count, kind
    model = CLASSES["mlp"](folders["mlp"]).build(values("mlp", **{"model.activation": "tanh", "model.dropout": 0.25}))
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [20, 10, 3]
    assert model.get_layer("hidden_1").activation is keras.activations.tanh
    assert [layer.initial_rate for layer in model.layers if layer.name.startswith("dropout")] == [0.25, 0.25]
    assert model.get_layer("hidden_2").kernel_regularizer.l2 == pytest.approx(1e-3)


@pytest.mark.parametrize("kind", list(CLASSES))
def test_the_space_is_the_one_of_tune(kind, folders):
    hypermodel, hp = CLASSES[kind](folders[kind]), kt.HyperParameters()
    hypermodel.build(hp)
    shapes = {feature.name: feature.shape for feature in hypermodel.info.features}
    expected = spaces.space_of(kind, None, shapes)
    if kind == "cnn":  # of 4 x 4 cells two pools leave one
        expected["model.filters"] = expected["model.filters"].model_copy(update={"layers": (2, 2)})

    def without_default(hyperparameters):
        return [p.get_config() | {"default": 0} for p in hyperparameters.space]

    assert without_default(hp) == without_default(spaces.declare(expected))


def test_what_is_not_searched_has_the_value_of_train(folders):
    hp = kt.HyperParameters()
    CLASSES["slip_mlp"](folders["slip_mlp"]).build(hp)
    assert hp.get("training.learning_rate") == 2e-3  # SlipMlpSettings.defaults
    assert [hp.get(f"model.hidden.{i}") for i in range(hp.get("model.hidden.layers"))] == [256, 256, 256]
    assert hp.get("model.activation") == "silu"
    assert hp.get("training.batch_size") == 64
    assert hp.get("training.loss.wave_weight") == 1.0


@pytest.mark.parametrize("as_arrays", [False, True])
def test_fixed_values_give_what_compile_and_fit_by_hand_give(as_arrays, tiny_waveforms):
    def data(batch_size):
        return [classification(tiny_waveforms, split, batch_size) for split in ("train", "valid")]

    train, valid = data(17)  # the trial's batch size is another
    by_hand, valid_by_hand = data(20)
    model = mlp((8, 9), 3, (20, 10), l2=1e-3, seed=0)
    model.compile(keras.optimizers.Adam(0.002), "sparse_categorical_crossentropy", metrics=["accuracy"])
    _, labels = arrays("mlp", tiny_waveforms, "train")
    weights = dict(enumerate(compute_class_weight("balanced", classes=np.arange(3), y=labels)))
    expected = model.fit(by_hand, epochs=3, class_weight=weights, verbose=0)
    loss = model.evaluate(valid_by_hand, verbose=0)[0]

    hp = values("mlp", **{"training.batch_size": 20, "training.learning_rate": 0.002, "training.optimizer": "adam"})
    hypermodel = hypermodels.MlpHyperModel(tiny_waveforms)
    built = hypermodel.build(hp)
    if as_arrays:
        x, y = arrays("mlp", tiny_waveforms, "train")
        history = hypermodel.fit(hp, built, x, y, validation_data=valid, shuffle=False, epochs=3, verbose=0)
    else:
        history = hypermodel.fit(hp, built, train, validation_data=valid, epochs=3, verbose=0)
    for name in ("loss", "accuracy"):
        np.testing.assert_allclose(history.history[name], expected.history[name], rtol=1e-5)
    assert built.evaluate(valid, verbose=0, return_dict=True)["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_slip_network_is_fitted_to_the_squared_slip_error(tiny_dart):
    x, y = arrays("conv1d", tiny_dart, "train")
    model = conv1d(8, 2, 3, (15, 20, 30), dense=40, dropout=0.0, l2=1e-3, seed=0)
    model.compile(keras.optimizers.Adam(0.002), "mse")
    expected = model.fit(x, y, batch_size=20, epochs=3, shuffle=False, verbose=0).history["loss"]
    changes = {"training.batch_size": 20, "training.learning_rate": 0.002, "model.activation": "leaky_relu"}
    hp = values("conv1d", **changes)
    hypermodel = hypermodels.Conv1DHyperModel(load_dataset(tiny_dart))
    built = hypermodel.build(hp)
    assert "training.loss.wave_weight" not in hp  # the slips of the training events are not known
    history = hypermodel.fit(hp, built, x, y, epochs=3, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-5)
    assert history["mse"][-1] < history["loss"][-1]


@pytest.mark.parametrize("kind", list(CLASSES))
def test_scores_are_those_of_the_training_loop(kind, folders):
    """With all records in one batch their order does not matter: both ways take the same steps."""
    folder, hypermodel = folders[kind], CLASSES[kind](folders[kind], base={"training": {"epochs": 4}})
    hp = values(kind, **{"training.batch_size": 1000, "training.learning_rate": 1e-3})
    model = hypermodel.build(hp)
    x, y = arrays(kind, folder, "train")
    valid = pipeline.records(folder, "valid", hypermodel.features, 7)
    history = hypermodel.fit(hp, model, x, y, validation_data=valid, shuffle=False, verbose=0).history

    job = hypermodel.job(hp)
    inputs = tasks.fit_inputs(job, folder)
    network = tasks.build(job.model, hypermodel.info, seed=0, l2=job.training.l2)
    done = loop.fit([network], inputs, job.training)
    (rows,) = done.progress.history
    assert len(rows) == len(history["loss"]) == 4
    names = {"loss": "loss", "val_loss": "val_loss_without_l2"} | {
        f"val_{name}": f"val_{name}" for name in inputs.metrics
    }
    for name, keras_name in names.items():
        np.testing.assert_allclose(history[keras_name], [row[name] for row in rows], rtol=2e-4, err_msg=name)
    if inputs.data.targets.ndim > 1:  # without class weights Keras's val_loss has only the L2 term more
        squares = sum(float(np.square(v).sum()) for v in model.trainable_variables if v.name == "kernel")
        assert history["val_loss"][-1] - history["val_loss_without_l2"][-1] == pytest.approx(1e-3 * squares, rel=0.01)
    assert hypermodel.objective.name in history
    if kind == "slip_mlp":
        assert job.training.loss.wave_weight == 1.0  # the wave's misfit is in the loss above


def test_a_promoted_trial_keeps_the_state_of_its_optimizer(tiny_waveforms, tmp_path):
    # Hyperband goes on from saved weights; without the optimizer's variables those of Adam would start again.
    x, y = arrays("mlp", tiny_waveforms, "train")
    hp = values("mlp", **{"training.optimizer": "adam"})
    hypermodel = hypermodels.MlpHyperModel(tiny_waveforms)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x, y, epochs=2, verbose=0)
    model.save_weights(tmp_path / "checkpoint.weights.h5")
    promoted = hypermodel.build(hp)
    promoted.load_weights(tmp_path / "checkpoint.weights.h5")
    assert len(model.optimizer.variables) == 2 + 2 * 6  # steps, rate, two moments of three layers' kernels and biases
    for after, before in zip(promoted.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(after, before)


def test_executions_of_a_trial_differ_and_come_again(tiny_waveforms):
    def builds():
        hypermodel = hypermodels.MlpHyperModel(tiny_waveforms)
        return [hypermodel.build(values("mlp")).get_layer("hidden_1").kernel.numpy() for _ in range(2)]

    first, second = builds()
    assert not np.allclose(first, second)
    for again, before in zip(builds(), (first, second), strict=True):
        np.testing.assert_array_equal(again, before)


def test_the_rate_follows_the_schedule_up_to_the_epochs_that_are_asked_for(tiny_waveforms):
    base = {"training": {"schedule": "cosine", "final_fraction": 0.01}}
    hypermodel = hypermodels.MlpHyperModel(tiny_waveforms, base=base)
    hp = values("mlp", **{"training.learning_rate": 0.001})
    x, y = arrays("mlp", tiny_waveforms, "train")
    history = hypermodel.fit(hp, hypermodel.build(hp), x, y, epochs=3, verbose=0).history
    np.testing.assert_allclose(history["learning_rate"], [1e-3, 1e-3 * (0.01 + 0.99 / 2), 1e-5], rtol=1e-5)


def test_epochs_are_searched_where_the_space_has_them(tiny_waveforms, tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"training.epochs": {"kind": "choice", "values": [1, 2]}}))
    hypermodel = hypermodels.MlpHyperModel(tiny_waveforms, space_file=file)
    x, y = arrays("mlp", tiny_waveforms, "train")
    hp = values("mlp", **{"training.epochs": 2})
    model = hypermodel.build(hp)
    assert len(hypermodel.fit(hp, model, x, y, verbose=0).history["loss"]) == 2
    with pytest.raises(kt.errors.FatalValueError, match="epochs: expected none beside .* training.epochs, received 5"):
        hypermodel.fit(hp, model, x, y, epochs=5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(CLASSES))
def test_kerastuner_searches_each_of_them(kind, folders, tmp_path, capsys):
    hypermodel = CLASSES[kind](folders[kind])
    train, valid = (pipeline.records(folders[kind], split, hypermodel.features, 16) for split in ("train", "valid"))
    tuner = kt.RandomSearch(hypermodel, objective=hypermodel.objective, max_trials=2, seed=1, directory=tmp_path)
    tuner.search(train, validation_data=valid, epochs=1, verbose=0)
    tuner.results_summary()
    printed = capsys.readouterr().out
    assert printed.count("Score: ") == 2
    assert "training.learning_rate: " in printed
    best = tuner.get_best_hyperparameters()[0]
    assert hypermodel.job(best).training.learning_rate == best.get("training.learning_rate")
    score = tuner.oracle.get_best_trials()[0].score
    scores = tuner.get_best_models()[0].evaluate(
        hypermodel.pairs(valid, hypermodel.weights_of_classes(hypermodel.job(best).training.class_weights)),
        verbose=0,
        return_dict=True,
    )
    assert scores[hypermodel.objective.name.removeprefix("val_")] == pytest.approx(score, rel=1e-4)


def test_what_can_not_be_done_is_said(tiny_waveforms, tiny_dart, tmp_path):
    with pytest.raises(ValueError, match="expected a data set of task waveforms, received dart"):
        hypermodels.MlpHyperModel(tiny_dart)
    with pytest.raises(ValueError, match="expected a data set of task dart, received waveforms"):
        hypermodels.Conv1DHyperModel(load_dataset(tiny_waveforms))
    with pytest.raises(ValueError, match=r"training.augment.gain_db: expected a setting that Keras's fit applies"):
        hypermodels.CnnHyperModel(tiny_waveforms, base={"training": {"augment": {"gain_db": 3.0}}})
    with pytest.raises(ValueError, match=r"training.loss.wave_weight: expected the data set's folder"):
        hypermodels.SlipMlpHyperModel(load_dataset(tiny_dart), base={"training": {"loss": {"wave_weight": 2.0}}})
    file = tmp_path / "space.json"
    file.write_text(json.dumps({"training.buoy_dropout": {"kind": "real", "low": 0.0, "high": 0.5}}))
    with pytest.raises(ValueError, match=r"training.buoy_dropout: expected a setting that Keras's fit applies"):
        hypermodels.SlipMlpHyperModel(tiny_dart, space_file=file)
    with pytest.raises(ValueError, match="at most 1 blocks"):
        hypermodels.CnnHyperModel(tiny_waveforms, base={"model": {"stem": [4, 4]}})

    hypermodel, hp = hypermodels.MlpHyperModel(tiny_waveforms), values("mlp")
    model = hypermodel.build(hp)
    x, y = arrays("mlp", tiny_waveforms, "train")
    with pytest.raises(kt.errors.FatalValueError, match="batch_size: expected none beside .* training.batch_size"):
        hypermodel.fit(hp, model, x, y, batch_size=8)
    with pytest.raises(kt.errors.FatalValueError, match="x: expected arrays or a tf.data.Dataset"):
        hypermodel.fit(hp, model, iter([(x, y)]))
    endless = classification(tiny_waveforms, "train", 16).repeat()
    with pytest.raises(kt.errors.FatalValueError, match="expected steps_per_epoch with an endless data set"):
        hypermodel.fit(hp, model, endless, epochs=1)
    assert len(hypermodel.fit(hp, model, endless, epochs=2, steps_per_epoch=3, verbose=0).history["loss"]) == 2
    records = pipeline.records(tiny_waveforms, "train", ("waveform", "label"), 16)
    with pytest.raises(kt.errors.FatalValueError, match=r"expected the features \['spectrogram', 'label'\], received"):
        hypermodel.fit(hp, model, records)


def test_class_weights_of_the_caller_are_used_instead(tiny_waveforms):
    x, y = arrays("mlp", tiny_waveforms, "train")
    hypermodel, hp = hypermodels.MlpHyperModel(tiny_waveforms), values("mlp", **{"training.learning_rate": 1e-4})
    plain = hypermodel.fit(hp, hypermodel.build(hp), x, y, sample_weight=np.zeros(len(y)), epochs=1, verbose=0)
    assert plain.history["loss_without_l2"] == [0.0]


def test_no_record_of_the_test_split_is_read(tiny_dart, tmp_path):
    info = load_dataset(tiny_dart)
    closed = {shard.file for shard in info.splits["test"].shards}
    assert closed
    for path in tiny_dart.iterdir():
        if path.name not in closed:
            shutil.copy(path, tmp_path)
    hypermodels.SlipMlpHyperModel(tmp_path).build(kt.HyperParameters())
