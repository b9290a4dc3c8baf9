"""A judged DART run: what is written, that the numbers are those of its own answers, and what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from seis_tf.dart import inversion
from seis_tf.dart.networks import conv1d
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dataset import shards, tables
from seis_tf.evaluation.dart import evaluation as dart_evaluation
from seis_tf.evaluation.dart.evaluation import evaluate
from seis_tf.evaluation.dart.figures import SHORT
from seis_tf.evaluation.dart.methods import Methods, network_of
from seis_tf.evaluation.dart.scores import TrueWaves
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.evaluation.evaluate import evaluate as evaluate_any
from seis_tf.evaluation.report.page import Report
from seis_tf.evaluation.stats.intervals import Intervals
from seis_tf.runs import Run, RunConfig, dataset_of, load_run
from seis_tf.settings.data import DartJob
from seis_tf.settings.networks import Conv1dSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

NEAR, FAR = ("46404", "46407", "46419"), ("46409", "46410", "46411")
WINDOW_MIN = 60
# Records made with the very functions of the inversion: without noise, least squares must find everything.
SETTINGS = FakequakeSettings(record_min=70, arrival_error=0, amplitude_error=0)


def prepare(folder: Path, seed: int, count: int = 70, split: dict | None = None, **record) -> Path:
    greens = load_greens()
    write_fakequakes(folder / "source", simulate(SETTINGS, greens, count, seed), greens)
    job = DartJob.model_validate({"record": {"window_min": WINDOW_MIN} | record, "split": split or {}})
    prepare_dart(folder / "source", folder / "dataset", job)
    return folder / "dataset"


@pytest.fixture(scope="module")
def write_run(untrained_run):
    """The function that makes a run which never learned anything, for judging needs no good one."""

    def write(folder: Path, dataset: Path, members: int = 1) -> Path:
        training = TrainingSettings(members=members)
        return untrained_run(folder, dataset, TrainJob(model=Conv1dSettings(output="softplus"), training=training))

    return write


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    return prepare(tmp_path_factory.mktemp("dart"), seed=0)


@pytest.fixture(scope="module")
def judged(dataset, write_run, tmp_path_factory):
    """A judged run's folder, and what was returned. Not to be changed."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "conv1d", dataset)
    return folder, evaluate(folder, draws=200)


@pytest.fixture(scope="module")
def table(dataset):
    return tables.load(dataset, shards.SPLITS, ("water_level_m", "mask", "weights_m", "mw", "record_id", "truth_m"))


@pytest.fixture
def no_report(monkeypatch):
    """Numbers only: drawing takes longer than everything else."""
    monkeypatch.setattr(dart_evaluation, "write_report", lambda folder, report: None)
    monkeypatch.setattr(dart_evaluation, "report_of", lambda *arguments: None)


@pytest.fixture
def pages(monkeypatch) -> list[Report]:
    """The reports that would have been written."""
    found = []
    monkeypatch.setattr(dart_evaluation, "write_report", lambda folder, report: found.append(report))
    return found


def predictions(folder: Path) -> dict[tuple[str, str], dict[str, str]]:
    """(record, answer) -> row."""
    with open(folder / "predictions.csv", newline="") as file:
        return {(row["record_id"], row["method"]): row for row in csv.DictReader(file)}


def slips(folder: Path, records, answer: str) -> np.ndarray:
    rows, names = predictions(folder), load_greens().source_names
    return np.array([[float(rows[record, answer][f"slip_{name}_m"]) for name in names] for record in records])


def test_everything_is_written_and_metrics_are_what_was_returned(judged):
    folder, found = judged
    assert json.loads((folder / "metrics.json").read_text()) == found.tree()
    names = {path.stem for path in (folder / "figures").glob("*.png")}
    assert {"scores", "loss", "peaks", "magnitudes", "conditions", "event_1_waves", "event_1_slip"} <= names
    text = (folder / "report.html").read_text()
    assert "the true slip, through the same Green&#39;s functions" in text
    assert "Simulated data" in text and "What was asked" in text and "smoothed NNLS" in text
    assert (found.main, found.window_min, found.far) == ("test", WINDOW_MIN, list(FAR))
    assert set(found.splits) == set(shards.SPLITS)


def test_every_event_has_its_answers_and_its_truth_in_the_predictions(judged, table):
    rows = predictions(judged[0])
    answers = ("truth", "network", "hybrid", "smoothed_nnls", "nnls")
    assert rows.keys() == {(record, answer) for record in table["record_id"] for answer in answers}
    split_of = {record: split for split, places in table.rows.items() for record in table["record_id"][places]}
    for (record, _), row in rows.items():
        assert row["split"] == split_of[record]
    for record, mw, truth in zip(table["record_id"], table["mw"], table["truth_m"], strict=True):
        assert float(rows[record, "truth"]["mw"]) == pytest.approx(mw, rel=1e-3)
        assert float(rows[record, "truth"]["peak_46409_m"]) == pytest.approx(truth[WINDOW_MIN + 1 :, 3].max(), rel=1e-3)


def test_scores_are_those_of_the_predictions(judged, table):
    folder, found = judged
    greens = load_greens()
    columns = [greens.gauge_names.index(name) for name in FAR]
    for split, places in table.rows.items():
        truth = table["truth_m"][places][:, WINDOW_MIN + 1 :, columns].astype(float)
        for answer in ("network", "hybrid", "smoothed_nnls", "nnls"):
            scores = found.splits[split].methods[answer]
            weights = slips(folder, table["record_id"][places], answer)
            waves = np.einsum("es,sgt->etg", weights, greens.eta_m.astype(float))[:, WINDOW_MIN + 1 :, columns]
            # Four digits are written.
            explained = 1 - np.sum((truth - waves) ** 2) / np.sum(truth**2)
            assert scores.explained_ahead == pytest.approx(explained, abs=2e-3)
            mse = np.mean((weights - table["weights_m"][places]) ** 2)
            assert scores.mse_m2 == pytest.approx(mse, rel=2e-3)


def test_gains_of_peaks_are_fitted_on_validation_events_alone(judged, table):
    folder, found = judged

    def peaks(split: str, answer: str) -> np.ndarray:
        rows, records = predictions(folder), table["record_id"][table.rows[split]]
        return np.array([[float(rows[r, answer][f"peak_{name}_m"]) for name in FAR] for r in records])

    for answer in ("network", "smoothed_nnls"):
        corrected = found.splits["test"].methods[answer].peaks_corrected
        gains = [
            np.linalg.lstsq(peaks("valid", answer)[:, [k]], peaks("valid", "truth")[:, k], rcond=None)[0][0]
            for k in range(len(FAR))
        ]
        assert list(corrected.gains) == list(FAR)
        assert list(corrected.gains.values()) == pytest.approx(gains, rel=5e-3)
        predicted, true = peaks("test", answer) * gains, peaks("test", "truth")
        slope = np.polyfit(predicted.ravel(), true.ravel(), 1)[0]
        assert corrected.true_on_predicted == pytest.approx(slope, rel=5e-2)  # of four digits


def test_the_network_is_the_runs_and_its_magnitude_is_of_its_slip(judged, table):
    folder, found = judged
    test = table.rows["test"]
    run = load_run(folder)
    outputs = run.predict([table["water_level_m"][test]])[0]
    assert slips(folder, table["record_id"][test], "network") == pytest.approx(outputs, rel=2e-3, abs=1e-3)
    # Mw = 2/3 (log10(4e10 Pa x 5e9 m2 x slip) - 9.05).
    mw = 2 / 3 * (np.log10(4e10 * 5e9 * outputs.sum(axis=1)) - 9.05)
    mae = np.abs(mw - table["mw"][test]).mean()
    assert found.splits["test"].methods["network"].mw.mae_mw == pytest.approx(mae, abs=1e-5)


def test_plain_nnls_is_scipys_and_the_constants_are_of_training_events(judged, table):
    folder, found = judged
    greens = load_greens().select(gauges=NEAR)
    design = greens.eta_m[:, :, 1 : WINDOW_MIN + 1].transpose(2, 1, 0).reshape(-1, 31)
    row = table.rows["test"][0]
    expected = optimize.nnls(design.astype(float), table["water_level_m"][row].ravel().astype(float))[0]
    assert slips(folder, [table["record_id"][row]], "nnls")[0] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    truth, mean = table["weights_m"][table.rows["test"]], table["weights_m"][table.rows["train"]].mean(axis=0)
    test = found.splits["test"].methods
    assert test["mean"].mse_m2 == pytest.approx(np.mean((truth - mean) ** 2), rel=1e-5)
    assert test["zero"].mse_m2 == pytest.approx(np.mean(truth**2), rel=1e-5)
    assert test["mean"].mse_ratio == 1 and test["zero"].explained_ahead == pytest.approx(0, abs=1e-9)


def test_strengths_are_chosen_on_validation_events(judged, table):
    folder, found = judged
    greens, valid = load_greens(), table.rows["valid"]
    columns = [greens.gauge_names.index(name) for name in FAR]
    score = inversion.forecast_score(greens.select(gauges=FAR), table["truth_m"][valid][:, :, columns], WINDOW_MIN)
    matrix = greens.select(gauges=NEAR).matrix(WINDOW_MIN)
    seen = (matrix, table["water_level_m"][valid])
    assert found.chosen.smoothing.strength == inversion.choose_smoothing(*seen, greens.source_names, score).strength
    prior = load_run(folder).predict([table["water_level_m"][valid]])[0].astype(float)
    whitening = inversion.error_whitening(table["weights_m"][valid], prior)
    assert found.chosen.pull.strength == inversion.choose_pull(*seen, prior, score, whitening=whitening).strength


def test_perfect_functions_without_noise_give_the_whole_wave(judged):
    conditions, test = judged[1].conditions, judged[1].splits["test"]
    true_slip = test.methods["true_slip"]
    assert true_slip.explained_ahead > 0.9999 and true_slip.mse_m2 == 0 and true_slip.mw.mae_mw == 0
    clean, noisy, noisier = (
        found.methods["nnls"].explained_ahead
        for found in (conditions["no noise or tide"], test, conditions["twice the noise and tide"])
    )
    assert clean > 0.999 and clean > noisy > noisier


def test_a_silent_buoy_is_masked_for_every_answer(judged, table):
    folder, found = judged
    assert {f"without {name}" for name in NEAR} <= set(found.conditions)
    test = table.rows["test"]
    level = table["water_level_m"][test].copy()
    level[:, :, 1] = 0
    outputs = load_run(folder).predict([level])[0]
    network = found.conditions["without 46407"].methods["network"]
    assert network.mse_m2 == pytest.approx(np.mean((outputs - table["weights_m"][test]) ** 2), rel=1e-4)
    seen = Windows(
        level, np.ones(level.shape, bool), outputs, TrueWaves(np.zeros((len(test), 70, 1)), 60, ("a",), ("a",))
    )
    mask = seen.mask.copy()
    mask[0, :, 1:] = False  # of this event nothing is left without buoy 0
    windows, left = Windows(level, mask, outputs, seen.true).without(0)
    assert (
        left.tolist() == list(range(1, len(test))) and not windows.mask[:, :, 0].any() and windows.mask[:, :, 1:].all()
    )
    assert len(windows.true.waves_m) == len(test) - 1


def test_times_are_reported_of_all_that_compute(judged):
    seconds = judged[1].seconds_per_event
    assert set(seconds) == {"network", "nnls", "smoothed_nnls", "hybrid"}
    assert all(0 < value < 10 for times in seconds.values() for value in (times.batch, times.alone))
    assert seconds["hybrid"].alone > seconds["network"].alone  # which it has to wait for


def test_an_ensemble_answers_with_the_mean_of_its_members(dataset, table, write_run, tmp_path, no_report):
    folder = write_run(tmp_path / "ensemble", dataset, members=3)
    found = evaluate(folder, draws=0)
    test = table.rows["test"]
    members = load_run(folder).predict([table["water_level_m"][test]])
    assert members.shape == (3, len(test), 31) and np.ptp(members, axis=0).max() > 1e-3
    scores = found.splits["test"].methods["network"]
    assert scores.mse_m2 == pytest.approx(np.mean((members.mean(0) - table["weights_m"][test]) ** 2), rel=1e-4)
    mw = (2 / 3 * (np.log10(4e10 * 5e9 * members.sum(axis=2)) - 9.05)).mean(axis=0)
    assert scores.mw.mae_mw == pytest.approx(np.abs(mw - table["mw"][test]).mean(), abs=1e-5)
    assert found.members == 3 and found.member_explained_far.std > 0
    assert scores.explained_far.interval is None  # no draws, no intervals


@pytest.fixture(scope="module")
def with_intervals(write_run, tmp_path_factory):
    """A judged run with enough validation events for intervals: its folder, what was returned, and the report."""
    folder = tmp_path_factory.mktemp("intervals")
    dataset = prepare(folder, seed=3, count=160, split={"valid_fraction": 0.4, "test_fraction": 0.3})
    write_run(folder / "run", dataset, members=2)
    reports: list[Report] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dart_evaluation, "write_report", lambda out, report: reports.append(report))
        found = evaluate(folder / "run", draws=0)
    return folder / "run", found, reports[0]


def test_intervals_are_fitted_on_validation_events_and_go_with_the_run(with_intervals):
    folder, found, _ = with_intervals
    run = load_run(folder)
    table = tables.load(dataset_of(run), shards.SPLITS, ("water_level_m", "weights_m", "mw"))
    # Those whose records hold a signal: all are complete and every answer has slip. By hand: deviations from the buoys'
    # own means, of 180 samples with three means.
    level = table["water_level_m"].astype(float)
    signal = np.sqrt(((level - level.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2)) / (3 * WINDOW_MIN - 3))
    valid, test = (table.rows[part][signal[table.rows[part]] >= 0.007] for part in ("valid", "test"))
    assert 0 < len(valid) < len(table.rows["valid"])
    assert found.uncertainty.events == {part: len(table.rows[part]) for part in ("valid", "test")}
    own = found.uncertainty
    assert (own.fitted_on, own.tested_on) == (len(valid), len(test)) and set(own.draws) == {
        "ensemble",
        "dropout",
    }
    stored = Intervals.model_validate(json.loads((folder / "calibration.json").read_text())["intervals"])
    assert (stored.events, stored.samples, stored.gauges) == (len(valid), "ensemble of 2 members", NEAR + FAR)
    # One bin, for there are fewer than 300 events; its ends are those of validation scores, sorted by hand.
    members = run.predict([table["water_level_m"]]).astype(float)
    mw = 2 / 3 * (np.log10(4e10 * 5e9 * members.sum(axis=2)) - 9.05)
    mw_scale = stored.quantities["mw"].scale[0]
    width = np.sqrt(mw_scale[0] + mw_scale[1] * mw.var(axis=0))
    scores = (table["mw"] - mw.mean(axis=0)) / width
    rank = int((len(valid) + 1) * 0.1)
    ends = stored.quantities["mw"].lower[0][0][1], stored.quantities["mw"].upper[0][0][1]
    in_order = np.sort(scores[valid])
    assert ends == pytest.approx((in_order[rank - 1], in_order[-rank]), rel=1e-3)
    held = np.mean((ends[0] <= scores[test]) & (scores[test] <= ends[1]))
    assert own.draws["ensemble"]["mw"].calibrated.coverage[1] == pytest.approx(held, abs=1e-9)


def test_the_report_shows_the_intervals(with_intervals):
    _, found, report = with_intervals
    sections = {section.title: section for section in report.sections}
    own = sections["Uncertainty"]
    assert f"{found.uncertainty.fitted_on} validation events" in own.text[0]
    assert own.pictures[0].name == "reliability"
    waves = next(p.figure for p in sections["Events"].pictures if p.name == "event_1_waves")
    assert "80 % interval" in [text.get_text() for text in waves.legends[0].get_texts()]


def test_another_data_set_is_scored_with_the_runs_own_intervals(with_intervals, tmp_path, no_report):
    folder, home = tmp_path / "run", dataset_of(load_run(with_intervals[0]))
    shutil.copytree(with_intervals[0], folder)
    before = json.loads((folder / "calibration.json").read_text())
    (folder / "calibration.json").unlink()  # as a run of an older version that was not judged yet
    said = []
    found = evaluate(folder, prepare(tmp_path / "other", seed=5, count=40), draws=0, dataset=home, say=said.append)
    own = found.uncertainty
    assert own.fitted_on == with_intervals[1].uncertainty.fitted_on and own.events["test"] == 40
    assert 30 < own.tested_on <= 40  # those with a signal
    again = json.loads((folder / "calibration.json").read_text())
    flat = [
        np.array(tree["intervals"]["quantities"]["mw"][end]) for tree in (again, before) for end in ("lower", "upper")
    ]
    np.testing.assert_allclose(flat[:2], flat[2:], rtol=1e-3)
    assert said == [f"{folder}: calibration fitted on {own.fitted_on} validation events"]


def test_a_calibrated_run_is_exported_with_its_intervals(with_intervals, tmp_path):
    from seis_tf.serve.export.export import export

    version = export(with_intervals[0], tmp_path / "models", "slip")
    extra = version / "assets.extra"
    check = json.loads((extra / "check.json").read_text())
    assert check["passed"] and "forecast_m_upper over the largest, against NumPy" in {
        r["name"] for r in check["results"]
    }
    stored = json.loads((with_intervals[0] / "calibration.json").read_text())["intervals"]
    assert Intervals.model_validate_json((extra / "intervals.json").read_text()) == Intervals.model_validate(stored)
    assert "fitted to the errors on" in (extra / "MODEL_CARD.md").read_text()


def test_the_summary_and_the_card_are_short_and_have_every_answer(judged):
    """The slow way: each number looked up in the metrics."""
    from seis_tf.evaluation.summary import summary
    from seis_tf.serve.export.card_dart import scores as card_scores

    title, header, rows = summary(judged[1])
    main = judged[1].splits["test"]
    assert title.startswith(f"test split: {main.events} earthquakes, {WINDOW_MIN} min")
    assert [row[0] for row in rows][:2] == ["network", "hybrid"] and len(rows) == len(main.methods)
    own, rival = main.methods["network"], main.methods["nnls"]
    low, high = own.explained_far.interval
    assert rows[0][1] == f"{own.explained_ahead:.3f} ({low:.3f} to {high:.3f})"
    low, high = rival.explained_far.first_minus_this_interval
    gap = next(row for row in rows if row[0] == SHORT["nnls"])[header.index("network better by")]
    assert gap == f"{rival.explained_far.first_minus_this:.3f} ({low:.3f} to {high:.3f})"
    assert len("\n".join(card_scores(judged[1].tree())).splitlines()) == 1 + 2 + len(rows)


def test_with_few_validation_events_there_are_no_intervals(judged):
    folder, found = judged
    assert found.uncertainty is None
    stored = json.loads((folder / "calibration.json").read_text())
    assert stored["intervals"] is None and stored["fitted_on"].startswith("not fitted: 39 validation events or more")
    assert "needs the run&#39;s own data set with at least 39 validation events" in (folder / "report.html").read_text()


def test_another_data_set_is_judged_as_a_whole_with_the_runs_own_strengths(judged, dataset, tmp_path, no_report):
    folder = tmp_path / "run"
    shutil.copytree(judged[0], folder)
    other = prepare(tmp_path / "other", seed=5, count=30)
    found = evaluate(folder, other, draws=50)
    [out] = (folder / "evaluations").iterdir()
    assert json.loads((out / "metrics.json").read_text()) == found.tree() and out.name.startswith("dataset-")
    assert found.main == "all" and found.splits["all"].events == 30 and found.seen == 0
    assert found.chosen == judged[1].chosen
    assert json.loads((folder / "metrics.json").read_text()) == judged[1].tree()  # the run's own are left alone


def test_where_the_training_data_is_gone_there_are_fewer_answers(judged, tmp_path, pages):
    folder = tmp_path / "run"
    shutil.copytree(judged[0], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dataset": str(tmp_path / "gone")}))
    with pytest.raises(ValueError, match=r"expected its data set .* in .*gone or beside the run"):
        evaluate(folder)
    found = evaluate(folder, prepare(tmp_path / "other", seed=6, count=30), draws=0)
    assert set(found.splits["all"].methods) == {"network", "nnls", "zero", "true_slip"}
    assert found.seen is None
    assert found.splits["all"].methods["zero"].mse_ratio is None
    assert any("The training data is not where it was" in notice for notice in pages[0].notices)


def test_without_recorded_waves_truth_is_what_the_true_slip_makes(write_run, tmp_path, pages):
    greens = load_greens()
    source = write_fakequakes(tmp_path / "source", simulate(SETTINGS, greens, 40, 0), greens)
    (source / "truth.npz").unlink()
    prepare_dart(source, tmp_path / "bare", DartJob.model_validate({"record": {"window_min": WINDOW_MIN}}))
    found = evaluate(write_run(tmp_path / "run", tmp_path / "bare"), draws=0)
    assert found.truth == "waves of the true slip" and "no noise or tide" not in found.conditions
    assert "true_slip" not in found.splits["test"].methods
    assert any("flatters every answer" in notice for notice in pages[0].notices)
    # The functions have no errors here: the waves are those that would have been recorded.
    assert 0.9 < found.splits["test"].methods["nnls"].explained_ahead < 1


def test_the_common_command_judges_both_tasks(dataset, write_run, tmp_path, no_report):
    folder = write_run(tmp_path / "run", dataset)
    found = evaluate_any(folder, draws=0)
    same = evaluate(folder, draws=0)
    assert found.tree() | {"seconds_per_event": 0} == same.tree() | {"seconds_per_event": 0}


def test_a_changed_data_set_is_refused(judged, tmp_path):
    shutil.copytree(judged[0], tmp_path / "run")
    other = prepare(tmp_path, seed=7, count=30)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"dataset": str(other)}))
    with pytest.raises(
        ValueError, match="run: expected its data set .*, received none with this content and these settings"
    ):
        evaluate(tmp_path / "run")


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"window_min": 45}, "window_min: expected 60, received 45"),
        (
            {"buoys": ["46404", "46419", "46407"]},
            r"buoys: expected \['46404', '46407', '46419'\], received \['46404', '46419', '46407'\]: another order",
        ),
    ],
)
def test_a_data_set_that_the_network_can_not_take_is_refused(judged, tmp_path, record, reason):
    greens = load_greens()
    settings = SETTINGS.model_copy(update={"buoys": tuple(record.get("buoys", NEAR))})
    write_fakequakes(tmp_path / "source", simulate(settings, greens, 30, 0), greens)
    job = DartJob.model_validate({"record": {"window_min": WINDOW_MIN} | record})
    prepare_dart(tmp_path / "source", tmp_path / "other", job)
    with pytest.raises(ValueError, match=reason):
        evaluate(judged[0], tmp_path / "other")


def test_other_tasks_are_refused(judged, tiny_waveforms):
    with pytest.raises(ValueError, match="expected a data set of task dart, received waveforms"):
        evaluate(judged[0], tiny_waveforms)


def test_levels_below_a_mask_do_not_reach_the_network():
    model = conv1d(8, 2, 3, use_mask=True, output="softplus")
    run = Run(Path(), RunConfig.model_construct(job=TrainJob(model=Conv1dSettings(use_mask=True))), model, [])
    level, mask = np.random.default_rng(0).normal(size=(4, 8, 2)), np.ones((4, 8, 2), bool)
    mask[:, 3:, 1] = False
    ask = network_of(run)
    answers = [ask(np.where(mask, level, hidden), mask) for hidden in (0, 77)]
    assert answers[0].shape == (1, 4, 3) and np.array_equal(*answers)
    expected = model([np.where(mask, level, 0).astype("f4"), mask.astype("f4")], training=False).numpy()
    assert answers[0][0] == pytest.approx(expected, rel=1e-5)


def test_methods_without_anything_to_choose_on_are_the_plain_ones():
    rng = np.random.default_rng(0)
    matrix, names = rng.normal(size=(8, 2, 3)), ("acsza57", "acsza58", "acsza59")
    methods = Methods(lambda level, mask: np.ones((2, len(level), 3)), matrix, names, np.full(3, 5e9))
    answers = methods.answer(rng.normal(size=(4, 8, 2)), np.ones((4, 8, 2), bool))
    assert list(answers.weights_m) == ["network", "nnls", "zero"] and np.all(answers.mw["zero"] == -np.inf)
