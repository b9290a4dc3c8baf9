"""`serve`: a folder of exported models -> answers over REST and gRPC, in TensorFlow Serving's protocol, and a page.

For development and small sites: one Python process. Production uses TensorFlow Serving itself, on the same folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import uvicorn
from pydantic import ValidationError

from seis_tf import isolated
from seis_tf.serve.page import page
from seis_tf.serve.server import grpc_service
from seis_tf.serve.server.core import Core
from seis_tf.serve.server.limits import patient_protocol
from seis_tf.serve.server.rest import RestApp
from seis_tf.settings.base import first_error
from seis_tf.settings.serving import ServerSettings

log = logging.getLogger(__name__)
# Seconds after the time for requests under way: until threads must have ended, and until the process is ended by force.
_LAST_SECONDS, _FORCE_SECONDS = 0.5, 0.9


@dataclass(frozen=True)
class Addresses:
    """Where a server listens."""

    host: str
    rest_port: int
    grpc_port: int | None

    @property
    def url(self) -> str:
        """Of the page; REST is under /v1."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "") else self.host
        return f"http://{host}:{self.rest_port}"


def serve(
    models_folder: Path | str,
    host: str = "127.0.0.1",
    rest_port: int = 8501,
    grpc_port: int | None = 8500,
    *,
    started: Callable[[Addresses], None] = lambda where: None,
    last: bool = False,
    **settings: Any,
) -> None:
    """Serves a folder of models until SIGINT or SIGTERM; requests under way are answered first.

    Requests that are not answered after `stop_timeout_s` are cancelled. If threads still hang then (in a model, a file
    system), the process is ended by force with status 1.

    Args:
        models_folder: MODELS, as `export` writes it.
        host: address to listen at. There is no password: whoever reaches it can ask.
        rest_port: of REST and the page; 0 takes a free one.
        grpc_port: of gRPC; 0 takes a free one, None is without.
        started: called when the server takes requests.
        last: whether the process ends with the server. It then ends at once; Python's normal end takes seconds, as it
            frees TensorFlow's objects.
        **settings: further fields of `ServerSettings`.

    Raises:
        ValueError: no such folder, a setting out of range, or a port that is taken.
    """
    chosen = _chosen(settings | {"host": host, "rest_port": rest_port, "grpc_port": grpc_port})

    async def until_signal() -> bool:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            stop.set()
            # Ends the process even where a reader, a model or a file system hangs: the timer is a thread of C, which
            # runs without Python's lock.
            faulthandler.dump_traceback_later(chosen.stop_timeout_s + _FORCE_SECONDS, exit=True, file=nothing)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        return await _run(Path(models_folder), chosen, stop, started, own_process=True)

    _one_thread_a_call()
    with open(os.devnull, "w") as nothing:
        all_ended = asyncio.run(until_signal())
        if not all_ended:
            log.warning("a thread still hangs (a model, a file system): the process is ended by force")
        if last or not all_ended:
            sys.stdout.flush()
            os._exit(0 if all_ended else 1)
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def running(
    models_folder: Path | str,
    host: str = "127.0.0.1",
    rest_port: int = 0,
    grpc_port: int | None = 0,
    **settings: Any,
) -> Iterator[Addresses]:
    """The same server in a thread, for as long as the block lasts.

    Args:
        models_folder: MODELS.
        host: address to listen at.
        rest_port: 0 takes a free one.
        grpc_port: 0 takes a free one; None is without gRPC.
        **settings: further fields of `ServerSettings`.

    Yields:
        Where it listens.

    Raises:
        ValueError: as `serve`.
    """
    chosen = _chosen(settings | {"host": host, "rest_port": rest_port, "grpc_port": grpc_port})
    ready: Future[tuple[Addresses, Callable[[], None]]] = Future()

    async def until_stopped() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()

        def end() -> None:
            loop.call_soon_threadsafe(stop.set)

        await _run(Path(models_folder), chosen, stop, lambda where: ready.set_result((where, end)), own_process=False)

    def thread() -> None:
        try:
            asyncio.run(until_stopped())
        except BaseException as err:
            if ready.done():
                raise
            ready.set_exception(err)

    worker = threading.Thread(target=thread, name="server", daemon=True)
    worker.start()
    where, stop = ready.result()
    try:
        yield where
    finally:
        stop()
        worker.join()


def _one_thread_a_call() -> None:
    """Makes TensorFlow compute a batch in one thread.

    The other cores compute other batches; spread over two cores, a small batch took twice the processor time.
    """
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        log.info("TensorFlow was used before in this process: its number of threads is not changed")


def _chosen(settings: dict[str, Any]) -> ServerSettings:
    try:
        return ServerSettings(**settings)
    except ValidationError as err:
        raise ValueError(f"server: {first_error(err)}") from err


async def _run(
    models_folder: Path,
    settings: ServerSettings,
    stop: asyncio.Event,
    started: Callable[[Addresses], None],
    own_process: bool,
) -> bool:
    """Serves until `stop` is set.

    Returns:
        Whether all threads ended then.
    """
    core = Core(models_folder, settings)
    try:
        await _serve(core, stop, started)
    finally:
        if own_process:
            isolated.stop()  # in a shared process, children of other callers must go on; ours end by their time limit
        ended = core.close(_LAST_SECONDS)
    return ended


async def _serve(core: Core, stop: asyncio.Event, started: Callable[[Addresses], None]) -> None:
    settings = core.settings
    with contextlib.ExitStack() as stack:
        await core.scan()
        if not core.store.names():
            log.warning("%s: no model to serve yet", core.store.folder)
        listener = stack.enter_context(_listener(settings.host, settings.rest_port))
        calls, grpc_port = None, None
        if settings.grpc_port is not None:
            calls = grpc_service.make_server(core)
            grpc_port = _bind_grpc(calls, settings)
            await calls.start()
        pages = _PageServer(_uvicorn_config(core))
        rest = asyncio.create_task(pages.serve(sockets=[listener]))
        poll = asyncio.create_task(core.poll())
        while not pages.started and not rest.done():
            await asyncio.sleep(0.01)
        started(Addresses(settings.host, listener.getsockname()[1], grpc_port))
        stopped = asyncio.create_task(stop.wait())
        # Ends by a signal, or because one of the servers failed, whose error is raised below.
        await asyncio.wait({stopped, rest, poll}, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping: requests under way are answered first")
        poll.cancel()
        stopped.cancel()
        pages.should_exit = True
        if calls is not None:
            await calls.stop(settings.stop_timeout_s)
        await rest
        with contextlib.suppress(asyncio.CancelledError):
            await poll


class _PageServer(uvicorn.Server):
    """uvicorn without its signal handlers, because the gRPC server has to stop as well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _uvicorn_config(core: Core) -> uvicorn.Config:
    settings = core.settings
    return uvicorn.Config(
        RestApp(core, [page.add_routes]),
        http=patient_protocol(settings.read_timeout_s),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.max_connections,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=round(settings.stop_timeout_s) or 1,
    )


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol given, asyncio switches off Nagle's algorithm, which would delay each answer's body by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as err:
        listener.close()
        raise ValueError(f"REST port: expected {host}:{port} to be free, received {err.strerror}") from err
    return listener


def _bind_grpc(server: Any, settings: ServerSettings) -> int:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"{host}:{settings.grpc_port}"
    try:
        return server.add_insecure_port(where)
    except RuntimeError as err:
        raise ValueError(f"gRPC port: expected {where} to be free, received {err}") from err
