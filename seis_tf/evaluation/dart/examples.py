"""Example windows of buoy records for the page of a data set: sections with figures."""

from __future__ import annotations

from collections.abc import Sequence

from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.report import record_figures
from seis_tf.evaluation.report.page import Picture, Section
from seis_tf.evaluation.report.record_figures import Record
from seis_tf.evaluation.report.units import count, listed


def sections(info: DatasetInfo, records: Sequence[Record], count_shown: int) -> list[Section]:
    """A few windows with the wave to come."""
    step_min = info.job["record"]["step_min"]
    pictures = []
    for i, record in enumerate(records[:count_shown], start=1):
        truth = None
        if "truth_m" in record and set(info.gauge_names) <= set(info.forecast_gauges):
            truth = record["truth_m"][:, [info.forecast_gauges.index(name) for name in info.gauge_names]]
        figure = record_figures.dart_window(
            record["water_level_m"], record["mask"], info.gauge_names, step_min, f"Mw {float(record['mw']):.1f}", truth
        )
        pictures.append(Picture(f"window_{i:02d}", figure, f"{record['record_id']}; dotted: the end of the window."))
    text = "What the buoys have sent by the end of the window, and the wave as it goes on."
    return [Section("Windows", [text], (), pictures)]


def contents(info: DatasetInfo) -> str:
    """One sentence on what the data set holds."""
    total = sum(split.records for split in info.splits.values())
    sources = count(len(info.source_names), "unit source")
    return f"{count(total, 'earthquake')} at buoys {listed(info.gauge_names)}, with the slip on {sources}."
