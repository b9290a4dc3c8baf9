"""Windows along records -> a model's answers, one dict a window, each independent of the others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seis_tf.serve.predict.exported import Answer, Exported
from seis_tf.serve.predict.windows import answer_of, ask_about, none_usable
from seis_tf.waveforms.sliding import Windows


def answers_along(exported: Exported, names: list[str], along: Iterable[Windows], dated: bool) -> list[Answer]:
    """Asks a model about windows along records.

    Args:
        exported: a model of task waveforms.
        names: of the records.
        along: their windows; see `sliding.windows_along`.
        dated: whether the records say when they begin.

    Returns:
        One dict a window, in the order of records and time: `record`, `start_utc` (of its first sample; not for arrays)
        and `start_s` (s after the record's first sample), `used_s` (its length, where it was judged), and `valid`,
        `class_name`, `probabilities`, `spread`, `reason` as for a record.

    Raises:
        ValueError: no record can be used.
    """
    classes, rate_hz = exported.metadata["class_names"], exported.metadata["sampling_rate_hz"]
    answers: list[Answer] = []
    for windows in along:
        answer = ask_about(exported, windows.samples) if len(windows.kept) else {}
        rows = {int(position): row for row, position in enumerate(windows.kept)}
        for position, (start_s, start_ns) in enumerate(zip(windows.start_s, windows.start_ns, strict=True)):
            place: Answer = {"record": names[windows.record]}
            if np.isfinite(start_s):
                place |= {"start_utc": utc(start_ns)} if dated else {}
                place["start_s"] = float(start_s)
            if position in rows:
                place["used_s"] = exported.metadata["length_samples"] / rate_hz
            answers.append(place | answer_of(classes, answer, rows.get(position), windows.reasons.get(position)))
    if not any("start_s" in answer for answer in answers):
        raise ValueError(none_usable(names, answers[0]["reason"]))
    return answers


def utc(time_ns: int) -> str:
    """Time of ns since 1970-01-01 UTC as text: to the microsecond, or further where it has more digits."""
    unit = "us" if time_ns % 1000 == 0 else "ns"
    return str(np.datetime64(int(time_ns), "ns").astype(f"datetime64[{unit}]")) + "Z"
