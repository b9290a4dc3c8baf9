"""Records at buoys and the slip that made them -> a data set of windows, split by earthquake."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from seis_tf.dart import event_sources
from seis_tf.dart.features import dart_features
from seis_tf.dart.unit_sources import GreensFunctions, load_greens, magnitude
from seis_tf.dart.windows import DartEvent
from seis_tf.dataset import examples
from seis_tf.dataset.dataset_info import DatasetInfo
from seis_tf.dataset.shard_task import Batch
from seis_tf.dataset.shards import Rejection
from seis_tf.dataset.splits import split_records
from seis_tf.dataset.writer import DatasetPlan, Note, Progress, plan, write_dataset
from seis_tf.settings.data import DartJob


@dataclass(frozen=True)
class DartEncoder:
    """Events of a source -> examples of task dart."""

    job: DartJob
    greens: GreensFunctions
    features: tuple[examples.Feature, ...]
    said: list[str] = field(default_factory=list)

    def __call__(self, refs: list[event_sources.EventRef]) -> Batch:
        """Reads one batch of events; what is bad is rejected with its reason."""
        batch = Batch([], [], [], [], [])
        for ref, event in zip(refs, event_sources.load_events(refs, self.job, self.greens), strict=True):
            reason = event.reason if isinstance(event, Rejection) else self._unfit(event)
            if reason:
                batch.rejected.append({"file": ref.event_id, "reason": reason})
                continue
            self.said.extend(f"{event.event_id}: {line}" for line in event.notes)
            batch.payloads.append(examples.encode(self._values(event), list(self.features)))
            batch.labels.append(0)
            batch.groups.append(event.event_id)
            batch.record_ids.append(event.event_id)
            batch.hashes.append("")
            batch.largest = max(batch.largest, float(np.abs(event.window_m).max()))
        return batch

    def _unfit(self, event: DartEvent) -> str:
        if event.weights_m is None:
            return "expected the true slip, received an event without weights"
        if event.truth_m is None and any(feature.name == "truth_m" for feature in self.features):
            return "expected the true wave, as the first event has it, received none"
        return ""

    def _values(self, event: DartEvent) -> dict[str, object]:
        values = {
            "water_level_m": event.window_m,
            "mask": event.mask.astype(np.float32),
            "weights_m": event.weights_m,
            "mw": np.float32(magnitude(event.weights_m, self.greens.area_m2) if event.mw is None else event.mw),
            "group": event.event_id,
            "record_id": event.event_id,
        }
        return values | ({} if event.truth_m is None else {"truth_m": event.truth_m})


def prepare_dart(
    source: Path | str,
    out: Path | str,
    job: DartJob,
    *,
    progress: Progress = lambda done, total: None,
    note: Note = lambda line: None,
) -> DatasetInfo:
    """Makes a data set of simulated earthquakes, of the prototype's files, or of raw buoy files with known slip.

    Args:
        source: see `event_sources.list_events`.
        out: the data set's folder; an unfinished one of the same job is completed.
        job: window, buoys in order, detiding, Green's functions, split.
        progress: called with the events done and the events in all.
        note: called with what was taken from an earlier run, what of it was tried again, and what of raw records was
            masked.

    Raises:
        ValueError: the source is not what the job expects, or more events than `max_rejected` are bad.
    """
    greens = load_greens(job.greens)
    refs = event_sources.list_events(source, job, greens)
    gauges = event_sources.truth_gauges(job, greens)
    truth = _truth_shape(refs, job, greens)
    steps = job.record.window_min // job.record.step_min
    features = tuple(dart_features(steps, len(job.record.buoys), len(greens.source_names), truth))
    by_split = split_records(refs, job.split, group_of=lambda ref: ref.event_id)
    encoder = DartEncoder(job, greens, features)
    record_bytes = 256 + 4 * sum(int(np.prod(f.shape, dtype=int)) for f in features)
    header = {
        "task": "dart",
        "features": features,
        "gauge_names": job.record.buoys,
        "source_names": greens.source_names,
        "forecast_gauges": gauges,
        "units": {"water_level_m": "m", "weights_m": "m", "truth_m": "m", "mask": "1 where there is a sample"},
        "job": job.model_dump(mode="json"),
        "simulated": (Path(source) / "simulated.json").is_file(),
        "fingerprint": event_sources.source_fingerprint(source),
    }
    tasks = plan("dart", Path(out), by_split, encoder, record_bytes, job.shards.shard_mb)
    # One process: the arrays are read once, and encoding a window costs less than sending it.
    dataset_plan = DatasetPlan(tasks, header, job.shards.max_rejected)
    info = write_dataset(Path(out), dataset_plan, progress=progress, note=note)
    for line in encoder.said:
        note(line)
    return info


def _truth_shape(refs, job: DartJob, greens: GreensFunctions) -> tuple[int, int] | None:
    for event in event_sources.load_events(refs, job, greens):
        if isinstance(event, DartEvent):
            return None if event.truth_m is None else event.truth_m.shape
    return None
