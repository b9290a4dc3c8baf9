"""The sections of a classifier's report: errors, probabilities, what needs no network, galleries, training, method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seis_tf.evaluation.report import figures, record_figures
from seis_tf.evaluation.report.page import Picture, Section, Table
from seis_tf.evaluation.report.record_figures import Scales
from seis_tf.evaluation.report.sections import PARTS
from seis_tf.evaluation.report.units import data_words, percent
from seis_tf.evaluation.stats import scores
from seis_tf.evaluation.stats.classification import SplitScores
from seis_tf.evaluation.waveforms import trivial
from seis_tf.evaluation.waveforms.metrics import WaveformMetrics

if TYPE_CHECKING:
    from seis_tf.evaluation.waveforms.judged import Judged

GALLERY = 9


def errors_section(judged: Judged, metrics: WaveformMetrics) -> Section:
    """Confusion, recall by SNR, curves of each class."""
    main, names = metrics.main_scores, judged.info.class_names
    labels, probabilities = _of_main(judged)
    header = ["class", "records", "precision", "recall", "F1", "ROC area", "PR area"]
    rows = [
        [
            name,
            f"{row.records:,}",
            *map(_score, (row.precision, row.recall, row.f1, row.roc_auc, row.average_precision)),
        ]
        for name, row in main.classes.items()
    ]
    pictures = [
        Picture(
            "confusion",
            figures.confusion_matrix(np.array(main.confusion), names, f"Confusion, {PARTS[judged.main]}"),
            "Records by true class and answer; percentages are parts of the true class.",
        )
    ]
    if main.by_snr is not None:
        pictures.append(
            Picture(
                "recall_by_snr",
                figures.recall_by_snr(main.by_snr, names),
                "What is found of each class by the record's signal-to-noise ratio; larger marks are of more records.",
            )
        )
    pictures += [
        Picture(
            "roc",
            figures.roc_curves(labels, probabilities, names),
            "Found against falsely alarmed, over all thresholds.",
        ),
        Picture(
            "precision_recall",
            figures.precision_recall_curves(labels, probabilities, names),
            "How many of the answers are right when so much of the class is found.",
        ),
    ]
    return Section("Where it is right and wrong", [_worst_confusion(main, names)], [Table(header, rows)], pictures)


def probabilities_section(judged: Judged, metrics: WaveformMetrics) -> Section:
    """Reliability before and after temperature scaling."""
    main = metrics.main_scores
    labels, probabilities = _of_main(judged)
    unscaled = judged.unscaled[judged.rows[judged.main]]
    before, after = (scores.reliability(p.max(axis=1), p.argmax(axis=1) == labels) for p in (unscaled, probabilities))
    rows = [
        [words, *map(_score, (found.log_loss, found.brier, found.ece))]
        for words, found in (("as trained", main.unscaled), ("after scaling", main))
        if found is not None
    ]
    change = (
        "hardly changed"
        if abs(judged.temperature - 1) < 0.02
        else "made " + ("less extreme" if judged.temperature > 1 else "more extreme")
    )
    text = (
        f"A calibrated model is right in 80 % of the records for which it says 0.8. The temperature fitted on "
        f"validation events is {judged.temperature:.2f}: the network's probabilities are {change}. It is part of the "
        "export, and all other scores of this page are of scaled probabilities."
    )
    picture = Picture(
        "reliability",
        figures.reliability_diagram({"as trained": before, "after scaling": after}),
        f"Part that was right against the probability given, in {len(after.records)} bins of equal numbers of records; "
        "bars are two binomial deviations.",
    )
    table = Table(["probabilities", "log loss", "Brier score", "ECE"], rows, f"On {PARTS[judged.main]} records")
    return Section("Are its probabilities calibrated?", [text], [table, *_threshold_tables(metrics)], [picture])


def _threshold_tables(metrics: WaveformMetrics) -> list[Table]:
    """Thresholds for the wished-for recall, where there were validation records to choose them on."""
    rows = [
        [
            name,
            f"{t.threshold:.3f}",
            *("–" if value is None else percent(value) for value in (t.recall, t.precision)),
        ]
        for name, t in metrics.thresholds.items()
    ]
    if not rows:
        return []
    wished = percent(next(iter(metrics.thresholds.values())).wished_recall)
    caption = f"To find {wished} of a class: its threshold, chosen on validation; and what that gives on test records"
    return [Table(["class", "threshold", "found", "right"], rows, caption)]


def simple_section(judged: Judged, metrics: WaveformMetrics, scales: Scales) -> Section | None:
    """What the trivial predictors learned; None where there are none."""
    if not judged.predictors:
        return None
    columns, names, rows = judged.columns, judged.info.class_names, judged.rows[judged.main]
    labels = columns["label"][rows]
    pictures = []
    if "peak_amplitude" in columns and np.all(columns["peak_amplitude"][rows] > 0):
        figure = figures.peak_amplitudes(columns["peak_amplitude"][rows], labels, names, scales.amplitude_unit)
        pictures.append(Picture("peak_amplitude", figure, "Where these histograms part, no network is needed."))
    bands = next((p.bands for p in judged.predictors if p.bands is not None), None)
    if bands is not None:
        low, high = (
            trivial.band_amplitude(columns["spectrogram"][rows], b, scales.log) for b in (bands.low, bands.high)
        )
        words = (trivial.band_text(bands.low, scales.frequencies), trivial.band_text(bands.high, scales.frequencies))
        figure = figures.band_scatter(low, high, labels, names, words)
        pictures.append(
            Picture(
                "band_ratio", figure, "Mean amplitudes in the two bands whose ratio best parts the training records."
            )
        )
    text = [f"{p.name[0].upper()}{p.name[1:]}. {p.about}" for p in judged.predictors]
    return Section("What can be had without a network", text, (), pictures)


def gallery_sections(judged: Judged, scales: Scales) -> list[Section]:
    """Records answered wrongly, those of the highest probability first, and rightly."""
    labels, probabilities = _of_main(judged)
    answered, rows = probabilities.argmax(axis=1), judged.rows[judged.main]
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(answered != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:GALLERY]
    sections = []
    if len(worst):
        text = f"{len(wrong)} of {len(labels)} answers are wrong. These have the highest probabilities."
        sections.append(Section("Wrong answers", [text], (), _cards("false", worst.tolist(), rows, judged, scales)))
    else:
        sections.append(Section("Wrong answers", [f"None of {len(labels)}."]))
    chosen = []
    for k in range(probabilities.shape[1]):
        right = np.flatnonzero((labels == k) & (answered == k))
        order = right[np.argsort(-confidence[right], kind="stable")]
        chosen += [*order[:1], *order[1:][-1:]]
    if chosen:
        text = "Of each class the right answer with the highest probability, and the one with the lowest."
        sections.append(Section("Right answers", [text], (), _cards("correct", chosen, rows, judged, scales)))
    return sections


def _cards(prefix: str, chosen: Sequence[int], rows: np.ndarray, judged: Judged, scales: Scales) -> list[Picture]:
    cards = []
    for number, place in enumerate(chosen, start=1):
        row = rows[place]
        record = {
            name: judged.columns[name][row] for name in ("waveform", "spectrogram", "label") if name in judged.columns
        }
        figure = record_figures.record_card(record, scales, judged.info.class_names, judged.probabilities[row])
        caption = f"{judged.columns['record_id'][row]}, event {judged.columns['group'][row]}"
        if "waveform" in record:
            caption += f", SNR {judged.columns['snr_db'][row]:.0f} dB"
        cards.append(Picture(f"{prefix}_{number:02d}", figure, caption, "card"))
    return cards


def method_section(judged: Judged, metrics: WaveformMetrics) -> Section:
    """Data, definitions, all settings."""
    info, job = judged.info, judged.run.config.job
    is_own_data = judged.main != "all"
    text = [
        data_words(judged.run, info, judged.dataset, is_own_data, "event")
        + (" No setting and no statistic comes from test records." if is_own_data else ""),
        "Intervals hold the middle 95 % of 1,000 bootstrap samples that draw whole events with replacement, so that "
        "many records of one event do not count as many. Differences are taken within each sample.",
        "ECE is the mean distance between confidence and accuracy of the answer in 15 bins with equal numbers of "
        "records. The Brier score is the squared distance summed over classes (0 to 2), log loss is in nats. ROC and "
        "PR areas are of each class against the rest.",
        "Trivial predictors are fitted on the run's training records, with classes weighted equally.",
    ]
    settings = {"model": job.model, "training": job.training}
    rows = [
        [f"{part}: {key}", _as_words(value)]
        for part, values in settings.items()
        for key, value in values.model_dump(mode="json").items()
        if not isinstance(value, dict)
    ]
    rows.append(["data: standardise", str(info.job.get("standardise"))])
    rows += [[f"data: spectrogram {key}", _as_words(v)] for key, v in info.job.get("spectrogram", {}).items()]
    rows += [[f"version: {name}", version] for name, version in judged.run.config.versions.items()]
    return Section("Method", text, [Table(["setting", "value"], rows, "All settings")])


def _of_main(judged: Judged) -> tuple[np.ndarray, np.ndarray]:
    rows = judged.rows[judged.main]
    return judged.columns["label"][rows], judged.probabilities[rows]


def _worst_confusion(main: SplitScores, names: Sequence[str]) -> str:
    confusion = np.array(main.confusion)
    off = confusion - np.diag(np.diag(confusion))
    if not off.any():
        return "There is no wrong answer."
    i, j = map(int, np.unravel_index(off.argmax(), off.shape))
    return (
        f"The commonest mistake: {names[i]} taken for {names[j]}, "
        f"{off[i, j]} of {confusion[i].sum()} records of {names[i]}."
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _as_words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
