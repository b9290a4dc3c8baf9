"""TensorFlow Serving's JSON for tensors: any input is read or refused with a message; what is written reads back."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.json_answers import write_outputs
from seis_tf.serve.server.json_requests import parse, read_inputs, signature_name
from seis_tf.serve.server.servable import Signature, TensorSpec


def signature(**dtypes: tf.DType) -> Signature:
    return Signature("s", {name: TensorSpec(dtype, None) for name, dtype in dtypes.items()}, {}, False, None)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=5)
    | st.just({"b64": "AA=="}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "z", "b64"]), inner, max_size=3),
    max_leaves=12,
)
SIGNATURES = [
    signature(x=dtype) for dtype in (tf.float32, tf.float64, tf.int8, tf.uint64, tf.bool, tf.string, tf.bfloat16)
] + [signature(x=tf.float32, z=tf.int64)]


@given(st.sampled_from(SIGNATURES), VALUES, st.sampled_from(["instances", "inputs"]))
def test_any_json_is_read_or_refused(asked, value, key):
    body = json.dumps({key: value}).encode()
    try:
        arrays, _ = read_inputs(parse(body), asked)
    except Refused as err:
        assert err.code in ("INVALID_ARGUMENT", "UNIMPLEMENTED") and len(str(err)) < 600
    else:
        assert arrays.keys() == asked.inputs.keys()


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_or_refused(body):
    try:
        signature_name(parse(body))
    except Refused as err:
        assert err.code == "INVALID_ARGUMENT"


FLOATS = st.floats(width=32, allow_subnormal=False)


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=FLOATS))
def test_float32_goes_in_and_out_unchanged(array):
    body = json.dumps({"inputs": array.tolist()}).encode()
    (read,) = read_inputs(parse(body), signature(x=tf.float32))[0].values()
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, array)
    for form, key in (("columnar", "outputs"), ("row", "predictions")):
        written = json.loads(write_outputs({"y": array}, form))
        np.testing.assert_array_equal(np.array(written[key], np.float32).reshape(array.shape), array)
    rows = json.loads(write_outputs({"y": array, "again": array}, "row"))["predictions"]
    np.testing.assert_array_equal(np.array([row["again"] for row in rows], np.float32).reshape(array.shape), array)


@given(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=4)))
def test_integers_and_text_go_in_and_out_unchanged(array):
    body = json.dumps({"instances": array.tolist()}).encode()
    (read,) = read_inputs(parse(body), signature(x=tf.int64))[0].values()
    np.testing.assert_array_equal(read, array)
    assert json.loads(write_outputs({"y": array}, "columnar"))["outputs"] == array.tolist()
    words = np.char.add("ö", array.astype("U"))
    (read,) = read_inputs(parse(json.dumps({"inputs": words.tolist()}).encode()), signature(x=tf.string))[0].values()
    assert json.loads(write_outputs({"y": read}, "columnar"))["outputs"] == words.tolist()


def test_a_message_never_repeats_a_long_request():
    long = "a" * 10_000
    for value in (long, [[long]], {"b64": long, "z": 1}, [1] * 10_000 + [long], {long: 1}):
        with pytest.raises(Refused) as caught:
            read_inputs({"inputs": value}, signature(x=tf.float32))
        assert len(str(caught.value)) < 300


def test_answers_in_narrow_floats_and_bytes_that_are_no_text():
    outputs = {"half": np.array([1.5], np.float16), "brain": np.array([0.5], tf.bfloat16.as_numpy_dtype)}
    assert json.loads(write_outputs(outputs, "columnar")) == {"outputs": {"half": [1.5], "brain": [0.5]}}
    mixed = json.loads(write_outputs({"raw": np.array([b"\xff", b"ok"], object)}, "columnar"))["outputs"]
    assert mixed == [{"b64": base64.b64encode(b"\xff").decode()}, "ok"]
    with pytest.raises(Refused, match="y: Failed to write JSON value for tensor type: complex64"):
        write_outputs({"y": np.zeros(1, np.complex64)}, "row")


def test_the_row_form_needs_one_batch_size():
    with pytest.raises(Refused, match="Tensor name: b has inconsistent batch size: 3 expecting: 2"):
        write_outputs({"a": np.zeros(2), "b": np.zeros(3)}, "row")
    with pytest.raises(Refused, match="Tensor name: a has no shape information"):
        write_outputs({"a": np.float32(1)}, "row")
    assert json.loads(write_outputs({"a": np.array(1.0), "b": np.zeros(3)}, "columnar"))["outputs"]["a"] == 1.0
