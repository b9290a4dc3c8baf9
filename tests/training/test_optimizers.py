"""Update rules: the same weights as `keras.optimizers` over many steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from seis_tf.training.optimizers import Optimizer

CASES = {
    "sgd": (Optimizer("sgd", momentum=0.0), {}),
    "nesterov": (Optimizer("sgd", momentum=0.9), {"momentum": 0.9, "nesterov": True}),
    "nesterov, decay, clip": (
        Optimizer("sgd", momentum=0.8, weight_decay=0.02, clip_norm=1.0),
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.02, "global_clipnorm": 1.0},
    ),
    "adam": (Optimizer("adam"), {}),
    "adam, clip": (Optimizer("adam", clip_norm=0.7), {"global_clipnorm": 0.7}),
    "adamw": (Optimizer("adam", weight_decay=0.05), {"weight_decay": 0.05}),
}


def problem():
    """A kernel and a bias, and 20 gradients of each; some long enough to be clipped, some not."""
    random = np.random.default_rng(4)
    start = [random.normal(size=(5, 3)).astype(np.float32), random.normal(size=3).astype(np.float32)]
    steps = [
        [random.normal(0, scale, v.shape).astype(np.float32) for v in start] for scale in np.geomspace(0.01, 2, 20)
    ]
    return start, steps


def by_our_rule(rule, learning_rate):
    values, steps = problem()
    state = rule.initial(values)
    for gradients in steps:
        values, state = rule.update(values, gradients, state, tf.constant(learning_rate))
    return [np.asarray(v) for v in values], state


def by_keras(optimizer):
    start, steps = problem()
    variables = [keras.Variable(v, name=name) for v, name in zip(start, ("kernel", "bias"), strict=True)]
    for gradients in steps:
        optimizer.apply([tf.constant(g) for g in gradients], variables)
    return [v.numpy() for v in variables]


@pytest.mark.parametrize("case", CASES)
def test_the_rule_is_keras_own(case):
    rule, options = CASES[case]
    if rule.name == "sgd":
        theirs = keras.optimizers.SGD(0.05, **options)
    else:
        theirs = (keras.optimizers.AdamW if rule.weight_decay else keras.optimizers.Adam)(0.05, **options)
    if rule.weight_decay:
        theirs.exclude_from_weight_decay(var_names=["bias"])
    received, state = by_our_rule(rule, 0.05)
    for ours, expected in zip(received, by_keras(theirs), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)
    assert float(state[0]) == 20


@pytest.mark.parametrize("case", CASES)
def test_the_rule_as_a_keras_optimizer_is_the_same_rule(case):
    rule, _ = CASES[case]
    received, _ = by_our_rule(rule, 0.02)
    for ours, expected in zip(received, by_keras(rule.as_keras(0.02)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_decay_takes_its_part_of_a_kernel_and_nothing_of_a_bias():
    rule = Optimizer("sgd", momentum=0.0, weight_decay=0.5)
    start = [np.ones((2, 2), np.float32), np.ones(2, np.float32)]
    still = [np.zeros_like(v) for v in start]
    (kernel, bias), _ = rule.update(start, still, rule.initial(start), tf.constant(0.1))
    np.testing.assert_allclose(kernel, 1 - 0.1 * 0.5)
    np.testing.assert_array_equal(bias, 1)


def test_first_step_of_adam_is_the_learning_rate():
    # The moments' corrections cancel in the first step: it is rate x g / (|g| + small).
    rule = Optimizer("adam")
    start = [np.zeros((3, 1), np.float32)]
    (after,), _ = rule.update(
        start, [np.array([[3.0], [-1e-3], [0.5]], np.float32)], rule.initial(start), tf.constant(0.1)
    )
    np.testing.assert_allclose(after, [[-0.1], [0.1], [-0.1]], rtol=1e-2)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_small_variables_are_updated_together_and_large_ones_alone_with_the_same_numbers(name, monkeypatch):
    from seis_tf.training import optimizers

    random, rule = np.random.default_rng(0), Optimizer(name, weight_decay=0.01, clip_norm=1.0)
    start = [random.normal(size=shape).astype(np.float32) for shape in ((3, 2), (40, 5), (7,), (60, 4), (1,))]
    steps = [[random.normal(size=v.shape).astype(np.float32) for v in start] for _ in range(5)]

    def trained(small: int):
        monkeypatch.setattr(optimizers, "_SMALL", small)
        values, state = start, rule.initial(start)
        for gradients in steps:
            values, state = rule.update(values, gradients, state, tf.constant(0.1))
        return values, state

    each, state = trained(0)
    moments = 2 if name == "adam" else 1
    assert len(state) == 1 + 5 * moments
    for small, arrays in ((100, 3), (200, 2), (1000, 1)):
        mixed, state = trained(small)
        assert len(state) == 1 + arrays * moments
        for a, b in zip(mixed, each, strict=True):
            np.testing.assert_array_equal(a, b)
