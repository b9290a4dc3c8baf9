"""Buoy records -> an exported DART model's slip, magnitude and forecast wave, one dict an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dart import enough
from seis_tf.dart.buoy_files import parse_origin, read_records
from seis_tf.dart.event_file import EVENT_FILE, read_event_file
from seis_tf.dart.unit_sources import GreensFunctions, load_greens
from seis_tf.dart.windows import DartEvent, check_levels, event_from_records, outside_region
from seis_tf.files import write_atomically
from seis_tf.names import check_names
from seis_tf.serve.export.dart_graph import GREENS_FILE
from seis_tf.serve.predict.exported import Answer, Exported
from seis_tf.serve.predict.paths import list_files
from seis_tf.settings.data import DartRecordSettings
from seis_tf.settings.training import AnswerSettings

_BAND_LEVEL = 0.8  # level of the intervals that are drawn


@dataclass(frozen=True)
class Event:
    """Facts about an earthquake beside its records.

    Attributes:
        origin_time: ISO 8601, or None.
        epicentre: degrees east and north, or None.
        latency_min: minutes before the window's end that have not been delivered yet.
    """

    origin_time: str | None = None
    epicentre: tuple[float, float] | None = None
    latency_min: float = 0.0


def predict(
    exported: Exported,
    records: str | Path | Sequence[str | Path] | np.ndarray,
    *,
    origin_time: str | None = None,
    epicentre: tuple[float, float] | None = None,
    latency_min: float = 0.0,
    buoy_names: Sequence[str] | None = None,
    figures: Path | str | None = None,
    strict: bool = False,
) -> list[Answer]:
    """Answers of a DART network.

    Its eight parameters are the options of `predict.predict` that concern DART models, where they are explained.
    """
    about = Event(origin_time, epicentre, latency_min)
    if isinstance(records, np.ndarray):
        return predict_arrays(exported, records, buoy_names, about, figures)
    return predict_files(exported, list_files(records), buoy_names, about, figures, strict)


def predict_files(
    exported: Exported,
    files: list[Path],
    buoy_names: Sequence[str] | None,
    about: Event,
    figures: Path | str | None = None,
    strict: bool = False,
) -> list[Answer]:
    """Answers for buoy files; records with dates are detided as the training's settings say.

    Files that lie beside an `event.json` (`origin_time`, and `epicentre_lonlat`) are that event's; all others are one
    event's. Values in `about` take precedence over the file's. With `buoy_names` only these buoys' records are taken. A
    file that can't be used is left out and its buoy masked; the answer lists it with the reason.

    Raises:
        ValueError: no file of an event can be used, a window without samples, no origin time where one is needed; if
            `strict`, any file that can't be used.
    """
    greens = _greens(exported)
    answers = []
    for name, paths, known in _events(files, about):
        origin = parse_origin(known.origin_time) if known.origin_time else None
        records, unreadable = read_records(paths, strict=strict)
        if buoy_names is not None:
            records = [record for record in records if record.buoy in buoy_names]
        settings = _settings(exported, known.latency_min)
        event = event_from_records(
            name, records, settings, greens, origin, strict=strict, refuse_faults=strict, left_out=unreadable
        )  # fmt: skip
        answers += _answers(exported, [event], greens, known, figures)
    return answers


def predict_arrays(
    exported: Exported,
    levels: np.ndarray,
    buoy_names: Sequence[str] | None,
    about: Event,
    figures: Path | str | None = None,
) -> list[Answer]:
    """Answers for windows [minute, buoy] or [event, minute, buoy] of detided water column with NaN.

    Raises:
        ValueError: buoys in another order or not named, another window, levels that can't be water column.
    """
    settings, greens = _settings(exported, about.latency_min), _greens(exported)
    check_names(f"{exported.folder}: buoys", settings.buoys, buoy_names)
    shape = (settings.window_min // settings.step_min, len(settings.buoys))
    if levels.ndim not in (2, 3) or levels.shape[-2:] != shape:
        raise ValueError(
            f"records: expected [.., {shape[0]} steps of {settings.step_min} min, {shape[1]} buoys], "
            f"received shape {levels.shape}"
        )
    windows = levels.reshape(-1, *shape).astype(np.float32)
    undelivered = np.arange(1, shape[0] + 1) * settings.step_min > settings.window_min - about.latency_min
    events = []
    for number, window in enumerate(windows):
        mask = ~np.isnan(window) & ~undelivered[:, None]
        event = DartEvent(f"event {number}", settings.buoys, np.where(mask, window, 0), mask)
        check_levels(event.window_m, mask, settings.max_level_m, event.event_id)
        events.append(event)
    return _answers(exported, events, greens, about, figures)


def predict_event(
    exported: Exported, event: DartEvent, greens: GreensFunctions, about: Event, answer: dict[str, np.ndarray]
) -> Answer:
    """One event's answer as a dict.

    Returns:
        `record`, `valid` (whether an answer is given), `reason` (why none is), `mw`, `weights_m` by source, `peak_m`
        and `peak_minute` of what comes after the window by gauge, `forecast_m` by gauge (a list, a value a minute from
        minute 0 on), `samples` by buoy (there / in the window), `buoys_used`, `left_out` (records that were not used,
        each with its reason), `notes` (on records that were, with what of them was masked), `masked` (what quality
        control took for faults: `buoy`, `check`, `first`, `last`, `samples`, `reason` each), `outside` (whether the
        source is outside the trained region), `region` (why), `causal`; of an ensemble also `mw_spread`,
        `weights_m_spread`; with intervals `mw_50`, `peak_m_80` and so on as (lower, upper), or None with
        `intervals_reason`. Where no answer is given `mw` is None and what is by source or gauge is empty.
    """
    metadata = exported.metadata
    near = greens.select(None, event.buoy_names)
    region = outside_region(
        near,
        epicentre_lonlat=about.epicentre and (about.epicentre[0] % 360, about.epicentre[1]),
        window_m=event.window_m,
        mask=event.mask,
    )
    reason, without_intervals = reasons(metadata, event, answer)
    valid = not reason
    one: Answer = {
        "record": event.event_id,
        "valid": valid,
        "mw": float(answer["mw"]) if valid else None,
        "outside": region.outside,
        "region": region.reason,
        "causal": event.causal,
        "samples": {
            name: f"{int(there.sum())}/{len(there)}" for name, there in zip(event.buoy_names, event.mask.T, strict=True)
        },
        "buoys_used": list(event.buoys_used),
        "left_out": list(event.left_out),
        "notes": list(event.notes),
        "masked": [asdict(masked) for masked in event.masked],
    }
    one |= _numbers(metadata, answer if valid else None)
    if metadata["interval_levels"]:
        one["intervals_reason"] = without_intervals
        one |= _interval_ends(metadata, None if without_intervals else answer)
    return one | {"reason": reason}


def reasons(metadata: Mapping[str, Any], event: DartEvent, answer: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Why no answer is given, and why no intervals are; "" where they are.

    Args:
        metadata: of the model; exports from before there were limits on records have no `answer`, and no such reasons.
        event: what was recorded.
        answer: the model's outputs for this event.
    """
    valid = bool(answer["valid"])
    if "answer" not in metadata:
        bad = "" if valid else "no sample, or levels that can't be metres of water column"
        return bad, bad
    limits = AnswerSettings.model_validate(metadata["answer"])
    reason = ""
    if not valid:
        # The graph has decided; this text adds the record's numbers.
        reason = enough.why_no_magnitude(event.window_m, event.mask, float(answer["mw"]), limits)
        stated = _text(answer["reason"])
        reason = reason if reason.startswith(stated) else stated
    if not valid or bool(answer.get("has_intervals", True)):
        return reason, reason and "no intervals: there is no magnitude"
    return reason, enough.why_no_intervals(event.mask, event.buoy_names, limits) or _text(answer["intervals_reason"])


def _numbers(metadata: Mapping[str, Any], answer: Mapping[str, np.ndarray] | None) -> Answer:
    """An answer's numbers by source and by gauge; empty without an answer."""
    names = ("peak_m", "peak_minute", "weights_m", "forecast_m")
    if answer is None:
        return {name: {} for name in names}
    sources, gauges, wave = metadata["source_names"], metadata["forecast_gauges"], answer["forecast_m"]
    first = metadata["window_min"] + 1
    numbers: Answer = {
        "peak_m": _by(gauges, answer["peak_m"]),
        "peak_minute": _by(gauges, first + wave[first:].argmax(axis=0)),
        "weights_m": _by(sources, answer["weights_m"]),
        "forecast_m": dict(zip(gauges, wave.T.tolist(), strict=True)),
    }
    if "mw_spread" in answer:
        numbers["mw_spread"] = float(answer["mw_spread"])
        numbers["weights_m_spread"] = _by(sources, answer["weights_m_spread"])
    return numbers


def _interval_ends(metadata: Mapping[str, Any], answer: Mapping[str, np.ndarray] | None) -> Answer:
    """Ends of the intervals of magnitude and peaks; None where they are withheld."""
    ends: Answer = {}
    for k, level in enumerate(metadata["interval_levels"]):
        percent = round(100 * level)
        ends[f"mw_{percent}"] = answer and [float(answer[f"mw_{end}"][k]) for end in ("lower", "upper")]
        if answer is None:
            ends[f"peak_m_{percent}"] = None
        elif "peak_m_lower" in answer:
            pairs = np.stack([answer[f"peak_m_{end}"][:, k] for end in ("lower", "upper")], axis=1)
            ends[f"peak_m_{percent}"] = _by(metadata["forecast_gauges"], pairs)
    return ends


def _events(files: list[Path], about: Event) -> Iterator[tuple[str, list[Path], Event]]:
    """Name, files and known facts of each event."""
    folders: dict[Path, dict[str, Any]] = {file.parent: {} for file in files}
    for folder in folders:
        if (folder / EVENT_FILE).is_file():
            folders[folder] = read_event_file(folder / EVENT_FILE)
    for folder, known in folders.items():
        paths = [file for file in files if file.parent == folder and file.name != EVENT_FILE]
        if known and paths:
            origin, epicentre = known.get("origin_time"), known.get("epicentre_lonlat")
            yield (
                folder.name,
                paths,
                Event(about.origin_time or origin, about.epicentre or epicentre, about.latency_min),
            )
    rest = [file for file in files if not folders[file.parent]]
    if rest:
        yield rest[0].stem if len(rest) == 1 else rest[0].parent.name, rest, about


def draw(
    folder: Path,
    metadata: Mapping[str, Any],
    event: DartEvent,
    greens: GreensFunctions,
    answer: Answer,
    band_m: Sequence[np.ndarray] | None = None,
) -> None:
    """Writes <event>-waves.png (record, fit and forecast) and <event>-slip.png (map of the slip) into a folder.

    Where no answer is given the first shows the record alone, and there is no second.

    Args:
        folder: made if it is not there.
        metadata: of the model.
        event: what was recorded.
        greens: functions of the model.
        answer: as `predict_event` gives it.
        band_m: ends of the 80 % intervals of the wave, each [minute, gauge].
    """
    from seis_tf.evaluation.dart import figures as dart_figures
    from seis_tf.evaluation.dart import maps as dart_maps
    from seis_tf.evaluation.report.page import as_png

    gauges, valid = metadata["forecast_gauges"], answer["valid"]
    waves = {"network": np.stack([answer["forecast_m"][name] for name in gauges], axis=1)} if valid else {}
    title = f"{event.event_id}: Mw {answer['mw']:.2f}" if valid else f"{event.event_id}: {answer['reason']}"
    title += ", outside the trained region" if answer["outside"] else ""
    figures = {}
    figures["waves"] = dart_figures.event_waves(
        event.window_m, event.mask, event.buoy_names, gauges, waves, metadata["window_min"], title,
        step_min=metadata["step_min"], band_m=band_m, last_min=min(240, metadata["forecast_minutes"] - 1),
    )  # fmt: skip
    if valid:
        slip = {"slip": np.array(list(answer["weights_m"].values()))}
        if "weights_m_spread" in answer:
            slip["deviation of the members"] = np.array(list(answer["weights_m_spread"].values()))
        figures["slip"] = dart_maps.slip_maps(slip, greens.select(None, gauges), dart_maps.packaged_bathymetry(), title)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        write_atomically(folder / f"{event.event_id}-{name}.png", as_png(figure))


def _answers(
    exported: Exported, events: list[DartEvent], greens: GreensFunctions, about: Event, figures: Path | str | None
) -> list[Answer]:
    level = np.stack([event.window_m for event in events])
    mask = np.stack([event.mask for event in events]).astype(np.float32)
    answer = exported.ask("masked", water_level_m=level, mask=mask)
    answers = []
    for row, event in enumerate(events):
        outputs = {name: values[row] for name, values in answer.items()}
        one = predict_event(exported, event, greens, about, outputs)
        if figures is not None:
            band = None if one.get("intervals_reason") else _band(exported.metadata, outputs)
            draw(Path(figures), exported.metadata, event, greens, one, band)
        answers.append(one)
    return answers


def _band(metadata: Mapping[str, Any], answer: dict[str, np.ndarray]) -> list[np.ndarray] | None:
    if "forecast_m_lower" not in answer:
        return None
    number = metadata["interval_levels"].index(_BAND_LEVEL)
    return [answer[f"forecast_m_{end}"][..., number] for end in ("lower", "upper")]


def _settings(exported: Exported, latency_min: float) -> DartRecordSettings:
    stored: dict[str, Any] = exported.metadata["preprocessing"]["record"]
    limits = {"latency_min": max(latency_min, stored["latency_min"]), "max_level_m": exported.metadata["max_level_m"]}
    # An export of before there was quality control answers as it did.
    return DartRecordSettings.model_validate({"quality": None} | stored | limits)


def _greens(exported: Exported) -> GreensFunctions:
    return load_greens(exported.folder / "assets.extra" / GREENS_FILE)


def _text(value: Any) -> str:
    """A string output of one event, which NumPy gives as bytes."""
    return value.decode()


def _by(names: Sequence[str], values: np.ndarray) -> dict[str, float | int]:
    return dict(zip(names, values.tolist(), strict=True))
