"""Keras metrics against scikit-learn."""

import keras
import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from seis_tf.tuning.keras_metrics import BalancedAccuracy


@pytest.mark.parametrize("present", [(0, 1, 2), (0, 2)])
def test_balanced_accuracy_over_batches_is_that_of_scikit_learn(present):
    random = np.random.default_rng(0)
    labels = random.choice(present, 100, p=[0.8, 0.15, 0.05][: len(present)] if len(present) > 2 else [0.9, 0.1])
    probabilities = random.dirichlet(np.ones(len(present)), 100)
    predicted = np.zeros((100, 3), np.float32)
    predicted[:, list(present)] = probabilities
    metric = BalancedAccuracy(3)
    for start in range(0, 100, 32):  # the last batch is not full
        metric.update_state(labels[start : start + 32], predicted[start : start + 32])
    expected = balanced_accuracy_score(labels, predicted.argmax(-1))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    metric.update_state(labels[:10, None], predicted[:10])  # labels of shape [batch, 1], as Keras may pass them
    assert float(metric.result()) == pytest.approx(balanced_accuracy_score(labels[:10], predicted[:10].argmax(-1)))


def test_it_is_saved_with_a_model():
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(BalancedAccuracy(4, name="b")))
    assert (copy.name, copy.n_classes) == ("b", 4)
