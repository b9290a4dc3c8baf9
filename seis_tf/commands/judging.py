"""Commands that judge: evaluate, compare, learning-curve, leaks, ablation, epoch-study, window-study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seis_tf.commands import console
from seis_tf.settings.base import load_settings
from seis_tf.settings.data import DartJob
from seis_tf.settings.presets import PRESETS, preset_tree
from seis_tf.settings.training import TrainJob

if TYPE_CHECKING:
    from seis_tf.evaluation.results import Result

Dataset = Annotated[Path, typer.Argument(help="Data set folder.")]
Out = Annotated[Path, typer.Option(help="Folder for the report and its numbers.")]
Folds = Annotated[int, typer.Option(min=2, help="Grouped folds; every record is tested once.")]
Seeds = Annotated[int, typer.Option(min=1, help="Fits of each fold, from different seeds.")]
Model = Annotated[str, typer.Argument(help="Model, preset, or JSON file of a job.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the job's own number.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(evaluate)
    app.command()(compare)
    app.command("learning-curve")(learning_curve)
    app.command()(leaks)
    app.command()(ablation)
    app.command("epoch-study")(epoch_study)
    app.command("window-study")(window_study)


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[Path | None, typer.Option(help="Judge on every record of this other data set.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="The run's own data set, where it is not found.")] = None,
    json: Json = False,
) -> None:
    """Scores, figures and a report: metrics.json, figures/, report.html in the run folder."""
    console.load_tensorflow()
    from seis_tf.evaluation.evaluate import evaluate as judge
    from seis_tf.evaluation.summary import summary

    metrics = judge(run, data, dataset=dataset, say=console.note)
    if json:
        console.print_json(metrics.tree())
        return
    page = run / "report.html"
    if data is not None and metrics.main == "all":
        page = max((run / "evaluations").glob("*/report.html"), key=lambda path: path.stat().st_mtime)
    title, header, rows = summary(metrics)
    console.print_table(title, header, rows)
    console.out.print(f"calibration {metrics.calibration or 'none'}", markup=False)
    console.out.print(str(page), markup=False)


def compare(
    dataset: Dataset,
    models: Annotated[list[str], typer.Argument(help="Two or more models, presets, or JSON files of jobs.")],
    out: Out,
    folds: Folds = 5,
    seeds: Seeds = 1,
    by: Annotated[str, typer.Option(help="What is kept whole: group (events) or station.")] = "group",
    epochs: Epochs = None,
    json: Json = False,
) -> None:
    """Fits models on the same grouped folds: which is better, may it be chance, and at what cost."""
    console.load_tensorflow()
    from seis_tf.evaluation.studies.comparison import compare as compare_models

    jobs = {Path(name).stem: job_of(name, epochs) for name in models}
    with console.progress("compare", "%") as progress:
        found = compare_models(dataset, jobs, out, n_folds=folds, seeds=seeds, by=by, progress=progress)
    _print(found, out, json)


def learning_curve(
    model: Model,
    dataset: Dataset,
    out: Out,
    folds: Folds = 5,
    seeds: Seeds = 1,
    epochs: Epochs = None,
    json: Json = False,
) -> None:
    """Score against the number of training events, with the spread over folds and over seeds apart."""
    console.load_tensorflow()
    from seis_tf.evaluation.studies.learning_curve import learning_curve as curve

    with console.progress("learning curve", "epochs") as progress:
        found = curve(dataset, job_of(model, epochs), out, n_folds=folds, seeds=seeds, progress=progress)
    _print(found, out, json)


def leaks(
    model: Model,
    dataset: Dataset,
    out: Out,
    folds: Folds = 5,
    seeds: Seeds = 1,
    epochs: Epochs = None,
    json: Json = False,
) -> None:
    """What a random split would give away, and events that have two ids."""
    console.load_tensorflow()
    from seis_tf.evaluation.studies.leaks import leak_meter

    with console.progress("leaks", "%") as progress:
        found = leak_meter(dataset, job_of(model, epochs), out, n_folds=folds, seeds=seeds, progress=progress)
    _print(found, out, json)


def ablation(
    model: Model,
    dataset: Dataset,
    out: Out,
    folds: Folds = 5,
    seeds: Seeds = 1,
    epochs: Epochs = None,
    json: Json = False,
) -> None:
    """The job as it is, and with one change at a time, on the same folds."""
    console.load_tensorflow()
    from seis_tf.evaluation.studies.ablation import ablation as ablate

    with console.progress("ablation", "%") as progress:
        found = ablate(dataset, job_of(model, epochs), out, n_folds=folds, seeds=seeds, progress=progress)
    _print(found, out, json)


def epoch_study(
    model: Model, dataset: Dataset, out: Out, epochs: Annotated[int, typer.Option(min=1)] = 3000, json: Json = False
) -> None:
    """Trains long without early stopping: where overfitting starts, and which number of epochs is best."""
    console.load_tensorflow()
    from seis_tf.evaluation.studies.epoch_study import epoch_study as study

    with console.progress("epoch study", "epochs") as progress:
        found = study(dataset, job_of(model, None), out, epochs=epochs, progress=progress)
    _print(found, out, json)


def window_study(
    source: Annotated[Path, typer.Argument(help="Earthquakes, as for `prepare dart`.")],
    out: Out,
    model: Annotated[str, typer.Option(help="Model, preset, or JSON file of a job.")] = "published",
    windows: Annotated[str, typer.Option(help="Lengths in minutes, with commas.")] = "15,20,30,45,60,90",
    members: Annotated[int | None, typer.Option(min=1, help="Models of an ensemble.")] = None,
    epochs: Epochs = None,
    config: Annotated[Path | None, typer.Option(help="JSON file of settings of `prepare dart`.")] = None,
    json: Json = False,
) -> None:
    """DART: prepares, trains and judges for each window length: how long must I wait?"""
    try:
        lengths = [int(part) for part in windows.split(",")]
    except ValueError:
        lengths = [0]
    if min(lengths) < 1:
        raise typer.BadParameter(f"--windows: expected whole numbers above 0 with commas, received {windows!r}")
    console.load_tensorflow()
    from seis_tf.evaluation.studies.window_study import window_study as study

    job = load_settings(DartJob, config, {})
    say = lambda words: console.err.print(words, markup=False)  # noqa: E731
    found = study(source, out, lengths, job=job, train=job_of(model, epochs, members), say=say)
    if json:
        console.print_json([row.tree() for row in found.rows])
    else:
        console.out.print(str(out / "report.html"))


def job_of(name: str, epochs: int | None, members: int | None = None) -> TrainJob:
    """The job of a model's or preset's name, or of a JSON file (best.json of a search, say).

    Raises:
        ValueError: it is none of them.
    """
    overrides = {"training.epochs": epochs, "training.members": members}
    if name in PRESETS:
        return load_settings(TrainJob, None, overrides, base=preset_tree(PRESETS[name][0], name))
    if name.endswith(".json"):
        return load_settings(TrainJob, Path(name), overrides)
    return load_settings(TrainJob, None, overrides, base=preset_tree(name, None))


def _print(found: Result, out: Path, as_json: bool) -> None:
    if as_json:
        console.print_json(found.tree())
    else:
        console.out.print(str(out / "report.html"))
