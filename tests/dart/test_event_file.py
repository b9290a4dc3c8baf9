"""`event.json`: what can't be an origin time or an epicentre is refused by a message that names the file."""

import json
import re

import pytest

from seis_tf.dart.event_file import EVENT_FILE, read_event_file

GOOD = {"origin_time": "2018-01-23T09:31:40Z", "epicentre_lonlat": [-149.2, 56], "mw": 7.9}


def written(folder, **changes):
    path = folder / EVENT_FILE
    path.write_text(json.dumps(GOOD | changes))
    return path


def test_the_content_is_given_as_it_is(tmp_path):
    assert read_event_file(written(tmp_path)) == GOOD
    (tmp_path / EVENT_FILE).write_text("{}")
    assert read_event_file(tmp_path / EVENT_FILE) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin_time": 1516699900}, "origin_time: expected text, received '1516699900'"),
        ({"epicentre_lonlat": [1]}, "epicentre_lonlat: expected two numbers, received '[1]'"),
        ({"epicentre_lonlat": ["a", 2]}, "epicentre_lonlat: expected two numbers, received"),
        ({"epicentre_lonlat": "-149.2,56"}, "epicentre_lonlat: expected two numbers, received '-149.2,56'"),
    ],
)
def test_what_can_not_be_is_named(tmp_path, changes, message):
    path = written(tmp_path, **changes)
    with pytest.raises(ValueError, match=re.escape(f"{path}: {message}")):
        read_event_file(path)
