"""TensorFlow Serving's JSON for tensors, out: arrays -> `predictions` (row form) or `outputs` (columnar form).

Plain where there is one output, with names where there are several. NaN and Infinity are written as such, which strict
JSON doesn't know but TensorFlow Serving does.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import orjson
import tensorflow as tf

from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.json_requests import Form
from seis_tf.serve.server.servable import Arrays

_NARROW = (tf.float16.as_numpy_dtype, tf.bfloat16.as_numpy_dtype)


def write_outputs(outputs: Arrays, form: Form) -> bytes:
    """The answer's JSON.

    Raises:
        Refused: INVALID_ARGUMENT; a type without a JSON form, or the row form of outputs without a common first axis.
    """
    arrays = {name: array.astype(np.float32) if array.dtype in _NARROW else array for name, array in outputs.items()}
    finite = all(array.dtype.kind != "f" or np.isfinite(array).all() for array in arrays.values())
    columns = {name: _column(name, array, finite) for name, array in arrays.items()}
    single = next(iter(columns.values())) if len(columns) == 1 else None
    if form == "columnar":
        tree = {"outputs": columns if single is None else single}
    else:
        size = _common_size(arrays)
        rows = [{name: column[row] for name, column in columns.items()} for row in range(size)]
        tree = {"predictions": rows if single is None else single}
    if finite:
        return orjson.dumps(tree, option=orjson.OPT_SERIALIZE_NUMPY)
    return json.dumps(tree, ensure_ascii=False).encode()  # orjson would write null for NaN


def _common_size(arrays: Arrays) -> int:
    size = None
    for name, array in arrays.items():
        if not array.ndim:
            raise Refused("INVALID_ARGUMENT", f"Tensor name: {name} has no shape information")
        if size is not None and array.shape[0] != size:
            reason = f"has inconsistent batch size: {array.shape[0]} expecting: {size}"
            raise Refused("INVALID_ARGUMENT", f"Tensor name: {name} {reason}")
        size = array.shape[0]
    return size or 0


def _column(name: str, array: np.ndarray, finite: bool) -> Any:
    """A tensor as `json.dumps` or orjson takes it: nested lists, or an array for orjson."""
    if array.dtype.kind in "OSU":
        return _strings(array.tolist(), as_bytes=name.endswith("_bytes"))
    if array.dtype.kind not in "fiub":
        raise Refused("INVALID_ARGUMENT", f"{name}: Failed to write JSON value for tensor type: {array.dtype}")
    if finite:
        return np.ascontiguousarray(array) if array.ndim else array[()]
    if array.dtype == np.float32:
        array = array.astype("U").astype(np.float64)  # through text: 0.2 and not 0.20000000298023224
    return array.tolist()


def _strings(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_strings(item, as_bytes) for item in value]
    raw = value if isinstance(value, bytes) else str(value).encode()
    if not as_bytes:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            pass  # not UTF-8: written in the form for bytes, as JSON has no other
    return {"b64": base64.b64encode(raw).decode()}
