"""Commands from raw records to a data set: simulate, prepare, inspect, verify, plot, edges."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from seis_tf.commands import console
from seis_tf.settings.base import flat, load_settings
from seis_tf.settings.data import DartJob, WaveformJob
from seis_tf.settings.simulation import FakequakeSettings, LabquakeSettings

simulate_app = typer.Typer(help="Write simulated raw records with known truth.", no_args_is_help=True)
prepare_app = typer.Typer(help="Raw records to a data set of sharded TFRecords.", no_args_is_help=True)
ConfigFile = Annotated[Path | None, typer.Option("--config", help="JSON file of settings; options override it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SplitMethod = Annotated[
    str | None,
    typer.Option(
        "--split",
        help="stratified: every class has the fractions within one event, but events may change sides when records are "
        "added. hash: no event ever changes sides, and the fractions hold on average only; for an archive that grows. "
        "Default: stratified for waveforms, hash for dart.",
    ),
]
AllTo = Annotated[
    str | None, typer.Option(help="train, valid or test: every record into this one split, say for a pure test set.")
]
ValidFraction = Annotated[float | None, typer.Option(help="Part for validation; 0 for none. Default 0.15.")]
SplitSeed = Annotated[int | None, typer.Option(help="Of the split.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1)]
Processes = Annotated[int, typer.Option(min=1, help="Worker processes; the bytes written do not depend on it.")]


def register(app: typer.Typer) -> None:
    """Adds the commands of this module."""
    app.add_typer(simulate_app, name="simulate")
    app.add_typer(prepare_app, name="prepare")
    for function in (demo, inspect, verify, plot, edges):
        app.command()(function)


@simulate_app.command()
def labquakes(
    out: Annotated[Path, typer.Argument(help="Folder to make: a folder for each class, and truth.csv.")],
    count: Annotated[int, typer.Option(min=1, help="Files in all.")] = 1200,
    seed: Seed = 0,
    processes: Processes = 1,
    config: ConfigFile = None,
) -> None:
    """miniSEED class folders of simulated labquakes (AE), active-source pulses (UP) and noise."""
    from seis_tf.synthetic.labquakes import write_labquakes

    settings = load_settings(LabquakeSettings, config, {})
    write_labquakes(out, settings, count, seed, processes=processes)
    console.out.print(f"{out}: {count} simulated records with their truth")


@simulate_app.command()
def fakequakes(
    out: Annotated[Path, typer.Argument(help="Folder to make: records at the buoys, and the slip that made them.")],
    count: Annotated[int, typer.Option(min=1, help="Earthquakes.")] = 1000,
    seed: Seed = 0,
    config: ConfigFile = None,
    greens: Annotated[Path | None, typer.Option(help="Other Green's functions: npz or folder of tables.")] = None,
    subfaults: Annotated[
        Path | None, typer.Option(help="npz of 2 x 2 parts of the sources: slip finer than a unit source.")
    ] = None,
    raw: Annotated[int, typer.Option(min=0, help="Earthquakes also written as raw DART text with tides.")] = 2,
) -> None:
    """Records at DART buoys of simulated earthquakes, with the slip on every unit source."""
    from seis_tf.dart.unit_sources import load_greens, load_parts
    from seis_tf.synthetic import fakequake_files, fakequakes

    settings = load_settings(FakequakeSettings, config, {})
    functions = load_greens(greens)
    parts = None if subfaults is None else load_parts(subfaults, functions)
    with console.progress("simulate", "earthquakes") as progress:
        events = fakequakes.simulate(
            settings, functions, count, seed, subfaults=parts, progress=lambda done: progress(done, count)
        )
    fakequake_files.write_fakequakes(out, events, functions, raw=raw)
    console.out.print(f"{out}: {count} simulated earthquakes with their slip")


@prepare_app.command()
def waveforms(
    source: Annotated[Path, typer.Argument(help="Class folders of records, or a SeisBench data set, or a .mat file.")],
    out: Annotated[Path, typer.Argument(help="Data set folder to make; an interrupted one is completed.")],
    config: ConfigFile = None,
    labels_csv: Annotated[Path | None, typer.Option(help="CSV file,class,group instead of folders and names.")] = None,
    group_pattern: Annotated[
        str | None, typer.Option(help="Regular expression on the file name: the event id.")
    ] = None,
    seisbench_class: Annotated[str | None, typer.Option(help="SeisBench metadata column of the class.")] = None,
    length_samples: Annotated[
        int | None, typer.Option(help="Samples used of each record; by default as many as the records have.")
    ] = None,
    any_format: console.AnyFormat = False,
    anchor: Annotated[str | None, typer.Option(help="start, center or onset.")] = None,
    detrend: Annotated[str | None, typer.Option(help="linear, constant or none.")] = None,
    bandpass_hz: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Corners of a zero-phase band-pass.")
    ] = None,
    stationxml: Annotated[str | None, typer.Option(help="Remove the instrument response.")] = None,
    sampling_rate_hz: float | None = None,
    resample_hz: float | None = None,
    nperseg: int | None = None,
    noverlap: int | None = None,
    nfft: int | None = None,
    scaling: Annotated[str | None, typer.Option(help="density or spectrum.")] = None,
    linear: Annotated[bool, typer.Option("--linear", help="Keep the power linear instead of its log10.")] = False,
    standardise: Annotated[str | None, typer.Option(help="record, dataset or none.")] = None,
    split: SplitMethod = None,
    all_to: AllTo = None,
    valid_fraction: ValidFraction = None,
    test_fraction: Annotated[float | None, typer.Option(help="Part for test; 0 for none. Default 0.2.")] = None,
    seed: SplitSeed = None,
    shard_mb: float | None = None,
    max_rejected: float | None = None,
    mat: Annotated[Path | None, typer.Option(help="Also write the spectrograms as one .mat matrix.")] = None,
    processes: Processes = os.cpu_count() or 1,
    json: Json = False,
) -> None:
    """Class folders of records to a data set of spectrograms and waveforms, split by event."""
    from seis_tf.waveforms.prepare import prepare_waveforms
    from seis_tf.waveforms.prepare_mat import prepare_mat, write_mat

    job = load_settings(
        WaveformJob,
        config,
        {
            "source.labels_csv": None if labels_csv is None else str(labels_csv),
            "source.group_pattern": group_pattern,
            "source.seisbench_class": seisbench_class,
            "source.any_format": any_format or None,
            "record.length_samples": length_samples,
            "record.anchor": anchor,
            "record.detrend": detrend,
            "record.bandpass_hz": console.pair("--bandpass-hz", bandpass_hz),
            "record.stationxml": stationxml,
            "record.sampling_rate_hz": sampling_rate_hz,
            "record.resample_hz": resample_hz,
            "spectrogram.nperseg": nperseg,
            "spectrogram.noverlap": noverlap,
            "spectrogram.nfft": nfft,
            "spectrogram.scaling": scaling,
            "spectrogram.log": False if linear else None,
            "standardise": standardise,
            "split.method": split,
            "split.all_to": all_to,
            "split.valid_fraction": valid_fraction,
            "split.test_fraction": test_fraction,
            "split.seed": seed,
            "shards.shard_mb": shard_mb,
            "shards.max_rejected": max_rejected,
        },
    )
    with console.progress("prepare", "records") as progress:
        if source.suffix == ".mat":
            info = prepare_mat(source, out, job, groups_csv=labels_csv, progress=progress, note=console.note)
        else:
            info = prepare_waveforms(source, out, job, processes=processes, progress=progress, note=console.note)
    if mat is not None:
        write_mat(out, mat)
    _show(out, info, json)


@prepare_app.command()
def dart(
    source: Annotated[Path, typer.Argument(help="Simulated fakequakes, .mat runs, npz, CSV or GeoClaw gauges.")],
    out: Annotated[Path, typer.Argument(help="Data set folder to make.")],
    config: ConfigFile = None,
    window_min: int | None = None,
    buoys: Annotated[str | None, typer.Option(help="Names in order, with commas.")] = None,
    latency_min: float | None = None,
    greens: Annotated[str | None, typer.Option(help="Other Green's functions: npz or folder of tables.")] = None,
    split: SplitMethod = None,
    all_to: AllTo = None,
    valid_fraction: ValidFraction = None,
    test_fraction: Annotated[float | None, typer.Option(help="Part for test; 0 for none. Default 0.15.")] = None,
    seed: SplitSeed = None,
    json: Json = False,
) -> None:
    """Records at buoys and the slip that made them to a data set of windows, split by earthquake."""
    from seis_tf.dart import prepare as dart_prepare

    overrides = {
        "record.window_min": window_min,
        "record.buoys": None if buoys is None else buoys.split(","),
        "record.latency_min": latency_min,
        "greens": greens,
        "split.method": split,
        "split.all_to": all_to,
        "split.valid_fraction": valid_fraction,
        "split.test_fraction": test_fraction,
        "split.seed": seed,
    }
    job = load_settings(DartJob, config, overrides)
    with console.progress("prepare", "events") as progress:
        info = dart_prepare.prepare_dart(source, out, job, progress=progress, note=console.note)
    _show(out, info, json)


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make; an earlier demo in it is replaced.")] = Path("demo"),
) -> None:
    """Both jobs end to end on simulated records: simulate, prepare, train, evaluate, search, export, predict."""
    console.load_tensorflow()
    from seis_tf.demo import demo as run_demo

    console.out.print(str(run_demo(out, console.err.print).resolve()))


def inspect(dataset: Annotated[Path, typer.Argument(help="Data set folder.")], json: Json = False) -> None:
    """What is in a data set: counts by split and class, shapes, settings, normalisation, rejected files."""
    from seis_tf.dataset.shards import load_dataset

    _show(dataset, load_dataset(dataset), json)


def verify(
    dataset: Annotated[Path, typer.Argument(help="Data set folder.")],
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="First take dataset.json as right, after you changed it by hand.")
    ] = False,
    json: Json = False,
) -> None:
    """Re-reads every byte of a data set; names file and record of what is wrong, and ends with status 1."""
    from seis_tf.dataset import dataset_info, shards

    if accept_changes:
        dataset_info.accept_changes(dataset)
    with console.progress("verify", "bytes") as progress:
        faults = shards.verify(dataset, progress)
    if json:
        console.print_json({"faults": faults})
    else:
        for fault in faults:
            console.fail(fault)
    if faults:
        raise typer.Exit(1)
    if not json:
        console.out.print(f"{dataset}: every byte is as it was written")


def plot(
    what: Annotated[list[Path], typer.Argument(help="A data set folder, or waveform files.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the figures; default NAME-figures.")] = None,
    per_class: Annotated[int, typer.Option(min=1, help="Records of each class of a data set.")] = 3,
    any_format: console.AnyFormat = False,
) -> None:
    """Example records: waveform over spectrogram, linear beside log; a weak one; signal against noise."""
    out = out or what[0].with_name(f"{what[0].name}-figures")
    if len(what) == 1 and not what[0].is_file():
        from seis_tf.evaluation.plots import plot_dataset

        paths = plot_dataset(what[0], out, per_class=per_class)
    else:
        from seis_tf.evaluation.waveforms.file_plots import plot_files

        paths = plot_files(what, out, any_format)
    for path in paths:
        console.out.print(str(path))


def edges(
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path("edges"),
    patch_dim: Annotated[list[int], typer.Option(min=1, help="Side of a patch in pixels.")] = [5, 50],  # noqa: B006
    n_patch: Annotated[int, typer.Option(min=1)] = 4,
) -> None:
    """The warm-up: a checkerboard seen through the three edge kernels."""
    from seis_tf.edges import edges_figure, observation

    out.mkdir(parents=True, exist_ok=True)
    path = out / "edges.png"
    edges_figure(tuple(patch_dim), n_patch).savefig(path, dpi=150)
    for side in patch_dim:
        console.out.print(observation(side, n_patch))
    console.out.print(str(path))


def _show(folder: Path, info, as_json: bool) -> None:
    from seis_tf.commands import record_use

    if as_json:
        console.print_json(info.model_dump(mode="json"))
        return
    simulated = " (simulated records)" if info.simulated else ""
    console.out.print(f"{folder}: task {info.task}{simulated}, fingerprint {info.fingerprint[:12]}")
    for line in record_use.lines(info):
        console.out.print(line, markup=False)
    header = ["split", "records", "groups", *info.class_names, "shards", "MB"]
    rows = [
        [
            name,
            s.records,
            s.groups,
            *s.class_counts.values(),
            len(s.shards),
            sum(shard.bytes for shard in s.shards) / 1e6,
        ]
        for name, s in info.splits.items()
    ]
    console.print_table("splits by event" if info.grouped else "splits (ungrouped)", header, rows)
    if info.split_rule:
        console.out.print(f"split {info.split_rule}", markup=False)
    features = [
        [f.name, f.dtype, " x ".join(map(str, f.shape)) or "scalar", info.units.get(f.name, "")] for f in info.features
    ]
    console.print_table("features", ["name", "type", "shape", "unit"], features)
    for what, names in (("buoys", info.gauge_names), ("sources", info.source_names)):
        if names:
            console.out.print(f"{what}: {' '.join(names)}")
    console.print_table("settings", ["setting", "value"], [[k, str(v)] for k, v in flat(info.job).items()])
    if info.duplicates:
        console.out.print(
            f"{len(info.duplicates)} groups of records with the same samples, the first: {info.duplicates[0]}"
        )
    if info.rejected:
        console.print_table(
            f"{len(info.rejected)} rejected", ["file", "reason"], [[r.file, r.reason] for r in info.rejected]
        )
