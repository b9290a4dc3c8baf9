"""What the model card of a DART network says: its input, scores, calibration and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seis_tf.evaluation.dart.metrics import DartMetrics
from seis_tf.evaluation.dart.summary import summary
from seis_tf.evaluation.report.units import count
from seis_tf.serve.export.markdown import network, table


def what(metadata: Mapping[str, Any]) -> list[str]:
    """What goes in and what comes out."""
    window = (
        f"It takes {metadata['window_min']} minutes of detided water column after an earthquake, a sample every "
        f"{metadata['step_min']} min, of the buoys {', '.join(metadata['buoy_names'])} in this order."
    )
    answer = (
        f"It gives slip on {len(metadata['source_names'])} unit sources, the magnitude, and the wave of the first "
        f"{metadata['forecast_minutes'] - 1} minutes at {', '.join(metadata['forecast_gauges'])}."
    )
    return [f"{network(metadata)} from buoy records to slip.", window, answer]


def scores(metrics: Mapping[str, Any]) -> list[str]:
    """The main scores of the network and of the classical answers as a table."""
    title, header, rows = summary(DartMetrics.read(metrics))
    text = f"{title[0].upper()}{title[1:]}; 95 % intervals over events in brackets."
    return [f"{text} All numbers are in `metadata.json` beside this card.", table(header, rows)]


def calibration(metadata: Mapping[str, Any]) -> str:
    """What the intervals were fitted to."""
    intervals = metadata["intervals"]
    if not intervals:
        return "A single network without intervals: there were too few validation events to fit them to."
    levels = ", ".join(f"{level:.0%}" for level in metadata["interval_levels"])
    of = f"Central intervals of {levels} of {', '.join(intervals['quantities'])}"
    if not intervals["events"]:
        return (
            f"{of}: as if the members were drawn around the truth. **They were not fitted to any errors (there "
            "were too few validation events) and are as a rule far too narrow.**"
        )
    return (
        f"{of}: fitted to the errors on {intervals['events']:,} validation events (conformal), in "
        f"{count(len(intervals['edges']) + 1, 'bin')} of the predicted magnitude. They hold for events like those of "
        "the training data; those of waves for the minutes after the window, each minute for itself. Where answers "
        "were too high or too low, an interval lies to one side of the answer."
    )


def limits(metadata: Mapping[str, Any]) -> list[str]:
    """Where it must not be trusted."""
    return [
        "Only for earthquakes on the unit sources that it was trained on; `predict` flags others as far as it can.",
        f"Levels beyond {metadata['max_level_m']:.3g} m are no detided water column: `valid` is false.",
        *_needed(metadata),
        "The wave is linear and for deep water: it says nothing about harbours and coasts.",
        "Its Green's functions are taken as exact: their errors (grid, bathymetry, no dispersion) are not in it.",
    ]


def _needed(metadata: Mapping[str, Any]) -> list[str]:
    """What a record must hold; nothing for exports from before records had to hold enough."""
    if "answer" not in metadata:
        return []
    limits = metadata["answer"]
    return [
        f"No magnitude below {100 * limits['min_samples']:g} % of the window's samples, or where they deviate less "
        f"than {1000 * limits['min_signal_m']:g} mm (rms) from each buoy's mean: `valid` is false, `reason` says why.",
        f"No intervals where a buoy or more than {100 * limits['max_missing']:g} % of the window is missing; with less "
        "missing they hold somewhat less often than stated.",
    ]
