"""The training loop: against Keras's own, early stopping, the best epoch, weights of classes, and going on."""

import copy
import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dart import networks as dart_networks
from seis_tf.settings.training import TrainingSettings, learning_rate_at
from seis_tf.training import losses
from seis_tf.training.inputs import Data, FitInputs, Member
from seis_tf.training.loop import fit
from seis_tf.training.losses import class_weights
from seis_tf.training.progress import Progress
from seis_tf.waveforms import networks as waveform_networks

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(60, 4, 5)).astype(np.float32)
LABELS = (INPUTS.mean(axis=(1, 2)) > 0).astype(np.int32) + (INPUTS[:, 0, 0] > 0.5)
TRAIN, VALID = np.arange(42), np.arange(42, 60)
DATA = Data((INPUTS,), LABELS)
SETTINGS = TrainingSettings(learning_rate=0.02, batch_size=8, epochs=4)


def mlp(seed=0, dropout=0.3, **options):
    return waveform_networks.mlp((4, 5), 3, (6,), dropout=dropout, seed=seed, **options)


def accuracy(labels, probabilities):
    return float(np.mean(probabilities.argmax(-1) == labels))


def train(members, settings=SETTINGS, data=DATA, built=None, metrics=None, **options):
    built = built or [mlp(seed) for seed in range(len(members))]
    return fit(built, FitInputs(data, members, losses.cross_entropy, metrics or {}), settings, **options)


def values(state):
    return [v.numpy() for group in (state.trainable, state.non_trainable, state.optimizer) for v in group]


def assert_same(first, second):
    for a, b in zip(values(first), values(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_dropout_it_is_keras_fit():
    settings = TrainingSettings(
        learning_rate=0.02, batch_size=8, epochs=4, l2=0.01, schedule="cosine", warmup_epochs=1, clip_norm=2.0
    )
    done = train([Member(TRAIN, VALID, 5)], settings, built=[mlp(1, 0.0)], metrics={"accuracy": accuracy})
    theirs = mlp(1, 0.0, l2=0.01)
    theirs.compile(
        keras.optimizers.Adam(0.02, global_clipnorm=2.0), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    for epoch in range(4):
        theirs.optimizer.learning_rate = learning_rate_at(settings, epoch)
        order = np.random.default_rng([5, epoch]).permutation(TRAIN)
        told = theirs.fit(INPUTS[order], LABELS[order], 8, shuffle=False, verbose=0).history
        row = done.progress.history[0][epoch]
        assert row["loss"] == pytest.approx(told["loss"][0], rel=1e-4)
        assert row["learning_rate"] == pytest.approx(learning_rate_at(settings, epoch))
        loss, right = theirs.evaluate(INPUTS[VALID], LABELS[VALID], verbose=0)
        # Keras adds the penalty to the validation loss; ours is of the records alone.
        assert row["val_loss"] == pytest.approx(loss - float(sum(theirs.losses)), rel=1e-4)
        assert row["val_accuracy"] == pytest.approx(right)
    for ours, expected in zip(done.progress.state.trainable, theirs.trainable_variables, strict=True):
        np.testing.assert_allclose(ours[0], expected.numpy(), atol=2e-5)


def test_the_best_epoch_is_kept():
    # A rate this high makes the validation loss go up and down.
    settings = SETTINGS.model_copy(update={"learning_rate": 0.3, "epochs": 8})
    seen = {}

    def remember(progress):
        seen[progress.epoch] = values(progress.state)

    done = train([Member(TRAIN, VALID, 1)], settings, on_epoch=remember)
    told = [row["val_loss"] for row in done.progress.history[0]]
    best = int(np.argmin(told)) + 1
    assert best < 8, "the last epoch must not be the best here"
    assert done.progress.best_epoch.tolist() == [best] and done.progress.best_value[0] == min(told)
    for kept, expected in zip(values(done.state), seen[best], strict=True):
        np.testing.assert_array_equal(kept, expected)
    last = train([Member(TRAIN, VALID, 1)], settings.model_copy(update={"keep": "last"}))
    for kept, expected in zip(values(last.state), seen[8], strict=True):
        np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize(("name", "best"), [("accuracy", np.argmax), ("mse", np.argmin), ("log_loss", np.argmin)])
def test_the_best_epoch_is_that_of_the_better_score(name, best):
    told = iter([0.5, 0.9, 0.1, 0.4])
    settings = SETTINGS.model_copy(update={"monitor": f"val_{name}"})
    done = train([Member(TRAIN, VALID, 1)], settings, metrics={name: lambda *_: next(told)})
    assert done.progress.best_epoch.tolist() == [best([0.5, 0.9, 0.1, 0.4]) + 1]


def test_which_end_of_an_unknown_score_is_the_good_one_is_not_guessed():
    with pytest.raises(ValueError, match=r"score: expected one of \['loss', .*'mse', .*\], received 'val_r2'"):
        train([Member(TRAIN, VALID, 1)], SETTINGS.model_copy(update={"monitor": "val_r2"}), metrics={"r2": accuracy})


def scripted(script):
    """A metric "mse" with values as written, [member, epoch], in place of computed ones; 9 after the last."""
    turns = itertools.cycle([iter(values) for values in script])  # each epoch it is called for one member after another
    return {"mse": lambda targets, outputs: next(next(turns), 9.0)}


@pytest.mark.parametrize("keep", ["best", "last"])
def test_each_member_stops_early_by_itself_and_ends_as_it_would_alone(keep):
    settings = SETTINGS.model_copy(update={"epochs": 20, "early_stopping": 2, "keep": keep, "monitor": "val_mse"})
    # The first is best at its second epoch and stops after its fourth, the other at its fourth and after its sixth.
    script = [[1.0, 0.5, 0.6, 0.7], [1.0, 0.9, 1.1, 0.8, 0.9, 0.9]]
    members = [Member(TRAIN, VALID, 1), Member(TRAIN[5:], VALID, 2)]
    together = train(members, settings, metrics=scripted(script))
    assert together.progress.epoch == 6
    assert together.progress.best_epoch.tolist() == [2, 4]
    assert [[row["val_mse"] for row in history] for history in together.progress.history] == script
    for k in range(2):
        alone = train(members[k : k + 1], settings, built=[mlp(k)], metrics=scripted(script[k : k + 1]))
        assert alone.progress.epoch == len(script[k])
        for ours, theirs in zip(together.state.trainable, alone.state.trainable, strict=True):
            np.testing.assert_allclose(ours[k], theirs[0], atol=2e-5)


def test_without_early_stopping_all_epochs_are_trained():
    settings = SETTINGS.model_copy(update={"epochs": 6, "monitor": "val_mse"})
    done = train([Member(TRAIN, VALID, 1)], settings, metrics=scripted([[0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]))
    assert done.progress.epoch == 6 and done.progress.best_epoch.tolist() == [1]


def test_training_that_goes_on_ends_with_the_same_weights(tmp_path):
    members = [Member(TRAIN, VALID, 1), Member(TRAIN[4:], VALID, 2, learning_rate=0.01, l2=0.1, dropout=0.5)]
    settings = SETTINGS.model_copy(update={"schedule": "cosine", "epochs": 5})
    whole = train(members, settings)
    stopped = train(members, settings, on_epoch=lambda progress: progress.epoch == 2)
    assert stopped.progress.epoch == 2
    stopped.progress.save(tmp_path / "p.npz")
    gone_on = train(members, settings, progress=Progress.load(tmp_path / "p.npz"))
    assert_same(whole.progress.state, gone_on.progress.state)
    assert_same(whole.progress.best, gone_on.progress.best)
    timeless = [
        [[{k: v for k, v in row.items() if k != "seconds"} for row in history] for history in done.progress.history]
        for done in (whole, gone_on)
    ]
    assert timeless[0] == timeless[1]
    assert whole.progress.best_epoch.tolist() == gone_on.progress.best_epoch.tolist()


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    first, again, other = (train([Member(TRAIN, VALID, seed)], built=[mlp(1)]) for seed in (3, 3, 4))
    assert_same(first.progress.state, again.progress.state)
    assert any((a != b).any() for a, b in zip(values(first.state), values(other.state), strict=True))


def test_a_diverged_member_is_seen_and_does_not_touch_the_others():
    members = [Member(TRAIN, VALID, 1), Member(TRAIN, VALID, 2, learning_rate=1e30), Member(TRAIN[:9], VALID, 3)]
    done = train(members, failed_go_on=True)
    told = np.array([[row["loss"] for row in history] for history in done.progress.history])
    assert not np.isfinite(told[1]).all()
    assert np.isfinite(told[[0, 2]]).all()
    assert all(np.isfinite(v[[0, 2]]).all() for v in values(done.progress.state) if v.ndim)


def test_class_weights_are_keras_class_weights():
    weights = class_weights(LABELS, TRAIN, "balanced")
    done = train([Member(TRAIN, VALID, 5)], data=replace(DATA, weights=weights), built=[mlp(1, 0.0)])
    theirs = mlp(1, 0.0)
    theirs.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    per_class = {k: float(weights[k == LABELS][0]) for k in range(3)}
    for epoch in range(4):
        order = np.random.default_rng([5, epoch]).permutation(TRAIN)
        theirs.fit(INPUTS[order], LABELS[order], 8, shuffle=False, verbose=0, class_weight=per_class)
    for ours, expected in zip(done.progress.state.trainable, theirs.trainable_variables, strict=True):
        np.testing.assert_allclose(ours[0], expected.numpy(), atol=2e-5)
    outputs = theirs.predict(INPUTS[VALID], verbose=0)
    each = -np.log(outputs[np.arange(len(VALID)), LABELS[VALID]])
    expected = np.average(each, weights=weights[VALID])
    assert done.progress.history[0][-1]["val_loss"] == pytest.approx(expected, rel=1e-4)


def test_a_transform_is_given_a_companion_for_each_record():
    shown = []

    def transform(inputs, seed):
        shown.append([v.shape.as_list() for v in inputs])
        return [inputs[0] + 0.1 * inputs[1]]

    members = [Member(np.arange(20), VALID, 1), Member(np.arange(20, 60), np.arange(5), 2)]
    train(members, data=replace(DATA, transform=transform, companions=np.array([1, 3, 41, 50])))
    assert shown[0] == [[2, 8, 4, 5]] * 2


def test_a_transform_changes_training_and_not_validation():
    data = replace(DATA, transform=lambda inputs, seed: [tf.zeros_like(inputs[0])])
    done = train([Member(TRAIN, VALID, 1)], data=data, metrics={"accuracy": accuracy}, built=[mlp(1, 0.0)])
    state = done.progress.state
    # The first layer's kernel had no gradient: it is what it was.
    np.testing.assert_array_equal(state.trainable[0][0], mlp(1, 0.0).trainable_variables[0].numpy())
    outputs = done.stack.predict(state, [tf.constant(INPUTS)])[0]
    assert done.progress.history[0][-1]["val_accuracy"] == pytest.approx(accuracy(LABELS[VALID], outputs[VALID]))


def test_a_network_that_can_not_be_mapped_is_trained_member_by_member():
    inputs = np.random.default_rng(1).normal(size=(60, 8, 9)).astype(np.float32)
    data = Data((inputs,), LABELS)
    built = [waveform_networks.cnn((8, 9), 3, (2,), dense=3, seed=s) for s in (1, 2)]
    members = [Member(TRAIN, VALID, 1), Member(TRAIN[3:], VALID, 2, learning_rate=0.001)]
    settings = SETTINGS.model_copy(update={"epochs": 2})
    together = train(members, settings, data, built)
    assert not together.stack.stackable
    assert together.predict([inputs]).shape == (2, 60, 3)
    for k in range(2):
        alone = train(members[k : k + 1], settings, data, built[k : k + 1])
        for ours, theirs in zip(values(together.state), values(alone.state), strict=True):
            np.testing.assert_array_equal(ours[k], theirs[0])
    model = together.model(1, built[1])
    np.testing.assert_allclose(model.predict(inputs, verbose=0), together.predict([inputs])[1], atol=1e-6)


def test_each_member_has_its_own_weights_of_the_losses_parts():
    random = np.random.default_rng(5)
    level, slip = random.normal(size=(40, 6, 2)).astype(np.float32), random.gamma(1.0, 1.0, (40, 3)).astype(np.float32)
    greens, data = random.normal(size=(3, 6, 2)), Data((level,), slip)
    weights, rows = [(1.0, 0.1), (0.01, 5.0), (1.0, 0.1)], (np.arange(30), np.arange(30, 40))
    settings = SETTINGS.model_copy(update={"monitor": "val_loss"})

    def fitted(loss_weights, own):
        built = [dart_networks.conv1d(6, 2, 3, (4, 4), seed=1) for _ in loss_weights]
        members = [Member(*rows, 3, loss_weights=w) for w in loss_weights]
        return fit(built, FitInputs(data, members, losses.slip_and_wave(greens, slip, *own)), settings)

    together = fitted(weights, own=(7.0, 7.0))
    for k, own in enumerate(weights):
        alone = fitted([None], own)
        for ours, theirs in zip(together.progress.state.trainable, alone.progress.state.trainable, strict=True):
            np.testing.assert_allclose(ours[k], theirs[0], atol=2e-5)
        for row, expected in zip(together.progress.history[k], alone.progress.history[0], strict=True):
            assert row["val_loss"] == pytest.approx(expected["val_loss"], rel=1e-4)
    kernels = together.progress.state.trainable[0].numpy()
    assert np.abs(kernels[0] - kernels[1]).max() > 1e-3


def test_weights_for_a_loss_without_parts_are_refused():
    member = Member(np.arange(10), np.array([], int), 0, loss_weights=(1.0, 2.0))
    settings = SETTINGS.model_copy(update={"monitor": "loss"})
    with pytest.raises(ValueError, match="loss_weights: expected none for a loss without parts"):
        fit([mlp()], FitInputs(DATA, [member], losses.cross_entropy), settings)


def test_progress_is_split_and_joined(tmp_path):
    done = train([Member(TRAIN, VALID, s) for s in (1, 2, 3)])
    parts = [done.progress.part([2]), done.progress.part([0, 1])]
    joined = Progress.joined(parts)
    assert_same(joined.part([1, 2, 0]).state, done.progress.state)
    assert joined.history == [done.progress.history[k] for k in (2, 0, 1)]
    assert joined.best_epoch.tolist() == done.progress.best_epoch[[2, 0, 1]].tolist()
    assert joined.epoch == 4 and joined.members == 3
    joined.best_epoch = np.array([2, 1, 3])
    joined.save(tmp_path / "p.npz")
    again = Progress.load(tmp_path / "p.npz")
    for state in ("state", "best"):
        assert_same(getattr(again, state), getattr(joined, state))
    assert again.best_epoch.tolist() == [2, 1, 3] and again.best_value.tolist() == joined.best_value.tolist()
    assert (again.epoch, again.history) == (4, joined.history)


def test_the_checkpoint_knows_its_epoch_when_members_have_stopped(tmp_path):
    settings = SETTINGS.model_copy(update={"early_stopping": 1, "epochs": 3, "monitor": "val_mse"})
    members = [Member(TRAIN, VALID, 1), Member(TRAIN, VALID, 2)]
    done = train(members, settings, metrics=scripted([[0.5, 0.6], [0.5, 0.4, 0.3]]))
    done.progress.save(tmp_path / "p.npz")
    again = Progress.load(tmp_path / "p.npz")
    assert (again.epoch, [len(h) for h in again.history]) == (3, [2, 3])


@pytest.mark.parametrize(
    ("members", "options", "message"),
    [
        ([], {}, "expected a model for each member, received 1 models, 0 members"),
        ([Member(TRAIN[:0], VALID, 1)], {}, "expected training records, received none for member 0"),
        (
            [Member(TRAIN, VALID, 1), Member(TRAIN, VALID[:0], 1)],
            {"built": [mlp(), mlp()]},
            "expected validation records for all members or none, received a mix at member 1",
        ),
        (
            [Member(TRAIN, VALID, 1), Member(TRAIN, VALID, 1)],
            {"built": [mlp(), mlp(dropout=0.0)]},
            "expected models of one architecture, received another for member 1",
        ),
        (
            [Member(TRAIN, VALID, 1)],
            {"settings": TrainingSettings(monitor="val_f1"), "metrics": {"accuracy": accuracy}},
            r"monitor: expected one of \['loss', 'val_loss', 'val_accuracy'\], received 'val_f1'",
        ),
        (
            [Member(TRAIN, VALID, 1)],
            {"settings": TrainingSettings(device="/GPU:7")},
            r"device: expected one of \['/CPU:0'.*\], received '/GPU:7'",
        ),
        ([Member(TRAIN, VALID[:0], 1)], {}, r"monitor: expected one of \['loss'\], received 'val_loss'"),
    ],
)
def test_what_can_not_be_fitted_is_refused(members, options, message):
    with pytest.raises(ValueError, match=message):
        train(members, **({"built": [mlp()]} | options))


def test_without_validation_records_the_loss_can_be_monitored():
    done = train([Member(TRAIN, VALID[:0], 1)], SETTINGS.model_copy(update={"monitor": "loss"}))
    assert set(done.progress.history[0][0]) == {"epoch", "loss", "learning_rate", "seconds"}


def test_the_data_is_left_as_it_was():
    before = copy.deepcopy((INPUTS, LABELS))
    train([Member(TRAIN, VALID, 1)])
    np.testing.assert_array_equal(before[0], INPUTS)
    np.testing.assert_array_equal(before[1], LABELS)


def test_the_device_is_a_place_and_changes_no_number():
    members = [Member(TRAIN, VALID, 1)]
    placed = train(members, SETTINGS.model_copy(update={"device": "/CPU:0"}))
    assert_same(placed.state, train(members).state)
    assert placed.state.trainable[0].device.endswith("CPU:0")
