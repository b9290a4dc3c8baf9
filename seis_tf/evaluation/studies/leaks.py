"""The leak meter: how much a split flatters a model, and whether one event hides under two ids.

The same job is fitted on folds of single records and on folds of whole events. The difference is what an event with
records on both sides of a split gives away for nothing. Events that hold the same samples are one event, whatever
their ids say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seis_tf.dataset import shards, tables
from seis_tf.dataset.shards import SPLITS
from seis_tf.evaluation.report import figures
from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    notices_of,
)
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.results import Interval, Result, StudyResult
from seis_tf.evaluation.stats import paired, scores
from seis_tf.evaluation.stats.folds import Fold, grouped_folds, random_folds, torn_groups
from seis_tf.evaluation.studies import fitting
from seis_tf.evaluation.studies.comparison import answers_of
from seis_tf.evaluation.studies.fitting import Progress
from seis_tf.evaluation.studies.writing import write_study
from seis_tf.settings.networks import network_settings
from seis_tf.settings.training import TrainJob

_SHOWN = 20  # pairs of events that a report lists


@dataclass(frozen=True)
class Duplicates:
    """Events that share samples.

    Attributes:
        joined: id of each record's event after events that share samples are made one [record].
        pairs: (event, event, records with the same samples), sorted.
    """

    joined: np.ndarray
    pairs: list[tuple[str, str, int]]


class FoldKind(Result):
    """One kind of folds: score with its interval, and events with records both in training and in test."""

    balanced_accuracy: float
    interval: Interval
    torn_groups: int


class Leaks(StudyResult):
    """What a split gives away: `leaks.json`.

    Attributes:
        dataset: folder of the data set.
        job: of a classifier.
        simulated: whether the records were made by a program.
        grouped: whether the records carry event ids.
        records: in the folds.
        groups: their events, after joining those with the same samples.
        folds: number of folds of each kind.
        seeds: fits of each fold.
        fold_seed: of the folds.
        kinds: "random", "grouped" and, where they differ, "by given ids" to the scores.
        inflation: balanced accuracy that random folds give too much.
        inflation_interval: of it, on the same resampled events.
        duplicates: (event, event, records with the same samples).
        torn_by_own_split: events on more than one side of the data set's splits.
    """

    dataset: str
    job: dict[str, Any]
    simulated: bool
    grouped: bool
    records: int
    groups: int
    folds: int
    seeds: int
    fold_seed: int
    kinds: dict[str, FoldKind]
    inflation: float
    inflation_interval: Interval
    duplicates: list[tuple[str, str, int]]
    torn_by_own_split: list[str]


def find_duplicates(contents: np.ndarray, groups: np.ndarray) -> Duplicates:
    """Finds records with the same samples under different event ids, by a hash of their bytes.

    Args:
        contents: samples or spectrograms [record, ...].
        groups: event id of each record [record].
    """
    names, group = np.unique(groups, return_inverse=True)
    owners: dict[bytes, list[int]] = {}
    for content, owner in zip(contents, group, strict=True):
        key = hashlib.blake2b(np.ascontiguousarray(content).tobytes(), digest_size=16).digest()
        owners.setdefault(key, []).append(int(owner))
    shared: dict[tuple[int, int], int] = {}
    for found in owners.values():
        first, *others = sorted(set(found))
        for other in others:
            shared[first, other] = shared.get((first, other), 0) + 1
    links = np.array(list(shared), int).reshape(-1, 2)
    graph = coo_array((np.ones(len(links)), (links[:, 0], links[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(graph, directed=False)
    # A joined event is called by the first of its ids.
    first_of = {c: i for i, c in reversed(list(enumerate(component)))}
    joined = names[[first_of[c] for c in component]][group]
    return Duplicates(joined, sorted((str(names[a]), str(names[b]), n) for (a, b), n in shared.items()))


def leak_meter(
    dataset: Path | str,
    job: TrainJob,
    out: Path | str,
    *,
    n_folds: int = 5,
    seeds: int = 1,
    fold_seed: int = 0,
    draws: int = 2000,
    progress: Progress = lambda done, total: None,
) -> Leaks:
    """Fits a classifier on random and on grouped folds, and looks for events under two ids.

    Long because each setting of the study is a keyword with a default, described below, and a field of the result.

    Args:
        dataset: the data set's folder.
        job: of a classifier.
        out: folder for `leaks.json`, `figures/` and `report.html`.
        n_folds: every record is tested once in each kind of fold.
        seeds: fits of each fold.
        fold_seed: of both kinds of folds.
        draws: bootstrap samples of events.
        progress: called with the hundredths done and in all.

    Returns:
        The result, which `leaks.json` holds.

    Raises:
        ValueError: no data set of task waveforms, or as `folds.grouped_folds`.
    """
    info = shards.open_dataset(dataset, task="waveforms")
    table = fitting.load_table(job, dataset)
    content = "waveform" if info.has("waveform") else "spectrogram"
    duplicates = find_duplicates(tables.load(dataset, SPLITS, (content,))[content], table["group"])
    labels, groups = table["label"], duplicates.joined
    kinds = {
        "random": random_folds(labels, n_folds, seed=fold_seed),
        "grouped": grouped_folds(labels, groups, n_folds, seed=fold_seed),
    }
    if duplicates.pairs:
        kinds["by given ids"] = grouped_folds(labels, table["group"], n_folds, seed=fold_seed)
    found, drawn = {}, {}
    for number, (kind, folds) in enumerate(kinds.items()):
        answers = _answers(job, table, folds, seeds, fitting.in_all(progress, number, len(kinds)))
        drawn[kind] = paired.bootstrap_balanced_accuracy(labels, answers, groups, len(info.class_names), draws)
        confusions = [scores.confusion_matrix(labels, row, len(info.class_names)) for row in answers]
        torn = {group for fold in folds for group in torn_groups(fold, groups)}
        found[kind] = FoldKind(
            balanced_accuracy=float(np.mean([scores.balanced_accuracy(c) for c in confusions])),
            interval=scores.interval(drawn[kind]),
            torn_groups=len(torn),
        )
    result = Leaks(
        dataset=str(dataset),
        job=job.model_dump(mode="json"),
        simulated=info.simulated,
        grouped=info.grouped,
        records=len(table),
        groups=len(np.unique(groups)),
        folds=n_folds,
        seeds=seeds,
        fold_seed=fold_seed,
        kinds=found,
        inflation=found["random"].balanced_accuracy - found["grouped"].balanced_accuracy,
        inflation_interval=scores.interval(drawn["random"] - drawn["grouped"]),
        duplicates=duplicates.pairs,
        torn_by_own_split=_torn_by_own_split(table, groups),
    )
    write_study(Path(out), "leaks", result, _report(result, Path(dataset).resolve().name))
    return result


def _answers(job, table: tables.Table, folds: Sequence[Fold], seeds: int, progress: Progress) -> np.ndarray:
    """Classes [seed, record], each record answered when it was a test record."""
    fits, _ = fitting.fit_trials(job, table, fitting.trials_of(job, folds, seeds), progress)
    return answers_of(job, table, fits, len(folds), seeds).values


def _torn_by_own_split(table: tables.Table, groups: np.ndarray) -> list[str]:
    """Events (after joining) that the data set's own splits have on more than one side."""
    sides: dict[str, set[str]] = {}
    for split, rows in table.rows.items():
        for group in np.unique(groups[rows]):
            sides.setdefault(str(group), set()).add(split)
    return sorted(group for group, found in sides.items() if len(found) > 1)


def _report(result: Leaks, dataset: str) -> Report:
    low, high = result.inflation_interval
    random, grouped = (result.kinds[kind] for kind in ("random", "grouped"))
    rows = [
        [
            kind,
            f"{found.balanced_accuracy:.3f}",
            f"{found.interval[0]:.3f} to {found.interval[1]:.3f}",
            f"{found.torn_groups:,} of {result.groups:,}",
        ]
        for kind, found in result.kinds.items()
    ]
    dots = [(kind, found.balanced_accuracy, found.interval) for kind, found in result.kinds.items()]
    picture = Picture(
        "leaks",
        figures.score_comparison(dots, "balanced accuracy", "The same model, split in different ways"),
        "Bars are 95 % intervals from resampling whole events.",
    )
    return Report(
        title=f"Leak meter: {network_settings(result.model_kind).title} on {dataset}",
        asked="Does the split give anything away, and how much would a random split flatter the model?",
        answer=_answer(result),
        key_numbers=[
            KeyNumber(f"{result.inflation:+.3f}", "random minus grouped", f"95 % interval {low:+.3f} to {high:+.3f}"),
            KeyNumber(f"{random.torn_groups:,}", "events torn by random folds", f"of {result.groups:,}"),
            KeyNumber(f"{grouped.balanced_accuracy:.3f}", "balanced accuracy on new events"),
            KeyNumber(f"{len(result.duplicates):,}", "pairs of ids with the same samples"),
        ],
        notices=notices_of(result.simulated, result.grouped),
        sections=[
            Section(
                "Score by split", [], [Table(["folds", "balanced accuracy", "95 % interval", "torn"], rows)], [picture]
            ),
            _duplicates_section(result),
            Section(
                "Method",
                [
                    f"{count(result.records, 'record')}; {count(result.folds, 'fold')} of each kind and "
                    f"{count(result.seeds, 'seed')}, seed of the folds {result.fold_seed}. Every record is "
                    "tested once in each kind. An event is torn when it has records both in training and in test of a "
                    "fold.",
                    "Ids are joined when records of theirs have the same bytes. The interval of the difference is "
                    "paired: the same resampled events in both kinds.",
                ],
            ),
        ],
    )


def _answer(result: Leaks) -> str:
    if not result.grouped:
        return "Not known: the source names no events, so that it can't be said which records belong together."
    low, high = result.inflation_interval
    points = f"{100 * result.inflation:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    torn = f"{result.kinds['random'].torn_groups:,} of {result.groups:,} events"
    if low > 0:
        words = f"A random split would flatter this model by {points}: it tears {torn}."
    else:
        words = f"A random split tears {torn}, but flatters this model by nothing that is clear of chance: {points}."
    if not result.duplicates:
        return f"{words} No samples have two event ids, and the data set's own split tears no event."
    torn_events = len(result.torn_by_own_split)
    leak = (
        f"the data set's own split tears {count(torn_events, 'event')}"
        if torn_events
        else "the data set's own split tears none of them"
    )
    return f"{words} Leak: {count(len(result.duplicates), 'pair')} of event ids hold the same samples; {leak}."


def _duplicates_section(result: Leaks) -> Section:
    if not result.duplicates:
        return Section("Events under two ids", ["None: no two event ids hold a record with the same samples."])
    rows = [[a, b, str(n)] for a, b, n in result.duplicates[:_SHOWN]]
    text = ["These ids hold the same samples and are taken for one event above (“grouped”)."]
    if result.torn_by_own_split:
        text.append(
            f"On more than one side of the data set's own split: {', '.join(result.torn_by_own_split[:_SHOWN])}."
        )
    return Section("Events under two ids", text, [Table(["event", "same as", "records"], rows)])
