"""Features <-> serialized `tf.train.Example`: no other module spells a feature key.

Each feature is one bytes value: the raw little-endian array, or UTF-8 text. That writes about 25 times faster than
float lists and parses as a batch with `tf.io.parse_example` and `tf.io.decode_raw`. The message is encoded here
directly in the protocol-buffer wire format, so that writing, verifying and inspecting a data set need no TensorFlow;
tests hold it against TensorFlow's own reading and writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from seis_tf.dataset.wire import entry_header, example_header, header, numbered, one
from seis_tf.settings.base import Settings

if TYPE_CHECKING:
    import tensorflow as tf

_NUMPY = {"float32": "<f4", "int64": "<i8"}
_ALIGNMENT = 64  # bytes


class Feature(Settings):
    """One entry of a record."""

    name: str
    dtype: Literal["float32", "int64", "string"]
    shape: tuple[int, ...] = ()


def encode(values: Mapping[str, object], features: list[Feature]) -> bytes:
    """One record as a serialized Example.

    Raises:
        ValueError: a feature is missing, unknown, or has another shape.
    """
    if set(values) != {feature.name for feature in features}:
        raise ValueError(f"record: expected features {[f.name for f in features]}, received {list(values)}")
    return _joined(features, [_to_bytes(values[feature.name], feature) for feature in features])


def encode_batch(columns: Mapping[str, Sequence[object] | np.ndarray], features: list[Feature]) -> list[bytes]:
    """Many records at once: the same bytes as `encode` of each, in a third of the time.

    Args:
        columns: for each feature its values [record, ...].
        features: which ones.

    Raises:
        ValueError: a feature is missing, unknown, or has another shape or number of records than the others.
    """
    if set(columns) != {feature.name for feature in features}:
        raise ValueError(f"records: expected features {[f.name for f in features]}, received {list(columns)}")
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"records: expected as many values of each feature, received {counts}")
    payloads = [_column_to_bytes(columns[feature.name], feature) for feature in features]
    return [_joined(features, row) for row in zip(*payloads, strict=True)]


def _joined(features: list[Feature], payloads: Sequence[bytes | memoryview]) -> bytes:
    """The Example of a record from its features' bytes."""
    parts: list[bytes | memoryview] = [b""]
    for feature, payload in zip(features, payloads, strict=True):
        parts += (entry_header(feature.name, len(payload)), payload)
    parts[0] = header(1, sum(map(len, parts)))  # Example.features
    return b"".join(parts)


def decode(record: bytes, features: list[Feature]) -> dict[str, np.ndarray | str]:
    """A serialized Example back as arrays and strings.

    Raises:
        ValueError: the message is no Example of these features.
    """
    payloads: dict[str, memoryview] = {}
    for _, entry in numbered(one(record, 1)):
        payloads[bytes(one(entry, 1)).decode()] = one(one(one(entry, 2), 1), 1)
    missing = [feature.name for feature in features if feature.name not in payloads]
    if missing:
        raise ValueError(f"expected features {[f.name for f in features]}, received {sorted(payloads)}")
    return {feature.name: _from_bytes(payloads[feature.name], feature) for feature in features}


class Columns:
    """Serialized Examples -> arrays [record, ...]: what `decode` gives of each, stacked, in a tenth of the time.

    What comes after the last of the chosen features is not read.

    Records that this project wrote have the data set's features in its order with the same bytes before each value,
    which are only compared; any other serialized Example goes through `decode`.

    Args:
        count: records that will come.
        features: all of the data set, in its order.
        names: of the features that are decoded.
    """

    def __init__(self, count: int, features: Sequence[Feature], names: Sequence[str]):
        self._features, self._filled = list(features), 0
        self._arrays = {f.name: _aligned(count, f) for f in features if f.name in names}
        needed = max((i + 1 for i, feature in enumerate(features) if feature.name in names), default=0)
        # For each feature up to the last chosen one: name, bytes before it, its own number of bytes, and where it goes:
        # the bytes of its array, since NumPy's own assignment costs more than most values do.
        self._layout: list[tuple[str, bytes, int | None, memoryview | np.ndarray | None]] = []
        for feature in self._features[:needed]:
            size, target = _size(feature), self._arrays.get(feature.name)
            if size is not None and target is not None:
                target = target.data.cast("B") if target.size else None
            self._layout.append((feature.name, entry_header(feature.name, size or 0), size, target))

    def append(self, record: bytes) -> None:
        """Takes the chosen values of the next record.

        Raises:
            ValueError: the message is no Example of these features.
        """
        if not self._append_as_expected(record):
            decoded = decode(record, self._features)
            for name, array in self._arrays.items():
                array[self._filled] = decoded[name]
        self._filled += 1

    def _append_as_expected(self, record: bytes) -> bool:
        """Whether the record is laid out as `_joined` lays it out, and all was taken."""
        view, length, number = memoryview(record), len(record), self._filled
        start = example_header(length)
        if record[: len(start)] != start:
            return False
        position = len(start)
        for name, before, size, target in self._layout:
            end, text = position + len(before), size is None
            if size is None:
                # Of a short text, all lengths in the message are one byte, and the last byte before it is its length.
                size = record[end - 1] if end <= length else 0
                before = entry_header(name, size)
            if record[position:end] != before or end + size > length:
                return False
            position = end + size
            if isinstance(target, np.ndarray) and text:
                target[number] = str(view[end:position], "utf-8")
            elif target is not None:
                target[number * size : (number + 1) * size] = view[end:position]
        return True

    def arrays(self) -> dict[str, np.ndarray]:
        """Name to array of all records, in the order in which they came; texts as an array of `str`."""
        return {name: array.astype(str) if array.dtype == object else array for name, array in self._arrays.items()}


def parse_batch(serialized: tf.Tensor, features: list[Feature]) -> dict[str, tf.Tensor]:
    """In the TensorFlow graph: strings [batch] -> tensors [batch, ...], only the features that are asked for.

    Args:
        serialized: tf.string [batch].
        features: which ones.
    """
    import tensorflow as tf

    raw = tf.io.parse_example(serialized, {f.name: tf.io.FixedLenFeature([], tf.string) for f in features})
    parsed = {}
    for feature in features:
        if feature.dtype == "string":
            parsed[feature.name] = raw[feature.name]
            continue
        values = tf.io.decode_raw(raw[feature.name], tf.as_dtype(feature.dtype), fixed_length=None)
        # ensure_shape and not reshape: a record of another width must be an error, not a longer batch
        values = tf.ensure_shape(values, [None, int(np.prod(feature.shape, dtype=int))])
        parsed[feature.name] = tf.reshape(values, [-1, *feature.shape])
    return parsed


def _to_bytes(value: object, feature: Feature) -> bytes:
    if feature.dtype == "string":
        return str(value).encode()
    array = np.asarray(value)
    if array.shape != feature.shape:
        raise ValueError(f"feature {feature.name}: expected shape {feature.shape}, received {array.shape}")
    return _stored(array, feature).tobytes()


def _column_to_bytes(column: Sequence[object] | np.ndarray, feature: Feature) -> list[bytes] | list[memoryview]:
    """What `_to_bytes` gives for each value; numbers without a copy of their own."""
    if feature.dtype == "string":
        return [str(value).encode() for value in column]
    array = np.asarray(column)
    if array.shape[1:] != feature.shape:
        raise ValueError(f"feature {feature.name}: expected shape {feature.shape}, received {array.shape[1:]}")
    if not array.size:
        return [b""] * len(array)
    whole = np.ascontiguousarray(_stored(array, feature)).data.cast("B")
    step = len(whole) // len(array)
    return [whole[first : first + step] for first in range(0, len(whole), step)]


def _stored(array: np.ndarray, feature: Feature) -> np.ndarray:
    stored = array.astype(_NUMPY[feature.dtype], copy=False)
    if feature.dtype == "int64" and array.dtype.kind == "f" and (stored != array).any():
        raise ValueError(f"feature {feature.name}: expected whole numbers, received {array}")
    return stored


def _from_bytes(payload: memoryview, feature: Feature) -> np.ndarray | str:
    if feature.dtype == "string":
        return bytes(payload).decode()
    if len(payload) != (expected := _size(feature)):
        raise ValueError(f"feature {feature.name}: expected {expected} bytes, received {len(payload)}")
    return np.frombuffer(payload, _NUMPY[feature.dtype]).reshape(feature.shape)


def _aligned(count: int, feature: Feature) -> np.ndarray:
    """An array [record, ...] without values whose first byte lies where TensorFlow can take it over without copying."""
    shape, size = (count, *feature.shape), _size(feature)
    if size is None:
        return np.empty(shape, object)
    padded = np.empty(count * size + _ALIGNMENT, np.uint8)
    start = -padded.ctypes.data % _ALIGNMENT
    return padded[start : start + count * size].view(_NUMPY[feature.dtype]).reshape(shape)


def _size(feature: Feature) -> int | None:
    """Bytes of a value; texts have any length."""
    if feature.dtype == "string":
        return None
    return int(np.dtype(feature.dtype).itemsize * np.prod(feature.shape, dtype=int))
