"""JSON of metrics and studies: what older versions wrote is read and written again unchanged, and new runs match it.

`tests/fixtures/results/` holds what an older version wrote for these small jobs, numbers rounded to four digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seis_tf.dart.prepare import prepare_dart
from seis_tf.dart.unit_sources import load_greens
from seis_tf.evaluation.dart import evaluation as dart_evaluation
from seis_tf.evaluation.dart.metrics import DartMetrics
from seis_tf.evaluation.results import Result
from seis_tf.evaluation.studies import ablation, comparison, epoch_study, leaks, learning_curve, writing
from seis_tf.evaluation.studies.comparison_result import Comparison
from seis_tf.evaluation.study import Variant
from seis_tf.evaluation.summary import summary
from seis_tf.evaluation.waveforms import evaluation
from seis_tf.evaluation.waveforms.metrics import WaveformMetrics
from seis_tf.runs import train
from seis_tf.serve.export import card_dart, card_waveforms
from seis_tf.settings.data import DartJob
from seis_tf.settings.networks import Conv1dSettings, MlpSettings
from seis_tf.settings.simulation import FakequakeSettings
from seis_tf.settings.training import TrainingSettings, TrainJob
from seis_tf.synthetic.fakequake_files import write_fakequakes
from seis_tf.synthetic.fakequakes import simulate

JOB = TrainJob(model=MlpSettings(hidden=(6,)), training=TrainingSettings(epochs=6, batch_size=10))
OTHER = TrainJob(model=MlpSettings(hidden=(4,)), training=TrainingSettings(epochs=1, batch_size=10))


FIXTURES = Path(__file__).parents[1] / "fixtures" / "results"


@pytest.fixture(scope="module")
def written(tiny_waveforms, untrained_run, tmp_path_factory) -> Path:
    """A folder with one JSON file of each kind."""
    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:  # drawing takes longest
        for module in (evaluation, dart_evaluation, writing):
            patch.setattr(module, "write_report", lambda folder, report: None)
        write_all(tiny_waveforms, untrained_run, out)
    return out


def write_all(tiny_waveforms: Path, untrained_run: Callable[..., Path], out: Path) -> None:
    ensemble = JOB.model_copy(update={"training": JOB.training.model_copy(update={"members": 2})})
    evaluation.evaluate(train(tiny_waveforms, ensemble, out / "waveforms"), draws=50)
    greens = load_greens()
    settings = FakequakeSettings(record_min=70)
    write_fakequakes(out / "source", simulate(settings, greens, 160, 3), greens)
    split = {"valid_fraction": 0.4, "test_fraction": 0.3}
    prepare_dart(
        out / "source", out / "dart-data", DartJob.model_validate({"record": {"window_min": 60}, "split": split})
    )
    training = TrainingSettings(members=2)
    untrained_run(out / "dart", out / "dart-data", TrainJob(model=Conv1dSettings(output="softplus"), training=training))
    dart_evaluation.evaluate(out / "dart", draws=50)
    comparison.compare(tiny_waveforms, {"one": JOB, "two": OTHER}, out / "comparison", n_folds=3, seeds=2, draws=50)
    learning_curve.learning_curve(tiny_waveforms, JOB, out / "curve", n_folds=3, fractions=(0.5, 1.0), seeds=2)
    variants = [Variant("hidden (4,)", model={"hidden": (4,)}), Variant("linear", data={"log": False})]
    ablation.ablation(tiny_waveforms, JOB, out / "ablation", variants=variants, n_folds=3, seeds=2, draws=50)
    epoch_study.epoch_study(tiny_waveforms, JOB, out / "epochs", epochs=6)
    leaks.leak_meter(tiny_waveforms, JOB, out / "leaks", n_folds=3, draws=50)


KINDS: dict[str, tuple[str, type[Result]]] = {
    "waveforms": ("waveforms/metrics.json", WaveformMetrics),
    "dart": ("dart/metrics.json", DartMetrics),
    "comparison": ("comparison/comparison.json", Comparison),
    "learning_curve": ("curve/learning_curve.json", learning_curve.LearningCurve),
    "ablation": ("ablation/ablation.json", ablation.Ablation),
    "epochs": ("epochs/epochs.json", epoch_study.EpochStudy),
    "leaks": ("leaks/leaks.json", leaks.Leaks),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_older_version_wrote_is_read_and_written_again_unchanged(kind):
    text = (FIXTURES / f"{kind}.json").read_text()
    result = KINDS[kind][1].model_validate_json(text)
    # The order of the keys counts, which comparing dicts would not see.
    assert json.dumps(result.tree(), ensure_ascii=False, separators=(",", ":")) + "\n" == text


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_run_writes_the_keys_that_the_older_version_wrote(kind, written):
    new, old = (json.loads(p.read_text()) for p in (written / KINDS[kind][0], FIXTURES / f"{kind}.json"))
    changes = [place for place in differences(new, old) if "seconds" not in place]
    assert changes == []


def differences(new: Any, old: Any, place: str = "") -> list[str]:
    """Places where keys, their order, lengths or kinds of values differ; None and a number may stand for each other."""
    if isinstance(new, dict) and isinstance(old, dict):
        if list(new) != list(old):
            return [f"{place}: {list(old)} became {list(new)}"]
        return [found for key in new for found in differences(new[key], old[key], f"{place}/{key}")]
    if isinstance(new, list) and isinstance(old, list):
        if len(new) != len(old):
            return [f"{place}: {len(old)} items became {len(new)}"]
        pairs = enumerate(zip(new, old, strict=True))
        return [found for k, (a, b) in pairs for found in differences(a, b, f"{place}/{k}")]
    same = type(new) is type(old) or None in (new, old)
    return [] if same else [f"{place}: {old!r} became {new!r}"]


def test_keys_of_other_versions_are_ignored_and_missing_ones_read_as_defaults():
    tree = json.loads((FIXTURES / "waveforms.json").read_text())
    for key in ("temperature", "thresholds", "calibration"):  # which the first versions did not write
        del tree[key]
    found = WaveformMetrics.model_validate(tree | {"of_a_later_version": 1})
    assert (found.temperature, found.thresholds, found.calibration) == (1.0, {}, "")
    assert found.tree() == tree


def test_the_summary_and_the_card_read_what_an_older_version_wrote():
    for kind, card in (("waveforms", card_waveforms), ("dart", card_dart)):
        tree = json.loads((FIXTURES / f"{kind}.json").read_text())
        _, header, rows = summary(KINDS[kind][1].model_validate(tree))
        assert rows and all(len(row) == len(header) for row in rows)
        del tree["dataset"]  # as the metadata of an export has it
        assert len(card.scores(tree)) == 2
