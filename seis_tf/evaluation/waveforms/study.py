"""How classifiers of waveforms are scored, compared and varied in the studies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.report.record_figures import scales_of
from seis_tf.evaluation.stats import paired, scores
from seis_tf.evaluation.stats.folds import Fold
from seis_tf.evaluation.study import OPTIMIZERS, Evaluation, FoldSpread, Paired, Variant, unknown_changes
from seis_tf.evaluation.waveforms import evaluation, trivial
from seis_tf.evaluation.waveforms.calibrate import calibrate
from seis_tf.evaluation.waveforms.metrics import WaveformMetrics
from seis_tf.evaluation.waveforms.summary import summary
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainJob


def score(table: Table, outputs: np.ndarray, rows: np.ndarray, train: np.ndarray) -> dict[str, float]:
    """The headline scores of probabilities [record, class] on some records."""
    labels = table["label"][rows]
    return scores.headline_scores(
        labels, scores.check_probabilities(labels, outputs[rows], len(table.info.class_names))
    )


def values(table: Table, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The most probable class of each record."""
    return outputs[rows].argmax(axis=1)


def compare(table: Table, one: np.ndarray, two: np.ndarray, groups: np.ndarray, draws: int) -> Paired:
    """Balanced accuracy of one minus that of two, from classes [seed, record]."""
    labels, n_classes = table["label"], len(table.info.class_names)
    right = [(answers == labels).mean(axis=0) for answers in (one, two)]
    drawn = [paired.bootstrap_balanced_accuracy(labels, answers, groups, n_classes, draws) for answers in (one, two)]
    gains = paired.event_gains(labels, right[0], right[1], groups)
    return Paired(gains, drawn[0] - drawn[1], paired.mcnemar(one[0] == labels, two[0] == labels))


def trivial_scores(table: Table, folds: Sequence[Fold]) -> dict[str, FoldSpread]:
    """Balanced accuracy of the trivial predictors on the same folds."""
    scales, names = scales_of(table.info), table.info.class_names
    found: dict[str, list[float]] = {}
    for fold in folds:
        train = np.concatenate([fold.train, fold.valid])
        test = {name: table[name][fold.test] for name in trivial.FEATURES}
        for predictor in trivial.fit_all(table.columns, train, names, scales.frequencies, scales.log):
            confusion = scores.confusion_matrix(test["label"], predictor.predict(test), len(names))
            found.setdefault(predictor.name, []).append(float(scores.balanced_accuracy(confusion)))
    spreads = {name: scores.summary(rows) for name, rows in found.items()}
    return {name: FoldSpread(mean=s.mean, std=s.std, by_fold=found[name]) for name, s in spreads.items()}


def variants(job: TrainJob, info: DatasetInfo) -> list[Variant]:
    """Linear or log spectrograms, the kinds of standardisation, the optimizers, hidden layers (20) and (50, 2)."""
    found = [
        *(Variant(f"{'log' if log else 'linear'} spectrograms", data={"log": log}) for log in (True, False)),
        *(Variant(f"standardise {kind}", data={"standardise": kind}) for kind in ("none", "record", "dataset")),
        *OPTIMIZERS,
    ]
    if isinstance(job.model, MlpSettings):
        found += [Variant(f"hidden {h}", model={"hidden": h}) for h in ((20,), (50, 2))]
    given = {"log": info.job.get("spectrogram", {}).get("log"), "standardise": info.job.get("standardise")}
    return [v for v in found if v.job(job) != job or any(given[key] != value for key, value in v.data.items())]


def changed(table: Table, changes: dict[str, Any]) -> Table:
    """The same records with another spectrogram scale (`log`) or standardisation (`standardise`).

    Raises:
        ValueError: an unknown change.
    """
    unknown_changes(changes, {"log", "standardise"})
    columns, tree = dict(table.columns), dict(table.info.job)
    if "log" in changes and changes["log"] != tree["spectrogram"]["log"]:
        settings = SpectrogramSettings.model_validate(tree["spectrogram"])
        columns["spectrogram"] = _other_scale(columns["spectrogram"], settings)
        tree["spectrogram"] = tree["spectrogram"] | {"log": changes["log"]}
    if "standardise" in changes:
        tree["standardise"] = changes["standardise"]
    return replace(table, info=table.info.model_copy(update={"job": tree}), columns=columns)


def _other_scale(power: np.ndarray, settings: SpectrogramSettings) -> np.ndarray:
    """Linear power of its log10, or the other way round with the settings' floor."""
    if settings.log:
        return 10**power
    largest = power.max(axis=(1, 2), keepdims=True)
    return np.log10(np.maximum(power, np.maximum(settings.log_floor * largest, np.finfo(np.float32).tiny)))


EVALUATION = Evaluation(
    evaluate=evaluation.evaluate,
    calibrate=calibrate,
    metrics=WaveformMetrics,
    summary=summary,
    features=("station", "record_id", "snr_db", "peak_amplitude"),
    main_score="balanced_accuracy",
    score=score,
    values=values,
    compare=compare,
    trivial=trivial_scores,
    variants=variants,
    changed=changed,
)
