"""Imports go one way: every import in seis_tf/, tuning/ and serve/ is read and held against the tables below.

Imports inside functions and under `TYPE_CHECKING` count like those at the top of a file, and so does a string that
names a module (as `PackageLoader`, `files` or a preload list is given). A new module or package directly in seis_tf/
must be placed in a tier here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"seis_tf": "seis_tf", "tuning": "seis_tf.tuning", "serve": "seis_tf.serve"}  # folder -> installed name

MODULE_NAME = re.compile(r"seis_tf(\.[a-z_]\w*)+")

# All names below are without the leading "seis_tf.". A tier may import from itself and from the tiers above it here.
TIERS = (
    ("settings", "files", "names", "startup", "isolated", "hdf5", "matlab", "data"),
    ("dataset", "models"),
    ("training",),
    ("waveforms", "dart"),
    ("tasks", "synthetic"),
    ("runs", "importing"),
    ("evaluation",),
    ("tuning", "serve"),
    ("edges", "demo", "commands", "cli", "__main__"),
)
# The first may import nothing of the second.
NEVER = (
    ("waveforms", "dart"),
    ("dart", "waveforms"),
    ("evaluation.waveforms", "evaluation.dart"),
    ("evaluation.dart", "evaluation.waveforms"),
    ("tuning", "serve"),
    ("serve", "tuning"),
    ("serve.export", "serve.server"),
    ("serve.predict", "serve.server"),
)
# May import these and itself, nothing else of seis_tf.
ONLY = {"synthetic": ("settings", "files", "dart.unit_sources", "dart.inversion")}
# (importing module, imported module) that break a rule today. The list only gets shorter.
ALLOWED: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Import:
    """One import of a module of seis_tf: names without the leading `seis_tf.` ("" is seis_tf itself)."""

    importer: str
    imported: str
    place: str  # file:line


def modules(root: Path) -> dict[str, Path]:
    """Installed name -> file of every module; a package has the name of its folder."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


def names_in(node: ast.AST, importer: str, is_package: bool, known: dict[str, Path]) -> list[str]:
    """Full names of what one node imports; `from package import name` may be a module of it."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value] if MODULE_NAME.fullmatch(node.value) else []
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = importer.split(".")[: None if is_package else -1]
        base = ".".join([*package[: len(package) - node.level + 1], *([base] if base else [])])
    return [inner if (inner := f"{base}.{alias.name}") in known else base for alias in node.names]


def imports(root: Path) -> tuple[list[Import], list[str]]:
    """Every import of the project's own modules, and a message for each one that names a module which isn't there."""
    known, found, missing = modules(root), [], []
    for importer, path in known.items():
        for node in ast.walk(ast.parse(path.read_text())):
            for name in dict.fromkeys(names_in(node, importer, path.name == "__init__.py", known)):
                place = f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}"
                if name in known:
                    short = [full.removeprefix("seis_tf").removeprefix(".") for full in (importer, name)]
                    found.append(Import(short[0], short[1], place))
                elif name.split(".")[0] in FOLDERS:
                    missing.append(f"{place}: {importer} imports {name}: expected a module of seis_tf")
    return found, missing


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def tier(module: str) -> int | None:
    """Number of the tier, counted from the bottom; None for a module that no tier names."""
    top = module.split(".")[0]
    return next((number for number, names in enumerate(TIERS) if top in names), None)


def broken_rule(found: Import) -> str | None:
    """What the import breaks, if anything. Everybody may import seis_tf itself, which holds the version."""
    one, other = found.importer, found.imported
    if not one and other:
        return "seis_tf/__init__.py imports nothing of seis_tf"
    for package, allowed in ONLY.items():
        if other and within(one, package) and not any(within(other, name) for name in (package, *allowed)):
            return f"{package} may import {', '.join(allowed)} only"
    for package, barred in NEVER:
        if within(one, package) and within(other, barred):
            return f"{package} may import nothing of {barred}"
    below, above = tier(one), tier(other)
    if below is not None and above is not None and above > below:
        return f"{one.split('.')[0]} lies below {other.split('.')[0]}"
    return None


def circles(found: list[Import], name_of: Callable[[str], str], what: str) -> list[str]:
    """A message for each circle of imports among the groups of modules that `name_of` makes."""
    places = {(name_of(each.importer), name_of(each.imported)): each.place for each in found if each.imported}
    places = {edge: place for edge, place in places.items() if edge[0] != edge[1]}
    lines = []
    while True:
        graph: dict[str, set[str]] = {}
        for importer, imported in places:
            graph.setdefault(importer, set()).add(imported)
        try:
            TopologicalSorter(graph).prepare()
            return lines
        except CycleError as error:
            ring = error.args[1][:0:-1]  # each imports the next, the last one the first
        start = ring.index(min(ring))
        ring = ring[start:] + ring[: start + 1]
        edges = list(pairwise(ring))
        steps = "".join(f" -> {imported} ({places.pop((importer, imported))})" for importer, imported in edges)
        lines.append(f"circle of {what}: {ring[0]}{steps}")


def problems(root: Path, allowed: frozenset[tuple[str, str]]) -> list[str]:
    """One line for each broken rule, for each circle, and for each entry of `allowed` that no longer occurs."""
    known = modules(root)
    lines = [
        f"{path.relative_to(root)}: {name} is in no tier: place it in TIERS of tests/test_imports.py"
        for name, path in known.items()
        if name.count(".") == 1 and tier(name.removeprefix("seis_tf.")) is None
    ]
    found, missing = imports(root)
    lines += missing
    stale = allowed - {(each.importer, each.imported) for each in found}
    lines += [f"allowed, but no longer there: {importer} imports {imported}" for importer, imported in sorted(stale)]
    found = [each for each in found if (each.importer, each.imported) not in allowed]
    lines += [
        f"{each.place}: seis_tf.{each.importer} imports seis_tf.{each.imported}: {rule}"
        for each in found
        if (rule := broken_rule(each))
    ]

    packages = {name.removeprefix("seis_tf.") for name, path in known.items() if path.name == "__init__.py"}
    mixed = {package.rpartition(".")[0] for package in packages}  # packages that hold packages

    def package_of(module: str) -> str:
        """The package that a module lies in; a module that lies beside packages stands for itself."""
        parent = module.rpartition(".")[0]
        return module if module in packages or parent in mixed else parent

    return lines + circles(found, str, "modules") + circles(found, package_of, "packages")


def test_imports_go_one_way():
    assert problems(ROOT, ALLOWED) == []


CLEAN = {
    "seis_tf/__init__.py": "__version__ = '1'",
    "seis_tf/files.py": "import json",
    "seis_tf/tasks.py": "from seis_tf.dart.windows import window\nfrom seis_tf import __version__",
    "seis_tf/cli.py": "def main():\n    from seis_tf.serve import server",
    "seis_tf/names.py": "from seis_tf.settings import data",
    "seis_tf/settings/__init__.py": "",
    "seis_tf/settings/data.py": "",
    "seis_tf/dataset/__init__.py": "from . import shards\nfrom .shards import read",
    "seis_tf/dataset/shards.py": "from ..files import write\nfrom .examples import encode",
    "seis_tf/dataset/examples.py": "import numpy as np\nimport seis_tf.files",
    "seis_tf/training/__init__.py": "",
    "seis_tf/waveforms/__init__.py": "",
    "seis_tf/waveforms/windows.py": "from seis_tf.dataset import shards",
    "seis_tf/dart/__init__.py": "",
    "seis_tf/dart/windows.py": "",
    "seis_tf/dart/unit_sources.py": "from seis_tf.dart import windows",
    "seis_tf/synthetic/__init__.py": "from seis_tf.dart.unit_sources import load_greens",
    "seis_tf/evaluation/__init__.py": "",
    "seis_tf/evaluation/waveforms/__init__.py": "",
    "seis_tf/evaluation/dart/__init__.py": "",
    "tuning/__init__.py": "from seis_tf import tasks",
    "serve/__init__.py": "",
    "serve/export/__init__.py": "",
    "serve/server/__init__.py": "",
}
PLANTED = {
    "from below": (
        "seis_tf/dataset/examples.py",
        "\ndef late():\n    from seis_tf.training import fit",
        "seis_tf/dataset/examples.py:3: seis_tf.dataset.examples imports seis_tf.training: dataset lies below training",
    ),
    "the two jobs": (
        "seis_tf/waveforms/windows.py",
        "import seis_tf.dart.windows",
        "seis_tf/waveforms/windows.py:1: seis_tf.waveforms.windows imports seis_tf.dart.windows: "
        "waveforms may import nothing of dart",
    ),
    "the evaluations of the two jobs, for a type only": (
        "seis_tf/evaluation/dart/__init__.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..waveforms import Judged",
        "seis_tf/evaluation/dart/__init__.py:3: seis_tf.evaluation.dart imports seis_tf.evaluation.waveforms: "
        "evaluation.dart may import nothing of evaluation.waveforms",
    ),
    "search and serving": (
        "tuning/__init__.py",
        "from seis_tf import serve",
        "tuning/__init__.py:1: seis_tf.tuning imports seis_tf.serve: tuning may import nothing of serve",
    ),
    "export and the server": (
        "serve/export/__init__.py",
        "from ..server import core",
        "serve/export/__init__.py:1: seis_tf.serve.export imports seis_tf.serve.server: "
        "serve.export may import nothing of serve.server",
    ),
    "simulation and training": (
        "seis_tf/synthetic/__init__.py",
        "from seis_tf.dart import windows",
        "seis_tf/synthetic/__init__.py:1: seis_tf.synthetic imports seis_tf.dart.windows: "
        "synthetic may import settings, files, dart.unit_sources, dart.inversion only",
    ),
    "a module named by a string": (
        "seis_tf/dataset/examples.py",
        'def preload(context):\n    context.set_forkserver_preload(["seis_tf.cli"])',
        "seis_tf/dataset/examples.py:2: seis_tf.dataset.examples imports seis_tf.cli: dataset lies below cli",
    ),
    "a circle of modules": (
        "seis_tf/dart/windows.py",
        "from seis_tf.dart import unit_sources",
        "circle of modules: dart.unit_sources -> dart.windows (seis_tf/dart/unit_sources.py:1)"
        " -> dart.unit_sources (seis_tf/dart/windows.py:1)",
    ),
    "a circle of packages": (
        "seis_tf/settings/__init__.py",
        "from seis_tf.names import ordered",
        "circle of packages: names -> settings (seis_tf/names.py:1) -> names (seis_tf/settings/__init__.py:1)",
    ),
    "a package in no tier": (
        "seis_tf/helpers/__init__.py",
        "",
        "seis_tf/helpers/__init__.py: seis_tf.helpers is in no tier: place it in TIERS of tests/test_imports.py",
    ),
    "a module that isn't there": (
        "seis_tf/cli.py",
        "from seis_tf.judgement import scores",
        "seis_tf/cli.py:1: seis_tf.cli imports seis_tf.judgement: expected a module of seis_tf",
    ),
    "the folder's name, which is not the installed one": (
        "seis_tf/cli.py",
        "import serve.export",
        "seis_tf/cli.py:1: seis_tf.cli imports serve.export: expected a module of seis_tf",
    ),
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_a_tree_that_keeps_the_rules_passes(tmp_path):
    assert problems(write_tree(tmp_path, CLEAN), frozenset()) == []


@pytest.mark.parametrize("planted", PLANTED)
def test_a_broken_rule_is_found(tmp_path, planted):
    file, text, message = PLANTED[planted]
    assert problems(write_tree(tmp_path, CLEAN | {file: text}), frozenset()) == [message]


def test_an_allowed_import_passes_and_an_entry_without_use_fails(tmp_path):
    tree = write_tree(tmp_path, CLEAN | {"tuning/__init__.py": "from seis_tf import serve"})
    assert problems(tree, frozenset({("tuning", "serve")})) == []
    (tmp_path / "tuning" / "__init__.py").write_text("")
    lines = problems(tree, frozenset({("tuning", "serve")}))
    assert lines == ["allowed, but no longer there: tuning imports serve"]
