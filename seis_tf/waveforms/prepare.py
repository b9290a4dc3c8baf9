"""Stages 1 to 4 joined: raw records -> examples -> a data set on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf.dataset import examples
from seis_tf.dataset.dataset_info import DatasetInfo
from seis_tf.dataset.shard_task import Batch
from seis_tf.dataset.splits import check_classes, split_records
from seis_tf.dataset.writer import DatasetPlan, Note, Progress, plan, rejections_first, write_dataset
from seis_tf.settings.data import SpectrogramSettings, SplitSettings, WaveformJob
from seis_tf.waveforms import lengths, loading, source_record, sources
from seis_tf.waveforms.features import waveform_features
from seis_tf.waveforms.source_notes import notes_on
from seis_tf.waveforms.spectrograms import spectrograms, unusable


@dataclass(frozen=True)
class WaveformEncoder:
    """Source records -> examples of task waveforms; goes to the worker processes."""

    job: WaveformJob
    features: tuple[examples.Feature, ...]
    class_names: tuple[str, ...]
    sampling_rate_hz: float

    def __call__(self, records: Sequence[source_record.SourceRecord]) -> Batch:
        """Reads, trims and transforms one batch; what is bad is rejected with its reason."""
        loaded = loading.load_batch(list(records), self.job.record, self.sampling_rate_hz)
        rejected = [{"file": r.file, "reason": r.reason} for r in loaded.rejected]
        # What is stored is what counts: samples may be finite and their power not.
        power = spectrograms(loaded.samples, self.job.spectrogram, self.sampling_rate_hz)
        reasons = unusable(power)
        rejected += [
            {"file": records[position].file, "reason": reason}
            for position, reason in zip(loaded.kept, reasons, strict=True)
            if reason
        ]
        if any(reasons):
            rows = np.array([row for row, reason in enumerate(reasons) if not reason], int)
            power, loaded = power[rows], loaded.take(rows)
        kept = [records[position] for position in loaded.kept]
        labels = [self.class_names.index(record.class_name) for record in kept]
        columns = {
            "spectrogram": power,
            "waveform": loaded.samples,
            "label": labels,
            "group": [record.group for record in kept],
            "record_id": [record.record_id for record in kept],
            "station": [record.station for record in kept],
            "snr_db": loaded.snr_db,
            "peak_amplitude": loaded.peak_amplitude,
            "clipped": loaded.clipped,
        }
        batch = Batch(
            payloads=examples.encode_batch(columns, list(self.features)),
            labels=labels,
            groups=columns["group"],
            record_ids=columns["record_id"],
            hashes=[content.hex() for content in loaded.content_hash],
            rejected=rejected,
            lengths=loaded.record_samples.tolist(),
        )
        if self.job.standardise == "dataset":
            batch.sums = _moments(power)
        return batch


def prepare_waveforms(
    source: Path,
    out: Path,
    job: WaveformJob,
    *,
    processes: int = 1,
    simulated: bool | None = None,
    progress: Progress = lambda done, total: None,
    note: Note = lambda line: None,
) -> DatasetInfo:
    """Makes a data set of a folder of records, a labels CSV or a SeisBench data set.

    Args:
        source: the raw records.
        out: the data set's folder; an unfinished one of the same job is completed.
        job: all settings; without `record.length_samples` the records' own length is taken (`lengths.common_length`)
            and stored in the data set's job.
        processes: worker processes; the bytes written do not depend on it.
        simulated: whether the records are simulated; by default what `simulated.json` in the source says.
        progress: called with the records done and the records in all.
        note: called with what the user should know of how the records are taken (`source_notes.py`), what was taken
            from an earlier run, and what of it was tried again.

    Returns:
        What `dataset.json` says.

    Raises:
        ValueError: the source has no usable records, their lengths differ and none is given, a class is absent from a
            split, more records than `max_rejected` are bad, or `out` holds something else.
    """
    records, left_out = sources.list_records(Path(source), job.source)
    for line in notes_on(records):
        note(line)
    rate = job.record.resample_hz or job.record.sampling_rate_hz or loading.common_sampling_rate(records)
    class_names = tuple(sorted({record.class_name for record in records}))
    n_samples = job.record.length_samples or lengths.common_length(records, job.record, rate)
    job = job.model_copy(update={"record": job.record.model_copy(update={"length_samples": n_samples})})
    features = tuple(waveform_features(job.spectrogram.shape(n_samples), n_samples, rate))
    encoder = WaveformEncoder(job, features, class_names, rate)
    by_split = _split_records(records, job)
    rejected = [{"file": r.file, "reason": r.reason} for r in left_out]
    with rejections_first(rejected):
        _check_plan(by_split, class_names, job.split)
    record_bytes = 256 + 4 * sum(int(np.prod(f.shape, dtype=int)) for f in features)
    tasks = plan("waveforms", out, by_split, encoder, record_bytes, job.shards.shard_mb, sources.source_fingerprint)
    fingerprint = sources.source_fingerprint(records)
    header = {
        "task": "waveforms",
        "features": features,
        "class_names": class_names,
        "sampling_rate_hz": rate,
        "units": _units(job.spectrogram),
        "job": job.model_dump(mode="json"),
        "simulated": (Path(source) / "simulated.json").is_file() if simulated is None else simulated,
        "fingerprint": fingerprint,
    }
    planned = DatasetPlan(tasks, header, job.shards.max_rejected, rejected)
    return write_dataset(out, planned, processes=processes, progress=progress, note=note)


def _units(settings: SpectrogramSettings) -> dict[str, str]:
    power = "source units^2/Hz" if settings.scaling == "density" else "source units^2"
    units = {"waveform": "source units", "frequency": "Hz", "time": "s", "snr_db": "dB"}
    return units | {"spectrogram": f"log10 of {power}" if settings.log else power}


def _split_records(records: list[source_record.SourceRecord], job: WaveformJob) -> dict[str, list]:
    return split_records(
        records,
        job.split,
        group_of=lambda record: record.group,
        class_of=lambda record: record.class_name,
        given=lambda record: record.split,
    )


def _check_plan(
    by_split: dict[str, list[source_record.SourceRecord]], class_names: tuple[str, ...], split: SplitSettings
) -> None:
    """Refuses a split that will lack a class before anything is read."""
    counts = {name: Counter(record.class_name for record in chosen) for name, chosen in by_split.items()}
    groups: dict[str, dict[str, int]] = {name: {} for name in class_names}
    for name, chosen in by_split.items():
        for class_name, _ in {(record.class_name, record.group) for record in chosen}:
            groups[class_name][name] = groups[class_name].get(name, 0) + 1
    check_classes(counts, class_names, groups, split)


def _moments(power: np.ndarray) -> np.ndarray:
    """Count, sum and sum of squares for each frequency, float64 [3, frequency]."""
    exact = power.astype(np.float64)
    count = np.full(power.shape[1], power.shape[0] * power.shape[2], float)
    return np.stack([count, exact.sum(axis=(0, 2)), np.square(exact).sum(axis=(0, 2))])
