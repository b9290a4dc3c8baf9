"""The scripts in examples/ do what they say, on a source of the user's own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.plugins.hparams import plugin_data_pb2

from seis_tf.dart.unit_sources import load_greens
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

EXAMPLES = Path(__file__).parents[1] / "examples"
TUNERS = ("random", "hyperband", "bayesian")


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


def hparams_of(folder: Path) -> list[dict]:
    """The hyperparameters of each trial whose events lie below a folder."""
    found = []
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag == "_hparams_/session_start_info":
                    content = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
                    fields = content.session_start_info.hparams
                    found.append({name: getattr(v, v.WhichOneof("kind")) for name, v in fields.items()})
    return found


@pytest.mark.slow
def test_the_search_script_runs_kerastuners_three_tuners(tmp_path):
    script = EXAMPLES / "keras_tuner_search.py"
    assert len(script.read_text().splitlines()) < 40
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, timeout=600, check=True)
    parts = done.stdout.split("Results summary\n")[1:]
    assert [Path(part.splitlines()[0].removeprefix("Results in ")).name for part in parts] == list(TUNERS)
    for part in parts:
        assert len(re.findall(r"^Trial \w+ summary$", part, re.M)) >= 2
        scores = [float(score) for score in re.findall(r"^Score: (.+)$", part, re.M)]
        assert np.isfinite(scores).all()
        assert scores == sorted(scores)
        assert "model.hidden.0: " in part
        assert "training.learning_rate: " in part
    for name in TUNERS:
        trials = [json.loads(path.read_text()) for path in sorted((tmp_path / "searches" / name).rglob("trial.json"))]
        expected = [trial["hyperparameters"]["values"]["training.learning_rate"] for trial in trials]
        shown = [values["training.learning_rate"] for values in hparams_of(tmp_path / "logs" / name)]
        assert sorted(shown) == pytest.approx(sorted(expected))
