"""In words, for `prepare` and `inspect`: how much of each record a data set uses, and how fine its spectrograms are."""

from __future__ import annotations

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.report.units import frequency_unit, percent, time_unit
from seis_tf.settings.data import SpectrogramSettings, WaveformJob
from seis_tf.waveforms.windows import NEARLY_ALL

_PART = {"start": "from its start", "center": "from its middle", "onset": "around its onset"}
# What the networks were made for; half as many frames again and they are asked about another picture.
_FRAMES = 101
_UNUSUAL = 1.5


def lines(info: DatasetInfo) -> list[str]:
    """Sentences about the records and the spectrograms of a data set; none for one without waveforms."""
    if not info.has("waveform"):
        return []
    job = WaveformJob.model_validate(info.job)
    n_samples = info.feature("waveform").shape[0]
    return [
        _records(info, job, n_samples),
        spectrogram_words(job.spectrogram, n_samples, info.sampling_rate_hz),
    ]


def _records(info: DatasetInfo, job: WaveformJob, n_samples: int) -> str:
    def amount(count: int) -> str:
        return _samples(count, info.sampling_rate_hz)

    held, used = info.record_lengths, f"records: {amount(n_samples)} of each are used"
    if held is not None and held.longest == n_samples:
        return f"{used}, which is all they hold"
    used += f", {_PART[job.record.anchor]}"
    if held is None:  # made before data sets said how long the records were
        return used
    if held.shortest == held.longest:
        used += f", {percent(n_samples / held.longest)} of the {amount(held.longest)} that it holds"
    else:
        used += (
            f"; the shortest holds {amount(held.shortest)}, the median {amount(held.median)} "
            f"({percent(n_samples / held.median)} used), the longest {amount(held.longest)} "
            f"({percent(n_samples / held.longest)} used)"
        )
    if n_samples < NEARLY_ALL * held.median:
        used += f"; the option that uses all of the median record is --length-samples {held.median}"
    return used


def spectrogram_words(settings: SpectrogramSettings, n_samples: int, rate_hz: float) -> str:
    """Shape and resolution of the spectrogram; where its number of frames is unusual, options that give a usual one."""
    sentence = f"spectrogram: {_picture(settings, n_samples, rate_hz)}"
    _, n_frames = settings.shape(n_samples)
    other = _of_usual_size(settings, n_samples)
    if 1 / _UNUSUAL <= n_frames / _FRAMES <= _UNUSUAL or other is None:
        return sentence
    options = f"--nperseg {other.nperseg} --noverlap {other.noverlap} --nfft {other.nfft}"
    return f"{sentence}; {options} gives {_picture(other, n_samples, rate_hz)}"


def _picture(settings: SpectrogramSettings, n_samples: int, rate_hz: float) -> str:
    n_frequencies, n_frames = settings.shape(n_samples)
    frame_s, hop_s = settings.nperseg / rate_hz, (settings.nperseg - settings.noverlap) / rate_hz
    time, seconds = time_unit(frame_s)
    frequency, hertz = frequency_unit(1 / frame_s)
    return (
        f"{n_frequencies} frequencies x {n_frames} times, resolving {1 / frame_s / hertz:.3g} {frequency} "
        f"and {frame_s / seconds:.3g} {time} (a frame every {hop_s / seconds:.3g} {time})"
    )


def _of_usual_size(settings: SpectrogramSettings, n_samples: int) -> SpectrogramSettings | None:
    """Settings with frames that overlap by half and about 101 of them; none for records that are too short."""
    hop = n_samples // (_FRAMES + 1)  # n frames that overlap by half take n + 1 hops
    if hop < 1:
        return None
    nfft = max(settings.nfft, 1 << (2 * hop - 1).bit_length())
    return settings.model_copy(update={"nperseg": 2 * hop, "noverlap": hop, "nfft": nfft})


def _samples(count: int, rate_hz: float) -> str:
    unit, seconds = time_unit(count / rate_hz)
    return f"{count:,} samples ({count / rate_hz / seconds:.4g} {unit})"
