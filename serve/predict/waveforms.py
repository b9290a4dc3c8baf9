"""Waveform files, streams and arrays -> answers of a classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seis_tf.serve.predict import slide
from seis_tf.serve.predict.exported import Answer, Exported
from seis_tf.serve.predict.paths import list_files
from seis_tf.serve.predict.windows import answer_of, ask_about, none_usable, use_of
from seis_tf.settings.data import RecordSettings
from seis_tf.waveforms import loading
from seis_tf.waveforms.readers import BadRecord, Trace, read_records
from seis_tf.waveforms.sliding import windows_along
from seis_tf.waveforms.source_record import SourceRecord

if TYPE_CHECKING:
    from obspy import Stream


def predict(
    exported: Exported,
    records: str | Path | Sequence[str | Path] | Stream | np.ndarray,
    *,
    sampling_rate_hz: float | None = None,
    resample: bool = False,
    any_format: bool = False,
    slide_s: float | None = None,
) -> list[Answer]:
    """Answers of a classifier; see `predict.predict`."""
    settings, rate_hz = _settings(exported, resample)
    names, items = _traces(records, sampling_rate_hz, any_format)
    if slide_s is not None:
        dated = not isinstance(records, np.ndarray)
        return slide.answers_along(exported, names, windows_along(items, settings, rate_hz, slide_s), dated)
    return _answers(exported, names, loading.load_traces(items, names, settings, rate_hz))


def _settings(exported: Exported, resample: bool) -> tuple[RecordSettings, float]:
    metadata = exported.metadata
    stored = metadata["preprocessing"]["record"]
    if stored is None:
        raise ValueError(
            f"{exported.folder}: expected a model that knows waveforms, received one that takes spectrograms: "
            f"{metadata['preprocessing']['note']}"
        )
    rate_hz = metadata["sampling_rate_hz"]
    changed = {"sampling_rate_hz": None, "resample_hz": rate_hz if resample else None}
    return RecordSettings.model_validate(stored).model_copy(update=changed), rate_hz


def _traces(
    records: str | Path | Sequence[str | Path] | Stream | np.ndarray, sampling_rate_hz: float | None, any_format: bool
) -> tuple[list[str], Iterable[list[Trace] | BadRecord]]:
    """Names of the records, and for each its joined traces or why it can't be read."""
    if isinstance(records, np.ndarray):
        stream = _as_stream(records, sampling_rate_hz)
        return [f"record {number}" for number in range(len(stream))], loading.records_of_stream(stream)[1]
    if sampling_rate_hz is not None:
        raise ValueError("sampling_rate_hz: expected it with an array only, received it with records that state theirs")
    if hasattr(records, "traces"):
        return loading.records_of_stream(records)
    files = list_files(records)
    return [str(file) for file in files], read_records(_source_record(file, any_format) for file in files)


def _answers(exported: Exported, names: list[str], loaded: loading.Waveforms) -> list[Answer]:
    metadata = exported.metadata
    bad = [position for position in range(len(names)) if position not in set(loaded.kept.tolist())]
    reasons = {position: rejection.reason for position, rejection in zip(bad, loaded.rejected, strict=True)}
    if not len(loaded.kept):
        raise ValueError(none_usable(names, reasons[0]))
    answer = ask_about(exported, loaded.samples)
    rows = {int(position): row for row, position in enumerate(loaded.kept)}
    answers = []
    for position, name in enumerate(names):
        row = rows.get(position)
        one = {"record": name} | answer_of(metadata["class_names"], answer, row, reasons.get(position))
        if row is not None:
            one |= use_of(loaded, row)
        answers.append(one)
    return answers


def _as_stream(samples: np.ndarray, sampling_rate_hz: float | None) -> Stream:
    from obspy import Stream, Trace

    if sampling_rate_hz is None:
        raise ValueError("sampling_rate_hz: expected it with an array, received none")
    if samples.ndim not in (1, 2) or not samples.size:
        raise ValueError(f"records: expected an array [sample] or [record, sample], received shape {samples.shape}")
    rows = np.atleast_2d(samples)
    header = {"sampling_rate": sampling_rate_hz}
    return Stream([Trace(np.ascontiguousarray(row), header | {"station": str(i)}) for i, row in enumerate(rows)])


def _source_record(path: Path, any_format: bool) -> SourceRecord:
    name = str(path)
    return SourceRecord(path=name, class_name="", group="", record_id=name, station="", any_format=any_format)
