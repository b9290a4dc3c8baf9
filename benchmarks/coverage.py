"""Whether the intervals of a DART answer hold: fitted on 2,000 simulated earthquakes, tested on 1,000 others.

    python benchmarks/coverage.py [--events 5000] [--fit 2000] [--test 1000] [--windows 20,30,45,60]

Five `slip_mlp` members trained on the first events, one thread. Conformal intervals of 50, 80 and 95 % of Mw and of the
peak at each of the three far buoys: how often they hold, over all events and by predicted and true magnitude, against
the bounds that a perfect interval keeps in 99 % of trials; CRPS beside climatology's; the ensemble beside MC dropout of
its first member. Fitted and tested on those events alone whose answers get intervals: with enough of a signal. Prints
tables in Markdown; writes benchmarks/coverage.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import stats

from seis_tf import runs
from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.evaluation.dart.methods import network_of
from seis_tf.evaluation.dart.scores import TrueWaves
from seis_tf.evaluation.dart.uncertainty_fit import DROPOUT, ENSEMBLE, assess
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.evaluation.stats.intervals import LEVELS, coverage_limits, end_ranks
from seis_tf.evaluation.stats.mc_dropout import dropout_samples
from seis_tf.settings.data import DartJob
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainJob
from seis_tf.synthetic import fakequake_files
from seis_tf.synthetic.fakequakes import Fakequakes, simulate

FAR = ("46409", "46410", "46411")
SPLIT = {"valid_fraction": 0.05, "test_fraction": 0.05}  # of the events trained with; no setting is chosen by them
_NAMES = {"mw": "Mw", "peak_m": "peak", "forecast_m": "wave"}


def main() -> None:
    """Prints one table a question."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5000, help="to train with")
    parser.add_argument("--fit", type=int, default=2000, help="to fit intervals on")
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--windows", default="20,30,45,60", help="minutes")
    parser.add_argument("--members", type=int, default=5)
    arguments = parser.parse_args()
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    greens = load_greens()
    counts = {"train": arguments.events, "valid": arguments.fit, "test": arguments.test}
    # Another seed, other events: a simulated event is drawn by seed and number.
    events = {part: simulate(FakequakeSettings(), greens, n, seed) for seed, (part, n) in enumerate(counts.items())}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        fakequake_files.write_fakequakes(Path(folder) / "source", events["train"], greens)
        for minutes in map(int, arguments.windows.split(",")):
            found[minutes] = _window(Path(folder), events, minutes, arguments.members)
    result = {
        "counts": counts,
        "members": arguments.members,
        "processor_seconds": round(time.process_time()),
        "checks": {kind: _verdict(list(_checks(found, kind))) for kind in _KINDS},
        "windows": found,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(_rounded(result), indent=1) + "\n")
    _tell(result)


def _window(folder: Path, events: dict[str, Fakequakes], minutes: int, members: int) -> dict[str, Any]:
    """Trains for one window length, and assesses ensemble and dropout."""
    job = DartJob.model_validate({"record": {"window_min": minutes}, "split": SPLIT})
    prepare_dart(folder / "source", folder / f"data-{minutes}", job)
    tree = preset_tree("slip_mlp", None)
    tree["training"]["members"] = members
    run = runs.train(folder / f"data-{minutes}", TrainJob.model_validate(tree), folder / f"run-{minutes}")
    windows = {part: _windows(quakes, minutes) for part, quakes in events.items()}
    network, first = network_of(run), runs.single_model(run)
    asked = [windows[part] for part in ("valid", "test")]
    slips = {
        ENSEMBLE: tuple(network(own.level_m, own.mask) for own in asked),
        DROPOUT: tuple(dropout_samples(first, [own.level_m, own.mask.astype(np.float32)]) for own in asked),
    }
    return assess(slips, windows, load_greens(), f"ensemble of {members} members").metrics.tree()


def _windows(events: Fakequakes, minutes: int) -> Windows:
    level = events.windows_m[:, :minutes]
    mask = np.isfinite(level)
    true = TrueWaves(events.truth_m, minutes, events.gauge_names, FAR)
    return Windows(np.where(mask, level, 0).astype(np.float32), mask, events.weights_m, true)


# What is checked: name -> words
_KINDS = {
    "all": "over all events",
    "by_predicted_mw": "by predicted Mw",
    "by_true_mw": "by true Mw",
}


def _checks(found: dict[int, Any], kind: str) -> Iterator[dict[str, Any]]:
    """One for each window, quantity, gauge, bin and level: coverage and the bounds it should keep."""
    for minutes, metrics in found.items():
        bins = len(metrics["edges"]) + 1
        for name in ("mw", "peak_m"):
            own = metrics["draws"][ENSEMBLE][name]
            if kind == "all":
                channels = list(own["by_gauge"].values()) if name == "peak_m" else [own["calibrated"]["coverage"]]
                rows = [{"events": metrics["tested_on"], "coverage": channels, "from": None, "to": None}]
            else:
                rows = own[kind]
            fitted_on = metrics["fitted_on"] if kind == "all" else metrics["fitted_on"] // bins
            for row in rows:
                for channel in row["coverage"]:
                    for level, value in zip(LEVELS, channel, strict=True):
                        where = {"window_min": minutes, "quantity": name, "level": level, "from": row["from"]}
                        yield where | _check(value, row["events"], level, fitted_on)


def _check(coverage: float, events: int, level: float, fitted_on: int) -> dict[str, Any]:
    perfect, conformal = coverage_limits(events, level), coverage_limits(events, level, fitted_on)
    low, high = end_ranks(fitted_on, level)
    drawn = stats.betabinom(events, high - low, fitted_on + 1 - (high - low))
    first, last = (round(events * end) for end in perfect)
    return {
        "coverage": coverage,
        "perfect": perfect[0] <= coverage <= perfect[1],
        "conformal": conformal[0] <= coverage <= conformal[1],
        "chance_outside_perfect": float(1 - drawn.cdf(last) + drawn.cdf(first - 1)),
    }


def _verdict(checks: list[dict[str, Any]]) -> dict[str, Any]:
    """How many checks hold, how many of an exchangeable interval would not, and which don't."""
    return {
        "checks": len(checks),
        "within_perfect": sum(check["perfect"] for check in checks),
        "expected_outside_perfect": sum(check["chance_outside_perfect"] for check in checks),
        "within_conformal": sum(check["conformal"] for check in checks),
        "outside_perfect": [check for check in checks if not check["perfect"]],
    }


def _tell(result: dict[str, Any]) -> None:
    windows = result["windows"]
    print(f"{result['processor_seconds']} processor seconds")
    for minutes, metrics in windows.items():
        perfect = _ranges(metrics["limits"]["perfect"])
        counts = f"fitted on {metrics['fitted_on']} events, tested on {metrics['tested_on']}"
        print(f"{minutes} min: {counts}, of which perfect intervals cover {perfect}")
    print("\n| window (min) | Mw | peak | Mw, raw | peak, raw | width of 80 %: Mw | peak (cm) |")
    print("|---|---|---|---|---|---|---|")
    for minutes, metrics in windows.items():
        own = metrics["draws"][ENSEMBLE]
        cells = [_parts(own[name][stage]["coverage"]) for stage in ("calibrated", "raw") for name in ("mw", "peak_m")]
        widths = [own["mw"]["calibrated"]["width"][1], 100 * own["peak_m"]["calibrated"]["width"][1]]
        print(f"| {minutes} | {' | '.join(cells)} | {widths[0]:.2f} | {widths[1]:.1f} |")
    print("\n| window (min) | CRPS of | climatology | ensemble, raw | dropout, raw | ensemble | dropout |")
    print("|---|---|---|---|---|---|---|")
    for minutes, metrics in windows.items():
        kinds = metrics["draws"]
        for name, words in _NAMES.items():
            scale, unit = (1, "") if name == "mw" else (100, " cm")
            values = [kinds[ENSEMBLE][name]["climatology"]["crps"]]
            values += [kinds[kind][name][stage]["crps"] for stage in ("raw", "calibrated") for kind in kinds]
            print(f"| {minutes} | {words} | {' | '.join(f'{scale * value:.3f}{unit}' for value in values)} |")
    print("\n| coverage | checks | within binomial bounds | expected outside | within bounds of conformal intervals |")
    print("|---|---|---|---|---|")
    for kind, own in result["checks"].items():
        outside = f"{own['expected_outside_perfect']:.1f}"
        print(f"| {_KINDS[kind]} | {own['checks']} | {own['within_perfect']} | {outside} | {own['within_conformal']} |")
        for check in own["outside_perfect"]:
            start = "" if check["from"] is None else f", from {check['from']:.2f}"
            where = f"{check['window_min']} min, {check['quantity']}, {check['level']:.0%}{start}"
            print(f"    {where}: {check['coverage']:.3f}")


def _parts(values: list[float]) -> str:
    return " / ".join(f"{100 * value:.1f}" for value in values) + " %"


def _ranges(limits: list[list[float]]) -> str:
    return ", ".join(f"{100 * low:.1f} to {100 * high:.1f} %" for low, high in limits)


def _rounded(value: Any) -> Any:
    """Numbers with five digits: more means nothing."""
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items() if key != "reliability"}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
