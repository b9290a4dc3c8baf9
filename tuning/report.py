"""A finished search as one page: best so far, what mattered, the best ten, what failed and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from sklearn.ensemble import RandomForestRegressor

from seis_tf.judgement import figures
from seis_tf.judgement.report import KeyNumber, Picture, Report, Section, Table, write_report
from seis_tf.tuning.settings import SearchSettings
from seis_tf.tuning.trials import direction


def write(out: Path, settings: SearchSettings, rows: list[dict[str, Any]]) -> Path:
    """Writes SEARCH/report.html and its figures.

    Args:
        out: SEARCH.
        settings: of the search.
        rows: the trials, best first, as `search.write_results` gives them.
    """
    scored = [row for row in rows if row["score"] is not None]
    failed = [row for row in rows if row["score"] is None]
    names = [name for name in parameter_names(rows) if len({row.get(name) for row in rows}) > 1]
    sections = [_best(scored, names, settings)]
    if len(scored) >= 3 and names:
        sections.append(_what_mattered(scored, names, settings))
    if failed:
        table = Table(["trial", "reason"], [[row["trial"], row["reason"]] for row in failed])
        sections.append(Section("Trials that failed", tables=(table,)))
    sections.append(_method(settings, len(rows)))
    best = scored[0] if scored else None
    answer = (
        "No trial was scored."
        if best is None
        else f"Best {settings.objective}: {best['score']:.4g}, in trial {best['trial']}."
    )
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
    return (np.minimum if direction(objective) == "min" else np.maximum).accumulate(scores)


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
    scores = [row["score"] for row in ordered]
    figure = figures.new_figure(4.8, 3.2)
    ax = figure.add_subplot()
    ax.plot(range(1, len(scores) + 1), scores, "o", color=figures.colour(0), label="trial")
    ax.step(
        range(1, len(scores) + 1), best_so_far(scores, objective), where="post", color=figures.colour(1), label="best"
    )
    ax.set(xlabel="trial", ylabel=objective)
    ax.legend()
    return figure


@figures.styled
def slices_figure(rows: list[dict[str, Any]], names: list[str], objective: str) -> Figure:
    """The score against each parameter alone."""
    columns = 2
    figure = figures.new_figure(4.8 * columns / 1.2, 2.2 * -(-len(names) // columns))
    scores = [row["score"] for row in rows]
    for i, name in enumerate(names):
        ax = figure.add_subplot(-(-len(names) // columns), columns, i + 1)
        values = [row.get(name) for row in rows]
        known = [(v, s) for v, s in zip(values, scores, strict=True) if v is not None]
        words = any(isinstance(v, str) for v, _ in known)
        ax.plot(
            [str(v) if words else v for v, _ in known], [s for _, s in known], "o", color=figures.colour(0), alpha=0.7
        )
        if not words and _is_wide([v for v, _ in known]):
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set(xlabel=name, ylabel=objective)
    return figure


@figures.styled
def parallel_figure(rows: list[dict[str, Any]], names: list[str], objective: str) -> Figure:
    """Each trial as a line through its parameters; the better its rank, the darker."""
    figure = figures.new_figure(9.6, 4.0)
    ax = figure.add_subplot()
    coded = np.stack(
        [_unit(_coded([row.get(name) for row in rows])) for name in names]
        + [_unit(np.array([row["score"] for row in rows]))]
    )
    for k in range(len(rows) - 1, -1, -1):
        strength = 1 - k / max(len(rows) - 1, 1)
        ax.plot(coded[:, k], color=figures.colour(0), alpha=0.15 + 0.85 * strength**2, lw=0.8 + 1.6 * strength**2)
    labels = [name.rpartition("model.")[2].replace("training.", "") for name in names] + [objective]
    ax.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    ax.set(ylabel="smallest to largest value", yticks=[])
    return figure


def _best(scored: list[dict[str, Any]], names: list[str], settings: SearchSettings) -> Section:
    header = [
        "trial",
        settings.objective,
        "spread",
        *[name.replace("training.", "").replace("model.", "") for name in names],
    ]
    body = [
        [row["trial"], f"{row['score']:.4g}", _spread(row, settings), *[_cell(row.get(name)) for name in names]]
        for row in scored[:10]
    ]
    caption = "The best ten. Spread: standard deviation over the folds and seeds of a trial, where there are several."
    pictures = (
        Picture("best-so-far", curve_figure(scored, settings.objective), "Each trial and the best so far.", "card"),
    )
    return Section(
        "The best trials", tables=(Table(header, body, caption, strong=(0,)),), pictures=pictures if scored else ()
    )


def _what_mattered(scored: list[dict[str, Any]], names: list[str], settings: SearchSettings) -> Section:
    weights = importance(scored, names)
    table = Table(["parameter", "importance"], [[name, f"{value:.2f}"] for name, value in list(weights.items())[:8]])
    pictures = (
        Picture(
            "parallel",
            parallel_figure(scored, names, settings.objective),
            "Dark lines are the better trials.",
            "wide",
        ),
        Picture(
            "slices",
            slices_figure(scored, names, settings.objective),
            "The score against one parameter at a time.",
            "wide",
        ),
    )
    text = ("Importances of a random forest fitted to the trials: a hint, the fewer trials the weaker.",)
    return Section("What mattered", text, (table,), pictures)


def _method(settings: SearchSettings, count: int) -> Section:
    scored_by = f"{settings.folds} grouped folds" if settings.folds else "the validation split"
    text = (
        f"{count} trials by KerasTuner's {settings.tuner} oracle (seed {settings.seed}), {settings.epochs} epochs, "
        f"scored by {scored_by} with {settings.executions} seed(s); a trial's score is that of its best epoch. "
        "The test split was not opened.",
    )
    return Section("Method", text)


def _spread(row: dict[str, Any], settings: SearchSettings) -> str:
    value = row.get(f"{settings.objective}_spread")
    return f"+- {value:.2g}" if value else ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _coded(values: list[Any]) -> np.ndarray:
    if any(isinstance(v, str) for v in values):
        order = {v: i for i, v in enumerate(sorted({str(v) for v in values}))}
        return np.array([order[str(v)] for v in values], float)
    numbers = np.array([np.nan if v is None else float(v) for v in values])
    known = numbers[np.isfinite(numbers)]
    if len(known) and _is_wide(known):
        numbers = np.log10(numbers)
        known = np.log10(known)
    lowest = known.min() - 1 if len(known) else 0.0
    return np.where(np.isfinite(numbers), numbers, lowest)


def _unit(values: np.ndarray) -> np.ndarray:
    spread = values.max() - values.min()
    return (values - values.min()) / spread if spread else np.full(len(values), 0.5)


def _is_wide(values) -> bool:
    return min(values) > 0 and max(values) / min(values) > 20
