"""Row 3: one shuffled epoch from disk in batches of 64, against HDF5 with PyTorch's `DataLoader`."""

from __future__ import annotations

import time
from pathlib import Path

from suite.definition import Comparison, Ready, Row, Way

BATCH = 64


def row(scale: str) -> Row:
    """The training split of 20,000 records: spectrogram and label."""
    count = 300 if scale == "quick" else 20_000
    sizes = {"count": count}
    torch = {f"HDF5 and DataLoader, {n} workers": Way("rows.epoch:hdf5", sizes | {"workers": n}, 1) for n in (0, 2)}
    kept = {"in memory, DataLoader": Way("rows.epoch:tensors", sizes, 1)}
    ours = {
        "ours, read in each epoch": Way("rows.epoch:ours", sizes),
        "ours, read into memory, the first epoch": Way("rows.epoch:ours_first", sizes),
        "ours, in memory, a further epoch": Way("rows.epoch:ours", sizes | {"in_memory": True}),
    }
    each, first, further = ours
    return Row(
        "3",
        f"one epoch of {count:,} records' training split, batches of {BATCH}",
        "records/s",
        (("rows.inputs:hdf5_dataset", sizes),),
        ours | {"read() of the same shards": Way("rows.epoch:plain_read", sizes)} | torch | kept,
        (
            Comparison("read in each epoch, against HDF5 and DataLoader", each, tuple(torch), 3),
            Comparison(
                "read in each epoch, against read() of the same bytes", each, ("read() of the same shards",), 0.5
            ),
            Comparison("read into memory, the first epoch, against HDF5 and DataLoader", first, tuple(torch)),
            Comparison("in memory, a further epoch, against HDF5 and DataLoader", further, tuple(torch)),
            Comparison("in memory, a further epoch, against DataLoader in memory", further, tuple(kept)),
        ),
        note="Shuffled; every checksum is checked in ours, HDF5 has none. All files are in the page cache. Memory "
        "that a process touches for the first time costs up to 3 ns a byte here: most of that epoch.",
    )


def ours(work: Path, count: int, in_memory: bool = False) -> Ready:
    """`pipeline.records`."""
    from seis_tf.dataset import shards

    folder = work / f"dataset-{count}"
    batches = _records(folder, in_memory)

    def run() -> None:
        for _ in batches:
            pass

    return Ready(run, shards.load_dataset(folder).splits["train"].records)


def ours_first(work: Path, count: int) -> Ready:
    """`pipeline.records` that reads everything into memory, and the pass after that."""
    from seis_tf.dataset import shards

    folder = work / f"dataset-{count}"

    def run() -> None:
        for _ in _records(folder, in_memory=True):
            pass

    return Ready(run, shards.load_dataset(folder).splits["train"].records)


def _records(folder: Path, in_memory: bool):
    from seis_tf.dataset import pipeline

    return pipeline.records(folder, "train", ("spectrogram", "label"), BATCH, shuffle=True, in_memory=in_memory)


def plain_read(work: Path, count: int) -> Ready:
    """The shards' bytes into memory, and nothing else."""
    from seis_tf.dataset import shards

    folder = work / f"dataset-{count}"
    info = shards.load_dataset(folder)
    paths, buffer = shards.shard_paths(folder, info, "train"), bytearray(8 << 20)

    def run() -> None:
        for path in paths:
            with open(path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    pass

    size_gb = sum(path.stat().st_size for path in paths) / 1e9
    return Ready(run, info.splits["train"].records, facts=lambda: {"gb": size_gb})


def hdf5(work: Path, count: int, workers: int) -> Ready:
    """SeisBench's way: a data set whose items are read one by one from one HDF5 file, collated by a `DataLoader`."""
    import h5py
    import torch

    path = work / f"train-{count}.hdf5"
    with h5py.File(path) as file:
        labels = file["data/label"][:]

    class Records(torch.utils.data.Dataset):
        file = None

        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, i: int):
            if self.file is None:  # opened in each worker: a handle does not survive a fork
                self.file = h5py.File(path)
                self.power = self.file["data/spectrogram"]
            return torch.from_numpy(self.power[i]), labels[i]

    loader = torch.utils.data.DataLoader(
        Records(), BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )

    def run() -> None:
        for _ in loader:
            pass

    return Ready(run, len(labels))


def tensors(work: Path, count: int) -> Ready:
    """PyTorch's way with all in memory: tensors, whose items are collated by a `DataLoader`."""
    import h5py
    import torch

    with h5py.File(work / f"train-{count}.hdf5") as file:
        power, labels = torch.from_numpy(file["data/spectrogram"][:]), torch.from_numpy(file["data/label"][:])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(power, labels), BATCH, shuffle=True)

    def run() -> None:
        for _ in loader:
            pass

    return Ready(run, len(labels))


def once(work: Path, count: int) -> dict[str, float]:
    """Seconds of one epoch, for the growth plot."""
    ready = ours(work, count)
    started = time.perf_counter()
    ready.work()
    return {"seconds": time.perf_counter() - started, "units": ready.units}
