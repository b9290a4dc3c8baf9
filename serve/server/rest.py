"""TensorFlow Serving's REST interface as an ASGI application: HTTP requests in, JSON out.

`predict` is a plain ASGI function in front of FastAPI: as a FastAPI route it takes, under load, twice the processor
time for each request of a small model ("Replacements tried" in benchmarks/README.md). All other routes are FastAPI's;
`openapi.py` describes all of them in /openapi.json.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from google.protobuf import json_format
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from seis_tf.serve.server import json_answers, json_requests, metrics, openapi
from seis_tf.serve.server.core import Core
from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.limits import BodyReader
from seis_tf.serve.server.origins import Origins
from seis_tf.serve.server.servable import DEFAULT_SIGNATURE, Arrays, Servable, Signature, signature_of
from seis_tf.serve.server.status import status_message

Extend = Callable[[FastAPI, Core, BodyReader], None]

_ANSWER_PATH = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/([0-9]{1,18})|/labels/([^/:]+))?:(classify|regress|predict)", re.IGNORECASE
)
# Larger bodies are parsed in a thread, so that the event loop can meanwhile handle small requests.
_LARGE_BODY = 262_144


class RestApp:
    """The ASGI application.

    Args:
        core: what is served.
        extend: each adds further routes, such as the page's.
    """

    def __init__(self, core: Core, extend: Sequence[Extend] = ()) -> None:
        self._core, self._bodies = core, BodyReader(core.settings)
        self._fastapi = _fastapi(core)
        for add_routes in extend:
            add_routes(self._fastapi, core, self._bodies)
        self._origins = Origins(core.settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request, also where the server stops meanwhile: with status 503."""
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._route(scope, receive, noted)
        except asyncio.CancelledError:  # by uvicorn, whose time for stopping is over
            if not begun:
                await _respond(send, 503, error_body(ValueError("the server stops")), close=True)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._origins.check(scope)
        except Refused as err:
            await _respond(send, err.http_status, error_body(err), close=True)
            return
        if scope["method"] == "POST":
            match = _ANSWER_PATH.fullmatch(scope["path"])
            if match:
                await self._answer(match, scope, receive, send)
                return
        await self._fastapi(scope, receive, send)

    async def _answer(self, match: re.Match[str], scope: Scope, receive: Receive, send: Send) -> None:
        name, version, label, method = match.groups()
        status, close = 200, False
        try:
            with self._core.counted(name, "REST"):
                body = await self._bodies.read(scope, receive)
                if method.lower() != "predict":
                    raise Refused("UNIMPLEMENTED", f"{method}: this server answers predict only")
                servable = self._core.store.find(name, int(version) if version else None, label)
                content = await self._predict(servable, body)
        except Refused as err:
            status, content = err.http_status, error_body(err)
            # The rest of the request is not read, so the connection can't be used again.
            close = status in (408, 413)
        await _respond(send, status, content, close)

    async def _predict(self, servable: Servable, body: bytes) -> bytes:
        if len(body) < _LARGE_BODY:
            signature, inputs, form, rows = _request(servable, body)
        else:
            signature, inputs, form, rows = await self._core.in_thread(_request, servable, body)
        return json_answers.write_outputs(await self._core.predict(servable, signature, inputs, rows), form)


async def _respond(send: Send, status: int, content: bytes, close: bool) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _request(servable: Servable, body: bytes) -> tuple[Signature, Arrays, json_requests.Form, int]:
    tree = json_requests.parse(body)
    name = json_requests.signature_name(tree)
    signature = signature_of(servable, name)
    if signature is None:
        message = f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def'
        raise Refused("INVALID_ARGUMENT", message)
    inputs, form = json_requests.read_inputs(tree, signature)
    dtypes = {key: signature.inputs[key].dtype for key in inputs}
    rows = signature.check(dtypes, {key: array.shape for key, array in inputs.items()})
    return signature, inputs, form, rows


def error_body(err: Exception) -> bytes:
    """An error as JSON in TensorFlow Serving's form."""
    return orjson.dumps({"error": str(err)})


def _fastapi(core: Core) -> FastAPI:
    # No documentation pages: they would load scripts from elsewhere.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(Refused)
    async def refused(request: Request, err: Refused) -> Response:
        headers = {"connection": "close"} if err.http_status in (408, 413) else None
        return Response(error_body(err), err.http_status, headers, media_type="application/json")

    @app.exception_handler(HTTPException)
    async def no_such_path(request: Request, err: HTTPException) -> Response:
        where = f"{request.method} {request.url.path}"
        if request.url.path.startswith("/v1/"):
            return Response(error_body(ValueError(f"Malformed request: {where}")), 400, media_type="application/json")
        return Response(
            error_body(ValueError(f"{where}: {err.detail}")), err.status_code, media_type="application/json"
        )

    @app.get("/v1/models")
    async def no_model() -> Response:
        raise Refused("INVALID_ARGUMENT", "Missing model name in request.")

    for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}", "/v1/models/{name}/labels/{label}"):
        _add_status(app, core, path)

    @app.get(metrics.PATH)
    async def prometheus() -> Response:
        return Response(core.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json")
    async def description() -> Response:
        return Response(orjson.dumps(openapi.describe()), media_type="application/json")

    return app


def _add_status(app: FastAPI, core: Core, path: str) -> None:
    """Status and metadata of a model, for one of the three ways to name a version."""

    @app.get(path)
    async def status(request: Request) -> Response:
        name, version, label = _named(request)
        message = status_message(core.store, name, version, label)
        return Response(orjson.dumps(_tree(message)), media_type="application/json")

    @app.get(path + "/metadata")
    async def metadata(request: Request) -> Response:
        servable = core.store.find(*_named(request))
        return Response(orjson.dumps(_metadata(servable)), media_type="application/json")


def _named(request: Request) -> tuple[str, int | None, str | None]:
    """Model, version and label in a path.

    Raises:
        Refused: INVALID_ARGUMENT; the version is no number, or the name holds a colon.
    """
    name: str = request.path_params["name"]
    version, label = request.path_params.get("version"), request.path_params.get("label")
    if ":" in name or (version is not None and not re.fullmatch("[0-9]{1,18}", version)):
        raise Refused("INVALID_ARGUMENT", f"Malformed request: {request.method} {request.url.path}")
    return name, None if version is None else int(version), label


def _metadata(servable: Servable) -> dict[str, Any]:
    spec = {"name": servable.name, "signature_name": "", "version": str(servable.version)}
    return {"model_spec": spec, "metadata": {"signature_def": _tree(servable.signature_def)}}


def _tree(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
