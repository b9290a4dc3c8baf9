"""Simulated laboratory earthquakes, active-source pulses and noise with known truth, as miniSEED class folders.

The signals themselves are in `lab_signals`. Magnitude and signal-to-noise ratio are drawn apart, and all classes draw
their level from the same Gutenberg-Richter law, as if recorder range and background followed the event. So peak
amplitude says little about the class, on purpose.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from pymseed import DataEncoding, MS3Record

from seis_tf import __version__
from seis_tf.files import as_csv, write_atomically, write_json
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.synthetic import lab_signals

TRUTH_COLUMNS = (
    "file", "class", "event", "sensor", "start_time_us", "p_sample", "s_sample", "magnitude", "log10_amplitude",
    "snr_db", "corner_hz", "distance_m",
)  # fmt: skip
_EVENTS_A_CHUNK = 64
_RECORD_BYTES = (1024, 2048, 4096, 8192)
# Steim-2 packs differences of at most 30 bits.
_MAX_COUNTS = 2**28
# Nominal time of the first event, microseconds since 1970: 2020-01-01T00:00:00Z.
_EPOCH_US = 1_577_836_800_000_000
# Noise has a lower crest than a transient of the same root mean square. This factor brings its peaks to theirs.
_NOISE_CREST = 1.4


@dataclass(frozen=True)
class Labquakes:
    """Simulated records and what is true of them.

    Attributes:
        samples: int32 [record, sample], counts.
        truth: column name (`TRUTH_COLUMNS`) to [record]: file, class, event and sensor as str; start_time_us as int64,
            microseconds since 1970; the rest float64, NaN where it has no meaning (noise, S of a pulse). p_sample and
            s_sample are 0-based positions in the window; log10_amplitude is of the signal's (noise: the noise's)
            nominal root mean square in counts; snr_db compares the `snr_window_s` after P with the noise.
        sampling_rate_hz: of every record.
    """

    samples: np.ndarray
    truth: dict[str, np.ndarray]
    sampling_rate_hz: float


def simulate(settings: LabquakeSettings, count: int, seed: int) -> Labquakes:
    """Simulates records in memory, the classes in the order of `settings.class_names`.

    Args:
        settings: what is simulated.
        count: records in all, shared evenly over the classes; the last event of a class may have fewer sensors.
        seed: an event depends on it, its class and its number only, not on `count`.

    Raises:
        ValueError: `count` has no record for every class, `seed` is negative, or an amplitude is above 2^28 counts.
    """
    events = [_simulate_event(settings, seed, *plan) for plan in _plan(count, seed, settings)]
    samples = np.concatenate([part for part, _ in events])
    truth = {column: np.concatenate([part[column] for _, part in events]) for column in TRUTH_COLUMNS}
    return Labquakes(samples, truth, settings.sampling_rate_hz)


def write_labquakes(out: Path, settings: LabquakeSettings, count: int, seed: int, processes: int = 1) -> Path:
    """Writes `out/<class>/<experiment>_<event>_0_<n>_raw_<sensor>.mseed`, `out/truth.csv`, `out/simulated.json`.

    The folder appears when all is written (temporary name, then rename), `simulated.json` being the last file.
    Settings, count and seed decide every byte, whatever the number of processes.

    Args:
        out: new or empty folder.
        settings: what is simulated.
        count: files in all, shared evenly over the classes.
        seed: of all random numbers.
        processes: worker processes; 1 works in this one.

    Returns:
        `out`.

    Raises:
        ValueError: `out` is not empty, or as `simulate`.
    """
    out = Path(out)
    if processes < 1:
        raise ValueError(f"processes: expected at least 1, received {processes}")
    plan = _plan(count, seed, settings)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out}: expected a new or empty folder, received one with files")
    out.parent.mkdir(parents=True, exist_ok=True)
    partial_out = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        for name in settings.class_names:
            (partial_out / name).mkdir()
        chunks = [plan[first : first + _EVENTS_A_CHUNK] for first in range(0, len(plan), _EVENTS_A_CHUNK)]
        write = partial(_write_chunk, partial_out, settings, seed)
        if processes == 1:
            truth_parts = [write(chunk) for chunk in chunks]
        else:
            # Spawned, as a fork of a process that has started TensorFlow's threads may hang.
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                truth_parts = list(pool.map(write, chunks))
        names = {"event": "group", "sensor": "station"}  # in files, as in those of labels and of predictions
        header = [names.get(column, column) for column in TRUTH_COLUMNS]
        rows = itertools.chain.from_iterable(truth_parts)
        write_atomically(partial_out / "truth.csv", as_csv(header, rows).encode())
        about = {
            "simulated": True,
            "kind": "labquakes",
            "seis_tf_version": __version__,
            "count": count,
            "seed": seed,
            "records_by_class": dict(zip(settings.class_names, _shares(count), strict=True)),
            "settings": settings.model_dump(mode="json"),
        }
        write_json(partial_out / "simulated.json", about)
        partial_out.chmod(0o755)
        os.replace(partial_out, out)
    except BaseException:
        shutil.rmtree(partial_out)
        raise
    return out


def _shares(count: int) -> list[int]:
    """Records of each of the three classes."""
    return [count // 3 + (index < count % 3) for index in range(3)]


def _plan(count: int, seed: int, settings: LabquakeSettings) -> list[tuple[int, int, int]]:
    """All events as (class index, event number, records wanted of it)."""
    if count < len(settings.class_names):
        raise ValueError(f"count: expected at least one record for each of 3 classes, received {count}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, received {seed}")
    per_event = settings.sensors_per_event
    return [
        (class_index, event, min(per_event, share - event * per_event))
        for class_index, share in enumerate(_shares(count))
        for event in range(math.ceil(share / per_event))
    ]


def _random(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _simulate_event(
    settings: LabquakeSettings, seed: int, class_index: int, event: int, wanted: int
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One event on its sensors: int32 [record, sample] and its truth columns [record], cut to `wanted` records.

    Everything is computed for all of the event's sensors, so that the first ones do not depend on `wanted`.
    """
    random = _random(seed, class_index, event)
    n_sensors = settings.sensors_per_event
    sensors = np.sort(random.permutation(settings.n_sensors)[:n_sensors])
    magnitude = _gutenberg_richter(random.random(), settings)
    event_snr_db = random.uniform(*settings.snr_db)
    source_m = lab_signals.source_position(random, class_index, settings)
    paths_m = lab_signals.path_lengths(source_m, sensors, settings)
    distance_m = paths_m[:, 0]

    before_us, p_sample, s_sample = _arrivals(random, distance_m, settings)
    noise = lab_signals.noise_records(random, n_sensors, settings)
    nothing = np.full(n_sensors, np.nan)
    corner_hz, snr_db, level = nothing, nothing, _NOISE_CREST
    if class_index == 2:
        p_sample = s_sample = distance_m = nothing
        records = noise
    else:
        if class_index == 0:
            event_corner_hz = settings.corner_hz * 10 ** (settings.corner_slope * magnitude + random.normal(0, 0.1))
            corner_hz = np.full(n_sensors, event_corner_hz)
            clean = lab_signals.labquake_records(
                random, p_sample.astype(int), s_sample.astype(int), distance_m, event_corner_hz, settings
            )
        else:
            s_sample = nothing
            clean = lab_signals.pulse_records(random, p_sample, paths_m, settings)
        # Geometrical spreading from 0.15 m, and coupling: what one sensor gets more of than another.
        path_db = 20 * np.log10(0.15 / distance_m) + random.normal(0, 1.5, n_sensors)
        snr_db = event_snr_db + path_db
        records = noise + _at_snr(clean, p_sample, snr_db, settings)
        level = 10 ** (-event_snr_db / 20)
    gain = 10 ** _random(seed, 3).normal(0, 0.1, settings.n_sensors)[sensors]
    amplitude = settings.min_amplitude_counts * 10**magnitude
    counts = np.rint(amplitude * level * gain[:, None] * records)
    peak = np.abs(counts).max()
    if peak >= _MAX_COUNTS:
        raise ValueError(f"min_amplitude_counts: expected peaks below {_MAX_COUNTS} counts, received {peak:.3g}")

    origin_us = _EPOCH_US + (3 * event + class_index) * 1_000_000
    truth = {
        **_names(settings, class_index, event, sensors),
        "start_time_us": origin_us - before_us,
        "p_sample": p_sample,
        "s_sample": s_sample,
        "magnitude": np.full(n_sensors, magnitude if class_index == 0 else np.nan),
        "log10_amplitude": np.full(n_sensors, np.log10(amplitude)),
        "snr_db": snr_db,
        "corner_hz": corner_hz,
        "distance_m": distance_m,
    }
    return counts[:wanted].astype(np.int32), {column: values[:wanted] for column, values in truth.items()}


def _at_snr(clean: np.ndarray, p_sample: np.ndarray, snr_db: np.ndarray, settings: LabquakeSettings) -> np.ndarray:
    """Signals [sensor, sample] scaled so that after P their power is `snr_db` [sensor] above noise of power 1."""
    window = int(settings.snr_window_s * settings.sampling_rate_hz)
    after = np.arange(settings.length_samples) - p_sample[:, None]
    power = np.mean(clean**2, axis=1, where=(after >= 0) & (after < window), keepdims=True)
    return clean / np.sqrt(power) * 10 ** (snr_db[:, None] / 20)


def _arrivals(
    random: np.random.Generator, distance_m: np.ndarray, settings: LabquakeSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Microseconds from window start to origin time, and the sample of P and of S, each [sensor].

    Header times are whole microseconds: the window is put on one, and the onsets follow from the travel times.
    """
    rate_hz = settings.sampling_rate_hz
    travel_us = 1e6 * distance_m / settings.p_velocity_m_s
    onset = random.uniform(*settings.onset_position, len(distance_m)) * settings.length_samples
    before_us = np.rint(onset * 1e6 / rate_hz - travel_us).astype(np.int64)
    p_sample = np.rint((before_us + travel_us) * rate_hz / 1e6)
    s_sample = np.rint((before_us + 1e6 * distance_m / settings.s_velocity_m_s) * rate_hz / 1e6)
    return before_us, p_sample, s_sample


def _names(settings: LabquakeSettings, class_index: int, event: int, sensors: np.ndarray) -> dict[str, np.ndarray]:
    """The truth columns that say which record it is."""
    name = settings.class_names[class_index]
    event_id = f"{name}{event:05d}"
    stations = [f"OL{sensor + 1:02d}" for sensor in sensors]
    files = [
        f"{name}/{settings.experiment}_{event_id}_0_{sensor + 1}_raw_{station}.mseed"
        for sensor, station in zip(sensors, stations, strict=True)
    ]
    return {
        "file": np.array(files),
        "class": np.full(len(files), name),
        "event": np.full(len(files), event_id),
        "sensor": np.array(stations),
    }


def _gutenberg_richter(uniform: float, settings: LabquakeSettings) -> float:
    """Magnitude with density proportional to 10^(-b m) between the two ends, by inversion of its distribution."""
    low, high = settings.magnitudes
    kept = 1 - 10 ** (-settings.b_value * (high - low))
    return low - math.log10(1 - uniform * kept) / settings.b_value


def _write_chunk(out: Path, settings: LabquakeSettings, seed: int, plan: list[tuple[int, int, int]]) -> list[list[Any]]:
    """Simulates and writes some events; returns their rows of truth.csv."""
    rows = []
    for item in plan:
        samples, truth = _simulate_event(settings, seed, *item)
        for row, counts in enumerate(samples):
            sensor, start_us = truth["sensor"][row], int(truth["start_time_us"][row])
            packed = packed_record(counts, sensor, start_us, settings.sampling_rate_hz)
            (out / str(truth["file"][row])).write_bytes(packed)
            rows.append([_cell(truth[column][row]) for column in TRUTH_COLUMNS])
    return rows


def packed_record(counts: np.ndarray, sensor: str, start_us: int, rate_hz: float) -> bytes:
    """One miniSEED 2 record of the smallest length that holds all samples.

    Header times resolve 1 microsecond, which is 10 samples at 10 MHz: in several records a trace could read back in
    pieces.
    """
    record = MS3Record(encoding=DataEncoding.STEIM2)
    record.formatversion = 2
    record.sourceid = f"FDSN:XX_{sensor}_00_J_Y_Z"
    record.starttime = start_us * 1000
    record.samprate = rate_hz
    for length in _RECORD_BYTES:
        record.reclen = length
        packed = list(record.generate(counts, "i"))
        if len(packed) == 1:
            return packed[0]
    raise ValueError(f"length_samples: expected what one record of {length} bytes holds, received {counts.size}")


def _cell(value: object) -> str:
    if isinstance(value, np.floating):
        return "" if np.isnan(value) else f"{value:.9g}"
    return str(value)
