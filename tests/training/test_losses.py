"""Losses: against Keras and scikit-learn, and the wave's misfit against the wave itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import log_loss

from seis_tf.training.losses import class_weights, cross_entropy, slip_and_wave, squared_error

RANDOM = np.random.default_rng(0)


def test_cross_entropy_is_keras_and_sklearns():
    probabilities = RANDOM.dirichlet(np.ones(4), 30).astype(np.float32)
    labels = RANDOM.integers(0, 4, 30)
    received = cross_entropy(tf.constant(labels), tf.constant(probabilities)).numpy()
    assert received.shape == (30,)
    keras_own = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
    np.testing.assert_allclose(received, keras_own, rtol=1e-4)
    exact = probabilities.astype(float) / probabilities.sum(axis=1, keepdims=True, dtype=float)
    assert received.mean() == pytest.approx(log_loss(labels, exact, labels=range(4)), rel=1e-4)


def test_a_wrong_certainty_costs_a_lot_but_not_infinitely():
    received = cross_entropy(tf.constant([0]), tf.constant([[0.0, 1.0]])).numpy()
    np.testing.assert_allclose(received, -np.log(1e-7), rtol=1e-5)


def test_squared_error_is_the_mean_over_sources():
    truth, predicted = np.array([[1.0, 2.0], [0.0, 0.0]]), np.array([[3.0, 2.0], [1.0, 3.0]])
    np.testing.assert_allclose(squared_error(truth, predicted), [2.0, 5.0])


def test_the_waves_misfit_is_that_of_the_waves():
    greens = RANDOM.normal(size=(5, 20, 3))  # source, minute, gauge
    truth = RANDOM.gamma(1.0, 2.0, (40, 5))
    predicted = truth + RANDOM.normal(size=truth.shape)
    loss = slip_and_wave(greens, truth, slip_weight=0.5, wave_weight=3.0)
    received = loss(tf.constant(truth), tf.constant(predicted)).numpy()
    waves, waves_predicted = (np.tensordot(slip, greens, 1) for slip in (truth, predicted))
    # The misfit's energy over the mean energy of the training events' waves.
    misfit = np.square(waves_predicted - waves).sum(axis=(1, 2)) / np.square(waves).sum(axis=(1, 2)).mean()
    expected = 0.5 * np.square(predicted - truth).mean(axis=1) + 3.0 * misfit
    np.testing.assert_allclose(received, expected, rtol=1e-9)


def test_more_sources_than_a_wave_can_tell_apart_are_no_trouble():
    greens = np.repeat(RANDOM.normal(size=(1, 20, 3)), 4, axis=0)
    truth = RANDOM.gamma(1.0, 2.0, (10, 4)).astype(np.float32)
    loss = slip_and_wave(greens, truth, 0.0, 1.0)
    shifted = truth + np.array([1.0, -1.0, 0.5, -0.5], np.float32)  # the same wave
    assert loss(tf.constant(truth), tf.constant(shifted)).numpy().max() < 1e-6


def test_losses_that_differ_in_their_weights_only_are_one_compilation():
    greens, truth = RANDOM.normal(size=(3, 4, 2)), RANDOM.gamma(1.0, 2.0, (10, 3))
    first, other = (slip_and_wave(greens, truth, 1.0, weight) for weight in (0.5, 0.7))
    assert first == other and hash(first) == hash(other) and first.part_weights != other.part_weights
    assert slip_and_wave(2 * greens[:, ::-1] + 1, truth, 1.0, 0.5) != first


def test_other_weights_are_taken_instead_of_the_losses_own():
    greens, truth = RANDOM.normal(size=(3, 4, 2)), RANDOM.gamma(1.0, 2.0, (10, 3))
    predicted = tf.constant(truth + 1)
    first, other = (slip_and_wave(greens, truth, *weights) for weights in ((1.0, 0.5), (0.2, 0.7)))
    np.testing.assert_allclose(first(tf.constant(truth), predicted, (0.2, 0.7)), other(tf.constant(truth), predicted))
    assert np.abs(first(tf.constant(truth), predicted) - other(tf.constant(truth), predicted)).max() > 0.1


def test_classes_weigh_the_same_when_balanced():
    labels = np.array([0] * 6 + [1] * 3 + [2] * 1 + [0, 1, 1, 1])
    train_rows = np.arange(10)
    weights = class_weights(labels, train_rows, "balanced")
    # scikit-learn's "balanced": n / (classes x count), here 10 / (3 x 6), 10 / (3 x 3), 10 / (3 x 1).
    np.testing.assert_allclose(weights[[0, 6, 9]], [10 / 18, 10 / 9, 10 / 3])
    totals = [weights[train_rows][labels[train_rows] == k].sum() for k in range(3)]
    np.testing.assert_allclose(totals, 10 / 3, rtol=1e-6)
    # Those of records outside the training rows follow from the training rows' counts.
    np.testing.assert_allclose(weights[10:], [10 / 18, 10 / 9, 10 / 9, 10 / 9])
    assert class_weights(labels, train_rows, "none") is None
