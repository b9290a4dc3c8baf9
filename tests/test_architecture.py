"""docs/architecture.md names functions and tables by their full names: all of them exist."""

import pkgutil
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
    assert pkgutil.resolve_name(name) is not None


@pytest.mark.parametrize("file", FILES)
def test_a_file_of_the_page_exists(file):
    assert (Path(__file__).parents[1] / file).exists()
