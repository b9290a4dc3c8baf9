"""What a data set looks like: example records as figures and one page, without a model.

Only training records are shown: who looks at test records before choosing settings has used them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seis_tf.dataset import shards
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.report import figures, record_figures
from seis_tf.evaluation.report.page import (
    PAGE,
    Picture,
    Report,
    Section,
    Table,
    simulated_notice,
    ungrouped_notice,
    write_report,
)
from seis_tf.evaluation.report.units import count, frequency_unit, listed

SEARCHED = 2000  # records that examples are chosen from; their order on disk is random
_NOISE = "noise"
Record = Mapping[str, np.ndarray]


def plot_dataset(dataset: Path | str, out: Path | str, *, per_class: int = 3) -> list[Path]:
    """Draws example records of the training split.

    Waveforms: for each class a few records as waveform over spectrogram, linear beside log; the weakest signal among
    the records looked through; spectra of signal against noise; peak amplitudes by class. Buoys: a few windows with the
    wave to come.

    Args:
        dataset: the data set's folder.
        out: folder for the page and `figures/`; made when it is not there.
        per_class: example records of each class (windows, for task dart).

    Returns:
        The page, then the figures.

    Raises:
        ValueError: no such data set, a damaged shard, or `per_class` below 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class: expected at least 1, received {per_class}")
    dataset, out = Path(dataset), Path(out)
    info = shards.load_dataset(dataset)
    records = list(itertools.islice(shards.iterate(dataset, info, "train"), SEARCHED))
    sections = _waveform_sections(info, records, per_class) if info.task == "waveforms" else []
    if info.task == "dart":
        sections = [_dart_section(info, records, per_class)]
    page = Report(
        title=f"Records of {dataset.resolve().name}",
        asked="What do the records look like that a model is to learn from?",
        answer=_contents(info),
        sections=[*sections, _counts_section(info)],
        notices=[simulated_notice()] * info.simulated + [ungrouped_notice()] * (not info.grouped),
    )
    out.mkdir(parents=True, exist_ok=True)
    write_report(out, page)
    names = [picture.name for section in page.sections for picture in section.pictures]
    return [out / PAGE, *(out / "figures" / f"{name}.png" for name in names)]


def _waveform_sections(info: DatasetInfo, records: Sequence[Record], per_class: int) -> list[Section]:
    scales = record_figures.scales_of(info)
    sections = []
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
        sections.append(Section(name, [], (), pictures))
    if scales.sampling_rate_hz is None:
        return sections
    signals = [r for r in records if info.class_names[r["label"]] != _NOISE] or list(records)
    weakest = min(signals, key=lambda r: r["snr_db"])
    name = info.class_names[weakest["label"]]
    weak = [
        Picture("low_snr", record_figures.linear_beside_log(weakest, scales, f"{name}, weak"), _caption(weakest, info)),
        _spectrum("low_snr_spectrum", weakest, info, scales),
    ]
    text = f"The lowest signal-to-noise ratio of {count(len(signals), 'record')} looked through that are not noise."
    sections.append(Section("A weak record", [text], (), weak))
    spectra = [
        _spectrum(f"spectrum_{name}", own[0], info, scales)
        for name, own in zip(info.class_names, by_class, strict=True)
        if own
    ]
    text = (
        "The quarter of a record with the most energy beside the quarter with the least: where the curves part, there "
        "is signal; where they meet, a model can only learn noise."
    )
    sections.append(Section("Signal against noise", [text], (), spectra))
    peaks, labels = (np.array([r[key] for r in records]) for key in ("peak_amplitude", "label"))
    figure = figures.peak_amplitudes(peaks, labels, info.class_names, scales.amplitude_unit)
    text = "If the histograms part, amplitude alone tells the classes from each other, whatever a network sees."
    sections.append(
        Section("Peak amplitude", [text], (), [Picture("peak_amplitude", figure, "Of the records looked through.")])
    )
    return sections


def _spectrum(file: str, record: Record, info: DatasetInfo, scales: record_figures.Scales) -> Picture:
    figure = record_figures.signal_against_noise(
        record["waveform"], scales.sampling_rate_hz, scales.amplitude_unit, info.class_names[record["label"]]
    )
    return Picture(file, figure, _caption(record, info))


def _dart_section(info: DatasetInfo, records: Sequence[Record], count_shown: int) -> Section:
    step_min = info.job["record"]["step_min"]
    pictures = []
    for i, record in enumerate(records[:count_shown], start=1):
        truth = None
        if "truth_m" in record and set(info.gauge_names) <= set(info.forecast_gauges):
            truth = record["truth_m"][:, [info.forecast_gauges.index(name) for name in info.gauge_names]]
        figure = record_figures.dart_window(
            record["water_level_m"], record["mask"], info.gauge_names, step_min, f"Mw {float(record['mw']):.1f}", truth
        )
        pictures.append(Picture(f"window_{i:02d}", figure, f"{record['record_id']}; dotted: the end of the window."))
    return Section(
        "Windows", ["What the buoys have sent by the end of the window, and the wave as it goes on."], (), pictures
    )


def _counts_section(info: DatasetInfo) -> Section:
    header = ["split", "records", "groups", *info.class_names]
    rows = [
        [split, f"{s.records:,}", f"{s.groups:,}", *(f"{s.class_counts.get(name, 0):,}" for name in info.class_names)]
        for split, s in info.splits.items()
    ]
    text = [f"{count(len(info.rejected), 'record')} rejected." if info.rejected else "No record was rejected."]
    if info.duplicates:
        text.append(f"{count(len(info.duplicates), 'set')} of records with the same samples under several names.")
    return Section("What is in it", text, [Table(header, rows)])


def _contents(info: DatasetInfo) -> str:
    total = sum(split.records for split in info.splits.values())
    groups = sum(split.groups for split in info.splits.values())
    if info.task == "dart":
        sources = count(len(info.source_names), "unit source")
        return f"{count(total, 'earthquake')} at buoys {listed(info.gauge_names)}, with the slip on {sources}."
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
