"""Examples: the wire format written here against TensorFlow's `tf.train.Example`, both ways, and what is refused."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from seis_tf.dart.features import dart_features
from seis_tf.dataset import examples
from seis_tf.dataset.examples import Columns, Feature, decode, encode, encode_batch, parse_batch
from seis_tf.waveforms.features import waveform_features

FEATURES = [
    Feature(name="spectrogram", dtype="float32", shape=(2, 3)),
    Feature(name="label", dtype="int64"),
    Feature(name="snr_db", dtype="float32"),
    Feature(name="group", dtype="string"),
]
VALUES = {
    "spectrogram": np.array([[0, -1.5, np.pi], [1e-30, 3e38, -0.0]], np.float32),
    "label": -2,
    "snr_db": np.float32(12.5),
    "group": "uw_10735908 é",
}


def written_by_tensorflow(values: dict[str, bytes]) -> bytes:
    features = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for name, v in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_tensorflow_reads_what_is_encoded():
    example = tf.train.Example.FromString(encode(VALUES, FEATURES))
    found = {name: list(feature.bytes_list.value) for name, feature in example.features.feature.items()}
    assert found == {
        "spectrogram": [VALUES["spectrogram"].astype("<f4").tobytes()],
        "label": [(-2).to_bytes(8, "little", signed=True)],
        "snr_db": [np.float32(12.5).tobytes()],
        "group": ["uw_10735908 é".encode()],
    }


def test_what_tensorflow_writes_is_decoded():
    raw = {
        "snr_db": np.array(-3.25, "<f4").tobytes(),
        "spectrogram": np.arange(6, dtype="<f4").tobytes(),
        "group": "é".encode(),
        "label": np.array(7, "<i8").tobytes(),
        "more": b"of a later version",
    }
    record = decode(written_by_tensorflow(raw), FEATURES)
    assert record.keys() == {f.name for f in FEATURES}
    np.testing.assert_array_equal(record["spectrogram"], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert (record["label"], record["snr_db"], record["group"]) == (7, -3.25, "é")
    assert record["label"].dtype == np.int64 and record["spectrogram"].dtype == np.float32


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=300),
    st.text(min_size=1, max_size=20).filter(lambda name: name != "numbers"),
    # Lengths around 127 and 16,383, where the wire format's length takes one byte more.
    st.sampled_from([0, 1, 30, 31, 32, 33, 4080, 4094, 4095, 4096]),
)
def test_any_text_name_and_length_come_back_from_both(text, name, count):
    features = [Feature(name=name, dtype="string"), Feature(name="numbers", dtype="float32", shape=(count,))]
    numbers = np.arange(count, dtype=np.float32)
    payload = encode({name: text, "numbers": numbers}, features)
    example = tf.train.Example.FromString(payload)
    assert example.features.feature[name].bytes_list.value[0] == text.encode()
    assert example.features.feature["numbers"].bytes_list.value[0] == numbers.tobytes()
    back = decode(payload, features)
    assert back[name] == text
    np.testing.assert_array_equal(back["numbers"], numbers)
    np.testing.assert_array_equal(decode(example.SerializeToString(), features)["numbers"], numbers)


def test_a_batch_is_parsed_in_the_graph():
    random = np.random.default_rng(0)
    rows = [VALUES | {"spectrogram": random.normal(size=(2, 3)), "label": i, "group": f"g{i}"} for i in range(5)]
    serialized = tf.constant([encode(row, FEATURES) for row in rows])
    parse = tf.function(lambda s: parse_batch(s, FEATURES[:2] + FEATURES[3:]))
    parsed = parse(serialized)
    assert parsed.keys() == {"spectrogram", "label", "group"}
    np.testing.assert_array_equal(parsed["spectrogram"], [row["spectrogram"].astype(np.float32) for row in rows])
    np.testing.assert_array_equal(parsed["label"], range(5))
    assert parsed["label"].dtype == tf.int64
    assert parsed["group"].numpy().tolist() == [b"g0", b"g1", b"g2", b"g3", b"g4"]


def test_records_encoded_together_are_those_encoded_one_by_one():
    random = np.random.default_rng(1)
    rows = [
        VALUES | {"spectrogram": random.normal(size=(2, 3)), "label": i, "snr_db": i / 7, "group": "g" * (i * 70)}
        for i in range(4)
    ]
    columns = {name: [row[name] for row in rows] for name in VALUES}
    assert encode_batch(columns, FEATURES) == [encode(row, FEATURES) for row in rows]
    every_other = np.array(columns["spectrogram"])[::2]
    some = {name: column[::2] for name, column in columns.items()} | {"spectrogram": every_other}
    assert encode_batch(some, FEATURES) == [encode(row, FEATURES) for row in rows[::2]]
    assert encode_batch({name: [] for name in VALUES} | {"spectrogram": np.empty((0, 2, 3))}, FEATURES) == []


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"spectrogram": np.zeros((2, 3, 2))}, r"feature spectrogram: expected shape \(2, 3\), received \(3, 2\)"),
        ({"label": [1, 2.5]}, "feature label: expected whole numbers"),
        ({"label": [1]}, "expected as many values of each feature, received .*'label': 1"),
        ({"station": ["a", "b"]}, r"expected features \['spectrogram', .*\], received .*'station'"),
    ],
)
def test_records_of_another_form_are_not_encoded_together(changed, message):
    with pytest.raises(ValueError, match=message):
        encode_batch({name: [value] * 2 for name, value in VALUES.items()} | changed, FEATURES)


@pytest.mark.parametrize("width", [3, 12])
def test_a_batch_of_another_width_is_an_error_and_not_another_number_of_records(width):
    wide = [Feature(name="spectrogram", dtype="float32", shape=(width,))]
    serialized = tf.constant([encode({"spectrogram": np.zeros(width)}, wide)] * 2)
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_batch(serialized, FEATURES[:1])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"spectrogram": np.zeros((3, 2))}, r"feature spectrogram: expected shape \(2, 3\), received \(3, 2\)"),
        ({"label": [1, 2]}, r"feature label: expected shape \(\), received \(2,\)"),
        ({"label": 1.5}, "feature label: expected whole numbers, received 1.5"),
        ({"station": "OL01"}, r"expected features \['spectrogram', 'label', 'snr_db', 'group'\], received .*'station'"),
    ],
)
def test_a_record_of_another_form_is_not_encoded(changed, message):
    with pytest.raises(ValueError, match=message):
        encode(VALUES | changed, FEATURES)


def test_a_record_with_a_missing_value_is_not_encoded():
    with pytest.raises(
        ValueError, match=r"expected features .*'group'\], received \['spectrogram', 'label', 'snr_db'\]"
    ):
        encode({k: v for k, v in VALUES.items() if k != "group"}, FEATURES)


def test_what_is_no_example_of_these_features_is_refused():
    whole = encode(VALUES, FEATURES)
    with pytest.raises(ValueError, match=r"expected features .*'station'\], received \['group', 'label', "):
        decode(whole, [*FEATURES, Feature(name="station", dtype="string")])
    with pytest.raises(ValueError, match="feature label: expected 4 bytes, received 8"):
        decode(whole, [Feature(name="label", dtype="float32")])
    for payload in (b"", b"\x08\x01", b"\x0a\xff\xff\xff\xff\xff\xff\xff", whole[:-3]):
        with pytest.raises(ValueError, match="expected"):
            decode(payload, FEATURES)
    floats = tf.train.Example(
        features=tf.train.Features(feature={"label": tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))})
    )
    with pytest.raises(ValueError, match="without field 1"):
        decode(floats.SerializeToString(), FEATURES[1:2])


def in_columns(payloads, names, features=FEATURES):
    columns = Columns(len(payloads), features, names)
    for payload in payloads:
        columns.append(payload)
    return columns.arrays()


# Lengths around those at which a length takes another byte, of a text and of the whole record.
@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.text(max_size=20), st.integers(80, 140).map("g".__mul__)), max_size=4),
    st.sets(st.sampled_from([feature.name for feature in FEATURES])),
    st.booleans(),
)
def test_columns_are_the_decoded_records_stacked(groups, names, by_tensorflow):
    random = np.random.default_rng(len(groups))
    rows = [VALUES | {"spectrogram": random.normal(size=(2, 3)), "label": i, "group": g} for i, g in enumerate(groups)]
    payloads = [encode(row, FEATURES) for row in rows]
    if by_tensorflow:  # its own order of features: nothing is where it is expected
        payloads = [tf.train.Example.FromString(payload).SerializeToString() for payload in payloads]
    arrays = in_columns(payloads, names)
    assert set(arrays) == names
    for name in names:
        expected = [decode(payload, FEATURES)[name] for payload in payloads]
        np.testing.assert_array_equal(arrays[name], np.array(expected).reshape(arrays[name].shape))
        assert arrays[name].dtype.kind == {"spectrogram": "f", "snr_db": "f", "label": "i", "group": "U"}[name]
        assert not groups or name == "group" or arrays[name].ctypes.data % 64 == 0


def test_records_of_this_project_are_not_decoded_one_by_one(monkeypatch):
    payloads = [encode(VALUES | {"group": group}, FEATURES) for group in ("", "g", "g" * 90)]
    monkeypatch.setattr(examples, "decode", None)
    assert in_columns(payloads, ["group", "label"])["group"].tolist() == ["", "g", "g" * 90]


@pytest.mark.parametrize("kept", [0, 1, 3, 40, -3])
def test_columns_take_no_part_of_a_record(kept):
    with pytest.raises(ValueError, match="expected"):
        in_columns([encode(VALUES, FEATURES)[:kept]], ["label"])


def test_columns_of_another_width_are_refused():
    wide = [Feature(name="spectrogram", dtype="float32", shape=(7,)), *FEATURES[1:]]
    payload = encode(VALUES | {"spectrogram": np.zeros(7)}, wide)
    with pytest.raises(ValueError, match="feature spectrogram: expected 24 bytes, received 28"):
        in_columns([payload], ["spectrogram"])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 7))
def test_damage_is_an_error_or_other_values_but_no_crash(position, bit):
    payload = bytearray(encode(VALUES, FEATURES))
    payload[position % len(payload)] ^= 1 << bit
    try:
        record = decode(bytes(payload), FEATURES)
    except ValueError:
        return
    assert record["spectrogram"].shape == (2, 3)


def test_features_of_both_tasks():
    names = [f.name for f in waveform_features((65, 101), 1024, 1e7)]
    assert names[:3] == ["spectrogram", "waveform", "label"]
    assert "waveform" not in [f.name for f in waveform_features((65, 101), None, None)]
    shapes = {f.name: f.shape for f in dart_features(45, 3, 31, (120, 9))}
    assert shapes["water_level_m"] == shapes["mask"] == (45, 3)
    assert (shapes["weights_m"], shapes["truth_m"], shapes["mw"]) == ((31,), (120, 9), ())
