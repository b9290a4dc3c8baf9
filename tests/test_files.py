"""Tables as CSV. Whole files or the old ones: tests/settings/test_base.py."""

from __future__ import annotations

import csv
import io

import pytest

from seis_tf.files import as_csv, rows_as_csv


def read(text):
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_table_is_read_back_by_the_csv_module_as_it_was_written():
    header = ["run", "slip, m", 'the "best"']
    rows = [["a", 1.5, None], ["b,c", -2, 'said "no"'], ["two\nlines", float("nan"), True], ["", 0, " spaces "]]
    expected = [header, *[["" if cell is None else str(cell) for cell in row] for row in rows]]
    assert read(as_csv(header, rows)) == expected


def test_lines_end_in_a_line_feed_and_rows_may_come_from_a_generator():
    assert as_csv(["n", "square"], ([n, n**2] for n in (1, 2))) == "n,square\n1,1\n2,4\n"
    assert as_csv(["n", "square"], []) == "n,square\n"


def test_rows_by_column_name_read_back_as_dicts():
    rows = [{"name": "mlp", "loss": 0.25, "note": "a, b"}, {"loss": 0.5, "name": "cnn"}]
    text = rows_as_csv(rows)
    assert text.splitlines()[0] == "name,loss,note"
    assert list(csv.DictReader(io.StringIO(text))) == [
        {"name": "mlp", "loss": "0.25", "note": "a, b"},
        {"name": "cnn", "loss": "0.5", "note": ""},
    ]


def test_named_columns_give_the_order_and_may_be_more_than_the_rows_have():
    assert rows_as_csv([{"b": 1, "a": 2}], ["a", "b", "c"]) == "a,b,c\n2,1,\n"
    assert rows_as_csv([], ["a", "b"]) == "a,b\n"


def test_a_column_that_is_not_among_those_named_is_refused():
    with pytest.raises(ValueError, match=r"^CSV: expected the columns a, b, received c, d as well$"):
        rows_as_csv([{"a": 1, "b": 2}, {"a": 1, "d": 3, "c": 4}])
    with pytest.raises(ValueError, match=r"^CSV: expected the columns a, received b as well$"):
        rows_as_csv([{"a": 1, "b": 2}], ["a"])
