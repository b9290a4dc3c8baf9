"""Settings of `simulate`: the drawn earthquakes and their records."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from seis_tf.settings.base import ClassName, Fraction, Rate, Settings


class MagnitudeSettings(Settings):
    """From slip to moment magnitude: Mw = 2/3 (log10 M0 - offset)."""

    rigidity_pa: float = Field(default=4e10, gt=0)
    log10_moment_offset: float = Field(
        default=9.05, description="GeoClaw's 9.05; IASPEI's standard is 9.1, 0.033 lower in Mw"
    )


class LabquakeSettings(Settings):
    """What `simulate labquakes` makes: records of an imagined block with sensors on two of its faces."""

    class_names: tuple[ClassName, ClassName, ClassName] = Field(
        default=("AE", "UP", "noise"),
        description="folders of labquakes, of active-source pulses and of noise, in this order",
    )
    experiment: ClassName = Field(default="sim", description="first field of the file names")
    sampling_rate_hz: float = Field(default=10e6, gt=0)
    length_samples: int = Field(
        default=1024, ge=256, le=1900, description="so many always fit into one miniSEED record of 8 KiB"
    )
    n_sensors: int = Field(default=16, ge=2, le=99)
    sensors_per_event: int = Field(default=4, ge=1)
    block_m: tuple[float, float, float] = Field(default=(0.25, 0.2, 0.2), description="length, width, height")
    p_velocity_m_s: float = Field(default=6200.0, gt=0)
    s_velocity_m_s: float = Field(default=3500.0, gt=0)
    quality: float = Field(default=200.0, gt=0, description="Q of the paths")
    reflection: float = Field(default=-0.7, ge=-1, le=1, description="coefficient of the block's faces")
    onset_position: tuple[Fraction, Fraction] = Field(
        default=(0.35, 0.45), description="where in the window P may arrive"
    )
    magnitudes: tuple[float, float] = Field(default=(0.0, 3.0), description="one unit is a factor 10 in amplitude")
    b_value: float = Field(
        default=1.0, gt=0, description="Gutenberg-Richter: a magnitude's density is 10^(-b magnitude)"
    )
    min_amplitude_counts: float = Field(default=500.0, gt=0, description="root mean square of a signal of magnitude 0")
    snr_db: tuple[float, float] = Field(
        default=(-12.0, 40.0), description="of an event; its sensors scatter about that"
    )
    snr_window_s: float = Field(default=40e-6, gt=0, description="signal after P that the SNR is of")
    corner_hz: float = Field(default=1.2e6, gt=0, description="corner frequency of a labquake of magnitude 0")
    corner_slope: float = Field(default=-0.15, description="change of the corner frequency's log10 a unit of magnitude")
    max_hz: float = Field(default=3e6, gt=0, description="upper end of the labquakes' energy")
    coda_s: tuple[float, float] = Field(
        default=(8e-6, 20e-6), description="time in which a coda's amplitude falls to 1/e"
    )
    pulse_hz: float = Field(default=350e3, gt=0, description="centre frequency of the active source")
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

    mw_min: float = Field(default=7.5, ge=6, le=10)
    mw_max: float = Field(default=9.2, ge=6, le=10)
    length_log10: tuple[float, float] = Field(
        default=(-2.477, 0.585), description="log10 km = a + b Mw; Strasser et al. 2010"
    )
    length_scatter: float = Field(
        default=0.180, ge=0, description="standard deviation of log10 length; the same source"
    )
    width_log10: tuple[float, float] = Field(
        default=(-0.882, 0.351), description="log10 km = a + b Mw; Strasser et al. 2010"
    )
    width_scatter: float = Field(default=0.173, ge=0)
    hurst: float = Field(default=0.75, gt=0, le=1, description="of the von Karman correlation; Mai and Beroza 2002")
    correlation_strike_km: tuple[float, float] = Field(
        default=(2.0, 1 / 3), description="a + b length; Mai and Beroza 2002"
    )
    correlation_dip_km: tuple[float, float] = Field(
        default=(1.0, 1 / 3), description="a + b width; Mai and Beroza 2002"
    )
    std_fraction: float = Field(default=0.9, ge=0, description="standard deviation of the slip as a part of its mean")
    modes: int | None = Field(default=None, gt=0, description="terms of the Karhunen-Loeve expansion; default: all")
    max_slip_m: float = Field(default=50.0, gt=0, description="a draw with more slip on any source is drawn anew")

    @model_validator(mode="after")
    def _range_is_a_range(self) -> Self:
        if self.mw_min > self.mw_max:
            raise ValueError(f"mw_min: expected at most mw_max {self.mw_max:g}, received {self.mw_min:g}")
        return self


class FakequakeSettings(Settings):
    """Simulated earthquakes and what buoys record of them."""

    slip: SlipSettings = SlipSettings()
    magnitude: MagnitudeSettings = MagnitudeSettings()
    buoys: tuple[str, ...] = Field(
        default=("46404", "46407", "46419"), min_length=1, description="that observe, in this order"
    )
    record_min: int = Field(default=120, gt=0, description="length of the observed records after the origin")
    arrival_error: float = Field(
        default=0.015, ge=0, lt=0.2, description="std of the relative stretch of time, source and buoy"
    )
    amplitude_error: float = Field(
        default=0.10, ge=0, lt=1, description="std of the log amplitude, per source and buoy"
    )
    noise_white_m: float = Field(default=0.005, ge=0)
    noise_red_m: float = Field(default=0.002, ge=0, description="std of a first-order autoregressive noise")
    noise_red_min: float = Field(default=30.0, gt=0, description="its correlation time")
    tide_residual_m: float = Field(default=0.003, ge=0, description="rms of what detiding leaves; 0 for none")
    seismic_wave_m: float = Field(
        default=0.0, ge=0, description="typical first amplitude of the seismic wave; 0 for none"
    )
    seismic_wave_decay_min: float = Field(default=4.0, gt=0)
    gap_probability: Rate = Field(default=0.0, description="that a record has one gap")
    gap_max_min: int = Field(default=10, gt=0)
    silent_probability: Rate = Field(default=0.0, description="that a buoy sends nothing; at least one always does")
    mixed_sampling: bool = Field(
        default=False, description="only quarter hours until the seismic wave starts the event mode"
    )
    trigger_max_min: float = Field(default=8.0, gt=0, description="latest start of the event mode after the origin")
