"""Example records of waveforms for the page of a data set: sections with figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.report import figures, record_figures
from seis_tf.evaluation.report.page import (
    Picture,
    Section,
)
from seis_tf.evaluation.report.record_figures import Record
from seis_tf.evaluation.report.units import count, frequency_unit, listed

_NOISE = "noise"


def sections(info: DatasetInfo, records: Sequence[Record], per_class: int) -> list[Section]:
    """Records of each class as waveform over spectrogram, the weakest signal, spectra, peak amplitudes."""
    scales = record_figures.scales_of(info)
    parts = []
    by_class = [[r for r in records if r["label"] == k] for k in range(len(info.class_names))]
    for name, own in zip(info.class_names, by_class, strict=True):
        pictures = [
            Picture(
                f"example_{name}_{i:02d}",
                record_figures.linear_beside_log(record, scales, name),
                _caption(record, info),
                "card",
            )
            for i, record in enumerate(own[:per_class], start=1)
        ]
        parts.append(Section(name, [], (), pictures))
    if scales.sampling_rate_hz is None:
        return parts
    signals = [r for r in records if info.class_names[r["label"]] != _NOISE] or list(records)
    weakest = min(signals, key=lambda r: r["snr_db"])
    name = info.class_names[weakest["label"]]
    weak = [
        Picture("low_snr", record_figures.linear_beside_log(weakest, scales, f"{name}, weak"), _caption(weakest, info)),
        _spectrum("low_snr_spectrum", weakest, info, scales),
    ]
    text = f"The lowest signal-to-noise ratio of {count(len(signals), 'record')} looked through that are not noise."
    parts.append(Section("A weak record", [text], (), weak))
    spectra = [
        _spectrum(f"spectrum_{name}", own[0], info, scales)
        for name, own in zip(info.class_names, by_class, strict=True)
        if own
    ]
    text = (
        "The quarter of a record with the most energy beside the quarter with the least: where the curves part, there "
        "is signal; where they meet, a model can only learn noise."
    )
    parts.append(Section("Signal against noise", [text], (), spectra))
    peaks, labels = (np.array([r[key] for r in records]) for key in ("peak_amplitude", "label"))
    figure = figures.peak_amplitudes(peaks, labels, info.class_names, scales.amplitude_unit)
    text = "If the histograms part, amplitude alone tells the classes from each other, whatever a network sees."
    parts.append(
        Section("Peak amplitude", [text], (), [Picture("peak_amplitude", figure, "Of the records looked through.")])
    )
    return parts


def _spectrum(file: str, record: Record, info: DatasetInfo, scales: record_figures.Scales) -> Picture:
    figure = record_figures.signal_against_noise(
        record["waveform"], scales.sampling_rate_hz, scales.amplitude_unit, info.class_names[record["label"]]
    )
    return Picture(file, figure, _caption(record, info))


def contents(info: DatasetInfo) -> str:
    """One sentence on what the data set holds."""
    total = sum(split.records for split in info.splits.values())
    groups = sum(split.groups for split in info.splits.values())
    shape = " x ".join(map(str, info.feature("spectrogram").shape))
    words = (
        f"{count(total, 'record')} of {count(groups, 'event')}: {listed(info.class_names)}, as spectrograms of {shape}"
    )
    if info.sampling_rate_hz is None:
        return f"{words}."
    unit, scale = frequency_unit(info.sampling_rate_hz)
    return f"{words} from records at {info.sampling_rate_hz / scale:g} {unit}."


def _caption(record: Record, info: DatasetInfo) -> str:
    words = f"{record['record_id']}, event {record['group']}"
    return f"{words}, SNR {float(record['snr_db']):.0f} dB" if info.has("waveform") else words
