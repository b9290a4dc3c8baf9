"""docs/architecture.md names functions and tables by their full names: all of them exist."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`(seis_tf(?:\.\w+)+)`", PAGE)))
FILES = sorted(set(re.findall(r"`((?:seis_tf|tests|docs)/[\w/.]*)`", PAGE)))


def test_the_page_names_the_journey():
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_page_exists(name):
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return
    raise AssertionError(name)


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_the_page_exists(file):
    assert (Path(__file__).parents[1] / file).exists()
