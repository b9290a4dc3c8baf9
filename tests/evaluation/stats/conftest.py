"""Answers that several tests of scores share."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def answers():
    """300 records of 40 events with imperfect, overconfident answers."""
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, 300)
    logits = rng.normal(size=(300, 3)) * 2 + 1.5 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return labels, probabilities, rng.integers(0, 40, 300).astype(str)
