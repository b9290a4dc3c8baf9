"""MC dropout: the network itself without dropout, other draws for another seed, and a mean that is the network's."""

from __future__ import annotations

import numpy as np
import pytest

from seis_tf.dart.networks import conv1d, slip_mlp
from seis_tf.evaluation.stats.mc_dropout import dropout_samples
from seis_tf.models.layers import dropouts
from seis_tf.waveforms.networks import mlp

LEVEL = np.random.default_rng(0).normal(size=(30, 8, 2)).astype(np.float32)


@pytest.fixture
def model():
    model = conv1d(8, 2, 3, (4, 4, 4), dense=20, dropout=0.4, output="relu", seed=1)
    model.layers[-1].bias.assign([5.0, 5.0, 5.0])  # all outputs positive: linear in what dropout changes
    return model


def test_draws_differ_by_pass_record_and_seed_and_come_again(model):
    first = dropout_samples(model, [LEVEL], 6, seed=3)
    assert first.shape == (6, 30, 3)
    assert (first.std(axis=0) > 0).all()
    assert np.array_equal(first, dropout_samples(model, [LEVEL], 6, seed=3))
    assert not np.isclose(first, dropout_samples(model, [LEVEL], 6, seed=4)).all(axis=-1).any()
    same = dropout_samples(model, [np.repeat(LEVEL[:1], 30, axis=0)], 2)
    assert len(np.unique(same[0].round(6), axis=0)) > 25  # equal records have masks of their own


def test_nothing_of_the_network_is_changed(model):
    before = [weights.copy() for weights in model.get_weights()]
    dropout_samples(model, [LEVEL], 3)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_at_rate_0_every_pass_is_the_network(model):
    plain = model(LEVEL, training=False).numpy()
    [layer] = dropouts(model)
    layer.rate.assign(0.0)
    assert dropout_samples(model, [LEVEL], 3) == pytest.approx(np.repeat(plain[None], 3, axis=0), abs=1e-6)


def test_mean_and_variance_are_those_of_bernoulli_masks(model):
    """After the last dropout everything is linear: x_i m_i / (1 - p) has mean x_i and variance x_i^2 p / (1 - p)."""
    import keras

    hidden = keras.Model(model.inputs[0], model.get_layer("linear_1").output)(LEVEL).numpy()
    kernel = model.get_layer("weights_m").get_weights()[0]
    draws = dropout_samples(model, [LEVEL], 2000)
    plain = model(LEVEL, training=False).numpy()
    assert (plain > 1).all()
    variance = np.square(hidden) @ np.square(kernel) * 0.4 / 0.6
    assert draws.mean(axis=0) == pytest.approx(plain, abs=5 * float(np.sqrt(variance.max() / 2000)))
    assert draws.var(axis=0) == pytest.approx(variance, rel=0.2)


def test_several_inputs_layers_and_blocks(monkeypatch):
    from seis_tf.evaluation.stats import mc_dropout

    monkeypatch.setattr(mc_dropout, "_BLOCK", 7)
    model = slip_mlp(8, 2, 3, (6, 6), dropout=0.2)
    assert len(dropouts(model)) == 2
    draws = dropout_samples(model, [LEVEL, np.ones_like(LEVEL)], 4)
    assert draws.shape == (4, 30, 3) and (draws.std(axis=0) > 0).any(axis=1).all()


def test_a_network_without_dropout_is_refused():
    with pytest.raises(ValueError, match="expected a model with dropout layers, received mlp without"):
        dropout_samples(mlp((4, 4), 3, (5,)), [np.zeros((2, 4, 4), np.float32)])
