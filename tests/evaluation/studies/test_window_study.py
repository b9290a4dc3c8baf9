"""The study of window lengths: every window prepared, trained and judged; what is finished is not done again."""

from __future__ import annotations

import csv
import json

import pytest

from seis_tf import runs
from seis_tf.dart.unit_sources import load_greens
from seis_tf.evaluation.dart import evaluation as dart_evaluation
from seis_tf.evaluation.dart.metrics import DartMetrics
from seis_tf.evaluation.studies import window_study
from seis_tf.settings.networks import Conv1dSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

JOB = TrainJob(model=Conv1dSettings(output="softplus"), training=TrainingSettings(epochs=1, batch_size=20))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    greens = load_greens()
    events = simulate(FakequakeSettings(record_min=40), greens, 40, 0)
    return write_fakequakes(tmp_path_factory.mktemp("study") / "source", events, greens)


def scores(explained, slope=1.0):
    """What `metrics.json` says of one method; what the study does not read is 0."""
    return {
        "explained": {"far": explained}, "mse_m2": 1.0, "mse_ratio": 0.5,
        "peaks": {"count": 0, "std_m": 0.0, "true_on_predicted": slope, "predicted_on_true": 1.0, "bias_m": 0.0,
                  "r2": 0.9},
        "mw": {"count": 0, "without_slip": 0, "mean_mw": 0.0, "std_mw": 0.0, "mae_mw": 0.1},
        "arrival": {"count": 0, "missed": 0, "mean_min": 0.0, "std_min": 0.0, "mae_min": 2.0},
        "alarms": {"threshold_m": 0.1, "right": 0, "missed": 0, "false": 0, "calm": 0, "missed_rate": 0.1,
                   "false_rate": None, "false_share": None},
    }  # fmt: skip


def metrics(uncertainty=None, **explained) -> DartMetrics:
    methods = {name: scores(value) for name, value in explained.items()}
    methods["network"]["explained_far"] = {"interval": [0.1, 0.9]}
    if explained.get("smoothed_nnls") == 0.1:
        methods["smoothed_nnls"]["explained_far"] = {"first_minus_this_interval": [0.2, 0.5]}
    return DartMetrics.model_validate(
        {
            "task": "dart", "model": "conv1d", "parameters": 1, "members": 1, "fingerprint": "", "main": "test",
            "window_min": 30, "step_min": 1, "gauges": ["46404", "46409"], "chosen": {"smoothing": None, "pull": None},
            "splits": {"test": {"events": 20, "methods": methods}}, "simulated": True, "threshold_m": 0.1,
            "buoys": ["46404"], "far": ["46409"], "seconds_per_event": {"network": {"batch": 0.001, "alone": 0.001}},
            "uncertainty": uncertainty,
        }
    )  # fmt: skip


@pytest.mark.slow
def test_each_window_has_its_data_set_and_judged_run_and_is_not_trained_twice(source, tmp_path, monkeypatch):
    monkeypatch.setattr(dart_evaluation, "write_report", lambda folder, report: None)  # of each run; takes longest
    said: list[str] = []
    study = window_study.window_study(source, tmp_path, (30, 16), train=JOB, draws=20, say=said.append)
    rows = study.rows
    assert json.loads((tmp_path / "metrics.json").read_text()) == study.tree()
    assert [row.window_min for row in rows][::7] == [16, 30]
    assert {row.method for row in rows} == {
        "network",
        "hybrid",
        "smoothed_nnls",
        "nnls",
        "mean",
        "zero",
        "true_slip",
    }
    for minutes in (16, 30):
        found = json.loads((tmp_path / f"window-{minutes:03d}" / "run" / "metrics.json").read_text())
        assert found["window_min"] == minutes
        network = next(row for row in rows if (row.window_min, row.method) == (minutes, "network"))
        assert network.explained_far == found["splits"]["test"]["methods"]["network"]["explained"]["far"]
    with open(tmp_path / "window_study.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["mse_m2"]) for row in table] == pytest.approx([row.mse_m2 for row in rows], rel=1e-5)
    assert (tmp_path / "figures" / "windows.png").is_file() and (tmp_path / "report.html").is_file()
    assert said[:3] == ["16 min: data set", "16 min: training", "16 min: judging"]

    def never(*arguments, **named):
        raise AssertionError("trained again")

    monkeypatch.setattr(runs, "fit", never)
    again = window_study.window_study(source, tmp_path, (16, 30), train=JOB, draws=20).rows
    assert [row.explained_far for row in again] == [row.explained_far for row in rows]
    other = JOB.model_copy(update={"training": JOB.training.model_copy(update={"epochs": 2})})
    with pytest.raises(
        ValueError, match=r"expected the job of the run, received another: training\.epochs was 1, is 2"
    ):
        window_study.window_study(source, tmp_path, (16,), train=other)


def test_rows_are_flat_with_what_is_not_known_left_out():
    network, nnls = window_study.study_rows(30, metrics(network=0.8, nnls=0.5))
    assert (network.window_min, network.method, network.events) == (30, "network", 20)
    assert (network.explained_far_low, network.explained_far_high) == (0.1, 0.9)
    assert network.seconds_per_event == 0.001 and nnls.seconds_per_event is None
    assert nnls.explained_far_low is nnls.network_better_by_low is None and nnls.false_share is None


def test_uncertainty_has_rows_and_tables():
    own = {
        "climatology": {"crps": 0.3},
        "raw": {"crps": 0.2},
        "calibrated": {"crps": 0.1, "coverage": [0.5, 0.81, 0.96], "below": [0.2, 0.1, 0.0], "width": [0.1, 0.2, 0.3]},
    }
    uncertainty = {
        "levels": [0.5, 0.8, 0.95], "fitted_on": 50, "tested_on": 20, "edges": [],
        "limits": {"perfect": [], "conformal": []}, "draws": {"network": {"mw": own}},
    }  # fmt: skip
    found = {15: metrics(uncertainty, network=0.5, hybrid=0.4, smoothed_nnls=0.1)}
    found[30] = metrics(network=0.5, hybrid=0.4, smoothed_nnls=0.1)
    assert window_study.uncertainty_rows(30, found[30].uncertainty) == []
    [row] = window_study.uncertainty_rows(15, found[15].uncertainty)
    assert (row["draws"], row["quantity"], row["climatology_crps"]) == ("network", "mw", 0.3)
    assert (row["calibrated_coverage_95"], row["calibrated_width_80"], row["raw_coverage_50"]) == (0.96, 0.2, None)
    rows = [row for minutes, each in found.items() for row in window_study.study_rows(minutes, each)]
    section = window_study.study_report(rows, found).sections[-1]
    assert section.title == "Uncertainty"
    assert [table.rows for table in section.tables] == [
        [["15 min", "0.100", "0.300", "0.200", "–", "50.0 / 81.0 / 96.0 %", "0.200"]]
    ]


def test_the_report_says_who_is_ahead_and_when():
    found = {
        15: metrics(network=0.5, hybrid=0.4, smoothed_nnls=0.1, nnls=-90.0, mean=0.1),
        60: metrics(network=0.7, hybrid=0.9, smoothed_nnls=0.8, nnls=0.6, mean=0.1),
    }
    rows = [row for minutes, each in found.items() for row in window_study.study_rows(minutes, each)]
    page = window_study.study_report(rows, found)
    assert "more of the wave to come than smoothed NNLS at 15 minutes" in page.answer
    assert "(at 15 the 95 % interval over events says so too)" in page.answer
    assert "network at 15 minutes and hybrid at 60 minutes" in page.answer
    assert "network 70 %, hybrid 90 %, smoothed NNLS 80 %" in page.answer
    assert page.sections[1].tables[0].rows[0] == ["network", "0.500", "0.700"]
    behind = {15: metrics(network=0.1, hybrid=0.4, smoothed_nnls=0.2)}
    page = window_study.study_report(window_study.study_rows(15, behind[15]), behind)
    assert "less of the wave to come than smoothed NNLS at every window" in page.answer


def test_a_source_without_waves_says_so():
    without = {15: metrics(network=None, hybrid=None, smoothed_nnls=None)}
    page = window_study.study_report(window_study.study_rows(15, without[15]), without)
    assert "nothing can be said" in page.answer


@pytest.mark.parametrize(
    ("windows", "reason"),
    [
        ((), r"windows: expected lengths in minutes, each once, received \[\]"),
        ((15, 15), r"windows: expected lengths in minutes, each once, received \[15, 15\]"),
        ((45,), "expected records of minutes 1 to 45, received minutes 1 to 40"),
    ],
)
def test_windows_that_can_not_be_are_refused(source, tmp_path, windows, reason):
    with pytest.raises(ValueError, match=reason):
        window_study.window_study(source, tmp_path, windows, train=JOB)
