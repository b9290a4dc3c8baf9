"""What is not wrong with a source, but should be known of how its records are taken."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

from seis_tf.waveforms.source_record import SourceRecord

# A channel's code, and its component: EHZ, BH1. Between two letters or digits it is part of another word.
_CHANNEL = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}([ZNE123])(?![A-Za-z0-9])")


def notes_on(records: Sequence[SourceRecord]) -> list[str]:
    """What a user should know of these records, a line each: traces without an event, components as records."""
    return [*_without_event(records), *_components(records)]


def _without_event(records: Sequence[SourceRecord]) -> list[str]:
    count = sum(bool(record.location) and record.group == record.record_id for record in records)
    if not count:
        return []
    return [
        f"{count:,} of {len(records):,} traces name no event: each is taken as an event of its own, and those that "
        "belong together may lie on both sides of the split"
    ]


def _components(records: Sequence[SourceRecord]) -> list[str]:
    together: dict[str, list[SourceRecord]] = defaultdict(list)
    for record in records:
        name = record.record_id
        if not record.location and (codes := list(_CHANNEL.finditer(name))):
            together[f"{name[: codes[-1].start(1)]}?{name[codes[-1].end(1) :]}"].append(record)
    several = {name: traces for name, traces in together.items() if len(traces) > 1}
    if not several:
        return []
    apart = sum(len({record.group for record in traces}) > 1 for traces in several.values())
    where = f"but {apart:,} of these have several event ids" if apart else "on one side of the split by their event id"
    return [
        f"{sum(map(len, several.values())):,} of {len(records):,} records are components of {len(several):,} (as "
        f"{next(iter(several))}): each component is taken as a record of its own, {where}"
    ]
