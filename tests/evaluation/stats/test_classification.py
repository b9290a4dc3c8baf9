"""All scores of one part of the records, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from seis_tf.evaluation.stats import classification, scores

NAMES = ("AE", "UP", "noise")


def test_classes_are_those_of_scikit_learn(answers):
    labels, probabilities, _ = answers
    predicted = probabilities.argmax(axis=1)
    found = classification.class_scores(labels, probabilities, NAMES)
    precision, recall, f1, records = metrics.precision_recall_fscore_support(labels, predicted)
    for k, name in enumerate(NAMES):
        assert found[name].tree() == {
            "records": records[k],
            "precision": pytest.approx(precision[k], abs=1e-12),
            "recall": pytest.approx(recall[k], abs=1e-12),
            "f1": pytest.approx(f1[k], abs=1e-12),
            "roc_auc": pytest.approx(metrics.roc_auc_score(labels == k, probabilities[:, k]), abs=1e-12),
            "average_precision": pytest.approx(
                metrics.average_precision_score(labels == k, probabilities[:, k]), abs=1e-12
            ),
        }
    expected = metrics.confusion_matrix(labels, predicted)
    assert scores.confusion_matrix(labels, predicted, 3).tolist() == expected.tolist()


def test_a_class_that_is_not_there_has_no_recall_and_no_curves():
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1]])
    labels = np.array([0, 1, 0])
    found = classification.all_scores(labels, probabilities, np.array(["a", "b", "c"]), NAMES, draws=0)
    noise = found.classes["noise"].tree()
    assert noise == dict.fromkeys(noise) | {"records": 0}
    # AE: 1 of 2 found; UP: 1 of 1. Noise has no records, and doesn't count.
    assert found.balanced_accuracy == pytest.approx(0.75)
    # F1: AE 2*1/(2+1), UP 2*1/(1+2); noise was neither there nor answered.
    assert found.macro_f1 == pytest.approx(2 / 3)


def test_scores_by_snr():
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    rows = classification.by_snr(
        labels, probabilities, np.array([2.0, 10.0, 12.0, 50.0]), ("AE", "noise"), edges_db=(10.0, 20.0)
    )
    assert [(row.from_db, row.to_db, row.records, row.accuracy) for row in rows] == [
        (None, 10.0, 1, 1.0),
        (10.0, 20.0, 2, 0.5),
        (20.0, None, 1, 0.0),
    ]
    assert rows[1].recall == {"AE": 0.0, "noise": 1.0}
    assert rows[2].recall == {"AE": None, "noise": 0.0}
    assert rows[2].class_records == {"AE": 0, "noise": 1}


@pytest.mark.parametrize(
    "probabilities, message",
    [
        (np.ones((2, 2)) / 2, r"probabilities: expected shape \[3, 2\], received \[2, 2\]"),
        (np.array([[0.5, 0.5], [0.9, 0.2], [1, 0]]), r"add up to 1, received \[0.9, 0.2\]"),
        (np.array([[0.5, 0.5], [1.5, -0.5], [1, 0]]), r"at least 0 .* received \[1.5, -0.5\]"),
        (np.array([[np.nan, 0.5], [0.5, 0.5], [1, 0]]), r"received \[nan, 0.5\]"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, message):
    with pytest.raises(ValueError, match=message):
        classification.all_scores(np.array([0, 1, 0]), probabilities, np.array(["a", "b", "c"]), ("AE", "noise"))


def test_no_records_are_refused():
    with pytest.raises(ValueError, match=r"expected shape \[at least 1, 2\], received \[0, 2\]"):
        classification.all_scores(np.zeros(0, int), np.zeros((0, 2)), np.zeros(0, str), ("AE", "noise"))
