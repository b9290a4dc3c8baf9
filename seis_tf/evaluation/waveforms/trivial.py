"""What any model must beat: predictors that see one number of a record, or a few, fitted on the training records.

Amplitude alone often separates such classes, and a network that does no better has learned nothing of the waveform. So
these are reported beside every score.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from seis_tf.evaluation.report.units import frequency_unit
from seis_tf.waveforms.spectrograms import standardise

Columns = Mapping[str, np.ndarray]
FEATURES = ("spectrogram", "peak_amplitude", "label")
_BANDS = 8  # equal parts of the frequency axis, of which the band ratio takes two
_SMALLEST_LEAF = 5  # records: a threshold that fewer decide is chance


@dataclass(frozen=True)
class Bands:
    """Two frequency bands, as rows of the spectrogram [first, last) and in words of their frequencies."""

    low: tuple[int, int]
    high: tuple[int, int]


@dataclass(frozen=True)
class Predictor:
    """A fitted predictor.

    Attributes:
        name: short, for tables.
        about: one sentence: what it sees and what it learned.
        predict: columns [record, ...] -> class [record].
        bands: of the band ratio.
    """

    name: str
    about: str
    predict: Callable[[Columns], np.ndarray]
    bands: Bands | None = None


def fit_all(
    columns: Columns, rows: np.ndarray, class_names: tuple[str, ...], frequencies: np.ndarray, log_power: bool
) -> list[Predictor]:
    """Fits every trivial predictor that the records allow.

    Args:
        columns: `FEATURES` of the records; spectrograms not standardised [record, frequency, time].
        rows: the training records.
        class_names: in the order of the labels.
        frequencies: [frequency], Hz or anything proportional.
        log_power: whether the spectrograms are log10 of power.

    Returns:
        Largest class, peak amplitude (where the source has waveforms), band ratio, linear.
    """
    train = {name: columns[name][rows] for name in FEATURES}
    fitted = [largest_class(train, class_names)]
    if np.all(train["peak_amplitude"] > 0):
        fitted.append(peak_amplitude(train, class_names))
    fitted.append(band_ratio(train, class_names, find_bands(train, frequencies, log_power), frequencies, log_power))
    return [*fitted, linear(train)]


def largest_class(train: Columns, class_names: tuple[str, ...]) -> Predictor:
    """Always the class with the most training records."""
    largest = int(np.bincount(train["label"]).argmax())
    about = f"Always answers {class_names[largest]}, the class with the most training records."
    return Predictor("largest class", about, lambda columns: np.full(len(columns["label"]), largest))


def peak_amplitude(train: Columns, class_names: tuple[str, ...]) -> Predictor:
    """Thresholds on the largest absolute sample of the record, in source units."""
    tree = _thresholds(_log_peak(train), train["label"], class_names)
    about = f"Sees only log10 of the record's peak amplitude: {_as_text(tree, class_names)}."
    return Predictor("peak amplitude", about, lambda columns: tree.predict(_log_peak(columns)))


def band_amplitude(power: np.ndarray, rows: tuple[int, int], log_power: bool) -> np.ndarray:
    """Mean amplitude (root of power) over a band and all times [record].

    Args:
        power: [record, frequency, time], power or its log10.
        rows: of the band, [first, last).
        log_power: which of the two it is.
    """
    band = power[:, slice(*rows)].astype(np.float64)
    return (10 ** (band / 2) if log_power else np.sqrt(band)).mean(axis=(1, 2))


def find_bands(train: Columns, frequencies: np.ndarray, log_power: bool) -> Bands:
    """The two of eight equal bands whose ratio best separates the training records (balanced accuracy)."""
    n_bands = min(_BANDS, len(frequencies) - 1)
    edges = np.linspace(1, len(frequencies), n_bands + 1).round().astype(int)  # row 0 is the offset
    rows = list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
    logs = [np.log10(_positive(band_amplitude(train["spectrogram"], band, log_power))) for band in rows]
    weights = _balanced_weights(train["label"])
    names = tuple(map(str, range(train["label"].max() + 1)))

    def score(pair: tuple[int, int]) -> float:
        ratio = (logs[pair[1]] - logs[pair[0]])[:, None]
        return _thresholds(ratio, train["label"], names).score(ratio, train["label"], weights)

    low, high = max(combinations(range(len(rows)), 2), key=score)
    return Bands(rows[low], rows[high])


def band_ratio(
    train: Columns, class_names: tuple[str, ...], bands: Bands, frequencies: np.ndarray, log_power: bool
) -> Predictor:
    """Thresholds on the ratio of mean amplitudes in two frequency bands: the simplest look at a spectrum."""

    def feature(columns: Columns) -> np.ndarray:
        low, high = (band_amplitude(columns["spectrogram"], rows, log_power) for rows in (bands.low, bands.high))
        return np.log10(_positive(high) / _positive(low))[:, None]

    tree = _thresholds(feature(train), train["label"], class_names)
    low, high = (band_text(rows, frequencies) for rows in (bands.low, bands.high))
    about = f"Sees only log10 of the mean amplitude at {high} over that at {low}: {_as_text(tree, class_names)}."
    return Predictor("band ratio", about, lambda columns: tree.predict(feature(columns)), bands)


def linear(train: Columns) -> Predictor:
    """Logistic regression on the mean and the deviation of each frequency row of the standardised spectrogram."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    with warnings.catch_warnings():
        # Classes that a plane separates have no finite optimum; any of the planes will do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(_row_statistics(train), train["label"])
    about = "Logistic regression on the mean and the standard deviation of each frequency row: no neural network."
    return Predictor("linear", about, lambda columns: model.predict(_row_statistics(columns)))


def band_text(rows: tuple[int, int], frequencies: np.ndarray) -> str:
    """A band in words."""
    unit, scale = frequency_unit(float(frequencies[-1]))
    return f"{frequencies[rows[0]] / scale:.3g} to {frequencies[rows[1] - 1] / scale:.3g} {unit}"


def _thresholds(feature: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]) -> DecisionTreeClassifier:
    """A tree on one number, with leaves enough for an interval of each class; classes have equal weight."""
    leaves = max(2 * len(class_names) - 1, 2)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=leaves, min_samples_leaf=_SMALLEST_LEAF, class_weight="balanced", random_state=0
    )
    return tree.fit(feature, labels)


def _as_text(tree: DecisionTreeClassifier, class_names: tuple[str, ...]) -> str:
    """The thresholds with the answers between them: "noise < 1.2 ≤ AE"."""
    edges = np.sort(tree.tree_.threshold[tree.tree_.children_left >= 0])
    inside = np.concatenate([edges[:1] - 1, (edges[:-1] + edges[1:]) / 2, edges[-1:] + 1]) if edges.size else [0.0]
    answers = tree.predict(np.array(inside)[:, None])
    text = class_names[answers[0]]
    for edge, before, after in zip(edges, answers, answers[1:], strict=False):
        if before != after:
            text += f" < {edge:.3g} ≤ {class_names[after]}"
    return text


def _log_peak(columns: Columns) -> np.ndarray:
    return np.log10(_positive(columns["peak_amplitude"]))[:, None]


def _row_statistics(columns: Columns) -> np.ndarray:
    parts = []
    for first in range(0, len(columns["spectrogram"]), 256):
        power = standardise(columns["spectrogram"][first : first + 256])
        parts.append(np.concatenate([power.mean(axis=2), power.std(axis=2)], axis=1))
    return np.concatenate(parts)


def _balanced_weights(labels: np.ndarray) -> np.ndarray:
    return 1 / np.bincount(labels)[labels]


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(np.asarray(values, np.float64), np.finfo(np.float64).tiny)
