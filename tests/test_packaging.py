"""What is installed: the built wheel in an environment of its own."""

import configparser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import lazy_loader
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_has_one_top_level_name_and_every_module(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"seis_tf"}
    expected = {f"seis_tf/{path.relative_to(ROOT / 'seis_tf').as_posix()}" for path in (ROOT / "seis_tf").rglob("*.py")}
    for folder in ("tuning", "serve"):
        expected |= {
            f"seis_tf/{folder}/{path.relative_to(ROOT / folder).as_posix()}" for path in (ROOT / folder).rglob("*.py")
        }
    assert expected <= set(names)


@pytest.mark.slow
def test_the_wheel_carries_what_its_code_reads(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {
        f"seis_tf/data/{path.name}"
        for path in (ROOT / "seis_tf" / "data").iterdir()
        if path.suffix in (".npz", ".csv", ".md")
    }
    templates = {
        f"seis_tf/evaluation/report/templates/{path.name}"
        for path in (ROOT / "seis_tf" / "evaluation" / "report" / "templates").iterdir()
    }
    static = {f"seis_tf/serve/page/static/{path.name}" for path in (ROOT / "serve" / "page" / "static").iterdir()}
    assert data | templates | static <= names


@pytest.mark.slow
def test_the_installed_wheel_imports_from_its_own_place(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    zipfile.ZipFile(wheel).extractall(site)
    shutil.copytree(Path(lazy_loader.__file__).parent, Path(site) / "lazy_loader")  # all that they need when imported
    code = "import seis_tf, seis_tf.tuning, seis_tf.serve; print(seis_tf.serve.__file__)"
    result = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()) == Path(site) / "seis_tf" / "serve" / "__init__.py"
    generic = subprocess.run([python, "-c", "import tuning"], cwd=tmp_path, capture_output=True, text=True)
    assert "No module named 'tuning'" in generic.stderr


def test_every_package_folder_is_named_in_setup_cfg():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    named = set(config["options"]["packages"].split())
    found = {"seis_tf", "seis_tf.tuning", "seis_tf.serve"}
    for folder, package in (("seis_tf", "seis_tf"), ("tuning", "seis_tf.tuning"), ("serve", "seis_tf.serve")):
        for init in (ROOT / folder).rglob("*/__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    assert named == found
