"""The exported graph of a DART model: in, a window of buoy records; out, slip, magnitude and the forecast wave.

Green's functions, the magnitude's formula, the intervals (`interval_graph.py`) and the rule for how much a record must
hold (`enough_graph.py`) are in the graph. For a record without an answer (levels that can't be metres of detided water
column, not enough samples or signal, no slip predicted) all answers are 0, `valid` is False and `reason` says why. Ends
of intervals are 0 where none are given.
"""

from __future__ import annotations

import io
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seis_tf.dart import enough
from seis_tf.dart.unit_sources import SOURCE_COLUMNS, GreensFunctions, load_greens
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.dart.uncertainty import NEVER_NEGATIVE
from seis_tf.evaluation.stats.intervals import Intervals, normal_quantity
from seis_tf.names import check_names
from seis_tf.serve.export import enough_graph, interval_graph
from seis_tf.serve.export.signature import Field, Signature, Tensors, of_width
from seis_tf.settings.data import DartJob
from seis_tf.settings.simulation import MagnitudeSettings
from seis_tf.settings.training import AnswerSettings

GREENS_FILE = "greens.npz"
INTERVALS_FILE = "intervals.json"
# Levels up to this many times the largest of the training records are taken as water column.
LARGEST_FACTOR = 5.0
_UNITS = {"weights_m": "m", "mw": "", "forecast_m": "m", "peak_m": "m"}


def normal_intervals(members: int) -> Intervals | None:
    """Intervals from an ensemble's spread alone, as a rule far too narrow; None for a single network."""
    if members == 1:
        return None
    quantities = {name: normal_quantity(never_negative=name in NEVER_NEGATIVE) for name in _UNITS}
    return Intervals(samples=f"ensemble of {members} members", events=0, quantities=quantities)


class Forecaster:
    """The graph of a DART model.

    Args:
        model: levels (and masks) [batch, minute, buoy] -> slip [batch, source] or, of an ensemble,
            [batch, member, source].
        info: of the data set that it was trained on.
        intervals: fitted on validation events; by default an ensemble's spread alone makes them.
        limits: what a record must hold.

    Raises:
        ValueError: the data set's Green's functions are not there, a source has no area, or the intervals are for other
            gauges.
    """

    def __init__(
        self,
        model: keras.Model,
        info: DatasetInfo,
        intervals: Intervals | None = None,
        limits: AnswerSettings = AnswerSettings(),
    ):
        self.model, self.info, self.limits = model, info, limits
        self.job = DartJob.model_validate(info.job)
        largest_m = info.normalisation.get("largest", [np.inf])[0]
        self.max_level_m = float(min(LARGEST_FACTOR * largest_m, self.job.record.max_level_m))
        self.members = model.output_shape[1] if len(model.output_shape) == 3 else 1
        self.greens = load_greens(self.job.greens).select(info.source_names, info.forecast_gauges or None)
        self.magnitude = MagnitudeSettings()
        self.intervals = intervals or normal_intervals(self.members)
        if intervals is not None and "forecast_m" in intervals.quantities:
            check_names("intervals: gauges", self.greens.gauge_names, intervals.gauges)
        if not np.isfinite(self.greens.area_m2).all():
            name = self.greens.source_names[int(np.argmin(np.isfinite(self.greens.area_m2)))]
            raise ValueError(f"Green's functions: expected length and width of every source, received none of {name}")

    @property
    def variables(self) -> list[tf.Variable]:
        """All that must be saved with the functions."""
        return [variable.value for variable in self.model.variables]

    @property
    def shape(self) -> tuple[int, int]:
        """[minute, buoy] of the input."""
        steps, buoys = self.info.feature("water_level_m").shape
        return steps, buoys

    def signatures(self) -> dict[str, Signature]:
        """Name to signature."""
        meaning = "detided water column, first sample one step after the origin; buoys in the order of buoy_names"
        gaps = Field("water_level_m", "float32", (None, *self.shape), "m", f"{meaning}; NaN where there is no sample")
        level = Field("water_level_m", "float32", (None, *self.shape), "m", meaning)
        mask = Field(
            "mask", "float32", (None, *self.shape), "", "1 where there is a sample, 0 elsewhere", self._all_there
        )
        return {
            "serving_default": Signature(self.forecast, (gaps,), self._answer_fields()),
            "masked": Signature(self.forecast_masked, (level, mask), self._answer_fields()),
            "masked_named": Signature(self.forecast_named, (level, mask, self._names_field()), self._answer_fields()),
        }

    def describe(self) -> dict[str, Any]:
        """What `metadata.json` says of a DART model: orders, window, geometry, limits."""
        greens = self.greens
        return {
            "buoy_names": list(self.info.gauge_names),
            "source_names": list(greens.source_names),
            "forecast_gauges": list(greens.gauge_names),
            "forecast_minutes": len(greens.time_min),
            "window_min": self.job.record.window_min,
            "step_min": self.job.record.step_min,
            "max_level_m": self.max_level_m,
            "answer": self.limits.model_dump(mode="json"),
            "magnitude": self.magnitude.model_dump(mode="json"),
            "interval_levels": list(self.intervals.levels) if self.intervals else [],
            "intervals": self._describe_intervals(),
            "preprocessing": {"record": self.job.record.model_dump(mode="json")},
            "source_table": {name: _or_none(greens.column(name)) for name in SOURCE_COLUMNS},
            "gauge_lonlat": [_or_none(position) for position in greens.gauge_lonlat],
        }

    def files(self) -> dict[str, bytes]:
        """Green's functions of all gauges, for detiding and the check of a region; all numbers of intervals."""
        files = {GREENS_FILE: _npz(load_greens(self.job.greens).select(self.info.source_names))}
        return files | ({INTERVALS_FILE: self.intervals.model_dump_json().encode()} if self.intervals else {})

    def _describe_intervals(self) -> dict[str, Any]:
        if self.intervals is None:
            return {}
        return self.intervals.model_dump(mode="json", include={"samples", "events", "edges"}) | {
            "quantities": list(self.intervals.quantities)
        }

    def forecast(self, water_level_m: tf.Tensor) -> Tensors:
        """Levels [batch, minute, buoy] with NaN for what is missing -> answers."""
        water_level_m = of_width(water_level_m, "water_level_m", self.shape)
        return self._answer(water_level_m, tf.logical_not(tf.math.is_nan(water_level_m)))

    def forecast_masked(self, water_level_m: tf.Tensor, mask: tf.Tensor) -> Tensors:
        """Levels and masks [batch, minute, buoy] -> answers."""
        water_level_m = of_width(water_level_m, "water_level_m", self.shape)
        mask = of_width(mask, "mask", self.shape)
        return self._answer(water_level_m, mask > 0.5)

    def forecast_named(self, water_level_m: tf.Tensor, mask: tf.Tensor, buoy_names: tf.Tensor) -> Tensors:
        """The same with the names of the buoys [batch, buoy]: a record of others or in another order has no answer."""
        names = of_width(buoy_names, "buoy_names", self.shape[1:])
        right = tf.reduce_all(tf.equal(names, tf.constant(self.info.gauge_names)), axis=1)
        level = of_width(water_level_m, "water_level_m", self.shape)
        there = (of_width(mask, "mask", self.shape) > 0.5) & right[:, None, None]
        answer = self._answer(level, there)
        received = tf.strings.reduce_join(names, axis=1, separator=", ")
        expected = f"buoys: expected {', '.join(self.info.gauge_names)} in this order, received "
        return answer | {"reason": tf.where(right, answer["reason"], tf.strings.join([expected, received]))}

    def _names_field(self) -> Field:
        def names(random: np.random.Generator, batch: int) -> np.ndarray:
            return np.array([self.info.gauge_names] * batch, dtype=object)

        return Field("buoy_names", "string", (None, self.shape[1]), "", "names of the buoys, of each record", names)

    def _all_there(self, random: np.random.Generator, batch: int) -> np.ndarray:
        return np.ones((batch, *self.shape), np.float32)

    def _answer(self, level: tf.Tensor, there: tf.Tensor) -> Tensors:
        steps = self.shape[0]
        level = tf.where(there, level, tf.zeros_like(level))
        # A comparison with NaN is False, so a NaN where the mask is set makes the record invalid too.
        possible = tf.reduce_all(tf.abs(level) <= self.max_level_m, axis=(1, 2))
        level = tf.where(possible[:, None, None], level, tf.zeros_like(level))
        counts = enough_graph.sample_counts(there)
        signal = enough_graph.signal_m(level, there, counts)
        enough_samples = enough_graph.enough_samples(counts, steps, self.limits)
        enough_signal = signal >= self.limits.min_signal_m
        inputs = [level, tf.cast(there, tf.float32)]
        slip = self.model(inputs if len(self.model.inputs) > 1 else level, training=False)
        slip = slip if self.members > 1 else slip[:, None]
        mw = self.member_magnitudes(slip)
        has_slip = tf.reduce_any(mw > 0, axis=1)
        valid = possible & enough_samples & enough_signal & has_slip
        slip = tf.where(valid[:, None, None], slip, tf.zeros_like(slip))
        mw = tf.where(valid[:, None], mw, tf.zeros_like(mw))
        values = {"weights_m": slip, "mw": mw, "forecast_m": self._waves(slip)}
        answer = {name: tf.reduce_mean(value, axis=1) for name, value in values.items()} | {"valid": valid}
        levels = f"levels: expected finite metres of detided water column, at most {self.max_level_m:g} m"
        texts = (levels, *enough.short_reasons(self.limits))
        answer |= {
            "reason": enough_graph.reason(tf.logical_not(possible), enough_samples, enough_signal, has_slip, texts),
            "samples": counts,
            "signal_m": signal,
            "enough_samples": enough_samples,
            "enough_signal": enough_signal,
        }
        values["peak_m"] = self._peaks(values["forecast_m"])
        answer["peak_m"] = self._peaks(answer["forecast_m"])
        spread = {name: tf.math.reduce_std(value, axis=1) for name, value in values.items()}
        if self.members > 1:
            answer |= {f"{name}_spread": value for name, value in spread.items()}
        return answer | (self._interval_ends(self.intervals, answer, spread, counts) if self.intervals else {})

    def _interval_ends(self, intervals: Intervals, answer: Tensors, spread: Tensors, counts: tf.Tensor) -> Tensors:
        """Ends of all quantities' intervals, 0 where none are given, and why not."""
        steps = self.shape[0]
        given = answer["valid"] & enough_graph.complete(counts, steps, self.limits)
        reason = enough_graph.interval_reason(answer["valid"], counts, steps, self.limits)
        outputs = {"has_intervals": given, "intervals_reason": reason}
        for name in intervals.quantities:
            ends = self._quantity_ends(intervals, name, answer, spread[name])
            for end, value in zip(("lower", "upper"), ends, strict=True):
                shown = tf.reshape(given, [-1] + [1] * (len(value.shape) - 1))
                outputs[f"{name}_{end}"] = tf.where(shown, value, tf.zeros_like(value))
        return outputs

    def member_magnitudes(self, slip: tf.Tensor) -> tf.Tensor:
        """Mw of each member, as `draws.member_magnitudes`.

        Args:
            slip: float32 [batch, member, source], m.

        Returns:
            float32 [batch, member]; a member without slip has the mean of the others, or 0 where none has slip.
        """
        areas = tf.constant(self.magnitude.rigidity_pa * self.greens.area_m2 / 1e18, tf.float32)
        moment = tf.linalg.matvec(slip, areas)
        # Moments are in 10^18 N m here, because float32 ends at 3e38. The smallest is that of Mw 0.
        offset = self.magnitude.log10_moment_offset - 18
        smallest = np.float32(10.0**offset)
        log10 = tf.math.log(tf.maximum(moment, smallest)) / np.float32(np.log(10))
        mw = (log10 - np.float32(offset)) * np.float32(2 / 3)
        has_slip = moment > smallest
        mw = tf.where(has_slip, mw, tf.zeros_like(mw))
        count = tf.reduce_sum(tf.cast(has_slip, tf.float32), axis=1, keepdims=True)
        return tf.where(has_slip, mw, tf.reduce_sum(mw, axis=1, keepdims=True) / tf.maximum(count, 1.0))

    def _waves(self, slip: tf.Tensor) -> tf.Tensor:
        """Water column [batch, member, minute, gauge]."""
        table = tf.constant(np.moveaxis(self.greens.eta_m, 2, 1))
        n_sources, n_minutes, n_gauges = table.shape
        waves = tf.reshape(slip, [-1, n_sources]) @ tf.reshape(table, [n_sources, -1])
        return tf.reshape(waves, [-1, self.members, n_minutes, n_gauges])

    def _peaks(self, waves: tf.Tensor) -> tf.Tensor:
        """Highest crests after the window, [.., minute, gauge] -> [.., gauge]."""
        return tf.reduce_max(waves[..., self.job.record.window_min + 1 :, :], axis=-2)

    def _quantity_ends(
        self, intervals: Intervals, name: str, answer: Tensors, spread: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Lower and upper ends of one quantity, with the levels as last axis."""
        quantity, centre = intervals.quantities[name], answer[name]
        bins = interval_graph.magnitude_bins(answer["mw"], intervals.edges)
        if name == "mw":  # a single channel, whose errors grow with nothing but the spread
            zeros = tf.zeros_like(centre)[:, None]
            lower, upper = interval_graph.bounds(quantity, centre[:, None], spread[:, None], zeros, bins[:, None])
            return lower[:, 0], upper[:, 0]
        if name != "forecast_m":
            return interval_graph.bounds(quantity, centre, spread, centre, bins[:, None])
        height, bins = interval_graph.local_height(centre), bins[:, None, None]
        if quantity.calm_below:
            no_wave = interval_graph.no_wave(height, self.job.record.window_min, quantity.calm_below)
            bins = 2 * bins + tf.cast(tf.logical_not(no_wave), tf.int32)
        return interval_graph.bounds(quantity, centre, spread, height, bins)

    def _answer_fields(self) -> tuple[Field, ...]:
        shapes = {
            "weights_m": (None, len(self.greens.source_names)),
            "mw": (None,),
            "forecast_m": (None, len(self.greens.time_min), len(self.greens.gauge_names)),
            "peak_m": (None, len(self.greens.gauge_names)),
        }
        meanings = {
            "weights_m": "slip, in the order of source_names",
            "mw": "moment magnitude; 0 where none is given",
            "forecast_m": "[minute, gauge] water column from minute 0 after the origin, gauges as forecast_gauges",
            "peak_m": "highest crest of this wave after the window",
        }
        mean_of = f"mean of {self.members} members: " if self.members > 1 else ""
        fields = [Field(name, "float32", shapes[name], unit, mean_of + meanings[name]) for name, unit in _UNITS.items()]
        fields += self._reason_fields()
        for name, unit in _UNITS.items():
            if self.members > 1:
                fields.append(Field(f"{name}_spread", "float32", shapes[name], unit, "standard deviation over members"))
            if self.intervals is None or name not in self.intervals.quantities:
                continue
            for end in ("lower", "upper"):
                meaning = f"{end} ends of the central intervals, last axis as interval_levels"
                shape = (*shapes[name], len(self.intervals.levels))
                fields.append(Field(f"{name}_{end}", "float32", shape, unit, meaning))
        return tuple(fields)

    def _reason_fields(self) -> list[Field]:
        """Fields that say whether an answer and its intervals are given, and why not."""
        fields = [
            Field("valid", "bool", (None,), "", "whether an answer is given; where not, all of it is 0"),
            Field("reason", "string", (None,), "", "why none is given; empty where one is"),
            Field("samples", "int32", (None, self.shape[1]), "", "samples in the window, buoys as buoy_names"),
            Field("signal_m", "float32", (None,), "m", "standard deviation of the samples about each buoy's mean"),
            Field("enough_samples", "bool", (None,), "", "whether there are samples enough for an answer"),
            Field("enough_signal", "bool", (None,), "", "whether the records are far enough from noise for an answer"),
        ]
        if self.intervals is not None:
            fields += [
                Field("has_intervals", "bool", (None,), "", "whether intervals are given; where not, their ends are 0"),
                Field("intervals_reason", "string", (None,), "", "why none are given; empty where they are"),
            ]
        return fields


def _npz(greens: GreensFunctions) -> bytes:
    """Green's functions as `unit_sources.load_greens` reads them back."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        source_names=np.array(greens.source_names),
        gauge_names=np.array(greens.gauge_names),
        time_min=greens.time_min,
        eta_m=greens.eta_m,
        source_table=greens.source_table,
        gauge_lonlat=greens.gauge_lonlat,
    )
    return buffer.getvalue()


def _or_none(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
