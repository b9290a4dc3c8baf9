"""Which group of records goes to which split: by class with exact fractions, or by a hash that never changes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from seis_tf.dataset.shards import SPLITS, Split, shuffled, split_of
from seis_tf.settings.data import SplitSettings

Counts = Mapping[str, Mapping[str, int]]

_RULES = {
    "stratified": "stratified: each class has the asked fractions within one group; "
    "groups may change sides when records are added (--split hash: never)",
    "hash": "hash: no group changes sides when records are added; fractions hold on average only "
    "(--split stratified: within one group)",
}


def rule_of(settings: SplitSettings) -> str:
    """What can be relied on, in words."""
    return f"all to {settings.all_to}" if settings.all_to is not None else _RULES[settings.method]


def split_records(
    items: Sequence[Any],
    settings: SplitSettings,
    group_of: Callable[[Any], str],
    class_of: Callable[[Any], str] = lambda item: "",
    given: Callable[[Any], Split | None] = lambda item: None,
    id_of: Callable[[Any], str] = lambda item: item.record_id,
) -> dict[str, list[Any]]:
    """Divides records by group; within a split they come in an order that is random and the same everywhere.

    Args:
        items: the records, in any order.
        settings: method, fractions, seed.
        group_of: record -> id of its event; a group goes to one split as a whole.
        class_of: record -> its class.
        given: record -> the split that its source names, or None. `settings.all_to` overrules it.
        id_of: record -> its unique id.

    Returns:
        Split -> its records; all three splits are there.
    """
    by_split: dict[str, list[Any]] = {split: [] for split in SPLITS}
    if settings.all_to is not None:
        by_split[settings.all_to] = list(items)
    else:
        named: dict[str, Split] = {group_of(item): split for item in items if (split := given(item)) is not None}
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for item in items:
            counts[group_of(item)][class_of(item)] += 1
        places = assign(counts, settings, named)
        for item in items:
            by_split[given(item) or places[group_of(item)]].append(item)
    return {split: shuffled(chosen, id_of, settings.seed) for split, chosen in by_split.items()}


def assign(counts: Counts, settings: SplitSettings, given: Mapping[str, Split] | None = None) -> dict[str, Split]:
    """The split of each group.

    Stratified, it is the iterative stratification of Sechidis et al. (2011), with groups in place of samples and
    records as weights. Classes come one after the other, the one with the fewest groups first; the groups of a class
    come in the order of a hash; each goes where the class lacks the most records. A group that is larger than every
    lack goes, among the splits where its class lacks any, to the one that lacks the most over the classes so far. The
    last groups of a class go to the splits that have none of it. But for these, and for groups of several classes, each
    split's records of a class are off by less than the largest group of the class.

    Args:
        counts: group -> class -> records.
        settings: method, fractions, seed; `all_to` is not looked at.
        given: group -> split of groups that are placed already; they count.

    Returns:
        Group -> split, for all of `counts`.
    """
    placed: dict[str, Split] = dict(given or {})
    if settings.method == "hash":
        by_hash: dict[str, Split] = {group: split_of(group, settings) for group in counts}
        return by_hash | placed
    fractions: dict[Split, float] = {split: part for split, part in settings.fractions.items() if part > 0}
    totals: Counter[str] = Counter()
    members: dict[str, list[str]] = defaultdict(list)
    for group, of_group in counts.items():
        totals.update(of_group)
        for name in of_group:
            members[name].append(group)
    lack: dict[str, dict[Split, float]] = {}
    for name, total in totals.items():
        lack[name] = {split: part * total for split, part in fractions.items()}

    def place(group: str, split: Split) -> None:
        placed[group] = split
        for name, records in counts[group].items():
            if split in fractions:
                lack[name][split] -= records

    for group in sorted(placed.keys() & counts.keys()):
        place(group, placed[group])
    order = sorted(members, key=lambda name: (len(members[name]), name))
    for number, name in enumerate(order):
        waiting = [group for group in members[name] if group not in placed]
        lacks = [lack[each] for each in order[: number + 1]]
        filled = {placed[group] for group in members[name] if group in placed}
        for i, group in enumerate(shuffled(waiting, str, settings.seed)):
            empty: list[Split] = [split for split in fractions if split not in filled]
            candidates = empty if len(waiting) - i <= len(empty) else list(fractions)
            place(group, _neediest(candidates, lacks, counts[group][name]))
            filled.add(placed[group])
    return placed


def _neediest(candidates: Sequence[Split], lacks: Sequence[Mapping[Split, float]], records: int) -> Split:
    """Where a group of so many records of the last class of `lacks` goes; of equals, the first of `candidates`."""
    of_class = lacks[-1]
    if any(of_class[split] >= records for split in candidates):
        return max(candidates, key=of_class.__getitem__)
    lacking: list[Split] = [split for split in candidates if of_class[split] > 0] or list(candidates)
    return max(lacking, key=lambda split: (sum(each[split] for each in lacks), of_class[split]))


def check_classes(counts: Counts, class_names: Sequence[str], groups: Counts, settings: SplitSettings) -> None:
    """Refuses a split that is to hold records and has none of some class.

    Args:
        counts: split -> class -> records.
        class_names: all that must be there.
        groups: class -> split -> groups, for the message.
        settings: which splits are to hold records.
    """
    for split in settings.fractions:
        missing = [name for name in class_names if not counts.get(split, {}).get(name)]
        if missing:
            table = "; ".join(
                f"{name} " + "/".join(str(groups[name].get(s, 0)) for s in SPLITS) for name in class_names
            )
            raise ValueError(
                f"split {split}: expected records of every class, received none of {', '.join(missing)} "
                f"(groups in {'/'.join(SPLITS)}: {table}); {_advice(settings, split)}"
            )


def _advice(settings: SplitSettings, split: str) -> str:
    if settings.all_to is not None:
        return "the source must have records of each class"
    without = f"--{split}-fraction 0 leaves {split} empty, " if split != "train" else ""
    other = "try --split stratified" if settings.method == "hash" else "more groups of that class are needed"
    return f"{other}, another --seed or other fractions; {without}--all-to test makes a pure test set"
