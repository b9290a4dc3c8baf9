"""Simulated labquakes: the files, their truth, and that the classes differ in spectrum but not in amplitude."""

import csv
import json
import re

import numpy as np
import obspy
import pytest
from scipy import signal, stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from seis_tf.settings.data import WaveformSourceSettings
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.synthetic import lab_signals, labquakes
from seis_tf.synthetic.labquakes import TRUTH_COLUMNS, simulate, write_labquakes

RATE_HZ = 10e6
# Signals 60 dB above the noise: what is seen in the record is the signal.
CLEAR = LabquakeSettings(snr_db=(60, 60), min_amplitude_counts=1e5, magnitudes=(0, 0))


@pytest.fixture(scope="module")
def default_records():
    """600 records with default settings, offsets removed: samples [record, sample] and the truth columns."""
    records = simulate(LabquakeSettings(), 600, seed=5)
    return records.samples - records.samples.mean(axis=1, keepdims=True), records.truth


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_obspy_reads_back_every_file_with_its_time_and_samples(tmp_path):
    settings = LabquakeSettings()
    out = write_labquakes(tmp_path / "sim", settings, 31, seed=3)
    records = simulate(settings, 31, seed=3)
    assert {path.name for path in out.iterdir()} == {"AE", "UP", "noise", "truth.csv", "simulated.json"}
    assert sorted(records.truth["file"]) == sorted(p.relative_to(out).as_posix() for p in out.rglob("*.mseed"))
    for row, name in enumerate(records.truth["file"]):
        (trace,) = obspy.read(out / name)
        np.testing.assert_array_equal(trace.data, records.samples[row])
        assert trace.stats.sampling_rate == RATE_HZ
        assert trace.stats.mseed.number_of_records == 1
        assert round(trace.stats.starttime.ns / 1000) == records.truth["start_time_us"][row]
        assert trace.id == f"XX.{records.truth['sensor'][row]}.00.JYZ"


def test_names_give_class_event_and_sensor_by_the_default_patterns(tmp_path):
    source = WaveformSourceSettings()
    truth = simulate(LabquakeSettings(), 40, seed=0).truth
    for name, class_name, event, sensor in zip(*(truth[c] for c in ("file", "class", "event", "sensor")), strict=True):
        folder, file = name.split("/")
        assert folder == class_name
        assert re.search(source.group_pattern, file)[1] == event
        assert re.search(source.station_pattern, file)[1] == sensor
    # 40 records are 14 + 13 + 13; of four sensors an event that is 4 events a class, each id in one class only.
    assert [int(np.sum(truth["class"] == name)) for name in ("AE", "UP", "noise")] == [14, 13, 13]
    assert len({*zip(truth["class"], truth["event"], strict=True)}) == len(set(truth["event"])) == 12


def test_truth_and_settings_are_written_beside_the_records(tmp_path):
    settings = LabquakeSettings(snr_db=(0, 10))
    out = write_labquakes(tmp_path / "sim", settings, 12, seed=7)
    truth = simulate(settings, 12, seed=7).truth
    rows = list(csv.DictReader((out / "truth.csv").read_text().splitlines()))
    assert tuple(rows[0]) == ("file", "class", "group", "station", *TRUTH_COLUMNS[4:])
    assert [row["file"] for row in rows] == list(truth["file"])
    for column in ("p_sample", "s_sample", "magnitude", "snr_db", "distance_m"):
        written = [float(row[column]) if row[column] else np.nan for row in rows]
        np.testing.assert_allclose(written, truth[column], rtol=1e-8)
    assert rows[-1]["class"] == "noise" and rows[-1]["p_sample"] == ""
    about = json.loads((out / "simulated.json").read_text())
    assert about["simulated"] is True
    assert (about["count"], about["seed"]) == (12, 7)
    assert about["records_by_class"] == {"AE": 4, "UP": 4, "noise": 4}
    assert LabquakeSettings.model_validate(about["settings"]) == settings


def test_the_same_seed_gives_the_same_bytes_for_one_and_two_processes(tmp_path):
    # More than two chunks of events, so that both processes have something to do.
    settings = LabquakeSettings(sensors_per_event=1)
    first = contents(write_labquakes(tmp_path / "one", settings, 150, seed=1))
    again = contents(write_labquakes(tmp_path / "two", settings, 150, seed=1, processes=2))
    other = contents(write_labquakes(tmp_path / "other", settings, 150, seed=2))
    assert first == again
    assert first["truth.csv"] != other["truth.csv"]


def test_an_event_does_not_depend_on_how_many_are_asked_for():
    few, many = simulate(LabquakeSettings(), 10, seed=4), simulate(LabquakeSettings(), 50, seed=4)
    where = {name: row for row, name in enumerate(many.truth["file"])}
    rows = [where[name] for name in few.truth["file"]]
    np.testing.assert_array_equal(few.samples, many.samples[rows])
    for column in TRUTH_COLUMNS:
        np.testing.assert_array_equal(few.truth[column], many.truth[column][rows])


def test_nothing_arrives_before_p_and_s_is_the_second_onset():
    records = simulate(CLEAR, 90, seed=2)
    truth, is_ae = records.truth, records.truth["class"] == "AE"
    # Both onsets near the middle: P in the middle third, S after it and inside the window with room for its coda.
    assert np.all((truth["p_sample"][is_ae] > 340) & (truth["p_sample"][is_ae] < 480))
    assert np.all((truth["s_sample"][is_ae] > truth["p_sample"][is_ae] + 50) & (truth["s_sample"][is_ae] < 850))
    for row in np.flatnonzero(truth["class"] != "noise"):
        samples, p = records.samples[row].astype(float), int(truth["p_sample"][row])
        before, after = np.std(samples[:p]), np.std(samples[p : p + 400])
        # 60 dB is a factor 1,000; sensors scatter by a few dB.
        assert after / before > 200
        assert np.abs(samples[p : p + 8]).max() > 20 * before
    for row in np.flatnonzero(is_ae):
        samples, s = records.samples[row].astype(float), int(truth["s_sample"][row])
        assert np.abs(samples[s : s + 10]).max() > np.abs(samples[s - 30 : s]).max()


def test_arrivals_agree_with_distance_and_header_time():
    truth = simulate(LabquakeSettings(), 60, seed=9).truth
    is_ae = truth["class"] == "AE"
    distance, event = truth["distance_m"][is_ae], truth["event"][is_ae]
    # (1/3500 - 1/6200) s/m = 124.42 microseconds a metre, 10 samples each; both onsets are rounded to a sample.
    lag = truth["s_sample"][is_ae] - truth["p_sample"][is_ae]
    np.testing.assert_allclose(lag, distance * 1244.2, atol=1.1)
    p_time_us = truth["start_time_us"][is_ae] + truth["p_sample"][is_ae] / 10
    origin_us = p_time_us - distance / 6200 * 1e6
    # All sensors of an event see the same origin; doubles of 1.6e15 microseconds resolve 0.25.
    for name in set(event):
        assert np.ptp(origin_us[event == name]) < 0.6


def test_snr_is_what_the_record_shows():
    records = simulate(LabquakeSettings(snr_db=(10, 40)), 150, seed=6)
    truth, measured, stated = records.truth, [], []
    for row in np.flatnonzero(records.truth["class"] != "noise"):
        samples, p = records.samples[row].astype(float), int(truth["p_sample"][row])
        noise_power = np.mean(samples[: p - 1] ** 2)
        signal_power = np.mean(samples[p : p + 400] ** 2) - noise_power
        measured.append(10 * np.log10(signal_power / noise_power))
        stated.append(truth["snr_db"][row])
    # The noise before P is a sample of some 400 values with long red swings: its power is known to about 1.5 dB.
    error = np.array(measured) - stated
    assert abs(np.mean(error)) < 0.5
    assert np.abs(error).max() < 6
    assert np.min(simulate(LabquakeSettings(), 600, seed=5).truth["snr_db"][:400]) < 0


def test_codas_fall_exponentially():
    settings = CLEAR.model_copy(update={"coda_s": (10e-6, 10e-6), "noise_lines_hz": ()})
    records = simulate(settings, 1200, seed=8)
    rows = np.flatnonzero(records.truth["class"] == "AE")
    aligned = np.stack(
        [records.samples[r, int(records.truth["s_sample"][r]) :][:220] / np.std(records.samples[r]) for r in rows]
    )
    power = np.mean(aligned[:, 20:] ** 2, axis=0)
    slope = stats.linregress(np.arange(power.size) / RATE_HZ, np.log(power)).slope
    # Amplitude exp(-t / tau), so power exp(-2 t / tau); P's coda has the same tau.
    assert slope == pytest.approx(-2 / 10e-6, rel=0.08)


def test_magnitudes_follow_gutenberg_richter():
    settings = LabquakeSettings(sensors_per_event=1, b_value=0.8)
    magnitudes = simulate(settings, 1500, seed=10).truth["magnitude"][:500]
    # Density 10^(-b m) on 0..3 is a truncated exponential of scale 1 / (b ln 10).
    scale = 1 / (0.8 * np.log(10))
    assert stats.kstest(magnitudes, stats.truncexpon(b=3 / scale, scale=scale).cdf).pvalue > 0.01
    assert magnitudes.max() > 2.2


def power_share(samples, low_hz, high_hz):
    frequency_hz, power = signal.periodogram(samples, RATE_HZ, window="hann")
    inside = (frequency_hz >= low_hz) & (frequency_hz < high_hz)
    return power[..., inside].sum(axis=-1) / power.sum(axis=-1)


def test_each_class_has_its_band():
    records = simulate(CLEAR, 240, seed=11)
    label = records.truth["class"]
    samples = records.samples.astype(float)
    assert np.median(power_share(samples[label == "UP"], 0, 1e6)) > 0.97
    assert np.median(power_share(samples[label == "AE"], 1e6, 3e6)) > 0.35
    assert np.median(power_share(samples[label == "AE"], 0, 3.5e6)) > 0.95
    assert np.median(power_share(samples[label == "AE"], 2.5e6, 3e6)) > 0.02
    assert np.median(power_share(samples[label == "noise"], 2e6, 5e6)) > 0.35


def test_noise_is_stationary_and_has_lines():
    noise = simulate(LabquakeSettings(), 900, seed=12)
    samples = noise.samples[noise.truth["class"] == "noise"].astype(float)
    samples /= samples.std(axis=1, keepdims=True)
    quarters = np.mean(samples.reshape(len(samples), 4, -1) ** 2, axis=(0, 2))
    np.testing.assert_allclose(quarters, 1.0, atol=0.08)
    frequency_hz, power = signal.welch(samples, RATE_HZ, nperseg=512)
    power = power.mean(axis=0)
    for line_hz in LabquakeSettings().noise_lines_hz:
        at = int(np.argmin(np.abs(frequency_hz - line_hz)))
        around = np.r_[power[at - 12 : at - 6], power[at + 7 : at + 13]]
        assert power[at - 1 : at + 2].max() > 3 * around.max()


def test_path_lengths_by_hand():
    # Sensor 0 of 16 stands at (1/16 of 0.25, 0, 0.4 * 0.2) = (0.015625, 0, 0.08); the shot at (0.1, 0.1, 0.2).
    paths = lab_signals.path_lengths(np.array([0.1, 0.1, 0.2]), np.array([0]), LabquakeSettings())[0]
    direct = np.sqrt(0.084375**2 + 0.1**2 + 0.12**2)
    # Mirrored: x at -0.1 and 0.4, y at -0.1 (the sensor's own face: as long as direct) and 0.3, z at -0.2.
    expected = [
        direct,
        np.sqrt(0.115625**2 + 0.1**2 + 0.12**2),
        np.sqrt(0.384375**2 + 0.1**2 + 0.12**2),
        direct,
        np.sqrt(0.084375**2 + 0.3**2 + 0.12**2),
        np.sqrt(0.084375**2 + 0.1**2 + 0.28**2),
    ]
    np.testing.assert_allclose(paths, expected, rtol=1e-12)


def test_a_reflection_is_the_pulse_again_later_weaker_and_turned_over():
    settings = LabquakeSettings()
    # 0.186 m more at 6200 m/s are 30 microseconds, 300 samples; the second path is the sensor's own face: no arrival.
    paths = np.array([[0.124, 0.124, 0.310]])
    record = lab_signals.pulse_records(np.random.default_rng(0), np.array([400.0]), paths, settings)[0]
    assert np.abs(record[:400]).max() < 1e-3 * np.abs(record).max()
    np.testing.assert_allclose(
        record[700:900], -0.7 * 0.124 / 0.310 * record[400:600], atol=0.002 * np.abs(record).max()
    )


def test_peak_amplitude_does_not_tell_the_class(default_records):
    samples, truth = default_records
    peak = np.log10(np.abs(samples).max(axis=1))[:, None]
    tree = DecisionTreeClassifier(max_depth=3, class_weight="balanced", random_state=0)
    folds = GroupKFold(5)
    guess = cross_val_predict(tree, peak, truth["class"], groups=truth["event"], cv=folds)
    # Three classes: chance is 1/3.
    assert balanced_accuracy_score(truth["class"], guess) < 0.5
    assert np.ptp(peak) > 1.8


def test_the_spectrum_tells_the_class_where_the_signal_is_clear(default_records):
    samples, truth = default_records
    power = np.log10(signal.welch(samples, RATE_HZ, nperseg=64)[1])
    power -= power.mean(axis=1, keepdims=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    guess = cross_val_predict(model, power, truth["class"], groups=truth["event"], cv=GroupKFold(5))
    clear = (truth["class"] == "noise") | (truth["snr_db"] > 15)
    faint = truth["snr_db"] < -3
    assert balanced_accuracy_score(truth["class"][clear], guess[clear]) > 0.95
    assert np.mean(guess[faint] == truth["class"][faint]) < 0.8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensors_per_event": 17}, "sensors_per_event: expected at most n_sensors, received 17 of 16"),
        ({"noise_lines_hz": (6e6,)}, r"frequencies: expected at most the Nyquist frequency 5e\+06, received 6e\+06"),
        ({"class_names": ("AE", "AE", "noise")}, "class_names: expected three different names"),
        ({"class_names": ("A_E", "UP", "noise")}, "class_names"),
        ({"snr_db": (5, -5)}, r"snr_db: expected low <= high, received \(5.0, -5.0\)"),
        # 0.8 of 1024 samples, and the block's diagonal of 0.3775 m at 1244.2 samples a metre.
        ({"onset_position": (0.5, 0.8)}, "S onset: expected after P and before sample 1024, received 1289"),
        ({"s_velocity_m_s": 6300.0}, "S onset: expected after P"),
        ({"block_m": (0.0, 0.2, 0.2)}, "block_m: expected three lengths above 0"),
        ({"coda_s": (0.0, 1e-6)}, "coda_s, noise_band_hz: expected above 0"),
        ({"snr_window_s": 1e-9}, "snr_window_s: expected at least one sample"),
        ({"length_samples": 2000}, "length_samples"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LabquakeSettings(**changes)


def test_count_seed_and_processes_are_checked(tmp_path):
    with pytest.raises(ValueError, match="count: expected at least one record for each of 3 classes, received 2"):
        simulate(LabquakeSettings(), 2, seed=0)
    with pytest.raises(ValueError, match="seed: expected 0 or more, received -1"):
        simulate(LabquakeSettings(), 9, seed=-1)
    with pytest.raises(ValueError, match="processes: expected at least 1, received 0"):
        write_labquakes(tmp_path / "sim", LabquakeSettings(), 9, seed=0, processes=0)


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ValueError, match="expected a new or empty folder, received one with files"):
        write_labquakes(tmp_path, LabquakeSettings(), 9, seed=0)
    assert contents(tmp_path) == {"mine.txt": b"precious"}


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    written = []

    def fails_at_the_fifth(counts, *_):
        written.append(counts)
        if len(written) == 5:
            raise OSError("no space left on device")
        return b"bytes"

    monkeypatch.setattr(labquakes, "packed_record", fails_at_the_fifth)
    with pytest.raises(OSError, match="no space left"):
        write_labquakes(tmp_path / "sim", LabquakeSettings(), 30, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_amplitudes_that_miniseed_cannot_hold_are_refused():
    with pytest.raises(ValueError, match=r"min_amplitude_counts: expected peaks below 268435456 counts, received"):
        simulate(LabquakeSettings(min_amplitude_counts=1e9), 3, seed=0)


def test_the_largest_allowed_record_fits_into_one_miniseed_record(tmp_path):
    # Full-scale white samples are the worst case: each difference takes a word of its own.
    counts = np.random.default_rng(0).integers(-(2**28), 2**28, 1900).astype(np.int32)
    path = tmp_path / "full.mseed"
    path.write_bytes(labquakes.packed_record(counts, "OL01", 0, RATE_HZ))
    (trace,) = obspy.read(path)
    np.testing.assert_array_equal(trace.data, counts)
    with pytest.raises(ValueError, match="expected what one record of 8192 bytes holds, received 3000"):
        labquakes.packed_record(np.tile(counts, 2)[:3000], "OL01", 0, RATE_HZ)
