"""Raw records -> answers of an exported model: from files, folders, ObsPy streams or arrays.

The version's own metadata says what it takes. Records of another rate are refused unless resampling is asked for, buoys
of another set or order always. Records are cut and processed by the very code that prepared the training data.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from seis_tf.evaluation.report.units import time_unit
from seis_tf.serve.export.export import EXTRA, versions
from seis_tf.serve.export.labels import STABLE, labels_of
from seis_tf.settings.data import RecordSettings, SpectrogramSettings
from seis_tf.waveforms import loading
from seis_tf.waveforms.readers import BadRecord, Trace, read_records
from seis_tf.waveforms.sliding import windows_along
from seis_tf.waveforms.source_record import SourceRecord
from seis_tf.waveforms.sources import is_left_behind
from seis_tf.waveforms.spectrograms import spectrograms
from seis_tf.waveforms.windows import NEARLY_ALL

if TYPE_CHECKING:
    from obspy import Stream

BATCH = 256
Answer = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """A version of a model, loaded.

    Attributes:
        folder: of the version.
        metadata: its `metadata.json`.
        loaded: what `tf.saved_model.load` gave.
    """

    folder: Path
    metadata: dict[str, Any]
    loaded: Any

    def ask(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Answers for any number of records, in batches."""
        count = len(next(iter(inputs.values())))
        parts = []
        for first in range(0, count, BATCH):
            batch = {name: tf.constant(values[first : first + BATCH]) for name, values in inputs.items()}
            parts.append(self.loaded.signatures[signature](**batch))
        return {name: np.concatenate([part[name].numpy() for part in parts]) for name in parts[0]} if parts else {}


def load_model(model: Path | str) -> Exported:
    """Loads a version: that of the folder, or of MODELS/NAME the stable one (the latest, where there are no labels).

    Raises:
        ValueError: there is no exported model.
    """
    folder = Path(model)
    if not (folder / "saved_model.pb").is_file():
        found = versions(folder)
        if not found:
            raise ValueError(f"{model}: expected an exported model, received a folder without versions")
        # Resolved, because a path may end in ".": parent and name are then not what they look like.
        folder = folder.resolve()
        folder = folder / str(labels_of(folder.parent, folder.name).get(STABLE, found[-1]))
    path = folder / EXTRA / "metadata.json"
    try:
        metadata = json.loads(path.read_text())
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected the metadata of an exported model, received {err}") from err
    return Exported(folder, metadata, tf.saved_model.load(str(folder)))


def predict(
    model: Path | str | Exported,
    records: str | Path | Sequence[str | Path] | Stream | np.ndarray,
    *,
    sampling_rate_hz: float | None = None,
    resample: bool = False,
    any_format: bool = False,
    origin_time: str | None = None,
    epicentre: tuple[float, float] | None = None,
    latency_min: float = 0.0,
    buoy_names: Sequence[str] | None = None,
    figures: Path | str | None = None,
    slide_s: float | None = None,
    strict: bool = False,
) -> list[Answer]:
    """Asks a model about raw records.

    Args:
        model: folder of a version, MODELS/NAME, or what `load_model` gave.
        records: files, globs, folders (all files below); an ObsPy Stream, a record for each trace id; or an array
            [sample] or [record, sample]. For DART models the files of one event's buoys, or an array
            [minute, buoy] or [event, minute, buoy] of detided water column in metres with NaN for what is missing.
        sampling_rate_hz: of an array of waveforms.
        resample: bring records of another rate to the model's.
        any_format: waveforms: files of whatever format ObsPy reads, which may open further files that these ones name.
        origin_time: DART: of the earthquake, e.g. `2018-01-23T09:31:40Z`; needed for records with dates.
        epicentre: DART: degrees east and north; else the fit says whether the source is outside the trained region.
        latency_min: DART: minutes before the window's end that have not been delivered yet.
        buoy_names: DART: of an array's last axis, in order; of files, the buoys to take from among others.
        figures: DART: folder that gets the waves and the slip map of each event as PNG.
        slide_s: waveforms: answers along each record, a window every so many seconds, instead of one for a record.
        strict: DART: a buoy's file that can't be used is an error; else it is left out, and the answer says why.

    Returns:
        One dict a record (a DART event), in the order given. Waveforms: `record`, `valid`, `class_name`,
        `probabilities` (by class), of an ensemble `spread`; `record_s` and `used_s`, how long the record and the part
        of it are that was judged, and a `note` where that is not (nearly) all; where a record can't be used `valid` is
        False and `reason` says why. With `slide_s` see `predict_slide.answers_along`. DART: see
        `predict_dart.predict_event`.

    Raises:
        ValueError: no records, none that can be used, or options that the model has no use for.
    """
    exported = model if isinstance(model, Exported) else load_model(model)
    if exported.metadata["task"] == "dart":
        from seis_tf.serve.predict import dart

        waveforms_only = {"resample": resample or None, "slide_s": slide_s, "any_format": any_format or None}
        _refuse(exported, {"sampling_rate_hz": sampling_rate_hz} | waveforms_only)
        about = dart.Event(origin_time, epicentre, latency_min)
        if isinstance(records, np.ndarray):
            return dart.predict_arrays(exported, records, buoy_names, about, figures)
        return dart.predict_files(exported, list_files(records), buoy_names, about, figures, strict)
    dart_only = {"origin_time": origin_time, "epicentre": epicentre, "buoy_names": buoy_names, "figures": figures}
    _refuse(exported, dart_only | {"latency_min": latency_min or None, "strict": strict or None})
    settings, rate_hz = _settings(exported, resample)
    names, items = _traces(records, sampling_rate_hz, any_format)
    if slide_s is not None:
        from seis_tf.serve.predict import slide

        dated = not isinstance(records, np.ndarray)
        return slide.answers_along(exported, names, windows_along(items, settings, rate_hz, slide_s), dated)
    return _answers(exported, names, loading.load_traces(items, names, settings, rate_hz))


# Names in tables and CSV, the same as in an evaluation's predictions.csv; of parts of an answer, with their own name.
_COLUMNS = {"record": "record_id", "class_name": "predicted_class"}
_COLUMNS_OF = {
    "probabilities": "probability_{}",
    "weights_m": "slip_{}_m",
    "weights_m_spread": "slip_spread_{}_m",
    "peak_m": "peak_{}_m",
    "peak_minute": "peak_{}_min",
}


def rows(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """Answers as flat rows with the same columns, for a table or CSV; pairs and series of numbers are no cells."""
    flat = []
    for answer in answers:
        row: dict[str, Any] = {}
        for key, value in answer.items():
            if isinstance(value, dict):
                named = _COLUMNS_OF.get(key, f"{key}_{{}}")
                row |= {named.format(k): entry for k, entry in value.items() if not isinstance(entry, list | dict)}
            elif isinstance(value, list):
                if all(isinstance(entry, str) for entry in value):
                    row[key] = "; ".join(value)
            elif value is not None or not key[-1].isdigit():  # mw_80 and such: withheld pairs are no cells either
                row[_COLUMNS.get(key, key)] = "" if value is None else value
        flat.append(row)
    columns = list(dict.fromkeys(column for row in flat for column in row))
    columns.sort(key=lambda column: ("note", "reason").index(column) + 1 if column in ("note", "reason") else 0)
    return [{column: row.get(column, "") for column in columns} for row in flat]


def list_files(records: str | Path | Sequence[str | Path]) -> list[Path]:
    """The files that paths, globs and folders stand for, each once, in the order given.

    What lies in any folder (hidden files, README, Thumbs.db and the like) is left out.

    Raises:
        ValueError: one of them stands for nothing.
    """
    given = [records] if isinstance(records, str | Path) else list(records)
    files: dict[Path, None] = {}
    for item in given:
        path = Path(item)
        if path.is_file():
            found = [path]
        else:
            places = (
                [path] if path.is_dir() else [Path(place) for place in sorted(glob.glob(str(item), recursive=True))]
            )
            found = [file for place in places for file in _below(place)]
        if not found:
            raise ValueError(f"{item}: expected files, a glob or a folder with files, received none")
        files |= dict.fromkeys(found)
    if not files:
        raise ValueError("records: expected at least one, received none")
    return list(files)


def _below(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    files = (file for file in sorted(place.rglob("*")) if file.is_file())
    return [file for file in files if not any(map(is_left_behind, file.relative_to(place).parts))]


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
        raise ValueError(
            "sampling_rate_hz: expected it with an array only, received it with records that say their own"
        )
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
        found = {"record": name} | answer_of(metadata["class_names"], answer, row, reasons.get(position))
        if row is not None:
            found |= use_of(loaded, row)
        answers.append(found)
    return answers


def none_usable(names: list[str], reason: str) -> str:
    """The message where no record can be used: that of the first one."""
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    hint = "; resampling has to be asked for" if " Hz, received" in reason else ""
    return f"{names[0]}: {reason}{hint}{more}"


def ask_about(exported: Exported, samples: np.ndarray) -> dict[str, np.ndarray]:
    """Answers for windows [window, sample] that are detrended, filtered and resampled as in training."""
    metadata = exported.metadata
    if metadata["preprocessing"]["same_as_training"]:
        return exported.ask("serving_default", waveform=samples)
    # The graph filters windows; these were filtered as whole traces, as the training records were.
    own = SpectrogramSettings.model_validate(metadata["preprocessing"]["spectrogram"])
    return exported.ask("spectrogram", spectrogram=spectrograms(samples, own, metadata["sampling_rate_hz"]))


def use_of(loaded: loading.Waveforms, row: int) -> Answer:
    """How much of a record was judged: `record_s`, `used_s`, and a `note` where it is not (nearly) all."""
    rate_hz, used = loaded.sampling_rate_hz, loaded.samples.shape[1]
    record_s, used_s = int(loaded.record_samples[row]) / rate_hz, used / rate_hz
    found: Answer = {"record_s": record_s, "used_s": used_s}
    if used < NEARLY_ALL * loaded.record_samples[row]:
        unit, seconds = time_unit(record_s)
        of, first = record_s / seconds, int(loaded.first_sample[row]) / rate_hz / seconds
        found["note"] = f"judged by {used_s / seconds:.4g} of {of:.4g} {unit}, from {first:.4g} {unit} on"
    return found


def answer_of(classes: list[str], answer: dict[str, np.ndarray], row: int | None, reason: str | None) -> Answer:
    """The answer for one window, from the model's answers for several; without a row, why it was not asked about."""
    if row is None:
        return {"valid": False, "class_name": "", "probabilities": {}, "reason": reason}
    found: Answer = {
        "valid": bool(answer["valid"][row]),
        "class_name": answer["class_name"][row].decode(),
        "probabilities": dict(zip(classes, answer["probabilities"][row].tolist(), strict=True)),
    }
    if "spread" in answer:
        found["spread"] = dict(zip(classes, answer["spread"][row].tolist(), strict=True))
    if not found["valid"]:
        # Exports from before the graph gave its reason have one for all.
        found["reason"] = (
            answer["reason"][row].decode()
            if "reason" in answer
            else "expected samples that the model can judge, received ones beyond float32 or constant"
        )
    return found


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


def _refuse(exported: Exported, options: dict[str, Any]) -> None:
    """Options that this task has no use for: most likely the wrong model was named."""
    for name, value in options.items():
        if value is not None:
            task = exported.metadata["task"]
            raise ValueError(f"{name}: expected none for a model of task {task}, received {value!r}")
