"""Answers -> flat rows with the same columns, for a table or CSV."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from seis_tf.serve.predict.exported import Answer

# Key of an answer -> column in tables and CSV, as in an evaluation's predictions.csv.
_COLUMNS = {"record": "record_id", "class_name": "predicted_class"}


# Of a DART answer: what decides whether its numbers are to be used stands beside them.
_FIRST = ("mw", "mw_80_lower", "mw_80_upper", "outside", "buoys_used", "masked", "left_out")
_PAIR = "mw_80"
# Likewise for entries that are by class, source or gauge, whose name replaces {}.
_COLUMNS_OF = {
    "probabilities": "probability_{}",
    "weights_m": "slip_{}_m",
    "weights_m_spread": "slip_spread_{}_m",
    "peak_m": "peak_{}_m",
    "peak_minute": "peak_{}_min",
}


def rows(answers: Iterable[Answer]) -> list[dict[str, Any]]:
    """Answers as flat rows with the same columns, for a table or CSV.

    Pairs and series of numbers are no cells, but for the 80 % interval of the magnitude.
    """
    flat = []
    for answer in answers:
        row: dict[str, Any] = {}
        for key, value in answer.items():
            if key == _PAIR:
                row |= dict(zip((f"{key}_lower", f"{key}_upper"), value or ("", ""), strict=True))
            elif key == "masked":
                row[key] = "; ".join(map(_masked, value))
            elif isinstance(value, dict):
                named = _COLUMNS_OF.get(key, f"{key}_{{}}")
                row |= {named.format(k): entry for k, entry in value.items() if not isinstance(entry, list | dict)}
            elif isinstance(value, list):
                if all(isinstance(entry, str) for entry in value):
                    row[key] = "; ".join(value)
            elif value is not None or not key[-1].isdigit():  # mw_80 and such are pairs, also where they are None
                row[_COLUMNS.get(key, key)] = "" if value is None else value
        flat.append(row)
    columns = list(dict.fromkeys(column for row in flat for column in row))
    columns.sort(key=lambda column: ("note", "reason").index(column) + 1 if column in ("note", "reason") else 0)
    if "mw" in columns:
        first = [column for column in columns[: columns.index("mw")] if column not in _FIRST]
        first += [column for column in _FIRST if column in columns]
        columns = [*first, *(column for column in columns if column not in first)]
    return [{column: row.get(column, "") for column in columns} for row in flat]


def _masked(entry: dict[str, Any]) -> str:
    """A line for samples that quality control masked, without the reason: that is in the notes."""
    when = entry["first"] if entry["first"] == entry["last"] else f"{entry['first']} to {entry['last']}"
    return f"{entry['buoy']} {entry['check']}, {entry['samples']} sample{'s' * (entry['samples'] != 1)}, {when}"
