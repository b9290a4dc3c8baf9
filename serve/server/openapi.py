"""The server's OpenAPI description: TensorFlow Serving's REST interface, as this server answers it.

Written by hand: FastAPI's description from pydantic models took as many lines and a route that never runs
("Replacements tried" in benchmarks/README.md).
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from seis_tf.serve.server import metrics

_TENSOR = {"description": 'A value, or nested lists of values; {"b64": ...} for bytes; NaN and Infinity are numbers.'}
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_SPEC = {
    "type": "object",
    "properties": {key: {"type": "string"} for key in ("name", "signature_name", "version")},
    "required": ["name", "version"],
}
_REQUEST = {
    "type": "object",
    "properties": {
        "signature_name": {"type": "string", "description": "Default: serving_default."},
        "instances": {"type": "array", "minItems": 1, "items": _TENSOR, "description": "Row form: one item a record."},
        "inputs": _TENSOR | {"description": "Columnar form: a tensor, or an object of tensors by name."},
    },
    "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
}
_ANSWER = {
    "type": "object",
    "properties": {"predictions": {"type": "array", "items": _TENSOR}, "outputs": _TENSOR},
    "oneOf": [{"required": ["predictions"]}, {"required": ["outputs"]}],
}
_STATUS = {
    "type": "object",
    "properties": {
        "model_version_status": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "version": {"type": "string"},
                    "state": {"enum": ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                    "status": {
                        "type": "object",
                        "properties": {"error_code": {"type": "string"}, "error_message": {"type": "string"}},
                    },
                },
                "required": ["version", "state", "status"],
            },
        }
    },
    "required": ["model_version_status"],
}
_METADATA = {
    "type": "object",
    "properties": {"model_spec": _SPEC, "metadata": {"type": "object"}},
    "required": ["model_spec", "metadata"],
}
# A path's ways to name a version, and the parameter of each.
_CHOICES = {
    "": {},
    "/versions/{version}": {"version": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}},
    "/labels/{label}": {"label": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}},
}
_NAME = {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"}
_FILE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "b64": {"type": "string", "format": "byte"}},
    "required": ["name", "b64"],
}
_QUESTION = {
    "type": "object",
    "properties": {
        "model": _NAME,
        "example": {"type": "integer", "minimum": 0},
        "files": {"type": "array", "minItems": 1, "maxItems": 20, "items": _FILE},
        "origin_time": {"type": "string", "description": "ISO 8601; for buoys' records with dates"},
        "resample": {"type": "boolean", "description": "bring a record of another rate to the model's"},
    },
    "required": ["model"],
    "oneOf": [{"required": ["example"]}, {"required": ["files"]}],
}
_FAULTS = {
    "400": "the request is wrong",
    "404": "no such model or version",
    "408": "the request came too slowly",
    "413": "the request is too large",
    "499": "the client went away",
    "500": "the model failed",
    "503": "too many requests wait",
    "504": "no answer in time",
}


def describe() -> dict[str, Any]:
    """The description, OpenAPI 3.1."""
    paths: dict[str, Any] = {}
    for choice, parameters in _CHOICES.items():
        base = "/v1/models/{name}" + choice
        paths[base + ":predict"] = {"post": _operation("Ask a model", parameters, _ANSWER, _REQUEST)}
        paths[base] = {"get": _operation("State of versions", parameters, _STATUS)}
        paths[base + "/metadata"] = {"get": _operation("Signatures", parameters, _METADATA)}
    text = {"200": {"description": "Prometheus's text form", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    paths[metrics.PATH] = {"get": {"summary": "Counts and times", "responses": text}}
    examined = _json("what the page draws", {"type": "object", "required": ["model", "version", "task", "valid"]})
    faults = {code: _json(reason, _ERROR) for code, reason in _FAULTS.items()}
    paths["/page/answer"] = {
        "post": {
            "summary": "Ask a model about a file, as the page does",
            "requestBody": {"required": True, "content": {"application/json": {"schema": _QUESTION}}},
            "responses": {"200": examined} | faults,
        }
    }
    listed = _json("the models", {"type": "array", "items": {"type": "object", "required": ["name", "version"]}})
    paths["/page/models"] = {"get": {"summary": "Models that the page offers", "responses": {"200": listed}}}
    info = {
        "title": "seis_tf local server",
        "version": version("seis_tf"),
        "description": "TensorFlow Serving's REST interface for development and small sites.",
    }
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _operation(
    summary: str, parameters: dict[str, Any], answer: dict[str, Any], body: dict[str, Any] | None = None
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": schema}
            for name, schema in ({"name": _NAME} | parameters).items()
        ],
        "responses": {"200": _json("the answer", answer)}
        | {code: _json(reason, _ERROR) for code, reason in _FAULTS.items() if body or code in ("400", "404")},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return operation


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
