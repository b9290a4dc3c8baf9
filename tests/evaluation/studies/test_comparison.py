"""Comparisons: the numbers are those of the models' own test answers, and what may be chance is not called clear."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from seis_tf.evaluation.stats.folds import grouped_folds
from seis_tf.evaluation.studies import comparison, fitting
from seis_tf.evaluation.studies.comparison_report import answer_of, report_of
from seis_tf.evaluation.studies.comparison_result import Comparison
from seis_tf.evaluation.studies.fitting import Trial
from seis_tf.settings.networks import Conv1dSettings, MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob


def mlp(hidden=(6,), epochs=10) -> TrainJob:
    return TrainJob(model=MlpSettings(hidden=hidden), training=TrainingSettings(epochs=epochs, batch_size=10))


MODELS = {"trained": mlp(), "hardly": mlp(epochs=1)}


@pytest.fixture(scope="module")
def compared(tiny_waveforms, tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison")
    seen = []
    result = comparison.compare(
        tiny_waveforms, MODELS, out, n_folds=3, seeds=2, draws=200, progress=lambda *p: seen.append(p)
    )
    return out, result, seen


def test_everything_is_written(compared):
    out, result, seen = compared
    assert json.loads((out / "comparison.json").read_text()) == result.tree()
    assert {path.stem for path in (out / "figures").iterdir()} == {"folds", "differences"}
    assert "Which of trained and hardly is better on new events" in (out / "report.html").read_text()
    assert seen[-1] == (200, 200)


def test_the_difference_is_that_of_all_test_answers(compared, tiny_waveforms):
    """The slow way: every fit alone, answers put together fold by fold."""
    _, result, _ = compared
    table = fitting.load_table(MODELS["trained"], tiny_waveforms)
    labels, groups = table["label"], table["group"]
    folds = grouped_folds(labels, groups, 3)
    means = {}
    for name, job in MODELS.items():
        pooled = []
        for seed in (0, 1):
            answers = np.full(len(labels), -1)
            for number, fold in enumerate(folds):
                fits, _ = fitting.fit_trials(job, table, [Trial(number, seed, fold)])
                answers[fold.test] = fits[0].outputs[fold.test].argmax(axis=1)
            pooled.append(balanced_accuracy_score(labels, answers))
        means[name] = np.mean(pooled)
    (pair,) = result.pairs
    assert (pair.a, pair.b) == ("trained", "hardly")
    assert pair.difference == pytest.approx(means["trained"] - means["hardly"])
    low, high = pair.interval
    assert low < pair.difference < high


def test_scores_are_means_over_folds_of_the_table(compared):
    out, result, _ = compared
    with open(out / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3 * 2
    for name, model in result.models.items():
        for score in ("balanced_accuracy", "log_loss"):
            folds = [
                np.mean([float(r[score]) for r in rows if (r["model"], r["fold"]) == (name, str(fold))])
                for fold in range(3)
            ]
            assert model.scores[score].mean == pytest.approx(np.mean(folds))
            assert model.scores[score].std == pytest.approx(np.std(folds, ddof=1))


def test_costs_are_there(compared):
    own = compared[1].models["trained"]
    assert own.parameters == own.parameters_by_formula == 73 * 6 + 7 * 3
    assert [layer.name for layer in own.layers] == ["hidden_1", "probabilities"]
    assert own.flops == 2 * (72 * 6 + 6 * 3)
    assert own.seconds_a_fit > 0 and set(own.latency_ms) == {"1", "1000"}


def test_mcnemar_is_marked_as_assuming_independence(compared):
    assert "independent" in compared[1].pairs[0].mcnemar.assumes
    assert "It takes records for independent" in (compared[0] / "report.html").read_text()


def test_trivial_predictors_are_scored_on_the_same_folds(compared):
    found = compared[1].trivial
    assert list(found) == ["largest class", "peak amplitude", "band ratio", "linear"]
    assert found["largest class"].mean == pytest.approx(1 / 3)


def test_a_model_does_not_differ_from_itself(tiny_waveforms, tmp_path):
    result = comparison.compare(tiny_waveforms, {"a": mlp(), "b": mlp()}, tmp_path, n_folds=3, draws=50)
    (pair,) = result.pairs
    assert (pair.difference, pair.interval, pair.p, pair.mcnemar.p) == (0.0, [0.0, 0.0], 1.0, 1.0)
    assert pair.corrected_t.p is None and pair.seed_error is None
    answer = answer_of(result)
    assert "that may be chance" in answer and "One seed only" in answer


def changed(result: Comparison, means=(), flops=(), **pair) -> Comparison:
    """The result with other main scores, costs and values of its pair."""
    models = dict(result.models)
    for name, mean in dict(means).items():
        spread = models[name].scores[result.score].model_copy(update={"mean": mean})
        scores = models[name].scores | {result.score: spread}
        models[name] = models[name].model_copy(update={"scores": scores})
    for name, number in dict(flops).items():
        models[name] = models[name].model_copy(update={"flops": number})
    return result.model_copy(update={"models": models, "pairs": [result.pairs[0].model_copy(update=pair)]})


@pytest.fixture
def clear(compared):
    """A result with a clear difference of 0.2 for "trained"."""
    means = {"trained": 0.9, "hardly": 0.7}
    return changed(compared[1], means, difference=0.2, interval=[0.1, 0.3], p_holm=0.001, seed_error=0.01)


def test_a_clear_difference_is_called_clear(clear):
    words = "trained is better than hardly: balanced accuracy +0.200 (+0.100 to +0.300), p = 0.0010."
    assert words in answer_of(clear)


def test_the_answer_is_from_the_better_ones_side(clear):
    result = changed(clear, {"hardly": 0.99}, difference=-0.09, interval=[-0.12, -0.05])
    assert "hardly is better than trained: balanced accuracy +0.090 (+0.050 to +0.120)" in answer_of(result)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"p_holm": 0.2}, "but that may be chance"),
        ({"interval": [-0.01, 0.3]}, "but that may be chance"),
        ({"seed_error": 0.15}, "but the seeds alone may do that"),
    ],
)
def test_a_difference_that_may_be_chance_is_not_called_clear(clear, change, words):
    answer = answer_of(changed(clear, **change))
    assert words in answer and "is better than" not in answer


def test_where_nothing_is_clear_the_cheaper_one_will_do(clear):
    result = changed(clear, flops={"trained": 1000, "hardly": 250}, p_holm=0.5)
    assert "hardly will do: it needs 4.0 times fewer operations a record." in answer_of(result)
    assert report_of(result, "tiny").sections[-1].title == "Method"


def test_p_is_corrected_for_the_number_of_pairs(tiny_waveforms, tmp_path):
    models = {"one": mlp(epochs=6), "two": mlp(epochs=1), "three": mlp((4,), epochs=6)}
    pairs = comparison.compare(tiny_waveforms, models, tmp_path, n_folds=3, draws=20).pairs
    assert [(pair.a, pair.b) for pair in pairs] == [("one", "two"), ("one", "three"), ("two", "three")]
    smallest = min(pairs, key=lambda pair: pair.p)
    assert smallest.p_holm == pytest.approx(min(3 * smallest.p, 1))


def test_stations_can_be_held_out(tiny_waveforms, tmp_path):
    result = comparison.compare(tiny_waveforms, MODELS, tmp_path, n_folds=3, by="station", draws=20)
    assert (result.by, result.groups) == ("station", 3)
    assert "what holds at a new station" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_tsunami_networks_are_compared_by_their_error(tiny_dart, tmp_path):
    models = {
        name: TrainJob(model=Conv1dSettings(dense=4), training=TrainingSettings(epochs=epochs, batch_size=20))
        for name, epochs in (("long", 12), ("short", 1))
    }
    result = comparison.compare(tiny_dart, models, tmp_path, n_folds=3, draws=100)
    (pair,) = result.pairs
    assert result.score == "mse" and not result.larger_is_better and pair.mcnemar is None
    long, short = (result.models[name].scores["mse"].mean for name in ("long", "short"))
    # Twenty records in each fold: the mean over records is the mean over folds.
    assert pair.difference == pytest.approx(long - short, rel=1e-6)
    assert "MSE of the slip" in answer_of(result)


def test_one_model_is_refused(tiny_waveforms, tmp_path):
    with pytest.raises(ValueError, match="compare: expected at least 2 models, received 1"):
        comparison.compare(tiny_waveforms, {"a": mlp()}, tmp_path)


def test_models_of_another_task_are_refused(tiny_waveforms, tmp_path):
    other = TrainJob(model=Conv1dSettings())
    with pytest.raises(ValueError, match="expected a data set of task dart, received waveforms"):
        comparison.compare(tiny_waveforms, {"a": mlp(), "b": other}, tmp_path)


def test_folds_by_what_is_not_there_are_refused(tiny_waveforms, tiny_records, write_waveforms, tmp_path):
    with pytest.raises(ValueError, match="folds by: expected group or station, received 'day'"):
        comparison.compare(tiny_waveforms, MODELS, tmp_path, by="day")
    records = tiny_records()
    records[0].values["station"] = ""
    write_waveforms(tmp_path / "data", records)
    with pytest.raises(ValueError, match="expected the station of every record"):
        comparison.compare(tmp_path / "data", MODELS, tmp_path, by="station")
