"""A comparison -> one page: which model, whether that may be chance, at what cost."""

from __future__ import annotations

import numpy as np

from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    notices_of,
)
from seis_tf.evaluation.report.units import count, listed, p_value
from seis_tf.evaluation.studies import figures
from seis_tf.evaluation.studies.comparison_result import ComparedModel, Comparison, Pair

SIGNIFICANT = 0.05
SCORE_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "ECE",
    "mse": "MSE of the slip (m²)",
    "mse_ratio": "its ratio to the mean slip's",
}


def report_of(result: Comparison, dataset: str) -> Report:
    """The page of a comparison."""
    names, score = list(result.models), SCORE_NAMES[result.score]
    best = best_of(result)
    unit = "stations" if result.by == "station" else "events"
    sections = [
        Section("Scores", _score_text(result, unit), [_score_table(result)], _pictures(result, score, unit)),
        Section("Is the difference chance?", _test_text(result, unit), [_pair_table(result)]),
        Section("At what cost", [_cost_text()], [_cost_table(result)]),
        Section("Method", _method_text(result, dataset, unit), [_layer_table(result, name) for name in names]),
    ]
    best_model = result.models[best]
    return Report(
        title=f"{' against '.join(names)} on {dataset}",
        asked=f"Which of {listed(names)} is better on new {unit}, may that be chance, and what does it cost?",
        answer=answer_of(result),
        key_numbers=[
            KeyNumber(
                f"{best_model.scores[result.score].mean:.3f}", f"{score} of {best}", _spread_words(best_model, result)
            ),
            *(_pair_number(pair) for pair in result.pairs[:2]),
        ],
        notices=notices_of(result.simulated, result.grouped),
        sections=sections,
    )


def best_of(result: Comparison) -> str:
    """The model with the best mean score."""
    sign = 1 if result.larger_is_better else -1
    return max(result.models, key=lambda name: sign * result.models[name].scores[result.score].mean)


def answer_of(result: Comparison) -> str:
    """Which one, whether that may be chance, at what cost, in a few sentences."""
    best, score = best_of(result), SCORE_NAMES[result.score]
    models = result.models
    words, unsure = [], []
    for pair in result.pairs:
        if best not in (pair.a, pair.b):
            continue
        other, sign = (pair.b, 1) if pair.a == best else (pair.a, -1)
        low, high = sorted(sign * bound for bound in pair.interval)
        gap = f"{score} {sign * pair.difference:+.3f} ({low:+.3f} to {high:+.3f}), {_p_words(pair)}"
        if is_clear(pair):
            words.append(f"{best} is better than {other}: {gap}.")
        else:
            reason = "the seeds alone may do that" if _is_luck(pair) else "that may be chance"
            words.append(f"{best} is ahead of {other}, but {reason}: {gap}.")
            unsure.append(other)
    if result.seeds == 1:
        words.append("One seed only: how much of it is luck of the seed is not known.")
    cheaper = [name for name in unsure if models[name].flops < models[best].flops]
    if cheaper:
        choice = min(cheaper, key=lambda name: models[name].flops)
        ratio = models[best].flops / models[choice].flops
        words.append(f"{choice} will do: it needs {ratio:.1f} times fewer operations a record.")
    else:
        words.append(
            f"It takes {models[best].seconds_a_fit:.1f} s to fit and {models[best].latency_ms['1']:.2f} ms to answer "
            "one record here."
        )
    return " ".join(words)


def is_clear(pair: Pair) -> bool:
    """Whether interval and corrected p say that the difference is no chance, nor made by the spread over seeds."""
    low, high = pair.interval
    significant = pair.p_holm is not None and pair.p_holm < SIGNIFICANT
    return significant and (low > 0 or high < 0) and not _is_luck(pair)


def _is_luck(pair: Pair) -> bool:
    error = pair.seed_error
    return error is not None and abs(pair.difference) < 2 * error


def _pictures(result: Comparison, score: str, unit: str) -> list[Picture]:
    names = list(result.models)
    values = np.array([np.mean(result.models[name].by_fold, axis=1) for name in names])
    rows = [(f"{p.a} − {p.b}", p.difference, p.interval) for p in result.pairs]
    return [
        Picture(
            "folds",
            figures.fold_scores(names, values, score),
            f"{score} of each fold (mean over seeds); grey lines join the same fold, thick marks are means.",
        ),
        Picture(
            "differences",
            figures.differences(rows, f"difference in {score}", "Paired differences"),
            f"Differences on the same test records, with 95 % intervals from resampling {unit}; blue where clear of 0.",
        ),
    ]


def _score_table(result: Comparison) -> Table:
    models = result.models
    names = list(next(iter(models.values())).scores)
    rows = [
        [name, *(f"{model.scores[n].mean:.3f} ± {model.scores[n].std:.3f}" for n in names)]
        for name, model in models.items()
    ]
    place = names.index("balanced_accuracy") if "balanced_accuracy" in names else 0
    for name, found in result.trivial.items():
        cells = ["" for _ in names]
        cells[place] = f"{found.mean:.3f} ± {found.std:.3f}"
        rows.append([name, *cells])
    strong = [list(models).index(best_of(result))]
    return Table(["", *(SCORE_NAMES[name] for name in names)], rows, "Mean ± standard deviation over folds", strong)


def _score_text(result: Comparison, unit: str) -> list[str]:
    seeds = f" for each of {result.seeds} seeds" if result.seeds > 1 else ""
    text = [
        f"{count(result.records, 'record')} of {result.groups:,} {unit} in {count(result.folds, 'fold')}; "
        f"each record is tested once{seeds}."
    ]
    if result.by == "station":
        text.append("Stations are new in each test, events are not: this says what holds at a new station.")
    errors = [pair.seed_error for pair in result.pairs if pair.seed_error is not None]
    if errors:
        text.append(
            f"What the seeds alone add to a difference has a standard error of up to {max(errors):.3f}: a difference "
            "below twice that of its pair is not called clear."
        )
    return text


def _pair_table(result: Comparison) -> Table:
    header = ["a − b", "difference", "95 % interval", "p, sign flips", "p, all pairs", "p, corrected t", "p, McNemar"]
    rows = []
    for pair in result.pairs:
        t, mcnemar = pair.corrected_t.p, pair.mcnemar
        rows.append(
            [
                f"{pair.a} − {pair.b}",
                f"{pair.difference:+.3f}",
                f"{pair.interval[0]:+.3f} to {pair.interval[1]:+.3f}",
                p_value(pair.p),
                _p_holm(pair),
                "–" if t is None else p_value(t),
                "–" if mcnemar is None else f"{p_value(mcnemar.p)} ({mcnemar.only_a} : {mcnemar.only_b})",
            ]
        )
    return Table(header, rows)


def _test_text(result: Comparison, unit: str) -> list[str]:
    text = [
        f"The p to go by is that of sign flips: how often a difference as large would come up if each of the {unit} "
        "could as well have favoured the other model. “All pairs” is corrected for the number of comparisons (Holm)."
    ]
    if any(pair.mcnemar is not None for pair in result.pairs):
        text.append(
            "McNemar's exact test counts the records on which only one of the two is right (a : b, first seed). It "
            f"takes records for independent, which records of one of the {unit} are not: its p is too small."
        )
    return text


def _cost_text() -> str:
    return (
        "Operations are those of matrix products and convolutions for one record. Seconds are of this machine; fits of "
        "several folds that were trained together share their time."
    )


def _cost_table(result: Comparison) -> Table:
    header = ["", "parameters", "by formula", "operations", "s to fit", "s set-up", "ms for 1", "ms for 1,000"]
    rows = [
        [
            name, f"{m.parameters:,}", f"{m.parameters_by_formula:,}", f"{m.flops:,}",
            f"{m.seconds_a_fit:.1f}", f"{m.seconds_setup:.1f}",
            f"{m.latency_ms['1']:.2f}", f"{m.latency_ms['1000']:.1f}",
        ]
        for name, m in result.models.items()
    ]  # fmt: skip
    return Table(header, rows)


def _layer_table(result: Comparison, name: str) -> Table:
    rows = [
        [layer.name, layer.kind, " x ".join(map(str, layer.output_shape)), f"{layer.parameters:,}",
         f"{layer.flops:,}"]
        for layer in result.models[name].layers
    ]  # fmt: skip
    return Table(["layer", "kind", "output", "parameters", "operations"], rows, f"{name}, layer by layer")


def _method_text(result: Comparison, dataset: str, unit: str) -> list[str]:
    return [
        f"Data: {dataset}. Folds keep {unit} whole and are stratified by class as far as that allows; seed "
        f"{result.fold_seed}. All models see the same folds. Where training chooses an epoch, it does so on {unit} "
        "of the training side.",
        f"The difference is that of the scores over all test records together, mean over seeds. Its interval holds the "
        f"middle 95 % of {result.draws:,} bootstrap samples of whole {unit}.",
        "Sign flips are exact up to 16 with a difference, else 100,000 random patterns. The corrected resampled t test "
        "is that of Nadeau and Bengio (2003): the variance over folds times 1/k + n_test/n_train.",
    ]


def _pair_number(pair: Pair) -> KeyNumber:
    low, high = pair.interval
    return KeyNumber(
        f"{pair.difference:+.3f}",
        f"{pair.a} − {pair.b}",
        f"95 % interval {low:+.3f} to {high:+.3f}, {_p_words(pair)}",
    )


def _spread_words(model: ComparedModel, result: Comparison) -> str:
    words = f"± {model.scores[result.score].std:.3f} over folds"
    return words if model.std_seeds is None else f"{words}, ± {model.std_seeds:.3f} over seeds"


def _p_holm(pair: Pair) -> str:
    return "" if pair.p_holm is None else p_value(pair.p_holm)


def _p_words(pair: Pair) -> str:
    words = _p_holm(pair)
    return f"p {words}" if words.startswith("<") else f"p = {words}"
