"""Which records there are: files in class folders, a CSV of labels, or a SeisBench data set.

Nothing is read here but names (and SeisBench's metadata); `waveforms.py` opens the records. A source that is wrong as a
whole (no classes, files beside the class folders) is a `ValueError`; a single record that can't be used becomes a
`Rejection` and the others go on.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from seis_tf.dataset.shards import Rejection
from seis_tf.settings.data import WaveformSourceSettings
from seis_tf.waveforms.source_record import SPLITS, SourceRecord, read_table

# Files that may lie beside the class folders: notes, tables of truth, StationXML. No record is looked for in them.
NOTES = (".csv", ".html", ".json", ".md", ".pdf", ".txt", ".xml", ".yaml", ".yml")
# What people and file managers leave in any folder.
_LEFT_BEHIND = re.compile(r"(readme|licen[cs]e)(\..*)?|(eh)?thumbs\.db|desktop\.ini|icon\r|__macosx", re.IGNORECASE)
_PACKED = (".gz", ".bz2", ".xz", ".zip")


def list_records(source: Path, settings: WaveformSourceSettings) -> tuple[list[SourceRecord], list[Rejection]]:
    """Finds the records of a source, sorted by record id; no waveform is read.

    `settings.labels_csv` names a CSV with the columns file,class,group (and station, split, if wanted), files relative
    to `source`. Else, a folder with `metadata.csv` and `waveforms.hdf5` (or chunks of them) is a SeisBench data set.
    Else each folder in `source` is a class, with files at any depth; hidden files and folders are skipped, README,
    Thumbs.db and the like, and notes beside the class folders (.csv, .json, .md, .txt, .xml, ...).

    Returns:
        the records, and those left out with the reason (a file name without a group id, say).

    Raises:
        ValueError: there are not at least two classes with records, or the source is not laid out as described.
    """
    source = Path(source)
    if not source.is_dir():
        raise ValueError(f"{source}: expected a folder, received {'a file' if source.exists() else 'nothing there'}")
    rejected: list[Rejection] = []
    if settings.labels_csv is not None:
        records = list(_from_labels(source, settings, rejected))
    elif any(source.glob("metadata*.csv")) and any(source.glob("waveforms*.hdf5")):
        # Only such a source needs h5py, and this module is imported by commands that must start at once.
        from seis_tf.waveforms.seisbench import list_traces

        records = list(list_traces(source, settings, rejected))
    else:
        records = list(_from_folders(source, settings, rejected))
    classes = sorted({record.class_name for record in records})
    if len(classes) < 2:
        why = f"; {len(rejected)} rejected, the first: {rejected[0].file}: {rejected[0].reason}" if rejected else ""
        raise ValueError(f"{source}: expected records of at least two classes, received {classes}{why}")
    records.sort(key=lambda record: record.record_id)
    rejected.sort(key=lambda rejection: rejection.file)
    return records, rejected


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of that name holds no records wherever it lies: README, Thumbs.db, hidden ones, ..."""
    return name.startswith(".") or _LEFT_BEHIND.fullmatch(name) is not None


def source_fingerprint(records: Iterable[SourceRecord]) -> str:
    """SHA-256 over the records' names, labels and file sizes: tells whether a source is still the one it was.

    File contents and times of modification don't count; a file that is gone counts as of size -1.
    """
    digest = hashlib.sha256()
    sizes: dict[str, int] = {}
    for record in records:
        # Rows of one container come one after the other: its size is asked for once.
        size = sizes.get(record.path)
        if size is None:
            sizes = {record.path: (size := _size(record.path))}
        fields = (record.file, record.class_name, record.group, record.split or "", str(record.index), str(size))
        digest.update(("\0".join(fields) + "\n").encode())
    return digest.hexdigest()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _from_folders(source: Path, settings: WaveformSourceSettings, rejected: list[Rejection]) -> Iterator[SourceRecord]:
    """Records of class folders; the folder's name is the class."""
    folders, files = _scan(str(source), "", rejected)
    files = [name for name in files if not name.lower().endswith(NOTES)]
    if files:
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise ValueError(
            f"{source}: expected only folders, one a class, received the file {files[0]}{more} "
            "(a CSV file,class,group can label files of one folder)"
        )
    find_group = re.compile(settings.group_pattern).search
    find_station = re.compile(settings.station_pattern).search if settings.station_pattern else None
    for class_name in folders:
        rejected_before, usable = len(rejected), 0
        for prefix, folder, name, stem in _walk(source, class_name, rejected):
            group = find_group(name)
            if group is None or not group[1]:
                reason = (
                    f"expected a name in which {settings.group_pattern} finds the event id, received {name} "
                    "(another pattern: --group-pattern; a table of files: --labels-csv)"
                )
                rejected.append(Rejection(prefix + name, reason))
                continue
            usable += 1
            station = find_station(_unpacked_name(name)) if find_station else None
            yield SourceRecord(
                path=f"{folder}/{name}",
                class_name=class_name,
                group=group[1],
                record_id=prefix + stem,
                station=(station[1] or "") if station else "",
                any_format=settings.any_format,
            )
        if not usable:
            why = [f"{bad.file}: {bad.reason}" for bad in rejected[rejected_before:][:1]] or ["no file"]
            raise ValueError(
                f"{source}: expected records of class {class_name}, received none that can be used: {why[0]}"
            )


def _walk(source: Path, class_name: str, rejected: list[Rejection]) -> Iterator[tuple[str, str, str, str]]:
    """(path below the source with a last slash, folder, file name, name for the id) of all files of a class."""
    below = [class_name]
    while below:
        prefix = below.pop() + "/"
        folder = str(source / prefix)
        folders, files = _scan(folder, prefix, rejected)
        below.extend(prefix + name for name in folders)
        for name, stem in zip(files, _stems(files), strict=True):
            yield prefix, folder.rstrip("/"), name, stem


def _unpacked_name(name: str) -> str:
    """The name without .gz and the like: a compressed record has the id and the station of the same one unpacked."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in _PACKED else name


def _stems(names: list[str]) -> list[str]:
    """Names without suffix, or the names themselves where that would make two alike."""
    stems = [os.path.splitext(_unpacked_name(name))[0] for name in names]
    return stems if len(set(stems)) == len(stems) else names


def _scan(folder: str, prefix: str, rejected: list[Rejection]) -> tuple[list[str], list[str]]:
    """Sorted names of the folders and of the regular files in a folder, without those that are left behind anywhere."""
    folders, files = [], []
    try:
        entries = os.scandir(folder)
    except OSError as err:
        raise ValueError(f"{folder}: expected a readable folder, received {err.strerror}") from err
    with entries:
        for entry in entries:
            name = entry.name
            if is_left_behind(name):
                continue
            if not name.isascii() and name != (readable := name.encode("utf-8", "backslashreplace").decode()):
                rejected.append(Rejection(prefix + readable, "expected a file name in UTF-8, received other bytes"))
            elif entry.is_dir():
                _refuse_loop(folder, entry)
                folders.append(name)
            elif entry.is_file():
                files.append(name)
            else:
                what = "a broken link" if entry.is_symlink() else "something else"
                rejected.append(Rejection(prefix + name, f"expected a file, received {what}"))
    return sorted(folders), sorted(files)


def _refuse_loop(folder: str, entry: os.DirEntry[str]) -> None:
    if entry.is_symlink() and (os.path.realpath(folder) + "/").startswith(os.path.realpath(entry.path) + "/"):
        raise ValueError(f"{entry.path}: expected a folder, received a link to a folder that holds it")


def _from_labels(source: Path, settings: WaveformSourceSettings, rejected: list[Rejection]) -> Iterator[SourceRecord]:
    """Records that a CSV names, one row a file."""
    labels = Path(settings.labels_csv)
    rows: dict[str, dict[str, str]] = {}
    for line, row in read_table(labels, ("file", "class", "group")):
        file, class_name, split = row["file"], row["class"], row.get("split")
        name = f"{labels.name} line {line}: {file}"
        if not (file and class_name and row["group"]):
            received = f"file {file!r}, class {class_name!r}, group {row['group']!r}"
            rejected.append(Rejection(name, f"expected file, class and group, received {received}"))
        elif file in rows:
            reason = f"expected each file once, received it again as {class_name} after {rows[file]['class']}"
            rejected.append(Rejection(name, reason))
        elif split and split not in SPLITS:
            rejected.append(Rejection(name, f"expected split train, valid or test, received {split}"))
        else:
            rows[file] = row
    for (file, row), stem in zip(rows.items(), _stems(list(rows)), strict=True):
        split = SPLITS[row["split"]] if row.get("split") else None
        path = os.path.join(source, file)
        yield SourceRecord(
            path,
            row["class"],
            row["group"],
            stem,
            row.get("station", ""),
            split=split,
            any_format=settings.any_format,
        )
