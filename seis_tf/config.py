"""Every setting of a job as a typed, validated object, and its JSON beside the artifact that it made.

Each stage takes one of these objects and nothing else that steers it. They are frozen (a stage can't change what will be
saved beside its result), refuse unknown keys, and name the key, the expected and the received value when one is wrong.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Fraction = Annotated[float, Field(gt=0, lt=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]


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


class TrainingSettings(Settings):
    """One training, whatever the model."""

    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1, description="of SGD, Nesterov's")
    schedule: Literal["constant", "cosine", "exponential"] = "constant"
    warmup_epochs: int = Field(0, ge=0)
    final_fraction: float = Field(0.01, gt=0, le=1, description="rate of the last epoch as a part of learning_rate")
    l2: float = Field(0.0, ge=0, description="Keras's meaning: l2 * sum(w^2) is added to the loss")
    batch_size: int = Field(50, gt=0)
    epochs: int = Field(100, gt=0)
    early_stopping: int | None = Field(None, gt=0, description="epochs without improvement after which training stops")
    monitor: str = Field("val_loss", description="what early stopping and the best checkpoint look at")
    class_weights: Literal["none", "balanced"] = "none"
    seed: int = 0
    augment: AugmentSettings = AugmentSettings()


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


def load_settings(kind: type[SettingsType], path: Path | None, overrides: dict[str, Any]) -> SettingsType:
    """Settings from a JSON file, with the options given on the command line laid over it.

    Args:
        kind: the class wanted.
        path: a JSON file, or None for the defaults.
        overrides: dotted key to value, e.g. `{"record.length_samples": 1024}`; None values are skipped.

    Raises:
        ValueError: the file is no JSON, a key is unknown, or a value is out of range; names file, key and value.
    """
    tree: dict[str, Any] = {}
    if path is not None:
        try:
            tree = json.loads(Path(path).read_text())
        except (OSError, json.JSONDecodeError) as err:
            raise ValueError(f"{path}: expected a JSON file of settings, received {err}") from err
    for key, value in overrides.items():
        if value is None:
            continue
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    try:
        return kind.model_validate(tree)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path or 'options'}: {where}: {first['msg']}, received {first['input']!r}") from err


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
