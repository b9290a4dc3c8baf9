"""Every module has a test file of its name, or a line in tests/README.md that says where it is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROW = re.compile(r"^\| `([\w/.]+\.py)` \| (.+) \|$", re.MULTILINE)


def has_code(path: Path) -> bool:
    """Whether a module holds more than a docstring and imports."""
    passive = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
    return not all(isinstance(node, passive) for node in ast.parse(path.read_text()).body)


def modules(root: Path) -> dict[str, str]:
    """Module -> the test file of its name, both from the root: tests/ leaves out the leading seis_tf/."""
    found = {}
    for folder in ("seis_tf", "tuning", "serve"):
        for path in sorted((root / folder).rglob("*.py")):
            name = path.relative_to(root).as_posix()
            if path.name != "__init__.py" or has_code(path):
                inside = Path(name.removeprefix("seis_tf/"))
                found[name] = (Path("tests") / inside.parent / f"test_{inside.stem.strip('_')}.py").as_posix()
    return found


def problems(root: Path) -> list[str]:
    """One line for each module or test file that has no place, and for each line of the tables that is out of date."""
    own_file = modules(root)
    tests = {path.relative_to(root).as_posix() for path in (root / "tests").rglob("test_*.py")}
    rows = dict(ROW.findall((root / "tests" / "README.md").read_text()))
    lines = []
    for module, file in own_file.items():
        if file in tests and module in rows:
            lines.append(f"{module}: {file} is there: its line in tests/README.md goes")
        elif file not in tests and module not in rows:
            lines.append(f"{module}: expected {file}, or a line in tests/README.md that says where it is tested")
    for name, text in rows.items():
        if name.startswith("tests/"):
            if name not in tests or name in own_file.values():
                lines.append(f"tests/README.md, {name}: expected a test file without a module of its name")
        elif name not in own_file:
            lines.append(f"tests/README.md, {name}: expected a module, received nothing there")
        else:
            named = [file for file in re.findall("`([^`]+)`", text) if not (root / file).is_file()]
            lines += [f"tests/README.md, {name}: expected a file that tests it, received {file}" for file in named]
    alone = sorted(tests - set(own_file.values()) - set(rows))
    return lines + [f"{file}: expected a module of its name, or a line in tests/README.md" for file in alone]


def test_every_module_is_tested_where_it_is_looked_for():
    assert problems(ROOT) == []


def test_what_has_no_place_and_what_is_out_of_date_is_found(tmp_path):
    files = {
        "seis_tf/__init__.py": '"""Doc."""\n__version__ = "1"',
        "seis_tf/files.py": "",
        "seis_tf/dart/windows.py": "",
        "serve/export/check.py": "",
        "serve/export/card.py": "",
        "tests/test_files.py": "",
        "tests/serve/export/test_check.py": "",
        "tests/test_wheel.py": "",
        "tests/README.md": "| `seis_tf/gone.py` | `tests/test_files.py` |\n"
        "| `serve/export/card.py` | `tests/test_card.py` |\n"
        "| `seis_tf/files.py` | `tests/test_files.py` |\n| `tests/test_gone.py` | the wheel |\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert problems(tmp_path) == [
        "seis_tf/dart/windows.py: expected tests/dart/test_windows.py, or a line in tests/README.md that says where"
        " it is tested",
        "seis_tf/files.py: tests/test_files.py is there: its line in tests/README.md goes",
        "tests/README.md, seis_tf/gone.py: expected a module, received nothing there",
        "tests/README.md, serve/export/card.py: expected a file that tests it, received tests/test_card.py",
        "tests/README.md, tests/test_gone.py: expected a test file without a module of its name",
        "tests/test_wheel.py: expected a module of its name, or a line in tests/README.md",
    ]
