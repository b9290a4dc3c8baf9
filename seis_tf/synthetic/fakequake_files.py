"""Simulated earthquakes on disk: arrays with a JSON of names, and, for a few events, raw buoy files as NDBC sends them.

OUT/records.npz    records_m float32 [run, buoy, time], time_min [time]; NaN is missing
OUT/truth.npz      truth_m float32 [run, gauge, time], time_min [time]; without noise, at all gauges
OUT/weights.csv    run, mw, a column a unit source (metres of slip)
OUT/simulated.json seed and settings; also in OUT/raw
OUT/names.json     runs, buoys, gauges, sources in order; written last: without it there is no such folder
OUT/raw/<run>/     <buoy>.txt (NDBC DART text) and event.json (origin time, magnitude, epicentre)
"""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy import interpolate

from seis_tf.dart.unit_sources import GreensFunctions, packaged_depths_m
from seis_tf.files import as_csv, write_atomically, write_json
from seis_tf.synthetic.fakequakes import Fakequakes, disturbances, generators, missing, seismic_arrival_min

# Constituent: period in hours (from the Doodson numbers) and a typical amplitude (m) in the north-east Pacific.
TIDE = {
    "M2": (12.4206012, 0.85), "S2": (12.0, 0.25), "N2": (12.65834751, 0.17), "K2": (11.96723606, 0.07),
    "K1": (23.93447213, 0.42), "O1": (25.81933871, 0.26), "P1": (24.06588766, 0.13), "Q1": (26.868350, 0.05),
}  # fmt: skip
BEFORE_H, AFTER_H = 30, 6
_EVENT_MODE_15S_MIN, _EVENT_MODE_MIN = 4, 180
_LOST_LINES = 0.005
_HEADER = "#YY  MM DD hh mm ss T   HEIGHT\n#yr  mo dy hr mn  s -        m\n"


def write_fakequakes(out: str | Path, fakequakes: Fakequakes, greens: GreensFunctions, *, raw: int = 0) -> Path:
    """Writes simulated events in the form described above.

    Args:
        out: folder to make; it may exist when it is empty.
        fakequakes: the events.
        greens: the functions they were made with (positions for the raw files).
        raw: for how many events, from the first, raw buoy files are written too.

    Returns:
        The folder.

    Raises:
        ValueError: the folder has files already, or more raw events are asked for than there are.
    """
    out = Path(out)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: expected a new or empty folder, received one with files in it")
    if not 0 <= raw <= len(fakequakes.ids):
        raise ValueError(f"raw: expected 0 to {len(fakequakes.ids)} events, received {raw}")
    out.mkdir(parents=True, exist_ok=True)
    minutes = np.arange(fakequakes.truth_m.shape[1])
    observed = minutes[1 : fakequakes.windows_m.shape[1] + 1]
    _write_npz(out / "records.npz", records_m=np.swapaxes(fakequakes.windows_m, 1, 2), time_min=observed)
    _write_npz(out / "truth.npz", truth_m=np.swapaxes(fakequakes.truth_m, 1, 2), time_min=minutes)
    _write_weights(out / "weights.csv", fakequakes)
    settings = fakequakes.settings.model_dump(mode="json")
    about = {"seed": fakequakes.seed, "fakequakes": settings}
    write_json(out / "simulated.json", about)
    for event in range(raw):
        write_raw_event(out / "raw" / fakequakes.ids[event], fakequakes, greens, event)
    if raw:
        write_json(out / "raw" / "simulated.json", about)
    names = {
        "format_version": 1,
        "runs": list(fakequakes.ids),
        "buoys": list(fakequakes.buoy_names),
        "gauges": list(fakequakes.gauge_names),
        "sources": list(fakequakes.source_names),
    }
    write_json(out / "names.json", names)
    return out


def _write_npz(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(path, buffer.getvalue())


def _write_weights(path: Path, fakequakes: Fakequakes) -> None:
    rows = [
        [run, repr(float(mw)), *(repr(float(w)) for w in weights)]
        for run, mw, weights in zip(fakequakes.ids, fakequakes.mw, fakequakes.weights_m, strict=True)
    ]
    write_atomically(path, as_csv(["run", "mw", *fakequakes.source_names], rows).encode())


def write_raw_event(folder: Path, fakequakes: Fakequakes, greens: GreensFunctions, event: int) -> None:
    """Raw files of one event: full tide, mixed sampling, newest first, a few lines of 9999, an origin between minutes.

    The noise has the settings' sizes but is not the one of the windows; gaps and silent buoys are the same.

    Args:
        folder: where to; made if needed.
        fakequakes: the events.
        greens: positions.
        event: which one, from 0.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings, run = fakequakes.settings, fakequakes.ids[event]
    index = int(run.rsplit("-", 1)[1])
    streams = generators(fakequakes.seed, index)
    rng = streams["raw"]
    origin = datetime(2031, 1, 1, tzinfo=UTC) + timedelta(days=3 * index, seconds=int(rng.integers(0, 86400)))
    levels_m, seconds = _levels(fakequakes, greens, event, streams)
    n_minutes = fakequakes.windows_m.shape[1]
    # The schedule below is the mixed sampling; only true gaps and silence are taken from the windows' mask.
    without_mixing = settings.model_copy(update={"mixed_sampling": False})
    lost = missing(without_mixing, n_minutes, len(settings.buoys), streams["gaps"])
    for i, buoy in enumerate(settings.buoys):
        if lost[:, i].all():
            continue
        trigger = _trigger_s(greens, fakequakes.weights_m[event], buoy, rng)
        lines = []
        for second, kind in _schedule(origin, trigger):
            minute = int(np.ceil(second / 60))
            if 1 <= minute <= n_minutes and lost[minute - 1, i]:
                continue
            height = 9999.0 if rng.random() < _LOST_LINES else np.interp(second, seconds, levels_m[:, i])
            time = origin + timedelta(seconds=second)
            lines.append(f"{time:%Y %m %d %H %M %S} {kind} {height:8.3f}\n")
        write_atomically(folder / f"{buoy}.txt", (_HEADER + "".join(reversed(lines))).encode())
    centre = np.average(greens.source_table[:, :2], axis=0, weights=fakequakes.weights_m[event])
    known = np.isfinite(centre).all()
    description = {
        "run": run,
        "origin_time": origin.isoformat().replace("+00:00", "Z"),
        "mw": float(fakequakes.mw[event]),
        "weights_m": dict(zip(fakequakes.source_names, fakequakes.weights_m[event].tolist(), strict=True)),
        "epicentre_lonlat": centre.round(4).tolist() if known else None,
    }
    write_json(folder / "event.json", description)


def _levels(
    fakequakes: Fakequakes, greens: GreensFunctions, event: int, streams: dict[str, np.random.Generator]
) -> tuple[np.ndarray, np.ndarray]:
    """Water column with tide every 15 s: metres [sample, buoy], and seconds after the origin [sample]."""
    settings, rng = fakequakes.settings, streams["raw"]
    seconds = np.arange(-BEFORE_H * 3600, AFTER_H * 3600 + 1, 15)
    columns = [fakequakes.gauge_names.index(name) for name in settings.buoys]
    minutes = np.arange(fakequakes.truth_m.shape[1])
    wave = interpolate.CubicSpline(minutes, fakequakes.truth_m[event][:, columns])(
        seconds.clip(0, 60 * minutes[-1]) / 60
    )
    without_tide = settings.model_copy(update={"tide_residual_m": 0.0})
    noise_streams = {**streams, "noise": rng}
    noise = disturbances(without_tide, greens, fakequakes.weights_m[event], seconds / 60, noise_streams)
    # Of packaged buoys about the level that their files have: 46404's is 1.3 % less than the bathymetry's.
    known = packaged_depths_m()
    drawn = rng.uniform(2500, 5000, len(columns))
    depth = np.array([0.987 * known.get(name, d) for name, d in zip(settings.buoys, drawn, strict=True)])
    tide = np.zeros_like(wave)
    for period_h, amplitude_m in TIDE.values():
        size = amplitude_m * np.exp(0.1 * rng.standard_normal(len(columns)))
        phase = rng.uniform(0, 2 * np.pi, len(columns))
        tide += size * np.sin(2 * np.pi * seconds[:, np.newaxis] / (3600 * period_h) + phase)
    return depth + tide + wave + noise, seconds


def _trigger_s(greens: GreensFunctions, weights_m: np.ndarray, buoy: str, rng: np.random.Generator) -> float:
    """When a buoy goes into event mode, seconds after the origin: with the seismic wave, or after 2 to 6 minutes."""
    arrival = seismic_arrival_min(greens, weights_m, (buoy,))[0]
    return 60 * (arrival if np.isfinite(arrival) else rng.uniform(2, 6))


def _schedule(origin: datetime, trigger_s: float) -> list[tuple[int, int]]:
    """When a buoy samples: (seconds after the origin, type), ascending; type 1, 2, 3 is 15 min, 1 min, 15 s.

    Samples are taken at whole quarter hours, minutes and quarter minutes of UTC, wherever the origin is.
    """
    offset = int(origin.timestamp()) % 900
    fine_end, end = trigger_s + 60 * _EVENT_MODE_15S_MIN, trigger_s + 60 * _EVENT_MODE_MIN
    result = []
    for second in range(-BEFORE_H * 3600, AFTER_H * 3600 + 1):
        clock = (offset + second) % 900
        if trigger_s <= second < fine_end and clock % 15 == 0:
            result.append((second, 3))
        elif fine_end <= second < end and clock % 60 == 0:
            result.append((second, 2))
        elif clock == 0:
            result.append((second, 1))
    return result
