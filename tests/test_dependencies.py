"""setup.cfg names what the code imports, with bounds, and nothing else; every module imports."""

from __future__ import annotations

import ast
import configparser
import importlib
import re
import sys
from pathlib import Path

import pytest

import seis_tf

ROOT = Path(__file__).parents[1]
# Import name -> distribution, where they differ.
DISTRIBUTIONS = {
    "google.protobuf": "protobuf",
    "google_crc32c": "google-crc32c",
    "grpc": "grpcio",
    "keras_tuner": "keras-tuner",
    "lazy_loader": "lazy-loader",
    "prometheus_client": "prometheus-client",
    "sklearn": "scikit-learn",
    "tensorflow_serving": "tensorflow-serving-api",
}
# Folder -> the lists of setup.cfg that it may draw from.
LISTS = {
    "seis_tf": ("install_requires",),
    "tuning": ("install_requires",),
    "serve": ("install_requires", "serve"),
    "examples": ("install_requires",),
    "benchmarks": ("install_requires", "serve", "bench"),
    "tests": ("install_requires", "serve", "test"),
}
# Imported only where it is installed: the code says what to do without it.
OPTIONAL = {"torch"}
# Needed without an import in this code, and why.
UNSEEN = {
    "httptools": "uvicorn's parser, which serve takes by name",
    "tensorboard": "KerasTuner imports it and does not ask for it",
    "coverage": "make coverage: pytest-cov's own bound is older than `patch`",
    "build": "python -m build in tests/test_packaging.py",
    "ovmsclient": "a client of another project, run by tests of the server",
    "pytest-cov": "make coverage",
    "ruff": "make lint",
    "basedpyright": "make lint",
}


def distribution(module: str) -> str:
    """Name of what provides an import, as setup.cfg writes it."""
    for name, found in DISTRIBUTIONS.items():
        if module == name or module.startswith(name + "."):
            return found
    return module.split(".")[0]


def imported(folder: Path) -> dict[str, str]:
    """Distribution -> one place (file:line) that imports it, for all that is not Python's own or this project's."""
    scripts = [*folder.rglob("*.py"), *(folder.parent / "benchmarks").rglob("*.py")]  # their tests import them
    own = {"seis_tf", "rows", "suite"} | {path.stem for path in scripts}
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                if name.split(".")[0] not in own | sys.stdlib_module_names:
                    found.setdefault(distribution(name), f"{path.relative_to(folder.parent)}:{node.lineno}")
    return found


def declared(root: Path, name: str) -> dict[str, str]:
    """Distribution -> version bounds in one list of setup.cfg; lists that it takes in by `%(name)s` are left out."""
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg")
    section = "options" if name == "install_requires" else "options.extras_require"
    lines = config.get(section, name, raw=True).split("\n")
    lines = [line.split(";")[0].split("#")[0].strip() for line in lines]
    found = [re.match(r"([\w.-]+)(?:\[[\w,]+\])?(.*)", line) for line in lines if line and not line.startswith("%")]
    return {match[1]: match[2].strip() for match in found if match}


def undeclared(root: Path, folder: str) -> list[str]:
    """One line for each import of a folder that no list of setup.cfg names which the folder may draw from."""
    names = {name for each in LISTS[folder] for name in declared(root, each)} | OPTIONAL
    lists = " or ".join(LISTS[folder])
    return [
        f"{place}: imports {name}: expected it in {lists} of setup.cfg"
        for name, place in imported(root / folder).items()
        if name not in names
    ]


@pytest.mark.parametrize("folder", LISTS)
def test_what_is_imported_is_declared(folder):
    assert undeclared(ROOT, folder) == []


def test_what_is_declared_is_imported():
    used = {name for folder in LISTS for name in imported(ROOT / folder)} | set(UNSEEN)
    lists = sorted({each for names in LISTS.values() for each in names})
    unused = [f"{each}: {name}" for each in lists for name in declared(ROOT, each) if name not in used]
    assert unused == []


@pytest.mark.parametrize("name", ["install_requires", "serve", "test", "bench"])
def test_each_has_a_lower_bound(name):
    loose = [f"{each}{bounds}" for each, bounds in declared(ROOT, name).items() if not re.search("[>=]=", bounds)]
    assert loose == [], "make lowest tries the lower bounds"


def test_the_insides_of_keras_tuner_are_held_to_versions_that_were_tried():
    assert "<1.5" in declared(ROOT, "install_requires")["keras-tuner"]


def test_an_import_that_is_not_declared_is_found(tmp_path):
    (tmp_path / "serve").mkdir()
    (tmp_path / "serve" / "rest.py").write_text(
        "import json\n\ndef ask():\n    import requests\n    import numpy.linalg\n"
    )
    (tmp_path / "setup.cfg").write_text(
        "[options]\ninstall_requires =\n    numpy>=2\n[options.extras_require]\nserve =\n    grpcio>=1.62  # gRPC\n"
    )
    assert undeclared(tmp_path, "serve") == [
        "serve/rest.py:4: imports requests: expected it in install_requires or serve of setup.cfg"
    ]


def modules() -> list[str]:
    """Installed name of every module but the one that starts the command line."""
    names = []
    for folder, package in (("seis_tf", "seis_tf"), ("tuning", "seis_tf.tuning"), ("serve", "seis_tf.serve")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            names.append(".".join([package, *parts]).removesuffix(".__init__"))
    return [name for name in names if not name.endswith("__main__")]


def test_every_module_imports():
    for name in modules():
        assert importlib.import_module(name).__doc__, f"{name}: expected a docstring"


def test_ruff_is_the_same_everywhere():
    hook = re.search(r"ruff-pre-commit\s+rev: v([\d.]+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert hook is not None
    assert declared(ROOT, "test")["ruff"] == f"=={hook[1]}"


def test_the_citation_has_the_version_of_the_package():
    assert f"\nversion: {seis_tf.__version__}\n" in (ROOT / "CITATION.cff").read_text()
