"""What the numbers were measured on, and what that machine can do at most."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

PACKAGES = (
    "seis_tf", "tensorflow", "keras", "keras-tuner", "torch", "scikit-learn", "numpy", "scipy", "obspy", "pymseed",
    "h5py",
)  # fmt: skip


def describe() -> dict[str, Any]:
    """Processor, cores, memory and package versions; nothing that names the host."""
    from suite.definition import cores

    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": _processor(),
        "cores": cores(),
        "memory_gb": round(memory_gb),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def limits(work: Path, megabytes: int = 512) -> dict[str, float]:
    """Rates that nothing on this machine can exceed by much.

    Returns:
        float32 matrix product in GFLOP/s (1024 x 1024), memory copy in GB/s (bytes read and written), disk in GB/s
        (written with fsync; read after the pages were dropped), with as many threads as this process has.
    """
    return {
        "product_gflops": product_gflops(1024, 1024, 1024),
        "memory_gb_s": _memory_gb_s(),
        **_disk(work / "disk.bin", megabytes),
    }


def product_gflops(rows: int, inner: int, columns: int, seconds: float = 0.5) -> float:
    """Best rate of a float32 matrix product of this shape with NumPy."""
    random = np.random.default_rng(0)
    a = random.standard_normal((rows, inner), dtype=np.float32)
    b = random.standard_normal((inner, columns), dtype=np.float32)
    out = a @ b
    return 2 * rows * inner * columns / best_seconds(lambda: np.matmul(a, b, out=out), seconds) / 1e9


def best_seconds(call: Any, seconds: float) -> float:
    """Shortest of the calls that fit into some seconds."""
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def _memory_gb_s() -> float:
    source = np.ones(2**26, np.float32)  # 256 MB: more than any cache
    target = np.empty_like(source)
    return 2 * source.nbytes / best_seconds(lambda: np.copyto(target, source), 1.0) / 1e9


def _disk(path: Path, megabytes: int) -> dict[str, float]:
    block = np.random.default_rng(0).bytes(1 << 20)
    started = time.perf_counter()
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        written = time.perf_counter() - started
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    started = time.perf_counter()
    with open(path, "rb", buffering=0) as file:
        while file.read(8 << 20):
            pass
    read = time.perf_counter() - started
    path.unlink()
    size_gb = megabytes * 2**20 / 1e9
    return {"disk_write_gb_s": size_gb / written, "disk_read_gb_s": size_gb / read}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
