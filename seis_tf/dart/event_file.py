"""`event.json`, which lies beside an earthquake's raw files: what is known of it beside its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seis_tf.dart.event_arrays import read_json

EVENT_FILE = "event.json"


def read_event_file(path: Path) -> dict[str, Any]:
    """The content, with origin time (ISO 8601) and epicentre (degrees east and north) checked where they are there.

    Raises:
        ValueError: no JSON object, or an origin time or epicentre that can't be.
    """
    known = read_json(path)
    origin, epicentre = known.get("origin_time", ""), known.get("epicentre_lonlat", [0.0, 0.0])
    if not isinstance(origin, str):
        raise ValueError(f"{path}: origin_time: expected text, received {str(origin)[:50]!r}")
    numbers = isinstance(epicentre, list) and [type(value) in (int, float) for value in epicentre]
    if numbers != [True, True]:
        raise ValueError(f"{path}: epicentre_lonlat: expected two numbers, received {str(epicentre)[:50]!r}")
    return known
