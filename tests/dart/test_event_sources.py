"""Folders of many events: simulated arrays, the prototype's files, raw buoy files; and every way of being wrong."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import numpy as np
import pytest
from scipy.io import savemat

from seis_tf.dart.buoy_files import parse_origin
from seis_tf.dart.event_sources import list_events, load_events, source_fingerprint, truth_gauges
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import GreensFunctions, load_greens, magnitude
from seis_tf.dart.windows import DartEvent
from seis_tf.dataset.shards import Rejection
from seis_tf.settings.data import DartJob, DartRecordSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import Fakequakes, simulate

JOB = DartJob()
FAR_BUOYS = ("46409", "46410", "46411")  # of the packaged Green's functions


def events_from(source, job, greens):
    return load_events(list_events(source, job, greens), job, greens)


@pytest.fixture(scope="module")
def greens() -> GreensFunctions:
    return load_greens()


@pytest.fixture(scope="module")
def quakes(greens) -> Fakequakes:
    return simulate(FakequakeSettings(gap_probability=0.5, silent_probability=0.1), greens, 6, seed=4)


@pytest.fixture(scope="module")
def written(tmp_path_factory, greens, quakes):
    return write_fakequakes(tmp_path_factory.mktemp("quakes") / "fq", quakes, greens, raw=3)


@pytest.fixture
def folder(tmp_path, written):
    return shutil.copytree(written, tmp_path / "fq")


def test_arrays_come_back_as_events(written, greens, quakes):
    events = list(events_from(written, JOB, greens))
    assert [event.event_id for event in events] == list(quakes.ids)
    for i, event in enumerate(events):
        assert isinstance(event, DartEvent) and event.causal and event.buoy_names == JOB.record.buoys
        expected = quakes.windows_m[i, :45]
        assert np.array_equal(event.mask, np.isfinite(expected))
        assert np.array_equal(event.window_m, np.nan_to_num(expected)) and event.window_m.dtype == np.float32
        assert np.allclose(event.weights_m, quakes.weights_m[i], rtol=1e-6)
        assert event.mw == quakes.mw[i]
        assert np.array_equal(event.truth_m, quakes.truth_m[i])


def test_settings_choose_window_latency_and_gauges(written, greens, quakes):
    job = DartJob(record=DartRecordSettings(window_min=30, latency_min=4), gauges=FAR_BUOYS[::-1])
    assert truth_gauges(job, greens) == FAR_BUOYS[::-1]
    event = next(events_from(written, job, greens))
    assert event.window_m.shape == (30, 3) and not event.mask[26:].any()
    assert np.array_equal(event.truth_m, quakes.truth_m[0][:, [5, 4, 3]])


def test_events_can_be_loaded_in_any_order_and_batch(written, greens):
    refs = list_events(written, JOB, greens)
    alone = [next(load_events([ref], JOB, greens)) for ref in reversed(refs)]
    together = list(load_events(refs, JOB, greens))
    for one, other in zip(reversed(alone), together, strict=True):
        assert one.event_id == other.event_id and np.array_equal(one.window_m, other.window_m)


def test_raw_files_give_the_wave_back_to_millimetres(written, greens, quakes):
    events = list(events_from(written / "raw", JOB, greens))
    assert [event.event_id for event in events] == list(quakes.ids[:3])
    for i, event in enumerate(events):
        assert np.allclose(event.weights_m, quakes.weights_m[i], rtol=1e-6) and event.mw == quakes.mw[i]
        assert event.truth_m is None and event.causal
        error = (event.window_m - quakes.truth_m[i, 1:46, :3])[event.mask]
        # 5 mm white and 2 mm red noise, what detiding leaves of a full tide, and linear interpolation to whole minutes,
        # which costs some 0.5 % of a wave.
        limit = 0.015 + 0.01 * np.abs(quakes.truth_m[i, 1:46, :3]).max()
        assert event.mask.sum() > 30 and np.sqrt(np.mean(error**2)) < limit
        silent = ~np.isfinite(quakes.windows_m[i]).any(axis=0)
        assert np.array_equal(~event.mask.any(axis=0), silent)


def change(folder, **values):
    path = folder / "names.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rewrite(folder, name, **values):
    with np.load(folder / name) as file:
        arrays = dict(file) | values
    np.savez(folder / name, **arrays)


def weights_table(folder, edit):
    path = folder / "weights.csv"
    rows = [line.split(",") for line in path.read_text().splitlines()]
    edit(rows)
    path.write_text("\n".join(",".join(row) for row in rows))


def swap_columns(rows):
    for row in rows:
        row[2], row[3] = row[3], row[2]


def swap_rows(rows):
    rows[1], rows[2] = rows[2], rows[1]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda f: change(f, buoys=["46407", "46404", "46419"]),
            r"buoys: expected \['46404', '46407', '46419'\], received \['46407', '46404', '46419'\]: another order",
        ),
        (lambda f: change(f, buoys=["46404", "46407", "46419", "46411"]), r"'46411'\]: unknown \['46411'\]"),
        (lambda f: change(f, buoys=["46404", "", "46419"]), r"received \['46404', '', '46419'\]: not named"),
        (lambda f: change(f, buoys=None), r"buoys: expected .*, received \[\]: not named"),
        (lambda f: change(f, sources=[]), r"sources: expected \['acsza54', .*received \[\]: not named"),
        (lambda f: change(f, gauges=["a", "b", "c", "d", "e", "f"]), r"gauges: expected .*received \['a', .* missing"),
        (lambda f: weights_table(f, swap_columns), r"weights\.csv: sources: .*another order"),
        (lambda f: weights_table(f, swap_rows), r"weights\.csv: runs: .*another order"),
        (lambda f: weights_table(f, lambda rows: rows[1].__setitem__(5, "much")), "expected a number in each cell"),
        (lambda f: rewrite(f, "records.npz", time_min=np.arange(1, 121) * 2), r"time step of 1 min, received \[2\.0\]"),
        (
            lambda f: rewrite(f, "records.npz", records_m=np.zeros((6, 3, 30)), time_min=np.arange(1, 31)),
            "expected records of minutes 1 to 45, received minutes 1 to 30",
        ),
        (
            lambda f: rewrite(f, "records.npz", records_m=np.zeros((6, 2, 120))),
            r"expected \[run, buoy, time\] \(6, 3, 120\), received \(6, 2, 120\)",
        ),
        (
            lambda f: rewrite(f, "truth.npz", truth_m=np.zeros((5, 6, 361))),
            r"expected \[run, gauge, minute\] \(6, 6, 361\) from 0, received \(5, 6, 361\)",
        ),
        (lambda f: (f / "records.npz").unlink(), r"records\.npz: expected an npz with records_m and time_min"),
        (
            lambda f: (f / "names.json").unlink(),
            "expected names.json beside records.npz, received arrays that are not named",
        ),
        (lambda f: (f / "names.json").write_text("[1]"), r"names\.json: expected a JSON object, received list"),
        (lambda f: (f / "names.json").write_text("{"), r"names\.json: expected a JSON file"),
    ],
)
def test_arrays_that_are_wrong_as_a_whole_are_refused(folder, greens, spoil, reason):
    spoil(folder)
    with pytest.raises(ValueError, match=reason):
        list_events(folder, JOB, greens)


def test_two_realizations_with_one_id_are_refused(folder, greens):
    runs = json.loads((folder / "names.json").read_text())["runs"]
    change(folder, runs=[runs[0], runs[0], *runs[2:]])
    weights_table(folder, lambda rows: rows[2].__setitem__(0, runs[0]))
    with pytest.raises(ValueError, match="expected each realization id once, received fq4-000000 twice"):
        list_events(folder, JOB, greens)


def test_single_bad_events_are_rejected_and_the_others_go_on(folder, greens, quakes):
    records = quakes.windows_m.swapaxes(1, 2).copy()
    records[0, :, :45] = np.nan
    # Centimetres taken for metres.
    records[1] *= 100
    rewrite(folder, "records.npz", records_m=records)
    weights_table(folder, lambda rows: rows[3].__setitem__(4, "-0.5"))
    events = list(events_from(folder, JOB, greens))
    assert [type(event) for event in events[:3]] == [Rejection] * 3
    assert events[0].reason.endswith("expected at least one sample in the window, received a mask over all of it")
    assert "expected detided water column in metres, at most 20 m, received" in events[1].reason
    assert "expected slip of 0 m or more, received -0.5 m on source 2" in events[2].reason
    assert all(isinstance(event, DartEvent) for event in events[3:])


def test_arrays_without_truth_are_records_only(folder, greens):
    for name in ("truth.npz", "weights.csv"):
        (folder / name).unlink()
    event = next(events_from(folder, JOB, greens))
    assert event.weights_m is None and event.mw is None and event.truth_m is None


def test_weights_without_a_magnitude_get_it_from_the_slip(folder, greens, quakes):
    weights_table(folder, lambda rows: [row.pop(1) for row in rows])
    event = next(events_from(folder, JOB, greens))
    assert event.mw == pytest.approx(quakes.mw[0], abs=1e-9)


def prototype(folder, greens, quakes, runs=(0, 1)):
    """Slip and series as the prototype keeps them: two folders, centimetres, seconds, NaN at minute 0."""
    (folder / "slip").mkdir(parents=True)
    (folder / "series").mkdir()
    for run in runs:
        broken = np.flatnonzero(quakes.weights_m[run])
        names = np.empty((1, len(broken)), dtype=object)
        names[0] = [f"ac{greens.source_names[i][5:]}{greens.source_names[i][4]}" for i in broken]
        slip = {"faults": names, "slip": quakes.weights_m[run, broken][:, np.newaxis]}
        savemat(folder / "slip" / f"fq{run:06d}_autoinv_slip.mat", slip)
        for column, buoy in enumerate(JOB.record.buoys):
            level = 100 * quakes.truth_m[run, :360, column]
            level[0] = np.nan
            series = {"t": 60.0 * np.arange(360), "h": level}
            savemat(folder / "series" / f"fq{run:06d}_{buoy}.mat", series)
    return folder


def test_the_prototypes_runs_are_read(tmp_path, greens, quakes):
    events = list(events_from(prototype(tmp_path / "p", greens, quakes), JOB, greens))
    assert [event.event_id for event in events] == ["fq000000", "fq000001"]
    for i, event in enumerate(events):
        assert np.allclose(event.window_m, quakes.truth_m[i, 1:46, :3], atol=1e-6) and event.mask.all()
        assert np.allclose(event.weights_m, quakes.weights_m[i], rtol=1e-6)
        assert event.mw == pytest.approx(magnitude(quakes.weights_m[i]))


def test_the_prototypes_bad_runs_are_rejected(tmp_path, greens, quakes):
    folder = prototype(tmp_path / "p", greens, quakes)
    (folder / "series" / "fq000000_46407.mat").unlink()
    savemat(folder / "slip" / "fq000001_autoinv_slip.mat", {"faults": np.array([["ki57a"]], object), "slip": [[1.0]]})
    first, second = events_from(folder, JOB, greens)
    assert "expected fq000000_46407.mat there or in a folder beside it, received none" in first.reason
    assert "sources: expected some of ['acsza54'," in second.reason and "unknown ['kisza57']" in second.reason


def test_the_prototypes_runs_in_two_folders_with_one_id_are_refused(tmp_path, greens, quakes):
    folder = prototype(tmp_path / "p", greens, quakes)
    shutil.copytree(folder / "slip", folder / "more")
    with pytest.raises(ValueError, match=r"received fq000000 twice: .*more.* and .*slip"):
        list_events(folder, JOB, greens)


def test_a_short_series_of_the_prototype_is_rejected(tmp_path, greens, quakes):
    folder = prototype(tmp_path / "p", greens, quakes, runs=(0,))
    savemat(folder / "series" / "fq000000_46407.mat", {"t": 60.0 * np.arange(31), "h": np.zeros(31)})
    (event,) = events_from(folder, JOB, greens)
    assert event.reason == "fq000000: 46407: expected samples until 45, received until minute 30"


def test_raw_events_that_are_wrong_are_rejected(folder, greens):
    raw = folder / "raw"
    folders = sorted(path for path in raw.iterdir() if path.is_dir())
    about = json.loads((folders[0] / "event.json").read_text())
    (folders[0] / "event.json").write_text(json.dumps(about | {"weights_m": [1, 2]}))
    shutil.copy(next(folders[1].glob("4*.txt")), folders[1] / "unnamed.txt")
    shutil.copy(next(folders[2].glob("4*.txt")), folders[2] / "21413.txt")
    reasons = [event.reason for event in events_from(raw, JOB, greens)]
    assert "expected weights_m as an object of source: metres, received [1, 2]" in reasons[0]
    assert "not named" in reasons[1]
    assert "unknown ['21413']" in reasons[2]


def test_a_folder_of_nothing_known_is_refused(tmp_path, greens):
    expected = "expected names.json, fq<run>_autoinv_slip.mat files, or event.json in each sub-folder, received none"
    with pytest.raises(ValueError, match=expected):
        list_events(tmp_path, JOB, greens)


def test_the_fingerprint_changes_with_names_and_contents(folder):
    before = source_fingerprint(folder)
    assert source_fingerprint(shutil.copytree(folder, folder.parent / "copy")) == before
    rewrite(folder, "records.npz", records_m=np.zeros((6, 3, 120), np.float32))
    after = source_fingerprint(folder)
    assert after != before
    (folder / "weights.csv").rename(folder / "slip.csv")
    assert source_fingerprint(folder) != after


def test_a_fault_in_a_raw_file_is_masked_in_the_data_set_and_said(written, greens, tmp_path):
    raw = shutil.copytree(written / "raw", tmp_path / "raw")
    folder = sorted(path for path in raw.iterdir() if path.is_dir())[0]
    path = sorted(folder.glob("4*.txt"))[0]
    origin = parse_origin(json.loads((folder / "event.json").read_text())["origin_time"])
    lines = path.read_text().splitlines()
    minute = origin.timestamp() + 60 * 35  # far from the gap of this record
    at = min(
        range(2, len(lines)),
        key=lambda k: abs(parse_origin("{}-{}-{}T{}:{}:{}Z".format(*lines[k].split()[:6])).timestamp() - minute),
    )
    *start, height = lines[at].rsplit(maxsplit=1)
    lines[at] = f"{start[0]} {float(height) + 8:.3f}"
    path.write_text("\n".join(lines) + "\n")
    said = []
    split = {"all_to": "train"}
    job = DartJob(record=JOB.record, split=split, shards={"max_rejected": 1.0})
    prepare_dart(raw, tmp_path / "data", job, note=said.append)
    assert [line for line in said if f"{path.stem}: spike: 1 sample masked" in line] and folder.name in said[0]


@pytest.mark.parametrize("second", [0, 29, 30, 31, 45, 59])
def test_the_last_minute_is_there_whatever_the_second_of_the_origin(tmp_path, greens, second):
    """Samples at whole minutes of the clock, through files and `prepare`'s own reading."""
    origin = parse_origin(f"2031-01-01T00:00:{second:02d}Z")
    times = [*range(-86400, 0, 900), *range(0, 4000, 60)]  # after the whole minute of the origin
    for buoy, level in (("46404", 2737), ("46407", 3280), ("46419", 2800)):
        lines = [f"{origin + timedelta(seconds=t - second):%Y %m %d %H %M %S} {2 - (t < 0)} " for t in times]
        tides = level + 0.8 * np.cos(2 * np.pi * np.array(times) / 44712)
        text = "".join(f"{line}{tide:.3f}\n" for line, tide in zip(lines, tides, strict=True))
        (tmp_path / f"{buoy}.txt").write_text("#YY MM DD hh mm ss T HEIGHT\n" + text)
    weights = dict.fromkeys(greens.source_names, 1.0)
    (tmp_path / "event.json").write_text(json.dumps({"origin_time": origin.isoformat(), "weights_m": weights}))
    (event,) = events_from(tmp_path, DartJob(), greens)
    assert event.mask.all() and event.mask.shape == (45, 3)
