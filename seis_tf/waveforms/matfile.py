"""The exercise's `.mat` matrix: spectrograms flattened [frequency, time], one a column or row, the label last.

Variables: `mSpec` [nx * ny + 1, record] or its transpose, `a_f` [ny] in Hz, `a_t` [nx] in s, `nx` (number of times),
`ny` (number of frequencies). Labels are 0 noise, 1 AE, 2 UP, unless `class_names` says otherwise. `class_names`, and
`group` (event ids) and `record_id` (names), both [record], are our additions: without them a matrix that is prepared
again would put records of one event on both sides of a split.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seis_tf.files import write_atomically
from seis_tf.matlab import load_variables
from seis_tf.waveforms.source_record import read_table

CLASS_NAMES = ("noise", "AE", "UP")
_VARIABLES = ("mSpec", "a_f", "a_t", "nx", "ny", "class_names", "group", "record_id")


class MatRecords(NamedTuple):
    """What a matrix holds.

    Attributes:
        spectrograms: float32 [record, frequency, time], linear or logarithmic as they were stored.
        labels: int64 [record], positions in `class_names`.
        class_names: in the order of the labels.
        groups: event ids [record] from the CSV, else from the file; None without either, and then no score is by event.
        record_ids: names [record]; None where the file has none.
        frequencies_hz: float64 [frequency]; None where the file has none.
        times_s: float64 [time], centres of the frames; None where the file has none.
    """

    spectrograms: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    groups: list[str] | None
    record_ids: list[str] | None
    frequencies_hz: np.ndarray | None
    times_s: np.ndarray | None


def read_mat(path: Path, groups_csv: Path | None = None) -> MatRecords:
    """Reads the matrix (MATLAB 5 to 7; a 7.3 file is HDF5 and refused).

    Args:
        path: the `.mat` file.
        groups_csv: CSV with a column `group`: the event id of each record, in the matrix's order.

    Raises:
        ValueError: not such a file, shapes that don't fit (with the arithmetic), labels that are no class, NaN or Inf,
            or a CSV of another length.
    """
    path = Path(path)
    content = load_variables(path, _VARIABLES)
    if "mSpec" not in content:
        raise ValueError(f"{path}: expected the variable mSpec, received {', '.join(content) or 'no variables'}")
    frequencies, times = _axis(content, "a_f"), _axis(content, "a_t")
    n_frequencies = _count(path, content, "ny", "a_f", frequencies)
    n_times = _count(path, content, "nx", "a_t", times)
    class_names = tuple(str(name).strip() for name in content.get("class_names", CLASS_NAMES))
    rows = _by_row(path, np.asarray(content["mSpec"]), n_frequencies, n_times, len(class_names))
    bad = np.argwhere(~np.isfinite(rows))
    if bad.size:
        raise ValueError(f"{path}: expected finite values, received {rows[tuple(bad[0])]} in record {bad[0][0]}")
    spectrograms = rows[:, :-1].astype(np.float32).reshape(len(rows), n_frequencies, n_times)
    groups = _texts(path, content, "group", len(rows))
    if groups_csv is not None:
        groups = _groups(Path(groups_csv), len(rows))
    record_ids = _texts(path, content, "record_id", len(rows))
    if record_ids is not None and len(set(record_ids)) < len(rows):
        raise ValueError(
            f"{path}: expected each record_id once, received {len(set(record_ids))} for {len(rows)} records"
        )
    labels = rows[:, -1].astype(np.int64)
    return MatRecords(spectrograms, labels, class_names, groups, record_ids, frequencies, times)


def _texts(path: Path, content: dict[str, np.ndarray | None], name: str, count: int) -> list[str] | None:
    """A text for each record, without the blanks that MATLAB pads them with."""
    if name not in content:
        return None
    # A text is a row of characters, or a cell: an array of one.
    cells = [np.asarray(cell) for cell in np.atleast_1d(content[name]).ravel()]
    texts = [str(cell.item()).rstrip() if cell.size == 1 else "" for cell in cells]
    if len(texts) != count or "" in texts:
        raise ValueError(f"{path}: expected {name} of {count} texts, received {len(texts) - texts.count('')}")
    return texts


def _axis(content: dict[str, np.ndarray], name: str) -> np.ndarray | None:
    return np.asarray(content[name], np.float64).ravel() if name in content else None


def _count(path: Path, content: dict[str, np.ndarray], name: str, axis_name: str, axis: np.ndarray | None) -> int:
    """Number of times or frequencies, from its own variable or from the axis; both must agree."""
    if name in content and np.size(content[name]) == 1:
        count = int(np.asarray(content[name]).item())
        if axis is not None and axis.size != count:
            raise ValueError(f"{path}: expected {axis_name} with {name} = {count} values, received {axis.size}")
        return count
    if axis is None:
        raise ValueError(f"{path}: expected {name} or {axis_name} beside mSpec, received neither")
    return axis.size


def _by_row(path: Path, matrix: np.ndarray, n_frequencies: int, n_times: int, n_classes: int) -> np.ndarray:
    """The matrix as [record, values and label], whichever way it lies in the file."""
    rows = n_frequencies * n_times + 1
    if matrix.ndim != 2 or rows not in matrix.shape or matrix.dtype.kind not in "iuf":
        raise ValueError(
            f"{path}: expected mSpec with {n_frequencies} x {n_times} + 1 = {rows} rows or columns of numbers, "
            f"received {matrix.dtype} {' x '.join(map(str, matrix.shape))}"
        )
    sides = [side for side, length in ((matrix.T, matrix.shape[0]), (matrix, matrix.shape[1])) if length == rows]
    labelled = [side for side in sides if np.isin(side[:, -1], np.arange(n_classes)).all()]
    if not labelled:
        last = sides[0][:, -1]
        unknown = last[~np.isin(last, np.arange(n_classes))][0]
        raise ValueError(f"{path}: expected labels 0 to {n_classes - 1} last in each record, received {unknown:g}")
    if len(labelled) > 1:
        raise ValueError(
            f"{path}: expected labels in the last row or the last column, received {rows} x {rows} with both"
        )
    return labelled[0]


def _groups(path: Path, count: int) -> list[str]:
    groups = [row["group"] for _, row in read_table(path, ("group",))]
    if len(groups) != count or "" in groups:
        raise ValueError(
            f"{path}: expected a group for each of {count} records, received {len(groups) - groups.count('')}"
        )
    return groups


def write_mat(
    path: Path,
    spectrograms: np.ndarray,
    labels: np.ndarray,
    frequencies: np.ndarray,
    times: np.ndarray,
    class_names: Sequence[str] = CLASS_NAMES,
    groups: Sequence[str] | None = None,
    record_ids: Sequence[str] | None = None,
) -> None:
    """Writes the matrix, one record a column, so that `read_mat` and the exercise's own scripts read it.

    It has an argument for each variable of the file.

    Args:
        path: of the `.mat` file.
        spectrograms: [record, frequency, time].
        labels: [record], positions in `class_names`.
        frequencies: [frequency] in Hz.
        times: [time] in s.
        class_names: in the order of the labels; the exercise's are noise, AE, UP.
        groups: [record] event ids, so that who prepares the matrix again can split by event.
        record_ids: [record] names.

    Raises:
        ValueError: shapes or labels don't fit each other.
    """
    from scipy.io import savemat

    spectrograms, labels = np.asarray(spectrograms), np.asarray(labels)
    shape = (len(labels), len(frequencies), len(times))
    if spectrograms.shape != shape:
        raise ValueError(
            f"{path}: expected spectrograms [record, frequency, time] {shape}, received {spectrograms.shape}"
        )
    if not np.isin(labels, np.arange(len(class_names))).all():
        raise ValueError(
            f"{path}: expected labels 0 to {len(class_names) - 1}, received {sorted(set(labels.tolist()))}"
        )
    matrix = np.empty((shape[1] * shape[2] + 1, shape[0]), np.float32)
    if matrix.nbytes >= 2**31:
        raise ValueError(f"{path}: expected a matrix below 2 GiB, as MATLAB 5 holds, received {matrix.nbytes} bytes")
    matrix[:-1] = spectrograms.reshape(shape[0], -1).T
    matrix[-1] = labels
    # MATLAB pads names to one length in a character matrix; read_mat strips them.
    content = {
        "mSpec": matrix,
        "a_f": np.asarray(frequencies, np.float64),
        "a_t": np.asarray(times, np.float64),
        "nx": shape[2],
        "ny": shape[1],
        "class_names": np.array(class_names, dtype=str),
    }
    for name, texts in (("group", groups), ("record_id", record_ids)):
        if texts is not None:
            content[name] = np.array(texts, dtype=str)
    buffer = io.BytesIO()
    savemat(buffer, content, format="5")
    write_atomically(Path(path), buffer.getvalue())
