"""Damaged buoy files through `predict`: the event is answered, what is bad is masked and said, nothing else is.

`pytest tests/serve/predict/test_damaged_records.py -s -k table` prints the table of docs/dart-quality.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from seis_tf.dart.buoy_files import parse_origin, read_records
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.dart.windows import event_from_records
from seis_tf.serve.export.export import export
from seis_tf.serve.predict.exported import Exported, load_model
from seis_tf.serve.predict.predict import predict
from seis_tf.serve.predict.rows import rows
from seis_tf.settings.data import DartJob, DartRecordSettings
from seis_tf.settings.networks import Conv1dSettings
from seis_tf.settings.simulation import FakequakeSettings, SlipSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

Change = Callable[[Path, datetime], None]
BUOYS = ("46404", "46407", "46419")


@pytest.fixture(scope="module")
def quakes(tmp_path_factory) -> Path:
    """Mw 8.3 to 8.4 with shaking, as arrays to learn from and one event as raw files."""
    settings = FakequakeSettings(record_min=60, seismic_wave_m=0.1, slip=SlipSettings(mw_min=8.3, mw_max=8.4))
    made = simulate(settings, load_greens(), 30, seed=8)
    return write_fakequakes(tmp_path_factory.mktemp("damaged") / "quakes", made, load_greens(), raw=1)


@pytest.fixture(scope="module")
def dart(quakes, untrained_run) -> Exported:
    place = quakes.parent
    prepare_dart(quakes, place / "data", DartJob())
    job = TrainJob(model=Conv1dSettings(use_mask=True), training=TrainingSettings(members=2))
    return load_model(export(untrained_run(place / "run", place / "data", job), place / "models", "dart"))


@pytest.fixture
def folder(quakes, tmp_path) -> Path:
    (raw,) = (path for path in (quakes / "raw").iterdir() if path.is_dir())
    return Path(shutil.copytree(raw, tmp_path / "event"))


def change_lines(path: Path, change: Callable[[datetime, str, float], tuple[datetime, str, float] | None]) -> None:
    """Rewrites time, type and height of each line; None takes a line out."""
    text = []
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            text.append(line)
            continue
        *date, kind, height = line.split()
        moment = change(datetime(*map(int, date), tzinfo=UTC), kind, float(height))
        if moment is not None:
            text.append(f"{moment[0]:%Y %m %d %H %M %S} {moment[1]} {moment[2]:8.3f}")
    path.write_text("\n".join(text) + "\n")


def levels(change: Callable[[float, float], float], buoy: str = "46404") -> Change:
    """A change of the height at so many minutes after the origin."""

    def damage(folder: Path, origin: datetime) -> None:
        def one(time: datetime, kind: str, height: float):
            return time, kind, height if height == 9999 else change((time - origin).total_seconds() / 60, height)

        change_lines(folder / f"{buoy}.txt", one)

    return damage


def stuck(folder: Path, origin: datetime) -> None:
    held = []

    def hold(minute: float, height: float) -> float:
        if minute >= 15:
            held.append(height)
        return height

    levels(hold)(folder, origin)
    levels(lambda minute, height: held[-1] if minute >= 15 else height)(folder, origin)


def clock(since_min: float) -> Change:
    def damage(folder: Path, origin: datetime) -> None:
        late = origin + timedelta(minutes=since_min)
        change_lines(
            folder / "46404.txt",
            lambda time, kind, height: (time + timedelta(minutes=2) if time >= late else time, kind, height),
        )

    return damage


def swapped(folder: Path, origin: datetime) -> None:
    (folder / "46404.txt").rename(folder / "x")
    (folder / "46407.txt").rename(folder / "46404.txt")
    (folder / "x").rename(folder / "46407.txt")


def text(change: Callable[[str], str | bytes]) -> Change:
    def damage(folder: Path, origin: datetime) -> None:
        path = folder / "46404.txt"
        changed = change(path.read_text())
        path.write_bytes(changed.encode() if isinstance(changed, str) else changed)

    return damage


def word(missing: str) -> Change:
    """Every tenth height is this word."""

    def change(content: str) -> str:
        lines = content.splitlines()
        return "\n".join(
            line if k % 10 or line.startswith("#") else f"{line.rsplit(maxsplit=1)[0]} {missing}"
            for k, line in enumerate(lines)
        )

    return text(lambda content: change(content) + "\n")


def one_bad_line(content: str) -> str:
    lines = content.splitlines()
    return "\n".join([*lines[:200], "2031 01 xx 00 15 00 1 2737.1", *lines[200:]]) + "\n"


def duplicate(content: str) -> str:
    lines = content.splitlines()
    *start, height = lines[210].rsplit(maxsplit=1)
    return "\n".join([*lines, f"{start[0]} {float(height) + 0.2:.3f}"]) + "\n"


@dataclass(frozen=True)
class Damage:
    """What is done to buoy 46404's file, and what is to come of it.

    Attributes:
        title: in the table.
        change: of the files.
        checks: names of what is masked.
        words: in the notes or in `left_out`; "" for nothing to say.
        used: buoys that the answer rests on.
        level_m: how far what is used may be from the undamaged record, metres (a fault that is found costs the samples
            around it their neighbours, and the tide a sample).
    """

    title: str
    change: Change
    checks: tuple[str, ...]
    words: str
    used: tuple[str, ...] = BUOYS
    level_m: float = 0.02


DAMAGES = (
    Damage(
        "one 8 m spike at minute 20", levels(lambda m, h: h + 8 * (19.6 < m <= 20.6)), ("spike",), "spike: 1 sample"
    ),
    Damage(
        "one 0.3 m spike 5 h before", levels(lambda m, h: h + 0.3 * (-314 < m <= -299)), ("spike",), "spike: 1 sample"
    ),
    Damage("sensor stuck from minute 15 on", stuck, ("flat",), "one and the same level"),
    Damage("0.3 m step at minute 8", levels(lambda m, h: h + 0.3 * (m >= 8)), ("step",), "the level changed by +0."),
    # A wave of 0.4 m leaves no quiet on both sides: it stays, and is in the docs as what is not found.
    Damage("0.3 m step at minute 25, in the wave", levels(lambda m, h: h + 0.3 * (m >= 25)), (), "", level_m=0.5),
    Damage("0.3 m step 9 h before", levels(lambda m, h: h + 0.3 * (m >= -540)), ("step",), "the level changed by +0.3"),
    Damage("clock 2 min off, always", clock(-1e6), (), "come at minute 2 of the quarter hour", level_m=9.0),
    Damage("clock jumps by 2 min, 5 h before", clock(-300), ("clock",), "the clock jumped", BUOYS[1:]),
    Damage("files of 46404 and 46407 swapped", swapped, ("depth", "depth"), "are two files swapped?", BUOYS[2:]),
    Damage("last line cut", text(lambda content: content.rstrip()[:-3]), (), "is cut off and was left out"),
    Damage("every tenth height nan", word("nan"), (), "", level_m=0.1),
    Damage("every tenth height MM", word("MM"), (), "", level_m=0.1),
    Damage("every tenth height 9999", word("9999"), (), "", level_m=0.1),
    Damage("byte order mark", text(lambda content: "\ufeff" + content), (), ""),
    Damage("a line that can't be read", text(one_bad_line), (), "can't be read and was left out"),
    Damage("0.2 m apart at one moment", text(duplicate), ("duplicate",), "values of this moment differ by 0.200 m"),
    Damage("Windows line ends", text(lambda content: content.replace("\n", "\r\n")), (), ""),
    Damage("no header", text(lambda content: content.partition("m\n")[2]), (), ""),
    Damage("an HTML page instead", text(lambda _: "<html>502 Bad Gateway</html>"), (), "expected NDBC", BUOYS[1:]),
)


def origin_of(folder: Path) -> datetime:
    return parse_origin(json.loads((folder / "event.json").read_text())["origin_time"])


def window(folder: Path, quality: bool = True):
    records, _ = read_records(sorted(folder.glob("*.txt")))
    settings = DartRecordSettings() if quality else DartRecordSettings(quality=None)
    return event_from_records("event", records, settings, load_greens(), origin_of(folder), strict=False)


def away_m(event, clean) -> float:
    """The largest difference from the undamaged event's window where both have samples."""
    both = event.mask & clean.mask
    return float(np.abs(event.window_m - clean.window_m)[both].max(initial=0))


def test_undamaged_records_are_answered_without_a_word(dart, folder):
    answer = predict(dart, folder, strict=True)[0]
    assert answer["valid"] and answer["masked"] == answer["notes"] == answer["left_out"] == []
    assert answer["buoys_used"] == list(BUOYS)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.title)
def test_a_damage_is_masked_and_said_and_the_event_is_answered(dart, folder, damage):
    clean = window(folder)
    damage.change(folder, origin_of(folder))
    answer = predict(dart, folder)[0]
    assert answer["buoys_used"] == list(damage.used)
    assert tuple(masked["check"] for masked in answer["masked"]) == damage.checks
    said = " ".join([*answer["notes"], *answer["left_out"]])
    assert damage.words in said and bool(said) == bool(damage.words)
    assert away_m(window(folder), clean) <= damage.level_m
    for masked in answer["masked"]:  # each with its time, in the record
        first, last = (parse_origin(masked[end]) for end in ("first", "last"))
        assert first <= last <= origin_of(folder) + timedelta(minutes=45.5) and masked["samples"] > 0
    if damage.checks or "be read" in damage.words or "cut" in damage.words or len(damage.used) < 3:
        with pytest.raises(ValueError, match=r"464(04|07)"):
            predict(dart, folder, strict=True)


def test_an_export_of_before_there_was_quality_control_answers_as_it_did(dart, folder):
    DAMAGES[0].change(folder, origin_of(folder))
    record = {k: v for k, v in dart.metadata["preprocessing"]["record"].items() if k != "quality"}
    old = Exported(dart.folder, dart.metadata | {"preprocessing": {"record": record}}, dart.loaded)
    assert predict(old, folder)[0]["masked"] == []


def test_table_of_all_damages(dart, quakes, tmp_path):
    """A row a damage: what was said, and how far what goes into the model is from the undamaged record."""
    (raw,) = (path for path in (quakes / "raw").iterdir() if path.is_dir())
    clean = window(raw)
    print("\n| damage to 46404's file | masked | buoys used | off without / with control, m |\n|---|---|---|---|")
    for number, damage in enumerate(DAMAGES):
        folder = Path(shutil.copytree(raw, tmp_path / str(number)))
        damage.change(folder, origin_of(folder))
        before, after = window(folder, quality=False), window(folder)
        answer = predict(dart, folder)[0]
        masked = ", ".join(f"{m['check']} {m['samples']}" for m in answer["masked"]) or "none"
        cells = (
            damage.title,
            masked,
            len(after.buoys_used),
            f"{away_m(before, clean):.3f} / {away_m(after, clean):.3f}",
        )
        print("| " + " | ".join(map(str, cells)) + " |")
        assert len(after.buoys_used) == len(damage.used)


def test_table_and_csv_have_the_interval_and_the_flags(dart, folder):
    DAMAGES[0].change(folder, origin_of(folder))
    answers = predict(dart, folder) + predict(dart, np.full((45, 3), np.nan), buoy_names=BUOYS)
    one, none = rows(answers)
    start = ["record_id", "valid", "mw", "mw_80_lower", "mw_80_upper", "outside", "buoys_used", "masked", "left_out"]
    assert list(one)[:9] == list(none)[:9] == start and list(one)[-1] == "reason"
    assert [one["mw_80_lower"], one["mw_80_upper"]] == answers[0]["mw_80"] and one["outside"] is False
    assert (
        one["buoys_used"] == "46404; 46407; 46419" and one["samples_46404"] == "43/45"
    )  # the lost one had part in two
    masked = answers[0]["masked"][0]
    assert one["masked"] == f"46404 spike, 1 sample, {masked['first']}"
    assert [none[name] for name in start[2:5]] == ["", "", ""] and none["masked"] == ""
    assert none["reason"].startswith("not enough samples")
