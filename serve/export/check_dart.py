"""Checks an exported DART model's answers against Keras, the Green's functions and the magnitude's formula.

In: the signatures as functions of arrays, the run, its graph and test records. Out: results added to the report.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from seis_tf.dart import enough
from seis_tf.evaluation.dart.draws import Draws, bins_of, draws_of, member_magnitudes
from seis_tf.evaluation.stats.intervals import Intervals
from seis_tf.runs import Run
from seis_tf.serve.export.check import BATCH_LIMIT, Ask, Report, TestRecords
from seis_tf.serve.export.dart_graph import Forecaster

WAVE_LIMIT = 1e-5  # of the event's largest wave
MW_LIMIT = 1e-5
SPREAD_ROUNDING = 1e-6  # of the answer: a spread is a small difference of large numbers, and widths multiply it
EDGE = 1e-3  # as near to a threshold or a bin's edge rounding decides, and either answer is right
ENDS = ("lower", "upper")


def answers(report: Report, ask: dict[str, Ask], run: Run, graph: Forecaster, records: TestRecords) -> None:
    """Slip against Keras, wave and magnitude against NumPy, gaps, bad records, batches."""
    level, mask = _with_noise_record(graph, records.columns["water_level_m"], records.columns["mask"])
    gaps = np.where(mask > 0, level, np.nan).astype(np.float32)
    received = ask["serving_default"](water_level_m=gaps)
    inputs = [tf.constant(level * mask), tf.constant(mask)]
    outputs = run.model(inputs if len(run.model.inputs) > 1 else inputs[0], training=False).numpy()
    members = (outputs if run.members > 1 else outputs[:, None]).astype(np.float64)
    valid = _check_flags(report, received, graph, level, mask, members)
    members = np.where(valid[:, None, None], members, 0)
    scale = np.maximum(members.max(axis=(1, 2)), 1e-3)[:, None]  # m
    slip = members.mean(axis=1)
    report.compare(
        "slip over the largest, against Keras", received["weights_m"] / scale, slip / scale, report.output_limit
    )
    waves = graph.greens.waves(members).astype(np.float64)
    height = np.maximum(np.abs(waves).max(axis=(1, 2, 3)), 1e-6)[:, None, None]  # m
    report.compare(
        "wave over the highest, against NumPy", received["forecast_m"] / height, waves.mean(axis=1) / height, WAVE_LIMIT
    )
    mw = member_magnitudes(members.swapaxes(0, 1), graph.greens.area_m2)
    report.compare("magnitude against its formula", received["mw"], mw.mean(axis=0), MW_LIMIT)
    if run.members > 1:
        spread = members.std(axis=1) / scale
        received_spread = received["weights_m_spread"] / scale
        report.compare("spread over the largest slip, against NumPy", received_spread, spread, WAVE_LIMIT)
    if graph.intervals is not None:
        given = valid & enough.complete(mask, graph.limits)
        report.note("intervals where they are promised", np.array_equal(received["has_intervals"], given))
        ends = [received[f"{name}_{end}"] for name in graph.intervals.quantities for end in ENDS]
        report.note("intervals that are withheld are 0", not any(values[~given].any() for values in ends))
        if given.any():
            with_intervals = {name: values[given] for name, values in received.items()}
            _check_intervals(report, with_intervals, graph, graph.intervals, members[given])
    # Levels where the mask is 0 must not change the answer.
    masked = ask["masked"](water_level_m=np.where(mask > 0, level, 123.0).astype(np.float32), mask=mask)
    report.compare("mask against NaN", masked["weights_m"] / scale, received["weights_m"] / scale, report.output_limit)
    if "masked_named" in ask:  # not in TFLite
        names = np.array([graph.info.gauge_names] * len(level), dtype=object)
        named = ask["masked_named"](water_level_m=level, mask=mask, buoy_names=names)
        same = report.output_limit
        report.compare("with names against without", named["weights_m"] / scale, received["weights_m"] / scale, same)
        other = ask["masked_named"](water_level_m=level, mask=mask, buoy_names=np.roll(names, 1, axis=1))
        wrong = names.shape[1] > 1 and (other["valid"].any() or not all(other["reason"]))
        report.note("buoys in another order get no answer", not wrong)
    chosen = slice(k := int(np.argmax(valid)), k + 1)  # one with an answer, where there is any
    one = ask["serving_default"](water_level_m=gaps[chosen])["weights_m"] / scale[chosen]
    of_batch = received["weights_m"][chosen] / scale[chosen]
    report.compare("one record alone against its batch", one, of_batch, BATCH_LIMIT)
    _check_bad_records(report, ask["serving_default"], graph, gaps[chosen], bool(valid[k]))


def _with_noise_record(graph: Forecaster, level: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The test records and, appended, one of noise that certainly has enough samples and signal for an answer."""
    size = np.clip(5 * graph.limits.min_signal_m, 0.01, graph.max_level_m / 6)
    noise = size * np.random.default_rng(0).standard_normal((1, *graph.shape)).clip(-5, 5)
    return np.concatenate([level, noise.astype(np.float32)]), np.concatenate([mask, np.ones_like(mask[:1])])


def _check_flags(
    report: Report,
    received: dict[str, np.ndarray],
    graph: Forecaster,
    level: np.ndarray,
    mask: np.ndarray,
    members: np.ndarray,
) -> np.ndarray:
    """Checks that the graph answers exactly the records that NumPy's rule answers; bool [record], which these are."""
    limits = graph.limits
    samples, signal = enough.enough_samples(mask, limits), enough.signal_m(level, mask)
    at_limit = np.abs(signal - limits.min_signal_m) < EDGE * limits.min_signal_m
    enough_signal = np.where(at_limit, received["enough_signal"], signal >= limits.min_signal_m)
    report.compare("signal against NumPy, m", received["signal_m"], signal, WAVE_LIMIT)
    right = np.array_equal(received["samples"], (mask > 0).sum(axis=1))
    right &= np.array_equal(received["enough_samples"], samples)
    right &= np.array_equal(received["enough_signal"], enough_signal)
    possible = (np.abs(level * mask) <= graph.max_level_m).all(axis=(1, 2))
    slip = (member_magnitudes(members.swapaxes(0, 1), graph.greens.area_m2) > 0).any(axis=0)
    valid = possible & samples & enough_signal & slip
    right &= np.array_equal(received["valid"], valid)
    right &= [bool(text) for text in received["reason"]] == (~valid).tolist()
    report.note("answers where samples and signal are enough", right, f"{int(valid.sum())} of {len(valid)}")
    return valid


def _check_intervals(
    report: Report, received: dict[str, np.ndarray], graph: Forecaster, intervals: Intervals, members: np.ndarray
) -> None:
    """Compares the ends of the intervals, over the largest of each event, with NumPy's, and checks their order."""
    window_min, ordered = graph.job.record.window_min, True
    draws = draws_of(members.swapaxes(0, 1), graph.greens, window_min, whole=True)
    for name, quantity in intervals.quantities.items():
        predicted = draws[name].predicted
        bins = bins_of(name, draws, np.array(intervals.edges), quantity.calm_below > 0)
        clear = _away_from_bin_edges(name, draws, intervals, window_min)
        times = np.sqrt(np.max(quantity.scale, axis=0)[1]) * np.abs([quantity.lower, quantity.upper]).max()
        limit = WAVE_LIMIT + SPREAD_ROUNDING * times
        both = quantity.bounds(predicted, bins)
        axes = tuple(range(1, both[0].ndim))
        largest = np.maximum(np.abs(both).max(axis=0).max(axis=axes, keepdims=True), 1e-3)
        for end, expected in zip(ENDS, both, strict=True):
            values = received[f"{name}_{end}"].reshape(expected.shape)
            report.compare(
                f"{name}_{end} over the largest, against NumPy",
                (values / largest)[clear], (expected / largest)[clear], limit,
            )  # fmt: skip
        lower, upper = (received[f"{name}_{end}"] for end in ENDS)
        ordered &= bool((lower <= upper).all() and (np.diff(lower) <= 0).all() and (np.diff(upper) >= 0).all())
    report.note("intervals widen with their level", ordered)


def _away_from_bin_edges(name: str, draws: dict[str, Draws], intervals: Intervals, window_min: int) -> np.ndarray:
    """Where rounding can't change the bin, bool of the quantity's shape: at an edge either bin is right."""
    size, mw = draws[name].size, draws["mw"].centre[:, 0]
    away = np.array([np.abs(mw - edge) > EDGE for edge in intervals.edges]).reshape(-1, len(mw)).all(axis=0)
    clear = np.broadcast_to(away.reshape(-1, *(1,) * (size.ndim - 1)), size.shape)
    part = intervals.quantities[name].calm_below
    if not part:
        return clear
    limit = part * size[:, window_min + 1 :].max(axis=1, keepdims=True)
    return clear & (np.abs(size - limit) > EDGE * limit)


def _check_bad_records(report: Report, ask: Ask, graph: Forecaster, good: np.ndarray, valid: bool) -> None:
    """Checks a record of NaN, one with Inf and one with impossible levels, in one batch with a good record."""
    bad = np.repeat(np.nan_to_num(good), 3, axis=0)
    bad[0], bad[1].flat[0], bad[2].flat[0] = np.nan, np.inf, 1.01 * graph.max_level_m
    alone, mixed = ask(water_level_m=good), ask(water_level_m=np.concatenate([bad, good]))
    finite = all(np.isfinite(values).all() for values in mixed.values() if values.dtype != object)
    numbers = {name: values for name, values in mixed.items() if not name.startswith(("samples", "enough"))}
    zero = all((values[:3] == 0).all() for values in numbers.values() if values.dtype != object)
    marked = mixed["valid"].tolist() == [False, False, False, valid]
    report.note("bad records", finite and zero and marked, f"valid {mixed['valid'].tolist()}")
    scale = max(float(alone["weights_m"].max()), 1e-3)
    received, expected = mixed["weights_m"][-1:] / scale, alone["weights_m"] / scale
    report.compare("a good record among bad ones", received, expected, BATCH_LIMIT)
