"""The command that searches: tune."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from seis_tf.commands import console
from seis_tf.settings.presets import PRESETS


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(tune)


def tune(
    model: Annotated[str, typer.Argument(help="mlp, cnn, conv1d or slip_mlp.")],
    dataset: Annotated[Path, typer.Argument(help="Data set folder; its test split is not opened.")],
    out: Annotated[Path, typer.Option(help="Search folder; one that was stopped goes on.")],
    tuner: Annotated[str, typer.Option(help="random, hyperband or bayesian.")] = "random",
    trials: Annotated[int, typer.Option(min=1)] = 20,
    epochs: Annotated[int, typer.Option(min=1, help="Of a trial; hyperband's longest.")] = 30,
    minutes: Annotated[float | None, typer.Option(min=0, help="After which no new trial starts.")] = None,
    objective: Annotated[str | None, typer.Option(help="val_loss, val_balanced_accuracy, val_mse ...")] = None,
    folds: Annotated[int, typer.Option(min=0, help="Grouped folds that score a trial; 0: the valid split.")] = 0,
    executions: Annotated[int, typer.Option(min=1, help="Seeds that a trial is trained with.")] = 1,
    space: Annotated[Path | None, typer.Option(help="TOML or JSON that narrows, widens or fixes parameters.")] = None,
    config: Annotated[Path | None, typer.Option(help="JSON of settings that are not searched.")] = None,
    preset: Annotated[str | None, typer.Option(help=f"The same by name: {', '.join(PRESETS)}.")] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    together: Annotated[
        int | None, typer.Option(min=1, help="Trials asked for at once, of which those of one shape are one stack.")
    ] = None,
    max_parameters: Annotated[int | None, typer.Option(min=1, help="A larger network is a failed trial.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Throw an earlier search in --out away.")] = False,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train the best on train and judge it on test.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Worker processes on this machine; 0: in this process.")] = 0,
    role: Annotated[str | None, typer.Option(help="chief or worker of a search on several machines.")] = None,
    oracle: Annotated[str | None, typer.Option(help="HOST:PORT of the chief.")] = None,
    worker_id: Annotated[str, typer.Option(help="Name of this worker.")] = "worker0",
    timeout_s: Annotated[
        float, typer.Option(min=0, help="Silence after which a worker or the chief counts as gone.")
    ] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Searches layer widths, rates, dropout and more with KerasTuner; trials are scored on validation records only."""
    if role not in (None, "chief", "worker"):
        raise typer.BadParameter(f"--role: expected chief or worker, received {role!r}")
    if (role is None) != (oracle is None):
        raise typer.BadParameter("expected --role and --oracle together, received one of them")
    console.load_tensorflow()
    from seis_tf.tuning import report, results, search
    from seis_tf.tuning.workers import distributed, worker

    settings = search.settings_for(
        model, config, tuner=tuner, trials=trials, epochs=epochs, objective=objective, folds=folds,
        executions=executions, seed=seed, together=together, max_parameters=max_parameters, preset=preset,
    )  # fmt: skip
    if role == "worker":
        worker.run_worker(
            dataset, out, settings, oracle, worker_id, space_file=space, minutes=minutes, timeout_s=timeout_s
        )
        return
    for line in search.warnings_for(dataset, settings, space):
        console.err.print(line, markup=False)
    with console.progress(f"tune {model}", "trials") as progress:

        def on_status(status: search.Status) -> None:
            best = "" if status.best is None else f"best {settings.objective} {status.best:.4g}"
            epoch = f", epoch {status.epoch}" if status.epoch else ""
            running = f"{status.running} running{epoch}" if status.running else ""
            failed = f"{status.failed} failed" if status.failed else ""
            progress(status.ended, status.planned, "  ".join(filter(None, (best, running, failed))))

        common = {"space_file": space, "minutes": minutes, "overwrite": overwrite, "on_status": on_status}
        if role == "chief" or workers:
            address = oracle or f"127.0.0.1:{_free_port()}"
            rows = distributed.run_chief(
                dataset, out, settings, address, workers=workers, timeout_s=timeout_s, **common
            )
        else:
            rows = search.search(dataset, out, settings, **common)
    if retrain:
        results.retrain(dataset, out)
    report.write(out, settings, rows, results.retrained(out))
    if json:
        console.print_json(rows)
        return
    searched = [name for name in report.parameter_names(rows) if len({row.get(name) for row in rows}) > 1]
    header = ["trial", settings.objective, *[name.partition(".")[2] for name in searched]]
    best = [[row["trial"], row["score"] or row["status"], *[row.get(n, "") for n in searched]] for row in rows[:10]]
    console.print_table(f"{out}: best {len(best)} of {len(rows)}", header, best)
    console.out.print(f"{out / 'best.json'}\n{out / 'report.html'}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
