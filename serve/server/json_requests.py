"""JSON requests in TensorFlow Serving's row form (`instances`) or columnar form (`inputs`) -> arrays by input name.

TensorFlow Serving's rules hold, not Python's: no number from a string or a bool, no null; a number goes through float64
to the signature's type, so that an integer above 2^24 is rounded and one above float32 becomes infinite; NaN and
Infinity are allowed; binary strings are `{"b64": "..."}`.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from typing import Any, Literal

import numpy as np
import orjson
import tensorflow as tf

from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.servable import Arrays, Signature, TensorSpec

Form = Literal["row", "columnar"]

_TYPE_NAMES = {type(None): "Null", bool: "Bool", dict: "Object", list: "Array", str: "String"}
_TF_NAMES = {tf.float32: "float", tf.float64: "double"}
_MOST_AXES = 32
# The parser blocks all other threads: for 0.1 s with a million lists, for 5 s with the ten million of a 30 MB body.
_MOST_LISTS = 1_000_000
_LONGEST_QUOTE = 100
# Inf is a number for TensorFlow Serving's parser but not for Python's; matching strings first keeps them unchanged.
_INF = re.compile(rb'"(?:[^"\\]|\\.)*"|\bInf\b')


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object of a request.

    Raises:
        Refused: INVALID_ARGUMENT; no JSON, no object, or more lists than can be parsed without delaying other requests.
    """
    if not body:
        raise Refused("INVALID_ARGUMENT", "JSON Parse error: The document is empty")
    opened = body.count(b"[") + body.count(b"{")
    if opened > _MOST_LISTS:
        expected = f"at most {_MOST_LISTS} lists and objects"
        raise Refused("INVALID_ARGUMENT", f"request: expected {expected}, received {opened}; ask in parts")
    try:
        tree = orjson.loads(body)
    except orjson.JSONDecodeError as err:
        if b"NaN" not in body and b"Inf" not in body:
            raise Refused("INVALID_ARGUMENT", f"JSON Parse error: {err}") from err
        tree = _parse_with_nan(body)
    if not isinstance(tree, dict):
        raise Refused("INVALID_ARGUMENT", f"JSON Value: {_quote(tree)} Is not object")
    return tree


def _parse_with_nan(body: bytes) -> Any:
    try:
        text = _INF.sub(lambda match: b"Infinity" if match[0] == b"Inf" else match[0], body).decode()
        return json.loads(text, parse_float=_finite, parse_int=lambda digits: _finite(digits, int))
    except (ValueError, RecursionError) as err:
        raise Refused("INVALID_ARGUMENT", f"JSON Parse error: {err}") from err


def _finite(digits: str, kind: type = float) -> float | int:
    """A number within float64; TensorFlow Serving's parser refuses larger ones too."""
    if math.isinf(float(digits)):
        raise ValueError(f"Number too big to be stored in double: {digits[:_LONGEST_QUOTE]}")
    return kind(digits)


def signature_name(tree: dict[str, Any]) -> str:
    """The signature that a request asks for; empty for the default one.

    Raises:
        Refused: INVALID_ARGUMENT; it is no string.
    """
    name = tree.get("signature_name", "")
    if not isinstance(name, str):
        reason = "not formatted correctly. 'signature_name' key must be a string value."
        raise Refused("INVALID_ARGUMENT", f"JSON Value: {_quote(name)} {reason}")
    return name


def read_inputs(tree: dict[str, Any], signature: Signature) -> tuple[Arrays, Form]:
    """The tensors of a request.

    Args:
        tree: the request.
        signature: of the request; it states the types.

    Returns:
        Arrays by input name, and the form that the answer must have.

    Raises:
        Refused: INVALID_ARGUMENT.
    """
    given = [key for key in ("instances", "inputs") if key in tree]
    if len(given) != 1:
        if not given:
            raise Refused("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
        raise Refused("INVALID_ARGUMENT", "Not formatted correctly expecting only one of 'inputs' or 'instances' keys")
    if given == ["inputs"]:
        return _columns(tree["inputs"], signature), "columnar"
    return _rows(tree["instances"], signature), "row"


def _rows(rows: Any, signature: Signature) -> Arrays:
    if not isinstance(rows, list):
        raise Refused("INVALID_ARGUMENT", f"Expecting 'instances' to be a list/array, received {_type_name(rows)}")
    if not rows:
        raise Refused("INVALID_ARGUMENT", "No values in 'instances' array")
    named = isinstance(rows[0], dict) and not _is_base64(rows[0])
    if not named:
        if len(signature.inputs) > 1:
            reason = f"expecting list of objects as multiple input tensors required: {sorted(signature.inputs)}"
            raise Refused("INVALID_ARGUMENT", f"instances is a plain list, but {reason}")
        for index, row in enumerate(rows):
            if isinstance(row, dict) and not _is_base64(row):
                raise Refused("INVALID_ARGUMENT", f"Expecting value/list but got object at item {index} of input list")
        return {name: tensor(name, rows, spec) for name, spec in signature.inputs.items()}
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or _is_base64(row):
            raise Refused("INVALID_ARGUMENT", f"Expecting object but got list at item {index} of input list")
        if row.keys() != signature.inputs.keys():
            reason = f"keys must be equal to: {','.join(sorted(signature.inputs))}, received {','.join(sorted(row))}"
            raise Refused("INVALID_ARGUMENT", f"Failed to process element: {index} of 'instances' list: {reason}")
    return {name: tensor(name, [row[name] for row in rows], spec) for name, spec in signature.inputs.items()}


def _columns(columns: Any, signature: Signature) -> Arrays:
    if isinstance(columns, dict) and not _is_base64(columns):
        missing = [name for name in signature.inputs if name not in columns]
        if missing:
            raise Refused("INVALID_ARGUMENT", f"Missing named input: {missing[0]} in 'inputs' object.")
        return {name: tensor(name, columns[name], spec) for name, spec in signature.inputs.items()}
    if len(signature.inputs) > 1:
        reason = f"expecting an object as multiple input tensors required: {sorted(signature.inputs)}"
        raise Refused("INVALID_ARGUMENT", f"inputs is a plain value/list, but {reason}")
    return {name: tensor(name, columns, spec) for name, spec in signature.inputs.items()}


def tensor(name: str, value: Any, spec: TensorSpec) -> np.ndarray:
    """An array from nested lists.

    Args:
        name: of the input, for messages.
        value: a number, string or bool, or nested lists of them.
        spec: states the type; its shape is not compared.

    Raises:
        Refused: INVALID_ARGUMENT (lists of different lengths, a value of another type or out of range), UNIMPLEMENTED
            (a type that has no JSON form).
    """
    shape = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if len(shape) > _MOST_AXES:
            raise Refused("INVALID_ARGUMENT", f"{name}: expected at most {_MOST_AXES} nested lists, received more")
        if not first:
            break
        first = first[0]
    flat: list[Any] = []
    _flatten(name, value, shape, 0, flat)
    if spec.dtype == tf.string:
        array = np.array([_bytes(name, item) for item in flat] or [], object)
    elif spec.dtype == tf.bool:
        _only(name, flat, {bool}, spec.dtype)
        array = np.array(flat, bool)
    elif spec.dtype in (tf.float32, tf.float64):
        array = _floats(name, flat, spec.dtype)
    elif spec.dtype.is_integer:
        array = _integers(name, flat, spec.dtype)
    else:
        raise Refused("UNIMPLEMENTED", f"{name}: Conversion of JSON to type: {spec.dtype.name}")
    return array.reshape(shape)


def _flatten(name: str, value: Any, shape: list[int], level: int, flat: list[Any]) -> None:
    """Adds all values in order to `flat`, checking that lists have the same lengths everywhere."""
    if level == len(shape):
        if isinstance(value, list):
            raise Refused(
                "INVALID_ARGUMENT", f"{name}: Encountered list at unexpected level: {level} expected < {level}"
            )
        flat.append(value)
        return
    if not isinstance(value, list):
        reason = f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
        raise Refused("INVALID_ARGUMENT", f"{name}: JSON Value: {_quote(value)} {reason}")
    if len(value) != shape[level]:
        reason = f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        raise Refused("INVALID_ARGUMENT", f"{name}: {reason}")
    if level == len(shape) - 1 and list not in set(map(type, value)):
        flat.extend(value)
        return
    for item in value:
        _flatten(name, item, shape, level + 1, flat)


def _only(name: str, flat: list[Any], allowed: set[type], dtype: tf.DType) -> set[type]:
    kinds = set(map(type, flat))
    if not kinds <= allowed:
        value = next(item for item in flat if type(item) not in allowed)
        reason = f"Type: {_type_name(value)} is not of expected type: {_TF_NAMES.get(dtype, dtype.name)}"
        raise Refused("INVALID_ARGUMENT", f"{name}: JSON Value: {_quote(value)} {reason}")
    return kinds


def _floats(name: str, flat: list[Any], dtype: tf.DType) -> np.ndarray:
    _only(name, flat, {int, float}, dtype)
    with np.errstate(over="ignore"):
        return np.array(flat, np.float64).astype(dtype.as_numpy_dtype, copy=False)


def _integers(name: str, flat: list[Any], dtype: tf.DType) -> np.ndarray:
    _only(name, flat, {int}, dtype)
    low, high = int(dtype.min), int(dtype.max)
    if flat and (min(flat) < low or max(flat) > high):
        value = next(item for item in flat if not low <= item <= high)
        reason = f"Type: Number is not of expected type: {_TF_NAMES.get(dtype, dtype.name)}"
        raise Refused("INVALID_ARGUMENT", f"{name}: JSON Value: {_quote(value)} {reason}")
    return np.array(flat, dtype.as_numpy_dtype)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        # A lone surrogate (written as an escape) has no UTF-8 form.
        try:
            return value.encode()
        except UnicodeEncodeError as err:
            raise Refused("INVALID_ARGUMENT", f"{name}: expected text that UTF-8 can hold, received {err}") from err
    if isinstance(value, dict):
        if not _is_base64(value):
            reason = "not formatted correctly for base64 data"
            raise Refused("INVALID_ARGUMENT", f"{name}: JSON Value: {_quote(value)} {reason}")
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as err:
            raise Refused("INVALID_ARGUMENT", f"{name}: Unable to base64 decode: {err}") from err
    reason = f"Type: {_type_name(value)} is not of expected type: string"
    raise Refused("INVALID_ARGUMENT", f"{name}: JSON Value: {_quote(value)} {reason}")


def _type_name(value: Any) -> str:
    return _TYPE_NAMES.get(type(value), "Number")


def _quote(value: Any) -> str:
    """A value for an error message, shortened where it is long."""
    if isinstance(value, list):
        return f"[{len(value)} values]"
    if isinstance(value, dict):
        return "{" + ",".join(key[:_LONGEST_QUOTE] for key in list(value)[:5]) + "}"
    if isinstance(value, str) and len(value) > _LONGEST_QUOTE:
        return json.dumps(value[:_LONGEST_QUOTE]) + "..."
    return json.dumps(value)[:_LONGEST_QUOTE]
