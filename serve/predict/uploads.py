"""Files that were dropped on the page -> the window that a model is asked about.

These functions run in a child process (`seis_tf.isolated`), so that a file that makes a reader crash or hang can't stop
the server. For a quick start of that process nothing here imports TensorFlow.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seis_tf.dart.buoy_files import parse_origin, read_records
from seis_tf.dart.event_file import EVENT_FILE, read_event_file
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dart.windows import DartEvent, event_from_records
from seis_tf.settings.data import DartRecordSettings, RecordSettings
from seis_tf.waveforms import loading
from seis_tf.waveforms.source_record import SourceRecord


def read_waveform(path: Path, settings: RecordSettings, rate_hz: float) -> loading.Waveforms:
    """The window of a file.

    Raises:
        ValueError: the file can't be used; says why.
    """
    source = SourceRecord(path=str(path), class_name="", group="", record_id=path.name, station="")
    loaded = loading.load_batch([source], settings, rate_hz)
    if loaded.rejected:
        raise ValueError(f"{path.name}: {loaded.rejected[0].reason}")
    return loaded


def read_event(
    paths: list[Path], origin_time: str, settings: DartRecordSettings, greens: Path
) -> tuple[DartEvent, tuple[float, float] | None]:
    """The window of one event's files, and its epicentre where that is known (degrees east, 0 to 360, and north).

    Args:
        paths: buoys' records, whose file names give the buoy where the content doesn't, and perhaps an `event.json`.
        origin_time: ISO 8601; "" for that of `event.json`.
        settings: of the model's records.
        greens: file of the model's Green's functions.

    Raises:
        ValueError: none of the files can be used; says why. Of several files, those that can't be used are left out and
            listed in the event with their reasons.
    """
    known = next((read_event_file(path) for path in paths if path.name == EVENT_FILE), {})
    origin_time = origin_time or known.get("origin_time", "")
    origin = parse_origin(origin_time) if origin_time else None
    records, unreadable = read_records(path for path in paths if path.name != EVENT_FILE)
    event = event_from_records(
        "event", records, settings, load_greens(greens), origin, strict=False, left_out=unreadable
    )
    # Messages name files by their path; clients shall not see the server's folders.
    folders = {f"{path.parent}/" for path in paths}
    for name in ("left_out", "notes"):
        event = replace(event, **{name: tuple(_without(text, folders) for text in getattr(event, name))})
    epicentre = known.get("epicentre_lonlat")
    return event, (epicentre[0] % 360, epicentre[1]) if epicentre else None


def _without(text: str, folders: set[str]) -> str:
    for folder in folders:
        text = text.replace(folder, "")
    return text
