"""The scripts in examples/ do what they say, on a source of the user's own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from seis_tf.dart.unit_sources import load_greens
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_the_dart_script_trains_and_saves_a_model(tmp_path):
    greens = load_greens()
    source = write_fakequakes(tmp_path / "events", simulate(FakequakeSettings(), greens, 60, 0), greens)
    done = subprocess.run(
        [sys.executable, EXAMPLES / "train_dart.py", source], capture_output=True, text=True, timeout=600, check=True
    )
    *_, told, saved = done.stdout.strip().splitlines()
    assert re.fullmatch(r"test events .* slip MSE \d+\.\d m2, wave to come explained -?\d\.\d{3}", told)
    assert Path(saved).is_file() and Path(saved).suffix == ".keras"
