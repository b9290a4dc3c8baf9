"""Commands that train and search: train, tune."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from seis_tf.commands import console
from seis_tf.settings.base import load_settings
from seis_tf.settings.presets import PRESETS, preset_tree
from seis_tf.settings.training import TrainJob

Dataset = Annotated[Path, typer.Argument(help="Data set folder.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.command()(train)
    app.command("import-weights")(import_weights)


def train(
    model: Annotated[str, typer.Argument(help="mlp or cnn for waveforms; conv1d or slip_mlp for DART records.")],
    dataset: Dataset,
    out: Annotated[Path | None, typer.Option(help="Run folder to make.")] = None,
    config: Annotated[Path | None, typer.Option(help="JSON file of settings; options override it.")] = None,
    preset: Annotated[str | None, typer.Option(help=f"Settings with a name: {', '.join(PRESETS)}.")] = None,
    hidden: Annotated[str | None, typer.Option(help="MLP: units of each hidden layer, e.g. 50,2.")] = None,
    filters: Annotated[str | None, typer.Option(help="CNN: filters of each block, e.g. 8,16,32.")] = None,
    stem: Annotated[str | None, typer.Option(help="CNN: frequency,time cells averaged first, e.g. 2,2.")] = None,
    widths: Annotated[str | None, typer.Option(help="conv1d: channels of each stage.")] = None,
    dense: int | None = None,
    dropout: float | None = None,
    activation: str | None = None,
    optimizer: Annotated[str | None, typer.Option(help="adam or sgd.")] = None,
    learning_rate: float | None = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine or exponential.")] = None,
    l2: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    epochs: int | None = None,
    early_stopping: Annotated[int | None, typer.Option(help="Patience in epochs; off by default.")] = None,
    monitor: Annotated[str | None, typer.Option(help="val_loss, val_accuracy, val_balanced_accuracy ...")] = None,
    keep: Annotated[str | None, typer.Option(help="best or last epoch's weights.")] = None,
    class_weights: Annotated[str | None, typer.Option(help="none or balanced.")] = None,
    members: Annotated[int | None, typer.Option(help="Models of an ensemble, trained together.")] = None,
    shift_fraction: Annotated[float | None, typer.Option(help="Augmentation: largest time shift.")] = None,
    noise_probability: Annotated[float | None, typer.Option(help="Augmentation: how often noise is added.")] = None,
    wave_weight: Annotated[float | None, typer.Option(help="conv1d: weight of the wave's misfit.")] = None,
    buoy_dropout: Annotated[float | None, typer.Option(help="conv1d: how often a buoy falls silent.")] = None,
    seed: int | None = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16.")] = None,
    device: Annotated[
        str | None, typer.Option(help="Where to train, e.g. /GPU:0; by default TensorFlow's choice.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the layers and their parameters only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Trains a model and writes a run folder."""
    overrides: dict[str, Any] = {
        "model.hidden": _numbers(hidden),
        "model.filters": _numbers(filters),
        "model.stem": _numbers(stem),
        "model.widths": _numbers(widths),
        "model.dense": dense,
        "model.dropout": dropout,
        "model.activation": activation,
        "training.optimizer": optimizer,
        "training.learning_rate": learning_rate,
        "training.schedule": schedule,
        "training.l2": l2,
        "training.weight_decay": weight_decay,
        "training.batch_size": batch_size,
        "training.epochs": epochs,
        "training.early_stopping": early_stopping,
        "training.monitor": monitor,
        "training.keep": keep,
        "training.class_weights": class_weights,
        "training.members": members,
        "training.augment.shift_fraction": shift_fraction,
        "training.augment.noise_probability": noise_probability,
        "training.loss.wave_weight": wave_weight,
        "training.buoy_dropout": buoy_dropout,
        "training.seed": seed,
        "training.precision": precision,
        "training.device": device,
    }
    job = load_settings(TrainJob, config, overrides, base=preset_tree(model, preset))
    if job.model.kind != model:
        raise ValueError(f"{config}: expected settings of {model}, received {job.model.kind}")
    if out is None and not dry_run:
        raise typer.BadParameter("expected --out RUN, received none")
    console.load_tensorflow()
    if dry_run:
        _print_layers(job, dataset)
        return
    from seis_tf.evaluation.calibrate import calibrate
    from seis_tf.runs import train as train_run
    from seis_tf.training.scores import best_row

    with console.progress(f"train {model}", "epochs") as progress:

        def on_epoch(state) -> None:
            last = state.history[0][-1]
            note = "  ".join(
                f"{name} {last[name]:.4g}" for name in ("loss", "val_loss", "val_balanced_accuracy") if name in last
            )
            progress(state.epoch, job.training.epochs, note)

        with warnings.catch_warnings():
            warnings.showwarning = console.tell_warning
            run = train_run(dataset, job, out, resume=resume, on_epoch=on_epoch)
    calibrate(run, dataset, console.note)
    best = [best_row(rows, job.training.monitor) for rows in run.history]
    if json:
        console.print_json({"run": str(out), "epochs": len(run.history[0]), "best": best})
        return
    shown = ", ".join(f"{name} {value:.4g}" for name, value in best[0].items() if name.startswith("val_"))
    console.out.print(
        f"{out}: {len(run.history[0])} epochs, best by {job.training.monitor} is {best[0]['epoch']:.0f}: {shown}"
    )


def import_weights(
    weights: Annotated[Path, typer.Argument(help="State dict of the PyTorch prototype: .npz, or torch.save's file.")],
    dataset: Annotated[Path, typer.Argument(help="DART data set with its window, buoys and sources in that order.")],
    out: Annotated[Path, typer.Option(help="Run folder to make.")],
    activation: Annotated[str, typer.Option(help="After each convolution; the weights don't tell.")] = "leaky_relu",
) -> None:
    """Makes a run of weights that were trained with the published PyTorch prototype."""
    console.load_tensorflow()
    from seis_tf.evaluation.calibrate import calibrate
    from seis_tf.importing import import_run

    run = import_run(weights, dataset, out, activation=activation)
    calibrate(run, dataset, console.note)
    row, count = run.history[0][0], sum(math.prod(weight.shape) for weight in run.model.trainable_weights)
    console.out.print(
        f"{out}: {count:,} weights of {weights.name}; mean squared slip error "
        f"{row['loss']:.4g} m^2 on training, {row['val_loss']:.4g} m^2 on validation records"
    )


def _print_layers(job: TrainJob, dataset: Path) -> None:
    from seis_tf import tasks
    from seis_tf.dataset.shards import load_dataset

    info = load_dataset(dataset)
    network = tasks.build(job.model, info, l2=job.training.l2)
    rows = []
    for layer in network.layers:
        outputs = layer.output if isinstance(layer.output, (list, tuple)) else [layer.output]
        shape = ", ".join(" x ".join("batch" if n is None else str(n) for n in output.shape) for output in outputs)
        count = sum(math.prod(weight.shape) for weight in layer.trainable_weights)
        rows.append([layer.name, type(layer).__name__, shape, count])
    console.print_table(f"{job.model.kind}: {network.name}", ["layer", "type", "output", "parameters"], rows)
    counted, formula = sum(row[3] for row in rows), tasks.parameter_formula(job.model, info)
    console.out.print(f"trainable parameters: {counted:,} counted, {formula:,} by the formula")
    if counted != formula:
        raise ValueError(f"parameters: expected {formula} by the formula, received {counted} from the layers")


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise typer.BadParameter(f"expected whole numbers with commas between, received {text!r}") from error
