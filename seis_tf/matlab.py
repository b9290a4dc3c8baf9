"""Variables of MATLAB files, read in a child process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seis_tf import isolated


def load_variables(path: Path, names: Sequence[str]) -> dict[str, np.ndarray | None]:
    """Variables of a `.mat` file, read in a child process: SciPy's reader ends the whole process on some damaged files.

    Returns:
        All names in the file, in its order; values only of those asked for, None for the others.

    Raises:
        ValueError: it is no such file, damaged, or takes too long.
    """
    size_mb = path.stat().st_size / 1e6 if path.is_file() else 0
    try:
        # Compressed variables are larger in memory than in the file, and are copied there.
        limits = {"seconds": 60 + size_mb, "memory_mb": 2048 + int(10 * size_mb)}
        return isolated.call(_load_variables, str(path), tuple(names), **limits)
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err


def _load_variables(path: str, names: tuple[str, ...]) -> dict[str, np.ndarray | None]:
    from scipy.io import loadmat

    try:
        if not os.path.isfile(path):
            os.stat(path)
            raise OSError("a folder, a device or a pipe")
        content = loadmat(path, appendmat=False)
    except NotImplementedError as err:
        raise ValueError("expected a MATLAB file up to version 7, received 7.3 (save with '-v7')") from err
    except Exception as err:  # SciPy raises whatever a damaged file makes its code trip over.
        raise ValueError(f"expected a MATLAB file, received {err}") from err
    return {name: value if name in names else None for name, value in content.items() if not name.startswith("__")}
