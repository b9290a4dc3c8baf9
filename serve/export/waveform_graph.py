"""The exported graph of a waveform model: raw samples in, class and probabilities out.

Trend, band-pass, spectrogram, logarithm, normalisation, network and temperature are all in the graph. For a record that
can't be judged the probabilities are uniform, the class is -1 and its name is empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from seis_tf.dataset import examples
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.serve.export.signature import Field, Signature, Tensors, of_width
from seis_tf.settings.data import RecordSettings, SpectrogramSettings
from seis_tf.waveforms import filters
from seis_tf.waveforms import training_data as waveform_training
from seis_tf.waveforms.layers import Spectrogram
from seis_tf.waveforms.spectrograms import CONSTANT, TOO_STRONG

# A band-pass is one matrix [sample, sample] in the graph: 134 MB at this length.
LONGEST_FILTERED = 4096
_EPS, _TINY = float(np.finfo(np.float32).eps), float(np.finfo(np.float32).tiny)
# Why a record can't be judged, by number; the first is for one that can.
REASONS = (
    "",
    "expected finite samples, received NaN or Inf",
    "expected a signal, received constant samples or a straight line",
    TOO_STRONG,
    CONSTANT,
)
_FINE, _NOT_FINITE, _NO_SIGNAL, _TOO_STRONG, _CONSTANT = range(len(REASONS))


@dataclass(frozen=True)
class Raw:
    """Whether raw waveforms can be asked about, and how they are treated.

    Attributes:
        possible: whether the graph takes raw waveforms.
        same_as_training: whether that is what training saw, for any record of the right length.
        note: in words; why not, where it is not possible.
    """

    possible: bool
    same_as_training: bool
    note: str


def raw_input(info: DatasetInfo) -> Raw:
    """What the settings of a data set mean for raw waveforms."""
    if not info.has("waveform"):
        return Raw(False, False, "the data set holds spectrograms only (no waveforms, no sampling rate)")
    record = RecordSettings.model_validate(info.job["record"])
    if record.stationxml:
        return Raw(False, False, "the instrument response was removed from the training records, station by station")
    if record.bandpass_hz is None:
        return Raw(True, True, "")
    length = info.feature("waveform").shape[0]
    if length > LONGEST_FILTERED:
        reason = f"a band-pass in the graph takes at most {LONGEST_FILTERED} samples, records have {length}"
        return Raw(False, False, reason)
    note = (
        "training records were band-passed as whole traces and cut afterwards; here the window itself is band-passed. "
        "Both are the same for a trace as long as the window; else they differ near the window's ends"
    )
    return Raw(True, False, note)


class Classifier:
    """The graph of a waveform model.

    Args:
        model: spectrograms [batch, frequency, time] -> probabilities [batch, class] or, of an ensemble,
            [batch, member, class].
        info: of the data set that it was trained on.
        temperature: log probabilities are divided by it.
        precision: of trend removal and band-pass; float64 as in stage 1, float32 where nothing else can be had.
    """

    def __init__(
        self, model: keras.Model, info: DatasetInfo, temperature: float = 1.0, precision: tf.DType = tf.float64
    ):
        self.model, self.info, self.temperature, self.precision = model, info, temperature, precision
        self.standardise = waveform_training.standardiser(info)
        self.members = model.output_shape[1] if len(model.output_shape) == 3 else 1
        self.record: RecordSettings | None = None
        self.filter: tf.Variable | None = None
        if info.has("waveform"):
            length, rate_hz = info.feature("waveform").shape[0], rate_of(info)
            self.record = RecordSettings.model_validate(info.job["record"])
            settings = SpectrogramSettings.model_validate(info.job["spectrogram"])
            self.spectrogram = Spectrogram(settings, rate_hz)
            if raw_input(info).possible and self.record.bandpass_hz:
                matrix = _filter_matrix(self.record, length, rate_hz)
                self.filter = tf.Variable(matrix, trainable=False, dtype=precision)

    @property
    def variables(self) -> list[tf.Variable]:
        """All that must be saved with the functions."""
        variables = [variable.value for variable in self.model.variables]
        return variables + ([self.filter] if self.filter is not None else [])

    def signatures(self) -> dict[str, Signature]:
        """Name to signature; the first is `serving_default`."""
        power, answer = self._spectrogram_field(), self._answer_fields()
        signatures = {}
        if raw_input(self.info).possible:
            length, unit = self.info.feature("waveform").shape[0], self.info.units.get("waveform", "")
            waveform = Field("waveform", "float32", (None, length), unit, "samples as recorded")
            signatures["serving_default"] = Signature(self.classify_waveform, (waveform,), answer)
            valid = Field("valid", "bool", (None,), "", "whether the record can be judged")
            signatures["preprocess"] = Signature(self.preprocess, (waveform,), (power, valid))
        else:
            signatures["serving_default"] = Signature(self.classify_spectrogram, (power,), answer)
        signatures["spectrogram"] = Signature(self.classify_spectrogram, (power,), answer)
        meaning = "serialized tf.train.Example as in the shards; its feature `spectrogram` is read"
        text = Field("examples", "string", (None,), "", meaning, self._example_noise)
        signatures["examples"] = Signature(self.classify_examples, (text,), answer)
        return signatures

    def describe(self) -> dict[str, Any]:
        """What `metadata.json` says of waveforms: classes, rate, length, preprocessing."""
        info, raw = self.info, raw_input(self.info)
        return {
            "class_names": list(info.class_names),
            "sampling_rate_hz": info.sampling_rate_hz,
            "length_samples": info.feature("waveform").shape[0] if info.has("waveform") else None,
            "temperature": self.temperature,
            "preprocessing": {
                "raw_waveforms": raw.possible,
                "same_as_training": raw.same_as_training,
                "note": raw.note,
                "record": info.job["record"] if info.has("waveform") else None,
                "spectrogram": info.job["spectrogram"],
                "standardise": info.job["standardise"],
            },
        }

    def files(self) -> dict[str, bytes]:
        """No further files: all that `predict` needs is in the metadata."""
        return {}

    def classify_waveform(self, waveform: tf.Tensor) -> Tensors:
        """Raw waveforms [batch, sample] -> answers."""
        return self._classify(*self._transformed(waveform))

    def preprocess(self, waveform: tf.Tensor) -> Tensors:
        """Raw waveforms [batch, sample] -> spectrograms as `classify_spectrogram` takes them, and `valid`."""
        spectrogram, fault = self._transformed(waveform)
        return {"spectrogram": spectrogram, "valid": fault == _FINE}

    def classify_spectrogram(self, spectrogram: tf.Tensor) -> Tensors:
        """Spectrograms [batch, frequency, time] as in the data set, before standardisation -> answers."""
        spectrogram = of_width(spectrogram, "spectrogram", self.info.feature("spectrogram").shape)
        return self._classify(*_checked(spectrogram, tf.zeros(tf.shape(spectrogram)[0], tf.int32)))

    def classify_examples(self, serialized: tf.Tensor) -> Tensors:
        """Serialized Examples [batch] -> answers."""
        return self.classify_spectrogram(
            examples.parse_batch(serialized, [self.info.feature("spectrogram")])["spectrogram"]
        )

    def _example_noise(self, random: np.random.Generator, batch: int) -> np.ndarray:
        feature = self.info.feature("spectrogram")
        powers = random.standard_normal((batch, *feature.shape))
        return np.array([examples.encode({feature.name: power}, [feature]) for power in powers], object)

    def _transformed(self, waveform: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if self.record is None:
            raise ValueError("waveform: expected a data set with waveforms, received one of spectrograms only")
        shape = self.info.feature("waveform").shape
        waveform = of_width(waveform, "waveform", shape)
        waveform, fault = prepare_waveform(waveform, self.record.detrend, self.filter, self.precision)
        return _checked(self.spectrogram(waveform), fault)

    def _classify(self, spectrogram: tf.Tensor, fault: tf.Tensor) -> Tensors:
        valid = fault == _FINE
        members = self.model(self.standardise(spectrogram), training=False)
        members = members if self.members > 1 else members[:, None]
        mean = with_temperature(tf.reduce_mean(members, axis=1), self.temperature)
        uniform = tf.ones_like(mean) / len(self.info.class_names)
        probabilities = tf.where(valid[:, None], mean, uniform)
        class_id = tf.where(valid, tf.argmax(probabilities, axis=-1), tf.constant(-1, tf.int64))
        answer = {
            "probabilities": probabilities,
            "class_id": class_id,
            "class_name": tf.gather(tf.constant(["", *self.info.class_names]), class_id + 1),
            "valid": valid,
            "reason": tf.gather(tf.constant(REASONS), fault),
        }
        if self.members > 1:
            spread = tf.math.reduce_std(members, axis=1)
            answer["spread"] = tf.where(valid[:, None], spread, tf.zeros_like(spread))
        return answer

    def _spectrogram_field(self) -> Field:
        shape, unit = self.info.feature("spectrogram").shape, self.info.units.get("spectrogram", "")
        return Field("spectrogram", "float32", (None, *shape), unit, "[frequency, time], before standardisation")

    def _answer_fields(self) -> tuple[Field, ...]:
        count = len(self.info.class_names)
        fields = [
            Field("probabilities", "float32", (None, count), "", "one a class, in the order of class_names"),
            Field("class_id", "int64", (None,), "", "position of the most probable class; -1 where not valid"),
            Field("class_name", "string", (None,), "", "its name; empty where not valid"),
            Field("valid", "bool", (None,), "", "False: no signal, or not finite; the probabilities are uniform then"),
            Field("reason", "string", (None,), "", "why it is not valid; empty where it is"),
        ]
        if self.members > 1:
            meaning = f"standard deviation over the {self.members} members' probabilities, before the temperature"
            fields.append(Field("spread", "float32", (None, count), "", meaning))
        return tuple(fields)


def rate_of(info: DatasetInfo) -> float:
    """Sampling rate in Hz of a data set with waveforms.

    Raises:
        ValueError: its `dataset.json` states none.
    """
    if info.sampling_rate_hz is None:
        raise ValueError("dataset.json: expected sampling_rate_hz beside waveforms, received none")
    return info.sampling_rate_hz


def prepare_waveform(
    waveform: tf.Tensor, detrend: str, matrix: tf.Variable | None, precision: tf.DType = tf.float64
) -> tuple[tf.Tensor, tf.Tensor]:
    """Does in the graph what stage 1 does to a window: removes the trend and applies the band-pass.

    Computed in float64 by default, as stage 1 does: beside an offset of 1e6 counts float32 would keep too few digits of
    a weak signal.

    Args:
        waveform: float32 [batch, sample].
        detrend: "linear", "constant" or "none".
        matrix: of `_filter_matrix`, where there is a band.
        precision: of the computation.

    Returns:
        float32 [batch, sample], zeros for a bad record; int32 [batch], what is wrong with it: a number of `REASONS`.
    """
    finite = tf.reduce_all(tf.math.is_finite(waveform), axis=1)
    samples = tf.cast(tf.where(finite[:, None], waveform, tf.zeros_like(waveform)), precision)
    prepared = _without_trend(samples, detrend)
    # Of a constant or a straight line only the rounding of float32 samples is left.
    without_mean = tf.reduce_max(tf.abs(_without_trend(samples, "constant")), axis=1)
    peak = tf.reduce_max(tf.abs(prepared), axis=1)
    rounding = 2 * _EPS * tf.reduce_max(tf.abs(samples), axis=1)
    has_signal = (tf.minimum(without_mean, peak) > rounding) & (peak >= _TINY)
    if matrix is not None:
        prepared = prepared @ matrix
    fault = tf.where(finite, tf.where(has_signal, _FINE, _NO_SIGNAL), _NOT_FINITE)
    return tf.cast(tf.where((fault == _FINE)[:, None], prepared, tf.zeros_like(prepared)), tf.float32), fault


def with_temperature(probabilities: tf.Tensor, temperature: float) -> tf.Tensor:
    """softmax(log p / T) of probabilities [batch, class]."""
    if temperature == 1.0:
        return probabilities
    tiny = np.finfo(np.float32).tiny
    return tf.nn.softmax(tf.math.log(tf.maximum(probabilities, tiny)) / temperature)


def _without_trend(samples: tf.Tensor, kind: str) -> tf.Tensor:
    if kind == "none":
        return samples
    samples = samples - tf.reduce_mean(samples, axis=1, keepdims=True)
    if kind == "constant":
        return samples
    # On a ramp centred at 0 slope and mean are independent, so the slope is a projection on the ramp.
    ramp = np.arange(samples.shape[1]) - (samples.shape[1] - 1) / 2
    slope = tf.linalg.matvec(samples, tf.constant(ramp / (ramp @ ramp), samples.dtype))
    return samples - slope[:, None] * tf.constant(ramp, samples.dtype)


def _filter_matrix(settings: RecordSettings, length: int, sampling_rate_hz: float) -> np.ndarray:
    """Band-pass and second trend removal as a matrix: rows of [record, sample] times this. float64 [sample, sample].

    A zero-phase filter of windows of one length is linear, its padding included, so filtering unit vectors gives its
    matrix.
    """
    matrix = np.ascontiguousarray(filters.band_passed(np.eye(length), sampling_rate_hz, settings))
    filters.remove_trend(matrix, settings.detrend)
    return matrix


def _checked(spectrogram: tf.Tensor, fault: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Spectrograms with zeros for those that can't be used, and each one's fault (rule of `spectrograms.unusable`)."""
    low, high = tf.reduce_min(spectrogram, axis=(1, 2)), tf.reduce_max(spectrogram, axis=(1, 2))
    finite = tf.reduce_all(tf.math.is_finite(spectrogram), axis=(1, 2))
    later = tf.where(finite, tf.where(high - low >= _TINY, _FINE, _CONSTANT), _TOO_STRONG)
    fault = tf.where(fault == _FINE, later, fault)
    return tf.where((fault == _FINE)[:, None, None], spectrogram, tf.zeros_like(spectrogram)), fault
