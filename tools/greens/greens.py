"""Green's functions of unit sources by GeoClaw: one run a source, gauges at the buoys, an npz that `load_greens` reads.

A run is one level on the bathymetry's own grid (a cell centred on each node), static Okada deformation of 1 m of slip
at one instant. Finished runs are kept in the work folder and not repeated. README.md says how to set this up.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
from clawpack.clawutil.data import ClawRunData
from clawpack.geoclaw import dtopotools, topotools

DATA = Path(__file__).resolve().parents[2] / "seis_tf" / "data"
UNITS = {"length": "km", "width": "km", "depth": "km", "slip": "m", "mu": "Pa"}
RUPTURE_S = 1.0  # simulated time of the deformation; minute 0 of the output
EARTH_RADIUS_KM = 6367.5
PARTS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (shallow, deep) x (towards the lower number, the higher one)

Source = dict[str, float]


def read_sources(path: Path) -> dict[str, Source]:
    """Unit-source table: name -> columns, degrees and km; lon, lat of the bottom edge's centre, top edge's depth."""
    with open(path, newline="") as stream:
        return {
            row["name"]: {key: float(value) for key, value in row.items() if key not in ("name", "reference")}
            for row in csv.DictReader(stream)
        }


def read_gauges(path: Path) -> list[tuple[str, float, float]]:
    """Name, longitude (degrees east), latitude of each gauge."""
    with open(path, newline="") as stream:
        return [(row["name"], float(row["lon"]), float(row["lat"])) for row in csv.DictReader(stream)]


def part_of(source: Source, down: int, along: int) -> Source:
    """One of a source's 2 x 2 parts, in the same terms.

    The strike points towards the lower numbers in NOAA's table, so part 0 along the numbers is the one ahead.
    """
    strike, dip = np.radians(source["strike_deg"]), np.radians(source["dip_deg"])
    ahead_km = source["length_km"] / 4 * (1 if along == 0 else -1)
    # Up dip is to the left of the strike. A shallow part's bottom edge is half-way up the whole source.
    left_km = source["width_km"] / 2 * np.cos(dip) if down == 0 else 0.0
    east_km = ahead_km * np.sin(strike) - left_km * np.cos(strike)
    north_km = ahead_km * np.cos(strike) + left_km * np.sin(strike)
    degree_km = np.radians(1) * EARTH_RADIUS_KM
    part = dict(source, length_km=source["length_km"] / 2, width_km=source["width_km"] / 2)
    part["lon"] += east_km / (degree_km * np.cos(np.radians(source["lat"])))
    part["lat"] += north_km / degree_km
    part["depth_km"] += source["width_km"] / 2 * np.sin(dip) * down
    return part


def deformation(source: Source, lon: np.ndarray, lat: np.ndarray, per_degree: int = 30) -> dtopotools.DTopography:
    """Okada deformation of 1 m of slip over the whole grid: a smaller window would leave a step at its edge."""
    subfault = dtopotools.SubFault()
    subfault.longitude, subfault.latitude, subfault.slip = source["lon"], source["lat"], 1.0
    subfault.strike, subfault.dip, subfault.rake = source["strike_deg"], source["dip_deg"], source["rake_deg"]
    subfault.depth, subfault.length, subfault.width = source["depth_km"], source["length_km"], source["width_km"]
    subfault.coordinate_specification, subfault.mu = "noaa sift", 4e10
    subfault.convert_to_standard_units(UNITS)
    fault = dtopotools.Fault(subfaults=[subfault])
    fault.rupture_type = "static"
    x, y = (axis[0] + np.arange(round((axis[-1] - axis[0]) * per_degree) + 1) / per_degree for axis in (lon, lat))
    fault.create_dtopography(x, y, times=[RUPTURE_S], verbose=False)
    return fault.dtopo


def write_run(
    folder: Path, topo: Path, lon: np.ndarray, lat: np.ndarray, refine: int, gauges: list, hours: float
) -> None:
    """GeoClaw's input files of one run; the deformation is `dtopo.tt3` in the folder."""
    step = lon[1] - lon[0]
    run = ClawRunData("geoclaw", 2)
    claw, amr, geo = run.clawdata, run.amrdata, run.geo_data
    claw.lower = [float(lon[0] + step / 2), float(lat[0] + step / 2)]
    claw.upper = [float(lon[-1] - step / 2), float(lat[-1] - step / 2)]
    claw.num_cells = [(len(lon) - 2) * refine, (len(lat) - 2) * refine]
    claw.num_eqn, claw.num_aux, claw.capa_index = 3, 3, 2
    claw.t0, claw.tfinal = 0.0, hours * 3600 + 60
    claw.output_style, claw.num_output_times, claw.output_t0 = 1, 1, False
    claw.output_format, claw.output_q_components, claw.output_aux_components = "binary32", "all", "none"
    claw.verbosity, claw.checkpt_style = 0, 0
    claw.dt_variable, claw.dt_initial, claw.dt_max = True, RUPTURE_S, 1e99
    claw.cfl_desired, claw.cfl_max, claw.steps_max = 0.9, 1.0, 100000
    claw.order, claw.dimensional_split, claw.transverse_waves = 2, "unsplit", 2
    claw.num_waves, claw.limiter, claw.use_fwaves = 3, ["mc"] * 3, True
    claw.source_split, claw.num_ghost = "godunov", 2
    claw.bc_lower, claw.bc_upper = ["extrap"] * 2, ["extrap"] * 2
    amr.amr_levels_max, amr.max1d = 1, 60
    amr.refinement_ratios_x = amr.refinement_ratios_y = amr.refinement_ratios_t = [2]
    amr.aux_type = ["center", "capacity", "yleft"]
    amr.flag_richardson, amr.flag2refine = False, True
    amr.regrid_interval, amr.regrid_buffer_width, amr.clustering_cutoff, amr.verbosity_regrid = 3, 2, 0.7, 0
    run.gaugedata.gauges = [[i + 1, x, y, 0.0, 1e10] for i, (_, x, y) in enumerate(gauges)]
    geo.gravity, geo.coordinate_system, geo.earth_radius = 9.81, 2, EARTH_RADIUS_KM * 1e3
    geo.coriolis_forcing, geo.friction_forcing, geo.sea_level, geo.dry_tolerance = False, False, 0.0, 1e-3
    run.refinement_data.variable_dt_refinement_ratios = True
    run.refinement_data.wave_tolerance = 1e-1
    run.topo_data.topofiles = [[3, str(topo)]]
    run.dtopo_data.dtopofiles = [[3, str(folder / "dtopo.tt3")]]
    run.dtopo_data.dt_max_dtopo = RUPTURE_S
    run.write(out_dir=str(folder))


def gauge_curves(folder: Path, count: int, minutes: np.ndarray) -> np.ndarray:
    """Sea surface at whole minutes after the rupture, float64 [gauge, minute].

    Raises:
        ValueError: a gauge's record ends early.
    """
    curves = []
    for i in range(count):
        table = np.loadtxt(folder / f"gauge{i + 1:05d}.txt", ndmin=2)
        seconds, eta = table[:, 1] - RUPTURE_S, table[:, 5]
        if seconds[-1] < minutes[-1] * 60:
            end = minutes[-1] * 60
            raise ValueError(
                f"{folder.name}: gauge {i + 1}: expected {end} s, received a record of {seconds[-1]:.0f} s"
            )
        curves.append(np.interp(minutes * 60.0, seconds, eta))
    return np.array(curves)


def run_source(name: str, source: Source, args: argparse.Namespace, grid: tuple, gauges: list) -> np.ndarray:
    """Runs GeoClaw for one source, unless it was run before; float64 [gauge, minute]."""
    kept = args.work / f"{name}.npy"
    if kept.exists():
        return np.load(kept)
    start, (lon, lat), folder = time.perf_counter(), grid, args.work / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    dtopo = deformation(source, lon, lat)
    # The library writes whole millimetres by default, which is 1 % of a wave at sea.
    dtopo.write(str(folder / "dtopo.tt3"), dtopo_type=3, dZ_format="%.7f")
    write_run(folder, args.work / "topo.tt3", lon, lat, args.refine, gauges, args.hours)
    with open(folder / "log.txt", "w") as log:
        environment = dict(os.environ, OMP_NUM_THREADS="1")
        command = [str(args.xgeoclaw.resolve())]
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
    curves = gauge_curves(folder, len(gauges), np.arange(round(args.hours * 60) + 1))
    np.save(kept, curves)
    shutil.rmtree(folder)
    dz, seconds = dtopo.dZ[-1], time.perf_counter() - start
    print(f"{name}: {seconds:.0f} s, uplift {dz.max():.3f} m, subsidence {-dz.min():.3f} m", flush=True)
    return curves


def compare(path: Path, names: list[str], gauges: list, curves: np.ndarray) -> None:
    """Prints how far the curves are from those of another file, as a part of each curve's peak, static part removed."""
    with np.load(path) as file:
        sources, others = file["source_names"].tolist(), file["gauge_names"].tolist()
        reference = file["eta_m"] - file["eta_m"][:, :, :1]
    for i, name in enumerate(names):
        for j, (gauge, _, _) in enumerate(gauges):
            if name in sources and gauge in others:
                theirs = reference[sources.index(name), others.index(gauge)]
                ours = curves[i, j, : len(theirs)] - curves[i, j, 0]
                theirs = theirs[: len(ours)]
                largest, peak = np.abs(ours - theirs).max(), np.abs(theirs).max()
                print(f"{name} at {gauge}: peak {100 * peak:.3f} cm, largest difference {100 * largest / peak:.4f} %")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="npz to write")
    parser.add_argument("--xgeoclaw", type=Path, required=True, help="the executable")
    parser.add_argument("--work", type=Path, required=True, help="folder for runs; finished ones are not repeated")
    parser.add_argument("--sources", nargs="+", help="default: all of the table")
    parser.add_argument("--table", type=Path, default=DATA / "unit_sources_cascadia.csv")
    parser.add_argument("--gauges", type=Path, default=DATA / "darts.csv")
    parser.add_argument("--bathymetry", type=Path, default=DATA / "bathymetry_nepac_6min.npz", help="lat, lon, z")
    parser.add_argument("--hours", type=float, default=6.0)
    parser.add_argument("--refine", type=int, default=1, help="cells per bathymetry step")
    parser.add_argument(
        "--parts", action="store_true", help="also the 2 x 2 parts of each source (four more runs each)"
    )
    parser.add_argument("--compare", type=Path, help="npz to compare with")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    table, gauges = read_sources(args.table), read_gauges(args.gauges)
    names = args.sources or list(table)
    if unknown := [name for name in names if name not in table]:
        raise SystemExit(f"sources: expected some of {list(table)}, received {names}: unknown {unknown}")
    with np.load(args.bathymetry) as file:
        lon, lat, z = (file[key].astype(float) for key in ("lon", "lat", "z"))
    grid = lon.round(4), lat.round(4)
    args.work = args.work.resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    topo = topotools.Topography()
    topo.set_xyZ(*grid, z)
    topo.write(str(args.work / "topo.tt3"), topo_type=3, Z_format="%.0f")
    curves = np.array([run_source(name, table[name], args, grid, gauges) for name in names])
    arrays = {
        "source_names": np.array(names),
        "gauge_names": np.array([name for name, _, _ in gauges]),
        "gauge_lonlat": np.array([place for _, *place in gauges]),
        "time_min": np.arange(curves.shape[-1]),
        "eta_m": curves.astype(np.float32),
    }
    if args.parts:
        runs = [[(f"{n}_{i}{j}", part_of(table[n], i, j)) for i, j in PARTS] for n in names]
        parts = np.array([[run_source(name, part, args, grid, gauges) for name, part in four] for four in runs])
        arrays["parts_m"] = (parts - parts[..., :1]).astype(np.float32)
    np.savez_compressed(args.out, **arrays)
    if args.compare:
        compare(args.compare, names, gauges, curves)


if __name__ == "__main__":
    main()
