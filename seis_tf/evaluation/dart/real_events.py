"""Recorded tsunamis -> what a run and least squares make of them: masks, slip, forecast, and whether to believe it.

A run's answer to files of real buoys, beside plain and smoothed NNLS on the same window and mask. Exported models
answer with `seis_tf.serve.predict.waveforms`; both read, detide and mask through `dart.event_from_records`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dart import enough, inversion
from seis_tf.dart.buoy_files import GaugeRecord, parse_origin, read_records
from seis_tf.dart.unit_sources import GreensFunctions, load_greens
from seis_tf.dart.windows import DartEvent, Region, check_window, event_from_records, outside_region
from seis_tf.evaluation.dart import figures as dart_figures
from seis_tf.evaluation.dart import maps as dart_maps
from seis_tf.evaluation.dart.methods import NETWORK, Methods, Network
from seis_tf.evaluation.dart.metrics import Strengths
from seis_tf.evaluation.report.page import as_png
from seis_tf.files import write_atomically
from seis_tf.runs import Run, load_run
from seis_tf.settings.data import DartJob

LARGEST_FACTOR = 5.0  # a level is believed up to this many times the largest of the training records


@dataclass(frozen=True, eq=False)
class RealAnswer:
    """What was made of one recorded event.

    Attributes:
        event: window and mask.
        region: whether the source is outside the trained region, and why.
        greens: functions of the gauges that are forecast.
        weights_m: name of a method ("network", "smoothed_nnls", "nnls") to slip [source].
        mw: likewise, 0 or minus infinity for no slip.
        forecast_m: likewise to the wave [minute, gauge] from minute 0 on.
        reason: why none of these is to be believed: not enough samples or signal, or no slip; "" where they may be.
    """

    event: DartEvent
    region: Region
    greens: GreensFunctions
    weights_m: dict[str, np.ndarray]
    mw: dict[str, float]
    forecast_m: dict[str, np.ndarray]
    reason: str = ""

    def row(self) -> dict[str, Any]:
        """The answer as one flat row of a table; without magnitudes and crests where there is a reason for none."""
        samples = zip(self.event.buoy_names, self.event.mask.T, strict=True)
        row: dict[str, Any] = {"event": self.event.event_id}
        row |= {f"samples {name}": f"{int(there.sum())}/{len(there)}" for name, there in samples}
        row["largest level (cm)"] = round(100 * float(np.abs(self.event.window_m).max()), 1)
        row |= {"outside": self.region.outside, "region": self.region.reason, "causal": self.event.causal}
        row |= {"valid": not self.reason, "reason": self.reason, "left out": "; ".join(self.event.left_out)}
        for name, mw in self.mw.items():
            row[f"Mw {name}"] = round(mw, 2) if mw > 0 and not self.reason else None
            crest = round(100 * float(self.forecast_m[name].max()), 1)
            row[f"highest crest {name} (cm)"] = None if self.reason else crest
        return row


def real_event(
    run: Run | Path | str,
    records: Sequence[Path | str | GaugeRecord],
    origin_time: str | None = None,
    *,
    epicentre: tuple[float, float] | None = None,
    latency_min: float = 0.0,
    buoy_names: Sequence[str] | None = None,
    event_id: str = "event",
    figures: Path | str | None = None,
    strict: bool = False,
) -> RealAnswer:
    """Asks a run, and least squares, about recorded buoys.

    Its many arguments are what is known of an event, each with a default; most of its lines describe them.

    Args:
        run: of task dart, or its folder. A run that was judged also knows the strength of the smoothed NNLS.
        records: files (as `dart_readers.read_record` reads them) or records, of one event. A buoy of the run without a
            record is masked.
        origin_time: ISO 8601, e.g. `2018-01-23T09:31:40Z`; needed for records with dates, which are then detided.
        epicentre: degrees east and north; without it the fit says whether the source is outside the trained region.
        latency_min: minutes before the window's end that have not been delivered yet.
        buoy_names: the buoys to take from among others; by default all that are found.
        event_id: name of the event.
        figures: folder that gets `<event>-waves.png` and `<event>-slip.png`.
        strict: a record that can't be used is an error; else it is left out, and the event says why.

    Raises:
        ValueError: a run of another task, no origin time where one is needed, no record that can be used, or a window
            without samples; if `strict`, any record that can't be used.
    """
    run = run if isinstance(run, Run) else load_run(run)
    info = run.config.info
    run.check_task("dart")
    job = DartJob.model_validate(info.job)
    largest = min(LARGEST_FACTOR * info.normalisation.get("largest", [np.inf])[0], job.record.max_level_m)
    settings = job.record.model_copy(
        update={"latency_min": max(latency_min, job.record.latency_min), "max_level_m": largest}
    )
    everything = load_greens(job.greens).select(info.source_names)
    found = [item for item in records if isinstance(item, GaugeRecord)]
    read, unreadable = read_records((i for i in records if not isinstance(i, GaugeRecord)), strict=strict)
    found += read
    if buoy_names is not None:
        found = [record for record in found if record.buoy in buoy_names]
    origin = None if origin_time is None else parse_origin(origin_time)
    event = event_from_records(event_id, found, settings, everything, origin, strict=strict, left_out=unreadable)
    check_window(event, largest)
    near = everything.select(gauges=settings.buoys)
    region = outside_region(
        near,
        epicentre_lonlat=None if epicentre is None else (epicentre[0] % 360, epicentre[1]),
        window_m=event.window_m,
        mask=event.mask,
    )
    greens = everything.select(gauges=info.forecast_gauges or info.gauge_names)
    matrix = near.matrix(settings.window_min, settings.step_min)
    methods = Methods(_network(run), matrix, info.source_names, greens.area_m2, _smoothing(run))
    answers = methods.answer(event.window_m[None], event.mask[None])
    names = [name for name in (NETWORK, "smoothed_nnls", "nnls") if name in answers.weights_m]
    weights = {name: answers.weights_m[name][0] for name in names}
    answer = RealAnswer(
        event,
        region,
        greens,
        weights,
        {name: float(answers.mw[name][0]) for name in names},
        {name: greens.waves(slip) for name, slip in weights.items()},
        enough.why_no_magnitude(event.window_m, event.mask, float(answers.mw[NETWORK][0]), run.config.job.answer),
    )
    if figures is not None:
        draw(answer, figures, settings.window_min, settings.step_min)
    return answer


def draw(answer: RealAnswer, folder: Path | str, window_min: int, step_min: int = 1) -> list[Path]:
    """Writes the two pictures of an event, and returns their paths."""
    folder, event = Path(folder), answer.event
    title = f"{event.event_id}{', source outside the trained region' if answer.region.outside else ''}"
    waves = dart_figures.event_waves(
        event.window_m, event.mask, event.buoy_names, answer.greens.gauge_names, answer.forecast_m, window_min, title,
        step_min=step_min, last_min=min(240, len(answer.greens.time_min) - 1),
    )  # fmt: skip
    slips = {f"{dart_figures.SHORT[name]}, {_words(answer.mw[name])}": slip for name, slip in answer.weights_m.items()}
    maps = dart_maps.slip_maps(slips, answer.greens, dart_maps.packaged_bathymetry(), title)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, figure in (("waves", waves), ("slip", maps)):
        paths.append(folder / f"{event.event_id}-{name}.png")
        write_atomically(paths[-1], as_png(figure))
    return paths


def _network(run: Run) -> Network:
    """As `dart_methods.network_of`, but without compiling anew for each event."""
    n_inputs = len(run.model.inputs)
    return lambda level_m, mask: run.predict([level_m * mask, mask.astype(np.float32)][:n_inputs])


def _smoothing(run: Run) -> inversion.Choice | None:
    """The strength that was chosen when the run was judged; None where it was not."""
    path = run.folder / "metrics.json"
    if not path.is_file():
        return None
    chosen = Strengths.model_validate(json.loads(path.read_bytes())["chosen"]).smoothing
    return None if chosen is None else inversion.Choice(chosen.strength, {})


def _words(mw: float) -> str:
    return f"Mw {mw:.2f}" if mw > 0 else "no slip"
