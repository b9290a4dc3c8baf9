"""The page at `/`: files from the browser in, what it draws out; models are asked through `Core`, as over REST."""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from seis_tf.isolated import NoAnswer
from seis_tf.serve.page import dart, waveforms
from seis_tf.serve.server import json_requests, origins
from seis_tf.serve.server.core import Core
from seis_tf.serve.server.errors import Refused, in_words
from seis_tf.serve.server.limits import BodyReader
from seis_tf.serve.server.servable import Servable

_STATIC = Path(__file__).parent / "static"
# The browser refuses to load anything from other sites.
_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
_HEADERS = {
    "content-security-policy": _POLICY + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}
_MOST_FILES = 20
STABLE = "stable"
# Task -> the module that reads its records and prepares its answers for drawing; all have the same functions.
PAGES: dict[str, Any] = {"waveforms": waveforms, "dart": dart}


def add_routes(app: FastAPI, core: Core, bodies: BodyReader) -> None:
    """Adds the page, its files and the two routes that its script calls."""
    app.mount("/static", _Files(directory=_STATIC), name="static")

    @app.get("/")
    async def index() -> Response:
        return FileResponse(_STATIC / "index.html", headers=_HEADERS)

    @app.get("/page/models")
    async def models() -> Response:
        return _json(await core.in_thread(_models, core))

    @app.post("/page/answer")
    async def answer(request: Request) -> Response:
        origins.check_page(request.scope)
        tree = await core.in_thread(json_requests.parse, await bodies.read(request.scope, request.receive))
        servable = _version(core, _text(tree, "model"))
        page = _page_of(servable)
        with core.counted(servable.name, "PAGE"):
            try:
                if "files" in tree:
                    record = await core.upload(_record, servable, page, tree, core.isolated)
                else:
                    record = await core.in_thread(_record, servable, page, tree, core.isolated)
                name, inputs = await core.in_thread(page.question, servable, record)
                signature = servable.signatures[name]
                dtypes = {key: signature.inputs[key].dtype for key in inputs}
                rows = signature.check(dtypes, {key: np.shape(array) for key, array in inputs.items()})
                outputs = await core.predict(servable, signature, inputs, rows)
                drawn = await core.in_thread(page.picture, servable, record, outputs)
            except Refused:
                raise
            except ValueError as err:
                raise Refused("INVALID_ARGUMENT", str(err)) from err
        return _json({"model": servable.name, "version": servable.version} | drawn)


class _Files(StaticFiles):
    def file_response(self, *arguments: Any, **options: Any) -> Response:
        response = super().file_response(*arguments, **options)
        response.headers.update(_HEADERS)
        return response


def _json(tree: Any) -> Response:
    return Response(orjson.dumps(tree), media_type="application/json", headers={"cache-control": "no-store"})


def _models(core: Core) -> list[dict[str, Any]]:
    listed = []
    for name in core.store.names():
        servable = _version(core, name)
        entry = {"name": name, "version": servable.version, "labels": core.store.labels(name)}
        page = PAGES.get(servable.metadata.get("task", ""))
        if page is not None and page.takes(servable):
            entry |= {"task": servable.metadata["task"], "about": page.about(servable)}
            entry |= {"examples": page.examples(servable)}
        listed.append(entry)
    return listed


def _version(core: Core, name: str) -> Servable:
    """The version that answers on the page: the stable one, else the highest."""
    return core.store.find(name, label=STABLE if STABLE in core.store.labels(name) else None)


def _page_of(servable: Servable) -> Any:
    """The module for the model's task.

    Raises:
        Refused: a model that takes no records.
    """
    page = PAGES.get(servable.metadata.get("task", ""))
    if page is None or not page.takes(servable):
        raise Refused("INVALID_ARGUMENT", f"{servable.name}: expected a model that takes records, received another one")
    return page


def _record(servable: Servable, page: Any, tree: dict[str, Any], isolated: Callable[..., Any]) -> Any:
    """The record of a request: an example, or the files that were dropped.

    Raises:
        ValueError: there is none, or the files can't be used, including files that make the reader crash or hang.
    """
    if ("example" in tree) == ("files" in tree):
        received = "both" if "files" in tree else "neither"
        raise ValueError(f"question: expected an example or files, received {received}")
    origin_time, resample = _text(tree, "origin_time", ""), tree.get("resample", False)
    if not isinstance(resample, bool):
        raise ValueError(f"resample: expected true or false, received {str(resample)[:20]!r}")
    if "example" in tree:
        number, count = tree["example"], len(page.examples(servable))
        if type(number) is not int or not 0 <= number < count:
            raise ValueError(f"example: expected a number from 0 to {count - 1}, received {str(number)[:20]!r}")
        return page.record_of_example(servable, number)
    files = tree["files"]
    if not isinstance(files, list) or not 0 < len(files) <= _MOST_FILES:
        raise ValueError(f"files: expected a list of 1 to {_MOST_FILES}, received {str(files)[:50]!r}")
    with tempfile.TemporaryDirectory(prefix="seis-tf-page-") as folder:
        paths = [_written(Path(folder), file) for file in files]
        try:
            return page.record_of_files(servable, paths, isolated, origin_time=origin_time, resample=resample)
        except NoAnswer as err:
            raise ValueError(f"{', '.join(path.name for path in paths)}: {err}") from err
        except ValueError as err:
            raise ValueError(str(err).replace(f"{folder}/", "")) from err
        except Exception as err:  # a damaged file makes readers raise errors of any type
            names = ", ".join(path.name for path in paths)
            received = in_words(err).replace(f"{folder}/", "")
            raise ValueError(f"{names}: expected a file that can be read, received {received}") from err


def _written(folder: Path, file: Any) -> Path:
    if not isinstance(file, dict):
        raise ValueError(f"files: expected objects with name and b64, received {str(file)[:50]!r}")
    # Only the last part of a client's path. Readers use it (a buoy's number, .csv).
    name = Path(_text(file, "name").replace("\\", "/")).name
    if name in ("", "..") or "\0" in name or len(name.encode()) > 200:
        raise ValueError(f"name: expected that of a file, received {name[:50]!r}")
    try:
        content = base64.b64decode(_text(file, "b64"), validate=True)
    except binascii.Error as err:
        raise ValueError(f"{name}: expected base64, received {err}") from err
    path = folder / name
    if path.exists():
        raise ValueError(f"{name}: expected each file once, received it twice")
    path.write_bytes(content)
    return path


def _text(tree: dict[str, Any], key: str, default: str | None = None) -> str:
    value = tree.get(key, default)
    if not isinstance(value, str):
        raise Refused("INVALID_ARGUMENT", f"{key}: expected text, received {str(value)[:50]!r}")
    return value
