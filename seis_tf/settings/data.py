"""Settings of `prepare`: what records become, how they are split and written."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from seis_tf.settings.base import Fraction, Rate, Settings


class RecordSettings(Settings):
    """How a trace becomes a waveform of fixed length (stage 1, waveforms)."""

    length_samples: int | None = Field(
        default=None, gt=1, description="samples kept of each record; default: as many as the records have (lengths.py)"
    )
    anchor: Literal["start", "center", "onset"] = Field(default="start", description="which part of the record is kept")
    onset_sta_s: float | None = Field(
        default=None, gt=0, description="short window of STA/LTA; default 1/50 of the kept length"
    )
    onset_lta_s: float | None = Field(
        default=None, gt=0, description="long window of STA/LTA; default 1/5 of the kept length"
    )
    onset_position: Fraction = Field(default=0.3, description="where in the kept window the onset is put")
    onset_threshold: float = Field(default=3.0, gt=1, description="smallest STA/LTA that counts as an onset")
    no_onset: Literal["reject", "center"] = Field(
        default="reject", description="a record without an onset (as noise is)"
    )
    detrend: Literal["linear", "constant", "none"] = "linear"
    bandpass_hz: tuple[float, float] | None = Field(
        default=None, description="corners of a zero-phase Butterworth band-pass"
    )
    bandpass_order: int = Field(default=4, ge=1, le=10)
    stationxml: str | None = Field(
        default=None, description="StationXML file or glob: the instrument response is removed"
    )
    response_output: Literal["DISP", "VEL", "ACC"] = "VEL"
    sampling_rate_hz: float | None = Field(
        default=None, gt=0, description="expected rate; default: the commonest in the source"
    )
    resample_hz: float | None = Field(
        default=None, gt=0, description="every record is resampled to this rate (polyphase)"
    )

    @model_validator(mode="after")
    def _band_is_a_band(self) -> Self:
        if self.bandpass_hz is not None and not 0 < self.bandpass_hz[0] < self.bandpass_hz[1]:
            raise ValueError(f"bandpass_hz: expected 0 < low < high, received {self.bandpass_hz}")
        return self

    @model_validator(mode="after")
    def _short_window_is_shorter(self) -> Self:
        if self.onset_sta_s and self.onset_lta_s and self.onset_sta_s >= self.onset_lta_s:
            received = f"{self.onset_sta_s:g} s and {self.onset_lta_s:g} s"
            raise ValueError(f"onset_sta_s: expected less than onset_lta_s, received {received}")
        return self


class SpectrogramSettings(Settings):
    """The short-time spectrum, in the terms of `scipy.signal.spectrogram` (stage 2a)."""

    nperseg: int = Field(default=20, gt=1)
    noverlap: int = Field(default=10, ge=0)
    nfft: int = Field(default=128, gt=1)
    window: Literal["tukey", "hann", "hamming", "boxcar"] = Field(
        default="tukey", description="tukey is SciPy's Tukey(0.25)"
    )
    detrend: Literal["constant", "linear", "none"] = Field(
        default="constant", description="trend removed from each frame"
    )
    scaling: Literal["density", "spectrum"] = "density"
    log: bool = Field(default=True, description="log10 of the power")
    log_floor: float = Field(
        default=1e-8, gt=0, lt=1, description="smallest power kept, as a part of the record's largest"
    )

    @model_validator(mode="after")
    def _frames_fit(self) -> Self:
        if self.noverlap >= self.nperseg:
            raise ValueError(f"noverlap: expected less than nperseg {self.nperseg}, received {self.noverlap}")
        if self.nfft < self.nperseg:
            raise ValueError(f"nfft: expected at least nperseg {self.nperseg}, received {self.nfft}")
        return self

    def shape(self, n_samples: int) -> tuple[int, int]:
        """[frequency, time] of the spectrogram of `n_samples` samples, as SciPy counts them.

        Raises:
            ValueError: the record is shorter than one frame.
        """
        if n_samples < self.nperseg:
            raise ValueError(f"spectrogram: expected at least nperseg {self.nperseg} samples, received {n_samples}")
        return self.nfft // 2 + 1, (n_samples - self.noverlap) // (self.nperseg - self.noverlap)


class SplitSettings(Settings):
    """Which groups are for training, validation and test.

    `stratified` hits the fractions in each class within one group, and may move groups when records are added. `hash`
    draws each group by a hash of its id and the seed: it never moves one, and hits the fractions on average only.
    """

    method: Literal["stratified", "hash"] = "stratified"
    all_to: Literal["train", "valid", "test"] | None = Field(
        default=None, description="every record into this split, whatever the fractions and the source say"
    )
    valid_fraction: Rate = 0.15
    test_fraction: Rate = 0.2
    seed: int = 0

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            received = self.valid_fraction + self.test_fraction
            raise ValueError(
                f"valid_fraction + test_fraction: expected less than 1, received {received:g}; "
                "all_to (--all-to test) puts every record into one split"
            )
        return self

    @property
    def fractions(self) -> dict[Literal["train", "valid", "test"], float]:
        """Part of the records for each split that is to hold any."""
        if self.all_to is not None:
            return {self.all_to: 1.0}
        parts: dict[Literal["train", "valid", "test"], float]
        parts = {"train": 1 - (self.valid_fraction + self.test_fraction)}
        parts |= {"valid": self.valid_fraction, "test": self.test_fraction}
        return {split: part for split, part in parts.items() if part > 0}


class DartSplitSettings(SplitSettings):
    """The same of earthquakes: there are no classes, and simulated ones come in thousands and grow in number."""

    method: Literal["stratified", "hash"] = "hash"
    test_fraction: Rate = 0.15


class ShardSettings(Settings):
    """How records lie on disk."""

    shard_mb: float = Field(default=100.0, gt=0, description="size that a shard is planned for")
    max_rejected: float = Field(default=0.05, ge=0, le=1, description="part of the records that may be rejected")


class WaveformSourceSettings(Settings):
    """Where class and group of a record come from."""

    group_pattern: str = Field(
        default=r"^[^_]*_([^_]+)_", description="regular expression on the file name; group 1 is the id"
    )
    station_pattern: str | None = Field(
        default=r"_([^_]+)\.[^.]+$", description="regular expression on the file name; group 1 is the sensor or station"
    )
    any_format: bool = Field(
        default=False, description="take whatever ObsPy reads, which may open files that a record names"
    )
    labels_csv: str | None = Field(
        default=None, description="CSV with columns file,class,group instead of folders and pattern"
    )
    seisbench_class: str | None = Field(default=None, description="SeisBench metadata column that holds the class")
    seisbench_group: str = Field(default="source_id", description="SeisBench metadata column that holds the event")
    seisbench_component: str = Field(
        default="Z", min_length=1, max_length=1, description="component taken from SeisBench data"
    )

    @field_validator("group_pattern", "station_pattern")
    @classmethod
    def _pattern_has_a_group(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        if pattern is None:
            return None
        other = (
            "; --group-pattern takes one, --labels-csv a table of files" if info.field_name == "group_pattern" else ""
        )
        try:
            groups = re.compile(pattern).groups
        except re.error as err:
            raise ValueError(f"expected a regular expression, received {pattern!r} ({err}){other}") from err
        if groups < 1:
            raise ValueError(f"expected a regular expression with a (group), received {pattern!r}{other}")
        return pattern


class WaveformJob(Settings):
    """All of `prepare waveforms`."""

    task: Literal["waveforms"] = "waveforms"
    source: WaveformSourceSettings = WaveformSourceSettings()
    record: RecordSettings = RecordSettings()
    spectrogram: SpectrogramSettings = SpectrogramSettings()
    standardise: Literal["record", "dataset", "none"] = "record"
    split: SplitSettings = SplitSettings()
    shards: ShardSettings = ShardSettings()


class QualitySettings(Settings):
    """What of a buoy's record is taken for a fault of sensor, transmission or clock (`dart/quality.py`), and masked.

    The reasons are measurements on six NDBC records of the Tohoku tsunami (2011) and on simulated earthquakes of up to
    Mw 9.2 with seismic shaking, of which nothing may be masked: docs/dart-quality.md.
    """

    spike_m: float = Field(
        default=0.05, gt=0, description="m from what the samples beside say; less does an answer little harm"
    )
    spike_noise: float = Field(
        default=8.0, gt=0, description="the same in standard deviations of the record's own noise; both must be passed"
    )
    isolation: float = Field(
        default=8.0, gt=1, description="times the departure of samples near a spike; waves and shaking: 6 at most"
    )
    flat_min: float = Field(
        default=15.0, gt=0, description="min of one and the same level, of at least 4 samples; real records: 6 at most"
    )
    step_m: float = Field(
        default=0.1, gt=0, description="m; an earthquake moves the sea floor below these buoys by centimetres at most"
    )
    step_noise: float = Field(
        default=10.0,
        gt=1,
        description="times what a cubic with a step leaves; passed by no wave and no shaking that was tried",
    )
    duplicate_m: float = Field(
        default=0.01, gt=0, description="m between values of one moment; ten times the text's last digit"
    )
    depth_tolerance: float = Field(
        default=0.05,
        gt=0,
        description="part of the depth at the buoy's position; 46404's record is 1.3 % off that of the packaged grid",
    )
    depths_m: dict[str, float] = Field(
        default={}, description="m of water at buoys that are not packaged, or that were moved; wins over the packaged"
    )


class DartRecordSettings(Settings):
    """How buoy records become a window of detided water column (stage 2b, dart)."""

    window_min: int = Field(
        default=45, gt=0, description="length of the window; its first sample is one step after the origin"
    )
    step_min: int = Field(default=1, gt=0)
    buoys: tuple[str, ...] = Field(default=("46404", "46407", "46419"), min_length=1, description="in order")
    latency_min: float = Field(default=0.0, ge=0, description="samples of the last minutes that are not here yet")
    detide: Literal["joint", "harmonic", "mean", "polynomial", "highpass", "none"] = Field(
        default="joint",
        description="for raw levels; polynomial and highpass look into the future; none: no tide in the levels",
    )
    before_h: float = Field(default=24.0, gt=0, description="record before the origin that detiding uses")
    recency_h: float | None = Field(default=4.0, gt=0, description="how fast detiding forgets; null: not at all")
    max_level_m: float = Field(
        default=20.0, gt=0, description="detided levels beyond this can't be metres of water column"
    )
    quality: QualitySettings | None = Field(
        default=QualitySettings(), description="what is a fault and is masked; null: nothing, as in older data sets"
    )

    @model_validator(mode="after")
    def _window_is_whole_steps(self) -> Self:
        if self.window_min % self.step_min:
            raise ValueError(f"window_min: expected a multiple of step_min {self.step_min}, received {self.window_min}")
        return self


class DartJob(Settings):
    """All of `prepare dart`."""

    task: Literal["dart"] = "dart"
    greens: str | None = Field(
        default=None, description="npz or folder of Green's functions; default: the packaged ones"
    )
    gauges: tuple[str, ...] | None = Field(
        default=None, description="where the wave to come is kept; default: all of greens"
    )
    record: DartRecordSettings = DartRecordSettings()
    split: DartSplitSettings = DartSplitSettings()
    shards: ShardSettings = ShardSettings()
