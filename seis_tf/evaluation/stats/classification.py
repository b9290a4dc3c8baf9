"""Labels and probabilities of one part of the records -> all scores of a classifier, as `metrics.json` has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

from seis_tf.evaluation.results import Interval, Result, Spread
from seis_tf.evaluation.stats import scores

SNR_EDGES_DB = (3.0, 6.0, 10.0, 15.0, 20.0, 30.0)


class ClassScores(Result):
    """One class against the rest; None where a score is not defined.

    Attributes:
        records: of the class.
        precision: part of its calls that are right.
        recall: part of it that is found.
        f1: harmonic mean of both.
        roc_auc: area under the ROC curve.
        average_precision: area under the precision-recall curve.
    """

    records: int
    precision: float | None
    recall: float | None
    f1: float | None
    roc_auc: float | None
    average_precision: float | None


class SnrScores(Result):
    """Scores of the records of one bin of the signal-to-noise ratio, open where an end is None.

    Attributes:
        from_db: lower edge, in the bin.
        to_db: upper edge.
        records: in the bin.
        accuracy: part of them that are right.
        balanced_accuracy: mean recall of the classes that are there.
        recall: class to the part of it that is found.
        class_records: class to its records.
    """

    from_db: float | None
    to_db: float | None
    records: int
    accuracy: float
    balanced_accuracy: float
    recall: dict[str, float | None]
    class_records: dict[str, int]


class ProbabilityScores(Result):
    """Scores of the probabilities: log loss in nats, Brier score (0 to 2), expected calibration error."""

    log_loss: float
    brier: float
    ece: float


class SplitScores(Result):
    """All scores of one part of the records.

    Attributes:
        records: scored.
        groups: their events.
        accuracy: part of the records that are right.
        balanced_accuracy: mean recall of the classes.
        macro_f1: mean F1 of the classes.
        log_loss: in nats.
        brier: squared distance of the probabilities from the truth, 0 to 2.
        ece: expected calibration error.
        event_balanced_accuracy: balanced accuracy with every event counted once.
        roc_auc: mean over classes.
        average_precision: mean over classes.
        intervals: headline score to its interval over events.
        classes: class to its scores.
        confusion: counts [true class][predicted class].
        by_snr: by signal-to-noise ratio.
        unscaled: of the probabilities before temperature scaling.
        members: headline score to its spread over the members of an ensemble.
    """

    records: int
    groups: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    brier: float
    ece: float
    event_balanced_accuracy: float
    roc_auc: float | None
    average_precision: float | None
    intervals: dict[str, Interval] = {}
    classes: dict[str, ClassScores]
    confusion: list[list[int]]
    by_snr: list[SnrScores] | None = None
    unscaled: ProbabilityScores | None = None
    members: dict[str, Spread] | None = None

    def headline(self, name: str) -> float:
        """One of the scores of `scores.HEADLINES` by its name."""
        return getattr(self, name)


def class_scores(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> dict[str, ClassScores]:
    """For each class records, precision, recall, F1, areas under its one-vs-rest curves; None where undefined."""
    confusion = scores.confusion_matrix(labels, probabilities.argmax(axis=1), len(class_names))
    columns = zip(scores.precisions(confusion), scores.recalls(confusion), scores.f1_scores(confusion), strict=True)
    table = {}
    for k, (name, (precision, recall, f1)) in enumerate(zip(class_names, columns, strict=True)):
        is_class = labels == k
        curves = is_class.any() and not is_class.all()
        table[name] = ClassScores(
            records=int(is_class.sum()),
            precision=_known(precision),
            recall=_known(recall),
            f1=_known(f1),
            roc_auc=float(roc_auc_score(is_class, probabilities[:, k])) if curves else None,
            average_precision=float(average_precision_score(is_class, probabilities[:, k])) if curves else None,
        )
    return table


def by_snr(
    labels: np.ndarray,
    probabilities: np.ndarray,
    snr_db: np.ndarray,
    class_names: Sequence[str],
    edges_db: Sequence[float] = SNR_EDGES_DB,
) -> list[SnrScores]:
    """Accuracy and each class's recall by signal-to-noise ratio; bins without records are left out.

    Args:
        labels: int [record].
        probabilities: [record, class].
        snr_db: [record].
        class_names: in the order of the labels.
        edges_db: between the bins; the first and last bins are open. A value on an edge is in the upper bin.
    """
    place = np.digitize(snr_db, edges_db)
    bounds = [None, *map(float, edges_db), None]
    rows = []
    for k in np.unique(place):
        here = place == k
        confusion = scores.confusion_matrix(labels[here], probabilities[here].argmax(axis=1), len(class_names))
        recall = map(_known, scores.recalls(confusion))
        rows.append(
            SnrScores(
                from_db=bounds[k],
                to_db=bounds[k + 1],
                records=int(here.sum()),
                accuracy=float(scores.accuracy(confusion)),
                balanced_accuracy=float(scores.balanced_accuracy(confusion)),
                recall=dict(zip(class_names, recall, strict=True)),
                class_records=dict(zip(class_names, confusion.sum(axis=1).tolist(), strict=True)),
            )
        )
    return rows


def all_scores(
    labels: np.ndarray,
    probabilities: np.ndarray,
    groups: np.ndarray,
    class_names: Sequence[str],
    *,
    snr_db: np.ndarray | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> SplitScores:
    """All scores of one set of answers.

    Args:
        labels: int [record].
        probabilities: [record, class].
        groups: event of each record [record].
        class_names: in the order of the labels.
        snr_db: [record]; without it there is no table by SNR.
        draws: bootstrap samples for the 95 % intervals; 0 for none.
        seed: of the bootstrap.

    Raises:
        ValueError: the arrays are of different lengths, empty, or the probabilities are none.
    """
    probabilities = scores.check_probabilities(labels, probabilities, len(class_names))
    predicted = probabilities.argmax(axis=1)
    classes = class_scores(labels, probabilities, class_names)
    n_groups, optional = len(np.unique(groups)), {}
    if draws and n_groups > 1:
        sampled = scores.bootstrap(labels, probabilities, groups, draws, seed)
        optional["intervals"] = {name: scores.interval(values) for name, values in sampled.items()}
    if snr_db is not None:
        optional["by_snr"] = by_snr(labels, probabilities, snr_db, class_names)
    return SplitScores(
        records=len(labels),
        groups=n_groups,
        event_balanced_accuracy=scores.event_balanced_accuracy(labels, predicted, groups),
        roc_auc=_mean_over_classes([row.roc_auc for row in classes.values()]),
        average_precision=_mean_over_classes([row.average_precision for row in classes.values()]),
        classes=classes,
        confusion=scores.confusion_matrix(labels, predicted, len(class_names)).tolist(),
        **scores.headline_scores(labels, probabilities),
        **optional,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _mean_over_classes(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
