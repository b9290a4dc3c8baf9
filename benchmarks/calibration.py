"""What temperature scaling does to the probabilities of events that a model never saw, on real records.

    python benchmarks/calibration.py [--data ../shared/data] [--seeds 4]

Five folds of whole events; the MLP of 20 hidden units, 30 epochs. In each fold the temperature is fitted on the fold's
validation events, apart from training and test. Prints, for the records of all test folds together, log loss and ECE
(15 bins of equal mass) before and after, with 95 % intervals of the difference from resampling events; writes
benchmarks/calibration.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np

from seis_tf.evaluation.stats import calibration, scores
from seis_tf.evaluation.stats.folds import grouped_folds
from seis_tf.evaluation.studies import fitting
from seis_tf.evaluation.studies.fitting import Trial
from seis_tf.settings.data import RecordSettings, SpectrogramSettings, WaveformJob
from seis_tf.settings.networks import MlpSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.waveforms.prepare import prepare_waveforms

DATA = {
    "lab": WaveformJob(),
    "field": WaveformJob(
        record=RecordSettings(length_samples=4000), spectrogram=SpectrogramSettings(nperseg=78, noverlap=39, nfft=128)
    ),
}
JOB = TrainJob(model=MlpSettings(), training=TrainingSettings(epochs=30))
FOLDS = 5


def main() -> None:
    """Prints one line a data set and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=default, help="folder of lab and field")
    parser.add_argument("--seeds", type=int, default=4, help="of folds and training")
    arguments = parser.parse_args()
    found = {name: _measure(arguments.data / name, job, arguments.seeds) for name, job in DATA.items()}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    for name, rows in found.items():
        for row in rows:
            print(f"{name}, seed {row['seed']}: temperatures {row['temperatures']}")
            for score in ("log_loss", "ece"):
                before, after, (low, high) = (row[score][key] for key in ("before", "after", "difference_interval"))
                print(f"  {score} {before:.4f} -> {after:.4f} (difference {low:+.4f} to {high:+.4f})")


def _measure(source: Path, settings: WaveformJob, seeds: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as folder:
        prepare_waveforms(source, Path(folder) / "data", settings)
        table = fitting.load_table(JOB, Path(folder) / "data")
    labels, groups = table["label"], table["group"]
    rows = []
    for seed in range(seeds):
        trials = [Trial(n, seed, fold) for n, fold in enumerate(grouped_folds(labels, groups, FOLDS, seed=seed))]
        before, after = np.zeros((2, len(labels), len(table.info.class_names)))
        temperatures = []
        for done in fitting.fit_trials(JOB, table, trials)[0]:
            valid, test = done.trial.rows.valid, done.trial.rows.test
            p = scores.check_probabilities(labels, done.outputs, before.shape[1])
            temperatures.append(calibration.fit_temperature(labels[valid], p[valid], groups[valid]))
            before[test] = p[test]
            after[test] = calibration.with_temperature(p[test], temperatures[-1])
        head = {"seed": seed, "temperatures": [round(t, 2) for t in temperatures]}
        drawn = [scores.bootstrap(labels, p, groups) for p in (before, after)]
        own = [scores.headline_scores(labels, p) for p in (before, after)]
        rows.append(
            head
            | {
                name: {
                    "before": own[0][name],
                    "after": own[1][name],
                    "difference_interval": scores.interval(drawn[1][name] - drawn[0][name]),
                }
                for name in ("log_loss", "ece")
            }
        )
    return rows


if __name__ == "__main__":
    main()
