"""The exported graphs against SciPy, Keras and hand derivations; what an export writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import signal
from tensorflow.core.protobuf.config_pb2 import CallableOptions

from seis_tf import runs, tasks
from seis_tf.dart.unit_sources import load_greens, magnitude
from seis_tf.dataset import shards
from seis_tf.evaluation.dart import draws
from seis_tf.evaluation.stats.intervals import Intervals
from seis_tf.serve.export import card_waveforms, waveform_graph
from seis_tf.serve.export.check import CheckFailed
from seis_tf.serve.export.dart_graph import Forecaster
from seis_tf.serve.export.export import export, versions
from seis_tf.serve.export.labels import labels_of
from seis_tf.serve.export.waveform_graph import Classifier, raw_input, with_temperature
from seis_tf.settings.data import DartJob, RecordSettings, SpectrogramSettings
from seis_tf.settings.networks import Conv1dSettings, MlpSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.waveforms import loading, spectrograms

RECORD = {"length_samples": 70}
MLP = TrainJob(model=MlpSettings(hidden=(4,)))


def _classifier(info: shards.DatasetInfo, *, members: int = 1, temperature: float = 1.0, **changes) -> Classifier:
    """The graph of an untrained network, with `changes` to the data set's settings."""
    record, spectrogram = changes.pop("record", {}), changes.pop("spectrogram", {})
    job = info.job | {"record": info.job["record"] | record, "spectrogram": info.job["spectrogram"] | spectrogram}
    info = info.model_copy(update={"job": job | changes})
    models = [tasks.build(MLP.model, info, seed=seed) for seed in range(members)]
    return Classifier(runs.ensemble(models), info, temperature)


@pytest.fixture(scope="module")
def info(tiny_waveforms) -> shards.DatasetInfo:
    return shards.load_dataset(tiny_waveforms)


def _records(count: int = 5, seed: int = 3) -> np.ndarray:
    """Noise of a few counts on an offset and a slope, as recorders give it."""
    random = np.random.default_rng(seed)
    line = random.normal(size=(count, 2)) @ [np.full(70, 300.0), np.linspace(-50, 50, 70)]
    return (random.normal(size=(count, 70)) + line).astype(np.float32)


# The raw signature


@pytest.mark.parametrize("detrend", ["linear", "constant", "none"])
@pytest.mark.parametrize("band", [None, (5.0, 30.0)])
@pytest.mark.parametrize("log", [True, False])
def test_preprocessing_in_the_graph_is_scipys(info, detrend, band, log):
    graph = _classifier(info, record={"detrend": detrend, "bandpass_hz": band}, spectrogram={"log": log})
    raw = _records()
    samples = raw.astype(np.float64)
    trend = (lambda x: x) if detrend == "none" else (lambda x: signal.detrend(x, axis=1, type=detrend))
    samples = trend(samples)
    if band:
        sections = signal.butter(4, band, "bandpass", fs=100.0, output="sos")
        samples = trend(signal.sosfiltfilt(sections, samples, axis=1))
    expected = signal.spectrogram(samples, 100.0, ("tukey", 0.25), 14, 7, 14)[2]
    answer = graph.preprocess(tf.constant(raw))
    largest = expected.max(axis=(1, 2), keepdims=True)
    received = answer["spectrogram"].numpy().astype(np.float64)
    assert answer["valid"].numpy().all()
    if log:
        # 10^x of a float32 logarithm near 2 has two digits less than float32.
        assert np.abs(10**received - np.maximum(expected, 1e-8 * largest)).max() < 1e-5 * largest.max()
        clear = expected > 1e-8 * largest
        assert np.abs(received[clear] - np.log10(expected[clear])).max() < 2e-3
    else:
        assert np.abs((received - expected) / largest).max() < 1e-5


def test_a_weak_signal_on_a_large_offset_keeps_what_float32_samples_hold(info):
    # Counts around 2^20 are exact in float32, so nothing is lost before the graph; a float32 mean would be off by 0.1.
    raw = (2.0**20 + np.round(8 * _records(seed=5)[:, ::-1])).astype(np.float32)
    expected = signal.spectrogram(signal.detrend(raw.astype(np.float64), axis=1), 100.0, ("tukey", 0.25), 14, 7, 14)[2]
    received = _classifier(info, spectrogram={"log": False}).preprocess(tf.constant(raw))["spectrogram"].numpy()
    assert np.abs((received - expected) / expected.max(axis=(1, 2), keepdims=True)).max() < 1e-5


@pytest.mark.parametrize(
    ("reason", "bad", "log"),
    [
        ("expected finite samples, received NaN or Inf", np.where(np.arange(70) == 5, np.nan, 1.0), True),
        ("expected finite samples, received NaN or Inf", np.where(np.arange(70) == 69, -np.inf, 1.0), True),
        ("expected a signal, received constant samples or a straight line", np.zeros(70), True),
        ("expected a signal, received constant samples or a straight line", np.full(70, 1e6), True),
        ("expected a signal, received constant samples or a straight line", 1e6 + 37.0 * np.arange(70), True),
        ("expected power that 32-bit floats hold, received NaN or Inf", 3e38 * np.cos(np.arange(70)), False),
        ("expected a signal, received a record whose spectrogram is constant", 1e-25 * np.cos(np.arange(70)), False),
    ],
)
def test_a_bad_record_has_a_defined_answer_and_spoils_no_other(info, reason, bad, log):
    graph = _classifier(info, temperature=2.0, spectrogram={"log": log})
    good = _records(2)
    answer = graph.classify_waveform(tf.constant(np.stack([good[0], bad, good[1]]).astype(np.float32)))
    alone = graph.classify_waveform(tf.constant(good))
    assert answer["valid"].numpy().tolist() == [True, False, True]
    empty, why, _ = (text.decode() for text in answer["reason"].numpy())
    assert why.startswith(reason) and not empty
    assert answer["probabilities"].numpy()[1] == pytest.approx([1 / 3] * 3)
    assert answer["class_id"].numpy()[1] == -1
    assert answer["class_name"].numpy()[1] == b""
    np.testing.assert_allclose(answer["probabilities"].numpy()[::2], alone["probabilities"].numpy(), atol=1e-6)


@pytest.mark.parametrize("log", [True, False])
def test_numpy_and_graph_agree_on_what_is_no_signal(info, log):
    """A record of noise at amplitudes over 60 decades, alone and on offsets 1e5 and 1e8 times as large."""
    from obspy import Stream, Trace

    record = RecordSettings.model_validate(info.job["record"])
    settings = SpectrogramSettings.model_validate(info.job["spectrogram"] | {"log": log})
    amplitudes, offsets = np.repeat(10.0 ** np.arange(-30, 31), 3), np.tile([0.0, 1e5, 1e8], 61)
    raw = ((_records(1)[0] + offsets[:, None]) * amplitudes[:, None]).astype(np.float32)
    stream = Stream([Trace(row, {"sampling_rate": 100.0, "station": str(i)}) for i, row in enumerate(raw)])
    loaded = loading.from_stream(stream, record, 100.0)
    usable = np.array([not reason for reason in spectrograms.unusable(
        spectrograms.spectrograms(loaded.samples, settings, 100.0))])  # fmt: skip
    valid = _classifier(info, spectrogram={"log": log}).classify_waveform(tf.constant(raw))["valid"].numpy()
    assert np.flatnonzero(valid).tolist() == loaded.kept[usable].tolist()
    # What an offset of 1e8 leaves in float32 is rounding; a logarithm of power suits every amplitude.
    assert not valid[2::3].any()
    assert valid[::3].all() == valid[1::3].all() == log
    # Power of 1e30 counts does not fit float32 (1e-38 to 3e38), nor does that of 1e-30.
    assert valid[::3][13:48].all() and (log or not valid[::3][[0, -1]].any())


def test_power_at_any_amplitude_is_scipys(info):
    raw = (_records(1) * 10.0 ** np.arange(-30, 31, 5)[:, None]).astype(np.float32)
    exact = signal.detrend(raw.astype(np.float64), axis=1)
    power = signal.spectrogram(exact, 100.0, ("tukey", 0.25), 14, 7, 14)[2]
    expected = np.log10(np.maximum(power, 1e-8 * power.max(axis=(1, 2), keepdims=True)))
    received = _classifier(info).preprocess(tf.constant(raw))["spectrogram"].numpy()
    np.testing.assert_allclose(received, expected, atol=1e-3)
    settings = SpectrogramSettings.model_validate(info.job["spectrogram"])
    numpys = spectrograms.spectrograms(exact.astype(np.float32), settings, 100.0)
    np.testing.assert_allclose(numpys, expected, atol=1e-3)


def test_a_bad_spectrogram_has_a_defined_answer(info):
    graph = _classifier(info)
    good = graph.preprocess(tf.constant(_records(1)))["spectrogram"].numpy()
    powers = np.repeat(good, 3, axis=0)
    powers[0, 0, 0], powers[1] = np.nan, -3.0
    answer = graph.classify_spectrogram(tf.constant(powers))
    assert answer["valid"].numpy().tolist() == [False, False, True]
    assert np.isfinite(answer["probabilities"].numpy()).all()


def test_class_name_and_id_are_those_of_the_largest_probability(info):
    answer = _classifier(info).classify_waveform(tf.constant(_records(40)))
    best = answer["probabilities"].numpy().argmax(axis=1)
    assert answer["class_id"].numpy().tolist() == best.tolist()
    assert answer["class_name"].numpy().tolist() == [info.class_names[k].encode() for k in best]


def test_temperature_divides_log_probabilities():
    # sqrt(0.64, 0.32, 0.04) = (0.8, 0.5657, 0.2), which add up to 1.5657
    received = with_temperature(tf.constant([[0.64, 0.32, 0.04]]), 2.0).numpy()[0]
    assert received == pytest.approx([0.51096, 0.36131, 0.12774], abs=1e-5)
    assert with_temperature(tf.constant([[1.0, 0.0, 0.0]]), 0.5).numpy()[0] == pytest.approx([1, 0, 0])


def test_an_ensemble_answers_mean_and_spread(info):
    graph = _classifier(info, members=3)
    powers = graph.preprocess(tf.constant(_records()))["spectrogram"]
    members = graph.model(graph.standardise(powers)).numpy()
    assert members.shape == (5, 3, 3)
    answer = graph.classify_spectrogram(powers)
    np.testing.assert_allclose(answer["probabilities"], members.mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(answer["spread"], members.std(axis=1), atol=1e-6)


def test_raw_waveforms_are_offered_only_where_the_graph_can_treat_them_as_training_did(info):
    without = info.model_copy(update={"features": tuple(f for f in info.features if f.name != "waveform")})
    assert raw_input(info).same_as_training
    assert "spectrograms only" in raw_input(without).note
    assert list(_classifier(without).signatures()) == ["serving_default", "spectrogram", "examples"]
    assert _classifier(without).signatures()["serving_default"].inputs[0].name == "spectrogram"
    response = _classifier(info, record={"stationxml": "*.xml"}).info
    assert not raw_input(response).possible and "response" in raw_input(response).note
    banded = raw_input(_classifier(info, record={"bandpass_hz": (5, 30)}).info)
    assert banded.possible and not banded.same_as_training and "whole traces" in banded.note
    job = info.job | {"record": info.job["record"] | {"length_samples": 4097, "bandpass_hz": (5, 30)}}
    features = tuple(f.model_copy(update={"shape": (4097,)}) if f.name == "waveform" else f for f in info.features)
    long = info.model_copy(update={"job": job, "features": features})
    assert "at most 4096 samples, records have 4097" in raw_input(long).note


def test_waveforms_without_a_sampling_rate_are_named(info):
    with pytest.raises(ValueError, match="expected sampling_rate_hz beside waveforms, received none"):
        _classifier(info.model_copy(update={"sampling_rate_hz": None}))


# DART


@pytest.fixture(scope="module")
def dart_info() -> shards.DatasetInfo:
    """The part of a data set's description that the graph needs; no such data set is on disk."""
    job = DartJob.model_validate({"record": {"window_min": 8, "buoys": ("46404", "46407")}})
    return shards.DatasetInfo.model_validate(
        {
            "task": "dart",
            "features": [{"name": "water_level_m", "dtype": "float32", "shape": (8, 2)}],
            "gauge_names": job.record.buoys,
            "source_names": ("acsza57", "acszb57", "acsza58"),
            "forecast_gauges": ("46411", "46404"),
            "job": job.model_dump(mode="json"),
            "normalisation": {"largest": [0.5]},
            "splits": {},
            "fingerprint": "of no source",
        }
    )


def _forecaster(info: shards.DatasetInfo, members: int = 1, *, use_mask: bool = True, intervals=None) -> Forecaster:
    settings = Conv1dSettings(widths=(4, 4, 4), dense=5, dropout=0.0, use_mask=use_mask)
    models = [tasks.build(settings, info, seed=seed) for seed in range(members)]
    for model in models:
        model.layers[-1].bias.assign([0.5, 0.0, 2.0])
    return Forecaster(runs.ensemble(models), info, intervals)


def _levels(count: int = 4) -> np.ndarray:
    return (0.1 * np.random.default_rng(7).normal(size=(count, 8, 2))).astype(np.float32)


def test_wave_and_magnitude_follow_from_the_slip(dart_info):
    answer = _forecaster(dart_info).forecast(tf.constant(_levels()))
    slip = answer["weights_m"].numpy().astype(np.float64)
    greens = load_greens().select(dart_info.source_names, dart_info.forecast_gauges)
    np.testing.assert_allclose(answer["forecast_m"], greens.waves(slip), atol=1e-6)
    np.testing.assert_allclose(answer["mw"], magnitude(slip), atol=1e-5)
    assert answer["forecast_m"].shape == (4, 361, 2)


def test_magnitude_of_one_metre_on_one_source(dart_info):
    # 100 km x 50 km x 1 m x 4e10 Pa = 2e20 N m; 2/3 (log10 2e20 - 9.05) = 7.5007
    graph = _forecaster(dart_info)
    assert graph.member_magnitudes(tf.constant([[[1.0, 0.0, 0.0]]])).numpy()[0, 0] == pytest.approx(7.50069, abs=1e-5)
    assert graph.member_magnitudes(tf.zeros([1, 1, 3])).numpy()[0, 0] == 0
    assert graph.member_magnitudes(tf.constant([[[1e-12, 0.0, 0.0]]])).numpy()[0, 0] == 0  # 2e8 N m would be Mw -0.5


def test_values_under_the_mask_do_not_count(dart_info):
    graph = _forecaster(dart_info)
    level, there = _levels(), np.random.default_rng(0).random((4, 8, 2)) < 0.7
    by_nan = graph.forecast(tf.constant(np.where(there, level, np.nan).astype(np.float32)))
    by_mask = graph.forecast_masked(
        tf.constant(np.where(there, level, np.nan).astype(np.float32)), tf.constant(there.astype(np.float32))
    )
    zeros = np.where(there, level, 0).astype(np.float32)
    expected = graph.model([zeros, there.astype(np.float32)]).numpy()
    np.testing.assert_allclose(by_nan["weights_m"], expected, atol=1e-6)
    np.testing.assert_allclose(by_mask["weights_m"], expected, atol=1e-6)
    without = _forecaster(dart_info, use_mask=False)
    received = without.forecast(tf.constant(np.where(there, level, np.nan).astype(np.float32)))["weights_m"]
    np.testing.assert_allclose(received, without.model(zeros).numpy(), atol=1e-6)


def test_a_bad_window_is_marked_and_answered_with_zeros(dart_info):
    graph = _forecaster(dart_info, members=2)
    assert graph.max_level_m == 2.5  # 5 times the largest of the training data
    levels = np.repeat(_levels(1), 5, axis=0)
    levels[0], levels[1, 0, 0], levels[2, 0, 0], levels[3, 3, 1] = np.nan, np.inf, 2.6, 2.4
    answer = graph.forecast(tf.constant(levels))
    assert answer["valid"].numpy().tolist() == [False, False, False, True, True]
    words = {name: values.numpy().tolist() for name, values in answer.items() if values.dtype == tf.string}
    samples = b"not enough samples: expected at least 50 % of the window"
    levels_told = b"levels: expected finite metres of detided water column, at most 2.5 m"
    assert words["reason"] == [samples, levels_told, levels_told, b"", b""]
    assert words["intervals_reason"] == [b"no intervals: there is no magnitude"] * 3 + [b"", b""]
    for name in answer.keys() - words.keys():
        values = answer[name].numpy()
        assert np.isfinite(values.astype(float)).all(), name
        if name not in ("samples", "enough_samples"):  # these are of the record, not of the answer
            assert not values[:3].any(), name
    nan_under_mask = graph.forecast_masked(tf.constant(levels[:1]), tf.ones([1, 8, 2]))
    assert nan_under_mask["valid"].numpy().tolist() == [False]


def test_intervals_that_were_not_fitted_are_so_many_deviations_of_the_members(dart_info):
    graph = _forecaster(dart_info, members=4)
    level = _levels()
    slip = graph.model([level, np.ones_like(level)]).numpy().astype(np.float64)
    answer = {name: values.numpy() for name, values in graph.forecast(tf.constant(level)).items()}
    waves, mw = graph.greens.waves(slip), magnitude(slip)
    # of a normal distribution half lies within 0.6745 deviations, 80 % within 1.2816, 95 % within 1.9600
    normal = (0.67449, 1.28155, 1.95996)
    for name, members in {"weights_m": slip, "mw": mw, "forecast_m": waves}.items():
        mean, std = members.mean(axis=1), members.std(axis=1)
        np.testing.assert_allclose(answer[name], mean, atol=1e-5)
        np.testing.assert_allclose(answer[f"{name}_spread"], std, atol=1e-5)
        np.testing.assert_allclose(answer[f"{name}_upper"], mean[..., None] + std[..., None] * normal, atol=2e-5)
    assert answer["weights_m_lower"].min() == 0  # slip is never negative
    after = slice(graph.job.record.window_min + 1, None)
    np.testing.assert_allclose(answer["peak_m"], waves.mean(axis=1)[:, after].max(axis=1), atol=1e-5)
    np.testing.assert_allclose(answer["peak_m_spread"], waves[:, :, after].max(axis=2).std(axis=1), atol=1e-5)


def _intervals(graph: Forecaster, random: np.random.Generator, **header) -> Intervals:
    """Random intervals in three bins of the magnitude."""
    sizes = {"mw": 1, "weights_m": 3, "peak_m": 2, "forecast_m": 2}
    quantities = {}
    for name, channels in sizes.items():
        ends = np.sort(random.normal(size=(6 if name == "forecast_m" else 3, channels, 6)))
        quantities[name] = {
            "scale": random.uniform(0, [1e-3, 4, 0.1], (channels, 3)).tolist(),
            "lower": ends[..., 2::-1].tolist(),
            "upper": ends[..., 3:].tolist(),
            "never_negative": name != "forecast_m",
            "calm_below": 0.1 * (name == "forecast_m"),
        }
    mw = np.sort(graph.forecast(tf.constant(_levels(40)))["mw"].numpy())
    widest = np.sort(np.argsort(np.diff(mw))[-2:])  # far from all events: rounding moves none over an edge
    edges = ((mw[1:] + mw[:-1]) / 2)[widest].tolist()
    header = {"events": 500, "gauges": graph.greens.gauge_names} | header
    return Intervals.model_validate({"quantities": quantities, "edges": edges} | header)


@pytest.mark.parametrize("members", [1, 4])
def test_fitted_intervals_are_those_of_numpy(dart_info, members):
    intervals = _intervals(_forecaster(dart_info, members=members), np.random.default_rng(1))
    graph = _forecaster(dart_info, members=members, intervals=intervals)
    level = _levels(40)
    slip = graph.model([level, np.ones_like(level)]).numpy().astype(np.float64).reshape(40, members, 3)
    answer = {name: values.numpy() for name, values in graph.forecast(tf.constant(level)).items()}
    drawn = draws.draws_of(slip.swapaxes(0, 1), graph.greens, graph.job.record.window_min, whole=True)
    edges = np.array(intervals.edges)
    assert len(np.unique(draws.bins_of("forecast_m", drawn, edges, True))) == 6
    for name, quantity in intervals.quantities.items():
        bins = draws.bins_of(name, drawn, edges, quantity.calm_below > 0)
        for end, expected in zip(("lower", "upper"), quantity.bounds(drawn[name].predicted, bins), strict=True):
            received = answer[f"{name}_{end}"].reshape(expected.shape)
            # A minute whose height is at the limit for bins with and without waves may fall into either.
            assert np.mean(np.abs(received - expected) < 1e-4) > 0.9999, (name, end)
    assert ("mw_spread" in answer) == (members > 1)
    assert graph.describe()["interval_levels"] == [0.5, 0.8, 0.95]
    stored = Intervals.model_validate_json(graph.files()["intervals.json"])
    assert stored == intervals


def test_a_single_network_without_fitted_intervals_gives_none(dart_info):
    graph = _forecaster(dart_info)
    answer = graph.forecast(tf.constant(_levels()))
    flags = {"valid", "reason", "samples", "signal_m", "enough_samples", "enough_signal"}
    assert set(answer) == {"weights_m", "mw", "forecast_m", "peak_m"} | flags
    assert graph.describe()["interval_levels"] == [] and "intervals.json" not in graph.files()


def test_intervals_of_other_gauges_are_refused(dart_info):
    intervals = _intervals(_forecaster(dart_info), np.random.default_rng(1), gauges=["46404"])
    with pytest.raises(ValueError, match=r"intervals: gauges: expected .* received \['46404'\]"):
        _forecaster(dart_info, intervals=intervals)


# What is written


def _as_prepared(records: list) -> list:
    """Tiny records after stage 1, so without a trend."""
    for record in records:
        samples = signal.detrend(record.values["waveform"].astype(np.float64)).astype(np.float32)
        power = signal.spectrogram(samples.astype(np.float64), 100.0, ("tukey", 0.25), 14, 7, 14)[2]
        log10 = np.log10(np.maximum(power, 1e-8 * power.max())).astype(np.float32)
        record.values.update(waveform=samples, spectrogram=log10)
    return records


@pytest.fixture(scope="module")
def data(tmp_path_factory, tiny_records, write_waveforms) -> Path:
    folder = tmp_path_factory.mktemp("export") / "data"
    write_waveforms(folder, _as_prepared(tiny_records()))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory, untrained_run, data) -> Path:
    return untrained_run(tmp_path_factory.mktemp("export") / "run", data, MLP)


@pytest.fixture(scope="module")
def models(tmp_path_factory, run) -> Path:
    """A folder with the same run exported twice."""
    folder = tmp_path_factory.mktemp("export") / "models"
    assert export(run, folder, "lab") == folder / "lab" / "1"
    assert export(run, folder, "lab", label="canary") == folder / "lab" / "2"
    return folder


def test_an_export_is_a_version_with_all_that_a_server_needs(models):
    assert versions(models / "lab") == [1, 2]
    assert sorted(path.name for path in (models / "lab").iterdir()) == ["1", "2"]  # nothing unfinished left
    names = {path.name for path in (models / "lab" / "1" / "assets.extra").iterdir()}
    assert names == {"MODEL_CARD.md", "check.json", "metadata.json", "tf_serving_warmup_requests"}
    assert {path.name for path in models.iterdir()} == {
        "lab", "models.config", "batching.config", "monitoring.config", "compose.yaml",
    }  # fmt: skip
    assert labels_of(models, "lab") == {"stable": 1, "canary": 2}


def test_the_metadata_says_what_goes_in_and_comes_out(models, info):
    metadata = json.loads((models / "lab" / "2" / "assets.extra" / "metadata.json").read_text())
    assert metadata["class_names"] == ["AE", "UP", "noise"]
    assert (metadata["version"], metadata["length_samples"], metadata["sampling_rate_hz"]) == (2, 70, 100.0)
    assert metadata["dataset"]["fingerprint"] == info.fingerprint
    loaded = tf.saved_model.load(str(models / "lab" / "2"))
    assert list(metadata["signatures"]) == ["serving_default", "preprocess", "spectrogram", "examples"]
    for key, described in metadata["signatures"].items():
        function = loaded.signatures[key]
        for fields, specs in (
            (described["inputs"], function.structured_input_signature[1]),
            (described["outputs"], function.structured_outputs),
        ):
            saved = {n: (s.dtype.name, [-1 if d is None else d for d in s.shape]) for n, s in specs.items()}
            assert saved == {name: (field["dtype"], field["shape"]) for name, field in fields.items()}


def test_the_exported_model_answers_as_the_trained_one(models, run, data):
    loaded = tf.saved_model.load(str(models / "lab" / "1"))
    stored = next(shards.iterate(data, shards.load_dataset(data), "test"))
    trained = keras.models.load_model(run / "model.keras", compile=False)
    power = stored["spectrogram"]
    temperature = json.loads((run / "calibration.json").read_text())["temperature"]  # fitted by the first export
    expected = with_temperature(trained(((power - power.mean()) / power.std())[None]), temperature).numpy()
    line = np.linspace(3, 5, 70, dtype=np.float32)
    received = loaded.signatures["serving_default"](waveform=tf.constant((stored["waveform"] + line)[None]))
    np.testing.assert_allclose(received["probabilities"], expected, atol=1e-4)  # float32 samples on a line
    received = loaded.signatures["spectrogram"](spectrogram=tf.constant(power[None]))["probabilities"]
    np.testing.assert_allclose(received, expected, atol=2e-6)


def test_the_check_is_kept_and_passed(models):
    stored = json.loads((models / "lab" / "1" / "assets.extra" / "check.json").read_text())
    assert stored["passed"] and all(result["passed"] for result in stored["results"])
    names = {result["name"] for result in stored["results"]}
    assert {"waveform against Keras", "preprocessing against SciPy, log10", "warm-up", "bad records"} <= names
    assert set(stored["latency_ms"]) == {"serving_default", "preprocess", "spectrogram", "examples"}


def test_the_card_states_data_scores_and_limits(models):
    card = (models / "lab" / "2" / "assets.extra" / "MODEL_CARD.md").read_text()
    for text in ("# lab, version 2", "AE, UP, noise", "All records are simulated", "val_loss | 0.750", "## Limits"):
        assert text in card


def test_the_card_has_the_trivial_predictors_scores():
    metrics = json.loads((Path(__file__).parents[2] / "fixtures/v0.1.0/waveforms-run/metrics.json").read_text())
    scores = {
        "accuracy": 0.95,
        "balanced_accuracy": 0.9,
        "macro_f1": 0.8,
        "log_loss": 0.3,
        "ece": 0.05,
        "roc_auc": 0.97,
    }
    metrics["splits"] = {"test": metrics["splits"]["test"] | scores | {"intervals": {"accuracy": [0.9, 0.99]}}}
    trivial = {"accuracy": 0.5, "balanced_accuracy": 1 / 3, "macro_f1": 0.25, "interval": [0.3, 0.35]}
    peak = metrics["trivial"]["peak amplitude"]
    peak["splits"] = {"test": peak["splits"]["test"] | trivial}
    metrics["trivial"] = {"peak amplitude": peak}
    rows = card_waveforms.scores(metrics)[-1].splitlines()[2:]
    assert rows == [
        "| test | 0.900 | 0.950 (0.900 to 0.990) | 0.800 | 0.970 | 0.300 | 0.050 |",
        "| peak amplitude (trivial) | 0.333 (0.300 to 0.350) | 0.500 | 0.250 |  |  |  |",
    ]
    del metrics["splits"]["test"]["brier"]
    with pytest.raises(
        ValueError, match=r"metrics.json: splits.test.brier: Field required; run seis-tf evaluate RUN again"
    ):
        card_waveforms.scores(metrics)


def test_the_weights_of_a_network_are_those_that_were_trained(tmp_path, untrained_run, data):
    """8 x 9 inputs, one hidden layer of 4 and 3 classes: 73 x 4 + 5 x 3; rate and seed of the dropout do not count."""
    job = TrainJob(model=MlpSettings(hidden=(4,), dropout=0.5), training=TrainingSettings(members=2))
    run = runs.load_run(untrained_run(tmp_path / "run", data, job))
    assert run.parameters == 73 * 4 + 5 * 3 < run.model.count_params() / 2


@pytest.mark.parametrize("shape", [(2, 69), (2, 71), (0, 70), (70,)])
def test_a_request_of_another_shape_is_refused_where_no_one_compares(models, shape):
    """TensorFlow Serving does not compare shapes before it runs the graph; nor does a callable made of options."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        saved = tf.compat.v1.saved_model.load(session, ["serve"], str(models / "lab" / "1"))
        signature = saved.signature_def["serving_default"]
        options = CallableOptions(feed=[signature.inputs["waveform"].name])
        options.fetch.append(signature.outputs["probabilities"].name)
        ask = session._make_callable_from_options(options)
        assert ask(np.random.default_rng(0).normal(size=(2, 70)).astype(np.float32))[0].shape == (2, 3)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"waveform: expected \[batch, 70\] with at least one"):
            ask(np.ones(shape, np.float32))


def test_a_wrong_answer_publishes_nothing(tmp_path, run, monkeypatch):
    original = waveform_graph.with_temperature
    monkeypatch.setattr(waveform_graph, "with_temperature", lambda p, t: original(p, t) * (1 - 1e-5))
    with pytest.raises(CheckFailed, match=r"bad: .*spectrogram against Keras: off by .* where 1e-06 is allowed"):
        export(run, tmp_path / "models", "bad")
    assert versions(tmp_path / "models" / "bad") == []
    assert list((tmp_path / "models" / "bad").iterdir()) == []
    assert not (tmp_path / "models" / "models.config").exists()


def test_a_wrong_preprocessing_publishes_nothing(tmp_path, run, monkeypatch):
    monkeypatch.setattr(waveform_graph, "_without_trend", lambda samples, kind: samples - samples[:, :1])
    with pytest.raises(CheckFailed, match="preprocessing against SciPy"):
        export(run, tmp_path, "bad")


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a b", "a/b"])
def test_a_name_that_is_no_folder_or_url_is_refused(tmp_path, run, name):
    with pytest.raises(ValueError, match="name: expected letters, digits"):
        export(run, tmp_path, name)


def test_a_run_needs_its_own_data_set(tmp_path, run, tiny_records, write_waveforms):
    write_waveforms(tmp_path / "other", tiny_records(seed=9), fingerprint="another source")
    message = "expected data set of no source that .* was trained on, with its settings, received another"
    with pytest.raises(ValueError, match=message):
        export(run, tmp_path / "models", "lab", dataset=tmp_path / "other")
    with pytest.raises(ValueError, match="expected a finished data set, received no dataset.json"):
        export(run, tmp_path / "models", "lab", dataset=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"temperature": 0}', "temperature: Input should be greater than 0"),
        ('{"temperature": "hot"}', "temperature: Input should be a valid number"),
        ("{", "expected JSON"),
        ('{"intervals": {"quantities": {"mw": {}}}}', "intervals.quantities.mw.scale"),
    ],
)
def test_a_calibration_that_can_not_be_is_refused(tmp_path, untrained_run, data, content, message):
    run = untrained_run(tmp_path / "run", data, MLP)
    (run / "calibration.json").write_text(content)
    with pytest.raises(ValueError, match=f"calibration.json: .*{message}"):
        export(run, tmp_path / "models", "lab")


def test_temperature_of_the_run_is_in_the_graph(tmp_path, untrained_run, data):
    run = untrained_run(tmp_path / "run", data, TrainJob(model=MLP.model, training=TrainingSettings(members=2)))
    (run / "calibration.json").write_text('{"temperature": 3.0, "fitted_on": "12 validation records"}')
    folder = export(run, tmp_path / "models", "lab")
    power = next(shards.iterate(data, shards.load_dataset(data), "test"))["spectrogram"]
    trained = keras.models.load_model(run / "model.keras", compile=False)
    mean = trained(((power - power.mean()) / power.std())[None]).numpy()[0].mean(axis=0)
    answer = tf.saved_model.load(str(folder)).signatures["spectrogram"](spectrogram=tf.constant(power[None]))
    expected = np.cbrt(mean) / np.cbrt(mean).sum()
    np.testing.assert_allclose(answer["probabilities"].numpy()[0], expected, atol=1e-5)
    assert json.loads((folder / "assets.extra" / "metadata.json").read_text())["temperature"] == 3.0


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("band", [None, (5.0, 30.0)])
def test_a_tflite_file_of_built_in_operations_answers_the_same(
    tmp_path, untrained_run, tiny_records, write_waveforms, band
):
    records = _as_prepared(tiny_records())
    write_waveforms(tmp_path / "data", records, job={"record": RECORD | {"bandpass_hz": band}})
    run = untrained_run(tmp_path / "run", tmp_path / "data", MLP)
    folder = export(run, tmp_path / "models", "lab", formats=("saved_model", "tflite"))
    interpreter = tf.lite.Interpreter(str(folder / "assets.extra" / "model.tflite"))
    assert set(interpreter.get_signature_list()) == {"serving_default", "preprocess", "spectrogram"}
    raw = np.stack([record.values["waveform"] for record in records[:4]])
    raw[1, 3] = np.nan
    received = interpreter.get_signature_runner("serving_default")(waveform=raw)
    expected = tf.saved_model.load(str(folder)).signatures["serving_default"](waveform=tf.constant(raw))
    assert received["valid"].tolist() == [True, False, True, True]
    assert received["class_name"].tolist() == expected["class_name"].numpy().tolist()
    np.testing.assert_allclose(received["probabilities"], expected["probabilities"], atol=1e-5)
    results = json.loads((folder / "assets.extra" / "check.json").read_text())["results"]
    assert "tflite: waveform against Keras" in {result["name"] for result in results}


def test_an_unknown_format_is_refused(tmp_path, run):
    with pytest.raises(ValueError, match=r"formats: expected some of \['saved_model', 'tflite'\], received \['onnx'\]"):
        export(run, tmp_path, "lab", formats=("onnx",))


def test_a_dart_run_is_exported_with_its_greens_functions(tmp_path, untrained_run):
    from seis_tf.dart.prepare import prepare_dart
    from seis_tf.synthetic.fakequake_files import write_fakequakes
    from seis_tf.synthetic.fakequakes import simulate

    settings = FakequakeSettings(gap_probability=0.5, silent_probability=0.2, record_min=20)
    write_fakequakes(tmp_path / "raw", simulate(settings, load_greens(), 30, seed=0), load_greens())
    prepare_dart(tmp_path / "raw", tmp_path / "data", DartJob.model_validate({"record": {"window_min": 15}}))
    job = TrainJob(model=Conv1dSettings(use_mask=True), training=TrainingSettings(members=2))
    folder = export(untrained_run(tmp_path / "run", tmp_path / "data", job), tmp_path / "models", "tsunami")
    metadata = json.loads((folder / "assets.extra" / "metadata.json").read_text())
    assert metadata["buoy_names"] == ["46404", "46407", "46419"]
    assert metadata["forecast_gauges"] == ["46404", "46407", "46419", "46409", "46410", "46411"]
    assert metadata["interval_levels"] == [0.5, 0.8, 0.95]
    assert load_greens(folder / "assets.extra" / "greens.npz").gauge_names == tuple(metadata["forecast_gauges"])
    check = json.loads((folder / "assets.extra" / "check.json").read_text())
    assert check["passed"] and check["records"] > 1
    card = (folder / "assets.extra" / "MODEL_CARD.md").read_text()
    assert "an ensemble of 2" in card and "Central intervals of 50%, 80%, 95%" in card
    assert "They were not fitted to any errors" in card
