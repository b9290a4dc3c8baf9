"""A client for TensorFlow Serving and for the local server: records in, named results out.

Over REST it needs only `requests`; over gRPC the extra `serve`. Types, names and shapes come from the model's metadata,
which is requested once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from seis_tf.serve.client.rest import Arrays, AskError, Rest, Tensor

__all__ = ["AskError", "Client", "Signature", "Tensor"]

STABLE = "stable"
_TYPES = {
    "DT_FLOAT": "float32",
    "DT_DOUBLE": "float64",
    "DT_HALF": "float16",
    "DT_INT8": "int8",
    "DT_INT16": "int16",
    "DT_INT32": "int32",
    "DT_INT64": "int64",
    "DT_UINT8": "uint8",
    "DT_UINT16": "uint16",
    "DT_UINT32": "uint32",
    "DT_UINT64": "uint64",
    "DT_BOOL": "bool",
    "DT_STRING": "object",
}
# Kind of an array's NumPy type -> kinds of the input types that it may be sent as.
_SENT_AS = {"f": "f", "i": "fiu", "u": "fiu", "b": "b", "O": "O", "U": "O", "S": "O"}


@dataclass(frozen=True)
class Signature:
    """One way to ask a model: its inputs and outputs by name."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class _Transport(Protocol):
    """What `Rest` and `Grpc` both offer."""

    def metadata(self, label: str | None) -> dict[str, Any]: ...

    def status(self, label: str | None) -> list[dict[str, Any]]: ...

    def predict(self, signature: str, inputs: Arrays, outputs: Mapping[str, Tensor], label: str | None) -> Arrays: ...

    def close(self) -> None: ...


class Client:
    """Asks one model.

    Its eight arguments are the settings of one connection; all but the model's name have defaults.

    Args:
        model: its name.
        url: of the REST interface, e.g. "http://127.0.0.1:8501".
        grpc_address: e.g. "127.0.0.1:8500": gRPC is used instead of REST.
        version: a version's number; None for the label.
        label: a label; None for `stable` where the model has it, else the highest version.
        timeout_s: for one request.
        retries: how often a request is repeated when no server answers, or one that is too busy.
        batch_size: records in one request.

    Raises:
        ValueError: version and label are both given.
    """

    def __init__(
        self,
        model: str,
        url: str = "http://127.0.0.1:8501",
        *,
        grpc_address: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float = 10.0,
        retries: int = 3,
        batch_size: int = 32,
    ) -> None:
        if version is not None and label is not None:
            raise ValueError(f"version: expected it or a label, received {version} and {label!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, received {batch_size}")
        self._batch_size, self._version, self._label = batch_size, version, label
        self._signatures: dict[str, Signature] | None = None
        if grpc_address is None:
            self._transport: _Transport = Rest(url, model, version, timeout_s, retries)
        else:
            from seis_tf.serve.client.grpc import Grpc

            self._transport = Grpc(grpc_address, model, version, timeout_s, retries)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    @property
    def signatures(self) -> dict[str, Signature]:
        """What the model can be asked, by name.

        Raises:
            AskError: no such model or version, or no answer.
        """
        if self._signatures is None:
            self._signatures = _signatures(self._metadata())
        return self._signatures

    def status(self) -> list[dict[str, Any]]:
        """State of the version, or of all: `version`, `state`, `error`.

        Raises:
            AskError: no such model or version, or no answer.
        """
        return self._transport.status(self._label)

    def predict(self, records: Any, signature: str = "serving_default") -> Arrays:
        """Answers for records, in requests of `batch_size`.

        Args:
            records: [record, ...], whatever NumPy makes an array of, NaN allowed; or one for each input by its name.
            signature: which way to ask.

        Returns:
            An array [record, ...] for each output by its name; text as str.

        Raises:
            ValueError: no such signature, or records of another shape or type than it states.
            AskError: the server refused or did not answer.
        """
        if signature not in self.signatures:
            raise ValueError(f"signature: expected one of {sorted(self.signatures)}, received {signature!r}")
        stated = self.signatures[signature]
        arrays = _checked(records, stated)
        parts = [
            self._transport.predict(signature, part, stated.outputs, self._label) for part in self._batches(arrays)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in stated.outputs}

    def _batches(self, arrays: Arrays) -> Iterator[Arrays]:
        count = len(next(iter(arrays.values())))
        for first in range(0, count, self._batch_size):
            yield {name: array[first : first + self._batch_size] for name, array in arrays.items()}

    def _metadata(self) -> dict[str, Any]:
        if self._version is not None or self._label is not None:
            return self._transport.metadata(self._label)
        try:
            answer = self._transport.metadata(STABLE)
            self._label = STABLE
            return answer
        except AskError as err:
            if "label" not in str(err):
                raise
            return self._transport.metadata(None)


def _signatures(described: Mapping[str, Any]) -> dict[str, Signature]:
    """Signatures from the metadata call's answer, without those that TensorFlow uses internally."""
    return {
        name: Signature(
            {key: _tensor(info) for key, info in signature.get("inputs", {}).items()},
            {key: _tensor(info) for key, info in signature.get("outputs", {}).items()},
        )
        for name, signature in described.items()
        if not name.startswith("__")
    }


def _tensor(info: Mapping[str, Any]) -> Tensor:
    shape, dtype = info.get("tensor_shape", {}), np.dtype(_TYPES.get(info["dtype"], "object"))
    if shape.get("unknown_rank"):
        return Tensor(dtype, None)
    sizes = [int(dim["size"]) for dim in shape.get("dim", [])]
    return Tensor(dtype, tuple(None if size < 0 else size for size in sizes))


def _checked(records: Any, stated: Signature) -> Arrays:
    """The records as arrays of the stated types; shapes are compared here, before anything is sent."""
    if not isinstance(records, Mapping):
        if len(stated.inputs) != 1:
            raise ValueError(f"records: expected an array for each of {sorted(stated.inputs)}, received one array")
        records = {next(iter(stated.inputs)): records}
    if records.keys() != stated.inputs.keys():
        raise ValueError(f"records: expected inputs {sorted(stated.inputs)}, received {sorted(records)}")
    arrays = {name: _as_stated(name, value, stated.inputs[name]) for name, value in records.items()}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise ValueError(f"records: expected as many in each input and at least one, received {counts}")
    return arrays


def _as_stated(name: str, value: Any, stated: Tensor) -> np.ndarray:
    try:
        given = np.asarray(value)
    except ValueError as err:
        raise ValueError(f"{name}: expected records of one shape, received {err}") from err
    if stated.dtype.kind not in _SENT_AS.get(given.dtype.kind, ""):
        raise ValueError(f"{name}: expected {stated.dtype}, received {given.dtype}")
    fits = stated.shape is None or (
        given.ndim == len(stated.shape)
        and all(expected in (None, size) for expected, size in zip(stated.shape, given.shape, strict=True))
    )
    if not fits or given.ndim == 0:
        raise ValueError(f"{name}: expected shape {_text(stated.shape)}, received {list(given.shape)}")
    with np.errstate(over="ignore"):
        converted = given.astype(stated.dtype)
    lost = np.isfinite(given) != np.isfinite(converted) if given.dtype.kind == "f" else converted != given
    if np.any(lost):
        raise ValueError(f"{name}: expected numbers that {stated.dtype} can hold, received {given[lost][0]}")
    return converted


def _text(shape: Sequence[int | None] | None) -> str:
    if shape is None:
        return "[record, ..]"
    return "[" + ", ".join("any" if size is None else str(size) for size in shape) + "]"
