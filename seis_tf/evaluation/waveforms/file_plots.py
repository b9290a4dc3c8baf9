"""What single files hold, before there is a data set: each trace over its spectrogram, and signal against noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seis_tf.evaluation.report import record_figures
from seis_tf.evaluation.report.page import PAGE, Picture, Report, Section, write_report
from seis_tf.evaluation.report.units import count, frequency_unit
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.waveforms.filters import remove_trend
from seis_tf.waveforms.loading import signal_to_noise_db
from seis_tf.waveforms.readers import Trace, read_traces
from seis_tf.waveforms.spectrograms import axes, spectrograms

_FRAMES = 50  # of a trace, one after the other; as the exercise has them with 1,024 samples


def plot_files(files: Sequence[Path | str], out: Path | str, any_format: bool = False) -> list[Path]:
    """Draws every trace of some waveform files: detrended, its spectrogram in linear and in log power, and its spectra.

    Frames grow with the trace, so that there are about a hundred, half overlapping; at 1,024 samples they are the
    exercise's (20, 10, 128).

    Args:
        files: miniSEED, SAC and the other formats of `readers.py`.
        out: folder for the page and `figures/`; made when it is not there.
        any_format: whatever else ObsPy reads, which may open files that these ones name.

    Returns:
        The page, then the figures.

    Raises:
        ValueError: a file can't be read, or a trace has fewer than 20 samples, NaN or Inf.
    """
    sections, out = [], Path(out)
    for number, file in enumerate(files, start=1):
        pictures = [
            picture
            for part, trace in enumerate(read_traces(file, any_format), start=1)
            for picture in _pictures(trace, f"file_{number:03d}_{part:02d}", Path(file).name)
        ]
        sections.append(Section(Path(file).name, [], (), pictures))
    traces = sum(len(section.pictures) for section in sections) // 2
    page = Report(
        title=f"Traces of {count(len(sections), 'file')}",
        asked="What do these records look like?",
        answer=f"{count(traces, 'trace')}, each with a straight line removed.",
        sections=sections,
    )
    out.mkdir(parents=True, exist_ok=True)
    write_report(out, page)
    names = [picture.name for section in sections for picture in section.pictures]
    return [out / PAGE, *(out / "figures" / f"{name}.png" for name in names)]


def _pictures(trace: Trace, name: str, file: str) -> list[Picture]:
    samples = np.asarray(trace.samples, np.float64)[None].copy()
    settings = frames_of(samples.size, file)
    if not np.isfinite(samples).all():
        raise ValueError(f"{file}: expected finite samples, received {np.count_nonzero(~np.isfinite(samples))} others")
    remove_trend(samples, "linear")
    rate = trace.sampling_rate_hz
    scales = record_figures.Scales(rate, True, *axes(settings, samples.size, rate), "source units")
    record = {"waveform": samples[0], "spectrogram": spectrograms(samples, settings, rate)[0], "label": 0}
    unit, scale = frequency_unit(rate)
    words = f"{trace.seed_id}, {samples.size:,} samples at {rate / scale:g} {unit}"
    caption = f"{words}, SNR {signal_to_noise_db(samples)[0]:.0f} dB"
    return [
        Picture(name, record_figures.linear_beside_log(record, scales, trace.seed_id), caption, "card"),
        Picture(
            f"{name}_spectrum",
            record_figures.signal_against_noise(samples[0], rate, "source units", trace.seed_id),
            "The loudest quarter of the trace beside the quietest.",
            "card",
        ),
    ]


def frames_of(n_samples: int, file: str) -> SpectrogramSettings:
    """Spectrogram settings for a trace of this length: about a hundred frames, half overlapping.

    Raises:
        ValueError: fewer samples than a frame needs; names the file.
    """
    shortest = SpectrogramSettings().nperseg
    if n_samples < shortest:
        raise ValueError(f"{file}: expected at least {shortest} samples, received {n_samples}")
    length = max(n_samples // _FRAMES, shortest)
    nfft = max(1 << (length - 1).bit_length(), SpectrogramSettings().nfft)
    return SpectrogramSettings(nperseg=length, noverlap=length // 2, nfft=nfft)
