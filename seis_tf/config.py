"""Every setting of a job as a typed, validated object, and its JSON beside the artifact that it made.

Each stage takes one of these objects and nothing else that steers it. They are frozen (a stage can't change what will
be saved beside its result), refuse unknown keys, and name the key, the expected and the received value when one is
wrong.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Units = Annotated[int, Field(gt=0)]
# A part of file names: without underscore, which separates the fields there.
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")]


class Settings(BaseModel):
    """Base of all settings: immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class RecordSettings(Settings):
    """How a trace becomes a waveform of fixed length (stage 1, waveforms)."""

    length_samples: int = Field(1024, gt=1, description="samples kept of each record")
    anchor: Literal["start", "center", "onset"] = Field("start", description="which part of the record is kept")
    onset_sta_s: float | None = Field(
        None, gt=0, description="short window of STA/LTA; default 1/50 of the kept length"
    )
    onset_lta_s: float | None = Field(None, gt=0, description="long window of STA/LTA; default 1/5 of the kept length")
    onset_position: Fraction = Field(0.3, description="where in the kept window the onset is put")
    onset_threshold: float = Field(3.0, gt=1, description="smallest STA/LTA that counts as an onset")
    no_onset: Literal["reject", "center"] = Field("reject", description="a record without an onset (as noise is)")
    detrend: Literal["linear", "constant", "none"] = "linear"
    bandpass_hz: tuple[float, float] | None = Field(None, description="corners of a zero-phase Butterworth band-pass")
    bandpass_order: int = Field(4, ge=1, le=10)
    stationxml: str | None = Field(None, description="StationXML file or glob: the instrument response is removed")
    response_output: Literal["DISP", "VEL", "ACC"] = "VEL"
    sampling_rate_hz: float | None = Field(
        None, gt=0, description="expected rate; default: the commonest in the source"
    )
    resample_hz: float | None = Field(None, gt=0, description="every record is resampled to this rate (polyphase)")

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

    nperseg: int = Field(20, gt=1)
    noverlap: int = Field(10, ge=0)
    nfft: int = Field(128, gt=1)
    window: Literal["tukey", "hann", "hamming", "boxcar"] = Field("tukey", description="tukey is SciPy's Tukey(0.25)")
    detrend: Literal["constant", "linear", "none"] = Field("constant", description="trend removed from each frame")
    scaling: Literal["density", "spectrum"] = "density"
    log: bool = Field(True, description="log10 of the power")
    log_floor: float = Field(1e-8, gt=0, lt=1, description="smallest power kept, as a part of the record's largest")

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
    """Which groups are for training, validation and test: by a hash of group id and seed."""

    valid_fraction: Fraction = 0.15
    test_fraction: Fraction = 0.2
    seed: int = 0

    @model_validator(mode="after")
    def _something_is_left(self) -> Self:
        if self.valid_fraction + self.test_fraction >= 1:
            received = self.valid_fraction + self.test_fraction
            raise ValueError(f"valid_fraction + test_fraction: expected less than 1, received {received:g}")
        return self


class ShardSettings(Settings):
    """How records lie on disk."""

    shard_mb: float = Field(100.0, gt=0, description="size that a shard is planned for")
    max_rejected: float = Field(0.05, ge=0, le=1, description="part of the records that may be rejected")


class WaveformSourceSettings(Settings):
    """Where class and group of a record come from."""

    group_pattern: str = Field(r"^[^_]*_([^_]+)_", description="regular expression on the file name; group 1 is the id")
    station_pattern: str | None = Field(
        r"_([^_]+)\.[^.]+$", description="regular expression on the file name; group 1 is the sensor or station"
    )
    labels_csv: str | None = Field(None, description="CSV with columns file,class,group instead of folders and pattern")
    seisbench_class: str | None = Field(None, description="SeisBench metadata column that holds the class")
    seisbench_group: str = Field("source_id", description="SeisBench metadata column that holds the event")
    seisbench_component: str = Field("Z", min_length=1, max_length=1, description="component taken from SeisBench data")

    @field_validator("group_pattern", "station_pattern")
    @classmethod
    def _pattern_has_a_group(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = re.compile(pattern).groups
        except re.error as err:
            raise ValueError(f"expected a regular expression, received {pattern!r} ({err})") from err
        if groups < 1:
            raise ValueError(f"expected a regular expression with a (group), received {pattern!r}")
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


class MagnitudeSettings(Settings):
    """From slip to moment magnitude: Mw = 2/3 (log10 M0 - offset)."""

    rigidity_pa: float = Field(4e10, gt=0)
    log10_moment_offset: float = Field(9.05, description="GeoClaw's 9.05; IASPEI's standard is 9.1, 0.033 lower in Mw")


class LabquakeSettings(Settings):
    """What `simulate labquakes` makes: records of an imagined block with sensors on two of its faces."""

    class_names: tuple[ClassName, ClassName, ClassName] = Field(
        ("AE", "UP", "noise"), description="folders of labquakes, of active-source pulses and of noise, in this order"
    )
    experiment: ClassName = Field("sim", description="first field of the file names")
    sampling_rate_hz: float = Field(10e6, gt=0)
    length_samples: int = Field(
        1024, ge=256, le=1900, description="so many always fit into one miniSEED record of 8 KiB"
    )
    n_sensors: int = Field(16, ge=2, le=99)
    sensors_per_event: int = Field(4, ge=1)
    block_m: tuple[float, float, float] = Field((0.25, 0.2, 0.2), description="length, width, height")
    p_velocity_m_s: float = Field(6200.0, gt=0)
    s_velocity_m_s: float = Field(3500.0, gt=0)
    quality: float = Field(200.0, gt=0, description="Q of the paths")
    reflection: float = Field(-0.7, ge=-1, le=1, description="coefficient of the block's faces")
    onset_position: tuple[Fraction, Fraction] = Field((0.35, 0.45), description="where in the window P may arrive")
    magnitudes: tuple[float, float] = Field((0.0, 3.0), description="one unit is a factor 10 in amplitude")
    b_value: float = Field(1.0, gt=0, description="Gutenberg-Richter: a magnitude's density is 10^(-b magnitude)")
    min_amplitude_counts: float = Field(500.0, gt=0, description="root mean square of a signal of magnitude 0")
    snr_db: tuple[float, float] = Field((-12.0, 40.0), description="of an event; its sensors scatter about that")
    snr_window_s: float = Field(40e-6, gt=0, description="signal after P that the SNR is of")
    corner_hz: float = Field(1.2e6, gt=0, description="corner frequency of a labquake of magnitude 0")
    corner_slope: float = Field(-0.15, description="change of the corner frequency's log10 a unit of magnitude")
    max_hz: float = Field(3e6, gt=0, description="upper end of the labquakes' energy")
    coda_s: tuple[float, float] = Field((8e-6, 20e-6), description="time in which a coda's amplitude falls to 1/e")
    pulse_hz: float = Field(350e3, gt=0, description="centre frequency of the active source")
    noise_band_hz: tuple[float, float] = (2e6, 5e6)
    noise_lines_hz: tuple[float, ...] = (1.55e6, 2.75e6, 3.9e6)

    @model_validator(mode="after")
    def _all_fits(self) -> Self:
        if len(set(self.class_names)) < 3:
            raise ValueError(f"class_names: expected three different names, received {self.class_names}")
        if self.sensors_per_event > self.n_sensors:
            received = f"{self.sensors_per_event} of {self.n_sensors}"
            raise ValueError(f"sensors_per_event: expected at most n_sensors, received {received}")
        if min(self.block_m) <= 0:
            raise ValueError(f"block_m: expected three lengths above 0, received {self.block_m}")
        for name in ("onset_position", "magnitudes", "snr_db", "coda_s", "noise_band_hz"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: expected low <= high, received {(low, high)}")
        nyquist_hz = self.sampling_rate_hz / 2
        highest_hz = max(self.max_hz, 2 * self.pulse_hz, *self.noise_band_hz, *self.noise_lines_hz)
        if highest_hz > nyquist_hz:
            raise ValueError(
                f"frequencies: expected at most the Nyquist frequency {nyquist_hz:g}, received {highest_hz:g}"
            )
        if self.coda_s[0] <= 0 or self.noise_band_hz[0] <= 0:
            raise ValueError(f"coda_s, noise_band_hz: expected above 0, received {self.coda_s}, {self.noise_band_hz}")
        if self.snr_window_s * self.sampling_rate_hz < 1:
            raise ValueError(f"snr_window_s: expected at least one sample, received {self.snr_window_s:g}")
        slowness_s_m = 1 / self.s_velocity_m_s - 1 / self.p_velocity_m_s
        last_s = (
            self.onset_position[1] * self.length_samples + self.longest_path_m * slowness_s_m * self.sampling_rate_hz
        )
        if slowness_s_m <= 0 or last_s >= self.length_samples:
            raise ValueError(
                f"S onset: expected after P and before sample {self.length_samples}, received {last_s:.0f}"
            )
        return self

    @property
    def longest_path_m(self) -> float:
        """No straight path in the block is longer."""
        return math.hypot(*self.block_m)


class SlipSettings(Settings):
    """Random slip of simulated earthquakes: a rectangle of unit sources by magnitude, log-normal slip inside."""

    mw_min: float = Field(7.5, ge=6, le=10)
    mw_max: float = Field(9.2, ge=6, le=10)
    length_log10: tuple[float, float] = Field((-2.477, 0.585), description="log10 km = a + b Mw; Strasser et al. 2010")
    length_scatter: float = Field(0.180, ge=0, description="standard deviation of log10 length; the same source")
    width_log10: tuple[float, float] = Field((-0.882, 0.351), description="log10 km = a + b Mw; Strasser et al. 2010")
    width_scatter: float = Field(0.173, ge=0)
    hurst: float = Field(0.75, gt=0, le=1, description="of the von Karman correlation; Mai and Beroza 2002")
    correlation_strike_km: tuple[float, float] = Field((2.0, 1 / 3), description="a + b length; Mai and Beroza 2002")
    correlation_dip_km: tuple[float, float] = Field((1.0, 1 / 3), description="a + b width; Mai and Beroza 2002")
    std_fraction: float = Field(0.9, ge=0, description="standard deviation of the slip as a part of its mean")
    modes: int | None = Field(None, gt=0, description="terms of the Karhunen-Loeve expansion; default: all")
    max_slip_m: float = Field(50.0, gt=0, description="a draw with more slip on any source is drawn anew")

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
        if self.mw_min > self.mw_max:
            raise ValueError(f"mw_min: expected at most mw_max {self.mw_max:g}, received {self.mw_min:g}")
        return self


class FakequakeSettings(Settings):
    """Simulated earthquakes and what buoys record of them."""

    slip: SlipSettings = SlipSettings()
    magnitude: MagnitudeSettings = MagnitudeSettings()
    buoys: tuple[str, ...] = Field(("46404", "46407", "46419"), min_length=1, description="that observe, in this order")
    record_min: int = Field(120, gt=0, description="length of the observed records after the origin")
    arrival_error: float = Field(
        0.015, ge=0, lt=0.2, description="std of the relative stretch of time, source and buoy"
    )
    amplitude_error: float = Field(0.10, ge=0, lt=1, description="std of the log amplitude, per source and buoy")
    noise_white_m: float = Field(0.005, ge=0)
    noise_red_m: float = Field(0.002, ge=0, description="std of a first-order autoregressive noise")
    noise_red_min: float = Field(30.0, gt=0, description="its correlation time")
    tide_residual_m: float = Field(0.003, ge=0, description="rms of what detiding leaves; 0 for none")
    seismic_wave_m: float = Field(0.0, ge=0, description="typical first amplitude of the seismic wave; 0 for none")
    seismic_wave_decay_min: float = Field(4.0, gt=0)
    gap_probability: Rate = Field(0.0, description="that a record has one gap")
    gap_max_min: int = Field(10, gt=0)
    silent_probability: Rate = Field(0.0, description="that a buoy sends nothing; at least one always does")
    mixed_sampling: bool = Field(False, description="only quarter hours until the seismic wave starts the event mode")
    trigger_max_min: float = Field(8.0, gt=0, description="latest start of the event mode after the origin")


class DartRecordSettings(Settings):
    """How buoy records become a window of detided water column (stage 2b, dart)."""

    window_min: int = Field(45, gt=0, description="length of the window; its first sample is one step after the origin")
    step_min: int = Field(1, gt=0)
    buoys: tuple[str, ...] = Field(("46404", "46407", "46419"), min_length=1, description="in order")
    latency_min: float = Field(0.0, ge=0, description="samples of the last minutes that are not here yet")
    detide: Literal["joint", "harmonic", "mean", "polynomial", "highpass", "none"] = Field(
        "joint", description="for raw levels; polynomial and highpass look into the future; none: no tide in the levels"
    )
    before_h: float = Field(24.0, gt=0, description="record before the origin that detiding uses")
    recency_h: float | None = Field(4.0, gt=0, description="how fast detiding forgets; null: not at all")
    max_level_m: float = Field(20.0, gt=0, description="detided levels beyond this can't be metres of water column")

    @model_validator(mode="after")
    def _window_is_whole_steps(self) -> Self:
        if self.window_min % self.step_min:
            raise ValueError(f"window_min: expected a multiple of step_min {self.step_min}, received {self.window_min}")
        return self


class DartJob(Settings):
    """All of `prepare dart`."""

    task: Literal["dart"] = "dart"
    greens: str | None = Field(None, description="npz or folder of Green's functions; default: the packaged ones")
    gauges: tuple[str, ...] | None = Field(None, description="where the wave to come is kept; default: all of greens")
    record: DartRecordSettings = DartRecordSettings()
    split: SplitSettings = SplitSettings(valid_fraction=0.15, test_fraction=0.15)
    shards: ShardSettings = ShardSettings()


class AugmentSettings(Settings):
    """Changes of the training records, drawn anew each epoch."""

    shift_fraction: float = Field(0.0, ge=0, le=0.5, description="largest time shift, as a part of the record")
    gain_db: float = Field(0.0, ge=0, description="standard deviation of the gain (matters without standardisation)")
    noise_probability: float = Field(0.0, ge=0, le=1, description="how often another noise record is added")
    noise_snr_db: tuple[float, float] = Field((0.0, 20.0), description="range of the SNR after adding noise")

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return bool(self.shift_fraction or self.gain_db or self.noise_probability)


class MlpSettings(Settings):
    """A fully connected classifier."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[Units, ...] = Field((20,), description="units of each hidden layer")
    activation: str = "relu"
    dropout: Rate = 0.0


class CnnSettings(Settings):
    """A convolutional classifier of spectrograms."""

    kind: Literal["cnn"] = "cnn"
    filters: tuple[Units, ...] = Field((8, 16, 32), description="of each block")
    kernel: int = Field(3, gt=0)
    pool: int = Field(2, gt=1)
    stem: tuple[Units, Units] = Field((1, 1), description="[frequency, time] cells averaged before the first block")
    dense: int = Field(20, ge=0, description="units of the hidden layer; 0 for none")
    activation: str = "relu"
    dropout: Rate = 0.3


class Conv1dSettings(Settings):
    """The network from buoy records to slip."""

    kind: Literal["conv1d"] = "conv1d"
    widths: tuple[Units, ...] | None = Field(None, description="channels of each stage; default by window length")
    dense: int = Field(40, gt=0)
    dropout: Rate = 0.3
    activation: str = "leaky_relu"
    negative_slope: float = Field(0.01, ge=0, lt=1)
    output: Literal["relu", "softplus"] = "relu"
    use_mask: bool = False


class SlipMlpSettings(Settings):
    """The fully connected network from buoy records to slip, which sees each record's shape and its level apart."""

    kind: Literal["slip_mlp"] = "slip_mlp"
    hidden: tuple[int, ...] = Field((256, 256, 256), description="units; layers of equal width are residual")
    activation: str = "silu"
    dropout: Rate = 0.1
    floor_m: float = Field(0.01, gt=0, description="level below which records are not scaled up")
    gain: float = Field(20.0, gt=0, description="metres of slip that a metre of level stands for, about")
    use_mask: Literal[True] = True


ModelSettings = Annotated[MlpSettings | CnnSettings | Conv1dSettings | SlipMlpSettings, Field(discriminator="kind")]


class LossSettings(Settings):
    """What the DART network is fitted to: squared slip error, and squared error of the wave that the slip makes."""

    slip_weight: float = Field(1.0, ge=0)
    wave_weight: float = Field(0.0, ge=0, description="of the wave's misfit, in units of its variance")


class RedrawSettings(Settings):
    """Noise of buoy records that is drawn anew each epoch, on the noise-free wave; the defaults are the simulator's."""

    white_m: float = Field(0.005, gt=0)
    red_m: float = Field(0.002, ge=0, description="standard deviation of a first-order autoregressive noise")
    red_min: float = Field(30.0, gt=0, description="its correlation time")
    tide_m: float = Field(0.003, ge=0, description="standard deviation of what detiding leaves")
    step_min: float = Field(1.0, gt=0, description="time step of the window")


class TrainingSettings(Settings):
    """One training, whatever the model."""

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD, Nesterov's")
    weight_decay: float = Field(0.0, ge=0, description="decoupled from the gradient, as in AdamW")
    clip_norm: float | None = Field(None, gt=0, description="largest global norm of the gradients")
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_epochs: int = Field(0, ge=0)
    final_fraction: float = Field(0.01, gt=0, le=1, description="rate of the last epoch as a part of learning_rate")
    l2: float = Field(0.0, ge=0, description="Keras's meaning: l2 * sum(w^2) of the kernels is added to the loss")
    batch_size: int = Field(50, gt=0)
    epochs: int = Field(100, gt=0)
    early_stopping: int | None = Field(None, gt=0, description="epochs without improvement after which training stops")
    monitor: str = Field("val_loss", description="what early stopping and the best checkpoint look at")
    keep: Literal["best", "last"] = Field("best", description="which epoch's weights the run ends with")
    class_weights: Literal["none", "balanced"] = "none"
    members: int = Field(1, ge=1, le=64, description="models trained together from different seeds: an ensemble")
    seed: int = Field(0, ge=0, lt=2**31)
    augment: AugmentSettings = AugmentSettings()
    loss: LossSettings = LossSettings()
    buoy_dropout: Rate = Field(0.0, description="how often a buoy's record is taken away in training")
    level_weights: bool = Field(False, description="DART: records weigh 1 / their level, so that small events count")
    redraw_noise: RedrawSettings | None = Field(None, description="DART: draw the records' noise anew each epoch")


class TrainJob(Settings):
    """All of `train`."""

    model: ModelSettings
    training: TrainingSettings = TrainingSettings()


class BatchingSettings(Settings):
    """How the local server joins requests; MODELS/batching.config says the same in TensorFlow Serving's words."""

    max_batch_size: int = Field(32, ge=1, description="records in one call of the model")
    delay_s: float = Field(0.0, ge=0, le=1, description="how long a first request waits for others while nothing runs")
    max_waiting: int = Field(1024, ge=1, description="requests that may wait for one signature; more are refused")
    allowed_sizes: tuple[int, ...] = Field(
        (), description="batches are filled up to the next of these; empty: any size"
    )

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        sizes = self.allowed_sizes
        if sizes and (list(sizes) != sorted(set(sizes)) or sizes[0] < 1 or sizes[-1] != self.max_batch_size):
            expected = f"ascending sizes of at least 1, the last max_batch_size {self.max_batch_size}"
            raise ValueError(f"allowed_sizes: expected {expected}, received {sizes}")
        return self


class ServerSettings(Settings):
    """The local server."""

    host: str = Field("127.0.0.1", description="0.0.0.0 to be reached from elsewhere: there is no password")
    rest_port: int = Field(8501, ge=0, le=65535, description="0 takes a free one")
    grpc_port: int | None = Field(8500, ge=0, le=65535, description="0 takes a free one; null: no gRPC")
    poll_s: float = Field(1.0, gt=0, description="how often MODELS is looked at for new versions")
    batching: BatchingSettings | None = Field(None, description="default: what MODELS/batching.config says")
    max_body_mb: float = Field(32.0, gt=0, description="largest request")
    max_held_mb: float = Field(256.0, gt=0, description="of all requests being read at one time")
    max_connections: int = Field(1000, ge=1)
    request_timeout_s: float = Field(30.0, gt=0, description="from the whole request to its answer")
    read_timeout_s: float = Field(20.0, gt=0, description="for a client to send its headers, and its body")
    stop_timeout_s: float = Field(10.0, gt=0, description="for requests under way when the server stops")


def learning_rate_at(settings: TrainingSettings, epoch: int) -> float:
    """Learning rate of one epoch (counted from 0)."""
    if epoch < settings.warmup_epochs:
        return settings.learning_rate * (epoch + 1) / (settings.warmup_epochs + 1)
    span = max(settings.epochs - settings.warmup_epochs - 1, 1)
    part = min((epoch - settings.warmup_epochs) / span, 1.0)
    if settings.schedule == "cosine":
        return settings.learning_rate * (
            settings.final_fraction + (1 - settings.final_fraction) * (1 + math.cos(math.pi * part)) / 2
        )
    if settings.schedule == "exponential":
        return settings.learning_rate * settings.final_fraction**part
    return settings.learning_rate


SettingsType = TypeVar("SettingsType", bound=Settings)


def load_settings(
    kind: type[SettingsType], path: Path | None, overrides: dict[str, Any], base: dict[str, Any] | None = None
) -> SettingsType:
    """Settings from a JSON file, with the options given on the command line laid over it.

    Args:
        kind: the class wanted.
        path: a JSON file, or None for the defaults.
        overrides: dotted key to value, e.g. `{"record.length_samples": 1024}`; None values are skipped.
        base: what the file is laid over.

    Raises:
        ValueError: the file is no JSON, a key is unknown, or a value is out of range; names file, key and value.
    """
    tree: dict[str, Any] = copy.deepcopy(base or {})
    merge(tree, load_tree(path))
    for key, value in overrides.items():
        if value is None:
            continue
        for part in reversed(key.split(".")):
            value = {part: value}
        merge(tree, value)
    try:
        return kind.model_validate(tree)
    except ValidationError as err:
        raise ValueError(f"{path or 'options'}: {first_error(err)}") from err


def load_tree(path: Path | None) -> dict[str, Any]:
    """A JSON file of settings as it is, before any check; nothing for None.

    Raises:
        ValueError: the file is no JSON object.
    """
    if path is None:
        return {}
    try:
        tree = json.loads(Path(path).read_text())
    except (OSError, ValueError) as err:
        raise ValueError(f"{path}: expected a JSON object of settings, received {err}") from err
    if not isinstance(tree, dict):
        raise ValueError(f"{path}: expected a JSON object of settings, received {type(tree).__name__}")
    return tree


def first_error(err: ValidationError) -> str:
    """The first thing that pydantic found wrong, as one line "key: expected ..., received ..."."""
    first = err.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":  # of a validator here: its text names both values
        return ": ".join(filter(None, (where, str(first["ctx"]["error"]))))
    return f"{where}: {first['msg']}, received {first['input']!r}"


def merge(tree: dict[str, Any], over: dict[str, Any]) -> None:
    """Lays one tree of settings over another."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge(tree[key], value)
        else:
            tree[key] = value


def write_json(path: Path, content: Settings | dict[str, Any]) -> None:
    """Writes JSON so that the file is either the old one or the whole new one."""
    tree = content.model_dump(mode="json") if isinstance(content, Settings) else content
    write_atomically(path, (json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name, syncs it to disk, renames it."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
