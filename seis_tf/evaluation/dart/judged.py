"""A DART run and a data set -> what is to be judged: windows, waves to come, and the answers of all methods."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from seis_tf.dart.unit_sources import GreensFunctions, load_greens
from seis_tf.dataset import shards, tables
from seis_tf.dataset.shards import SPLITS, DatasetInfo
from seis_tf.evaluation.dart.methods import Answers, Methods, network_of
from seis_tf.evaluation.dart.scores import TrueWaves
from seis_tf.evaluation.dart.windows import Windows
from seis_tf.names import check_names
from seis_tf.runs import Run, dataset_of, find_dataset, is_same
from seis_tf.settings.data import DartJob, DartRecordSettings

FEATURES = ("water_level_m", "mask", "weights_m", "mw", "record_id", "truth_m")


@dataclass(frozen=True, eq=False)
class JudgedDart:
    """A run and all that answered the same windows.

    Attributes:
        run: the run.
        info: of the data set that it is judged on.
        dataset: that data set's folder, as it was named.
        columns: feature name to [record, ...].
        rows: part ("train", "valid", "test"; or "all" of another data set) to its records.
        windows: of all records.
        methods: with strengths from the run's own validation events, where those are at hand.
        answers: for all records.
        train: the run's own training windows, None where not at hand.
        valid: likewise its validation windows, for choosing strengths anew where a buoy is silent and for intervals.
        greens: functions of the gauges of `windows.true`.
        from_slip: whether the data set holds no waves, so that truth is what the true slip makes.
        seen: events of another data set that are also among the run's training events; None where not known.
    """

    run: Run
    info: DatasetInfo
    dataset: Path
    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    windows: Windows
    methods: Methods
    answers: Answers
    train: Windows | None
    valid: Windows | None
    greens: GreensFunctions
    from_slip: bool
    seen: int | None

    @property
    def main(self) -> str:
        """The part that counts."""
        return "all" if "all" in self.rows else "test"

    @property
    def is_own_data(self) -> bool:
        """Whether it is the run's own data set."""
        return self.main == "test"

    @property
    def record(self) -> DartRecordSettings:
        """How the buoys' records became windows."""
        return DartJob.model_validate(self.info.job).record

    def forecast(self, weights_m: np.ndarray) -> np.ndarray:
        """Waves of slip [event, source] at the judged gauges, float32 [event, minute, gauge]."""
        return self.greens.waves(weights_m.astype(np.float32))


def check_like(folder: Path | str, expected: DatasetInfo, received: DatasetInfo) -> None:
    """Refuses another data set whose windows a model of the first can't take as they are.

    Raises:
        ValueError: another task, other buoys or sources, another order, another window or time step.
    """
    shards.check_task(folder, received, expected.task)
    check_names(f"{folder}: buoys", expected.gauge_names, received.gauge_names)
    check_names(f"{folder}: sources", expected.source_names, received.source_names)
    for key in ("window_min", "step_min"):
        wanted, given = (info.job["record"][key] for info in (expected, received))
        if wanted != given:
            raise ValueError(f"{folder}: {key}: expected {wanted}, received {given}")


def judge(run: Run, data: Path | str | None, dataset: Path | str | None = None) -> JudgedDart:
    """Asks all methods about a data set, by default the run's own, which is `dataset` where it was moved.

    Raises:
        ValueError: the run's data set is gone or changed, or `data` is not like it.
    """
    folder = dataset_of(run, dataset) if data is None else Path(data)
    info = shards.load_dataset(folder)
    own = is_same(info, run.config.info)
    if not own:
        check_like(folder, run.config.info, info)
    job = DartJob.model_validate(info.job)
    table = tables.load(folder, SPLITS, FEATURES, filled=own)
    everything = load_greens(run.config.info.job.get("greens")).select(info.source_names)
    gauges = info.forecast_gauges or info.gauge_names
    greens = everything.select(gauges=gauges)
    windows = _windows(table, greens, job)
    observed = everything.select(gauges=job.record.buoys)
    methods = Methods(
        network_of(run), observed.matrix(job.record.window_min, job.record.step_min), info.source_names, greens.area_m2
    )
    rows, train, valid, seen = table.rows, None, None, None
    if own:
        train, valid = (windows.rows(rows[part]) for part in ("train", "valid"))
        methods = replace(methods, mean_m=_mean_of(table)).chosen_on(valid, greens)
    else:
        rows = {"all": np.concatenate([table.rows[split] for split in SPLITS])}
        if (home := find_dataset(run, dataset)) is not None:
            own_table = tables.load(home, ("train", "valid"), FEATURES)  # test records are not looked at
            both = _windows(own_table, greens, job)
            train, valid = (both.rows(own_table.rows[part]) for part in ("train", "valid"))
            methods = replace(methods, mean_m=_mean_of(own_table)).chosen_on(valid, greens)
            trained = own_table["record_id"][own_table.rows["train"]]
            seen = len(np.intersect1d(trained, table["record_id"]))
    answers = methods.answer(windows.level_m, windows.mask)
    from_slip = "truth_m" not in table.columns
    return JudgedDart(
        run, info, folder, table.columns, rows, windows, methods, answers, train, valid, greens, from_slip, seen
    )


def _windows(table: tables.Table, greens: GreensFunctions, job: DartJob) -> Windows:
    """Windows and true waves of a table at the gauges of `greens`."""
    truth = table.columns.get("truth_m")
    if truth is None or not set(greens.gauge_names) <= set(table.info.forecast_gauges):
        truth = greens.waves(table["weights_m"])
    else:
        columns = [table.info.forecast_gauges.index(name) for name in greens.gauge_names]
        truth = truth[:, : len(greens.time_min), columns]
    # Where nothing lies ahead but the buoys themselves, their own waves after the window are what is forecast.
    far = [name for name in greens.gauge_names if name not in job.record.buoys] or list(greens.gauge_names)
    true = TrueWaves(truth, job.record.window_min, greens.gauge_names, far)
    return Windows(table["water_level_m"], table["mask"] > 0, table["weights_m"], true)


def validation_windows(run: Run, dataset: Path) -> tuple[Windows, GreensFunctions]:
    """The validation events of a run's own data set, and the functions of the gauges of their waves."""
    info = run.config.info
    gauges = info.forecast_gauges or info.gauge_names
    greens = load_greens(info.job.get("greens")).select(info.source_names, gauges)
    table = tables.load(dataset, ("valid",), FEATURES)
    return _windows(table, greens, DartJob.model_validate(info.job)), greens


def _mean_of(table: tables.Table) -> np.ndarray:
    return table["weights_m"][table.rows["train"]].mean(axis=0, dtype=np.float64)
