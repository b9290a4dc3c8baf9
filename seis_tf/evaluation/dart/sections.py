"""The sections of a DART report: each gauge, peaks and alarms, single events, silent buoys and noise, the method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seis_tf.dart import enough
from seis_tf.dart.inversion import peak_amplitude
from seis_tf.evaluation.dart import figures as dart_figures
from seis_tf.evaluation.dart import maps as dart_maps
from seis_tf.evaluation.dart.figures import SHORT
from seis_tf.evaluation.dart.methods import NETWORK
from seis_tf.evaluation.dart.metrics import DartMetrics, MethodScores
from seis_tf.evaluation.dart.scores import ARRIVAL_FLOOR_M, WaveErrors
from seis_tf.evaluation.dart.uncertainty_fit import wave_band
from seis_tf.evaluation.report.page import Picture, Section, Table
from seis_tf.evaluation.report.units import data_words, listed, percent
from seis_tf.evaluation.stats.intervals import Intervals

if TYPE_CHECKING:
    from seis_tf.evaluation.dart.judged import JudgedDart

RIVAL = "smoothed_nnls"  # the real opponent
_NOTHING = "–"


def gauges_section(metrics: DartMetrics) -> Section:
    """Explained variance after the window at each gauge."""
    main = metrics.main_scores.methods
    header = ["", *(f"{name}{'' if name in metrics.buoys else ', ahead'}" for name in metrics.gauges)]
    rows = [
        [SHORT[name], *(number_text(found.explained[gauge]) for gauge in metrics.gauges)]
        for name, found in main.items()
    ]
    text = ["The buoys that were recorded have a wave after the window too; gauges ahead were not seen at all."]
    return Section("At each gauge", text, [Table(header, rows, "Explained variance after the window", strong=[0])])


def peaks_section(judged: JudgedDart, metrics: DartMetrics) -> Section:
    """Peaks, alarms, magnitude and arrival times of all answers."""
    main, threshold = metrics.main_scores.methods, metrics.threshold_m
    header = ["", "bias (cm)", "scatter (cm)", "true on predicted", "after gains", "predicted on true", "R²"]
    peaks = []
    for name, found in main.items():
        one, corrected = found.peaks, found.peaks_corrected
        peaks.append(
            [SHORT[name], number_text(100 * one.bias_m, 1, "+"), number_text(100 * one.std_m, 1),
             number_text(one.true_on_predicted, 2),
             number_text(None if corrected is None else corrected.true_on_predicted, 2),
             number_text(one.predicted_on_true, 2), number_text(one.r2, 2)]
        )  # fmt: skip
    alarm_header = ["", "right", "missed", "false", "no wave", "missed, of waves", "false, of alarms"]
    alarms = [
        [SHORT[name], *(f"{number:,}" for number in (a.right, a.missed, a.false, a.no_wave)), _share(a.missed_rate),
         _share(a.false_share)]
        for name, a in ((name, found.alarms) for name, found in main.items())
    ]  # fmt: skip
    other_header = [
        "",
        "Mw: mean error",
        "std",
        "mean absolute",
        "no slip",
        "arrival: mean error (min)",
        "std",
        "no wave",
    ]
    others = [
        [SHORT[name], number_text(mw.mean_mw, 3, "+"), number_text(mw.std_mw), number_text(mw.mae_mw),
         f"{mw.without_slip:,}", number_text(t.mean_min, 1, "+"), number_text(t.std_min, 1), f"{t.missed:,}"]
        for name, mw, t in ((name, found.mw, found.arrival) for name, found in main.items())
    ]  # fmt: skip
    arrivals = main[NETWORK].arrival.count
    text = [
        f"Peaks are the highest crests after the window at {listed(metrics.far)}. A slope of true on predicted "
        "peaks above 1 means that large waves are under-predicted, whatever R² is. After gains: the same slope when an "
        "answer's peaks at each gauge are multiplied with a number that was fitted to its validation events.",
        f"Arrival is when a quarter of the largest height is first reached, of the {arrivals:,} waves of at least "
        f"{100 * ARRIVAL_FLOOR_M:g} cm that had not come by the window's end.",
    ]
    tables = [
        Table(header, peaks, "Peaks: predicted - true, and slopes", strong=[0]),
        Table(alarm_header, alarms, f"Alarms for peaks of {threshold:g} m or more, gauges counted apart", strong=[0]),
        Table(other_header, others, "Magnitude and arrival: predicted - true, mean and deviation", strong=[0]),
    ]
    return Section("Peaks, alarms, magnitude, arrival", text, tables, _scatters(judged, main, threshold))


def _scatters(judged: JudgedDart, main: dict[str, MethodScores], threshold: float) -> list[Picture]:
    rows, true = judged.rows[judged.main], judged.windows.true
    shown = [name for name in (NETWORK, "hybrid", RIVAL, "nnls") if name in main][:3]
    far = true.far_columns
    heights = {
        name: peak_amplitude(true.after(judged.forecast(judged.answers.weights_m[name][rows])))[:, far].ravel()
        for name in shown
    }
    real = peak_amplitude(true.after()[rows])[:, far].ravel()
    slopes = {name: main[name].peaks.true_on_predicted for name in shown}
    peaks = dart_figures.scatter(real, heights, "m", "Peaks of the wave to come", slopes=slopes, threshold=threshold)
    mw = judged.columns["mw"][rows]
    # An answer without slip has no magnitude; it is counted in the table.
    slips = np.all([judged.answers.mw[name][rows] > 0 for name in shown], axis=0)
    pictures = [
        Picture(
            "peaks", peaks, "A point for each event and gauge ahead; thin lines: the threshold of an alarm.", "wide"
        )
    ]
    if slips.any():
        answers = {name: judged.answers.mw[name][rows][slips] for name in shown}
        figure = dart_figures.scatter(mw[slips], answers, "Mw", "Moment magnitude")
        pictures.append(
            Picture("magnitudes", figure, "A point for each event to which all of these give slip.", "wide")
        )
    return pictures


def examples_section(judged: JudgedDart, metrics: DartMetrics, intervals: Intervals | None) -> Section:
    """The greatest wave, the median and the worst event, each with its waves and its slip."""
    rival = RIVAL if RIVAL in judged.answers.weights_m else "nnls"
    pictures = []
    for number, (row, words) in enumerate(_examples(judged, metrics.threshold_m), start=1):
        slips = {name: judged.answers.weights_m[name][row] for name in (NETWORK, rival)}
        waves = {name: judged.forecast(slip[None])[0] for name, slip in slips.items()}
        true, mw = judged.windows.true, float(judged.columns["mw"][row])
        event = f"{judged.columns['record_id'][row]}, Mw {mw:.2f}"
        members, window_min = judged.answers.members[:, row], judged.windows.true.window_min
        recorded = (judged.windows.level_m[row], judged.windows.mask[row], judged.answers.mw[NETWORK][row])
        given = intervals is not None and enough.has_intervals(*recorded, judged.run.config.job.answer)
        band = wave_band(intervals, members, judged.greens, window_min) if given and intervals is not None else None
        figure = dart_figures.event_waves(
            judged.windows.level_m[row], judged.windows.mask[row], judged.record.buoys, true.gauge_names, waves,
            true.window_min, event, step_min=judged.record.step_min, truth_m=true.waves_m[row], band_m=band,
            last_min=min(240, true.waves_m.shape[1] - 1),
        )  # fmt: skip
        pictures.append(Picture(f"event_{number}_waves", figure, f"{words}. Shaded: the window.", "wide"))
        titles = {f"truth, Mw {mw:.2f}": judged.windows.weights_m[row]} | {
            f"{SHORT[name]}, {_magnitude(judged.answers.mw[name][row])}": slip for name, slip in slips.items()
        }
        figure = dart_maps.slip_maps(titles, judged.greens, dart_maps.packaged_bathymetry(), event)
        caption = f"{words}: slip on the unit sources; triangles are buoys."
        pictures.append(Picture(f"event_{number}_slip", figure, caption, "wide"))
    text = ["The greatest wave, and of the events with a wave to warn of the median one and the worst one."]
    return Section("Events", text, (), pictures)


def _examples(judged: JudgedDart, threshold_m: float) -> list[tuple[int, str]]:
    """Rows of the events that are shown, each once, and why."""
    rows = judged.rows[judged.main]
    true = judged.windows.rows(rows).true
    errors = WaveErrors.of(true, judged.forecast(judged.answers.weights_m[NETWORK][rows]))
    error, energy = (values[:, true.far_columns].sum(axis=1) for values in (errors.error, errors.energy))
    explained = 1 - error / np.maximum(energy, np.finfo(float).tiny)
    peak = peak_amplitude(true.after())[:, true.far_columns].max(axis=1)
    worst_first = np.argsort(explained, kind="stable")
    if np.any(peak >= threshold_m):
        worst_first = worst_first[peak[worst_first] >= threshold_m]
    picks = {int(peak.argmax()): "the greatest wave"}
    for place, why in ((worst_first[len(worst_first) // 2], "the median"), (worst_first[0], "the worst")):
        picks.setdefault(int(place), why)
    return [
        (int(rows[i]), f"{capital_text(why)}: the network explains {number_text(explained[i], 2)} of its wave ahead")
        for i, why in picks.items()
    ]


def conditions_section(metrics: DartMetrics) -> Section:
    """The same events with one buoy silent, and with other noise."""
    main = metrics.main_scores
    rows = {"as recorded": main} | metrics.conditions
    methods = [name for name in (NETWORK, "hybrid", RIVAL, "nnls") if name in main.methods]
    header = ["explained variance", "events", *(SHORT[name] for name in methods)]
    explained = {
        words: {name: found.methods[name].explained_ahead for name in methods} for words, found in rows.items()
    }
    body = [
        [words, f"{rows[words].events:,}", *(number_text(value) for value in values.values())]
        for words, values in explained.items()
    ]
    text = [
        "The same events, with one buoy silent in each line (strengths of smoothing and pull are chosen again for that "
        "on validation events, as silent buoys are known in operation), and with the disturbances of the records taken "
        "away and doubled (strengths stay, as the noise is not known beforehand)."
    ]
    figure = dart_figures.by_condition(explained, "Wave to come explained")
    caption = "Explained variance at the gauges ahead; marks at the left edge lie beyond it."
    return Section(
        "With a silent buoy, and with other noise",
        text,
        [Table(header, body)],
        [Picture("conditions", figure, caption, "wide")],
    )


def method_section(judged: JudgedDart, metrics: DartMetrics) -> Section:
    """Data, methods and all settings."""
    info, job = judged.info, judged.run.config.job
    smoothing, pull = metrics.chosen.smoothing, metrics.chosen.pull
    text = [
        f"{data_words(judged.run, info, judged.dataset, judged.is_own_data, 'earthquake')} Truth: {metrics.truth}, "
        "without noise.",
        "All answers see the same windows with the same masks. Plain NNLS is non-negative least squares on the Green's "
        "functions of the samples that exist; smoothed NNLS adds differences of slip between neighbours; the hybrid "
        "adds the distance from the network's slip, measured by the network's own validation errors.",
        "Intervals hold the middle 95 % of bootstrap samples that draw whole events with replacement; differences are "
        "taken within each sample.",
    ]
    if smoothing and pull:
        text.append(
            f"Chosen on validation events by the wave to come at the gauges ahead: smoothing "
            f"{smoothing.strength:.2g}, pull {pull.strength:.2g} (m)."
        )
    settings = {"model": job.model, "training": job.training, "record": judged.record}
    rows = [row for part, values in settings.items() for row in _setting_rows(part, values.model_dump(mode="json"))]
    rows += [[f"version: {name}", version] for name, version in judged.run.config.versions.items()]
    return Section("Method", text, [Table(["setting", "value"], rows, "All settings")])


def number_text(value: float | None, digits: int = 3, sign: str = "") -> str:
    """A number in a table; a dash where there is none."""
    if value is None:
        return _NOTHING
    return f"{value:{sign}.{digits}f}" if abs(value) < 1000 else f"{value:{sign},.0f}"


def time_text(seconds: float) -> str:
    """A short time: 0.00068 gives "0.68 ms"."""
    return f"{1000 * seconds:.2g} ms" if seconds < 1 else f"{seconds:.2g} s"


def capital_text(words: str) -> str:
    """The same with a capital first letter."""
    return words[0].upper() + words[1:]


def _share(value: float | None) -> str:
    return _NOTHING if value is None else percent(value)


def _magnitude(mw: float) -> str:
    return f"Mw {mw:.2f}" if mw > 0 else "no slip"


def _setting_rows(name: str, value: Any) -> list[list[str]]:
    if isinstance(value, dict):
        return [row for key, part in value.items() for row in _setting_rows(f"{name}: {key}", part)]
    return [[name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)]]
