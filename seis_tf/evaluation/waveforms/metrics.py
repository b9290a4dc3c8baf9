"""The metrics of a classifier, typed: `metrics.json` of a run of task waveforms."""

from __future__ import annotations

from typing import Literal

from seis_tf.evaluation.results import Interval, Result, RunMetrics
from seis_tf.evaluation.stats.classification import SplitScores


class Threshold(Result):
    """The probability from which on a class is called, chosen on validation records for a recall.

    Attributes:
        threshold: the probability.
        wished_recall: part of the class that is to be found.
        recall: part that is found on test records; None without records of the class.
        precision: part of the calls that are right there; None without calls.
    """

    threshold: float
    wished_recall: float
    recall: float | None
    precision: float | None


class TrivialSplit(Result):
    """Scores of a trivial predictor on one part of the records, and by how much the model is better.

    Attributes:
        accuracy: part of the records that are right.
        balanced_accuracy: mean recall of the classes.
        macro_f1: mean F1 of the classes.
        model_minus_this: difference in balanced accuracy.
        interval: of the balanced accuracy.
        model_minus_this_interval: of the difference, on the same resampled events.
    """

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    model_minus_this: float
    interval: Interval | None = None
    model_minus_this_interval: Interval | None = None


class TrivialScores(Result):
    """A trivial predictor: what it sees and learned, in a sentence, and its scores by part of the records."""

    about: str
    splits: dict[str, TrivialSplit]


class WaveformMetrics(RunMetrics):
    """All numbers of one evaluation, after those of `RunMetrics`.

    Attributes:
        grouped: whether its records carry event ids.
        seen_groups: events of another data set that are also among the training events; None where not known.
        class_names: in the order of the labels.
        main: the part that counts, "test" or "all".
        temperature: that probabilities are scaled with.
        thresholds: class to its threshold.
        splits: part of the records to the model's scores.
        trivial: name to a predictor without a network.
        calibration: what the temperature was fitted on, in words.
    """

    task: Literal["waveforms"]
    grouped: bool = True
    seen_groups: int | None = None
    class_names: list[str]
    main: str
    temperature: float = 1.0
    thresholds: dict[str, Threshold] = {}
    splits: dict[str, SplitScores]
    trivial: dict[str, TrivialScores] = {}
    calibration: str = ""

    @property
    def main_scores(self) -> SplitScores:
        """Scores of the part that counts."""
        return self.splits[self.main]
