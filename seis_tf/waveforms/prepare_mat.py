"""The exercise's `.mat` matrix to a data set, and a data set to such a matrix."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf.dataset import examples, shards
from seis_tf.dataset.shard_task import Batch
from seis_tf.dataset.shards import SPLITS, DatasetInfo
from seis_tf.dataset.splits import split_records
from seis_tf.dataset.writer import DatasetPlan, Note, Progress, plan, write_dataset
from seis_tf.settings.data import WaveformJob
from seis_tf.waveforms import matfile, spectrograms
from seis_tf.waveforms.features import waveform_features


@dataclass(frozen=True)
class _MatItem:
    """One record of the matrix."""

    spectrogram: np.ndarray
    label: int
    group: str
    record_id: str


@dataclass(frozen=True)
class _MatEncoder:
    features: tuple[examples.Feature, ...]

    def __call__(self, items: list[_MatItem]) -> Batch:
        batch = Batch([], [], [], [], [])
        reasons = spectrograms.unusable(np.stack([item.spectrogram for item in items]))
        for item, reason in zip(items, reasons, strict=True):
            if reason:
                batch.rejected.append({"file": item.record_id, "reason": reason})
                continue
            values = {
                "spectrogram": item.spectrogram,
                "label": item.label,
                "group": item.group,
                "record_id": item.record_id,
                "station": "",
                "snr_db": np.float32(0),
                "peak_amplitude": np.float32(0),
                "clipped": 0,
            }
            batch.payloads.append(examples.encode(values, list(self.features)))
            batch.labels.append(item.label)
            batch.groups.append(item.group)
            batch.record_ids.append(item.record_id)
            batch.hashes.append(hashlib.blake2b(item.spectrogram.tobytes(), digest_size=16).hexdigest())
        return batch


def prepare_mat(
    source: Path,
    out: Path,
    job: WaveformJob,
    *,
    groups_csv: Path | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda line: None,
) -> DatasetInfo:
    """Makes a data set of the exercise's matrix of spectrograms.

    The matrix has no waveforms; event ids come from `groups_csv` or from its variable `group`, which `write_mat` writes
    and the exercise has not. Without either each record is a group of its own, records of one event may be on both
    sides of a split, and the data set says so ("ungrouped").

    Args:
        source: the `.mat` file, see `matfile.read_mat`.
        out: the data set's folder.
        job: split, shards and standardisation; `spectrogram.log` takes the logarithm of power that is still linear.
        groups_csv: CSV with a column `group`, a row for each record.
        progress: called with the records done and the records in all.
        note: called with a line where event ids are missing, on what was taken from an earlier run, and on what of it
            was tried again.

    Raises:
        ValueError: as `matfile.read_mat` and `writer.write_dataset`; linear power is asked for, and the file holds
            logarithms.
    """
    mat = matfile.read_mat(Path(source), groups_csv)
    power = _scaled(mat.spectrograms, job, Path(source))
    names = mat.record_ids or [f"{Path(source).stem}-{i:06d}" for i in range(len(power))]
    if mat.groups is None:
        note(
            f"{source} has no event ids (a variable group, or --labels-csv with a column group): records of one event "
            "may lie on both sides of the split, and scores are too good then"
        )
    groups = names if mat.groups is None else mat.groups
    items = [_MatItem(*item) for item in zip(power, map(int, mat.labels), groups, names, strict=True)]
    features = tuple(waveform_features(power.shape[1:], None, None))
    by_split = split_records(
        items, job.split, group_of=lambda item: item.group, class_of=lambda item: mat.class_names[item.label]
    )
    header = {
        "task": "waveforms",
        "features": features,
        "class_names": tuple(mat.class_names),
        "units": {"spectrogram": "log10 of source units" if job.spectrogram.log else "source units"},
        "job": job.model_dump(mode="json"),
        "grouped": mat.groups is not None,
        "fingerprint": hashlib.sha256(Path(source).read_bytes()).hexdigest(),
    }
    record_bytes = 256 + 4 * int(np.prod(power.shape[1:]))
    tasks = plan("waveforms", out, by_split, _MatEncoder(features), record_bytes, job.shards.shard_mb)
    return write_dataset(out, DatasetPlan(tasks, header, job.shards.max_rejected), progress=progress, note=note)


def write_mat(folder: Path, path: Path) -> None:
    """Writes all records of a data set as the exercise's matrix, splits one after the other: train, valid, test.

    Raises:
        ValueError: the data set is not of spectrograms of waveforms, or a shard is damaged.
    """
    info = shards.load_dataset(folder)
    info.feature("spectrogram")
    if info.sampling_rate_hz is None:
        raise ValueError(f"{folder}: expected a data set made of waveforms, received one made of such a matrix")
    records = [record for split in SPLITS for record in shards.iterate(folder, info, split)]
    job = WaveformJob.model_validate(info.job)
    frequencies, times = spectrograms.axes(job.spectrogram, job.record.length_samples, info.sampling_rate_hz)
    matfile.write_mat(
        path,
        np.stack([record["spectrogram"] for record in records]),
        np.array([int(record["label"]) for record in records]),
        frequencies,
        times,
        info.class_names,
        [str(record["group"]) for record in records] if info.grouped else None,
        [str(record["record_id"]) for record in records],
    )


def _scaled(power: np.ndarray, job: WaveformJob, source: Path) -> np.ndarray:
    logarithmic = bool((power < 0).any())
    if logarithmic and not job.spectrogram.log:
        raise ValueError(f"{source}: expected linear power (--linear), received negative values, so logarithms")
    if logarithmic or not job.spectrogram.log:
        return power
    floor = job.spectrogram.log_floor * power.max(axis=(1, 2), keepdims=True)
    return np.log10(np.maximum(power, np.maximum(floor, np.finfo(np.float32).tiny))).astype(np.float32)
