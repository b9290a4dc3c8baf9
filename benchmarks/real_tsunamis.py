"""What a Cascadia model makes of two recorded tsunamis that did not come from there, and how well detiding does.

    python benchmarks/real_tsunamis.py [--run RUN] [--data ../shared/data/dart/observed] [--out DIR]

Kodiak 2018 at 46404, 46407 and 46419 (two of them have no samples before minute 45), and Tohoku 2011 at 46404: masks
are told, the flag "source outside the trained region" is set, pictures are drawn, and no fit is expected. Once more
Tohoku, with an origin laid just before the wave's arrival and no epicentre: does the misfit alone raise the flag? Then
what ways of detiding leave of 21418 in Tohoku's first 90 minutes, beside two residuals that others published. Without
--run a small network is trained on simulated earthquakes first. Prints tables; writes pictures and real_tsunamis.json
to DIR.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from seis_tf import runs
from seis_tf.dart.buoy_files import parse_origin, read_dart_text, read_record
from seis_tf.dart.detide import METHODS, detide
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import NEAR_BUOYS, load_greens
from seis_tf.evaluation.dart import evaluation as dart_evaluation
from seis_tf.evaluation.dart.figures import detidings
from seis_tf.evaluation.dart.real_events import real_event
from seis_tf.evaluation.report.page import as_png
from seis_tf.files import write_json
from seis_tf.settings.data import DartJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainJob
from seis_tf.synthetic import fakequake_files, fakequakes

TOHOKU = "2011-03-11T05:46:24Z"
# USGS: origins and epicentres.
EVENTS = {
    "kodiak-2018": {
        "file": "kodiak2018_observation_Alaska.h5",
        "origin_time": "2018-01-23T09:31:40Z",
        "epicentre": (-149.166, 56.004),
    },
    "tohoku-2011": {"file": "46404_5day-03132011.txt", "origin_time": TOHOKU, "epicentre": (142.373, 38.297)},
    "tohoku-2011-as-if-local": {"file": "46404_5day-03132011.txt", "origin_time": "2011-03-11T14:00:00Z"},
}
DETIDED_UNTIL_MIN = 90
AUTHORS_ZERO_MIN = 111 / 60  # their time zero is that long after the origin


def small_run(work: Path, count: int, epochs: int, window_min: int) -> Path:
    """A judged run of the published network on simulated earthquakes."""
    greens = load_greens()
    events = fakequakes.simulate(FakequakeSettings(), greens, count, seed=0)
    source = fakequake_files.write_fakequakes(work / "events", events, greens)
    prepare_dart(source, work / "dataset", DartJob.model_validate({"record": {"window_min": window_min}}))
    tree = preset_tree("conv1d", "published")
    tree["training"]["epochs"] = epochs
    run = runs.train(work / "dataset", TrainJob.model_validate(tree), work / "run")
    dart_evaluation.evaluate(run)  # also chooses the smoothing
    return run.folder


def answers(run: Path, observed: Path, out: Path) -> list[dict]:
    """A row for each event, and its pictures."""
    rows = []
    for name, about in EVENTS.items():
        known = {key: value for key, value in about.items() if key != "file"}
        files = [observed / about["file"]]
        found = real_event(run, files, **known, buoy_names=NEAR_BUOYS, event_id=name, figures=out)
        rows.append(found.row())
    return rows


def detiding(observed: Path, out: Path) -> list[dict]:
    """Each way of detiding 21418 against the residuals of two others, after the seismic wave, and a picture."""
    record = read_dart_text(observed / "21418_5day-03132011.txt")
    time = record.minutes_after(parse_origin(TOHOKU))
    other = read_record(observed / "swals_21418.csv")[0]
    table = np.loadtxt(observed / "21418_5day-03132011_notide.txt")
    residuals = {
        "swals": (other.time / 60, other.level_m),
        "polynomial, by others": (table[:, 0] / 60 + AUTHORS_ZERO_MIN, table[:, 1]),
    }
    minutes = np.arange(15.0, DETIDED_UNTIL_MIN + 1)
    curves, rows = {}, []
    # The joint method needs Green's functions, which are of the buoys off Cascadia only.
    for method in (name for name in METHODS if name != "joint"):
        result = detide(time, record.level_m, DETIDED_UNTIL_MIN, method)
        curves[f"{method}{'' if result.causal else ', not causal'}"] = (result.time_min, result.level_m)
        ours = np.interp(minutes, result.time_min, result.level_m)
        row = {"method": method, "causal": result.causal, "peak (cm)": round(100 * float(ours.max()), 1)}
        for name, (their_time, their_level) in residuals.items():
            theirs = np.interp(minutes, their_time, their_level)
            row[f"rms from {name} (cm)"] = round(100 * float(np.sqrt(np.mean((ours - theirs) ** 2))), 1)
        rows.append(row)
    shown = {}
    for name, (their_time, their_level) in (curves | residuals).items():
        kept = (their_time >= 15) & (their_time <= 180)
        shown[name] = (their_time[kept], their_level[kept])
    figure = detidings(shown, DETIDED_UNTIL_MIN, "21418, Tohoku 2011: what detiding leaves")
    (out / "21418-detided.png").write_bytes(as_png(figure))
    return rows


def show(rows: list[dict]) -> None:
    """Prints rows as a table, a line a column."""
    for column in rows[0]:
        print(f"{column:32s}", *(f"{row.get(column)!s:>28.60s}" for row in rows), sep="  ")
    print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="judged run of task dart at 46404, 46407 and 46419")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/dart/observed"))
    parser.add_argument("--out", type=Path, default=Path("real_tsunamis"))
    parser.add_argument("--count", type=int, default=1000, help="simulated earthquakes, without --run")
    parser.add_argument("--epochs", type=int, default=100, help="of the training, without --run")
    parser.add_argument("--window-min", type=int, default=60, help="of the windows, without --run")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        run = given.run or small_run(Path(work), given.count, given.epochs, given.window_min)
        found = {"events": answers(run, given.data, given.out), "detiding_21418": detiding(given.data, given.out)}
    for rows in found.values():
        show(rows)
    write_json(given.out / "real_tsunamis.json", found)
    print(given.out / "real_tsunamis.json")


if __name__ == "__main__":
    main()
