"""A finished search as one page: best so far, what mattered, the best ten, what failed and why."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from sklearn.ensemble import RandomForestRegressor

from seis_tf.evaluation.report import figures
from seis_tf.evaluation.report.page import KeyNumber, Picture, Report, Section, Table, write_report
from seis_tf.training.scores import smaller_is_better
from seis_tf.tuning.settings import SearchSettings

_FEW = 8  # different values up to which an axis has one place for each


def write(out: Path, settings: SearchSettings, rows: list[dict[str, Any]], retrained: Path | None = None) -> Path:
    """Writes SEARCH/report.html and its figures.

    Args:
        out: SEARCH.
        settings: of the search.
        rows: the trials, best first, as `search.write_results` gives them.
        retrained: the run of the best job, where it was trained and judged on test.
    """
    scored = [row for row in rows if row["score"] is not None]
    failed = [row for row in rows if row["score"] is None]
    names = [name for name in parameter_names(rows) if len({row.get(name) for row in rows}) > 1]
    sections = [_best(scored, names, settings)]
    if len(scored) >= 3 and names:
        sections.append(_what_mattered(scored, names, settings, _on_log_axes(out)))
    if failed:
        table = Table(["trial", "reason"], [[row["trial"], row["reason"]] for row in failed])
        sections.append(Section("Trials that failed", tables=(table,)))
    sections.append(_method(settings, len(rows)))
    best = scored[0] if scored else None
    answer = "No trial was scored."
    if best is not None:
        answer = f"Best {settings.objective}: {best['score']:.4g}, in trial {best['trial']} (best.json)."
        if retrained is not None:
            answer += f" It was trained again and judged once on the test split: see {retrained.name}/report.html."
    numbers = (KeyNumber(str(len(scored)), "trials scored", f"{len(failed)} failed, {settings.trials} planned"),)
    if best is not None:
        numbers += (KeyNumber(f"{best['score']:.4g}", settings.objective, _spread(best, settings)),)
    page = Report(
        title=f"Search of {settings.model}",
        asked=f"Which settings of {settings.model} give the best {settings.objective} on validation records?",
        answer=answer,
        sections=tuple(sections),
        key_numbers=numbers,
    )
    return write_report(out, page)


def parameter_names(rows: list[dict[str, Any]]) -> list[str]:
    """Names of the parameters that were searched."""
    return list(dict.fromkeys(name for row in rows for name in row if name.startswith(("model.", "training."))))


def best_so_far(scores: list[float], objective: str) -> np.ndarray:
    """The best score after each trial, in the order in which they were asked for."""
    return (np.minimum if smaller_is_better(objective) else np.maximum).accumulate(scores)


def importance(rows: list[dict[str, Any]], names: list[str]) -> dict[str, float]:
    """How much of the score's variation each parameter explains: importances of a random forest on the trials.

    Words and missing widths are coded as numbers; with few trials this is a hint and no more.
    """
    columns = [_coded([row.get(name) for row in rows]) for name in names]
    scores = np.array([row["score"] for row in rows])
    forest = RandomForestRegressor(300, min_samples_leaf=2, random_state=0).fit(np.stack(columns, axis=1), scores)
    return dict(sorted(zip(names, forest.feature_importances_.tolist(), strict=True), key=lambda item: -item[1]))


@figures.styled
def curve_figure(rows: list[dict[str, Any]], objective: str) -> Figure:
    """Scores in the order of the trials, with the best so far."""
    ordered = sorted(rows, key=lambda row: row["trial"])
    scores, numbers = [row["score"] for row in ordered], range(1, len(rows) + 1)
    figure = figures.new_figure(4.8, 3.4)
    ax = figure.add_subplot()
    ax.plot(numbers, scores, "o", color=figures.colour(0), label="trial")
    ax.step(numbers, best_so_far(scores, objective), where="post", color=figures.colour(1), label="best so far")
    ax.set(xlabel="scored trial", ylabel=objective)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return figure


@figures.styled
def slice_figure(rows: list[dict[str, Any]], name: str, objective: str, log: bool = False) -> Figure:
    """The score against one parameter; values that are words, or few, have one place each on the axis."""
    known = [(row[name], row["score"]) for row in rows if row.get(name) is not None]
    values = list(dict.fromkeys(sorted(v for v, _ in known)))
    figure = figures.new_figure(3.6, 2.7)
    ax = figure.add_subplot()
    if isinstance(values[0], str) or len(values) <= _FEW:
        ax.plot([values.index(v) for v, _ in known], [s for _, s in known], "o", color=figures.colour(0), alpha=0.6)
        ax.set_xticks(range(len(values)), [_cell(v) for v in values])
        ax.set_xlim(-0.5, len(values) - 0.5)
    else:
        ax.plot(*zip(*known, strict=True), "o", color=figures.colour(0), alpha=0.6)
        if log:
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set(xlabel=_short(name), ylabel=objective)
    return figure


@figures.styled
def parallel_figure(
    rows: list[dict[str, Any]], names: list[str], objective: str, on_log_axes: Collection[str] = ()
) -> Figure:
    """Each trial as a line down through its parameters, one a row so that a phone can show it; the best in orange."""
    figure = figures.new_figure(4.8, 1.0 + 0.42 * len(names))
    ax = figure.add_subplot()
    columns = [_coded([row.get(name) for row in rows], name in on_log_axes) for name in names]
    columns.append(np.array([row["score"] for row in rows]))
    coded = np.stack([_unit(column) for column in columns])
    depth = np.arange(len(columns))
    for k in range(len(rows) - 1, 0, -1):
        strength = 1 - k / len(rows)
        ax.plot(coded[:, k], depth, color=figures.colour(0), alpha=0.1 + 0.5 * strength**2, lw=0.7 + strength**2)
    ax.plot(coded[:, 0], depth, color=figures.colour(1), lw=2.2)
    for i, name in enumerate([*names, "score"]):
        low, high = _ends([row.get(name) for row in rows])
        ax.text(-0.03, i, low, ha="right", va="center", fontsize=8)
        ax.text(1.03, i, high, ha="left", va="center", fontsize=8)
    ax.set_yticks(depth, [_short(name) for name in names] + [objective], fontsize=8.5)
    ax.set(xlim=(-0.3, 1.24), ylim=(len(columns) - 0.6, -0.4), xticks=[])
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.tick_params(length=0)
    return figure


def _best(scored: list[dict[str, Any]], names: list[str], settings: SearchSettings) -> Section:
    columns = _table_columns(names)
    header = ["trial", "score", *(["spread"] if scored and _spread(scored[0], settings) else []), *columns]
    body = []
    for row in scored[:10]:
        spread = [_spread(row, settings)] if "spread" in header else []
        body.append([row["trial"], f"{row['score']:.4g}", *spread, *(_joined(row, columns[c]) for c in columns)])
    text = (
        "The best of many trials looks better than it is, because it was chosen by this score: its true worth is what "
        "it does once on the test split (seis-tf tune --retrain, or train --config best.json and evaluate)."
        + (" Spread: standard deviation over the folds and seeds of a trial." if "spread" in header else ""),
    )
    pictures = (
        Picture("best-so-far", curve_figure(scored, settings.objective), "Each trial and the best so far."),
    ) if scored else ()  # fmt: skip
    return Section(
        "The best trials", text, (Table(header, body, f"The best ten by {settings.objective}.", strong=(0,)),), pictures
    )


def _what_mattered(
    scored: list[dict[str, Any]], names: list[str], settings: SearchSettings, on_log_axes: Collection[str]
) -> Section:
    weights = importance(scored, names)
    table = Table(
        ["parameter", "importance"], [[_short(name), f"{value:.2f}"] for name, value in list(weights.items())[:8]]
    )
    lines = parallel_figure(scored, list(weights), settings.objective, on_log_axes)
    caption = (
        "A line is a trial, from parameter to parameter, smallest value left; darker is better, the best in orange."
    )
    pictures = [Picture("parallel", lines, caption)]
    for name in weights:
        picture = slice_figure(scored, name, settings.objective, name in on_log_axes)
        pictures.append(Picture(f"slice-{name}", picture, f"The score against {_short(name)}.", "card"))
    text = ("Importances of a random forest fitted to the trials: a hint, the fewer trials the weaker.",)
    return Section("What mattered", text, (table,), tuple(pictures))


def _method(settings: SearchSettings, count: int) -> Section:
    scored_by = f"{settings.folds} grouped folds" if settings.folds else "the validation split"
    text = (
        f"{count} trials by KerasTuner's {settings.tuner} oracle (seed {settings.seed}), {settings.epochs} epochs, "
        f"scored by {scored_by} with {settings.executions} seed(s); a trial's score is that of the epoch that training "
        "keeps: its best, or its last where the job says so. The test split was not opened.",
    )
    return Section("Method", text)


def _spread(row: dict[str, Any], settings: SearchSettings) -> str:
    value = row.get(f"{settings.objective}_spread")
    return f"± {value:.2g}" if value else ""


def _short(name: str) -> str:
    return name.removeprefix("training.").removeprefix("model.")


def _table_columns(names: list[str]) -> dict[str, list[str]]:
    """Heading to the parameters in it: a list of layer widths is one column."""
    columns: dict[str, list[str]] = {}
    for name in names:
        start, _, last = name.rpartition(".")
        if last == "layers":
            continue
        columns.setdefault(_short(start if last.isdigit() else name), []).append(name)
    return columns


def _joined(row: dict[str, Any], names: list[str]) -> str:
    return "-".join(_cell(row.get(name)) for name in sorted(names) if row.get(name) is not None)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if isinstance(value, float) else str(value)


def _ends(values: list[Any]) -> tuple[str, str]:
    known = sorted(str(v) if isinstance(v, str) else v for v in values if v is not None)
    low = "none" if len(known) < len(values) else _cell(known[0])
    return low, _cell(known[-1])


def _on_log_axes(out: Path) -> set[str]:
    """The parameters that were drawn by their logarithm."""
    path = out / "search.json"
    space = json.loads(path.read_text())["space"] if path.is_file() else {}
    return {name for name, parameter in space.items() if parameter.get("log")}


def _coded(values: list[Any], log: bool = False) -> np.ndarray:
    """Numbers for words, and for a width of a layer that is not there: smaller than all others."""
    if any(isinstance(v, str) for v in values):
        order = {v: i for i, v in enumerate(sorted({str(v) for v in values}))}
        return np.array([order[str(v)] for v in values], float)
    numbers = np.array([np.nan if v is None else float(v) for v in values])
    if log:
        numbers = np.log10(numbers)
    known = numbers[np.isfinite(numbers)]
    step = (np.ptp(known) or 1.0) / 4
    return np.where(np.isfinite(numbers), numbers, known.min() - step)


def _unit(values: np.ndarray) -> np.ndarray:
    spread = np.ptp(values)
    return (values - values.min()) / spread if spread else np.full(len(values), 0.5)
