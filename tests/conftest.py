"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from seis_tf.dart.features import dart_features
from seis_tf.dataset import examples, shard_task, shards, writer
from seis_tf.settings.data import DartJob, WaveformJob
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.synthetic.labquakes import write_labquakes
from seis_tf.waveforms import features as stored
from seis_tf.waveforms.spectrograms import spectrograms

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings, `shared/data` beside the repository; skips where there is none (they aren't ours)."""
    folder = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real recordings at {folder}")
    return folder


# Tiny data sets, written without any raw files: spectrograms of 8 x 9 from 70 samples, windows of 8 minutes.
TINY_JOB = {"record": {"length_samples": 70}, "spectrogram": {"nperseg": 14, "noverlap": 7, "nfft": 14}}
TINY_CLASSES = ("AE", "UP", "noise")
TINY_RATE_HZ = 100.0


@dataclass(frozen=True)
class TinyRecord:
    """One record to be: its values, and where it belongs."""

    record_id: str
    group: str
    label: int
    values: dict
    hash: str = ""


@dataclass(frozen=True)
class TinyEncoder:
    """Records that are in memory already -> examples; normalisation sums on request."""

    features: tuple[examples.Feature, ...]
    sums: bool = False

    def __call__(self, items: Sequence[TinyRecord]) -> shard_task.Batch:
        batch = shard_task.Batch(
            [examples.encode(item.values, list(self.features)) for item in items],
            [item.label for item in items],
            [item.group for item in items],
            [item.record_id for item in items],
            [item.hash for item in items],
        )
        if self.sums:
            power = np.stack([item.values["spectrogram"] for item in items]).astype(np.float64)
            count = np.full(power.shape[1], power.shape[0] * power.shape[2], float)
            batch.sums = np.stack([count, power.sum(axis=(0, 2)), (power**2).sum(axis=(0, 2))])
        return batch


def tiny_waveform_records(seed: int = 0, groups_per_class: int = 12, per_group: int = 3) -> list[TinyRecord]:
    """Three classes that differ in spectrum: an event's records share its frequency; noise is white."""
    random = np.random.default_rng(seed)
    job = WaveformJob.model_validate(TINY_JOB)
    time_s = np.arange(70) / TINY_RATE_HZ
    records = []
    for label, name in enumerate(TINY_CLASSES):
        for event in range(groups_per_class):
            tone_hz = random.uniform(*((30, 40), (8, 15), (0, 1))[label])
            for sensor in range(per_group):
                samples = random.normal(size=70) + 3 * (label < 2) * np.sin(2 * np.pi * tone_hz * time_s)
                samples = samples.astype(np.float32)
                values = {
                    "spectrogram": spectrograms(samples[None], job.spectrogram, TINY_RATE_HZ)[0],
                    "waveform": samples,
                    "label": label,
                    "group": f"{name}{event:03d}",
                    "record_id": f"{name}/{event:03d}_{sensor}",
                    "station": f"S{sensor}",
                    "snr_db": 10.0 * (label < 2),
                    "peak_amplitude": np.abs(samples).max(),
                    "clipped": False,
                }
                content = samples.tobytes().hex()[:32]
                records.append(TinyRecord(values["record_id"], values["group"], label, values, content))
    return records


def write_tiny_waveforms(
    out: Path, records: list[TinyRecord], job: WaveformJob, by_split: dict[str, list] | None = None, **header
) -> shards.DatasetInfo:
    """A data set of these records, in several shards, by hash; `header` overrides what `dataset.json` says."""
    features = tuple(stored.waveform_features((8, 9), 70, TINY_RATE_HZ))
    if by_split is None:
        by_split = {split: [] for split in shards.SPLITS}
        for record in records:
            by_split[shards.split_of(record.group, job.split)].append(record)
        by_split = {s: shards.shuffled(found, lambda r: r.record_id, job.split.seed) for s, found in by_split.items()}
    tasks = writer.plan("waveforms", out, by_split, TinyEncoder(features, job.standardise == "dataset"), 900, 0.02)
    full = {
        "task": "waveforms",
        "features": features,
        "class_names": TINY_CLASSES,
        "sampling_rate_hz": TINY_RATE_HZ,
        "units": {"waveform": "counts"},
        "job": job.model_dump(mode="json"),
        "simulated": True,
        "fingerprint": "of no source",
    }
    return writer.write_dataset(out, writer.DatasetPlan(tasks, full | header, job.shards.max_rejected))


@pytest.fixture(scope="session")
def tiny_records():
    """The function that makes records, for tests that change some before they are written."""
    return tiny_waveform_records


@pytest.fixture(scope="session")
def write_waveforms():
    """The function that writes records as a data set: (out, records, **settings of the job and of the header)."""

    def write(out: Path, records: list[TinyRecord], *, job: dict | None = None, **header) -> shards.DatasetInfo:
        return write_tiny_waveforms(out, records, WaveformJob.model_validate(TINY_JOB | (job or {})), **header)

    return write


@pytest.fixture(scope="session")
def tiny_waveforms(tmp_path_factory) -> Path:
    """A data set of task waveforms: 108 records of 36 events in three classes. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("tiny") / "waveforms"
    write_tiny_waveforms(out, tiny_waveform_records(), WaveformJob.model_validate(TINY_JOB))
    return out


@pytest.fixture(scope="session")
def tiny_dart(tmp_path_factory) -> Path:
    """A data set of task dart: 60 events, 8 minutes at 2 buoys, slip on 3 sources. Not to be changed: copy it."""
    out = tmp_path_factory.mktemp("tiny") / "dart"
    random = np.random.default_rng(1)
    greens = random.normal(size=(3, 8, 2))
    features = tuple(dart_features(8, 2, 3))
    records = []
    for event in range(60):
        slip_m = random.gamma(1.0, 2.0, 3).astype(np.float32)
        level = np.tensordot(slip_m, greens, 1) + 0.01 * random.normal(size=(8, 2))
        name = f"event{event:03d}"
        values = {"water_level_m": level, "mask": np.ones((8, 2)), "weights_m": slip_m, "mw": 8.0}
        records.append(TinyRecord(name, name, 0, values | {"group": name, "record_id": name}))
    job = DartJob()
    by_split: dict[str, list] = {split: [] for split in shards.SPLITS}
    for record in records:
        by_split[shards.split_of(record.group, job.split)].append(record)
    header = {
        "task": "dart",
        "features": features,
        "gauge_names": ("46404", "46407"),
        "source_names": ("acsza57", "acsza58", "acsza59"),
        "units": {"water_level_m": "m", "weights_m": "m"},
        "job": job.model_dump(mode="json"),
        "simulated": True,
        "fingerprint": "of no source",
    }
    tasks = writer.plan("dart", out, by_split, TinyEncoder(features), 300, 0.01)
    writer.write_dataset(out, writer.DatasetPlan(tasks, header, 0.0))
    return out


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a small SavedModel `toy` in two versions: several signatures, types, and ways to fail.

    Version 1 answers x / 2 + 2 to its default signature, version 2 x / 2 + 3. Don't write into it: copy what you need.
    """
    import tensorflow as tf

    def save(folder: Path, offset: float) -> None:
        module = tf.Module()
        module.offset = tf.Variable(offset)
        scalar, text = tf.TensorSpec([], tf.float32, "value"), tf.TensorSpec([None], tf.string, "text")
        row = tf.TensorSpec([None, 4], tf.float32, "x")
        pair = tf.TensorSpec([None, 2], tf.float32, "a"), tf.TensorSpec([None], tf.int64, "b")

        def single(x):
            return {"y": x / 2 + module.offset}

        def named(a, b):
            names = tf.gather(tf.constant(["even", "odd"]), b % 2)
            return {"total": tf.reduce_sum(a, axis=1), "label": names, "raw_bytes": names, "twice": 2 * b}

        def logarithm(x):
            return {"log": tf.math.log(x), "whole": x}

        def picky(x):
            with tf.control_dependencies([tf.debugging.assert_less(x, 100.0, "x: expected values below 100")]):
                return {"y": x + 1}

        def length(text):
            return {"length": tf.strings.length(text)}

        def alone(value):
            return {"double": 2 * value}

        signatures = {"serving_default": (single, row), "named": (named, *pair), "logarithm": (logarithm, row)}
        signatures |= {"picky": (picky, row), "length": (length, text), "alone": (alone, scalar)}
        traced = {
            name: tf.function(function, input_signature=specs).get_concrete_function()
            for name, (function, *specs) in signatures.items()
        }
        tf.saved_model.save(module, str(folder), signatures=traced)

    folder = tmp_path_factory.mktemp("models")
    save(folder / "toy" / "1", 2.0)
    save(folder / "toy" / "2", 3.0)
    return folder


@pytest.fixture(scope="session")
def untrained_run():
    """The function that makes a run folder of networks with their first weights: (out, dataset, TrainJob) -> out."""
    from seis_tf import runs, tasks
    from seis_tf.files import write_json
    from seis_tf.settings.training import TrainJob

    def make(out: Path, dataset: Path, job: TrainJob) -> Path:
        info, members = shards.load_dataset(dataset), job.training.members
        models = [tasks.build(job.model, info, seed=seed) for seed in range(members)]
        for model in models:  # a bias of its own for each output: no network answers the same to everything
            bias = model.layers[-1].bias
            bias.assign(np.linspace(0.1, 1, bias.shape[0]))
        out.mkdir(parents=True)
        config = runs.RunConfig(job=job, dataset=str(dataset), info=info, versions=runs.versions())
        write_json(out / "config.json", config)
        rows = "".join(f"{k},1,0.5,0.75\n" for k in range(members))
        (out / "history.csv").write_text(f"member,epoch,loss,val_loss\n{rows}")
        runs.ensemble(models).save(out / "model.keras")
        return out

    return make


@pytest.fixture(scope="session")
def labquake_dir(tmp_path_factory) -> Path:
    """120 miniSEED files of 60 simulated events. Not to be changed: copy it."""
    settings = LabquakeSettings(
        length_samples=300, sensors_per_event=2, coda_s=(2e-6, 4e-6), block_m=(0.05, 0.05, 0.05)
    )
    return write_labquakes(tmp_path_factory.mktemp("raw") / "labquakes", settings, 120, seed=2)
