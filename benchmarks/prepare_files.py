"""`prepare` against the exercise's own loop: obspy.read, detrend, scipy.signal.spectrogram, one .mat matrix.

    python benchmarks/prepare_files.py [--files 2000,20000] [--loop-files 2000] [--repeats 3]

Simulated records of 1,024 samples, one a file. Both are measured once started: ours is timed from inside a process that
has imported what it needs (its worker processes start within the measured time), the loop likewise. Prints files a
second, their ratio, the whole command's time, and the largest resident memory of any process at each number of files.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

OURS = """
import json, resource, sys, time
from pathlib import Path
from seis_tf.settings.data import WaveformJob
from seis_tf.prepare import prepare_waveforms
if __name__ == "__main__":
    started = time.perf_counter()
    info = prepare_waveforms(Path(sys.argv[1]), Path(sys.argv[2]), WaveformJob(), processes=int(sys.argv[3]))
    seconds = time.perf_counter() - started
    count = sum(split.records for split in info.splits.values())
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(json.dumps({"seconds": seconds, "files": count, "memory_mb": memory / 1024}))
"""
LOOP = """
import glob, json, resource, sys, time
import numpy as np, scipy.io, scipy.signal
from obspy import read
files = sorted(glob.glob(sys.argv[1] + "/*/*.mseed"))[: int(sys.argv[3])]
started = time.perf_counter()
names = sorted({f.split("/")[-2] for f in files})
matrix = np.zeros((65 * 101 + 1, len(files)))
for i, name in enumerate(files):
    trace = read(name)[0]
    trace.detrend("linear")
    rate = trace.stats.sampling_rate
    f, t, power = scipy.signal.spectrogram(trace.data[:1024], rate, nperseg=20, noverlap=10, nfft=128)
    matrix[:-1, i] = np.log10(power + 1e-30).ravel()
    matrix[-1, i] = names.index(name.split("/")[-2])
scipy.io.savemat(sys.argv[2] + ".mat", {"mSpec": matrix, "nx": 101, "ny": 65})
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": time.perf_counter() - started, "files": len(files), "memory_mb": memory / 1024}))
"""


def measured(code: str, *arguments: str) -> dict[str, float]:
    """Runs the code in a process of its own; adds the whole process's time."""
    started = time.perf_counter()
    with tempfile.NamedTemporaryFile("w", suffix=".py", delete=False) as script:
        script.write(code)
    result = subprocess.run([sys.executable, script.name, *arguments], capture_output=True, text=True, check=True)
    os.unlink(script.name)
    return json.loads(result.stdout.splitlines()[-1]) | {"whole_s": time.perf_counter() - started}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", default="2000,20000")
    parser.add_argument("--loop-files", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    options = parser.parse_args()
    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.synthetic.labquakes import write_labquakes

    with tempfile.TemporaryDirectory() as work:
        rates = {}
        for count in map(int, options.files.split(",")):
            records = write_labquakes(Path(work) / f"records{count}", LabquakeSettings(), count, 0)
            runs = []
            for i in range(options.repeats):
                out = Path(work) / f"data{count}-{i}"
                runs.append(measured(OURS, str(records), str(out), str(options.processes)))
                subprocess.run(["rm", "-rf", str(out)], check=True)
                if count == int(options.files.split(",")[-1]):
                    loop = measured(LOOP, str(records), f"{work}/loop", str(options.loop_files))
                    rates.setdefault("loop", []).append(loop["files"] / loop["seconds"])
            rates[count] = [run["files"] / run["seconds"] for run in runs]
            memory = max(run["memory_mb"] for run in runs)
            print(
                f"prepare {count} files, {options.processes} processes: {statistics.median(rates[count]):,.0f} files/s "
                f"({min(rates[count]):,.0f} to {max(rates[count]):,.0f}), whole process "
                f"{statistics.median(run['whole_s'] for run in runs):.1f} s, largest process {memory:.0f} MB"
            )
        loop_rate = statistics.median(rates["loop"])
        spread = f"{min(rates['loop']):,.0f} to {max(rates['loop']):,.0f}"
        print(f"the loop, {options.loop_files} files: {loop_rate:,.0f} files/s ({spread})")
        ratios = [a / b for a, b in zip(rates[count], rates["loop"], strict=True)]
        print(f"ratio at {count} files: {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
