"""The client's requests over REST, and what REST and gRPC share: the type of a tensor and the client's error.

In: arrays by input name. Out: arrays by output name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import requests
from requests.adapters import HTTPAdapter, Retry

Arrays = dict[str, np.ndarray]
# Statuses after which the same request may succeed: too many requests, or a server that is starting or stopping.
_RETRIED_STATUSES = (429, 503)


class AskError(ValueError):
    """The server refused or did not answer.

    Attributes:
        status: HTTP status or name of the gRPC status; None where no answer came.
    """

    def __init__(self, message: str, status: int | str | None = None):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Tensor:
    """Type and shape of a tensor as its signature states them; None is an axis of any size, or a shape not stated."""

    dtype: np.dtype
    shape: tuple[int | None, ...] | None


class Rest:
    """Requests to one model over REST; arguments as `Client`."""

    def __init__(self, url: str, model: str, version: int | None, timeout_s: float, retries: int) -> None:
        self._base, self._version = f"{url.rstrip('/')}/v1/models/{model}", version
        self._timeout_s = timeout_s
        self._session = requests.Session()
        # A prediction changes nothing on the server, so repeating a request is safe.
        retry = Retry(
            retries, backoff_factor=0.2, status_forcelist=_RETRIED_STATUSES, allowed_methods=None, raise_on_status=False
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(max_retries=retry))

    def close(self) -> None:
        """Ends the connections."""
        self._session.close()

    def metadata(self, label: str | None) -> dict[str, Any]:
        """Signatures of the version, as protobuf's JSON form of a SignatureDefMap."""
        return self._ask("GET", label, "/metadata")["metadata"]["signature_def"]["signature_def"]

    def status(self, label: str | None) -> list[dict[str, Any]]:
        """State of each version: `version`, `state`, `error`."""
        return [
            {
                "version": int(entry["version"]),
                "state": entry["state"],
                "error": entry.get("status", {}).get("error_message", ""),
            }
            for entry in self._ask("GET", label, "")["model_version_status"]
        ]

    def predict(self, signature: str, inputs: Arrays, outputs: Mapping[str, Tensor], label: str | None) -> Arrays:
        """Outputs for one request's inputs.

        Args:
            signature: name of it.
            inputs: [record, ..] by name.
            outputs: the signature's outputs.
            label: of the version; None for the highest, or for the version given to the class.

        Raises:
            AskError: the server refused or did not answer.
        """
        columns = {name: _plain(array) for name, array in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns})
        answer = self._ask("POST", label, ":predict", body)["outputs"]
        if len(outputs) == 1:
            answer = {next(iter(outputs)): answer}
        return {name: _array(answer[name], stated) for name, stated in outputs.items()}

    def _ask(self, method: str, label: str | None, what: str, body: str | None = None) -> dict[str, Any]:
        if self._version is not None:
            url = f"{self._base}/versions/{self._version}{what}"
        else:
            url = f"{self._base}/labels/{label}{what}" if label else f"{self._base}{what}"
        try:
            answer = self._session.request(method, url, data=body, timeout=self._timeout_s)
        except requests.RequestException as err:
            raise AskError(f"{url}: expected an answer, received {type(err).__name__}: {err}") from err
        try:
            content = answer.json()
        except ValueError as err:
            raise AskError(f"{url}: expected JSON, received {answer.text[:100]!r}", answer.status_code) from err
        if answer.status_code != 200:
            reason = content.get("error", answer.reason) if isinstance(content, dict) else answer.reason
            raise AskError(f"{url}: expected an answer, received {answer.status_code}: {reason}", answer.status_code)
        return content


def _plain(array: np.ndarray) -> Any:
    """Nested lists for JSON; text and bytes as base64, which holds both."""
    if array.dtype.kind != "O":
        return array.tolist()
    texts = [item.encode() if isinstance(item, str) else bytes(item) for item in array.ravel()]
    coded = np.array([{"b64": base64.b64encode(text).decode()} for text in texts], object)
    return coded.reshape(array.shape).tolist()


def _array(value: Any, stated: Tensor) -> np.ndarray:
    """An output's array; base64 becomes bytes."""
    if stated.dtype.kind != "O":
        return np.array(value, stated.dtype)
    array = np.array(value, object)
    return np.array([_decoded(item) for item in array.ravel()] or [], object).reshape(array.shape)


def _decoded(item: Any) -> Any:
    return base64.b64decode(item["b64"]) if isinstance(item, dict) else item
