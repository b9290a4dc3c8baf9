"""Records are found with class, group and id; what can't be used is named."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from signal import SIGSEGV, raise_signal

import h5py
import numpy as np
import pytest

from seis_tf import isolated
from seis_tf.dataset.shards import Rejection
from seis_tf.settings.data import RecordSettings, WaveformSourceSettings
from seis_tf.waveforms import seisbench
from seis_tf.waveforms.loading import common_sampling_rate, load_batch
from seis_tf.waveforms.seisbench import read_traces
from seis_tf.waveforms.source_notes import notes_on
from seis_tf.waveforms.source_record import SourceRecord
from seis_tf.waveforms.sources import list_records, source_fingerprint

FOLDERS = WaveformSourceSettings()


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def test_class_folders_are_read_at_any_depth_in_a_fixed_order(tmp_path):
    touch(tmp_path, "UP/e_7_a_OL02.mseed", "AE/day2/e_2_a_OL01.sac", "AE/e_1_a_OL03.mseed", "AE/day1/e_1_b_OL03.mseed")
    records, rejected = list_records(tmp_path, FOLDERS)
    assert rejected == []
    assert [(r.record_id, r.class_name, r.group, r.station) for r in records] == [
        ("AE/day1/e_1_b_OL03", "AE", "1", "OL03"),
        ("AE/day2/e_2_a_OL01", "AE", "2", "OL01"),
        ("AE/e_1_a_OL03", "AE", "1", "OL03"),
        ("UP/e_7_a_OL02", "UP", "7", "OL02"),
    ]
    assert records[1].path == str(tmp_path / "AE/day2/e_2_a_OL01.sac")
    assert records[1].file == "AE/day2/e_2_a_OL01.sac"
    assert {(r.index, r.split, r.location) for r in records} == {(0, None, "")}


def test_hidden_files_and_notes_beside_the_classes_are_passed_over(tmp_path):
    touch(tmp_path, "A/e_1_x.mseed", "A/.e_9_x.mseed", "A/.trash/e_9_x.mseed", ".git/config", "B/e_2_x.mseed")
    touch(tmp_path, "README.md", "truth.csv", "simulated.json", "responses.XML")
    records, rejected = list_records(tmp_path, FOLDERS)
    assert [r.record_id for r in records] == ["A/e_1_x", "B/e_2_x"]
    assert rejected == []


def test_a_name_without_a_group_is_rejected_and_the_others_go_on(tmp_path):
    touch(tmp_path, "A/e_1_x.mseed", "A/nogroup.mseed", "B/e_2_x.mseed")
    records, rejected = list_records(tmp_path, FOLDERS)
    assert len(records) == 2
    expected = (
        r"expected a name in which ^[^_]*_([^_]+)_ finds the event id, received nogroup.mseed "
        "(another pattern: --group-pattern; a table of files: --labels-csv)"
    )
    assert rejected == [Rejection("A/nogroup.mseed", expected)]


def test_what_lies_in_any_folder_is_no_record(tmp_path):
    left = ["README", "Readme.txt", "README.md", "LICENSE", "Thumbs.db", "thumbs.db", "desktop.ini", ".DS_Store"]
    touch(tmp_path, "A/e_1_x.mseed", "B/e_2_x.mseed", *left, *(f"A/{name}" for name in left), "__MACOSX/B/e_3_x.mseed")
    # Whatever else has no event id is still a record that is missing.
    touch(tmp_path, "A/notes.txt", "A/readme2.mseed")
    records, rejected = list_records(tmp_path, FOLDERS)
    assert [r.record_id for r in records] == ["A/e_1_x", "B/e_2_x"]
    assert [r.file for r in rejected] == ["A/notes.txt", "A/readme2.mseed"]


def test_a_compressed_record_has_the_id_and_station_of_the_same_one_unpacked(tmp_path):
    touch(tmp_path, "A/e_1_OL07.mseed.gz", "A/e_2_OL08.mseed", "B/e_3_OL09.sac.BZ2", "B/e_4_x.gz")
    records, _ = list_records(tmp_path, FOLDERS)
    assert [(r.record_id, r.group, r.station) for r in records] == [
        ("A/e_1_OL07", "1", "OL07"),
        ("A/e_2_OL08", "2", "OL08"),
        ("B/e_3_OL09", "3", "OL09"),
        ("B/e_4_x", "4", ""),
    ]
    touch(tmp_path, "A/e_2_OL08.mseed.gz")
    assert [r.record_id for r in list_records(tmp_path, FOLDERS)[0]][1:3] == ["A/e_2_OL08.mseed", "A/e_2_OL08.mseed.gz"]


def test_any_format_reaches_each_record(tmp_path):
    touch(tmp_path, "A/e_1_x", "B/e_2_x")
    settings = write_labels(tmp_path / "labels.csv", "file,class,group\nA/e_1_x,A,1\nB/e_2_x,B,2\n")
    for given in (FOLDERS, settings):
        assert [r.any_format for r in list_records(tmp_path, given)[0]] == [False, False]
        asked = given.model_copy(update={"any_format": True})
        assert [r.any_format for r in list_records(tmp_path, asked)[0]] == [True, True]


# notes


def test_components_of_one_record_are_told(tmp_path):
    names = [f"A/UW_ev{event}_S{s}_EH{c}.mseed" for event in (1, 2) for s in (1, 2) for c in "ZNE"]
    touch(tmp_path, *names, "A/UW_ev3_S1_EHZ.mseed", "B/UW_ev4_S1_HHZ.mseed", "B/XX_ev5_S1_ZEHZE.mseed")
    records, _ = list_records(tmp_path, FOLDERS)
    assert notes_on(records) == [
        "12 of 15 records are components of 4 (as A/UW_ev1_S1_EH?): each component is taken as a record of its own, on "
        "one side of the split by their event id"
    ]
    apart = [dataclasses.replace(r, group=r.record_id) if "ev2_S1" in r.record_id else r for r in records]
    assert notes_on(apart)[0].endswith("record of its own, but 1 of these have several event ids")
    assert notes_on([r for r in records if r.record_id.endswith("Z")]) == []


def test_traces_without_an_event_are_told(tmp_path):
    write_seisbench(tmp_path)
    records, _ = list_records(tmp_path, SEISBENCH)
    assert notes_on(records) == [
        "1 of 4 traces name no event: each is taken as an event of its own, and those that belong together may lie on "
        "both sides of the split"
    ]
    assert notes_on([r for r in records if r.record_id != "alone"]) == []


def test_names_that_differ_in_the_suffix_only_keep_it(tmp_path):
    touch(tmp_path, "A/e_1_x.mseed", "A/e_1_x.sac", "B/e_2_x.mseed")
    records, _ = list_records(tmp_path, FOLDERS)
    assert [r.record_id for r in records] == ["A/e_1_x.mseed", "A/e_1_x.sac", "B/e_2_x"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    real = touch(tmp_path / "elsewhere", "e_1_x.mseed")
    source = touch(tmp_path / "source", "B/e_2_x.mseed")
    (source / "A").symlink_to(real)
    (source / "B" / "gone_1_.mseed").symlink_to(tmp_path / "nothing")
    records, rejected = list_records(source, FOLDERS)
    assert [r.record_id for r in records] == ["A/e_1_x", "B/e_2_x"]
    assert rejected == [Rejection("B/gone_1_.mseed", "expected a file, received a broken link")]
    (source / "B" / "again").symlink_to(source)
    with pytest.raises(ValueError, match="again: expected a folder, received a link to a folder that holds it"):
        list_records(source, FOLDERS)


def test_a_name_that_is_no_utf8_is_rejected_readably(tmp_path):
    touch(tmp_path, "A/e_1_x.mseed", "B/e_2_x.mseed")
    try:
        (Path(os.fsdecode(os.fsencode(tmp_path) + b"/A/e_\xff_x.mseed"))).write_bytes(b"x")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    _, rejected = list_records(tmp_path, FOLDERS)
    assert [r.file for r in rejected] == [r"A/e_\udcff_x.mseed"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"expected records of at least two classes, received \[\]"),
        (["A/e_1_x.mseed"], r"expected records of at least two classes, received \['A'\]"),
        (["A/e_1_x.mseed", "B/e_1_x.mseed", "e_1_x.mseed", "e_2_x.mseed"], "received the file e_1_x.mseed and 1 more"),
        (["A/e_1_x.mseed", "B/.hidden"], "expected records of class B, received none that can be used: no file"),
        (["A/e_1_x.mseed", "B/bad"], "class B, received none that can be used: B/bad: expected a name in which"),
    ],
)
def test_a_source_that_is_not_laid_out_as_classes_is_refused(tmp_path, names, message):
    touch(tmp_path, *names)
    with pytest.raises(ValueError, match=message):
        list_records(tmp_path, FOLDERS)


def test_a_source_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected a folder, received nothing there"):
        list_records(tmp_path / "gone", FOLDERS)
    with pytest.raises(ValueError, match="expected a folder, received a file"):
        list_records(touch(tmp_path, "file") / "file", FOLDERS)


@pytest.mark.parametrize("pattern", ["([", "_x_"])
def test_a_pattern_without_a_group_is_refused(pattern):
    with pytest.raises(ValueError, match="expected a regular expression.*--group-pattern takes one, --labels-csv"):
        WaveformSourceSettings(group_pattern=pattern)
    with pytest.raises(ValueError, match="expected a regular expression"):
        WaveformSourceSettings(station_pattern=pattern)


def write_labels(path: Path, text: str) -> WaveformSourceSettings:
    path.write_text(text, encoding="utf-8-sig")
    return WaveformSourceSettings(labels_csv=str(path))


def test_labels_from_a_csv_need_no_folders(tmp_path):
    text = "group,file,class,station,split\n7,a.mseed,quake,KO1,train\n8,sub/b.sac,blast,,dev\n7,c.mseed,blast,KO2,\n"
    records, rejected = list_records(tmp_path, write_labels(tmp_path / "labels.csv", text))
    assert rejected == []
    assert [(r.record_id, r.class_name, r.group, r.station, r.split) for r in records] == [
        ("a", "quake", "7", "KO1", "train"),
        ("c", "blast", "7", "KO2", None),
        ("sub/b", "blast", "8", "", "valid"),
    ]
    assert records[2].path == str(tmp_path / "sub/b.sac")
    assert records[2].file == "sub/b.sac"


def test_bad_rows_of_the_csv_are_rejected_with_their_line(tmp_path):
    text = "file,class,group\na,x,1\nb,y,2\n\na,y,1\nc,x\nd,,3\n"
    _, rejected = list_records(tmp_path, write_labels(tmp_path / "labels.csv", text))
    assert [(r.file, r.reason) for r in rejected] == [
        ("labels.csv line 5: a", "expected each file once, received it again as y after x"),
        ("labels.csv line 6: c", "expected file, class and group, received file 'c', class 'x', group ''"),
        ("labels.csv line 7: d", "expected file, class and group, received file 'd', class '', group '3'"),
    ]


def test_a_csv_without_its_columns_or_without_a_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"labels.csv: expected the columns file,class,group, received file,label"):
        list_records(tmp_path, write_labels(tmp_path / "labels.csv", "file,label\n"))
    with pytest.raises(ValueError, match=r"gone.csv: expected a CSV file with a header"):
        list_records(tmp_path, WaveformSourceSettings(labels_csv=str(tmp_path / "gone.csv")))


def test_the_fingerprint_sees_names_labels_and_sizes_but_not_times(tmp_path):
    touch(tmp_path, "A/e_1_x.mseed", "B/e_2_x.mseed")

    def fingerprint() -> str:
        return source_fingerprint(list_records(tmp_path, FOLDERS)[0])

    first = fingerprint()
    os.utime(tmp_path / "A/e_1_x.mseed", (0, 0))
    assert fingerprint() == first
    (tmp_path / "A/e_1_x.mseed").write_bytes(b"xy")
    assert fingerprint() != first
    (tmp_path / "A/e_1_x.mseed").write_bytes(b"z")
    assert fingerprint() == first
    (tmp_path / "B/e_2_x.mseed").rename(tmp_path / "B/e_3_x.mseed")
    assert fingerprint() != first


# SeisBench


SEISBENCH = WaveformSourceSettings(seisbench_class="source_type")
METADATA = """trace_name,source_type,source_id,station_code,split,trace_component_order,trace_sampling_rate_hz
"bucket0$0,:3,:200",earthquake,ev1,KO1,train,ZNE,100
"bucket0$1,:3,:150",explosion,ev2,KO1,dev,ENZ,100
alone,noise,,KO2,test,,
"bucket0$2,:2,:200",noise,ev3,KO2,test,NE,100
"bucket0$9,:3,:200",noise,ev4,KO2,test,ZNE,100
,noise,ev5,KO2,test,ZNE,100
"bucket0$0,:3,:200",noise,ev6,KO2,later,ZNE,100
"bucket0$0,1,:200",noise,ev7,KO2,test,ZNE,100
"bucket0$2,:2,:200",noise,ev8,KO2,test,NEZ,100
"bucket0$2,:2,:201",noise,ev9,KO2,test,ZNE,often
alone,noise,,KO2,test,,
"""


def write_seisbench(folder: Path, metadata: str = METADATA, chunk: str = "") -> np.ndarray:
    """A data set of random traces; returns its bucket [trace, component, sample] (10 times as large for `alone`)."""
    bucket = np.random.default_rng(5).normal(size=(3, 3, 200)).astype(np.float32)
    (folder / f"metadata{chunk}.csv").write_text(metadata)
    with h5py.File(folder / f"waveforms{chunk}.hdf5", "w") as file:
        file["data/bucket0"] = bucket
        file["data/alone"] = 10 * bucket[0]
        file["data_format/dimension_order"] = "CW"
        file["data_format/component_order"] = "ZNE"
        file["data_format/sampling_rate"] = 100
    return bucket


def test_seisbench_records_carry_class_group_split_and_one_component(tmp_path):
    bucket = write_seisbench(tmp_path)
    records, rejected = list_records(tmp_path, SEISBENCH)
    assert [(r.record_id, r.class_name, r.group, r.station, r.index, r.split, r.location) for r in records] == [
        ("alone", "noise", "alone", "KO2", 2, "test", "alone$0,:"),
        ("bucket0$0,:3,:200", "earthquake", "ev1", "KO1", 0, "train", "bucket0$0,0,:200"),
        ("bucket0$1,:3,:150", "explosion", "ev2", "KO1", 1, "valid", "bucket0$1,2,:150"),
        ("bucket0$9,:3,:200", "noise", "ev4", "KO2", 4, "test", "bucket0$9,0,:200"),
    ]
    assert sorted(r.reason for r in rejected) == [
        "expected a component Z, received NE",
        "expected a sampling rate in Hz or a step in s, received often",
        "expected a trace name like bucket0$3,:3,:1000, received bucket0$0,1,:200",
        "expected at least 3 components in the trace name, received bucket0$2,:2,:200",
        "expected each trace once, received it again in row 10",
        "expected split train, dev or test, received later",
        "expected trace_name and source_type, received '', 'noise'",
    ]
    assert common_sampling_rate(records) == 100
    result = load_batch(records, RecordSettings(length_samples=150, detrend="none"), 100)
    # The vertical component is the first of ZNE and the last of ENZ, as h5py's own slices give it.
    assert np.array_equal(result.samples, [10 * bucket[0, 0, :150], bucket[0, 0, :150], bucket[1, 2, :150]])
    assert [r.file for r in result.rejected] == ["waveforms.hdf5:bucket0$9,:3,:200"]
    assert "expected the trace bucket0$9,0,:200, received" in result.rejected[0].reason


def test_seisbench_samples_may_come_first(tmp_path):
    metadata = 'trace_name,source_type,source_id,trace_dt_s\none,a,1,0.02\n"many$1,:60,:3",b,2,0.02\n'
    (tmp_path / "metadata.csv").write_text(metadata)
    samples = np.random.default_rng(1).normal(size=(2, 60, 3))
    with h5py.File(tmp_path / "waveforms.hdf5", "w") as file:
        file["data/one"], file["data/many"] = samples[0], samples
        file["data_format/dimension_order"] = "WC"
    records, _ = list_records(tmp_path, WaveformSourceSettings(seisbench_class="source_type", seisbench_component="E"))
    result = load_batch(records, RecordSettings(length_samples=60, detrend="none"), 50)
    assert np.allclose(result.samples, [samples[1, :, 2], samples[0, :, 2]], rtol=1e-6)


def test_seisbench_chunks_are_one_source(tmp_path):
    write_seisbench(tmp_path, METADATA.split("alone")[0], "_2019")
    write_seisbench(tmp_path, METADATA.split("alone")[0], "_2020")
    records, _ = list_records(tmp_path, SEISBENCH)
    assert [r.record_id for r in records] == [
        "2019/bucket0$0,:3,:200",
        "2019/bucket0$1,:3,:150",
        "2020/bucket0$0,:3,:200",
        "2020/bucket0$1,:3,:150",
    ]
    assert Path(records[3].path).name == "waveforms_2020.hdf5"


def test_seisbench_without_a_class_column_says_which_there_are(tmp_path):
    write_seisbench(tmp_path)
    with pytest.raises(
        ValueError, match="expected the name of the column .* there are trace_name,source_type,source_id"
    ):
        list_records(tmp_path, FOLDERS)
    with pytest.raises(
        ValueError, match="expected the columns trace_name,kind,source_id, received trace_name,source_type"
    ):
        list_records(tmp_path, WaveformSourceSettings(seisbench_class="kind"))


def test_a_damaged_hdf5_file_is_named(tmp_path):
    write_seisbench(tmp_path)
    (tmp_path / "waveforms.hdf5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match="waveforms.hdf5: expected an HDF5 file beside its metadata"):
        list_records(tmp_path, SEISBENCH)
    gone = SourceRecord(str(tmp_path / "gone.hdf5"), "a", "1", "t", "", location="t$0,:", sampling_rate_hz=1.0)
    [rejection] = load_batch([gone], RecordSettings(length_samples=1024), 1.0).rejected
    assert "expected a readable HDF5 file" in rejection.reason


def test_a_trace_that_kills_the_reader_does_not_take_the_others_with_it(tmp_path, monkeypatch):
    bucket = write_seisbench(tmp_path)
    names = [f"bucket0${i},{c},:200" for i in range(3) for c in range(3)]
    path, call, bad, calls = str(tmp_path / "waveforms.hdf5"), isolated.call, {names[4]}, []

    def fault(function, path, locations, **limits):
        calls.append(len(locations))
        if bad & set(locations):  # as in HDF5's C code
            return call(raise_signal, SIGSEGV, **limits)
        return call(function, path, locations, **limits)

    monkeypatch.setattr(isolated, "call", fault)
    answers = list(read_traces(path, names))
    text = (
        f"expected the trace {names[4]}, received HDF5 that can't be read "
        "(expected an answer, received the end of its process (signal SIGSEGV))"
    )
    assert answers[4] == text and calls == [9] + 9 * [1]
    assert all(np.array_equal(answers[i], bucket[i // 3, i % 3]) for i in range(9) if i != 4)
    # Each failure costs the start of a process: after three the rest is given up.
    bad.update(names)
    answers = list(read_traces(path, names))
    assert len(answers) == 9 and len(set(answers[3:])) == 1 and calls[10:] == [9, 1, 1, 1]
    assert answers[8].startswith(
        "expected HDF5 that can be read, received a file on which 3 traces failed: expected an"
    )


def test_traces_are_read_in_parts_that_fit_into_memory(tmp_path, monkeypatch):
    bucket = write_seisbench(tmp_path)
    names = [f"bucket0${i},{c},:200" for i in range(3) for c in range(3)]
    answers, calls, path = [], 0, str(tmp_path / "waveforms.hdf5")
    monkeypatch.setattr(seisbench, "BATCH_BYTES", 2000)  # two traces of 800 bytes, and the one that goes beyond it
    while len(answers) < 9:
        answers += seisbench.read_batch(path, names[len(answers) :])
        calls += 1
    assert calls == 3 and np.array_equal(np.reshape(answers, (3, 3, 200)), bucket)
