"""Names of buoys, unit sources and classes: one notation, and the one place that compares ordered lists of them."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONG_NAME = re.compile(r"([a-z]{2})sz([a-z])(\d+)")
_SHORT_NAME = re.compile(r"([a-z]{2})(\d+)([a-z])")


def canonical_name(name: str) -> str:
    """Name of a unit source in NOAA's long notation: `ac57a` and `acsza57` both give `acsza57`, `ac07a` gives `acsza7`.

    Raises:
        ValueError: the name is in neither notation.
    """
    text = name.strip().lower()
    if long := _LONG_NAME.fullmatch(text):
        zone, row, number = long.groups()
    elif short := _SHORT_NAME.fullmatch(text):
        zone, number, row = short.groups()
    else:
        raise ValueError(f"unit source: expected a name like 'acsza57' or 'ac57a', received {name!r}")
    return f"{zone}sz{row}{int(number)}"


def name_parts(name: str) -> tuple[str, str, str]:
    """Zone, row and number of a unit source: `acsza57` gives ("ac", "a", "57").

    Raises:
        ValueError: as `canonical_name`.
    """
    return _LONG_NAME.fullmatch(canonical_name(name)).groups()


def check_names(what: str, expected: Sequence[str], received: Sequence[str] | None) -> None:
    """Compares two ordered lists of names (buoys, sources, classes); the only place that does.

    Args:
        what: what the names are, first in the message, e.g. "model.keras: buoys".
        expected: names in the order that is needed.
        received: names in the order that came; None or empty strings are names that were not given.

    Raises:
        ValueError: the lists differ. Both are printed, with what is wrong: not named, named twice, missing, unknown or
            another order.
    """
    wanted, given = list(expected), list(received or [])
    if wanted == given:
        return
    twice = sorted({name for name in given if given.count(name) > 1})
    missing, unknown = [n for n in wanted if n not in given], [n for n in given if n not in wanted]
    reasons = []
    if not given or not all(given):
        reasons.append("not named")
    if twice:
        reasons.append(f"named twice {twice}")
    if missing:
        reasons.append(f"missing {missing}")
    if unknown:
        reasons.append(f"unknown {unknown}")
    raise ValueError(f"{what}: expected {wanted}, received {given}: {'; '.join(reasons) or 'another order'}")
