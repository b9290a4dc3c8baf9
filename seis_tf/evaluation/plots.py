"""What a data set looks like: example records as figures and one page, without a model.

Only training records are shown: who looks at test records before choosing settings has used them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from seis_tf.dataset import shards
from seis_tf.dataset.shards import DatasetInfo
from seis_tf.evaluation.dart import examples as dart
from seis_tf.evaluation.report.page import (
    PAGE,
    Report,
    Section,
    Table,
    notices_of,
    write_report,
)
from seis_tf.evaluation.report.units import count
from seis_tf.evaluation.waveforms import examples as waveforms

# What each task shows: `sections` with example records, and `contents` in one sentence.
EXAMPLES = {"waveforms": waveforms, "dart": dart}
SEARCHED = 2000  # records that examples are chosen from; their order on disk is random


def plot_dataset(dataset: Path | str, out: Path | str, *, per_class: int = 3) -> list[Path]:
    """Draws example records of the training split.

    Waveforms: for each class a few records as waveform over spectrogram, linear beside log; the weakest signal among
    the records looked through; spectra of signal against noise; peak amplitudes by class. Buoys: a few windows with the
    wave to come.

    Args:
        dataset: the data set's folder.
        out: folder for the page and `figures/`; made when it is not there.
        per_class: example records of each class (windows, for task dart).

    Returns:
        The page, then the figures.

    Raises:
        ValueError: no such data set, a damaged shard, or `per_class` below 1.
    """
    if per_class < 1:
        raise ValueError(f"per_class: expected at least 1, received {per_class}")
    dataset, out = Path(dataset), Path(out)
    info = shards.load_dataset(dataset)
    records = list(itertools.islice(shards.iterate(dataset, info, "train"), SEARCHED))
    page = Report(
        title=f"Records of {dataset.resolve().name}",
        asked="What do the records look like that a model is to learn from?",
        answer=EXAMPLES[info.task].contents(info),
        sections=[*EXAMPLES[info.task].sections(info, records, per_class), _counts_section(info)],
        notices=notices_of(info.simulated, info.grouped),
    )
    out.mkdir(parents=True, exist_ok=True)
    write_report(out, page)
    names = [picture.name for section in page.sections for picture in section.pictures]
    return [out / PAGE, *(out / "figures" / f"{name}.png" for name in names)]


def _counts_section(info: DatasetInfo) -> Section:
    header = ["split", "records", "groups", *info.class_names]
    rows = [
        [split, f"{s.records:,}", f"{s.groups:,}", *(f"{s.class_counts.get(name, 0):,}" for name in info.class_names)]
        for split, s in info.splits.items()
    ]
    text = [f"{count(len(info.rejected), 'record')} rejected." if info.rejected else "No record was rejected."]
    if info.duplicates:
        text.append(f"{count(len(info.duplicates), 'set')} of records with the same samples under several names.")
    return Section("What is in it", text, [Table(header, rows)])
