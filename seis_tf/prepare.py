"""Stages 1 to 4 joined: raw records -> examples -> a data set on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seis_tf import examples, lengths, shards, sources, waveforms
from seis_tf.settings.data import WaveformJob
from seis_tf.shards import SPLITS, DatasetInfo
from seis_tf.source_notes import notes_on
from seis_tf.spectrograms import spectrograms
from seis_tf.writer import Batch, Progress, plan, rejections_first, write_dataset


@dataclass(frozen=True)
class WaveformEncoder:
    """Source records -> examples of task waveforms; goes to the worker processes."""

    job: WaveformJob
    features: tuple[examples.Feature, ...]
    class_names: tuple[str, ...]
    sampling_rate_hz: float

    def __call__(self, records: Sequence[sources.SourceRecord]) -> Batch:
        """Reads, trims and transforms one batch; what is bad is rejected with its reason."""
        loaded = waveforms.load_batch(list(records), self.job.record, self.sampling_rate_hz)
        power = spectrograms(loaded.samples, self.job.spectrogram, self.sampling_rate_hz)
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
            rejected=[{"file": r.file, "reason": r.reason} for r in loaded.rejected],
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
    note: Callable[[str], None] = lambda line: None,
) -> DatasetInfo:
    """Makes a data set of a folder of records, a labels CSV or a SeisBench data set.

    Args:
        source: the raw records.
        out: the data set's folder; an unfinished one of the same job is completed.
        job: all settings; without `record.length_samples` the records' own length is taken (`lengths.common_length`)
            and stored in the data set's job.
        processes: worker processes; the bytes written do not depend on it.
        simulated: whether the records are simulated; by default what `simulated.json` in the source says.
        progress: told the records done and the records in all.
        note: told what the user should know of how the records are taken; see `source_notes.py`.

    Returns:
        What `dataset.json` says.

    Raises:
        ValueError: the source has no usable records, their lengths differ and none is given, a class is absent from a
            split, more records than `max_rejected` are bad, or `out` holds something else.
    """
    records, unusable = sources.list_records(Path(source), job.source)
    for line in notes_on(records):
        note(line)
    rate = job.record.resample_hz or job.record.sampling_rate_hz or waveforms.common_sampling_rate(records)
    class_names = tuple(sorted({record.class_name for record in records}))
    n_samples = job.record.length_samples or lengths.common_length(records, job.record, rate)
    job = job.model_copy(update={"record": job.record.model_copy(update={"length_samples": n_samples})})
    features = tuple(examples.waveform_features(job.spectrogram.shape(n_samples), n_samples, rate))
    encoder = WaveformEncoder(job, features, class_names, rate)
    by_split = _split_records(records, job)
    rejected = [{"file": r.file, "reason": r.reason} for r in unusable]
    with rejections_first(rejected):
        _check_plan(by_split, class_names)
    record_bytes = 256 + 4 * sum(int(np.prod(f.shape, dtype=int)) for f in features)
    tasks = plan("waveforms", out, by_split, encoder, record_bytes, job.shards.shard_mb)
    fingerprint = sources.source_fingerprint(records)
    units = {"waveform": "source units", "frequency": "Hz", "time": "s", "snr_db": "dB"}
    units["spectrogram"] = f"{'log10 of ' if job.spectrogram.log else ''}source units^2" + (
        "/Hz" if job.spectrogram.scaling == "density" else ""
    )
    header = {
        "task": "waveforms",
        "features": features,
        "class_names": class_names,
        "sampling_rate_hz": rate,
        "units": units,
        "job": job.model_dump(mode="json"),
        "simulated": (Path(source) / "simulated.json").is_file() if simulated is None else simulated,
        "fingerprint": fingerprint,
    }
    return write_dataset(out, tasks, header, rejected, job.shards.max_rejected, processes, progress)


def _split_records(records: list[sources.SourceRecord], job: WaveformJob) -> dict[str, list]:
    by_split: dict[str, list] = {split: [] for split in SPLITS}
    for record in records:
        by_split[record.split or shards.split_of(record.group, job.split)].append(record)
    return {split: shards.shuffled(items, lambda r: r.record_id, job.split.seed) for split, items in by_split.items()}


def _check_plan(by_split: dict[str, list[sources.SourceRecord]], class_names: tuple[str, ...]) -> None:
    """Refuses a split that will lack a class before anything is read."""
    counts = {split: Counter(record.class_name for record in found) for split, found in by_split.items()}
    groups: dict[str, dict[str, int]] = {name: {} for name in class_names}
    for split, found in by_split.items():
        for name, _ in {(record.class_name, record.group) for record in found}:
            groups[name][split] = groups[name].get(split, 0) + 1
    shards.check_classes(counts, class_names, groups)


def _moments(power: np.ndarray) -> np.ndarray:
    """Count, sum and sum of squares for each frequency, float64 [3, frequency]."""
    exact = power.astype(np.float64)
    count = np.full(power.shape[1], power.shape[0] * power.shape[2], float)
    return np.stack([count, exact.sum(axis=(0, 2)), np.square(exact).sum(axis=(0, 2))])
