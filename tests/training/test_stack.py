"""A stack of models: each member ends where it would end alone, and a stack of one where Keras's `fit` ends."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dart import networks as dart_networks
from seis_tf.models.layers import StackableDropout
from seis_tf.training import losses
from seis_tf.training.architecture import is_stackable
from seis_tf.training.batches import epoch_batches
from seis_tf.training.inputs import Member
from seis_tf.training.optimizers import Optimizer
from seis_tf.training.stack import Rates, Records, compiled
from seis_tf.training.state import StackState
from seis_tf.waveforms import networks as waveform_networks

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(50, 4, 5)).astype(np.float32)
LABELS = (INPUTS.mean(axis=(1, 2)) > 0).astype(np.int32) + (INPUTS[:, 0, 0] > 0.5)
ADAM = Optimizer("adam")
RECORDS = Records([tf.constant(INPUTS)], tf.constant(LABELS), tf.ones(50))


def mlp(seed=0, dropout=0.3, **options):
    return waveform_networks.mlp((4, 5), 3, (6,), dropout=dropout, seed=seed, **options)


def fit_stack(
    built, rates, l2s, dropouts, seeds, rows, epochs=3, batch=8, optimizer=ADAM, transform=None, precision="float32",
    loss=losses.cross_entropy,
):  # fmt: skip
    """Some epochs; gives the stack, its last state and the losses [epoch, step, member]."""
    stack = compiled(built[0], optimizer, loss, transform, precision)
    state, lost = stack.initial_state(built, dropouts, seeds), []
    for epoch in range(epochs):
        batches = batches_of(rows, seeds, epoch, batch)
        state, each = stack.run(state, RECORDS, batches, Rates(np.array(rates), np.array(l2s)), (seeds[0], epoch))
        lost.append(each)
    return stack, state, np.array(lost)


def batches_of(rows, seeds, epoch, batch):
    members = [Member(mine, mine[:0], seed) for mine, seed in zip(rows, seeds, strict=True)]
    return epoch_batches(members, epoch, batch, None)


def assert_member_is(state, member, alone, tolerance=2e-5):
    for ours, theirs in zip(state.trainable, alone.trainable, strict=True):
        np.testing.assert_allclose(ours[member], theirs[0], atol=tolerance)


@pytest.fixture(scope="module")
def three():
    """Three members with their own learning rate, L2, dropout rate, seed and records."""
    return {
        "built": [mlp(seed) for seed in (1, 2, 3)],
        "rates": [0.01, 0.003, 0.03],
        "l2s": [0.0, 0.01, 0.1],
        "dropouts": [0.0, 0.2, 0.5],
        "seeds": [11, 12, 13],
        "rows": [np.arange(40), np.arange(10, 50), np.arange(0, 50, 2)],
    }


def test_each_member_ends_where_it_ends_alone(three):
    _, together, told = fit_stack(**three)
    for k in range(3):
        _, alone, told_alone = fit_stack(**{name: [values[k]] for name, values in three.items()})
        assert_member_is(together, k, alone)
        assert together.non_trainable[1][k].numpy().tolist() == alone.non_trainable[1][0].numpy().tolist()
        # The third member has 25 records, 4 steps of 8; the others 40, 5 steps: a NaN where it had none.
        steps = 4 if k == 2 else 5
        np.testing.assert_allclose(told[:, :steps, k], told_alone[:, :, 0], rtol=1e-4, atol=1e-5)
        assert np.isnan(told[:, steps:, k]).all()


def test_members_differ_by_each_of_their_settings(three):
    same = three | {"built": [mlp(1)] * 3, "rows": [np.arange(40)] * 3, "seeds": [11] * 3}
    for name in ("rates", "l2s", "dropouts"):
        equal = {other: [same[other][1]] * 3 for other in ("rates", "l2s", "dropouts") if other != name}
        _, state, _ = fit_stack(**(same | equal), epochs=1)
        kernels = state.trainable[0].numpy()
        assert np.abs(kernels[0] - kernels[1]).max() > 1e-4 and np.abs(kernels[1] - kernels[2]).max() > 1e-4
    _, state, _ = fit_stack(**(same | {n: [same[n][1]] * 3 for n in ("rates", "l2s", "dropouts")}), epochs=1)
    kernels = state.trainable[0].numpy()
    np.testing.assert_allclose(kernels, kernels[[0, 0, 0]], atol=1e-6)


def by_keras(model, optimizer, rows, seed, epochs, batch):
    """The same batches through Keras's own loop."""
    model.compile(optimizer, "sparse_categorical_crossentropy")
    told = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(rows)
        history = model.fit(INPUTS[order], LABELS[order], batch, shuffle=False, verbose=0)
        told.append(history.history["loss"][0])
    return model, told


@pytest.mark.parametrize(
    "optimizer",
    [Optimizer("adam", weight_decay=0.1, clip_norm=1.0), Optimizer("sgd", momentum=0.9)],
    ids=["adamw", "sgd"],
)
def test_a_stack_of_one_is_keras_fit_with_a_smaller_last_batch(optimizer):
    rows = np.arange(45)  # five batches of 8 and one of 5
    ours = mlp(4, dropout=0.0)
    theirs, told_theirs = by_keras(mlp(4, dropout=0.0, l2=0.02), optimizer.as_keras(0.02), rows, 7, 3, 8)
    stack, state, told = fit_stack([ours], [0.02], [0.02], [None], [7], [rows], optimizer=optimizer)
    for value, expected in zip(state.trainable, theirs.trainable_variables, strict=True):
        np.testing.assert_allclose(value[0], expected.numpy(), atol=2e-5)
    # Keras's loss of an epoch is the mean over records, with each batch's penalty.
    sizes = np.array([8] * 5 + [5])
    np.testing.assert_allclose(told[:, :, 0] @ sizes / 45, told_theirs, rtol=1e-4)
    # And the prediction is the model's own.
    outputs = stack.predict(state, [tf.constant(INPUTS)], batch_size=16)[0]
    np.testing.assert_allclose(outputs, theirs.predict(INPUTS, verbose=0), atol=1e-5)


def test_a_member_without_records_left_waits_exactly(three):
    # Two epochs' worth of rows, of which the second member has none: nothing of it may move, not even its momentum.
    stack = compiled(three["built"][0], Optimizer("sgd", momentum=0.9), losses.cross_entropy)
    built, seeds = three["built"][:2], [11, 12]
    state = stack.initial_state(built, [None, None], seeds)

    def epoch(before, present_second):
        batches = batches_of([np.arange(16)] * 2, seeds, 0, 8).of(np.array([True, present_second]))
        return stack.run(before, RECORDS, batches, Rates(np.array([0.1, 0.1]), np.array([0.1, 0.1])), (11, 0))

    moving, _ = epoch(state, True)
    waited, loss = epoch(moving, False)
    assert np.isnan(loss[:, 1]).all() and np.isfinite(loss[:, 0]).all()
    for kind in ("trainable", "non_trainable", "optimizer"):
        for before, after in zip(getattr(moving, kind), getattr(waited, kind), strict=True):
            np.testing.assert_array_equal(after[1], before[1])
    assert (waited.trainable[0][0].numpy() != moving.trainable[0][0].numpy()).any()


def test_one_compilation_for_all_that_differs_by_values_only():
    first = compiled(mlp(0, 0.1), ADAM, losses.cross_entropy)
    assert compiled(mlp(5, 0.4, l2=0.3), Optimizer("adam"), losses.cross_entropy) is first
    for other in (
        compiled(mlp(0, 0.0), ADAM, losses.cross_entropy),
        compiled(waveform_networks.mlp((4, 5), 3, (7,), dropout=0.1), ADAM, losses.cross_entropy),
        compiled(mlp(0, 0.1, activation="tanh"), ADAM, losses.cross_entropy),
        compiled(mlp(0, 0.1), Optimizer("adam", clip_norm=1.0), losses.cross_entropy),
        compiled(mlp(0, 0.1), ADAM, losses.squared_error),
    ):
        assert other is not first


def test_an_epoch_compiled_whole_is_its_steps_one_after_the_other(three):
    def unchanged(inputs, seed):
        return inputs

    for options in (three, three | {"l2s": [0.0] * 3}):
        whole_stack, whole, told = fit_stack(**options)
        stack, by_steps, told_by_steps = fit_stack(**options, transform=unchanged)
        assert whole_stack.compiles_epochs and not stack.compiles_epochs
        for k in range(3):
            assert_member_is(whole, k, by_steps.part([k]))
        np.testing.assert_allclose(told, told_by_steps, rtol=1e-4)


def test_folds_of_all_sizes_share_one_program(three):
    one = {name: values[:1] for name, values in three.items()}
    traced = []

    def loss(labels, probabilities):  # runs in Python only while a program is traced
        traced.append(probabilities)
        return losses.cross_entropy(labels, probabilities)

    fit_stack(**one, epochs=1, loss=loss)
    before = len(traced)
    for rows in (np.arange(9), np.arange(23), np.arange(50)):
        fit_stack(**(one | {"rows": [rows]}), epochs=1, loss=loss)
    assert len(traced) == before > 0


def test_members_without_dropout_and_a_rate_of_zero_end_alike(three):
    values = {name: three[name][:1] for name in ("rates", "l2s", "seeds", "rows")}
    _, without, _ = fit_stack([mlp(1, 0.0)], dropouts=[None], **values, epochs=1)
    _, zero, _ = fit_stack([mlp(1, 0.3)], dropouts=[0.0], **values, epochs=1)
    _, own, _ = fit_stack([mlp(1, 0.3)], dropouts=[None], **values, epochs=1)
    assert_member_is(zero, 0, without, 1e-6)
    assert np.abs(own.trainable[0][0] - zero.trainable[0][0]).max() > 1e-4


def test_other_numbers_of_members_and_records_use_the_stack_too(three):
    """As a fold, an ensemble and a search do, one after the other, with a transform that asks for its shapes."""

    def transform(inputs, seed):
        members, batch, rows, columns = inputs[0].shape
        assert None not in (members, rows, columns)
        return [
            inputs[0] + 0.1 * tf.random.stateless_normal([members, tf.shape(inputs[0])[1], rows, columns], seed[:2])
        ]

    for count, batch, size in ((2, 8, 40), (1, 8, 40), (1, 5, 12)):
        part = {name: values[:count] for name, values in three.items()} | {"rows": [np.arange(size)] * count}
        stack, state, told = fit_stack(**part, batch=batch, epochs=1, transform=transform)
        assert np.isfinite(told).all() and told.shape == (1, -(-size // batch), count)
        assert stack.predict(state, [tf.constant(INPUTS)]).shape == (count, 50, 3)


def test_predictions_for_own_rows_and_in_uneven_batches(three):
    stack, state, _ = fit_stack(**three, epochs=1)
    everything = stack.predict(state, [tf.constant(INPUTS)], batch_size=16)
    assert everything.shape == (3, 50, 3)
    rows = np.array([[3, 1, 4, 1, 5, 9, 2], [49, 0, 0, 1, 2, 3, 4], [7, 7, 7, 7, 7, 7, 7]])
    own = stack.predict(state, [tf.constant(INPUTS)], batch_size=3, rows=rows)
    np.testing.assert_allclose(own, everything[np.arange(3)[:, None], rows], atol=1e-6)
    for k in range(3):
        model = stack.assign(mlp(0), state, k)
        np.testing.assert_allclose(model.predict(INPUTS, verbose=0), everything[k], atol=1e-6)


def test_a_state_is_split_joined_stored_and_read_back(three):
    _, state, _ = fit_stack(**three, epochs=1)
    joined = StackState.joined([state.part([2]), state.part([0, 1])])
    again = StackState.from_arrays(joined.part([1, 2, 0]).arrays())
    for kind in ("trainable", "non_trainable", "optimizer"):
        for before, after in zip(getattr(state, kind), getattr(again, kind), strict=True):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype


def test_dropout_states_differ_between_members_and_layers():
    built = [waveform_networks.mlp((4, 5), 3, (6, 7), dropout=0.3) for _ in range(2)]
    stack = compiled(built[0], ADAM, losses.cross_entropy)
    # A date as a seed, times the thousand layers that each seed is spread over, is more than an int32 holds.
    state = stack.initial_state(built, [None, 0.1], [5, 20_260_101])
    names = [v.name for v in stack.model.non_trainable_variables]
    states = np.stack([v for name, v in zip(names, state.non_trainable, strict=True) if name == "state"])
    assert len({tuple(row) for row in states.reshape(-1, 2).tolist()}) == 4
    rates = [v.numpy().tolist() for name, v in zip(names, state.non_trainable, strict=True) if name == "rate"]
    np.testing.assert_allclose(rates, [[0.3, 0.1]] * 2)


def test_what_can_be_mapped_and_what_not():
    assert is_stackable(mlp()) and is_stackable(dart_networks.conv1d(8, 2, 3, (4, 5, 6)))
    assert not is_stackable(waveform_networks.cnn((8, 9), 3, (2,)))
    inputs = keras.Input((8, 2))
    for layer in (keras.layers.Conv1D(2, 3), keras.layers.Dropout(0.1), keras.layers.MaxPooling1D(2)):
        assert not is_stackable(keras.Model(inputs, layer(inputs)))
    nested = keras.Sequential([inputs, keras.layers.Conv1D(2, 3)])
    assert not is_stackable(keras.Model(inputs, nested(inputs)))


@pytest.mark.slow
def test_the_dart_network_in_a_stack_is_the_network_alone():
    levels = np.random.default_rng(2).normal(size=(30, 4, 2)).astype(np.float32)
    slip = np.abs(levels[:, :3, 0] * 2)

    def train(built, rates, seeds):
        stack = compiled(built[0], ADAM, losses.squared_error)
        state = stack.initial_state(built, [None] * len(built), seeds)
        for epoch in range(3):
            batches = batches_of([np.arange(30)] * len(built), seeds, epoch, 7)
            records = Records([tf.constant(levels)], tf.constant(slip), tf.ones(30))
            rates_of = Rates(np.array(rates), np.zeros(len(built)))
            state, _ = stack.run(state, records, batches, rates_of, (seeds[0], epoch))
        return stack, state

    built = [dart_networks.conv1d(4, 2, 3, (4, 5), dense=5, dropout=0.2, seed=s) for s in (1, 2)]
    assert sum(isinstance(layer, StackableDropout) for layer in built[0].layers) == 1
    stack, together = train(built, [0.01, 0.02], [3, 4])
    for k in range(2):
        _, alone = train(built[k : k + 1], [[0.01, 0.02][k]], [[3, 4][k]])
        assert_member_is(together, k, alone)
        outputs = stack.predict(together, [tf.constant(levels)])[k]
        model = stack.assign(dart_networks.conv1d(4, 2, 3, (4, 5), dense=5, dropout=0.2), together, k)
        np.testing.assert_allclose(model.predict(levels, verbose=0), outputs, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [mlp(1), waveform_networks.cnn((8, 9), 3, filters=(4,), dropout=0.2),
     dart_networks.conv1d(8, 2, 3, widths=(4, 5, 6)),
     dart_networks.slip_mlp(8, 2, 3, hidden=(6, 6))],
)  # fmt: skip
def test_in_bfloat16_layers_compute_coarsely_and_weights_and_outputs_stay_float32(model):
    inputs = [tf.constant(RANDOM.normal(size=(20, *i.shape[1:])).astype(np.float32)) for i in model.inputs]
    exact, coarse = (compiled(model, ADAM, losses.squared_error, None, kind) for kind in ("float32", "bfloat16"))
    assert exact is not coarse
    state = coarse.initial_state([model], [None], [0])
    assert {v.dtype for v in (*state.trainable, *state.optimizer)} == {tf.float32}
    fine, rough = (stack.predict(state, inputs) for stack in (exact, coarse))
    assert rough.dtype == np.float32
    # bfloat16 keeps 8 bits: a rounding of 0.4 % in each product, and an answer that is not bit for bit the same.
    assert 0 < np.abs(rough - fine).max() < 0.05 * max(np.abs(fine).max(), 1)


def test_a_member_is_fitted_in_bfloat16_and_saved_in_float32(three):
    alone = {name: values[:1] for name, values in three.items()}
    _, exact, told = fit_stack(**alone)
    stack, state, rough = fit_stack(**alone, precision="bfloat16")
    np.testing.assert_allclose(rough, told, rtol=0.1)
    assert not np.array_equal(rough, told)
    saved = stack.assign(mlp(5), state, 0)
    assert {v.dtype for v in saved.trainable_variables} == {"float32"} and saved.dtype_policy.name == "float32"


def test_a_stack_is_named_shortly_in_warnings():
    stack = compiled(mlp(), ADAM, losses.cross_entropy)
    stack.predict(stack.initial_state([mlp()], [None], [0]), [tf.constant(INPUTS)])
    assert len(repr(stack.predict)) < 200
