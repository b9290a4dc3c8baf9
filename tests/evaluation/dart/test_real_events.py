"""Recorded events through a run and least squares: simulated files with tides, and, where they are, real ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from seis_tf.dart import inversion
from seis_tf.dart.buoy_files import GaugeRecord
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import NEAR_BUOYS, load_greens
from seis_tf.evaluation.dart.real_events import real_event
from seis_tf.runs import load_run
from seis_tf.settings.data import DartJob
from seis_tf.settings.networks import Conv1dSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

KODIAK = {"origin_time": "2018-01-23T09:31:40Z", "epicentre": (-149.166, 56.004)}
TOHOKU = {"origin_time": "2011-03-11T05:46:24Z", "epicentre": (142.373, 38.297)}


@pytest.fixture(scope="module")
def greens():
    return load_greens()


@pytest.fixture(scope="module")
def events(greens):
    return simulate(FakequakeSettings(record_min=60), greens, 40, 0)


@pytest.fixture(scope="module")
def folder(events, greens, tmp_path_factory):
    """Simulated events, the greatest of them also as raw files, and a data set of them."""
    folder = tmp_path_factory.mktemp("events")
    write_fakequakes(folder / "source", events, greens, raw=len(events.ids))
    prepare_dart(folder / "source", folder / "dataset", DartJob())
    return folder


@pytest.fixture(scope="module")
def run(folder, untrained_run):
    """A network with its first weights, not judged yet."""
    job = TrainJob(model=Conv1dSettings(output="softplus"))
    return load_run(untrained_run(folder / "run", folder / "dataset", job))


@pytest.fixture(scope="module")
def raw(folder, events):
    """Files and description of the greatest event."""
    place = folder / "source" / "raw" / events.ids[int(np.argmax(events.mw))]
    about = json.loads((place / "event.json").read_text())
    return sorted(place.glob("*.txt")), {"origin_time": about["origin_time"], "epicentre": about["epicentre_lonlat"]}


def test_raw_files_with_tides_are_answered_by_all(run, raw, events, greens, tmp_path):
    files, about = raw
    answer = real_event(run, files, **about, event_id="big", figures=tmp_path)
    row = int(np.argmax(events.mw))
    truth = events.truth_m[row][1:46, :3]
    there = answer.event.mask
    # Quarter hours until the seismic wave starts the event mode, minutes from then on; detided to a few centimetres.
    assert there.sum() > 100 and np.abs(answer.event.window_m - truth)[there].max() < 0.08 < np.abs(truth).max()
    window = answer.event.window_m
    assert np.array_equal(answer.weights_m["network"], run.predict([window[None]])[0, 0].astype(float))
    expected = inversion.nnls(greens.select(gauges=NEAR_BUOYS).matrix(45), window, there)
    assert answer.weights_m["nnls"] == pytest.approx(expected)
    assert answer.forecast_m["nnls"] == pytest.approx(greens.waves(expected), abs=1e-6)
    assert answer.mw["nnls"] == pytest.approx(2 / 3 * (np.log10(4e10 * 5e9 * expected.sum()) - 9.05), abs=1e-6)
    assert not answer.region.outside and answer.event.causal
    assert {path.name for path in tmp_path.iterdir()} == {"big-waves.png", "big-slip.png"}


def test_smoothed_nnls_has_the_strength_that_judging_chose(run, raw, greens):
    files, about = raw
    assert set(real_event(run, files, **about).weights_m) == {"network", "nnls"}  # nobody chose one yet
    metrics = run.folder / "metrics.json"
    metrics.write_text(json.dumps({"chosen": {"smoothing": {"strength": 0.01, "scores": {}}, "pull": None}}))
    try:
        answer = real_event(run, files, **about)
    finally:
        metrics.unlink()
    matrix = greens.select(gauges=NEAR_BUOYS).matrix(45)
    expected = inversion.smoothed_nnls(matrix, answer.event.window_m, greens.source_names, 0.01, answer.event.mask)
    assert answer.weights_m["smoothed_nnls"] == pytest.approx(expected)


def test_a_known_buoy_without_a_record_is_masked_and_told(run, raw):
    files, about = raw
    answer = real_event(run, [file for file in files if "46407" not in file.name], **about, event_id="two")
    assert not answer.event.mask[:, 1].any() and answer.event.mask[:, [0, 2]].any()
    row = answer.row()
    assert row["event"] == "two" and row["samples 46407"] == "0/45" and row["outside"] is False
    assert row["Mw nnls"] == round(answer.mw["nnls"], 2)
    crest = 100 * answer.forecast_m["nnls"].max()
    assert row["highest crest nnls (cm)"] == pytest.approx(crest, abs=0.06)


def test_what_is_not_delivered_yet_is_masked(run, raw):
    files, about = raw
    answer = real_event(run, files, **about, latency_min=10)
    # Samples are at whole minutes of the clock, 25 s after the origin's: that of minute 35.4 is the last step's.
    assert not answer.event.mask[35:].any() and answer.event.mask[34].any()


def test_one_bad_file_is_left_out_and_said(run, raw, tmp_path):
    files, about = raw
    bad = tmp_path / files[1].name
    bad.write_text("<html>502 Bad Gateway</html>")
    answer = real_event(run, [files[0], bad, files[2]], **about)
    assert answer.event.buoys_used == (files[0].stem, files[2].stem) and answer.reason == ""
    assert answer.row()["left out"].startswith(f"{bad}: expected NDBC DART text")
    with pytest.raises(ValueError, match="expected NDBC DART text"):
        real_event(run, [files[0], bad, files[2]], **about, strict=True)


def test_without_enough_in_the_records_no_magnitude_is_given(run):
    time = np.arange(0, 3600.0, 60)
    wave = 0.1 * np.sin(time / 300)
    one = real_event(run, [GaugeRecord("46404", time, wave, True, "made up")])
    assert one.row()["reason"] == (
        "not enough samples: expected at least 50 % of the window, received 45 of 135 samples (33 %)"
    )
    noise = 0.005 * np.random.default_rng(0).normal(size=(3, 60))
    calm = real_event(run, [GaugeRecord(b, time, n, True, "made up") for b, n in zip(NEAR_BUOYS, noise, strict=True)])
    assert calm.row()["reason"].startswith("not enough signal: expected at least 7 mm about each buoy's mean (rms)")
    for row in (one.row(), calm.row()):
        assert row["valid"] is False and row["Mw network"] is row["Mw nnls"] is row["highest crest nnls (cm)"] is None
    both = [GaugeRecord(b, time, wave, True, "made up") for b in NEAR_BUOYS[:2]]
    assert real_event(run, both).row()["Mw network"] > 0


def test_records_of_other_buoys_are_refused_unless_left_out(run):
    time = np.arange(0, 3600.0, 60)
    records = [GaugeRecord(name, time, np.zeros(60), True, "made up") for name in ("46404", "46403")]
    with pytest.raises(ValueError, match=r"quake: buoys: expected .*'46419'\], received \['46404', '46403'\]"):
        real_event(run, records, event_id="quake", strict=True)
    assert "buoy 46403 is none of the model's" in real_event(run, records).row()["left out"]
    assert real_event(run, records, buoy_names=NEAR_BUOYS).event.mask.sum() == 45


def test_levels_far_beyond_the_training_data_are_refused(run):
    largest = run.config.info.normalisation["largest"][0]
    time = np.arange(0, 3600.0, 60)
    for factor in (4.9, 5.1):
        records = [GaugeRecord("46404", time, np.full(60, factor * largest), True, "made up")]
        if factor < 5:
            real_event(run, records)
            continue
        with pytest.raises(ValueError, match=rf"at most {5 * largest:g} m, received {5.1 * largest:g}"):
            real_event(run, records)


def test_a_record_with_dates_needs_an_origin_time(run, raw):
    with pytest.raises(ValueError, match="expected an origin time for a record with dates, received none"):
        real_event(run, raw[0])


def test_a_run_of_another_task_is_refused(tiny_waveforms, untrained_run, tmp_path):
    folder = untrained_run(tmp_path / "run", tiny_waveforms, TrainJob.model_validate({"model": {"kind": "mlp"}}))
    with pytest.raises(ValueError, match="expected a run of task dart, received one of waveforms"):
        real_event(folder, [])


def test_kodiak_2018_is_flagged_and_its_late_records_are_masked(run, shared_data, tmp_path):
    file = shared_data / "dart" / "observed" / "kodiak2018_observation_Alaska.h5"
    answer = real_event(run, [file], **KODIAK, buoy_names=NEAR_BUOYS, event_id="kodiak", figures=tmp_path)
    row = answer.row()
    # 46404 and 46407 begin at minute 45.3, which is the last step's, 46419 at minute 15.
    assert [row[f"samples {name}"] for name in NEAR_BUOYS] == ["1/45", "1/45", "31/45"]
    assert row["reason"].endswith("received 33 of 135 samples (24 %)") and row["Mw network"] is None
    assert row["outside"] and "epicentre 1520 km from the nearest unit source" in row["region"]
    assert len(list(tmp_path.iterdir())) == 2


def test_tohoku_2011_is_flagged_with_three_samples_in_the_window(run, shared_data, tmp_path):
    file = shared_data / "dart" / "observed" / "46404_5day-03132011.txt"
    row = real_event(run, [file], **TOHOKU, event_id="tohoku", figures=tmp_path).row()
    assert [row[f"samples {name}"] for name in NEAR_BUOYS] == ["3/45", "0/45", "0/45"]
    assert row["outside"] and row["largest level (cm)"] < 2
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
def test_the_benchmark_of_real_tsunamis_runs(run, shared_data, tmp_path):
    path = Path(__file__).parents[3] / "benchmarks" / "real_tsunamis.py"
    spec = importlib.util.spec_from_file_location("real_tsunamis", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    observed = shared_data / "dart" / "observed"
    ways = {row["method"]: row for row in script.detiding(observed, tmp_path)}
    assert ways["harmonic"]["causal"] and not ways["polynomial"]["causal"]
    assert ways["harmonic"]["rms from swals (cm)"] < 4
    names = [row["event"] for row in script.answers(run.folder, observed, tmp_path)]
    assert names == list(script.EVENTS)
    assert {f"{name}-{kind}.png" for name in names for kind in ("waves", "slip")} < {p.name for p in tmp_path.iterdir()}
