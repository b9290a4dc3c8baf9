"""From a job to what is fitted: rows, members, scores, and the networks for a data set."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from seis_tf import runs, tasks
from seis_tf.dataset.shards import load_dataset
from seis_tf.settings.networks import CnnSettings, Conv1dSettings, MlpSettings, SlipMlpSettings
from seis_tf.settings.training import AugmentSettings, TrainingSettings, TrainJob
from seis_tf.training import losses

MLP = TrainJob(model=MlpSettings(hidden=(4,)), training=TrainingSettings(seed=7, members=3, l2=0.1))


def test_members_differ_by_seed_and_train_on_train_alone(tiny_waveforms):
    task, info = tasks.fit_inputs(MLP, tiny_waveforms), load_dataset(tiny_waveforms)
    n_train, n_valid = info.splits["train"].records, info.splits["valid"].records
    assert [member.seed for member in task.members] == [7, 8, 9]
    for member in task.members:
        np.testing.assert_array_equal(member.train, np.arange(n_train))
        np.testing.assert_array_equal(member.valid, np.arange(n_train, n_train + n_valid))
    assert len(task.data.targets) == n_train + n_valid and task.loss is losses.cross_entropy


def test_waveforms_are_read_only_where_they_are_changed(tiny_waveforms):
    assert set(tasks.load_table(MLP, tiny_waveforms, ("valid",)).columns) == {"spectrogram", "label", "group"}
    job = TrainJob(model=MLP.model, training=TrainingSettings(augment=AugmentSettings(shift_fraction=0.1)))
    assert "waveform" in tasks.load_table(job, tiny_waveforms, ("valid",)).columns


def test_scores_are_sklearns():
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), 7)
    metrics = tasks.task_of(MLP.model).metrics
    assert metrics["accuracy"](labels, probabilities) == accuracy_score(labels, probabilities.argmax(1))
    assert metrics["balanced_accuracy"](labels, probabilities) == pytest.approx(
        balanced_accuracy_score(labels, probabilities.argmax(1))
    )
    slip = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert tasks.task_of(Conv1dSettings()).metrics["mse"](slip, slip + 2) == 4.0


@pytest.mark.parametrize(
    "settings",
    [
        MlpSettings(hidden=(5, 3)),
        CnnSettings(filters=(2, 3), dense=4),
        CnnSettings(filters=(2,), stem=(2, 3), dense=0, kernel=5),
        Conv1dSettings(),
        Conv1dSettings(widths=(3, 4, 5), use_mask=True, dense=6),
        SlipMlpSettings(hidden=(6, 6, 5)),
    ],
)
def test_a_network_fits_its_data_set_and_its_formula(tiny_waveforms, tiny_dart, settings):
    info = load_dataset(tiny_waveforms if settings.task == "waveforms" else tiny_dart)
    model = tasks.build(settings, info, seed=1)
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert parameters == tasks.parameter_formula(settings, info)
    assert model.output_shape == (None, 3)


def test_noise_is_drawn_anew_only_where_the_wave_without_it_is_known(tiny_dart, tiny_waveforms, tmp_path):
    """The published prototype's files hold no such wave: `train slip_mlp` redraws by default, and goes on without."""
    training = {"redraw_noise": {}, "epochs": 1, "batch_size": 20, "buoy_dropout": 0.3}
    job = TrainJob.model_validate({"model": {"kind": "slip_mlp", "hidden": [4]}, "training": training})
    words = (
        r"without drawing noise anew: redraw_noise: expected a data set with the true wave at \['46404', '46407'\], "
        "received it at no gauge"
    )
    with pytest.warns(UserWarning, match=words) as told:
        run = runs.train(tiny_dart, job, tmp_path / "run")
    assert sum("drawing noise" in str(warning.message) for warning in told) == 1
    # Said once, and the run holds what was done, not what was asked for.
    assert run.config.job.training.redraw_noise is None and run.config.job.training.buoy_dropout == 0.3
    with pytest.warns(UserWarning, match=words):  # also where there is no run: compare, learning-curve, tune
        tasks.possible_job(job, load_dataset(tiny_dart))
    assert tasks.possible_job(MLP, load_dataset(tiny_waveforms)) is MLP


def test_a_model_of_the_other_task_is_refused(tiny_waveforms, tiny_dart):
    with pytest.raises(ValueError, match="expected a data set of task waveforms, received dart"):
        tasks.fit_inputs(MLP, tiny_dart)
    with pytest.raises(ValueError, match="expected a data set of task dart, received waveforms"):
        tasks.fit_inputs(TrainJob(model=Conv1dSettings()), tiny_waveforms)
