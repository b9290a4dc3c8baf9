"""`ablation`: what each choice is worth. One change at a time, on the same grouped folds, in one table with spreads."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from seis_tf.dataset.shards import SPLITS, DatasetInfo
from seis_tf.dataset.tables import Table as Records
from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    simulated_notice,
    ungrouped_notice,
    write_report,
)
from seis_tf.evaluation.report.units import MODEL_NAMES, count, p_value
from seis_tf.evaluation.stats.folds import Fold, grouped_folds
from seis_tf.evaluation.studies import figures, fitting
from seis_tf.evaluation.studies.comparison import Answered, answers_of, compare_pair
from seis_tf.evaluation.studies.comparison_report import SCORE_NAMES, is_clear
from seis_tf.evaluation.studies.fitting import Progress, Trial
from seis_tf.files import write_atomically, write_json
from seis_tf.settings.data import SpectrogramSettings
from seis_tf.settings.training import Conv1dSettings, MlpSettings, TrainJob

BASE = "as given"
_PATTERNS = {5: ((20, 20, 40, 40, 80), (15, 15, 30, 30, 60))}  # of the channels of so many stages


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
        name: for the table.
        model: changed settings of the model.
        training: changed settings of the training.
        data: changes of the records: `log` (bool), `standardise`, or `window_min` (a shorter window of the same).
    """

    name: str
    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def job(self, base: TrainJob) -> TrainJob:
        """The changed job."""
        tree = base.model_dump()
        return TrainJob.model_validate(
            tree | {"model": tree["model"] | self.model, "training": tree["training"] | self.training}
        )


def default_variants(job: TrainJob, info: DatasetInfo) -> list[Variant]:
    """The questions that are asked of every model of a kind, without those that the job answers as it is.

    Waveforms: linear or log spectrograms, the kinds of standardisation, the optimizers, hidden layers (20) and (50, 2).
    Buoys: batch size, slope of LeakyReLU, other activations, two patterns of channels, shorter windows.
    """
    own = job.model
    optimizers = [Variant(f"optimizer {name}", training={"optimizer": name}) for name in ("sgd", "adam")]
    if info.task == "waveforms":
        variants = [
            *(Variant(f"{'log' if log else 'linear'} spectrograms", data={"log": log}) for log in (True, False)),
            *(Variant(f"standardise {kind}", data={"standardise": kind}) for kind in ("none", "record", "dataset")),
            *optimizers,
        ]
        if isinstance(own, MlpSettings):
            variants += [Variant(f"hidden {h}", model={"hidden": h}) for h in ((20,), (50, 2))]
    else:
        variants = [*(Variant(f"batch {n}", training={"batch_size": n}) for n in (20, 32, 64, 128)), *optimizers]
        window_min = info.feature("water_level_m").shape[0]
        if isinstance(own, Conv1dSettings):
            leaky = {"activation": "leaky_relu"}
            variants += [
                Variant(f"LeakyReLU {slope:g}", model=leaky | {"negative_slope": slope}) for slope in (0.01, 0.1, 0.3)
            ]
            variants += [Variant(name, model={"activation": name}) for name in ("relu", "silu", "elu")]
            patterns = _PATTERNS.get(window_min.bit_length() - 1, ())
            variants += [Variant(f"channels {'-'.join(map(str, w))}", model={"widths": w}) for w in patterns]
        shorter = [n for n in (15, 20, 30, 45, 60, 90) if n < window_min]
        variants += [Variant(f"window {n} min", model=_any_widths(own), data={"window_min": n}) for n in shorter]
    settings = info.job.get("spectrogram", {})
    given = {"log": settings.get("log"), "standardise": info.job.get("standardise")}
    return [v for v in variants if v.job(job) != job or any(given.get(key) != value for key, value in v.data.items())]


def ablation(
    dataset: Path | str,
    job: TrainJob,
    out: Path | str,
    *,
    variants: Sequence[Variant] | None = None,
    n_folds: int = 5,
    seeds: int = 1,
    fold_seed: int = 0,
    splits: Sequence[str] = SPLITS,
    draws: int = 2000,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Fits a job as it is and with one change at a time, on the same folds.

    Args:
        dataset: the data set's folder.
        job: as given.
        out: folder for `ablation.json`, `ablation.csv`, `figures/` and `report.html`.
        variants: what is changed; by default `default_variants`.
        n_folds: every record is tested once.
        seeds: fits of each fold.
        fold_seed: of the folds.
        splits: of the data set that are folded.
        draws: bootstrap samples of events for the intervals of the differences.
        progress: told the hundredths done and in all.

    Returns:
        The content of `ablation.json`.

    Raises:
        ValueError: a change that can't be, two of one name, or as `folds.grouped_folds`.
    """
    table = fitting.load_table(job, dataset, splits)
    chosen = [Variant(BASE), *(default_variants(job, table.info) if variants is None else variants)]
    names = [variant.name for variant in chosen]
    if len(set(names)) < len(names):
        raise ValueError(f"ablation: expected variants of different names, received {names[1:]}")
    labels, groups = fitting.labels_of(table), table["group"]
    folds = grouped_folds(labels, groups, n_folds, seed=fold_seed)
    answers, described = {}, {}
    for number, variant in enumerate(chosen):
        own = fitting.in_all(progress, number, len(chosen))
        answers[variant.name], described[variant.name] = _fit(variant, job, table, folds, seeds, own)
        if number:
            described[variant.name]["against_base"] = compare_pair(
                variant.name, BASE, answers[variant.name], answers[BASE], labels, groups, folds,
                n_classes=len(table.info.class_names), draws=draws,
            )  # fmt: skip
    score, larger = fitting.main_score(job)
    result = fitting.jsonable(
        {
            "task": table.info.task,
            "score": score,
            "larger_is_better": larger,
            "dataset": str(dataset),
            "job": job.model_dump(mode="json"),
            "simulated": table.info.simulated,
            "grouped": table.info.grouped,
            "records": len(table),
            "groups": len(np.unique(groups)),
            "folds": n_folds,
            "seeds": seeds,
            "fold_seed": fold_seed,
            "variants": described,
        }
    )
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "ablation.csv", _as_csv({name: a.rows for name, a in answers.items()}).encode())
    write_report(out, _report(result, Path(dataset).resolve().name))
    write_json(out / "ablation.json", result)
    return result


def changed_records(table: Records, changes: dict[str, Any]) -> Records:
    """The same records with another spectrogram scale, standardisation or a shorter window.

    Raises:
        ValueError: an unknown change, or a window that is not shorter.
    """
    info, columns = table.info, dict(table.columns)
    tree = dict(info.job)
    if unknown := sorted(changes.keys() - {"log", "standardise", "window_min"}):
        raise ValueError(f"ablation: expected changes of log, standardise or window_min, received {unknown}")
    if "log" in changes and changes["log"] != tree["spectrogram"]["log"]:
        settings = SpectrogramSettings.model_validate(tree["spectrogram"])
        columns["spectrogram"] = _other_scale(columns["spectrogram"], settings)
        tree["spectrogram"] = tree["spectrogram"] | {"log": changes["log"]}
    if "standardise" in changes:
        tree["standardise"] = changes["standardise"]
    features = info.features
    if "window_min" in changes:
        steps = changes["window_min"] // tree["record"]["step_min"]
        whole, n_buoys = info.feature("water_level_m").shape
        if not 0 < steps <= whole:
            raise ValueError(f"window_min: expected at most that of the records ({whole} samples), received {steps}")
        for name in ("water_level_m", "mask"):
            columns[name] = np.ascontiguousarray(columns[name][:, :steps])
        features = tuple(
            f.model_copy(update={"shape": (steps, n_buoys)}) if f.name in ("water_level_m", "mask") else f
            for f in features
        )
        tree["record"] = tree["record"] | {"window_min": changes["window_min"]}
    return replace(table, info=info.model_copy(update={"job": tree, "features": features}), columns=columns)


def _other_scale(power: np.ndarray, settings: SpectrogramSettings) -> np.ndarray:
    """Linear power of its log10, or the other way round with the settings' floor."""
    if settings.log:
        return 10**power
    largest = power.max(axis=(1, 2), keepdims=True)
    return np.log10(np.maximum(power, np.maximum(settings.log_floor * largest, np.finfo(np.float32).tiny)))


def _any_widths(model) -> dict[str, Any]:
    """Of another window the number of stages is another: the default widths."""
    return {"widths": None} if isinstance(model, Conv1dSettings) else {}


def _fit(
    variant: Variant, base: TrainJob, table: Records, folds: Sequence[Fold], seeds: int, progress: Progress
) -> tuple[Answered, dict[str, Any]]:
    job, records = variant.job(base), changed_records(table, variant.data)
    first = job.training.seed
    trials = [Trial(n, seed, fold) for n, fold in enumerate(folds) for seed in range(first, first + seeds)]
    fits, seconds = fitting.fit_trials(job, records, trials, progress)
    answered = answers_of(job, records, fits, len(folds), seeds)
    means = answered.by_fold.mean(axis=1)
    return answered, {
        "change": {"model": variant.model, "training": variant.training, "data": variant.data},
        "mean": float(means.mean()),
        "std": float(means.std(ddof=1)),
        "std_seeds": float(np.sqrt(answered.by_fold.var(axis=1, ddof=1).mean())) if seeds > 1 else None,
        "by_fold": answered.by_fold,
        "seconds_a_fit": seconds.fitting / seconds.fits,
    }


def _as_csv(rows_of: dict[str, list[dict[str, Any]]]) -> str:
    rows = [{"variant": name} | row for name, rows in rows_of.items() for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _report(result: dict[str, Any], dataset: str) -> Report:
    score, variants = SCORE_NAMES[result["score"]], result["variants"]
    header = ["", score, "spread: seeds", "difference", "95 % interval", "p, sign flips", "s a fit"]
    rows, dots = [], []
    for name, found in variants.items():
        pair = found.get("against_base")
        cells = ["", "", ""]
        if pair is not None:
            low, high = pair["interval"]
            cells = [f"{pair['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}", p_value(pair["p"])]
            dots.append((name, pair["difference"], pair["interval"]))
        seeds = "–" if found["std_seeds"] is None else f"{found['std_seeds']:.3f}"
        rows.append([name, f"{found['mean']:.3f} ± {found['std']:.3f}", seeds, *cells, f"{found['seconds_a_fit']:.1f}"])
    picture = Picture(
        "ablation",
        figures.differences(dots, f"{score}, change minus as given", "What each change does"),
        "Differences on the same test records with 95 % intervals from resampling events; blue where clear of 0.",
    )
    better = "larger" if result["larger_is_better"] else "smaller"
    method = (
        f"{count(result['records'], 'record')} of {count(result['groups'], 'event')}, {count(result['folds'], 'fold')} "
        f"of whole events (seed {result['fold_seed']}), {count(result['seeds'], 'seed')}; one change at a time, "
        f"everything else as given. {score} is better when {better}. p values are not corrected for the number of "
        "changes."
    )
    base = variants[BASE]
    return Report(
        title=f"Ablation of {MODEL_NAMES[result['job']['model']['kind']]} on {dataset}",
        asked="What is each choice worth?",
        answer=_answer(result),
        key_numbers=[KeyNumber(f"{base['mean']:.3f}", f"{score}, as given", f"± {base['std']:.3f} over folds")],
        notices=[simulated_notice()] * result["simulated"] + [ungrouped_notice()] * (not result["grouped"]),
        sections=[
            Section("One change at a time", [], [], [picture]),
            Section("In numbers", [], [Table(header, rows, "Mean ± standard deviation over folds", strong=[0])]),
            Section("Method", [method]),
        ],
    )


def _answer(result: dict[str, Any]) -> str:
    sign = 1 if result["larger_is_better"] else -1
    changes = {name: v["against_base"] for name, v in result["variants"].items() if "against_base" in v}
    corrected = {name: pair | {"p_holm": min(pair["p"] * len(changes), 1)} for name, pair in changes.items()}
    clear = {name: sign * pair["difference"] for name, pair in corrected.items() if is_clear(pair)}
    better = sorted((name for name in clear if clear[name] > 0), key=lambda name: -clear[name])
    worse = sorted((name for name in clear if clear[name] < 0), key=lambda name: clear[name])
    words = []
    if better:
        words.append("Better than as given: " + ", ".join(f"{n} ({sign * clear[n]:+.3f})" for n in better) + ".")
    if worse:
        words.append("Worse: " + ", ".join(f"{n} ({sign * clear[n]:+.3f})" for n in worse) + ".")
    left = len(changes) - len(clear)
    if left:
        words.append(f"{count(left, 'change')} of {len(changes)} can't be told from chance on these events.")
    return " ".join(words)
