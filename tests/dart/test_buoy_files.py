"""Files with buoy records: written by hand here, and the real ones where they are at hand."""

from __future__ import annotations

from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from seis_tf.dart.buoy_files import parse_origin, read_dart_text, read_hdf5_records, read_record, read_records
from seis_tf.dart.gauge_record import buoy_of
from seis_tf.dart.prototype_files import read_prototype_series, read_prototype_slip
from seis_tf.dart.text_files import read_csv_records, read_geoclaw_gauge

HEADER = "#YY  MM DD hh mm ss T   HEIGHT\n#yr  mo dy hr mn  s -        m\n"


def dart_file(folder, lines, name="46404_event.txt"):
    path = folder / name
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


def test_dart_text_comes_oldest_first_with_missing_samples(tmp_path):
    lines = [
        "2011 03 11 06 01 15 3 2737.413",
        "2011 03 11 06 01 00 2 2737.412",
        "2011 03 11 06 00 00 1 9999.000",
        "2011 03 11 05 45 00 1 2737.400",
    ]
    for given_lines in (lines, lines[::-1]):
        record = read_dart_text(dart_file(tmp_path, given_lines))
        assert record.buoy == "46404" and not record.relative
        # 15 minutes, 1 minute, 15 seconds.
        assert np.diff(record.time).tolist() == [900, 60, 15]
        assert record.time[0] == datetime(2011, 3, 11, 5, 45, tzinfo=UTC).timestamp()
        assert np.isnan(record.level_m[1]) and record.level_m[[0, 2, 3]].tolist() == [2737.4, 2737.412, 2737.413]
        minutes = record.minutes_after(parse_origin("2011-03-11T05:46:24"))
        assert np.allclose(minutes, [-1.4, 13.6, 14.6, 14.85])


LIVE = """#YY  MM DD hh mm ss T   HEIGHT
#yr  mo dy hr mn  s -        m
2026 11 24 12 30 00 1       MM
2026 11 24 12 16 00 2 2738.107
2026 11 24 12 15 00 1 2738.104
2026 11 24 12 00 00 1 9999.000
2026 11 24 11 45 00 1      nan
2026 11 24 11 30 00 1 2738.081
"""  # as https://www.ndbc.noaa.gov/data/realtime2/<buoy>.dart


@pytest.mark.parametrize(
    "text",
    [LIVE, "\ufeff" + LIVE, LIVE.replace("\n", "\r\n"), LIVE.partition("m\n")[2], LIVE.rstrip()],
    ids=["as it is", "byte order mark", "Windows line ends", "no header", "no last line end"],
)
def test_a_live_page_is_read(tmp_path, text):
    path = tmp_path / "46404.dart"
    path.write_bytes(text.encode())
    (record,) = read_record(path)
    assert record.buoy == "46404" and record.note == "" and not record.relative
    assert np.diff(record.time).tolist() == [900, 900, 900, 60, 840]
    assert np.array_equal(record.level_m, [2738.081, np.nan, np.nan, 2738.104, 2738.107, np.nan], equal_nan=True)


@pytest.mark.parametrize("kept", [len("2026 11 24 11 30 00 1 2738.0"), len("2026 11 24 11 3"), 1])
def test_a_last_line_that_is_cut_off_is_left_out_and_said(tmp_path, kept):
    """Also where what is left of it could be read: 2738.0 is another height."""
    path = tmp_path / "46404.dart"
    whole, _, last = LIVE.rstrip().rpartition("\n")
    path.write_text(f"{whole}\n{last[:kept]}")
    record = read_dart_text(path)
    assert len(record.time) == 5 and record.note == f"last line {last[:kept]!r} is cut off and was left out"
    with pytest.raises(ValueError, match=r"46404\.dart: expected whole lines, received a last line '.*' is cut off"):
        read_record(path, strict=True)


def test_a_bad_line_is_lost_and_said_and_no_other(tmp_path):
    lines = LIVE.splitlines()
    bad = [*lines[:4], "2026 11 24 12 15 00 1 27x8.104", *lines[4:6], "2026 13 24 12 00 00 1 2738.1", *lines[6:]]
    path = tmp_path / "46404.dart"
    path.write_text("\n".join(bad) + "\n")
    record = read_dart_text(path)
    good = read_dart_text(dart_file(tmp_path, lines[2:]))
    assert np.array_equal(record.time, good.time) and np.array_equal(record.level_m, good.level_m, equal_nan=True)
    assert record.note == "line 5 '2026 11 24 12 15 00 1 27x8.104' can't be read and was left out, and 1 more"
    assert good.note == ""
    with pytest.raises(ValueError, match=r"46404\.dart line 5: expected YY MM DD hh mm ss T HEIGHT, received '2026"):
        read_records([path], strict=True)


@pytest.mark.parametrize(
    ("name", "lines", "lost"),
    [
        ("a.csv", ["time_min,46404", "1,0.1", "2,high", "3,0.3", "4,0.4"], "line 2 '2,high'"),
        ("46404.txt", ["60 0.1", "120", "180 0.3", "240 0.4"], "line 2 '120'"),
    ],
)
def test_of_other_texts_too_the_bad_line_alone_is_lost(tmp_path, name, lines, lost):
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    (record,) = read_record(path)
    assert record.time.tolist() == [60, 180, 240] and record.level_m.tolist() == [0.1, 0.3, 0.4]
    assert record.note.endswith(f"{lost} can't be read and was left out")
    with pytest.raises(ValueError, match="expected"):
        read_record(path, strict=True)


@pytest.mark.parametrize("missing", ["MM", "nan", "NaN", "9999", "9999.0", "9999.000", "NA"])
def test_missing_is_missing_in_every_text(tmp_path, missing):
    ndbc = dart_file(tmp_path, [f"2026 11 24 12 15 00 1 {missing}", "2026 11 24 12 00 00 1 2738.1"], "46404.txt")
    table, columns = tmp_path / "46407.csv", tmp_path / "46419.txt"
    table.write_text(f"time_s,level_m\n0,0.1\n60,{missing}\n")
    columns.write_text(f"0 0.1\n60 {missing}\n")
    for path in (ndbc, table, columns):
        (record,) = read_record(path)
        assert np.isfinite(record.level_m).tolist() == [True, False], path


def test_values_of_one_moment_say_how_far_they_are_apart(tmp_path):
    """Of one type their mean counts; of several types the finer one, which is no disagreement."""
    lines = ["2026 11 24 12 15 00 2 2738.3", "2026 11 24 12 15 00 2 2738.1", "2026 11 24 12 15 00 1 2739.0"]
    lines += ["2026 11 24 12 00 00 1 2738.0", "2026 11 24 12 00 00 1 9999", "2026 11 24 11 45 00 1 2738.0"]
    record = read_dart_text(dart_file(tmp_path, lines))
    assert record.kinds.tolist() == [1, 1, 2]
    assert np.allclose(record.level_m, [2738, 2738, 2738.2]) and np.allclose(record.spread_m, [0, 0, 0.2])
    assert record.level_m[:2].tolist() == [2738.0, 2738.0]


def test_two_columns_without_a_header_are_seconds_and_detided_metres(tmp_path):
    path = tmp_path / "46404_notide.txt"
    path.write_text("-5.295e+03 -1.3e-03\n  6.0e+01 2.5e-02\n120 nan")
    (record,) = read_record(path)
    assert record.buoy == "46404" and record.relative and record.time.tolist() == [-5295, 60, 120]
    assert np.array_equal(record.level_m, [-0.0013, 0.025, np.nan], equal_nan=True)
    assert record.note == "two columns without a header are taken for seconds after the origin and detided metres"


def test_a_file_that_can_not_be_read_costs_no_other(tmp_path):
    good, bad = dart_file(tmp_path, ["2011 03 11 06 00 00 1 2737.4"]), tmp_path / "46407.txt"
    bad.write_text("<html>404 Not Found</html>")
    records, reasons = read_records([bad, good])
    assert [record.buoy for record in records] == ["46404"]
    assert len(reasons) == 1 and reasons[0].startswith(f"{bad}: expected NDBC DART text")
    with pytest.raises(ValueError, match=r"46407\.txt: expected NDBC DART text"):
        read_records([bad, good], strict=True)


def test_of_two_samples_at_one_moment_the_finer_counts(tmp_path):
    lines = ["2011 03 11 06 00 00 2 2737.5", "2011 03 11 06 00 00 1 2737.4", "2011 03 11 05 45 00 1 2737.3"]
    assert read_dart_text(dart_file(tmp_path, lines)).level_m.tolist() == [2737.3, 2737.5]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2011 03 11 06 00 00 1", "line 3: expected YY MM DD hh mm ss T HEIGHT, received '2011 03 11 06 00 00 1'"),
        ("2011 13 11 06 00 00 1 2737.4", "line 3: expected YY MM DD"),
        ("2011 03 11 06 00 00 4 2737.4", "line 3: expected T of 1, 2 or 3 and a height"),
        ("2011 03 11 06 00 00 1 inf", "line 3: expected T of 1, 2 or 3 and a height"),
        ("2011 03 11 06 00 00 1 MM", "expected samples of water column, received missing ones only"),
        ("2011 03 11 06 00 00 1 2737.4 7", "line 3: expected T of 1, 2 or 3 and a height"),
        ("", "expected lines of YY MM DD hh mm ss T HEIGHT, received none"),
        ("2011 03 11 06 00 00 1 9999.000", "expected samples of water column, received missing ones only"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, reason):
    with pytest.raises(ValueError, match=reason):
        read_dart_text(dart_file(tmp_path, [line]))


def test_levels_that_no_tide_reaches_are_refused(tmp_path):
    lines = [f"2011 03 11 06 {minute:02d} 00 2 5736.8" for minute in range(10)]
    lines += ["2011 03 11 06 10 00 2 5760.676", "2011 03 11 06 11 00 2 5757.1"]
    expected = r"within 15 m of its median 5736\.800 m, received 5760\.676 m at 2011-03-11T06:10:00Z and 1 more like it"
    with pytest.raises(ValueError, match=expected):
        read_dart_text(dart_file(tmp_path, lines))


@pytest.mark.parametrize(
    ("name", "buoy"),
    [
        ("46404_5day.txt", "46404"),
        ("dart46404.csv", "46404"),
        ("a_1234567.txt", ""),
        ("46404_46407.txt", ""),
        ("x.txt", ""),
    ],
)
def test_the_buoy_is_the_one_number_of_five_digits(name, buoy):
    assert buoy_of(name) == buoy


def test_an_origin_without_zone_is_utc():
    assert parse_origin("2018-01-23T09:31:40") == parse_origin("2018-01-23T09:31:40Z")
    assert parse_origin("2018-01-23T10:31:40+01:00") == parse_origin("2018-01-23T09:31:40Z")
    with pytest.raises(ValueError, match="expected a time like 2018-01-23T09:31:40Z, received 'yesterday'"):
        parse_origin("yesterday")


def test_dates_without_an_origin_are_refused(tmp_path):
    record = read_dart_text(dart_file(tmp_path, ["2011 03 11 06 00 00 1 2737.4"]))
    with pytest.raises(ValueError, match=r"46404_event\.txt: expected an origin time for a record with dates"):
        record.minutes_after(None)


GAUGE_HEADER = (
    "# gauge_id=   702 location=( -0.12E+03  0.48E+02 ) num_var=  4\n# Stationary gauge\n# level, time, q, eta\n"
)


def test_a_geoclaw_gauge_is_the_change_of_eta(tmp_path):
    path = tmp_path / "gauge00702.txt"
    # The refinement level changes from 3 to 4 and with it the bottom: h jumps by half a metre, eta does not.
    path.write_text(
        GAUGE_HEADER + "03 5.0 231.2 0 0 -2.0\n04 10.0 230.7 0 0 -1.9\n04 10.0 230.7 0 0 -1.9\n04 15 230.9 0 0 -1.7\n"
    )
    record = read_geoclaw_gauge(path)
    assert record.buoy == "702" and record.relative
    assert record.time.tolist() == [5, 10, 15]
    assert np.allclose(record.level_m, [0, 0.1, 0.3])
    assert np.allclose(record.minutes_after(None), np.array([5, 10, 15]) / 60)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (GAUGE_HEADER + "03 5.0 231.2 0 0\n03 6.0 231 0 0\n", "expected a gauge_id and 6 columns"),
        (GAUGE_HEADER + "03 5.0 a b c d\n", "expected columns level, time, h, hu, hv, eta"),
        (GAUGE_HEADER + "03 5 1 0 0 0\n03 4 1 0 0 0\n", "expected ascending times, received 4 s late"),
    ],
)
def test_a_wrong_gauge_file_is_refused(tmp_path, text, reason):
    path = tmp_path / "gauge00702.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_record(path)


def test_a_csv_has_a_column_a_buoy(tmp_path):
    path = tmp_path / "levels.csv"
    path.write_text("time_min,46404_m,46407\n2,0.2,MM\n1,0.1,-0.1\n1,0.3,-0.1\n")
    first, second = read_csv_records(path)
    assert (first.buoy, second.buoy) == ("46404", "46407") and first.relative
    assert first.minutes_after(None).tolist() == [1, 2]
    # Minute 1 comes twice with 0.1 and 0.3.
    assert np.allclose(first.level_m, [0.2, 0.2])
    assert second.level_m[0] == -0.1 and np.isnan(second.level_m[1])


def test_a_csv_may_have_dates_or_one_level(tmp_path):
    path = tmp_path / "dart_21418.csv"
    path.write_text("Time_UTC,level_m\n2011-03-11T05:46:24Z,1\n2011-03-11T05:47:24Z,2\n")
    (record,) = read_record(path)
    assert record.buoy == "21418" and not record.relative
    assert record.minutes_after(parse_origin("2011-03-11T05:46:24")).tolist() == [0, 1]
    path.write_text('"Time_s","Residual_m"\n36.999998,-0.015\n97,0.1\n')
    (record,) = read_record(path)
    assert record.buoy == "21418" and record.relative and record.level_m.tolist() == [-0.015, 0.1]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("when,46404\n1,2\n", r"expected a first column of \['time_s', .*received \['when', '46404'\]"),
        ("time_s,46404\n", "received .* and 0 rows"),
        ("time_s,46404\n1,high\n", "expected a number a cell"),
        ("time_s,46404,46407\n1,2\n", "expected a number a cell"),
        ("-5.295e+03 -1.3e-03 7\n", "expected NDBC DART text .* received a file that begins '-5.295e"),
        ("1 2\n3\n", r"levels\.csv line 2: expected seconds and metres, received '3'"),
        ("", "received a file that begins ''"),
    ],
)
def test_a_wrong_text_is_refused(tmp_path, text, reason):
    path = tmp_path / "levels.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=reason):
        read_record(path)


def test_hdf5_zeros_before_a_record_are_missing(tmp_path):
    path = tmp_path / "observed.h5"
    with h5py.File(path, "w") as file:
        file["observed/46404/data"] = np.array([[0, 0], [30, 0], [60, 0.1], [90, 0], [120, 0.2]], dtype=float)
    (record,) = read_hdf5_records(path)
    assert record.buoy == "46404" and record.relative
    assert np.isnan(record.level_m[:2]).all() and record.level_m[2:].tolist() == [0.1, 0, 0.2]
    with h5py.File(path, "w") as file:
        file["fault"] = 1
    with pytest.raises(ValueError, match=r"observed\.h5: expected HDF5 tables /observed/<gauge>/data"):
        read_record(path)


def names_cell(names):
    """A MATLAB cell row of strings."""
    cell = np.empty((1, len(names)), dtype=object)
    cell[0] = names
    return cell


def test_the_prototypes_files_are_read_in_its_units(tmp_path):
    slip, series = tmp_path / "fq000012_autoinv_slip.mat", tmp_path / "fq000012_46404.mat"
    savemat(slip, {"faults": names_cell(["ac57a", "ac55b"]), "slip": np.array([[3.5], [0.25]])})
    assert read_prototype_slip(slip) == {"acsza57": 3.5, "acszb55": 0.25}
    # Seconds and centimetres; the first sample is NaN.
    savemat(series, {"t": np.array([[0, 60, 120]]), "h": np.array([[np.nan, 10, -20]])})
    minutes, level = read_prototype_series(series, 1.0)
    assert minutes.tolist() == [1, 2] and np.allclose(level, [0.1, -0.2])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"faults": names_cell(["ac57a"]), "slip": [[1.0], [2.0]]}, r"expected one slip for each of \['acsza57'\]"),
        ({"faults": names_cell(["ac57a", "acsza57"]), "slip": [[1.0], [2.0]]}, "expected one slip for each"),
        ({"faults": names_cell(["ac57a"]), "slip": [[-1.0]]}, "expected non-negative slip, received -1 m on acsza57"),
        ({"faults": names_cell(["57"]), "slip": [[1.0]]}, "expected a name like 'acsza57' or 'ac57a', received '57'"),
        ({"slip": [[1.0]]}, r"expected arrays \['faults', 'slip'\], received \['slip'\]"),
    ],
)
def test_wrong_slip_of_the_prototype_is_refused(tmp_path, content, reason):
    path = tmp_path / "fq000012_autoinv_slip.mat"
    savemat(path, content)
    with pytest.raises(ValueError, match=reason):
        read_prototype_slip(path)


def test_what_is_no_mat_file_is_refused(tmp_path):
    path = tmp_path / "fq000012_46404.mat"
    path.write_bytes(b"no matrix at all, but long enough to have a header" * 10)
    with pytest.raises(ValueError, match=r"fq000012_46404\.mat: expected a MATLAB file, received Unknown"):
        read_prototype_series(path, 1.0)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_record_or_an_error_of_ours(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "46404.txt"
    for start in (b"", HEADER.encode(), b"time_s,46404\n", GAUGE_HEADER.encode()):
        path.write_bytes(start + content)
        try:
            records = read_record(path)
        except ValueError as err:
            assert str(path) in str(err)
        else:
            assert all(len(record.time) == len(record.level_m) for record in records)


def test_every_real_record_is_read_and_the_bad_one_refused(shared_data):
    observed = shared_data / "dart" / "observed"
    raw = sorted(path for path in observed.glob("[0-9]*.txt") if "notide" not in path.name)
    assert len(raw) == 6
    for path in raw:
        if "bad-data" in path.name:
            with pytest.raises(ValueError, match=r"received 5704\.956 m at 2011-03-11T04:01:00Z and 106 more like it"):
                read_record(path)
            continue
        (record,) = read_record(path)
        assert record.buoy == path.name[:5] and len(record.time) > 1000
        assert np.all(np.diff(record.time) > 0) and np.ptp(record.level_m) < 3
    # The authors' detided series: two columns, no header.
    (series,) = read_record(observed / "21418_5day-03132011_notide.txt")
    table = np.loadtxt(observed / "21418_5day-03132011_notide.txt")
    assert series.relative and np.array_equal(series.time, table[:, 0]) and np.array_equal(series.level_m, table[:, 1])
    gauges = [read_record(path)[0] for path in sorted((shared_data / "dart" / "geoclaw_gauges").iterdir())]
    assert [gauge.buoy for gauge in gauges] == ["702", "702"]
    # The files' last times; the wave of the L1 scenario is the larger one.
    assert [gauge.time[-1] for gauge in gauges] == [21597.55, 21596.33]
    assert gauges[1].level_m.max() > gauges[0].level_m.max() > 3
    kodiak = {record.buoy: record for record in read_record(observed / "kodiak2018_observation_Alaska.h5")}
    assert len(kodiak) == 17
    begins = {
        name: kodiak[name].time[np.isfinite(kodiak[name].level_m)][0] / 60 for name in ("46404", "46407", "46419")
    }
    assert begins == pytest.approx({"46404": 45.3, "46407": 45.3, "46419": 15.3}, abs=0.05)
