"""Single records -> figures: waveform over spectrogram, linear beside log, signal against noise, a buoy's window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.report.figures import INK, QUIET, colour, new_figure, styled
from seis_tf.evaluation.report.units import frequency_unit, time_unit
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.waveforms.spectrograms import axes as spectrogram_axes
from seis_tf.waveforms.spectrograms import power_spectrum

Record = Mapping[str, np.ndarray]  # one decoded record by feature
_LOG_RANGE = 6.0  # decades of power that are shown


@dataclass(frozen=True)
class Scales:
    """What the axes of a data set's records mean.

    Attributes:
        sampling_rate_hz: of the waveforms; None where there are spectrograms only.
        log: whether spectrograms are log10 of power.
        frequencies: [frequency], Hz, or row numbers where the rate is not known.
        times: [time], s, or column numbers.
        amplitude_unit: of waveforms and peaks.
    """

    sampling_rate_hz: float | None
    log: bool
    frequencies: np.ndarray
    times: np.ndarray
    amplitude_unit: str

    @property
    def frequency_axis(self) -> tuple[str, float]:
        """Label of the frequency axis, and what to divide by."""
        if self.sampling_rate_hz is None:
            return "frequency row", 1.0
        unit, scale = frequency_unit(float(self.frequencies[-1]))
        return f"frequency ({unit})", scale

    @property
    def time_axis(self) -> tuple[str, float]:
        """Label of the time axis, and what to divide by."""
        if self.sampling_rate_hz is None:
            return "frame", 1.0
        unit, scale = time_unit(float(self.times[-1]))
        return f"time ({unit})", scale


def scales_of(info: DatasetInfo) -> Scales:
    """The scales of a waveform data set's records."""
    settings = SpectrogramSettings.model_validate(info.job["spectrogram"])
    n_frequencies, n_times = info.feature("spectrogram").shape
    unit = info.units.get("waveform", "source units")
    if info.sampling_rate_hz is None or not info.has("waveform"):
        return Scales(None, settings.log, np.arange(n_frequencies), np.arange(n_times), unit)
    n_samples = info.feature("waveform").shape[0]
    return Scales(
        info.sampling_rate_hz, settings.log, *spectrogram_axes(settings, n_samples, info.sampling_rate_hz), unit
    )


@styled
def record_card(record: Record, scales: Scales, class_names: Sequence[str], probabilities: np.ndarray | None) -> Figure:
    """Waveform over spectrogram, and below them what the model says: one card of a gallery.

    Args:
        record: `waveform` [sample] (may be absent), `spectrogram` [frequency, time], `label`.
        scales: of the data set.
        class_names: in order.
        probabilities: [class]; None where no model was asked.
    """
    true = int(record["label"])
    answered = true if probabilities is None else int(np.argmax(probabilities))
    heights = {"waveform": 0.95} if "waveform" in record else {}
    heights["spectrogram"] = 1.5
    if probabilities is not None:
        heights["bars"] = 0.24 * len(class_names)
    longest = max(map(len, class_names)) + len(" (true)") if probabilities is not None else 0
    figure, panels = _stacked(heights, left_in=max(0.75, 0.15 + 0.075 * longest))
    if "waveform" in panels:
        _draw_waveform(panels["waveform"], record["waveform"], scales, colour(true))
        panels["waveform"].tick_params(labelbottom=False)
    _draw_spectrogram(panels["spectrogram"], as_log(record["spectrogram"], scales), scales)
    if "bars" in panels:
        _draw_probabilities(panels["bars"], probabilities, class_names, true)
    title = class_names[true] if answered == true else f"{class_names[true]}, taken for {class_names[answered]}"
    figure.suptitle(title, x=0.02, ha="left", size=10.5, weight="bold", color=INK if answered == true else "#b3261e")
    return figure


@styled
def linear_beside_log(record: Record, scales: Scales, title: str) -> Figure:
    """Waveform, its spectrogram in linear power, and in log power: what the logarithm brings out."""
    heights = ({"waveform": 0.95} if "waveform" in record else {}) | {"linear": 1.4, "log": 1.4}
    figure, panels = _stacked(heights, left_in=0.75, right_in=0.85, gap_in=0.14)
    figure.suptitle(title, x=0.02, ha="left", size=10.5, weight="bold")
    if "waveform" in record:
        _draw_waveform(panels["waveform"], record["waveform"], scales, colour(int(record["label"])))
        panels["waveform"].tick_params(labelbottom=False)
    linear, log = panels["linear"], panels["log"]
    logs = as_log(record["spectrogram"], scales)
    power = 10 ** (logs - logs.max())
    image = _draw_spectrogram(linear, power, scales, low=0.0, high=1.0)
    linear.set_xlabel("")
    linear.tick_params(labelbottom=False)
    _colour_bar(figure, linear, image, "power / largest")
    image = _draw_spectrogram(log, logs, scales)
    _colour_bar(figure, log, image, "log10 power")
    return figure


@styled
def signal_against_noise(waveform: np.ndarray, sampling_rate_hz: float, unit: str, title: str) -> Figure:
    """Amplitude spectrum of the loudest quarter of a record against that of its quietest, on log-log axes.

    Args:
        waveform: [sample].
        sampling_rate_hz: of it.
        unit: of its amplitude.
        title: over the figure.
    """
    loud, quiet = loudest_and_quietest(waveform)
    figure = new_figure(4.8, 4.6)
    trace, axes = figure.subplots(2, 1, height_ratios=[1, 2.4])
    unit_s, scale_s = time_unit(len(waveform) / sampling_rate_hz)
    trace.plot(np.arange(len(waveform)) / sampling_rate_hz / scale_s, waveform, color=INK, lw=0.7)
    unit_hz, scale_hz = frequency_unit(sampling_rate_hz / 2)
    for name, window, number, dash in (("signal", loud, 1, "-"), ("noise", quiet, 0, "--")):
        span = (window.start / sampling_rate_hz / scale_s, window.stop / sampling_rate_hz / scale_s)
        trace.axvspan(*span, color=colour(number), alpha=0.2, lw=0)
        frequencies, amplitude = power_spectrum(waveform[None, window].astype(np.float64), sampling_rate_hz)
        axes.loglog(
            frequencies[1:] / scale_hz, amplitude[0, 1:], dash, c=colour(number), lw=1.4, label=f"{name} window"
        )
    trace.set(xlabel=f"time ({unit_s})", ylabel=unit, title=title)
    axes.set(xlabel=f"frequency ({unit_hz})", ylabel=f"amplitude ({unit} s)")
    axes.legend()
    return figure


def loudest_and_quietest(waveform: np.ndarray) -> tuple[slice, slice]:
    """The quarter of a record with the most energy, and of what is clear of it the quarter with the least."""
    length = len(waveform) // 4
    energy = np.concatenate([[0.0], np.cumsum(np.square(waveform - waveform.mean(), dtype=np.float64))])
    sums = energy[length:] - energy[:-length]
    loud = int(sums.argmax())
    starts = np.arange(len(sums))
    clear = (starts + length <= loud) | (starts >= loud + length)
    quiet = int(np.where(clear, sums, np.inf).argmin())
    return slice(loud, loud + length), slice(quiet, quiet + length)


@styled
def dart_window(
    level_m: np.ndarray,
    mask: np.ndarray,
    gauge_names: Sequence[str],
    step_min: float,
    title: str,
    truth_m: np.ndarray | None = None,
) -> Figure:
    """The window of a tsunami record at each buoy, missing samples left out, and the wave to come behind it.

    Args:
        level_m: [sample, buoy].
        mask: 1 where there is a sample, likewise.
        gauge_names: of the buoys.
        step_min: minutes a sample; the first is one step after the origin.
        title: over the figure.
        truth_m: [minute, buoy], the wave without noise from minute 0 on; None where it is not known.
    """
    n_buoys = level_m.shape[1]
    figure = new_figure(4.8, 0.9 + 1.15 * n_buoys)
    panels = np.atleast_1d(figure.subplots(n_buoys, 1, sharex=True))
    minutes = (1 + np.arange(len(level_m))) * step_min
    for b, axes in enumerate(panels):
        if truth_m is not None:
            axes.plot(np.arange(len(truth_m)), truth_m[:, b], color=QUIET, lw=1, label="wave")
        axes.plot(minutes, np.where(mask[:, b] > 0, level_m[:, b], np.nan), color=colour(b), lw=1.3, label="observed")
        axes.axvline(minutes[-1], color=INK, lw=0.8, ls=":")
        silent = "" if mask[:, b].any() else " (silent)"
        axes.set_ylabel(f"{gauge_names[b]}{silent}\nlevel (m)")
    panels[0].set_title(title)
    panels[0].legend(loc="upper right", ncols=2)
    panels[-1].set_xlabel("time after the origin (min)")
    return figure


def as_log(spectrogram: np.ndarray, scales: Scales) -> np.ndarray:
    """log10 of power, whichever of the two a data set holds."""
    if scales.log:
        return spectrogram
    return np.log10(np.maximum(spectrogram, max(spectrogram.max(), np.finfo(np.float32).tiny) * 10**-_LOG_RANGE))


def _stacked(
    heights_in: Mapping[str, float], left_in: float, right_in: float = 0.12, gap_in: float = 0.1
) -> tuple[Figure, dict[str, Axes]]:
    """Panels below each other at fixed places: a gallery has many, and finding places by trial doubles the time.

    Bars at the bottom get space above them for the labels of the time axis.
    """
    room_in = {name: 0.55 if name == "bars" else gap_in for name in heights_in}
    foot_in = 0.28 if "bars" in heights_in else 0.5
    width_in, height_in = 3.7 + right_in, 0.3 + foot_in + sum(heights_in.values()) + sum(room_in.values())
    figure = Figure(figsize=(width_in, height_in))
    top, panels = height_in - 0.3 + gap_in, {}
    for name, own in heights_in.items():
        top -= room_in[name] + own
        place = (left_in / width_in, top / height_in, 1 - (left_in + right_in) / width_in, own / height_in)
        panels[name] = figure.add_axes(place)
    figure.align_ylabels(list(panels.values()))
    return figure, panels


def _colour_bar(figure: Figure, axes: Axes, image, label: str) -> None:
    """Beside its panel, in the margin that `_stacked` left."""
    place = axes.get_position()
    figure.colorbar(image, cax=figure.add_axes((place.x1 + 0.015, place.y0, 0.025, place.height)), label=label)


def _draw_waveform(axes: Axes, waveform: np.ndarray, scales: Scales, shade: str) -> None:
    _, scale_s = scales.time_axis
    time = np.arange(len(waveform)) / scales.sampling_rate_hz / scale_s
    axes.plot(time, waveform, color=shade, lw=0.7)
    axes.set_xlim(time[0], time[-1])
    axes.set_ylabel("amplitude")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-2, 4), useMathText=True)


def _draw_spectrogram(
    axes: Axes, values: np.ndarray, scales: Scales, low: float | None = None, high: float | None = None
):
    (time_label, time_scale), (frequency_label, frequency_scale) = scales.time_axis, scales.frequency_axis
    times, frequencies = scales.times / time_scale, scales.frequencies / frequency_scale
    half_t, half_f = (times[1] - times[0]) / 2, (frequencies[1] - frequencies[0]) / 2
    extent = (times[0] - half_t, times[-1] + half_t, frequencies[0] - half_f, frequencies[-1] + half_f)
    if low is None:
        high = float(values.max())
        low = max(float(np.quantile(values, 0.02)), high - _LOG_RANGE)
    image = axes.imshow(
        values, origin="lower", aspect="auto", extent=extent, cmap="magma", vmin=low, vmax=high, interpolation="nearest"
    )
    if scales.sampling_rate_hz is not None:  # the same span as the waveform above
        axes.set_xlim(0, times[-1] + times[0])
    axes.set(xlabel=time_label, ylabel=frequency_label, ylim=(max(extent[2], 0), extent[3]))
    axes.grid(False)
    return image


def _draw_probabilities(axes: Axes, probabilities: np.ndarray, class_names: Sequence[str], true: int) -> None:
    places = np.arange(len(class_names))
    axes.barh(places, probabilities, color=[colour(k) for k in places], height=0.6, alpha=0.85)
    for k, value in enumerate(probabilities):
        inside = value > 0.8
        axes.text(
            value - 0.02 if inside else value + 0.02, k, f"{value:.2f}", va="center", ha="right" if inside else "left",
            size=8, color="white" if inside else INK,
        )  # fmt: skip
    axes.set_yticks(places, [f"{name} (true)" if k == true else name for k, name in enumerate(class_names)])
    axes.set(xlim=(0, 1), ylim=(len(class_names) - 0.4, -0.6), xticks=[])
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel("probability")
