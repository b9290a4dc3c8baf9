"""The machinery of benchmarks/, and that the alternatives do the same work; no timing is tested."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"
OWN = ("suite", "rows", "run", "real_methods", "real_records", "defaults")


@pytest.fixture(autouse=True)
def benchmarks_on_path(monkeypatch):
    """As `python benchmarks/run.py` has it."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in OWN]:
        del sys.modules[name]


def found(**rates):
    return {name: {"rates": values, "whole_rates": [v / 2 for v in values]} for name, values in rates.items()}


def test_a_ratio_is_of_calls_in_turn_and_against_the_best_of_the_others():
    from suite.definition import Comparison
    from suite.measure import compare

    ways = found(ours=[10.0, 30.0, 24.0], one=[5.0, 6.0, 4.0], two=[4.0, 9.0, 3.0])
    result = compare(Comparison("x", "ours", ("one", "two"), aim=5.0), ways)
    # Medians of the others are 5 and 4, so "one" counts; call by call 10/5, 30/6, 24/4.
    assert result["against"] == "one"
    assert (result["ratio"], result["low"], result["high"]) == (5.0, 2.0, 6.0)
    assert result["met"] is True
    assert compare(Comparison("x", "ours", ("one",), aim=5.1), ways)["met"] is False
    assert compare(Comparison("x", "ours", ("one",)), ways)["met"] is None


def test_compiling_counts_only_where_a_comparison_says_so():
    from suite.definition import Comparison
    from suite.measure import compare

    ways = {"ours": {"rates": [8.0], "whole_rates": [2.0]}, "other": {"rates": [4.0], "whole_rates": [4.0]}}
    assert compare(Comparison("x", "ours", ("other",)), ways)["ratio"] == 2.0
    assert compare(Comparison("x", "ours", ("other",), compiling=True), ways)["ratio"] == 0.5


def write_module(folder: Path) -> None:
    (folder / "imagined.py").write_text(
        "from suite.definition import Ready\n"
        "def way(work, units):\n"
        "    print('noise on standard output')\n"
        "    return Ready(lambda: {'compile_s': 0.0}, units, facts=lambda: {'name': work.name})\n"
        "def broken(work):\n"
        "    raise ValueError('no such thing')\n"
    )


def imagined_row(**changes):
    from suite.definition import Comparison, Row, Way

    ways = {"ours": Way("imagined:way", {"units": 6}), "other": Way("imagined:way", {"units": 3}, 1)}
    return Row("1", "work", "things/s", (), ways, (Comparison("all", "ours", ("other",)),), repeats=3, **changes)


@pytest.mark.parametrize("fresh", [False, True])
def test_ways_run_in_processes_of_their_own(tmp_path, monkeypatch, fresh):
    from suite.measure import measure

    write_module(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = measure(imagined_row(fresh=fresh), tmp_path, tell=lambda text: None)
    assert {name: len(way["rates"]) for name, way in result["ways"].items()} == {"ours": 3, "other": 3}
    assert result["ways"]["ours"]["units"] == 6
    assert result["ways"]["other"]["threads"] == 1
    assert result["ways"]["ours"]["facts"] == {"name": tmp_path.name}
    assert result["comparisons"][0]["calls"] == 3


def test_a_way_that_fails_is_named_with_its_reason(tmp_path, monkeypatch):
    from suite.definition import Way
    from suite.workers import Worker, WorkerFailed

    write_module(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(WorkerFailed, match=r"(?s)imagined:broken: expected an answer, received .*no such thing"):
        Worker(Way("imagined:broken"), tmp_path, "warm").answer()


def test_parts_are_put_in_the_tables_order_and_unknown_ones_refused():
    from run import parts_of

    assert parts_of("profile, 10,9,2") == ["2", "9a", "9b", "9c", "9d", "10", "profile"]
    assert parts_of("9c") == ["9c"]
    with pytest.raises(ValueError, match=r"--only: expected some of 1, .*profile, received 11"):
        parts_of("1,11")


def results() -> dict:
    from suite import machine

    row = {
        "title": "work", "unit": "things/s", "note": "A note.", "remarks": [], "scale": "normal",
        "machine": machine.describe(),
        "ways": {"ours": {"rates": [2.0, 4.0], "threads": 2, "setup_s": 1.0, "compile_s": 0.5}},
        "comparisons": [
            {"label": "all", "ours": "ours", "against": "other", "our_rate": 12345.6, "their_rate": 0.0123, "aim": 3.0,
             "ratio": 2.5, "low": 2.0, "high": 3.0, "calls": 2, "met": False}
        ],
    }  # fmt: skip
    return {"10": row, "9a": row, "2": row}


def test_a_run_is_merged_into_the_json_and_the_readme_keeps_what_a_person_wrote(tmp_path):
    from suite import render

    path = tmp_path / "results.json"
    everything = results()
    render.save(path, {"10": everything["10"]})
    merged = render.load(path) | {"9a": everything["9a"], "2": everything["2"]}
    render.save(path, merged)
    assert list(json.loads(path.read_text())) == ["2", "9a", "10"]
    readme = tmp_path / "README.md"
    readme.write_text(f"# Mine\n\n{render.BEGIN}\nold\n{render.END}\nend\n")
    for _ in range(2):
        render.show(path, render.load(path))
        text = readme.read_text()
        assert text.startswith("# Mine\n") and text.endswith("end\n")
        assert "old" not in text and text.count(render.BEGIN) == text.count(render.END) == 1
    assert "| 2 | work<br>all | 12,300 things/s | 0.0123 (other) | **2.5** (2 to 3) | 3 | **missed** |" in text
    assert text.index("| 9a |") < text.index("| 10 |")
    assert str(tmp_path) not in text


def test_growth_and_profiles_are_shown(tmp_path):
    from suite import machine, render

    points = [
        {"records": 1000, "seconds": 1.0, "memory_mb": 100.0},
        {"records": 3000, "seconds": 2.0, "memory_mb": 90.0},
    ]
    sweep = [{"batch": 5, "ours, training": 10.0}, {"batch": 20, "ours, training": 30.0}]
    limits = {"product_gflops": 50.0, "memory_gb_s": 9.0, "disk_write_gb_s": 1.0, "disk_read_gb_s": 2.0}
    profile = {"total_s": 0.2, "parts": [{"name": "forward", "seconds": 0.05, "note": "n"}]}
    about = {"scale": "normal", "machine": machine.describe()}
    all_of_it = {
        "growth": {"records": {"1: prepare": points}, "sweeps": {"batch": sweep, "minutes": []}} | about,
        "profile": {"limits": limits, "limit_threads": 2, "profiles": {"4: epoch": profile}} | about,
    }
    render.show(tmp_path / "results.json", all_of_it)
    text = (tmp_path / "README.md").read_text()
    # Two thousand records more took one second and 10 MB less.
    assert "| 1: prepare | 3,000 | 2.00 | 90 | 0.500 | -5.000 |" in text
    assert "| forward | 50 | 25% | n |" in text
    assert "| all | 200 | 100% |  |" in text
    for file in ("records.png", "sizes.png"):
        assert (tmp_path / "figures" / file).stat().st_size > 1000 and f"figures/{file}" in text


def test_the_machine_is_told_without_its_name():
    import platform

    from suite import machine

    about = machine.describe()
    assert about["cores"] >= 1 and about["packages"]["numpy"] == np.__version__
    assert platform.node() not in json.dumps(about).split()


def test_memory_of_a_process_and_those_below_it_is_seen(tmp_path, monkeypatch):
    from suite.workers import once

    (tmp_path / "hungry.py").write_text(
        "import subprocess, sys\n"
        "CODE = 'import time; x = bytearray(b\"1\") * (60 << 20); time.sleep(1)'\n"
        "def eat(work):\n"
        "    subprocess.run([sys.executable, '-c', CODE], check=True)\n"
        "    return {'seconds': 1.0}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # 60 MiB in the child, and two interpreters of some 10 MB each.
    assert 60 < once("hungry:eat", tmp_path, watched=True)["memory_mb"] < 150


def test_a_clock_counts_a_function_and_gives_it_back():
    from suite.profile import clock

    before = json.dumps
    with clock("json", ("dumps",)) as seconds:
        json.dumps([1] * 100_000)
    assert seconds[0] > 0 and json.dumps is before


def test_every_row_compares_ways_that_it_has():
    from run import ROWS

    for key, (make, _) in ROWS.items():
        for scale in ("quick", "normal", "full"):
            row = make(scale)
            assert row.key == key
            for comparison in row.comparisons:
                assert comparison.ours in row.ways and comparison.against
                assert set(comparison.against) <= row.ways.keys(), (key, comparison.label)


def test_pytorchs_networks_are_ours():
    torch = pytest.importorskip("torch")
    from rows import torch_training

    from seis_tf.dart import networks as dart_networks
    from seis_tf.waveforms import networks as waveform_networks

    pairs = [
        (torch_training.conv1d(), dart_networks.conv1d(45, 3, 31)),
        (torch_training.cnn(), waveform_networks.cnn((65, 101), 3)),
        (torch_training.mlp(), waveform_networks.mlp((65, 101), 3)),
    ]
    for theirs, ours in pairs:
        trainable = sum(int(np.prod(v.shape)) for v in ours.trainable_variables)
        assert sum(p.numel() for p in theirs.parameters()) == trainable
    assert pairs[0][0](torch.zeros(2, 3, 45)).shape == (2, 31)


def test_pytorchs_loop_learns_and_keeps_the_best_epoch():
    torch = pytest.importorskip("torch")
    from rows import torch_training

    torch.manual_seed(0)
    x = torch.randn(40, 3)
    y = x @ torch.tensor([[1.0], [2.0], [3.0]])
    squared = torch.nn.functional.mse_loss
    start = torch.nn.Linear(3, 1)

    def trained(epochs: int, scores: list[float] | None = None):
        model = copy.deepcopy(start)
        torch.manual_seed(1)
        given = iter(scores or [])

        def loss(outputs, targets):
            return squared(outputs, targets) if model.training else torch.tensor(next(given))

        history = torch_training.train(model, x, y, loss, epochs, 8, 0.05, valid=(x, y) if scores else None)
        return model.weight.detach(), history

    weight, history = trained(60)
    assert len(history) == 60 and history[-1] < 0.05 * history[0]
    # Validation is best after the second of three epochs.
    assert torch.equal(trained(3, [3.0, 1.0, 2.0])[0], trained(2)[0])
    assert not torch.equal(trained(3)[0], trained(2)[0])


def small_table(n_events: int = 30):
    """Three records an event, one class an event; the label is in the only cell."""
    from types import SimpleNamespace

    from seis_tf.dataset.tables import Table

    labels = np.repeat(np.arange(n_events) % 3, 3)
    columns = {"label": labels, "group": np.repeat([f"e{i:02d}" for i in range(n_events)], 3)}
    return Table(SimpleNamespace(class_names=("a", "b", "c")), columns, {"all": np.arange(len(labels))})


def test_methods_choose_inside_the_training_fold_and_are_tested_on_other_events(tmp_path):
    import real_records
    from real_methods import Candidate

    table, calls = small_table(), []
    labels, groups = table["label"], table["group"]

    def answering(right_when_chosen: bool, right_when_tested: bool):
        def answer(records, train, test, seed, choosing):
            calls.append((records, train, test, seed, choosing))
            right = right_when_chosen if choosing else right_when_tested
            return np.eye(3)[labels[test] if right else (labels[test] + 1) % 3]

        return answer

    # The one that is good inside the training folds is bad on test records, and must be taken all the same.
    candidates = {"good": Candidate("x", answering(True, False), True), "bad": Candidate("y", answering(False, True))}
    found = {"x": table, "y": small_table()}
    cuts = real_records.folds(labels, groups, 5, 0)
    answers, names = real_records.answers_of("method", candidates, found, cuts, 2, tmp_path)
    assert names == ["good"] * 5
    assert (answers.argmax(-1) == (labels + 1) % 3).all() and answers.shape == (2, 90, 3)
    choices = [call for call in calls if call[4]]
    assert len(choices) == 10 and len(calls) == 20  # two candidates, five folds; then two seeds of the chosen one
    for records, train, test, _, _ in calls:
        assert any(records is table for table in found.values())
        assert not set(groups[train]) & set(groups[test])
    for k, (outer_train, outer_test) in enumerate(cuts):
        for _, train, test, _, _ in choices[2 * k : 2 * k + 2]:
            assert set(train) | set(test) == set(outer_train) and not set(test) & set(outer_test)
    # A second call finds all answers in the folder.
    real_records.answers_of("method", candidates, found, cuts, 2, tmp_path)
    assert len(calls) == 20


def test_differences_are_of_pooled_folds_and_of_the_same_drawn_events():
    import real_records

    table = small_table()
    labels, groups = table["label"], table["group"]
    truth = np.eye(3)[labels]
    wrong = truth.copy()
    wrong[labels == 0] = np.eye(3)[1]  # all of class 0 called 1: recalls 0, 1, 1; precisions of 1 and 2: 1/2, 1
    same = real_records.difference(truth[None], truth[None], labels, groups)
    assert same == {name: {"difference": 0.0, "interval": [0.0, 0.0]} for name in real_records.SCORES}
    apart = real_records.difference(np.stack([truth, wrong]), wrong[None], labels, groups)
    # Half of the distance, since one of the two seeds is right: F1 of the classes is 0, 2/3 and 1.
    assert apart["balanced_accuracy"]["difference"] == pytest.approx((1 - 2 / 3) / 2)
    assert apart["accuracy"]["difference"] == pytest.approx((1 - 2 / 3) / 2)
    assert apart["macro_f1"]["difference"] == pytest.approx((1 - 5 / 9) / 2)
    # Every draw that holds all classes has recalls 0, 1, 1 as well.
    assert apart["balanced_accuracy"]["interval"] == pytest.approx([1 / 6, 1 / 6])
    assert apart["accuracy"]["interval"][0] < 1 / 6 < apart["accuracy"]["interval"][1]


def test_every_method_that_takes_a_spectrogram_may_choose_each():
    from real_methods import SPECTROGRAMS, methods
    from real_records import ROWS

    for row, (folder, _) in ROWS.items():
        for name, candidates in methods(row).items():
            if name in ("largest class", "peak amplitude"):
                continue
            assert {candidate.spectrogram for candidate in candidates.values()} == set(SPECTROGRAMS[folder]), name
