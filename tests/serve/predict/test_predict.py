"""Raw records -> answers: the same numbers as the run's, and errors that name what was expected and received."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import obspy
import pytest
from obspy import Stream, Trace
from scipy import signal

from seis_tf import runs
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dataset import shards
from seis_tf.evaluation.stats import calibration
from seis_tf.serve.export import labels
from seis_tf.serve.export.export import export
from seis_tf.serve.predict.exported import Exported, load_model
from seis_tf.serve.predict.paths import list_files
from seis_tf.serve.predict.predict import predict
from seis_tf.serve.predict.rows import rows
from seis_tf.settings.data import DartJob, SpectrogramSettings, WaveformJob
from seis_tf.settings.networks import Conv1dSettings, MlpSettings
from seis_tf.settings.simulation import FakequakeSettings, LabquakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.waveforms import prepare, spectrograms

RATE_HZ = 10e6
MLP = MlpSettings(hidden=(4,))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("predict")


@pytest.fixture(scope="module")
def raw(place) -> Path:
    """Class folders of simulated labquakes, 1024 samples at 10 MHz."""
    return write_labquakes(place / "raw", LabquakeSettings(), 200, seed=0)


def _model(place: Path, raw: Path, untrained_run, name: str, record: dict, members: int = 1) -> Path:
    """Data set, run and export with these record settings; the data set's folder is place/data-name."""
    job = WaveformJob.model_validate({"record": record, "spectrogram": {"nfft": 32}})
    prepare.prepare_waveforms(raw, place / f"data-{name}", job)
    train = TrainJob(model=MLP, training=TrainingSettings(members=members))
    run = untrained_run(place / f"run-{name}", place / f"data-{name}", train)
    export(run, place / "models", name)
    return place / "models" / name


@pytest.fixture(scope="module")
def plain(place, raw, untrained_run) -> Path:
    """A model of 256 samples from the middle of a record; an ensemble."""
    return _model(place, raw, untrained_run, "plain", {"length_samples": 256, "anchor": "center"}, members=2)


@pytest.fixture(scope="module")
def filtered(place, raw, untrained_run) -> Path:
    """The same with a band-pass."""
    record = {"length_samples": 256, "anchor": "center", "bandpass_hz": (1e5, 3e6)}
    return _model(place, raw, untrained_run, "filtered", record)


def _stored(place: Path, name: str) -> dict[str, np.ndarray]:
    """The run's answers for the test records: record id -> probabilities."""
    folder = place / f"data-{name}"
    run = runs.load_run(place / f"run-{name}")
    records = list(shards.iterate(folder, run.config.info, "test"))
    power = spectrograms.standardise(np.stack([record["spectrogram"] for record in records]))
    temperature = calibration.read_calibration(run.folder)["temperature"]  # fitted by the export
    p = calibration.with_temperature(run.predict([power]).mean(axis=0), temperature)
    return dict(zip((r["record_id"] for r in records), p, strict=True))


@pytest.mark.parametrize("name", ["plain", "filtered"])
def test_files_are_answered_as_the_run_answers_its_own_records(request, place, raw, name):
    """Prepared from the same files, with and without a band-pass over the whole trace."""
    model, expected = request.getfixturevalue(name), _stored(place, name)
    files = [next((raw / record_id).parent.glob(f"{Path(record_id).name}.*")) for record_id in expected]
    answers = predict(model, files)
    assert [answer["record"] for answer in answers] == [str(file) for file in files]
    received = np.array([list(answer["probabilities"].values()) for answer in answers])
    np.testing.assert_allclose(received, np.stack(list(expected.values())), atol=2e-5)
    assert all(
        answer["class_name"] == max(answer["probabilities"], key=answer["probabilities"].get) for answer in answers
    )
    assert ("spread" in answers[0]) == (name == "plain")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(3, 300)) + np.linspace(0, 5, 300)


def _stream(samples: np.ndarray, rate_hz: float = RATE_HZ) -> Stream:
    headers = [{"sampling_rate": rate_hz, "station": f"S{i}"} for i in range(len(samples))]
    return Stream([Trace(row.copy(), header) for row, header in zip(samples, headers, strict=True)])


def test_files_stream_and_array_give_the_same_answers(tmp_path, plain, samples):
    for i, trace in enumerate(_stream(samples)):
        trace.write(str(tmp_path / f"{i}.mseed"), "MSEED", reclen=4096)
    from_array = predict(plain, samples, sampling_rate_hz=RATE_HZ)
    from_stream = predict(plain, _stream(samples))
    from_files = predict(plain, tmp_path)
    from_glob = predict(plain, str(tmp_path / "*.mseed"))
    assert [answer["record"] for answer in from_array] == ["record 0", "record 1", "record 2"]
    assert [answer["record"] for answer in from_stream] == [".S0..", ".S1..", ".S2.."]
    assert [answer["record"] for answer in from_files] == [str(tmp_path / f"{i}.mseed") for i in range(3)]
    for other in (from_stream, from_files, from_glob):
        assert [answer["probabilities"] for answer in other] == [answer["probabilities"] for answer in from_array]
    assert predict(plain, samples[1], sampling_rate_hz=RATE_HZ)[0]["probabilities"] == pytest.approx(
        from_array[1]["probabilities"], abs=1e-6
    )


def test_another_rate_is_refused_unless_resampling_is_asked_for(plain, samples):
    slow = np.repeat(samples, 3, axis=1)
    with pytest.raises(ValueError, match=r"record 0: expected 10000000 Hz, received 5000000 Hz.*; resampling has"):
        predict(plain, slow, sampling_rate_hz=5e6)
    answers = predict(plain, slow, sampling_rate_hz=5e6, resample=True)
    assert [answer["valid"] for answer in answers] == [True] * 3


def test_one_bad_record_is_reported_and_stops_no_other(plain, samples):
    bad = samples.copy()
    bad[1, 150] = np.nan
    answers = predict(plain, bad, sampling_rate_hz=RATE_HZ)
    assert [answer["valid"] for answer in answers] == [True, False, True]
    assert (
        answers[1]["reason"] == "expected finite samples, received nan at sample 128"
    )  # of the window, which begins at 22
    good = predict(plain, samples[[0, 2]], sampling_rate_hz=RATE_HZ)
    assert [answers[0]["probabilities"], answers[2]["probabilities"]] == [answer["probabilities"] for answer in good]
    table = rows(answers)
    assert list(table[0])[:4] == ["record_id", "valid", "predicted_class", "probability_AE"]
    assert list(table[0])[-1] == "reason" and table[0]["reason"] == ""
    assert table[1]["probability_AE"] == ""


def test_a_record_longer_than_the_window_is_said_to_be(plain, samples):
    """Windows of 256 samples at 10 MHz from the middle: of 1,024 samples those from 384 on."""
    long = np.random.default_rng(0).normal(size=1024)
    answer = predict(plain, long, sampling_rate_hz=RATE_HZ)[0]
    assert answer["record_s"] == pytest.approx(1024 / RATE_HZ) and answer["used_s"] == pytest.approx(256 / RATE_HZ)
    assert answer["note"] == "judged by 25.6 of 102.4 µs, from 38.4 µs on"
    nearly = predict(plain, samples[:, :260], sampling_rate_hz=RATE_HZ)  # 256 of 260 are 98.5 %
    assert all("note" not in answer and answer["record_s"] == pytest.approx(26e-6) for answer in nearly)
    both = predict(plain, _stream([long, long[:100]]))
    assert "record_s" not in both[1] and not both[1]["valid"]
    assert list(rows(both)[0])[-2:] == ["note", "reason"]


@pytest.mark.parametrize("name", ["plain", "filtered"])
def test_along_a_record_each_window_is_answered_by_itself(request, place, raw, name):
    model = request.getfixturevalue(name)
    file = sorted((raw / "AE").iterdir())[0]
    answers = predict(model, file, slide_s=20e-6)
    # 1,024 samples, windows of 256, a step of 200: 0, 200, 400, 600, and the last one that ends the record.
    assert [round(answer["start_s"] * RATE_HZ) for answer in answers] == [0, 200, 400, 600, 768]
    [trace] = obspy.read(file)
    for answer in answers:
        start_ns = np.datetime64(answer["start_utc"].removesuffix("Z"), "ns").astype(np.int64)
        assert start_ns - trace.stats.starttime.ns == round(answer["start_s"] * 1e9)
        assert answer["used_s"] == pytest.approx(256 / RATE_HZ) and answer["record"] == str(file)
    # The slow way: the whole trace filtered by SciPy, cut by hand, transformed, and given to the run's model.
    whole = trace.data.astype(float)
    if name == "filtered":
        sections = signal.butter(4, (1e5, 3e6), "bandpass", fs=RATE_HZ, output="sos")
        whole = signal.sosfiltfilt(sections, whole, padlen=3 * (2 * len(sections) + 1))
    cut = np.stack([signal.detrend(whole[first : first + 256]) for first in (0, 200, 400, 600, 768)])
    power = spectrograms.spectrograms(cut.astype(np.float32), SpectrogramSettings(nfft=32), RATE_HZ)
    run = runs.load_run(place / f"run-{name}")
    expected = run.predict([spectrograms.standardise(power)]).mean(axis=0)
    expected = calibration.with_temperature(expected, calibration.read_calibration(run.folder)["temperature"])
    received = np.array([list(answer["probabilities"].values()) for answer in answers])
    np.testing.assert_allclose(received, expected, atol=2e-5)


def test_along_records_bad_windows_are_reported_one_by_one(tmp_path, plain, samples):
    long = np.tile(samples, (1, 2))
    long[0, 590] = np.nan
    answers = predict(plain, long[:2], sampling_rate_hz=RATE_HZ, slide_s=25.6e-6)
    assert [(a["record"], round(a["start_s"] * RATE_HZ), a["valid"]) for a in answers] == [
        *(("record 0", first, first < 344) for first in (0, 256, 344)),
        *(("record 1", first, True) for first in (0, 256, 344)),
    ]
    assert answers[2]["reason"] == "expected finite samples, received nan at sample 246"
    assert "start_utc" not in answers[0]  # an array has no date
    assert ["used_s" in answer for answer in answers] == [True, True, False, True, True, True]
    (tmp_path / "bad.mseed").write_bytes(b"")
    _stream(long[1:2]).write(str(tmp_path / "good.mseed"), "MSEED", reclen=8192)
    from_files = predict(plain, tmp_path, slide_s=25.6e-6)
    assert [answer["valid"] for answer in from_files] == [False, True, True, True]
    assert from_files[0]["reason"] == "expected a waveform file, received an empty file"
    assert {"record_id", "start_utc", "start_s", "used_s", "valid", "reason"} <= set(rows(from_files)[0])
    with pytest.raises(ValueError, match=r"bad\.mseed: expected a waveform file, received an empty file"):
        predict(plain, tmp_path / "bad.mseed", slide_s=25.6e-6)


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        (np.ones((2, 300)), {"sampling_rate_hz": RATE_HZ, "slide_s": 1.0}, "slide: expected a step from one sample"),
        (np.ones((2, 300)), {"sampling_rate_hz": RATE_HZ}, "record 0: expected a trace that varies.*and 1 more"),
        (np.ones((2, 200)), {"sampling_rate_hz": RATE_HZ}, "expected at least 256 samples, received 200"),
        (np.ones((2, 300)), {}, "sampling_rate_hz: expected it with an array, received none"),
        (np.ones((1, 2, 300)), {"sampling_rate_hz": 1.0}, r"expected an array \[sample\] or \[record, sample\]"),
        (Stream(), {"sampling_rate_hz": 1.0}, "sampling_rate_hz: expected it with an array only"),
        ("nowhere/*.mseed", {}, r"nowhere/\*.mseed: expected files, a glob or a folder with files, received none"),
        ([], {}, "records: expected at least one, received none"),
        (np.ones((2, 300)), {"origin_time": "2011-03-11"}, "origin_time: expected none for a model of task waveforms"),
        (np.ones((2, 300)), {"latency_min": 3.0}, "latency_min: expected none for a model of task waveforms"),
    ],
)
def test_what_can_not_be_answered_is_refused(plain, records, options, message):
    with pytest.raises(ValueError, match=message):
        predict(plain, records, **options)


def test_files_are_listed_once_in_the_order_given(tmp_path):
    for name in ("b/2", "b/1", "a", ".hidden", "b/.git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    files = list_files([tmp_path / "b", tmp_path / "a", str(tmp_path / "*")])
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ["b/1", "b/2", "a"]


def test_the_stable_version_is_asked_else_the_latest(place, plain, tmp_path):
    shutil.copytree(place / "models", tmp_path / "models")
    model = tmp_path / "models" / "plain"
    shutil.copytree(model / "1", model / "2")
    labels.publish(tmp_path / "models", "plain", 2, "canary")
    assert load_model(model).folder.name == "1"
    labels.promote(tmp_path / "models", "plain")
    assert load_model(model).folder.name == "2"
    assert load_model(model / "1").folder.name == "1"
    (tmp_path / "models" / "models.config").unlink()
    assert load_model(model).folder.name == "2"
    with pytest.raises(ValueError, match="expected an exported model, received a folder without versions"):
        load_model(tmp_path)
    (model / "1" / "assets.extra" / "metadata.json").unlink()
    with pytest.raises(ValueError, match=r"metadata\.json: expected the metadata of an exported model"):
        load_model(model / "1")


def test_a_model_that_knows_no_waveforms_says_so(tmp_path, untrained_run, tiny_records, write_waveforms):
    from seis_tf.waveforms import features as stored

    features = tuple(stored.waveform_features((8, 9), None, None))
    records = tiny_records()
    for record in records:
        del record.values["waveform"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "waveform_features", lambda *args: list(features))
        write_waveforms(tmp_path / "data", records, sampling_rate_hz=None)
    export(untrained_run(tmp_path / "run", tmp_path / "data", TrainJob(model=MLP)), tmp_path / "models", "mat")
    with pytest.raises(ValueError, match="expected a model that knows waveforms, received one that takes spectrograms"):
        predict(tmp_path / "models" / "mat", np.ones((2, 300)), sampling_rate_hz=1.0)


# DART


@pytest.fixture(scope="module")
def events(place) -> Path:
    settings = FakequakeSettings(record_min=45, silent_probability=0.2)
    return write_fakequakes(place / "fakequakes", simulate(settings, load_greens(), 30, seed=0), load_greens(), raw=1)


@pytest.fixture(scope="module")
def dart(place, events, untrained_run) -> Exported:
    prepare_dart(events, place / "data-dart", DartJob())
    job = TrainJob(model=Conv1dSettings(use_mask=True), training=TrainingSettings(members=3))
    return load_model(export(untrained_run(place / "run-dart", place / "data-dart", job), place / "models", "dart"))


BUOYS = ("46404", "46407", "46419")


def test_windows_are_answered_as_the_run_answers_them(place, dart):
    run = runs.load_run(place / "run-dart")
    stored = list(shards.iterate(place / "data-dart", run.config.info, "test"))
    level, mask = (np.stack([record[name] for record in stored]) for name in ("water_level_m", "mask"))
    answers = predict(dart, np.where(mask > 0, level, np.nan), buoy_names=BUOYS)
    slip = run.predict([level, mask]).mean(axis=0)
    for answer, expected in zip(answers, slip, strict=True):
        assert list(answer["weights_m"]) == list(run.config.info.source_names)
        np.testing.assert_allclose(list(answer["weights_m"].values()), expected, atol=1e-5)
        wave = load_greens().waves(expected)
        gauge = load_greens().gauge_names.index("46411")
        np.testing.assert_allclose(answer["forecast_m"]["46411"], wave[:, gauge], atol=1e-5)
        first = run.config.info.job["record"]["window_min"] + 1
        assert answer["peak_m"]["46411"] == pytest.approx(wave[first:, gauge].max(), abs=1e-5)
        assert answer["peak_minute"]["46411"] == first + wave[first:, gauge].argmax()
        assert answer["valid"] and answer["reason"] == ""
        silent = [name for name, samples in answer["samples"].items() if samples == "0/45"]
        assert answer["buoys_used"] == [name for name in BUOYS if name not in silent]
        if silent:
            text = f"no intervals: a buoy is missing, and they were not calibrated for that ({', '.join(silent)})"
            assert answer["intervals_reason"] == text
            assert answer["mw_50"] is answer["mw_95"] is answer["peak_m_80"] is None
            continue
        assert answer["intervals_reason"] == ""
        assert answer["peak_m_50"]["46411"][0] <= answer["peak_m"]["46411"] <= answer["peak_m_95"]["46411"][1]
        assert answer["mw_50"][0] <= answer["mw"] <= answer["mw_50"][1] < answer["mw_95"][1]
    assert {bool(answer["intervals_reason"]) for answer in answers} == {False, True}
    assert "mw_80" not in rows(answers)[0]  # pairs are left out
    assert {"record_id", "mw", "outside", "samples_46404", "peak_46411_m"} <= set(rows(answers)[0])


def test_a_window_is_given_with_its_buoys_in_order(dart):
    window = np.zeros((45, 3))
    with pytest.raises(ValueError, match=r"expected \['46404', '46407', '46419'\], received \[.*\]: another order"):
        predict(dart, window, buoy_names=("46407", "46404", "46419"))
    with pytest.raises(ValueError, match=r"buoys: expected .*, received \[\]: not named"):
        predict(dart, window)
    with pytest.raises(ValueError, match=r"expected \[.., 45 steps of 1 min, 3 buoys\], received shape \(15, 3\)"):
        predict(dart, np.zeros((15, 3)), buoy_names=BUOYS)
    with pytest.raises(ValueError, match="detided water column in metres, at most .* m, received 5000"):
        predict(dart, window + 5000.0, buoy_names=BUOYS)
    with pytest.raises(ValueError, match="resample: expected none for a model of task dart"):
        predict(dart, window, buoy_names=BUOYS, resample=True)
    with pytest.raises(ValueError, match="slide_s: expected none for a model of task dart, received 60"):
        predict(dart, window, buoy_names=BUOYS, slide_s=60.0)


def damaged(kind: str) -> np.ndarray:
    """A clear wave of 10 cm in 45 minutes at three buoys, with one fault."""
    window = 0.1 * np.sin(np.arange(1, 46)[:, None] / 5 + np.arange(3))
    if kind == "a quarter of the samples":
        window[np.arange(45) % 4 > 0] = np.nan
    elif kind == "one sample":
        window[1:] = window[:, 1:] = np.nan
    elif kind == "nothing":
        window[:] = np.nan
    elif kind == "noise alone":
        window = 0.005 * np.random.default_rng(0).normal(size=(45, 3))
    return window


@pytest.mark.parametrize(
    ("kind", "reason", "samples", "signal"),
    [
        ("a quarter of the samples", "not enough samples: expected at least 50 % of the window", False, True),
        ("one sample", "not enough samples: expected at least 50 % of the window", False, False),
        ("nothing", "not enough samples: expected at least 50 % of the window", False, False),
        ("noise alone", "not enough signal: expected at least 7 mm about each buoy's mean (rms)", True, False),
    ],
)
def test_no_magnitude_is_given_where_there_is_not_enough(dart, tmp_path, kind, reason, samples, signal):
    """`predict` gives the reason with numbers; the exported model gives flags and zeros."""
    window = damaged(kind)
    answer = predict(dart, window, buoy_names=BUOYS, figures=tmp_path)[0]
    assert not answer["valid"] and answer["mw"] is None and answer["mw_80"] is None
    assert answer["reason"].startswith(f"{reason}, received ") and answer["intervals_reason"]
    assert answer["peak_m"] == answer["peak_minute"] == answer["weights_m"] == answer["forecast_m"] == {}
    assert [file.name for file in tmp_path.iterdir()] == ["event 0-waves.png"]  # the record, and no slip
    row = rows([answer])[0]
    assert (
        row["valid"] is False
        and row["reason"] == answer["reason"]
        and row["buoys_used"] == "; ".join(answer["buoys_used"])
    )
    outputs = dart.ask("serving_default", water_level_m=np.stack([window, damaged("none")]).astype(np.float32))
    assert outputs["valid"].tolist() == [False, True] and outputs["reason"].tolist() == [reason.encode(), b""]
    assert (outputs["enough_samples"][0], outputs["enough_signal"][0]) == (samples, signal)
    assert outputs["samples"].tolist() == [np.isfinite(window).sum(axis=0).tolist(), [45, 45, 45]]
    for name in ("mw", "weights_m", "forecast_m", "peak_m", "mw_lower", "mw_upper", "forecast_m_upper"):
        assert not outputs[name][0].any() and outputs[name][1].any(), name
    assert outputs["has_intervals"].tolist() == [False, True]
    assert outputs["intervals_reason"].tolist() == [b"no intervals: there is no magnitude", b""]


@pytest.mark.parametrize(
    ("minutes", "buoy", "given"), [(41, slice(None), True), (40, slice(None), False), (0, 1, False), (32, 1, True)]
)
def test_intervals_are_withheld_where_a_buoy_or_a_tenth_is_missing(dart, minutes, buoy, given):
    """4 of 45 minutes are 9 %, 5 are 11 %; 13 of one buoy's are 10 % of all 135 samples."""
    window = damaged("none")
    window[minutes:, buoy] = np.nan
    answer = predict(dart, window, buoy_names=BUOYS)[0]
    assert answer["valid"] and answer["mw"] > 0
    assert (answer["mw_80"] is not None) == given == (not answer["intervals_reason"])
    outputs = dart.ask("serving_default", water_level_m=window[None].astype(np.float32))
    assert outputs["has_intervals"].tolist() == [given] and bool(outputs["intervals_reason"][0]) != given
    for end in ("lower", "upper"):
        assert all(bool(outputs[f"{name}_{end}"].any()) == given for name in ("mw", "peak_m", "weights_m"))


def test_named_buoys_in_another_order_or_of_another_set_get_no_answer(dart):
    window = np.repeat(damaged("none")[None].astype(np.float32), 4, axis=0)
    names = np.array([BUOYS, BUOYS[::-1], ("46404", "46407", "46411"), BUOYS], dtype=object)
    inputs = {"water_level_m": window, "mask": np.ones_like(window)}
    plain, named = dart.ask("masked", **inputs), dart.ask("masked_named", **inputs, buoy_names=names)
    assert named["valid"].tolist() == [True, False, False, True]
    assert named["reason"][1] == (b"buoys: expected 46404, 46407, 46419 in this order, received 46419, 46407, 46404")
    assert named["reason"][2].endswith(b"received 46404, 46407, 46411") and named["reason"][0] == b""
    np.testing.assert_allclose(named["weights_m"][[0, 3]], plain["weights_m"][[0, 3]], rtol=1e-5)
    for name in ("mw", "weights_m", "forecast_m", "mw_upper"):
        assert not named[name][1:3].any(), name
    with pytest.raises(Exception, match="buoy_names: expected"):
        dart.ask("masked_named", **inputs, buoy_names=names[:, :2])
    assert dart.metadata["buoy_names"] == list(BUOYS)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("origin_time", 1516699900, "event.json: origin_time: expected text, received '1516699900'"),
        ("epicentre_lonlat", ["a", 2], "event.json: epicentre_lonlat: expected two numbers"),
    ],
)
def test_an_event_file_with_a_value_that_can_not_be_is_refused(dart, events, tmp_path, key, value, message):
    folder = shutil.copytree(next((events / "raw").iterdir()), tmp_path / "event")
    about = json.loads((folder / "event.json").read_text())
    (folder / "event.json").write_text(json.dumps(about | {key: value}))
    with pytest.raises(ValueError, match=message):
        predict(dart, folder)


def test_one_bad_file_never_refuses_the_good_ones(dart, events, tmp_path):
    folder = next((events / "raw").iterdir())
    files = sorted(folder.glob("*.txt"))
    for file in (*files, folder / "event.json"):
        shutil.copy(file, tmp_path / file.name)
    (tmp_path / files[0].name).write_text("<html>502 Bad Gateway</html>")
    (tmp_path / "README.txt").write_text("records of an event")
    answer = predict(dart, tmp_path)[0]
    assert answer["valid"] and answer["buoys_used"] == [file.stem for file in files[1:]]
    assert [text.split(":")[0].rpartition("/")[2] for text in answer["left_out"]] == [files[0].name]
    (tmp_path / files[0].name).unlink()
    alone = predict(dart, tmp_path)[0]
    assert answer["weights_m"] == alone["weights_m"] and alone["left_out"] == []
    (tmp_path / files[0].name).write_text("<html>502 Bad Gateway</html>")
    with pytest.raises(ValueError, match=f"{files[0].name}: expected NDBC DART text"):
        predict(dart, tmp_path, strict=True)


def test_an_ensemble_leaves_members_without_slip_out_of_its_magnitude(tmp_path, place, events, untrained_run):
    """Of three members one answers no slip at all: the mean of the other two, not of 0, 8 and 8."""
    job = TrainJob(model=Conv1dSettings(use_mask=True), training=TrainingSettings(members=3))
    prepare_dart(events, place / "data-dart", DartJob())
    folder = untrained_run(tmp_path / "run", place / "data-dart", job)
    model = runs.load_run(folder).model
    for member, bias in enumerate((-50.0, 0.3, 0.5)):
        layer = model.get_layer(f"member_{member}").layers[-1]
        layer.set_weights([np.zeros_like(layer.kernel), np.full(31, bias)])
    model.save(folder / "model.keras")
    exported = load_model(export(folder, tmp_path / "models", "dart"))
    answer = predict(exported, damaged("none"), buoy_names=BUOYS)[0]
    # Mw = 2/3 (log10(4e10 Pa x 5e9 m2 x slip) - 9.05)
    each = [2 / 3 * (np.log10(4e10 * 5e9 * 31 * slip) - 9.05) for slip in (0.3, 0.5)]
    assert answer["mw"] == pytest.approx(np.mean(each), abs=1e-4)
    layer = model.get_layer("member_1").layers[-1]
    for member in (1, 2):
        layer = model.get_layer(f"member_{member}").layers[-1]
        layer.set_weights([np.zeros_like(layer.kernel), np.full(31, -50.0)])
    model.save(folder / "model.keras")
    answer = predict(load_model(export(folder, tmp_path / "models", "dart")), damaged("none"), buoy_names=BUOYS)[0]
    assert not answer["valid"] and answer["mw"] is None
    assert answer["reason"] == "no slip: the model finds none in these records"


def test_an_export_without_the_new_outputs_still_answers(dart):
    """Exports without thresholds have a single reason, and intervals for any gaps."""
    old = {"enough_samples", "enough_signal", "samples", "signal_m", "reason", "has_intervals", "intervals_reason"}

    class Old:
        signatures = {
            "masked": lambda **inputs: {
                name: value for name, value in dart.loaded.signatures["masked"](**inputs).items() if name not in old
            }
        }

    exported = Exported(dart.folder, {k: v for k, v in dart.metadata.items() if k != "answer"}, Old())
    window = damaged("none")
    window[:, 1] = np.nan
    answer = predict(exported, window, buoy_names=BUOYS)[0]
    assert answer["valid"] and answer["reason"] == answer["intervals_reason"] == "" and answer["mw_80"] is not None
    nothing = predict(exported, damaged("nothing"), buoy_names=BUOYS)[0]
    assert nothing["reason"] == "no sample, or levels that can't be metres of water column"


def test_what_is_not_delivered_yet_is_masked(dart):
    window = 0.05 * np.random.default_rng(0).normal(size=(45, 3))
    late = predict(dart, window, buoy_names=BUOYS, latency_min=5)[0]
    assert late["samples"] == {"46404": "40/45", "46407": "40/45", "46419": "40/45"}
    cut = window.copy()
    cut[40:] = np.nan
    assert late["weights_m"] == predict(dart, cut, buoy_names=BUOYS)[0]["weights_m"]


def test_an_epicentre_elsewhere_is_outside_the_region(dart):
    window = 0.01 * np.random.default_rng(0).normal(size=(45, 3))
    there = predict(dart, window, buoy_names=BUOYS, epicentre=(-124.5, 44.0))[0]
    japan = predict(dart, window, buoy_names=BUOYS, epicentre=(142.4, 38.3))[0]
    assert (there["outside"], japan["outside"]) == (False, True)
    assert "epicentre" in japan["region"]


def test_raw_buoy_files_of_an_event_are_detided_answered_and_drawn(dart, events, tmp_path):
    folder = next((events / "raw").iterdir())
    answer = predict(dart, folder, figures=tmp_path / "pictures")[0]
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [file.name for file in pictures] == [f"{folder.name}-slip.png", f"{folder.name}-waves.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in pictures)
    assert answer["record"] == folder.name and answer["valid"] and answer["causal"]
    assert not answer["outside"] and "epicentre" in answer["region"]  # both from event.json


def _quarter_hours(path: Path, origin: datetime) -> None:
    """A buoy's text from a day before the origin to an hour after it, with a tide and nothing else."""
    lines = []
    for step in range(-96, 5):
        time = origin + timedelta(minutes=15 * step)
        level = {"46407": 3280}.get(path.stem, 2737) + 0.8 * np.cos(2 * np.pi * step / 4 / 12.42)
        lines.append(f"{time:%Y %m %d %H %M %S} 1 {level:.3f}")
    path.write_text("#YY  MM DD hh mm ss T   HEIGHT\n" + "\n".join(reversed(lines)) + "\n")


def test_buoys_can_be_picked_from_among_others(dart, tmp_path):
    origin = datetime(2018, 1, 23, 9, 31, 40, tzinfo=UTC)
    for name in ("46404", "46407", "46410"):
        _quarter_hours(tmp_path / f"{name}.txt", origin)
    text = "2018-01-23T09:31:40Z"
    with pytest.raises(ValueError, match=r"buoys: expected .*, received .*: .*unknown \['46410'\]"):
        predict(dart, tmp_path, origin_time=text, strict=True)
    (left_out,) = predict(dart, tmp_path, origin_time=text)[0]["left_out"]
    assert left_out.endswith("46410.txt: buoy 46410 is none of the model's, 46404, 46407, 46419")
    answer = predict(dart, tmp_path, origin_time=text, buoy_names=BUOYS)[0]
    assert answer["samples"]["46419"] == "0/45" and answer["samples"]["46404"] == "3/45"
    with pytest.raises(ValueError, match="expected an origin time for a record with dates, received none"):
        predict(dart, tmp_path, buoy_names=BUOYS)


def test_the_kodiak_records_are_masked_and_flagged(dart, shared_data):
    """Two of the three buoys begin at minute 45.3, the last step's sample; the source is far from Cascadia."""
    file = shared_data / "dart" / "observed" / "kodiak2018_observation_Alaska.h5"
    answer = predict(dart, file, buoy_names=BUOYS, epicentre=(-149.17, 56.0))[0]
    assert answer["outside"]
    assert answer["samples"] == {"46404": "1/45", "46407": "1/45", "46419": "31/45"}
    # An earlier version answered Mw 7.7 without a warning.
    assert not answer["valid"] and answer["mw"] is None and answer["weights_m"] == answer["forecast_m"] == {}
    expected = "not enough samples: expected at least 50 % of the window, received 33 of 135 samples (24 %)"
    assert answer["reason"] == expected
