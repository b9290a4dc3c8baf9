"""Raw records -> answers of an exported model: from files, folders, ObsPy streams or arrays.

The version's metadata says what records it takes. Records of another rate are refused unless resampling is asked for,
buoys of another set or order always. Records are cut and processed by the code that prepared the training data.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seis_tf.serve.predict import dart, waveforms
from seis_tf.serve.predict.exported import Answer, Exported, load_model

if TYPE_CHECKING:
    from obspy import Stream

# By task: (model, records, options) -> answers. A task takes the options that its function names.
PREDICTORS: dict[str, Callable[..., list[Answer]]] = {"waveforms": waveforms.predict, "dart": dart.predict}


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

    Long, and with twelve parameters, because this is the public function for every task and explains all options.

    Args:
        model: folder of a version, MODELS/NAME, or what `load_model` gave.
        records: files, globs, folders (all files below); an ObsPy Stream, a record for each trace id; or an array
            [sample] or [record, sample]. For DART models the files of one event's buoys, or an array
            [minute, buoy] or [event, minute, buoy] of detided water column in metres with NaN for what is missing.
        sampling_rate_hz: of an array of waveforms.
        resample: bring records of another rate to the model's.
        any_format: waveforms: files of any format that ObsPy reads, some of which name further files that are read too.
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
        False and `reason` says why. With `slide_s` see `slide.answers_along`. DART: see `dart.predict_event`.

    Raises:
        ValueError: no records, none that can be used, or options that the model has no use for.
    """
    exported = model if isinstance(model, Exported) else load_model(model)
    given = {
        "sampling_rate_hz": sampling_rate_hz,
        "resample": resample or None,
        "any_format": any_format or None,
        "origin_time": origin_time,
        "epicentre": epicentre,
        "latency_min": latency_min or None,
        "buoy_names": buoy_names,
        "figures": figures,
        "slide_s": slide_s,
        "strict": strict or None,
    }
    given = {name: value for name, value in given.items() if value is not None}
    task = exported.metadata["task"]
    for name in given.keys() - inspect.signature(PREDICTORS[task]).parameters.keys():
        # An error, because most likely the path of another model was given.
        raise ValueError(f"{name}: expected none for a model of task {task}, received {given[name]!r}")
    return PREDICTORS[task](exported, records, **given)
