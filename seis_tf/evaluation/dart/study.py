"""How DART networks are scored, compared and varied in the studies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.dataset.tables import Table
from seis_tf.evaluation.dart import evaluation
from seis_tf.evaluation.dart.calibrate import calibrate
from seis_tf.evaluation.dart.metrics import DartMetrics
from seis_tf.evaluation.dart.summary import summary
from seis_tf.evaluation.stats import paired
from seis_tf.evaluation.study import OPTIMIZERS, Evaluation, Paired, Variant, unknown_changes
from seis_tf.settings.networks import Conv1dSettings
from seis_tf.settings.training import TrainJob

# Channels of each stage, by number of stages: those of the default network, and narrower ones (Liu 2021).
PATTERNS = {5: ((20, 20, 40, 40, 80), (15, 15, 30, 30, 60))}
WINDOWS_MIN = (15, 20, 30, 45, 60, 90)


def score(table: Table, outputs: np.ndarray, rows: np.ndarray, train: np.ndarray) -> dict[str, float]:
    """`mse` of the slip in m^2; `mse_ratio`: over that of always answering the mean slip of the training records."""
    slip = table["weights_m"]
    constant = slip[train].mean(axis=0, dtype=np.float64)
    mse = float(np.mean(np.square(outputs[rows].astype(np.float64) - slip[rows])))
    return {"mse": mse, "mse_ratio": mse / float(np.mean(np.square(constant - slip[rows])))}


def values(table: Table, outputs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean squared slip error of each record, m^2."""
    return np.square(outputs[rows].astype(np.float64) - table["weights_m"][rows]).mean(axis=1)


def compare(table: Table, one: np.ndarray, two: np.ndarray, groups: np.ndarray, draws: int) -> Paired:
    """Mean squared slip error of one minus that of two, from errors [seed, record]."""
    errors = [answers.mean(axis=0) for answers in (one, two)]
    gains = np.bincount(np.unique(groups, return_inverse=True)[1], errors[0] - errors[1]) / len(groups)
    drawn = [paired.bootstrap_mean(error, groups, draws) for error in errors]
    return Paired(gains, drawn[0] - drawn[1])


def variants(job: TrainJob, info: DatasetInfo) -> list[Variant]:
    """Batch size, optimizer, slope of LeakyReLU, other activations, patterns of channels, shorter windows."""
    found = [*(Variant(f"batch {n}", training={"batch_size": n}) for n in (20, 32, 64, 128)), *OPTIMIZERS]
    window_min, model = info.feature("water_level_m").shape[0], {}
    if isinstance(job.model, Conv1dSettings):
        leaky = {"activation": "leaky_relu"}
        found += [
            Variant(f"LeakyReLU {slope:g}", model=leaky | {"negative_slope": slope}) for slope in (0.01, 0.1, 0.3)
        ]
        found += [Variant(name, model={"activation": name}) for name in ("relu", "silu", "elu")]
        patterns = PATTERNS.get(window_min.bit_length() - 1, ())
        found += [Variant(f"channels {'-'.join(map(str, w))}", model={"widths": w}) for w in patterns]
        model = {"widths": None}  # of another window the number of stages is another: the default widths
    shorter = [n for n in WINDOWS_MIN if n < window_min]
    found += [Variant(f"window {n} min", model=model, data={"window_min": n}) for n in shorter]
    return [v for v in found if v.data or v.job(job) != job]


def changed(table: Table, changes: dict[str, Any]) -> Table:
    """The same records with a shorter window (`window_min`).

    Raises:
        ValueError: an unknown change, or a window that is not shorter.
    """
    unknown_changes(changes, {"window_min"})
    if not changes:
        return table
    info, columns, tree = table.info, dict(table.columns), dict(table.info.job)
    steps = changes["window_min"] // tree["record"]["step_min"]
    whole, n_buoys = info.feature("water_level_m").shape
    if not 0 < steps <= whole:
        raise ValueError(f"window_min: expected at most that of the records ({whole} samples), received {steps}")
    for name in ("water_level_m", "mask"):
        columns[name] = np.ascontiguousarray(columns[name][:, :steps])
    features = tuple(
        f.model_copy(update={"shape": (steps, n_buoys)}) if f.name in ("water_level_m", "mask") else f
        for f in info.features
    )
    tree["record"] = tree["record"] | {"window_min": changes["window_min"]}
    return replace(table, info=info.model_copy(update={"job": tree, "features": features}), columns=columns)


EVALUATION = Evaluation(
    evaluate=evaluation.evaluate,
    calibrate=calibrate,
    metrics=DartMetrics,
    summary=summary,
    features=(),
    main_score="mse",
    score=score,
    values=values,
    compare=compare,
    trivial=lambda table, folds: {},
    variants=variants,
    changed=changed,
)
