"""Commands from a run to answers: export, predict, serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from seis_tf.commands import console

_MOST_COLUMNS = 13


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    for function in (export, predict, serve):
        app.command()(function)


def export(
    places: Annotated[list[Path], typer.Argument(metavar="[RUN] MODELS", help="Run folder, and folder of models.")],
    name: Annotated[str | None, typer.Option(help="Name of the model; by default the run folder's.")] = None,
    label: Annotated[str | None, typer.Option(help="stable (default) or canary.")] = None,
    dataset: Annotated[Path | None, typer.Option(help="The run's own data set, where it is not found.")] = None,
    tflite: Annotated[bool, typer.Option("--tflite", help="Also write model.tflite.")] = False,
    promote: Annotated[bool, typer.Option("--promote", help="The canary becomes stable; exports nothing.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Back to the stable version before.")] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the canary's label away.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Publishes a run as the next version of a SavedModel that takes raw records; or moves a model's labels."""
    moving = promote or rollback or withdraw
    if len(places) != (1 if moving else 2):
        expected = "MODELS with --promote, --rollback or --withdraw" if moving else "RUN MODELS"
        raise typer.BadParameter(f"expected {expected}, received {' '.join(map(str, places))}")
    if moving and name is None:
        raise typer.BadParameter("expected --name, received none")
    console.load_tensorflow()
    from seis_tf.serve.export import labels

    if moving:
        change = labels.promote if promote else labels.rollback if rollback else labels.withdraw
        now = change(places[0], name)
        console.print_json(now) if json else console.out.print(f"{places[0] / name}: {now}")
        return
    from seis_tf.serve.export.export import export as export_run

    run, models = places
    model_name = name or run.resolve().name
    formats = ("saved_model", "tflite") if tflite else ("saved_model",)
    folder = export_run(run, models, model_name, label=label, dataset=dataset, formats=formats, say=console.note)
    now = labels.labels_of(models, model_name)
    if json:
        console.print_json({"version": str(folder), "labels": now})
    else:
        console.out.print(f"{folder}: checked and published; labels {now}")


def predict(
    model: Annotated[Path, typer.Argument(help="MODELS/NAME or one of its versions.")],
    files: Annotated[list[str], typer.Argument(help="Raw records: files, globs or folders.")],
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    resample: Annotated[bool, typer.Option("--resample", help="Resample records of another rate.")] = False,
    slide: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Answer along each record, a window every so many seconds."),
    ] = None,
    any_format: console.AnyFormat = False,
    origin_time: Annotated[
        str | None, typer.Option(help="DART: the earthquake's origin, e.g. 2018-01-23T09:31:40Z.")
    ] = None,
    epicentre: Annotated[
        str | None, typer.Option(metavar="LON,LAT", help="DART: longitude and latitude, e.g. -124.5,45.")
    ] = None,
    buoys: Annotated[str | None, typer.Option(help="DART: which buoys to take from among others, with commas.")] = None,
    latency_min: Annotated[float, typer.Option(help="DART: minutes that are not delivered yet.")] = 0.0,
    figures: Annotated[Path | None, typer.Option(help="DART: folder for the pictures.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="DART: refuse the event where one buoy's file can't be used.")
    ] = False,
) -> None:
    """Answers for raw records, as a table, CSV or JSON."""
    console.load_tensorflow()
    from seis_tf.serve.predict import predict as prediction
    from seis_tf.serve.predict import rows

    answers = prediction.predict(
        model,
        files,
        resample=resample,
        any_format=any_format,
        origin_time=origin_time,
        epicentre=console.pair("--epicentre", epicentre),
        latency_min=latency_min,
        buoy_names=None if buoys is None else buoys.split(","),
        figures=figures,
        slide_s=slide,
        strict=strict,
    )
    if json:
        console.print_json(answers)
    elif csv:
        console.print_csv(rows.rows(answers))
    else:
        rows = rows.rows(answers)
        header = list(rows[0]) if rows else []
        # Names alone where that is enough to tell records from each other: paths would fill the table.
        names = [os.path.basename(str(row[header[0]])) for row in rows]
        if len(set(names)) == len({row[header[0]] for row in rows}):
            rows = [row | {header[0]: name} for row, name in zip(rows, names, strict=True)]
        # Slip on every unit source, say: downwards, a column a record.
        if len(header) > max(_MOST_COLUMNS, len(rows)):
            downwards = [[key, *(row[key] for row in rows)] for key in header[1:]]
            console.print_table(str(model), [header[0], *(row[header[0]] for row in rows)], downwards)
        else:
            console.print_table(str(model), header, [list(row.values()) for row in rows])
        if longer := sum("note" in answer for answer in answers):
            console.out.print(f"{longer} of {len(rows)} records are longer than a window; --slide answers along them")


def serve(
    models: Annotated[Path, typer.Argument(help="Folder of models, as TensorFlow Serving reads it.")],
    host: Annotated[
        str, typer.Option(help="Address to listen on; other machines can only reach it if you change it.")
    ] = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int = 8500,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name by which it may be asked over HTTP, e.g. behind a proxy; can be repeated."),
    ] = None,
) -> None:
    """A local server that speaks TensorFlow Serving's REST and gRPC, with a page to drop a record on."""
    console.load_tensorflow()
    from seis_tf.serve.local_server import Addresses
    from seis_tf.serve.local_server import serve as run_server

    def tell(where: Addresses) -> None:
        console.out.print(f"page and REST at {where.url}, gRPC at {where.host}:{where.grpc_port}; Ctrl-C stops")

    names = tuple(allow_host or ())
    run_server(models, host=host, rest_port=rest_port, grpc_port=grpc_port, allow_hosts=names, started=tell, last=True)
