"""Limits on clients: size of a request's body, memory for all bodies together, time to send headers and body.

uvicorn limits neither (see "Replacements tried" in benchmarks/README.md); a reverse proxy could, but the local server
is meant to run without one.
"""

from __future__ import annotations

import asyncio

from starlette.types import Receive, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from seis_tf.serve.server.errors import Refused
from seis_tf.settings.serving import ServerSettings

# A client may finish sending a body that is too large, and read the refusal, up to so many times the limit.
_DISCARDED_TIMES = 8


class BodyReader:
    """Reads request bodies within the server's limits."""

    def __init__(self, settings: ServerSettings) -> None:
        self._most = round(settings.max_body_mb * 1e6)
        self._most_held = round(settings.max_held_mb * 1e6)
        self._timeout_s = settings.read_timeout_s
        self._held = 0

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body of a request.

        Raises:
            Refused: HTTP 413 too large, 408 too slow, 503 too much at one time, 499 the client went away.
        """
        stated = _content_length(scope)
        if stated > self._most and _expects_continue(scope):
            raise self._too_large(stated)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._read(receive, stated)
        except TimeoutError as err:
            message = f"expected the whole request within {self._timeout_s:g} s"
            raise Refused("DEADLINE_EXCEEDED", message, http_status=408) from err

    async def _read(self, receive: Receive, stated: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused("CANCELLED", "the client went away")
                part = message.get("body", b"")
                size += len(part)
                if max(size, stated) > self._most:
                    # The rest is read and dropped: a client that is cut off while it sends never sees the answer.
                    self._release(parts)
                    if size > _DISCARDED_TIMES * self._most or not message.get("more_body"):
                        raise self._too_large(max(size, stated))
                    continue
                self._held += len(part)
                parts.append(part)
                if self._held > self._most_held:
                    raise Refused("UNAVAILABLE", "too many large requests at one time")
                if not message.get("more_body"):
                    return b"".join(parts)
        finally:
            self._release(parts)

    def _release(self, parts: list[bytes]) -> None:
        self._held -= sum(map(len, parts))
        parts.clear()

    def _too_large(self, size: int) -> Refused:
        message = f"request: expected at most {self._most} bytes, received {size}"
        return Refused("RESOURCE_EXHAUSTED", message, http_status=413)


def _content_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _expects_continue(scope: Scope) -> bool:
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])


def patient_protocol(header_timeout_s: float) -> type[HttpToolsProtocol]:
    """uvicorn's HTTP protocol with a time limit for a request's headers, after which the connection is closed.

    uvicorn itself waits for ever for a client that sends a header a minute.
    """

    class PatientProtocol(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._await_headers()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._timer is None:
                self._await_headers()

        def on_headers_complete(self) -> None:
            self._cancel()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._cancel()
            super().connection_lost(exc)

        def _await_headers(self) -> None:
            self._timer = self.loop.call_later(header_timeout_s, self.transport.close)

        def _cancel(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return PatientProtocol
