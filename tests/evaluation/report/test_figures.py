"""Every figure exists, has a title, and says on its axes what they are and in which unit."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba

from seis_tf.evaluation.report import figures, record_figures
from seis_tf.evaluation.report.page import as_png
from seis_tf.evaluation.report.record_figures import Scales
from seis_tf.evaluation.stats import classification, scores

NAMES = ("AE", "UP", "noise")
SCALES = Scales(10e6, True, np.linspace(0, 5e6, 65), (np.arange(101) * 10 + 10) / 10e6, "counts")
FRAMES_ONLY = Scales(None, True, np.arange(65), np.arange(101), "counts")


def record(label: int = 0, waveform: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(label)
    found = {"spectrogram": rng.normal(size=(65, 101)).astype("f4"), "label": np.int64(label)}
    return found | ({"waveform": rng.normal(size=1024).astype("f4")} if waveform else {})


def answers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    logits = rng.normal(size=(200, 3)) + 2 * np.eye(3)[labels]
    return labels, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def history(epochs: int = 5) -> list[dict[str, float]]:
    return [{"epoch": float(k + 1), "loss": 2.0 / (k + 1), "val_loss": 2.5 / (k + 1)} for k in range(epochs)]


def every_figure() -> dict[str, matplotlib.figure.Figure]:
    labels, p = answers()
    bins = scores.reliability(p.max(axis=1), p.argmax(axis=1) == labels)
    snr = classification.by_snr(labels, p, np.linspace(-5, 40, 200), NAMES)
    peaks = 10 ** np.random.default_rng(1).normal(size=200)
    level = np.random.default_rng(2).normal(size=(45, 3))
    mask = np.ones((45, 3)) * [1, 1, 0]
    return {
        "loss": figures.loss_curves([history(), history()], [5, 4], "best"),
        "confusion": figures.confusion_matrix(scores.confusion_matrix(labels, p.argmax(1), 3), NAMES, "Confusion"),
        "roc": figures.roc_curves(labels, p, NAMES),
        "precision_recall": figures.precision_recall_curves(labels, p, NAMES),
        "reliability": figures.reliability_diagram({"as trained": bins, "after scaling": bins}),
        "snr": figures.recall_by_snr(snr, NAMES),
        "scores": figures.score_comparison([("CNN", 0.9, (0.8, 0.95)), ("peak", 0.6, None)], "accuracy", "Scores"),
        "peaks": figures.peak_amplitudes(peaks, labels, NAMES, "counts"),
        "bands": figures.band_scatter(peaks, peaks**2, labels, NAMES, ("0 to 1 MHz", "1 to 2 MHz")),
        "card": record_figures.record_card(record(), SCALES, NAMES, np.array([0.2, 0.7, 0.1])),
        "card without waveform": record_figures.record_card(record(1, False), FRAMES_ONLY, NAMES, None),
        "linear": record_figures.linear_beside_log(record(2), SCALES, "noise"),
        "linear without waveform": record_figures.linear_beside_log(record(2, False), FRAMES_ONLY, "noise"),
        "spectrum": record_figures.signal_against_noise(record()["waveform"], 10e6, "counts", "AE"),
        "dart": record_figures.dart_window(level, mask, ("46404", "46407", "46419"), 1, "Mw 8.5", level),
    }


FIGURES = every_figure()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_and_its_axes_are_named(name):
    figure = FIGURES[name]
    content = as_png(figure)
    assert content.startswith(b"\x89PNG") and len(content) > 5000
    shown = [axes for axes in figure.axes if axes.axison]
    assert figure.get_suptitle() or shown[0].get_title(loc="left")
    # Panels below each other share the time axis, so the lowest names it; every panel names its own values.
    assert shown[-1].get_xlabel() or any(axes.get_xlabel() for axes in shown)
    for axes in shown:
        bars = not len(axes.get_xticks())
        assert axes.get_ylabel() or bars or name == "scores", f"{name}: an axis without a label"


def texts(figure) -> str:
    found = [t.get_text() for axes in figure.axes for t in axes.texts]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")]
        found += [t.get_text() for t in axes.get_xticklabels() + axes.get_yticklabels()]
        found += [t.get_text() for t in axes.get_legend().get_texts()] if axes.get_legend() else []
    return "\n".join([figure.get_suptitle(), *found])


def test_units_are_those_that_are_easily_read():
    assert "frequency (MHz)" in texts(FIGURES["card"]) and "time (µs)" in texts(FIGURES["card"])
    assert "frequency row" in texts(FIGURES["card without waveform"])
    assert "frequency (MHz)" in texts(FIGURES["spectrum"]) and "amplitude (counts s)" in texts(FIGURES["spectrum"])
    assert "counts" in texts(FIGURES["peaks"])


def test_the_confusion_figure_shows_counts_and_parts_of_the_true_class():
    figure = figures.confusion_matrix(np.array([[3, 1], [0, 5]]), ("AE", "noise"), "t")
    found = [t.get_text() for t in figure.axes[0].texts]
    assert found == ["3\n75 %", "1\n25 %", "0\n0 %", "5\n100 %"]
    assert figure.axes[0].get_ylabel() == "true class"


def test_curves_carry_the_areas_of_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    labels, p = answers()
    for k, name in enumerate(NAMES):
        assert f"{name} (area {roc_auc_score(labels == k, p[:, k]):.3f})" in texts(FIGURES["roc"])
        area = average_precision_score(labels == k, p[:, k])
        assert f"{name} (area {area:.3f})" in texts(FIGURES["precision_recall"])


def test_a_wrong_answer_says_what_it_was_taken_for():
    assert FIGURES["card"].get_suptitle() == "AE, taken for UP"
    right = record_figures.record_card(record(), SCALES, NAMES, np.array([0.7, 0.2, 0.1]))
    assert right.get_suptitle() == "AE"
    assert "AE (true)" in texts(right) and "0.70" in texts(right)


def test_a_class_without_records_has_no_curve():
    labels, p = answers()
    found = texts(figures.roc_curves(np.where(labels == 1, 0, labels), p, NAMES))
    assert "UP" not in found and "AE" in found


def test_a_silent_buoy_is_said_to_be_silent():
    assert "46419 (silent)" in texts(FIGURES["dart"])
    assert "46404\nlevel (m)" in texts(FIGURES["dart"])


def test_loudest_and_quietest_quarter():
    waveform = np.full(400, 0.1) * np.resize([1, -1], 400)
    waveform[200:300] *= 50
    waveform[60:160] *= 0.1
    loud, quiet = record_figures.loudest_and_quietest(waveform)
    assert (loud, quiet) == (slice(200, 300), slice(60, 160))


def test_linear_power_is_shown_as_log_with_a_floor():
    linear = Scales(10e6, False, SCALES.frequencies, SCALES.times, "counts")
    power = np.array([[1.0, 1e-3], [0.0, 1e-9]])
    assert record_figures.as_log(power, linear) == pytest.approx(np.array([[0, -3], [-6, -6]]))
    assert record_figures.as_log(power, SCALES) is power


def test_making_figures_leaves_the_users_settings_alone():
    before = dict(matplotlib.rcParams)
    every_figure()
    assert dict(matplotlib.rcParams) == before


def test_classes_have_different_colours_and_marks():
    colours = {to_rgba(figures.colour(k)) for k in range(7)}
    assert len(colours) == 7
