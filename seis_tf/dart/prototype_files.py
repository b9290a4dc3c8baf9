"""The published prototype's `.mat` files of simulated events: time series at a buoy, and slip of unit sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seis_tf.matlab import load_variables
from seis_tf.names import canonical_name


def read_prototype_series(path: str | Path, time_unit_s: float) -> tuple[np.ndarray, np.ndarray]:
    """A time series of the prototype: `t`, and `h` in cm; samples without a value (its minute 0) are left out.

    Args:
        path: the .mat file.
        time_unit_s: seconds in a unit of its `t`: 1 for buoys, 3600 for forecast points.

    Returns:
        minutes and metres, float64 [sample].

    Raises:
        ValueError: `t` or `h` is missing or they don't fit together.
    """
    content = _load_mat(path, ("t", "h"))
    time, level = (np.asarray(content[key], dtype=float).ravel() for key in ("t", "h"))
    if time.shape != level.shape:
        raise ValueError(f"{path}: expected as many h as t, received {level.shape} and {time.shape}")
    kept = np.isfinite(time) & np.isfinite(level)
    return time[kept] * time_unit_s / 60, level[kept] / 100


def read_prototype_slip(path: str | Path) -> dict[str, float]:
    """Slip of one run of the prototype: unit sources (long notation) and metres, from `faults` and `slip`.

    Raises:
        ValueError: a name is no unit source or comes twice, the two arrays don't fit together, or slip is negative.
    """
    content = _load_mat(path, ("faults", "slip"))
    # Cells of cells, strings of any nesting: MATLAB's way of writing a list of names.
    names = [canonical_name(str(np.asarray(cell).item())) for cell in np.asarray(content["faults"]).ravel()]
    slip = np.asarray(content["slip"], dtype=float).ravel()
    if len(names) != len(slip) or len(set(names)) < len(names):
        raise ValueError(f"{path}: expected one slip for each of {names}, received {slip.tolist()}")
    if not np.isfinite(slip).all() or slip.min(initial=0) < 0:
        raise ValueError(
            f"{path}: expected non-negative slip, received {slip.min():g} m on {names[int(slip.argmin())]}"
        )
    return dict(zip(names, slip.tolist(), strict=True))


def _load_mat(path: str | Path, keys: tuple[str, ...]) -> dict[str, np.ndarray]:
    content = load_variables(Path(path), keys)
    missing = [key for key in keys if key not in content]
    if missing:
        raise ValueError(f"{path}: expected arrays {list(keys)}, received {sorted(content)}")
    return {key: np.asarray(content[key]) for key in keys}
