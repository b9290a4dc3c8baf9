"""A data set for searches."""

from __future__ import annotations

import pytest

from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.settings.data import DartJob
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic import fakequake_files, fakequakes


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """120 simulated earthquakes, windows of 15 minutes. Not to be changed."""
    folder = tmp_path_factory.mktemp("search")
    greens = load_greens()
    quakes = fakequakes.simulate(FakequakeSettings(), greens, 120, 0)
    fakequake_files.write_fakequakes(folder / "quakes", quakes, greens)
    prepare_dart(folder / "quakes", folder / "data", DartJob.model_validate({"record": {"window_min": 15}}))
    return folder / "data"
