"""Searches: what KerasTuner gets wrong and this does not, and that the test split stays closed."""

import importlib.metadata
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from seis_tf.settings.base import load_settings
from seis_tf.settings.networks import network_settings
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.training import TrainJob
from seis_tf.training import stack
from seis_tf.training.progress import Progress
from seis_tf.tuning import oracles, report, results, search, spaces, trials
from seis_tf.tuning.settings import SearchSettings
from seis_tf.tuning.trials import Outcome, Trainer, TrialJob, checkpoint_path

SMALL = {
    "model.hidden": {"kind": "widths", "layers": [1, 1], "values": [16]},
    "model.activation": "relu",
    "training.optimizer": "adam",
    "training.batch_size": 32,
    "training.loss.wave_weight": "default",
}


@pytest.fixture
def space_file(tmp_path):
    file = tmp_path / "space.json"
    file.write_text(json.dumps(SMALL))
    return file


def settings(**changes) -> SearchSettings:
    return SearchSettings(**({"model": "slip_mlp", "trials": 4, "epochs": 3, "objective": "val_mse"} | changes))


def job(**training) -> TrainJob:
    tree = preset_tree("slip_mlp", None)
    tree["model"] |= {"hidden": [16], "activation": "relu"}
    tree["training"] |= {"schedule": "constant", "warmup_epochs": 0, "epochs": 4, "batch_size": 32} | training
    return TrainJob.model_validate(tree)


def test_a_search_scores_its_trials_and_leaves_a_job_that_train_takes(dataset, space_file, tmp_path):
    rows = search.search(dataset, tmp_path / "s", settings(), space_file=space_file)
    assert [row["status"] for row in rows] == ["COMPLETED"] * 4
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores)
    best = load_settings(TrainJob, tmp_path / "s" / "best.json", {})
    assert best.training.learning_rate == rows[0]["training.learning_rate"]
    page = report.write(tmp_path / "s", settings(), rows).read_text()
    assert f"{scores[0]:.4g}" in page


def test_tensorboard_comes_with_the_package(dataset, space_file, tmp_path):
    # KerasTuner imports it, TensorFlow 2.21 no longer brings it, and without it each of KerasTuner's trials fails.
    assert any(name.startswith("tensorboard") for name in importlib.metadata.requires("seis_tf"))
    search.search(dataset, tmp_path / "s", settings(trials=1, epochs=1), space_file=space_file)
    assert list((tmp_path / "s" / "logs").glob("*/events.out.tfevents.*"))


def test_the_test_split_is_never_opened(dataset, space_file, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(dataset, copy)
    for shard in copy.glob("*-test*"):
        shard.unlink()
    rows = search.search(copy, tmp_path / "s", settings(trials=2), space_file=space_file)
    assert len(rows) == 2


def test_a_resumed_search_of_another_space_is_refused_with_the_difference(dataset, space_file, tmp_path):
    search.search(dataset, tmp_path / "s", settings(trials=1), space_file=space_file)
    space_file.write_text(json.dumps(SMALL | {"training.batch_size": 64}))
    with pytest.raises(ValueError, match=r"space.training.batch_size was .*32.* is .*64.*use --overwrite"):
        search.search(dataset, tmp_path / "s", settings(trials=1), space_file=space_file)
    with pytest.raises(ValueError, match="settings.epochs was 3, is 5"):
        search.search(dataset, tmp_path / "s", settings(trials=1, epochs=5), space_file=space_file)
    search.search(dataset, tmp_path / "s", settings(trials=1), space_file=space_file, overwrite=True)


def test_a_resumed_search_of_other_data_or_code_is_refused(dataset, space_file, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(dataset, copy)
    search.search(copy, tmp_path / "s", settings(trials=1), space_file=space_file)
    info = json.loads((copy / "dataset.json").read_text())
    before = info["job"]["record"]["step_min"]
    del info["checksum"]
    # The same source prepared in another way has the same fingerprint.
    (copy / "dataset.json").write_text(json.dumps(info | {"job": info["job"] | {"record": {"step_min": 3 * before}}}))
    with pytest.raises(ValueError, match=r"data.job.record was .*, is {.*'step_min': 3.*}; use --overwrite"):
        search.search(copy, tmp_path / "s", settings(trials=1), space_file=space_file)
    (copy / "dataset.json").write_text(json.dumps(info | {"fingerprint": "another"}))
    with pytest.raises(ValueError, match="data.fingerprint was .*, is another"):
        search.search(copy, tmp_path / "s", settings(trials=1), space_file=space_file)
    (copy / "dataset.json").write_text(json.dumps(info))
    stored = json.loads((tmp_path / "s" / "search.json").read_text())
    stored["code"]["seis_tf"] = "0.0.1 abc"
    (tmp_path / "s" / "search.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="code.seis_tf was 0.0.1 abc, is "):
        search.search(copy, tmp_path / "s", settings(trials=1), space_file=space_file)


def test_a_killed_search_goes_on_with_the_trials_it_has(dataset, space_file, tmp_path, monkeypatch):
    whole = search.search(dataset, tmp_path / "whole", settings(together=1), space_file=space_file)
    ended = []

    def dies(status):
        # Called when a trial has ended, and during its epochs, when one is running.
        if not status.running:
            ended.append(status)
        if len(ended) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.search(dataset, tmp_path / "s", settings(together=1), space_file=space_file, on_status=dies)
    ran = []
    run = Trainer.run
    monkeypatch.setattr(
        Trainer, "run", lambda self, trials, *a: ran.extend(t.trial_id for t in trials) or run(self, trials, *a)
    )
    again = search.search(dataset, tmp_path / "s", settings(together=1), space_file=space_file)
    assert ran == ["2", "3"]
    assert {row["trial"]: row["score"] for row in again} == {row["trial"]: row["score"] for row in whole}


def test_a_trial_that_had_ended_is_not_run_again_after_a_kill_in_between(dataset, space_file, tmp_path):
    out = tmp_path / "s"
    search.search(dataset, out, settings(trials=2, together=1), space_file=space_file)
    # KerasTuner saves before it takes the trial off the list: this is what a kill at that moment leaves.
    state = json.loads((out / "oracle" / "oracle.json").read_text())
    state["ongoing_trials"] = {"tuner0-0": "1"}
    (out / "oracle" / "oracle.json").write_text(json.dumps(state))
    _, oracle = search.open_search(dataset, out, settings(trials=2, together=1), space_file, False)
    assert not oracles.waiting(oracle)
    assert len(oracles.ended(oracle)) == 2


def test_a_stopped_trial_goes_on_from_its_last_checkpoint(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path)
    whole = trainer.run([TrialJob("whole", job(epochs=4))])["whole"]

    class Killed(Exception):
        pass

    def dies(group, progress: Progress):
        trainer.save_checkpoint(group, progress)
        if progress.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        trainer.run([TrialJob("cut", job(epochs=4))], dies)
    assert Progress.load(checkpoint_path(tmp_path, "cut")).epoch == 2
    assert trainer.run([TrialJob("cut", job(epochs=4))])["cut"].scores == whole.scores


def test_hyperband_keeps_the_optimizers_state_on_promotion(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path)
    whole = trainer.run([TrialJob("whole", job(epochs=4))])["whole"]
    trainer.run([TrialJob("first", job(epochs=2))])
    promoted = trainer.run([TrialJob("second", job(epochs=4), goes_on_from="first")])["second"]
    # Adam's moments and its count of steps are a part of the checkpoint: without them the two would differ.
    assert promoted.scores == whole.scores


def test_hyperband_runs_to_its_end(dataset, space_file, tmp_path):
    rows = search.search(
        dataset, tmp_path / "s", settings(tuner="hyperband", trials=12, epochs=4), space_file=space_file
    )
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert {row["epochs"] for row in rows} >= {2, 4}  # factor 3: 4 / 3 rounded up, then 4


def test_trials_of_one_architecture_score_as_each_does_alone(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path)
    trials = [
        TrialJob(f"together{i}", job(learning_rate=rate, l2=l2))
        for i, (rate, l2) in enumerate([(1e-3, 0.0), (3e-3, 1e-4)])
    ]
    together = trainer.run(trials)
    for trial in trials:
        alone = trainer.run([TrialJob(f"alone-{trial.trial_id}", trial.job)])[f"alone-{trial.trial_id}"]
        assert together[trial.trial_id].scores["val_mse"] == pytest.approx(alone.scores["val_mse"], rel=1e-4)


def test_a_failed_trial_is_recorded_with_its_reason_and_the_others_go_on(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path)
    outcomes = trainer.run([TrialJob("good", job()), TrialJob("bad", job(learning_rate=1e30))])
    assert outcomes["good"].failure is None
    assert "expected finite loss and weights, received loss nan in epoch" in outcomes["bad"].failure


def test_a_network_that_is_too_large_is_a_failed_trial(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path, max_parameters=10_000)
    large = job().model_copy(update={"model": job().model.model_copy(update={"hidden": (512,)})})
    outcomes = trainer.run([TrialJob("small", job()), TrialJob("large", large)])
    assert outcomes["small"].failure is None
    # 2 x 15 minutes x 3 buoys + the level's logarithm = 91 inputs, 31 sources: 91 x 512 + 512 + 512 x 31 + 31
    assert outcomes["large"].failure == "expected at most 10,000 parameters, received 63,007"


@pytest.mark.parametrize("error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "no memory")])
def test_trials_that_are_too_large_together_are_tried_alone(dataset, tmp_path, monkeypatch, error):
    def small_machine(models, *rest, **options):
        if len(models) > 1 or models[0].optimizer_fails:
            raise error
        return trials_fit(models, *rest, **options)

    trials_fit, build = trials.fit, trials.tasks.build

    def marked(model, info, seed):
        network = build(model, info, seed=seed)
        network.optimizer_fails = model.hidden == (24,)
        return network

    monkeypatch.setattr(trials, "fit", small_machine)
    monkeypatch.setattr(trials.tasks, "build", marked)
    large = job().model_copy(update={"model": job().model.model_copy(update={"hidden": (24,)})})
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path)
    outcomes = trainer.run([TrialJob("a", job()), TrialJob("b", job(l2=1e-3)), TrialJob("c", large)])
    assert outcomes["a"].failure is None
    assert outcomes["b"].failure is None
    assert outcomes["c"].failure in ("MemoryError", "no memory")


def test_a_search_that_fails_is_stopped_early_with_a_summary(dataset, space_file, tmp_path, monkeypatch):
    asked = []

    def fails(self, trials, *rest):
        asked.extend(trials)
        return {trial.trial_id: Outcome(failure="planted") for trial in trials}

    monkeypatch.setattr(Trainer, "run", fails)
    with pytest.raises(ValueError, match="received 10 of 10; most often: planted"):
        search.search(dataset, tmp_path / "s", settings(trials=30, together=1), space_file=space_file)
    assert len(asked) == 10


def test_when_the_time_is_up_trials_wait_for_the_search_to_go_on(dataset, space_file, tmp_path, monkeypatch):
    monkeypatch.setattr(search.Loop, "_late", lambda self: bool(oracles.ended(self.oracle)))
    wanted = settings(trials=3, together=3)
    space_file.write_text(json.dumps(SMALL | {"training.batch_size": {"kind": "choice", "values": [20, 32, 64]}}))
    first = search.search(dataset, tmp_path / "s", wanted, space_file=space_file, minutes=1)
    monkeypatch.undo()
    again = search.search(dataset, tmp_path / "s", wanted, space_file=space_file)
    assert 0 < len(first) < len(again) == 3


def test_a_score_is_of_the_epoch_that_training_keeps(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 0, 1, "val_mse", tmp_path)
    wild = {"learning_rate": 0.1, "epochs": 8}  # a rate at which the last epoch is not the best
    outcomes = trainer.run([TrialJob("last", job(keep="last", **wild)), TrialJob("best", job(keep="best", **wild))])
    history = [row["val_mse"] for row in Progress.load(checkpoint_path(tmp_path, "last")).history[0]]
    assert history[-1] > min(history)
    assert outcomes["last"].scores["val_mse"] == history[-1]
    assert outcomes["best"].scores["val_mse"] == min(history)


def test_trials_that_differ_in_values_only_are_one_stack_and_one_compilation(
    dataset, space_file, tmp_path, monkeypatch
):
    sizes, compiled, make, fit = [], [], stack.CompiledStack, trials.fit
    monkeypatch.setattr(stack, "CompiledStack", lambda *a, **k: compiled.append(a) or make(*a, **k))
    monkeypatch.setattr(trials, "fit", lambda models, *a, **k: sizes.append(len(models)) or fit(models, *a, **k))
    search.search(dataset, tmp_path / "s", settings(trials=20, epochs=1), space_file=space_file)
    assert sizes == [20]
    assert len(compiled) <= 1


def test_the_data_is_read_once_for_the_whole_search(dataset, space_file, tmp_path, monkeypatch):
    reads = []
    load = trials.tasks.load_table
    monkeypatch.setattr(
        trials.tasks,
        "load_table",
        lambda job, folder, splits, **options: reads.append(splits) or load(job, folder, splits, **options),
    )
    search.search(dataset, tmp_path / "s", settings(trials=4, together=1, epochs=1), space_file=space_file)
    assert reads == [("train", "valid")]


def test_more_failures_than_successes_stop_the_search_with_a_summary(tmp_path):
    rows = [
        {"status": "FAILED", "reason": "no memory"},
        {"status": "FAILED", "reason": "no memory"},
        {"status": "COMPLETED"},
    ]
    with pytest.raises(ValueError, match="received 2 of 3; most often: no memory"):
        results.check_failures(rows, tmp_path)


def test_many_failures_in_a_row_do_not_end_the_search_before_its_time(dataset, space_file, tmp_path, monkeypatch):
    run = Trainer.run

    def half(self, trials, *rest):
        failing = {t.trial_id: Outcome(failure="planted") for t in trials if int(t.trial_id) < 4}
        return failing | run(self, [t for t in trials if t.trial_id not in failing], *rest)

    monkeypatch.setattr(Trainer, "run", half)
    rows = search.search(dataset, tmp_path / "s", settings(trials=8), space_file=space_file)  # KerasTuner's limit is 3
    assert sum(row["status"] == "FAILED" for row in rows) == 4
    assert {row["reason"] for row in rows if row["status"] == "FAILED"} == {"planted"}


def test_a_space_smaller_than_the_trials_says_so(dataset, tmp_path):
    file = tmp_path / "space.json"
    names = [name for name in network_settings("slip_mlp").space if name not in SMALL]
    file.write_text(
        json.dumps(
            SMALL | dict.fromkeys(names, "default") | {"training.batch_size": {"kind": "choice", "values": [20, 32]}}
        )
    )
    told = search.warnings_for(dataset, settings(trials=4), file)
    assert told == ["the space has 2 points, fewer than 4 trials: the search will end early"]
    assert len(search.search(dataset, tmp_path / "s", settings(trials=4), space_file=file)) == 2


def test_a_loss_that_differs_between_trials_can_not_be_the_objective(dataset):
    with pytest.raises(ValueError, match="while training.loss.wave_weight is searched"):
        search.space_for(dataset, settings(objective="val_loss"), None)
    with pytest.raises(
        ValueError, match=r"objective: expected one of \['val_loss', 'val_mse'\], received 'val_accuracy'"
    ):
        search.space_for(dataset, settings(objective="val_accuracy"), None)


def test_trials_that_differ_in_weights_of_the_loss_are_one_stack(dataset, tmp_path):
    jobs = [job(loss={"slip_weight": 0.005, "wave_weight": weight}) for weight in (0.5, 20.0)]
    trials = [TrialJob(name, each) for name, each in zip("ab", jobs, strict=True)]
    trainer = Trainer(dataset, jobs[0], 0, 1, "val_mse", tmp_path / "together")
    plain = TrialJob("c", job(loss={"slip_weight": 1.0, "wave_weight": 0.0}))  # another loss: it has no parts
    assert [[t.trial_id for t in group] for group in trainer.groups([*trials, plain])] == [["a", "b"], ["c"]]
    together = trainer.run(trials)
    for trial in trials:
        alone = Trainer(dataset, trial.job, 0, 1, "val_mse", tmp_path / trial.trial_id).run([trial])[trial.trial_id]
        assert together[trial.trial_id].scores == pytest.approx(alone.scores, rel=1e-3)
    assert 10 * together["a"].scores["val_loss"] < together["b"].scores["val_loss"]


def test_a_kill_while_the_state_is_written_leaves_the_old_one(tmp_path, monkeypatch):
    oracle = oracles.make("random", spaces.declare(network_settings("mlp").space_for({})), "val_loss", 4, 2, 0)
    oracles.place(oracle, tmp_path / "search")
    oracle.save()
    before = (tmp_path / "search" / "oracle.json").read_text()

    def killed(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    oracle.tuner_ids.add("another")
    with pytest.raises(KeyboardInterrupt):
        oracle.save()
    assert (tmp_path / "search" / "oracle.json").read_text() == before


def test_executions_give_a_spread_over_seeds(dataset, tmp_path):
    outcome = Trainer(dataset, job(), 0, 3, "val_mse", tmp_path).run([TrialJob("a", job())])["a"]
    assert outcome.spreads["val_mse"] > 0


def test_folds_score_a_trial_by_grouped_cross_validation(dataset, tmp_path):
    trainer = Trainer(dataset, job(), 3, 1, "val_mse", tmp_path)
    assert len(trainer.cuts) == 3
    tested = np.concatenate([test for _, test in trainer.cuts])
    assert sorted(tested) == list(range(len(trainer.table)))  # every record of train and valid once
    for train, test in trainer.cuts:
        assert not set(trainer.table["group"][train]) & set(trainer.table["group"][test])
    assert trainer.run([TrialJob("a", job())])["a"].spreads["val_mse"] > 0


def test_the_page_joins_widths_and_names_what_failed(dataset, space_file, tmp_path):
    space_file.write_text(json.dumps(SMALL | {"model.hidden": {"kind": "widths", "layers": [1, 2], "values": [8, 16]}}))
    rows = search.search(dataset, tmp_path / "s", settings(trials=4, epochs=1), space_file=space_file)
    rows[-1] |= {"score": None, "status": "FAILED", "reason": "planted <reason>"}
    page = report.write(tmp_path / "s", settings(trials=4), rows).read_text()
    deep = next(row for row in rows[:3] if row["model.hidden.layers"] == 2)
    assert f"<td>{deep['model.hidden.0']}-{deep['model.hidden.1']}</td>" in page
    assert "planted &lt;reason&gt;" in page
    assert "3 failed" not in page
    assert "1 failed, 4 planned" in page
    assert "best-run/report.html" not in page


def test_the_best_job_is_trained_again_and_judged_once_on_test(dataset, space_file, tmp_path):
    out = tmp_path / "s"
    rows = search.search(dataset, out, settings(trials=2, epochs=1), space_file=space_file)
    assert results.retrained(out) is None
    assert results.retrain(dataset, out).tree() == json.loads((out / "best-run" / "metrics.json").read_text())
    page = report.write(out, settings(trials=2), rows, results.retrained(out)).read_text()
    assert "judged once on the test split: see best-run/report.html" in page


def test_best_so_far_is_a_running_best():
    assert np.array_equal(report.best_so_far([3, 5, 2, 4], "val_loss"), [3, 3, 2, 2])
    assert np.array_equal(report.best_so_far([3, 5, 2, 4], "val_accuracy"), [3, 5, 5, 5])


def test_importance_finds_the_parameter_that_decides():
    rng = np.random.default_rng(0)
    rows = [{"a": float(a), "b": float(b), "score": float(a)} for a, b in rng.uniform(size=(60, 2))]
    weights = report.importance(rows, ["a", "b"])
    assert weights["a"] > 0.8


@pytest.mark.parametrize("version", ["1.5.0", "2.0", "1.3.9"])
def test_a_keras_tuner_of_other_insides_is_refused(version):
    with pytest.raises(ValueError, match=f"keras-tuner: expected version 1.4, received {version}; pip install"):
        oracles.check_version(version)
    oracles.check_version("1.4.12")
