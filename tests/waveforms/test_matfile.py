"""The exercise's matrix, as its script makes it, read back; everything that doesn't fit is refused with the numbers."""

from __future__ import annotations

from pathlib import Path
from signal import SIGSEGV, raise_signal

import numpy as np
import pytest
import scipy.io
from scipy import signal

from seis_tf import isolated
from seis_tf.dataset.shards import SPLITS, iterate, load_dataset
from seis_tf.settings.data import SplitSettings, WaveformJob
from seis_tf.waveforms.matfile import read_mat, write_mat
from seis_tf.waveforms.prepare_mat import prepare_mat
from seis_tf.waveforms.prepare_mat import write_mat as write_dataset_as_mat

N_FREQUENCIES, N_TIMES = 65, 101
MAT_JOB = WaveformJob.model_validate({"spectrogram": {"nperseg": 14, "noverlap": 7, "nfft": 14}})


@pytest.fixture(scope="module")
def exercise() -> dict:
    """What the exercise's instructions lead to: spectrograms in the columns of mSpec, the label below."""
    rng = np.random.default_rng(0)
    matrix = np.zeros((N_FREQUENCIES * N_TIMES + 1, 6))
    for column, label in enumerate([0, 1, 2, 2, 1, 0]):
        a_f, a_t, power = signal.spectrogram(rng.normal(size=1024), 1e7, nperseg=20, noverlap=10, nfft=128)
        matrix[:-1, column] = power.flatten()
        matrix[-1, column] = label
    return {"mSpec": matrix, "a_f": a_f, "a_t": a_t, "nx": N_TIMES, "ny": N_FREQUENCIES}


def save(path: Path, content: dict, **changes) -> Path:
    content = {name: value for name, value in (content | changes).items() if value is not None}
    scipy.io.savemat(path, content)
    return path


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("missing", [(), ("nx", "ny"), ("a_f", "a_t")])
def test_the_exercises_matrix_is_read_whichever_way_it_lies(tmp_path, exercise, transpose, missing):
    matrix = exercise["mSpec"].T if transpose else exercise["mSpec"]
    records = read_mat(save(tmp_path / "m.mat", exercise, mSpec=matrix, **dict.fromkeys(missing)))
    assert records.spectrograms.dtype == np.float32 and records.spectrograms.shape == (6, 65, 101)
    assert records.labels.tolist() == [0, 1, 2, 2, 1, 0]
    assert records.class_names == ("noise", "AE", "UP") and records.groups is None
    # Frequency-major: value (frequency 3, time 7) of record 4 is 3 * 101 + 7 values down its column.
    assert records.spectrograms[4, 3, 7] == np.float32(exercise["mSpec"][3 * 101 + 7, 4])
    if "a_f" not in missing:
        assert np.array_equal(records.frequencies_hz, exercise["a_f"]) and records.times_s.size == 101


def test_written_and_read_again_nothing_changes(tmp_path, exercise):
    spectrograms = exercise["mSpec"][:-1].T.reshape(6, 65, 101).astype(np.float32)
    labels, names = np.array([1, 0, 1, 1, 0, 1]), ("noise", "surface event")
    write_mat(tmp_path / "m.mat", spectrograms, labels, exercise["a_f"], exercise["a_t"], names)
    records = read_mat(tmp_path / "m.mat")
    assert np.array_equal(records.spectrograms, spectrograms) and np.array_equal(records.labels, labels)
    assert records.class_names == names and np.array_equal(records.times_s, exercise["a_t"])
    # And as the exercise's own script would read it.
    content = scipy.io.loadmat(tmp_path / "m.mat")
    assert content["mSpec"].shape == (6566, 6) and int(content["nx"][0, 0]) == 101 and int(content["ny"][0, 0]) == 65
    assert np.array_equal(content["mSpec"][:-1, 2].reshape(65, 101), spectrograms[2])
    assert [path.name for path in tmp_path.iterdir()] == ["m.mat"]


def test_a_square_matrix_is_read_by_where_the_labels_are(tmp_path):
    # 2 x 3 values and a label make 7; with 7 records only the labels tell rows from columns.
    matrix = np.random.default_rng(0).normal(size=(7, 7))
    matrix[:, -1] = [0, 1, 2, 0, 1, 2, 0]
    axes = {"a_f": [0.0, 1.0], "a_t": [0.0, 1.0, 2.0]}
    assert np.allclose(
        read_mat(save(tmp_path / "r.mat", axes, mSpec=matrix)).spectrograms.reshape(7, 6), matrix[:, :-1]
    )
    assert np.allclose(
        read_mat(save(tmp_path / "c.mat", axes, mSpec=matrix.T)).spectrograms.reshape(7, 6), matrix[:, :-1]
    )
    matrix[-1] = matrix[:, -1]
    with pytest.raises(ValueError, match="last row or the last column, received 7 x 7 with both"):
        read_mat(save(tmp_path / "b.mat", axes, mSpec=matrix))


def test_groups_come_from_a_csv_in_the_matrix_order(tmp_path, exercise):
    path = save(tmp_path / "m.mat", exercise)
    (tmp_path / "g.csv").write_text("file,group\na,ev1\nb,ev1\nc,ev2\nd,ev2\ne,ev3\nf,ev3\n")
    assert read_mat(path, tmp_path / "g.csv").groups == ["ev1", "ev1", "ev2", "ev2", "ev3", "ev3"]
    (tmp_path / "g.csv").write_text("group\nev1\nev2\n")
    with pytest.raises(ValueError, match=r"g\.csv: expected a group for each of 6 records, received 2"):
        read_mat(path, tmp_path / "g.csv")


@pytest.mark.parametrize("as_cells", [False, True])
def test_event_ids_and_names_come_from_the_file(tmp_path, exercise, as_cells):
    groups, names = ["ev1", "ev22", "ev1", "é 3", "4", "4"], [f"AE/{i}" * (i + 1) for i in range(6)]
    written = {"group": groups, "record_id": names}
    if as_cells:  # as MATLAB writes {'ev1', 'ev22', ...}
        written = {name: np.array([texts], dtype=object) for name, texts in written.items()}
    records = read_mat(save(tmp_path / "m.mat", exercise, **written))
    assert records.groups == groups and records.record_ids == names
    (tmp_path / "g.csv").write_text("group\n" + "other\n" * 6)
    assert read_mat(tmp_path / "m.mat", tmp_path / "g.csv").groups == ["other"] * 6
    for changes, message in (
        ({"group": groups[:5]}, "m.mat: expected group of 6 texts, received 5"),
        ({"group": [*groups[:5], ""]}, "m.mat: expected group of 6 texts, received 5"),
        ({"record_id": ["a", *names[1:5], "a"]}, "m.mat: expected each record_id once, received 5 for 6 records"),
    ):
        with pytest.raises(ValueError, match=message):
            read_mat(save(tmp_path / "m.mat", exercise, **(written | changes)))


def prepared(source: Path, out: Path, **options):
    notes: list[str] = []
    # By a hash of event and seed, as the tiny data sets are split.
    job = MAT_JOB.model_copy(update={"split": SplitSettings(method="hash")})
    info = prepare_mat(source, out, job, note=notes.append, **options)
    records = [record | {"split": split} for split in SPLITS for record in iterate(out, info, split)]
    return info, {str(record["record_id"]): record for record in records}, notes


def test_a_matrix_that_was_written_here_is_split_by_event_again(tmp_path, tiny_waveforms):
    write_dataset_as_mat(tiny_waveforms, tmp_path / "m.mat")
    info, records, notes = prepared(tmp_path / "m.mat", tmp_path / "out")
    before = load_dataset(tiny_waveforms)
    original = [record | {"split": split} for split in SPLITS for record in iterate(tiny_waveforms, before, split)]
    assert info.grouped and notes == [] and len(records) == len(original) == 108
    for record in original:
        again = records[str(record["record_id"])]
        assert (again["group"], again["label"]) == (record["group"], record["label"])
        assert np.array_equal(again["spectrogram"], record["spectrogram"])
    splits = {group: {r["split"] for r in records.values() if r["group"] == group} for group in ("AE000", "UP003")}
    assert all(len(found) == 1 for found in splits.values())
    assert {r["group"]: r["split"] for r in records.values()} == {r["group"]: r["split"] for r in original}


def test_the_exercises_own_matrix_is_prepared_and_said_to_be_ungrouped(tmp_path, tiny_waveforms):
    write_dataset_as_mat(tiny_waveforms, tmp_path / "m.mat")
    content = {k: v for k, v in scipy.io.loadmat(tmp_path / "m.mat").items() if not k.startswith("__")}
    for name in ("group", "record_id", "class_names"):
        del content[name]
    scipy.io.savemat(tmp_path / "plain.mat", content)
    info, records, notes = prepared(tmp_path / "plain.mat", tmp_path / "out")
    assert not info.grouped and len(records) == 108 and "plain-000000" in records
    [note] = notes
    assert "plain.mat has no event ids (a variable group, or --labels-csv with a column group)" in note
    with pytest.raises(ValueError, match="expected a data set made of waveforms, received one made of such a matrix"):
        write_dataset_as_mat(tmp_path / "out", tmp_path / "again.mat")


def test_a_file_that_kills_its_reader_is_named(tmp_path, exercise):
    path = save(tmp_path / "m.mat", exercise)
    damaged = bytearray(path.read_bytes())
    # One bit in the type of the number below the name: 12 is int64, 76 nothing. SciPy 1.17 ends with SIGSEGV.
    damaged[damaged.rindex(b"ny\0\0\x0c\0\0\0") + 4] ^= 64
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"m\.mat: expected .*, received"):
        read_mat(path)


def test_the_end_of_the_reading_process_is_named(tmp_path, exercise, monkeypatch):
    path, call = save(tmp_path / "m.mat", exercise), isolated.call
    fault = (raise_signal, SIGSEGV)  # whatever SciPy's version
    monkeypatch.setattr(isolated, "call", lambda *arguments, **limits: call(*fault, **limits))
    with pytest.raises(
        ValueError, match=r"m\.mat: expected an answer, received the end of its process \(signal SIGSEGV"
    ):
        read_mat(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mSpec": np.zeros((6565, 6))}, r"65 x 101 \+ 1 = 6566 rows or columns of numbers, received float64 6565 x 6"),
        ({"nx": 100, "a_t": None}, r"expected mSpec with 65 x 100 \+ 1 = 6501 rows or columns"),
        ({"nx": 100}, "expected a_t with nx = 100 values, received 101"),
        ({"nx": None, "a_t": None}, "expected nx or a_t beside mSpec, received neither"),
        ({"mSpec": None}, "expected the variable mSpec, received a_f, a_t, nx, ny"),
        ({"mSpec": np.full((6566, 6), 3.0)}, "expected labels 0 to 2 last in each record, received 3"),
        (
            {"mSpec": np.r_[np.full((6565, 6), np.nan), np.zeros((1, 6))]},
            "expected finite values, received nan in record 0",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_arithmetic(tmp_path, exercise, changes, message):
    with pytest.raises(ValueError, match=message):
        read_mat(save(tmp_path / "m.mat", exercise, **changes))


def test_files_of_other_kinds_are_refused(tmp_path):
    (tmp_path / "a.mat").write_bytes(b"no matrix at all" * 20)
    with pytest.raises(ValueError, match="a.mat: expected a MATLAB file"):
        read_mat(tmp_path / "a.mat")
    (tmp_path / "e.mat").write_bytes(b"")
    with pytest.raises(ValueError, match="e.mat: expected a MATLAB file"):
        read_mat(tmp_path / "e.mat")
    with pytest.raises(ValueError, match="gone.mat: expected a MATLAB file"):
        read_mat(tmp_path / "gone.mat")
    header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "h.mat").write_bytes(header + b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ValueError, match="expected a MATLAB file up to version 7, received 7.3"):
        read_mat(tmp_path / "h.mat")


def test_writing_refuses_shapes_and_labels_that_do_not_fit(tmp_path):
    with pytest.raises(
        ValueError, match=r"expected spectrograms \[record, frequency, time\] \(2, 3, 4\), received \(2, 4, 3\)"
    ):
        write_mat(tmp_path / "m.mat", np.zeros((2, 4, 3)), np.zeros(2), np.arange(3), np.arange(4))
    with pytest.raises(ValueError, match=r"expected labels 0 to 2, received \[1, 3\]"):
        write_mat(tmp_path / "m.mat", np.zeros((2, 3, 4)), np.array([1, 3]), np.arange(3), np.arange(4))
    assert list(tmp_path.iterdir()) == []
