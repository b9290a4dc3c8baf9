"""What the ways of a row read: made once in the work folder, from simulated records."""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATE_HZ = 10e6


def labquake_files(work: Path, count: int) -> Path:
    """miniSEED files of 1,024 samples in three class folders."""
    from suite.definition import cores

    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.synthetic.labquakes import write_labquakes

    out = work / f"records-{count}"
    if not out.is_dir():
        write_labquakes(out, LabquakeSettings(), count, 0, processes=cores())
    return out


def waveform_dataset(work: Path, count: int) -> Path:
    """A data set of that many labquakes."""
    from suite.definition import cores

    from seis_tf.settings.data import WaveformJob
    from seis_tf.waveforms.prepare import prepare_waveforms

    out = work / f"dataset-{count}"
    if not (out / "dataset.json").is_file():
        prepare_waveforms(labquake_files(work, count), out, WaveformJob(), processes=cores())
    return out


def hdf5_dataset(work: Path, count: int) -> Path:
    """The training split's spectrograms and labels as SeisBench would keep them: one HDF5 data set."""
    import h5py

    from seis_tf.dataset import shards

    out = work / f"train-{count}.hdf5"
    if out.is_file():
        return out
    folder = waveform_dataset(work, count)
    info = shards.load_dataset(folder)
    n = info.splits["train"].records
    with h5py.File(out.with_suffix(".part"), "w") as file:
        power = file.create_dataset("data/spectrogram", (n, *info.feature("spectrogram").shape), np.float32)
        labels = np.empty(n, np.int64)
        for i, record in enumerate(shards.iterate(folder, info, "train")):
            power[i], labels[i] = record["spectrogram"], record["label"]
        file["data/label"] = labels
    out.with_suffix(".part").rename(out)
    return out


def spectrograms(work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Standardised spectrograms float32 [record, 65, 101] of simulated labquakes, and their classes."""
    from seis_tf.settings.data import SpectrogramSettings
    from seis_tf.waveforms.spectrograms import spectrograms as transform
    from seis_tf.waveforms.spectrograms import standardise

    path = work / f"spectrograms-{count}.npz"
    if not path.is_file():
        samples, labels = waveforms(work, count)
        power = standardise(transform(samples, SpectrogramSettings(), RATE_HZ))
        np.savez(path, power=power, labels=labels)
    with np.load(path) as file:
        return file["power"], file["labels"]


def waveforms(work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Waveforms float32 [record, 1024] of simulated labquakes in random order, and their classes."""
    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.synthetic.labquakes import simulate

    path = work / f"waveforms-{count}.npz"
    if not path.is_file():
        few = simulate(LabquakeSettings(), min(count, 2000), 0)
        names = list(LabquakeSettings().class_names)
        order = np.random.default_rng(0).permutation(count) % len(few.samples)
        labels = np.array([names.index(name) for name in few.truth["class"]], np.int64)
        np.savez(path, samples=few.samples[order].astype(np.float32), labels=labels[order])
    with np.load(path) as file:
        return file["samples"], file["labels"]


def waveforms_file(work: Path, count: int) -> None:
    """Only makes `waveforms`."""
    waveforms(work, count)


def spectrograms_file(work: Path, count: int) -> None:
    """Only makes `spectrograms`."""
    spectrograms(work, count)


def dart_arrays(count: int, minutes: int = 45, sources: int = 31) -> tuple[np.ndarray, np.ndarray]:
    """Windows float32 [event, minute, buoy] at the three buoys and the slip float32 [event, source] that made them."""
    level, slip, _ = dart_system(count, minutes, sources)
    return level, slip


def dart_system(count: int, minutes: int = 45, sources: int = 31) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `dart_arrays`, and the matrix [minute, buoy, source].

    Slip is on half of the sources; noise is 5 mm. Beyond the 31 packaged unit sources further ones are made by delay.
    """
    from seis_tf.dart.unit_sources import load_greens
    from seis_tf.settings.simulation import FakequakeSettings

    matrix = load_greens().select(gauges=FakequakeSettings().buoys).matrix(minutes)
    delayed = [np.roll(matrix, 2 * (k + 1), axis=0) for k in range(sources // matrix.shape[-1])]
    matrix = np.concatenate([matrix, *delayed], axis=-1)[..., :sources]
    random = np.random.default_rng(0)
    slip = random.gamma(2.0, 4.0, (count, sources))
    slip *= (np.arange(sources) - random.integers(0, sources, count)[:, None]) % sources < (sources + 1) // 2
    level = np.tensordot(slip, matrix, axes=(1, 2)) + random.normal(0, 0.005, (count, *matrix.shape[:2]))
    return level.astype(np.float32), slip.astype(np.float32), matrix


def fakequakes(work: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows float32 [event, 45, 3] of simulated earthquakes, and the matrix [minute, buoy, source]."""
    from seis_tf.dart.unit_sources import load_greens
    from seis_tf.settings.simulation import FakequakeSettings
    from seis_tf.synthetic.fakequakes import simulate

    path, greens, settings = work / f"fakequakes-{count}.npy", load_greens(), FakequakeSettings()
    if not path.is_file():
        np.save(path, simulate(settings, greens, count, 0).windows_m[:, :45])
    return np.load(path), greens.select(gauges=settings.buoys).matrix(45)


def fakequakes_file(work: Path, count: int) -> None:
    """Only makes `fakequakes`."""
    fakequakes(work, count)


def dart_dataset(work: Path, count: int) -> Path:
    """A data set of simulated earthquakes."""
    from seis_tf.dart.prepare import prepare_dart
    from seis_tf.dart.unit_sources import load_greens
    from seis_tf.settings.data import DartJob
    from seis_tf.settings.simulation import FakequakeSettings
    from seis_tf.synthetic.fakequake_files import write_fakequakes
    from seis_tf.synthetic.fakequakes import simulate

    out = work / f"dart-{count}"
    if not (out / "dataset.json").is_file():
        greens = load_greens()
        events = simulate(FakequakeSettings(), greens, count, 0)
        source = write_fakequakes(work / f"quakes-{count}", events, greens, raw=0)
        prepare_dart(source, out, DartJob())
    return out


def exported(work: Path, task: str) -> Path:
    """The SavedModel of a small run of the MLP ("waveforms") or of the published network ("dart")."""
    from seis_tf import runs
    from seis_tf.serve.export.export import graph_of
    from seis_tf.serve.export.signature import save
    from seis_tf.settings.networks import Conv1dSettings, MlpSettings
    from seis_tf.settings.training import TrainingSettings, TrainJob

    out = work / f"model-{task}"
    if out.is_dir():
        return out
    model = MlpSettings() if task == "waveforms" else Conv1dSettings()
    dataset = waveform_dataset(work, 600) if task == "waveforms" else dart_dataset(work, 300)
    run = runs.train(dataset, TrainJob(model=model, training=TrainingSettings(epochs=3)), work / f"run-{task}")
    if task == "waveforms":
        np.savez(work / "mlp-weights.npz", *run.model.get_weights())
    graph = graph_of(run)
    save(graph.signatures(), graph.variables, out)
    return out
