"""The command line: what it answers at once, how it refuses, what it says."""

import json
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from seis_tf import cli
from seis_tf.dataset import shards
from seis_tf.settings.base import OptionError, load_settings
from seis_tf.settings.presets import preset_tree
from seis_tf.settings.training import TrainJob


def run(*arguments: str) -> subprocess.CompletedProcess:
    code = "from seis_tf.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from seis_tf.settings.data import WaveformJob
    from seis_tf.settings.simulation import LabquakeSettings
    from seis_tf.synthetic.labquakes import write_labquakes
    from seis_tf.waveforms.prepare import prepare_waveforms

    folder = tmp_path_factory.mktemp("cli")
    write_labquakes(folder / "records", LabquakeSettings(), count=150, seed=0)
    prepare_waveforms(folder / "records", folder / "dataset", WaveformJob())
    return folder / "dataset"


@pytest.mark.parametrize("arguments", [["--help"], ["prepare", "waveforms", "--help"], ["train", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom seis_tf.cli import main\n"
        "try: main()\nexcept SystemExit as end: status = end.code\n"
        "heavy = {'tensorflow', 'keras', 'scipy', 'obspy', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "print('STATUS', status, sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert "STATUS 0 []" in result.stdout, result.stdout + result.stderr


def test_inspect_needs_no_tensorflow(dataset):
    code = (
        "import sys\nfrom seis_tf.cli import main\n"
        "try: main()\nexcept SystemExit as end: status = end.code\n"
        "print('STATUS', status, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code, "inspect", str(dataset)], capture_output=True, text=True)
    assert "STATUS 0 False" in result.stdout, result.stdout + result.stderr
    assert "65 x 101" in result.stdout


def test_inspect_as_json_is_what_dataset_json_says(dataset):
    result = CliRunner().invoke(cli.app, ["inspect", str(dataset), "--json"])
    told = json.loads(result.stdout)
    assert told == shards.load_dataset(dataset).model_dump(mode="json")


def test_a_users_mistake_is_one_line_and_status_1(tmp_path):
    result = run("inspect", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"seis-tf: {tmp_path}/dataset.json: expected a finished data set, received no dataset.json"
    )


def test_wrong_usage_is_status_2():
    assert run("inspect").returncode == 2
    assert run("no-such-command").returncode == 2


def test_verify_names_the_damaged_record_and_ends_with_1(dataset, tmp_path):
    import shutil

    copy = tmp_path / "dataset"
    shutil.copytree(dataset, copy)
    shard = next(copy.glob("*train*"))
    content = bytearray(shard.read_bytes())
    content[100] ^= 1  # inside the payload of the first record
    shard.write_bytes(content)
    result = run("verify", str(copy))
    assert result.returncode == 1
    assert f"{shard}: record 0: expected payload checksum" in result.stderr
    assert run("verify", str(dataset)).returncode == 0


def test_dry_run_prints_the_closed_formula(dataset):
    result = run("train", "mlp", str(dataset), "--dry-run", "--hidden", "50,2")
    assert result.returncode == 0, result.stderr
    assert "328,411 counted, 328,411 by the formula" in result.stdout


def test_options_lie_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"training": {"epochs": 7, "batch_size": 10}}))
    job = load_settings(TrainJob, file, {"training.batch_size": 25}, base=preset_tree("mlp", "exercise"))
    assert (job.training.optimizer, job.training.epochs, job.training.batch_size) == ("sgd", 7, 25)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"training": {"epohcs": 3}}', "training.epohcs: Extra inputs are not permitted"),
        ('{"training": {"epochs": 0}}', "training.epochs: Input should be greater than 0, received 0"),
        ("[1, 2]", "expected a JSON object of settings"),
        ("{", "expected a JSON object of settings"),
    ],
)
def test_a_wrong_settings_file_is_refused_with_its_name(tmp_path, content, message):
    file = tmp_path / "job.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="job.json") as error:
        load_settings(TrainJob, file, {}, base=preset_tree("mlp", None))
    assert message in str(error.value)


def test_a_preset_of_another_model_is_refused():
    with pytest.raises(ValueError, match="preset exercise: expected model mlp, received cnn"):
        preset_tree("cnn", "exercise")


def printed_by_predict(monkeypatch, capsys, answers) -> list[str]:
    from seis_tf.serve.predict import predict as prediction

    monkeypatch.setattr(prediction, "predict", lambda *arguments, **options: answers)
    cli.app(["predict", "MODELS/x", "records"], standalone_mode=False)
    return capsys.readouterr().out.splitlines()


def test_predict_prints_a_row_a_record_with_whole_names(monkeypatch, capsys):
    name = "a_name_that_is_longer_than_a_column_of_a_narrow_table.mseed"
    answers = [{"record": f"/some/where/{i}/{i}_{name}", "class_name": "AE"} for i in range(2)]
    lines = printed_by_predict(monkeypatch, capsys, answers)
    assert [line.split()[1] for line in lines if name in line] == [f"{i}_{name}" for i in range(2)]
    # The same name in two folders: only the path tells them apart.
    same = [{"record": f"/some/{i}/{name}", "class_name": "AE"} for i in range(2)]
    assert sum(f"/some/{i}/{name}" in "".join(printed_by_predict(monkeypatch, capsys, same)) for i in range(2)) == 2


def test_predict_says_which_records_were_judged_in_part_and_how_to_go_along_them(monkeypatch, capsys):
    use = {"record_s": 150.0, "used_s": 40.0, "note": "judged by 40 of 150 s, from 0 s on"}
    answers = [{"record": "a", "class_name": "noise"} | use, {"record": "b", "class_name": "noise"}]
    lines = printed_by_predict(monkeypatch, capsys, answers)
    assert any(use["note"] in line for line in lines)
    assert lines[-1] == "1 of 2 records are longer than a window; --slide answers along them"


def test_predict_prints_windows_along_a_record_with_its_short_name(monkeypatch, capsys):
    answers = [{"record": "/some/a.mseed", "start_s": 12345.5 + i, "class_name": "noise"} for i in range(2)]
    lines = printed_by_predict(monkeypatch, capsys, answers)
    assert [line.split()[1] for line in lines if "a.mseed" in line] == ["a.mseed"] * 2
    # Not 1.235e+04; halves go to the even one.
    assert [line.split()[3] for line in lines if "a.mseed" in line] == ["12346", "12346"]


def test_predict_prints_many_values_downwards(monkeypatch, capsys):
    weights = {f"acsza{number}": float(number) for number in range(54, 66)}
    answers = [{"record": "quake", "mw": 8.5, "weights_m": weights}]
    lines = printed_by_predict(monkeypatch, capsys, answers)
    assert sum("acsza" in line for line in lines) == 12
    assert any(line.split()[1:-1] == ["slip_acsza54_m", "│", "54"] for line in lines)


def test_brackets_in_names_are_printed_as_they_are(dataset, tmp_path, monkeypatch, capsys):
    content = json.loads((dataset / "dataset.json").read_text())
    name = "AE/[bold]x[/b]_:cat:_[1].mseed"
    content["rejected"] = [{"file": name, "reason": "expected [/x], received [red]"}]
    content["duplicates"] = [[name, "[/]"]]
    del content["checksum"]
    content["job"]["source"]["group_pattern"] = "^[^_]*_([/a]+)_"
    folder = tmp_path / "[/data]"
    folder.mkdir(parents=True)
    info = shards.DatasetInfo.model_validate(content)
    monkeypatch.setattr(shards, "load_dataset", lambda folder: info)
    cli.app(["inspect", str(folder)], standalone_mode=False)
    printed = capsys.readouterr().out
    for text in (str(folder), name, "expected [/x], received [red]", "'[/]'", "^[^_]*_([/a]+)_"):
        assert text in printed
    answers = [{"record": f"{i}[/b].mseed", "class_name": "[/i]"} for i in range(2)]
    lines = printed_by_predict(monkeypatch, capsys, answers)
    assert sum("[/b].mseed" in line and "[/i]" in line for line in lines) == 2


def test_any_format_is_asked_for_by_name(monkeypatch, tmp_path):
    import obspy

    from seis_tf.serve.predict import predict as prediction

    given = {}
    monkeypatch.setattr(prediction, "predict", lambda *arguments, **options: given.update(options) or [])
    for options, expected in (([], False), (["--any-format"], True)):
        cli.app(["predict", "MODELS/x", "records", *options], standalone_mode=False)
        assert given["any_format"] is expected
    trace = obspy.Trace(np.random.default_rng(0).normal(size=300), {"sampling_rate": 50.0})
    trace.write(str(tmp_path / "x.slist"), format="SLIST")
    result = CliRunner().invoke(cli.app, ["plot", str(tmp_path / "x.slist")])
    assert "--any-format of prepare, predict and plot takes" in str(result.exception)
    result = CliRunner().invoke(cli.app, ["plot", str(tmp_path / "x.slist"), "--any-format"])
    assert result.exit_code == 0 and "report.html" in result.stdout


def test_prepare_makes_a_pure_test_set_and_verify_accepts_an_edit(dataset, tmp_path):
    arguments = ["prepare", "waveforms", str(dataset.parent / "records"), str(tmp_path / "out"), "--all-to", "test"]
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    told = json.loads(result.stdout)["splits"]
    assert {split: part["records"] for split, part in told.items()} == {"train": 0, "valid": 0, "test": 150}
    result = CliRunner().invoke(cli.app, arguments)
    assert "split all to test" in result.stdout
    assert "taken as it is; nothing was read again" in " ".join(result.stderr.split())
    path = tmp_path / "out" / "dataset.json"
    path.write_text(path.read_text().replace('"simulated": true', '"simulated": false'))
    result = CliRunner().invoke(cli.app, ["verify", str(tmp_path / "out")])
    assert result.exit_code == 1 and "expected the content that was written" in " ".join(result.stderr.split())
    result = CliRunner().invoke(cli.app, ["verify", str(tmp_path / "out"), "--accept-changes"])
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("command", ["waveforms", "dart"])
def test_help_says_what_each_split_holds(command):
    text = " ".join(CliRunner().invoke(cli.app, ["prepare", command, "--help"]).stdout.replace("│", " ").split())
    assert "events may change sides when records are added" in text
    assert "no event ever changes sides" in text


OUT_OF_RANGE = [
    ("simulate labquakes OUT --count 0", "'--count'"),
    ("simulate fakequakes OUT --count -3", "'--count'"),
    ("simulate labquakes OUT --seed -1", "'--seed'"),
    ("compare DATASET mlp cnn --out OUT --folds 1", "'--folds'"),
    ("learning-curve mlp DATASET --out OUT --seeds 0", "'--seeds'"),
    ("epoch-study mlp DATASET --out OUT --epochs 0", "'--epochs'"),
    ("window-study SOURCE --out OUT --windows 0", "--windows: expected whole numbers above 0"),
    ("tune mlp DATASET --out OUT --trials 0", "'--trials'"),
    ("tune mlp DATASET --out OUT --minutes -1", "'--minutes'"),
    ("prepare waveforms SOURCE OUT --bandpass-hz 3", "--bandpass-hz: expected two numbers with a comma between"),
    ("predict MODEL FILE --epicentre 3", "--epicentre: expected two numbers with a comma between"),
    ("train mlp DATASET --out OUT --epochs 0", "--epochs: training.epochs: Input should be greater than 0, received 0"),
    ("train mlp DATASET --out OUT --seed -1", "--seed: training.seed: Input should be greater than or equal to 0"),
    ("train mlp DATASET --out OUT --hidden 20,0", "--hidden: model.hidden.1: Input should be greater than 0"),
    ("train cnn DATASET --out OUT --dropout 1", "--dropout: model.dropout: Input should be less than 1"),
    ("prepare waveforms SOURCE OUT --test-fraction 1.5", "--test-fraction: split.test_fraction: Input should be less"),
    ("prepare dart SOURCE OUT --window-min 0", "--window-min: record.window_min: Input should be greater than 0"),
]


@pytest.mark.parametrize(("line", "message"), OUT_OF_RANGE, ids=[line for line, _ in OUT_OF_RANGE])
def test_an_option_out_of_range_is_wrong_usage_and_named(line, message, monkeypatch, capsys):
    from seis_tf.commands import console

    monkeypatch.setattr(console, "load_tensorflow", lambda: None)
    with pytest.raises(SystemExit) as end:
        cli.main(line.split())
    told = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert end.value.code == 2 and message in told


def test_a_wrong_value_of_a_file_stays_the_files_fault(tmp_path):
    file = tmp_path / "job.json"
    file.write_text('{"model": {"kind": "mlp"}, "training": {"epochs": 0}}')
    with pytest.raises(ValueError, match="job.json: training.epochs") as error:
        load_settings(TrainJob, file, {"training.seed": 3})
    assert not isinstance(error.value, OptionError)


def test_two_numbers_are_typed_as_the_help_shows_them(monkeypatch, capsys):
    from seis_tf.serve.predict import predict as prediction

    told = {}
    monkeypatch.setattr(prediction, "predict", lambda *arguments, **options: told.update(options) or [{"record": "a"}])
    cli.app(["predict", "MODELS/x", "a.txt", "--epicentre", "-124.5,45"], standalone_mode=False)
    assert told["epicentre"] == (-124.5, 45.0)
    with pytest.raises(SystemExit):
        cli.main(["predict", "--help"])
    assert "LON,LAT" in capsys.readouterr().out
