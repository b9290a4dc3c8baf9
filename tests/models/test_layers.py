"""Layers: stackable forms against the Keras layers that they stand for, and Threefry against its published answers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seis_tf.dart.layers import RecordScale, ScaledSoftplus
from seis_tf.models.layers import (
    ReshapeMaxPool1D,
    StackableDropout,
    StackMembers,
    UnfoldConv1D,
    threefry2x32,
    threefry_uniform,
)

WORD = 0xFFFFFFFF


def slow_threefry(counter, key, rounds=20):
    """Threefry-2x32 word by word, after section 3.3 of Salmon et al. 2011."""
    keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA]
    x = [(counter[0] + keys[0]) & WORD, (counter[1] + keys[1]) & WORD]
    rotations = [13, 15, 26, 6, 17, 29, 16, 24]
    for i in range(rounds):
        turn = rotations[i % 8]
        x[0] = (x[0] + x[1]) & WORD
        x[1] = ((x[1] << turn | x[1] >> (32 - turn)) & WORD) ^ x[0]
        if i % 4 == 3:
            group = i // 4 + 1
            x = [(x[0] + keys[group % 3]) & WORD, (x[1] + keys[(group + 1) % 3] + group) & WORD]
    return x


def test_the_slow_threefry_gives_the_published_answers():
    # Random123's kat_vectors, threefry2x32 with 20 rounds.
    assert slow_threefry((0, 0), (0, 0)) == [0x6B200159, 0x99BA4EFE]
    assert slow_threefry((WORD, WORD), (WORD, WORD)) == [0x1CB996FC, 0xBB002BE7]
    assert slow_threefry((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344)) == [0xC4923A9C, 0x483DF7A0]


def test_threefry_is_threefry():
    zero = tf.constant(0, tf.uint32)
    assert int(threefry2x32(zero, zero, zero)) == 0x6B200159
    random = np.random.default_rng(0)
    keys = [(0, 0), (WORD, WORD), (0, 1), *map(tuple, random.integers(0, WORD, (4, 2)).tolist())]
    counters = [0, 1, WORD, *random.integers(0, WORD, 5).tolist()]
    for key in keys:
        received = threefry2x32(*(tf.constant(k, tf.uint32) for k in key), tf.constant(counters, tf.uint32))
        assert received.numpy().tolist() == [slow_threefry((c, 0), key)[0] for c in counters]


def test_uniform_numbers_are_the_words_upper_bits():
    received = threefry_uniform(tf.constant([3, -2]), tf.zeros([2, 3])).numpy()
    expected = [(slow_threefry((c, 0), (3, -2 & WORD))[0] >> 8) / 2**24 for c in range(6)]
    np.testing.assert_array_equal(received, np.reshape(expected, (2, 3)).astype(np.float32))
    many = threefry_uniform(tf.constant([1, 2]), tf.zeros([100_000])).numpy()
    assert many.min() >= 0 and many.max() < 1
    # Of 100,000 uniform numbers each tenth has 10,000 with a deviation of sqrt(1e5 * 0.1 * 0.9) = 95.
    assert np.abs(np.histogram(many, 10, (0, 1))[0] - 10_000).max() < 4 * 95
    assert np.abs(np.corrcoef(many[1:], many[:-1])[0, 1]) < 4 / np.sqrt(1e5)


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"activation": "relu"}])
@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5])
def test_unfolded_convolution_is_keras_convolution(width, length, options):
    inputs = np.random.default_rng(0).normal(size=(2, length, 3)).astype(np.float32)
    ours, theirs = UnfoldConv1D(4, width, **options), keras.layers.Conv1D(4, width, padding="same", **options)
    for layer in (ours, theirs):
        layer.build(inputs.shape)
    theirs.set_weights([np.random.default_rng(1).normal(size=w.shape) for w in ours.get_weights()])
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(inputs), theirs(inputs), atol=2e-6)


def test_unfolded_convolution_has_keras_gradient():
    inputs = tf.constant(np.random.default_rng(0).normal(size=(2, 7, 3)), tf.float32)
    ours, theirs = UnfoldConv1D(4, 3), keras.layers.Conv1D(4, 3, padding="same")
    theirs.build(inputs.shape)
    ours.build(inputs.shape)
    ours.set_weights(theirs.get_weights())
    gradients = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(tf.square(layer(inputs)))
        gradients.append(tape.gradient(loss, [layer.kernel.value, layer.bias.value, inputs]))
    for mine, keras_own in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("option", [{"strides": 2}, {"dilation_rate": 2}, {"groups": 2}])
def test_a_convolution_that_is_no_unfolding_is_refused(option):
    with pytest.raises(ValueError, match=r"expected strides, dilation and groups of 1, received .*2"):
        UnfoldConv1D(4, 3, **option)


@pytest.mark.parametrize("length", [2, 3, 8, 45])
def test_reshaped_pooling_is_keras_pooling(length):
    inputs = np.random.default_rng(length).normal(size=(3, length, 2)).astype(np.float32)
    np.testing.assert_array_equal(ReshapeMaxPool1D()(inputs), keras.layers.MaxPooling1D(2)(inputs))


def stateless_dropout(layer, inputs, state):
    """Output of a training call and the state after it."""
    others = [layer.rate.value, tf.constant(state, tf.int32)]
    outputs, after = layer.stateless_call([], others, inputs, training=True)
    return np.asarray(outputs), np.asarray(after[1])


@pytest.fixture
def dropout():
    layer = StackableDropout(0.3, seed=5)
    layer.build((None, 4))
    return layer


def test_dropout_drops_at_its_rate_and_scales_what_is_left(dropout):
    inputs = tf.constant(np.random.default_rng(0).uniform(1, 2, (500, 200)), tf.float32)
    outputs, _ = stateless_dropout(dropout, inputs, (5, 0))
    kept = outputs != 0
    np.testing.assert_allclose(outputs[kept], inputs.numpy()[kept] / 0.7, rtol=1e-6)
    # 100,000 draws: the deviation of the mean is sqrt(0.3 * 0.7 / 1e5) = 0.0014.
    assert kept.mean() == pytest.approx(0.7, abs=4 * 0.0014)
    # No row or column is favoured: 200 draws a row, 500 a column, deviations 0.032 and 0.02.
    assert np.abs(kept.mean(axis=1) - 0.7).max() < 5 * 0.032
    assert np.abs(kept.mean(axis=0) - 0.7).max() < 5 * 0.02


def test_dropout_does_nothing_when_it_is_not_training(dropout):
    inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(dropout(inputs), inputs)
    np.testing.assert_array_equal(dropout(inputs, training=False), inputs)
    np.testing.assert_array_equal(dropout.state, [5, 0])


def test_masks_differ_by_seed_and_step_and_are_the_same_for_the_same(dropout):
    inputs = tf.ones([50, 40])
    first, after = stateless_dropout(dropout, inputs, (5, 0))
    assert after.tolist() == [5, 1]
    again, _ = stateless_dropout(dropout, inputs, (5, 0))
    next_step, _ = stateless_dropout(dropout, inputs, after)
    other_seed, _ = stateless_dropout(dropout, inputs, (6, 0))
    np.testing.assert_array_equal(first, again)
    for other in (next_step, other_seed):
        # Two independent masks agree in 0.7^2 + 0.3^2 = 0.58 of 2,000 places, with a deviation of 0.011.
        assert ((first == 0) == (other == 0)).mean() == pytest.approx(0.58, abs=0.05)


def test_dropout_in_a_model_that_is_fitted_the_usual_way_moves_on(dropout):
    inputs = tf.ones([10, 4])
    first, second = dropout(inputs, training=True), dropout(inputs, training=True)
    assert (np.asarray(first) != np.asarray(second)).any()
    np.testing.assert_array_equal(dropout.state, [5, 2])


def test_a_rate_of_zero_keeps_everything():
    layer = StackableDropout(0.0)
    inputs = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)
    np.testing.assert_array_equal(layer(inputs, training=True), inputs)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_a_rate_that_can_not_be_is_refused(rate):
    with pytest.raises(ValueError, match=f"expected 0 <= rate < 1, received {rate}"):
        StackableDropout(rate)


def test_layers_come_back_from_a_saved_model(tmp_path):
    inputs = keras.Input((8, 2))
    x = UnfoldConv1D(3, 3, activation="relu")(inputs)
    x = StackableDropout(0.25, seed=9)(ReshapeMaxPool1D()(x))
    model = keras.Model(inputs, x)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    values = np.random.default_rng(0).normal(size=(4, 8, 2)).astype(np.float32)
    np.testing.assert_array_equal(again(values), model(values))
    assert float(again.layers[-1].rate.value) == 0.25
    assert again.layers[-1].state.value.numpy().tolist() == [9, 0]


def test_a_record_is_its_shape_times_its_scale():
    level = np.random.default_rng(0).normal(size=(3, 8, 2)).astype(np.float32)
    mask = np.ones_like(level)
    mask[1, 4:] = 0
    mask[2] = 0
    shape, scale = RecordScale(0.01)(level, mask)
    heard = [level[0].ravel(), level[1, :4].ravel()]
    expected = [*(np.sqrt(np.mean(v**2) + 1e-4) for v in heard), 0.01]  # a silent record has the floor
    np.testing.assert_allclose(scale[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(shape * np.asarray(scale)[:, :, None], level * mask, atol=1e-6)
    # What isn't there says nothing, and far above the floor the shape does not know the level.
    again, _ = RecordScale(0.01)(np.where(mask, level, 99.0), mask)
    np.testing.assert_array_equal(again, shape)
    large, _ = RecordScale(0.01)(1e4 * level, mask)
    larger, _ = RecordScale(0.01)(3e4 * level, mask)
    np.testing.assert_allclose(large, larger, atol=1e-6)


def test_scaled_softplus_is_proportional_to_the_scale_and_never_negative():
    x, scale = np.array([[-100.0, 0.0, 3.0]] * 2, np.float32), np.array([[0.5], [2.0]], np.float32)
    outputs = ScaledSoftplus(20.0)(x, scale).numpy()
    np.testing.assert_allclose(outputs, 20 * scale * np.log1p(np.exp(x)), rtol=1e-5, atol=1e-30)


def test_members_outputs_become_one_axis():
    a, b = np.zeros((5, 3), np.float32), np.ones((5, 3), np.float32)
    stacked = StackMembers()([a, b]).numpy()
    assert stacked.shape == (5, 2, 3)
    np.testing.assert_array_equal(stacked[:, 1], b)
