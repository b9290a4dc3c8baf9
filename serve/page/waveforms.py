"""A waveform for the page: a file or an example -> the model's raw input, and the answer as what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.evaluation.report.units import frequency_unit, time_unit
from seis_tf.serve.predict import uploads
from seis_tf.serve.predict.windows import use_of
from seis_tf.serve.server.servable import Arrays, Servable
from seis_tf.settings.data import RecordSettings, SpectrogramSettings
from seis_tf.settings.simulation import LabquakeSettings
from seis_tf.synthetic.labquakes import simulate
from seis_tf.waveforms import loading
from seis_tf.waveforms.spectrograms import axes, spectrograms

Tree = dict[str, Any]
Isolated = Callable[..., Any]  # a function and its arguments -> its result, from a process that can be killed

_EXAMPLES_A_CLASS = 2
_EXAMPLE_SEED = 2_000_003  # large, so that no data set made with a small seed has the same records
# Longer records are drawn by the smallest and largest sample of each column of the picture.
_MOST_COLUMNS = 1500


def takes(servable: Servable) -> bool:
    """Whether the page can ask this version about a file."""
    return servable.metadata.get("task") == "waveforms" and servable.metadata["preprocessing"]["record"] is not None


def about(servable: Servable) -> str:
    """What kind of record the model takes, in words."""
    metadata = servable.metadata
    rate_hz, length = metadata["sampling_rate_hz"], metadata["length_samples"]
    rate_unit, hertz = frequency_unit(rate_hz)
    unit, seconds = time_unit(length / rate_hz)
    window = f"at least {length} samples at {rate_hz / hertz:g} {rate_unit} ({length / rate_hz / seconds:.4g} {unit})"
    return f"One trace of {window}, in miniSEED, SAC, GSE2, SEG-Y or SEG-2."


def examples(servable: Servable) -> list[str]:
    """Titles of the examples; none where the simulator has no records of this kind."""
    simulated = _simulated(servable.metadata["sampling_rate_hz"], servable.metadata["length_samples"])
    titles = []
    for position, (_, name, snr_db) in enumerate(simulated):
        number = 1 + position % _EXAMPLES_A_CLASS
        titles.append(f"Simulated {name} {number}" + (f", SNR {snr_db:.0f} dB" if np.isfinite(snr_db) else ""))
    return titles


def record_of_example(servable: Servable, number: int) -> loading.Waveforms:
    """One of the examples, as a file of it would be read."""
    rate_hz = servable.metadata["sampling_rate_hz"]
    samples, _, _ = _simulated(rate_hz, servable.metadata["length_samples"])[number]
    from obspy import Stream, Trace

    stream = Stream([Trace(samples, {"sampling_rate": rate_hz, "station": "SIM"})])
    return loading.from_stream(stream, *_settings(servable, resample=False))


def record_of_files(
    servable: Servable, paths: list[Path], isolated: Isolated, *, resample: bool, origin_time: str
) -> loading.Waveforms:
    """The window of the one file that the model is asked about, read by `uploads.read_waveform`.

    Raises:
        ValueError: the file can't be used, or there are several; says why.
    """
    if len(paths) > 1:
        raise ValueError(f"files: expected one, received {len(paths)}")
    return isolated(uploads.read_waveform, paths[0], *_settings(servable, resample))


def question(servable: Servable, record: loading.Waveforms) -> tuple[str, Arrays]:
    """Signature and inputs that ask about a window."""
    metadata = servable.metadata
    if metadata["preprocessing"]["same_as_training"]:
        return "serving_default", {"waveform": record.samples}
    # The graph filters windows; these were filtered as whole traces, as the training records were.
    return "spectrogram", {"spectrogram": _power(metadata, record)}


def picture(servable: Servable, record: loading.Waveforms, answer: Arrays) -> Tree:
    """The answer in JSON's types, with all that the page draws.

    Args:
        servable: the model.
        record: the window that was asked about.
        answer: outputs [1, ..] by name.
    """
    metadata, samples = servable.metadata, record.samples[0]
    spectrogram = SpectrogramSettings.model_validate(metadata["preprocessing"]["spectrogram"])
    frequency_hz, time_s = axes(spectrogram, samples.size, record.sampling_rate_hz)
    times, values = _columns(samples)
    unit = metadata.get("units", {})
    spread = answer["spread"][0].tolist() if "spread" in answer else [None] * len(metadata["class_names"])
    columns = (metadata["class_names"], answer["probabilities"][0].tolist(), spread)
    valid = bool(answer["valid"][0])
    reason = answer["reason"][0].decode() if "reason" in answer else "the samples are constant, or not finite"
    return {
        "task": "waveforms",
        "valid": valid,
        "reason": "" if valid else f"The model can't judge this record: {reason}.",
        "class_name": answer["class_name"][0].decode(),
        **use_of(record, 0),
        "probabilities": [
            {"name": name, "value": value, "spread": off} for name, value, off in zip(*columns, strict=True)
        ],
        "waveform": {
            "time_s": (times / record.sampling_rate_hz).tolist(),
            "values": [float(f"{value:.5g}") for value in values],
            "unit": unit.get("waveform", ""),
        },
        "spectrogram": {
            "frequency_hz": [float(frequency_hz[0]), float(frequency_hz[-1])],
            "time_s": [float(time_s[0]), float(time_s[-1])],
            "values": np.round(_power(metadata, record)[0].astype(float), 2).tolist(),
            "unit": unit.get("spectrogram", ""),
        },
    }


def _settings(servable: Servable, resample: bool) -> tuple[RecordSettings, float]:
    rate_hz = servable.metadata["sampling_rate_hz"]
    stored = RecordSettings.model_validate(servable.metadata["preprocessing"]["record"])
    changed = {"sampling_rate_hz": None, "resample_hz": rate_hz if resample else None}
    return stored.model_copy(update=changed), rate_hz


def _power(metadata: Tree, record: loading.Waveforms) -> np.ndarray:
    settings = SpectrogramSettings.model_validate(metadata["preprocessing"]["spectrogram"])
    return spectrograms(record.samples, settings, metadata["sampling_rate_hz"])


def _columns(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample numbers and values to draw: all, or two a column of the picture."""
    if samples.size <= 2 * _MOST_COLUMNS:
        return np.arange(samples.size), samples
    width = -(-samples.size // _MOST_COLUMNS)
    whole = samples[: samples.size // width * width].reshape(-1, width)
    first = np.arange(len(whole)) * width
    ends = np.sort(np.stack([first + whole.argmin(axis=1), first + whole.argmax(axis=1)], axis=1), axis=1).ravel()
    return ends, samples[ends]


@lru_cache(maxsize=4)
def _simulated(rate_hz: float, length: int) -> list[tuple[np.ndarray, str, float]]:
    """Samples, class and SNR in dB of a few records, at least that long; none where the simulator can't make them."""
    for samples in sorted({length, max(length, LabquakeSettings().length_samples)}):
        try:
            settings = LabquakeSettings(sampling_rate_hz=rate_hz, length_samples=samples, sensors_per_event=1)
        except ValueError:
            continue
        made = simulate(settings, 3 * _EXAMPLES_A_CLASS, _EXAMPLE_SEED)
        return list(zip(made.samples, made.truth["class"].tolist(), made.truth["snr_db"].tolist(), strict=True))
    return []
