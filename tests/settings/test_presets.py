"""Presets and defaults: what each holds, and that defaults ask nothing of a data set."""

import pytest

from seis_tf import tasks
from seis_tf.dataset.shards import load_dataset
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.training import TrainJob


def job(model: str, preset: str | None = None) -> TrainJob:
    return TrainJob.model_validate(preset_tree(model, preset))


def test_the_exercises_preset_is_the_exercise():
    """scikit-learn's MLPClassifier(20, solver="sgd", alpha=0.001, batch_size=50, max_iter=20) with its own momentum."""
    exercise = job("mlp", "exercise")
    training = exercise.training
    assert exercise.model.hidden == (20,) and exercise.model.activation == "relu" and exercise.model.dropout == 0
    assert (training.optimizer, training.momentum, training.learning_rate) == ("sgd", 0.9, 1e-3)
    # alpha / (2 x batch) x sum(w^2) is scikit-learn's term, l2 x sum(w^2) is Keras's.
    assert training.l2 == pytest.approx(1e-5)
    assert (training.batch_size, training.epochs, training.keep) == (50, 20, "last")


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_defaults_need_neither_noise_records_nor_waveforms(model, tiny_waveforms):
    default = job(model)
    assert not default.training.augment.active
    assert set(tasks.load_table(default, tiny_waveforms, ("valid",)).columns) == {"spectrogram", "label", "group"}


def test_the_default_cnn_is_the_noisy_preset_without_the_noise():
    """Without noise the network grows too sure in the last epochs: the best epoch is kept."""
    noisy, default = job("cnn", "noisy"), job("cnn")
    assert noisy.training.augment.noise_probability == 0.8
    changed = {"augment": default.training.augment, "keep": "best"}
    assert noisy.training.keep == "last"
    assert default == noisy.model_copy(update={"training": noisy.training.model_copy(update=changed)})


def test_changing_a_tree_changes_no_preset():
    for model, preset in (("mlp", None), ("mlp", "exercise"), ("cnn", None), ("cnn", "noisy")):
        tree = preset_tree(model, preset)
        tree["training"]["epochs"] = 1
        tree["model"]["dropout"] = 0.9
        assert preset_tree(model, preset)["training"]["epochs"] > 1
        assert preset_tree(model, preset)["model"].get("dropout") != 0.9


def test_a_small_spectrogram_is_refused_with_the_arithmetic(tiny_waveforms):
    """8 x 9 cells are 4 x 4 after the default's averaging of 2 x 2, which two poolings use up."""
    with pytest.raises(ValueError, match=r"expected at most 2 blocks for an input of \(8, 9\) and a stem of \(2, 2\)"):
        tasks.build(job("cnn").model, load_dataset(tiny_waveforms))
