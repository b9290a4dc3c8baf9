"""A judged classifier -> the sections of its report, each built of figures and of sentences made from the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seis_tf.evaluation.report import figures
from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    notices_of,
)
from seis_tf.evaluation.report.record_figures import Scales
from seis_tf.evaluation.report.sections import PARTS, loss_picture
from seis_tf.evaluation.report.units import count, listed, percent
from seis_tf.evaluation.stats import scores
from seis_tf.evaluation.stats.classification import SplitScores
from seis_tf.evaluation.waveforms.metrics import TrivialSplit, WaveformMetrics
from seis_tf.evaluation.waveforms.sections import (
    errors_section,
    gallery_sections,
    method_section,
    probabilities_section,
    simple_section,
)

if TYPE_CHECKING:
    from seis_tf.evaluation.waveforms.judged import Judged

_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "brier": "Brier score",
    "ece": "ECE",
}


def report_of(judged: Judged, metrics: WaveformMetrics, scales: Scales) -> Report:
    """The page of one evaluation."""
    sections = [
        _scores_section(judged, metrics),
        errors_section(judged, metrics),
        probabilities_section(judged, metrics),
        simple_section(judged, metrics, scales),
        *gallery_sections(judged, scales),
        method_section(judged, metrics),
    ]
    return Report(
        title=f"{judged.run.folder.resolve().name}: {_model_words(judged)} on {judged.dataset.resolve().name}",
        asked=_asked(judged, metrics),
        answer=_answer(metrics),
        key_numbers=_key_numbers(judged, metrics.main_scores),
        notices=_notices(judged),
        sections=[section for section in sections if section is not None],
    )


def _asked(judged: Judged, metrics: WaveformMetrics) -> str:
    names = listed(judged.info.class_names)
    article = "an" if judged.run.config.job.model.kind == "mlp" else "a"
    model = f"{article} {_model_words(judged)} with {metrics.parameters:,} parameters"
    if judged.main == "all":
        return f"How well does {model} tell {names} apart on another data set than the one it was trained on?"
    events = "events that it never saw" if judged.info.grouped else "records that it never saw"
    return f"How well does {model} tell {names} apart on {events}, and is it better than what needs no network?"


def _answer(metrics: WaveformMetrics) -> str:
    main = metrics.main_scores
    sentence = (
        f"It finds {percent(main.balanced_accuracy)} of each class on average "
        f"({count(main.records, 'record')} of {count(main.groups, 'event')}"
        f"{_interval_words(main, 'balanced_accuracy')})."
    )
    best = _best_trivial(metrics)
    if best is None:
        return sentence
    name, found = best
    sentence += f" The best predictor without a network ({name}) finds {percent(found.balanced_accuracy)}"
    if found.model_minus_this_interval is None:
        return sentence + "."
    low, high = found.model_minus_this_interval
    gap = f"the difference is {100 * found.model_minus_this:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    if low > 0:
        return f"{sentence}: the network is better, {gap}."
    if high < 0:
        return f"{sentence}: the network is worse, {gap}."
    return f"{sentence}, and the network is not clearly better: {gap}."


def _key_numbers(judged: Judged, main: SplitScores) -> list[KeyNumber]:
    unit = "over events" if judged.info.grouped else "over records"
    numbers = []
    for name, digits in (("balanced_accuracy", 3), ("macro_f1", 3), ("log_loss", 3), ("ece", 3)):
        bounds = main.intervals.get(name)
        detail = f"95 % interval {unit} {bounds[0]:.{digits}f} to {bounds[1]:.{digits}f}" if bounds else ""
        numbers.append(KeyNumber(f"{main.headline(name):.{digits}f}", f"{_NAMES[name]}, {PARTS[judged.main]}", detail))
    return numbers


def _notices(judged: Judged) -> list[str]:
    notices = notices_of(judged.info.simulated, judged.info.grouped)
    if judged.seen_groups:
        notices.append(
            f"Seen before: {count(judged.seen_groups, 'event')} of this data set are also in the training data; "
            "scores are not those of new events."
        )
    if judged.main == "all" and judged.seen_groups is None:
        notices.append(
            "The training data is not where it was: no trivial predictors, and it was not checked whether "
            "events of this data set were trained on."
        )
    return notices


def _scores_section(judged: Judged, metrics: WaveformMetrics) -> Section:
    parts, main, model = metrics.splits, judged.main, metrics.main_scores
    header = ["", "records", "events", *(_NAMES[name] for name in scores.HEADLINES)]
    rows = [
        [PARTS[part], f"{s.records:,}", f"{s.groups:,}", *(f"{s.headline(name):.3f}" for name in scores.HEADLINES)]
        for part, s in parts.items()
    ]
    tables = [Table(header, rows, "The model, by part of the data", strong=[list(parts).index(main)])]
    beside = [[_model_words(judged), *(f"{model.headline(n):.3f}" for n in scores.HEADLINES[:3]), ""]]
    dots = [(_model_words(judged), model.balanced_accuracy, model.intervals.get("balanced_accuracy"))]
    for name, found in metrics.trivial.items():
        simple = found.splits[main]
        gap = simple.model_minus_this_interval
        words = f"{simple.model_minus_this:+.3f}" + (f" ({gap[0]:+.3f} to {gap[1]:+.3f})" if gap else "")
        values = (simple.accuracy, simple.balanced_accuracy, simple.macro_f1)
        beside.append([name, *(f"{value:.3f}" for value in values), words])
        dots.append((name, simple.balanced_accuracy, simple.interval))
    text = [
        f"{_overfit_words(parts)} Balanced accuracy is the mean over classes of the part that is found: with "
        f"{len(judged.info.class_names)} classes, guessing gives {1 / len(judged.info.class_names):.3f}. Counting each "
        f"event once instead of each record, it is {model.event_balanced_accuracy:.3f}."
    ]
    if model.members is not None:
        spread = model.members["balanced_accuracy"]
        text.append(
            f"This is an ensemble: its {metrics.members} members alone score {spread.mean:.3f} with a deviation "
            f"of {spread.std:.3f} over seeds."
        )
    pictures = []
    if metrics.trivial:
        header = ["", *(_NAMES[n] for n in scores.HEADLINES[:3]), "model better by (95 % interval)"]
        tables.append(Table(header, beside, f"Beside predictors without a network, {PARTS[main]}", strong=[0]))
        title = f"Balanced accuracy, {PARTS[main]}"
        pictures.append(
            Picture(
                "scores",
                figures.score_comparison(dots, "balanced accuracy", title),
                "The model and the trivial predictors; bars are 95 % intervals from resampling whole events.",
            )
        )
    return Section("How good it is", text, tables, [*pictures, loss_picture(judged.run)])


def _best_trivial(metrics: WaveformMetrics) -> tuple[str, TrivialSplit] | None:
    found = [(name, predictor.splits[metrics.main]) for name, predictor in metrics.trivial.items()]
    return max(found, key=lambda item: item[1].balanced_accuracy, default=None)


def _overfit_words(parts: dict[str, SplitScores]) -> str:
    if "train" not in parts:
        return "These records had no part in training."
    gap = parts["train"].balanced_accuracy - parts["test"].balanced_accuracy
    words = (
        f"Training records score {100 * gap:.1f} points more than test records"
        if gap > 0.005
        else "Training records score no better than test records"
    )
    return f"{words}."


def _interval_words(main: SplitScores, name: str) -> str:
    bounds = main.intervals.get(name)
    return "" if bounds is None else f"; 95 % interval {100 * bounds[0]:.1f} to {100 * bounds[1]:.1f} %"


def _model_words(judged: Judged) -> str:
    kind = judged.run.config.job.model.title
    return kind if judged.run.members == 1 else f"{kind} ensemble of {judged.run.members}"
