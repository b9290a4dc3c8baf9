"""The page: one file that needs no other, with everything that was said, and nothing that was not meant as markup."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from seis_tf.evaluation.report.figures import new_figure
from seis_tf.evaluation.report.page import (
    KeyNumber,
    Picture,
    Report,
    Section,
    Table,
    simulated_notice,
    ungrouped_notice,
    write_report,
)


def picture(name: str, caption: str = "What is seen.", size: str = "half") -> Picture:
    figure = new_figure()
    figure.subplots().plot([1, 2], [3, 4])
    return Picture(name, figure, caption, size)


def page(**changes) -> Report:
    tree = {
        "title": "AE & noise <tonight>",
        "asked": "Does it work?",
        "answer": "It finds 90 % of each class.",
        "key_numbers": [KeyNumber("0.900", "balanced accuracy", "0.85 to 0.93")],
        "notices": [simulated_notice(), ungrouped_notice()],
        "sections": [
            Section(
                "Scores",
                ["A paragraph."],
                [Table(["", "score"], [["MLP", "0.900"], ["peak", "0.500"]], "A table", strong=[0])],
                [picture("scores")],
            ),
            Section("Records", pictures=[picture(f"card_{k}", size="card") for k in range(3)]),
            Section("Method", ["How it was done."]),
        ],
    }
    return Report(**tree | changes)


class Checker(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    EMPTY = {"meta", "img", "link", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(tmp_path):
    path = write_report(tmp_path, page())
    text = path.read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert checker.tags.count("img") == 4
    assert all(link.startswith(("data:image/png;base64,", "#part-")) for link in checker.links)
    assert not re.search(r"https?://|@import|<script", text)
    assert 'name="viewport"' in text  # a phone shows it at its own width


def test_everything_that_was_said_is_there_in_order(tmp_path):
    text = write_report(tmp_path, page()).read_text()
    said = ["Simulated data", "Ungrouped", "Does it work?", "It finds 90 %", "0.900", "0.85 to 0.93",
            "A paragraph.", "A table", "peak", "What is seen.", "How it was done."]  # fmt: skip
    places = [text.index(words) for words in said]
    assert places == sorted(places)
    assert text.count('<tr class="strong">') == 1


def test_names_from_data_are_no_markup(tmp_path):
    text = write_report(tmp_path, page()).read_text()
    assert "<h1>AE &amp; noise &lt;tonight&gt;</h1>" in text
    assert "<tonight>" not in text


def test_pictures_are_also_files(tmp_path):
    text = write_report(tmp_path, page()).read_text()
    files = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert files == ["card_0.png", "card_1.png", "card_2.png", "scores.png"]
    content = (tmp_path / "figures" / "scores.png").read_bytes()
    assert base64.b64encode(content).decode() in text


def test_the_same_findings_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_report(tmp_path / name, page())
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()


def test_two_pictures_of_one_name_are_refused(tmp_path):
    twice = [Section("A", pictures=[picture("loss")]), Section("B", pictures=[picture("loss")])]
    with pytest.raises(ValueError, match="expected a name for each picture, received loss more than once"):
        write_report(tmp_path, page(sections=twice))
    assert list(tmp_path.iterdir()) == []


def test_a_row_with_a_missing_cell_is_refused(tmp_path):
    short = [Section("A", tables=[Table(["", "x", "y"], [["MLP", "1"]])])]
    with pytest.raises(ValueError, match=r"section A: expected 3 cells a row, received 2: \['MLP', '1'\]"):
        write_report(tmp_path, page(sections=short))
