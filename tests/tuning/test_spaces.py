"""What is searched: names that exist, files that change a space, points that are jobs."""

import json
import math

import keras_tuner as kt
import pytest

from seis_tf.settings.networks import KINDS
from seis_tf.settings.spaces import Choice, Real, Widths
from seis_tf.tuning import spaces


@pytest.mark.parametrize("model", list(KINDS))
def test_every_point_of_a_space_is_a_job(model):
    space = spaces.space_of(model, shapes={"water_level_m": (45, 3)})
    oracle = kt.oracles.RandomSearchOracle(
        objective=kt.Objective("val_loss", "min"), max_trials=20, hyperparameters=spaces.declare(space), seed=1
    )
    for number in range(20):
        values = oracle.populate_space(str(number))["values"]
        job = spaces.job_of(model, space, values, {})
        assert job.model.kind == model
        assert job.training.learning_rate == values["training.learning_rate"]


def test_the_published_channel_patterns_are_points_of_the_space():
    space = spaces.space_of("conv1d", shapes={"water_level_m": (45, 3)})
    values = {
        name: p.values[0] if isinstance(p, Choice) else p.low for name, p in space.items() if not isinstance(p, Widths)
    }
    for pattern in ((20, 20, 40, 40, 80), (15, 15, 30, 30, 60)):
        assert set(pattern) <= set(space["model.widths"].values)
        assert space["model.widths"].layers == (5, 5)  # floor(log2 45) stages leave one sample
        chosen = values | {"model.widths.layers": 5} | {f"model.widths.{i}": width for i, width in enumerate(pattern)}
        assert spaces.job_of("conv1d", space, chosen, {}).model.widths == pattern


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_file_narrows_fixes_and_takes_out(tmp_path, suffix):
    file = tmp_path / f"space{suffix}"
    if suffix == ".json":
        file.write_text(
            json.dumps(
                {
                    "training.learning_rate": {"kind": "real", "low": 1e-3, "high": 2e-3},
                    "training.batch_size": 50,
                    "model.dropout": "default",
                }
            )
        )
    else:
        file.write_text(
            '[training]\nlearning_rate = {kind = "real", low = 1e-3, high = 2e-3}\nbatch_size = 50\n'
            '[model]\ndropout = "default"\n'
        )
    space = spaces.space_of("mlp", file)
    assert space["training.learning_rate"] == Real(low=1e-3, high=2e-3)
    assert space["training.batch_size"] == Choice(values=(50,))
    assert "model.dropout" not in space
    assert "model.hidden" in space


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"training.learning_rat": 1e-3},
            r"training.learning_rat: expected a setting of the job \(.*received 'learning_rat'",
        ),
        ({"model.widths": {"kind": "widths", "layers": [1, 2], "values": [8]}}, "model.widths: expected a setting"),
        ({"model.dropout": {"kind": "real", "low": 0.5, "high": 0.1}}, "expected low < high"),
        ({"model.dropout": {"kind": "sometimes"}}, "sometimes"),
        ({"model.hidden": [50, 2]}, 'expected a table with a kind, a plain value or "default", received a list'),
    ],
)
def test_a_wrong_file_is_refused_with_the_name(tmp_path, content, message):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        spaces.space_of("mlp", file)


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="model: expected one of .* received 'rnn'"):
        spaces.space_of("rnn")


def test_size_counts_points():
    # 2 choices x (3 widths of one layer + 3^2 of two layers) = 2 x 12
    space = {"a": Choice(values=(1, 2)), "b": Widths(layers=(1, 2), values=(8, 16, 32))}
    assert spaces.size(space) == 24
    assert spaces.size(space | {"c": Real(low=0, high=1)}) == math.inf
