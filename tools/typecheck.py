"""Checks types with basedpyright as the packages are installed: `tuning/` as seis_tf.tuning, `serve/` as seis_tf.serve.

Type checkers find modules by folders, so the installed tree is laid out as links in build/types; pyproject.toml says
what is checked how. Arguments are passed on: `--writebaseline` keeps today's errors in .basedpyright/baseline.json, so
that only new ones fail.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TREE = ROOT / "build" / "types"
PLACES = {"seis_tf": "seis_tf", "tuning": "seis_tf/tuning", "serve": "seis_tf/serve"}


def main() -> int:
    """The exit status of basedpyright: 1 where it finds errors."""
    shutil.rmtree(TREE, ignore_errors=True)
    for folder, place in PLACES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            link = TREE / place / path.relative_to(ROOT / folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    return subprocess.run([sys.executable, "-m", "basedpyright", *sys.argv[1:]], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
