"""Temperature scaling: a known temperature is found again, and nothing else of the run's calibration is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import softmax

from seis_tf.evaluation.stats import calibration, scores


def overconfident(temperature: float, count: int = 20000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from known probabilities, and the probabilities of a model that is `temperature` times too sure."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3)) * 1.5
    truth = softmax(logits, axis=1)
    labels = (rng.uniform(size=(count, 1)) > truth.cumsum(axis=1)).sum(axis=1)
    return labels, softmax(logits * temperature, axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found_again(temperature):
    labels, stated = overconfident(temperature)
    found = calibration.fit_temperature(labels, stated)
    # Its standard error is about 1 / sqrt(count x variance of the logits' effect), near 1 % here.
    assert found == pytest.approx(temperature, rel=0.03)
    again = calibration.with_temperature(stated, found)
    assert scores.ece(labels, again) < 0.012


def test_scaling_is_that_of_the_logits_and_changes_no_answer():
    _, stated = overconfident(2.0, count=50)
    # softmax(log p / T) does not depend on what was added to all logits of a record.
    expected = softmax(np.log(stated) / 2.0, axis=1)
    assert calibration.with_temperature(stated, 2.0) == pytest.approx(expected, abs=1e-12)
    assert (calibration.with_temperature(stated, 7.0).argmax(axis=1) == stated.argmax(axis=1)).all()
    assert calibration.with_temperature(stated, 1.0) == pytest.approx(stated, abs=1e-12)


def test_probabilities_of_zero_stay_finite():
    stated = np.array([[1.0, 0.0], [0.0, 1.0]] * 500, np.float32)
    scaled = calibration.with_temperature(stated, 1.5)
    assert np.isfinite(scaled).all() and scaled.sum(axis=1) == pytest.approx(np.ones(1000))
    # Half of the answers are wrong and sure: the more even, the better.
    assert calibration.fit_temperature(np.zeros(1000, int), stated) == pytest.approx(20.0, rel=1e-2)


def test_few_events_move_the_temperature_little():
    """2,000 records ask for 2.5. As 2,000 events they get it; as four events, hardly."""
    labels, stated = overconfident(2.5, count=2000)
    each = calibration.fit_temperature(labels, stated)
    few = calibration.fit_temperature(labels, stated, np.arange(2000) % 4)
    assert each == pytest.approx(2.5, rel=0.06)
    assert 1.05 < few < 0.75 * each
    more = calibration.fit_temperature(labels, stated, np.arange(2000) % 50)
    assert few < more < each


def test_the_prior_by_hand():
    """One event, all answers (0.9, 0.1), all right: log(1 + 9^-s) + 8 (log s)^2 with s = 1 / T is smallest.

    The prior's deviation is 1/4 on the side of surer answers: 1 / (2 / 16) = 8; it is 1 on the other, all wrong.
    """
    stated = np.tile([[0.9, 0.1]], (5, 1))
    sharpness = np.exp(np.linspace(-3, 3, 600001))
    surer = 1 / sharpness[np.argmin(np.log1p(9.0**-sharpness) + 8 * np.log(sharpness) ** 2)]
    less = 1 / sharpness[np.argmin(np.log1p(9.0**sharpness) + np.log(sharpness) ** 2 / 2)]
    assert surer < 1 < less
    assert calibration.fit_temperature(np.zeros(5, int), stated, np.zeros(5)) == pytest.approx(surer, rel=1e-4)
    assert calibration.fit_temperature(np.ones(5, int), stated, np.zeros(5)) == pytest.approx(less, rel=1e-4)


def test_thresholds_find_the_part_that_was_wished_for():
    """Class 0 has the probabilities .1 .2 ... 1: 80 % of ten records are eight, and the eighth from above is .3."""
    p = np.linspace(0.1, 1.0, 10)
    probabilities = np.stack([p, 1 - p, np.zeros(10)], axis=1)
    found = calibration.recall_thresholds(np.zeros(10, int), probabilities, 0.8)
    assert found == [pytest.approx(0.3), None, None]
    assert calibration.recall_thresholds(np.zeros(10, int), probabilities, 1.0)[0] == pytest.approx(0.1)
    assert calibration.recall_thresholds(np.zeros(10, int), probabilities, 0.75)[0] == pytest.approx(0.3)
    with pytest.raises(ValueError, match="recall: expected above 0 and up to 1, received 95"):
        calibration.recall_thresholds(np.zeros(10, int), probabilities, 95)


def test_no_validation_records_are_refused():
    with pytest.raises(ValueError, match="temperature: expected validation records, received none"):
        calibration.fit_temperature(np.zeros(0, int), np.zeros((0, 2)))


def test_the_file_keeps_what_others_wrote(tmp_path):
    assert calibration.read_calibration(tmp_path) == {}
    (tmp_path / "calibration.json").write_text(json.dumps({"intervals": {"mw": [1, 2, 3]}, "temperature": 9}))
    calibration.write_calibration(tmp_path, {"temperature": 1.25, "fitted_on": "40 validation records"})
    tree = json.loads((tmp_path / "calibration.json").read_text())
    assert tree == {
        "intervals": {"mw": [1, 2, 3]},
        "temperature": 1.25,
        "fitted_on": "40 validation records",
    }
    assert calibration.read_calibration(tmp_path) == tree
