"""Parts of the server beside libraries that could replace them, called in turn.

    python benchmarks/server_replacements.py route      # `predict` as ASGI function, Starlette route, FastAPI route
    python benchmarks/server_replacements.py batching   # batching.py, tf.nondifferentiable_batch_function
    python benchmarks/server_replacements.py senders    # clients that never finish their headers: ours, uvicorn's

Prints the median of the rounds, with the smallest and largest. README.md says what was decided by it ("Replacements
tried"). Answers a second depend on what else the machine does; processor time for each answer depends on it less.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from serve_load import Server, rest_load

WIDTH = 16
Rows = dict[str, list[dict[str, float]]]


def small_model(folder: Path) -> Path:
    """A model of next to no work, so that what surrounds it shows: one matrix product of [record, 16]."""
    import tensorflow as tf

    module = tf.Module()
    module.matrix = tf.Variable(np.eye(WIDTH, dtype=np.float32))
    ask = tf.function(lambda x: {"y": x @ module.matrix}, input_signature=[tf.TensorSpec([None, WIDTH], name="x")])
    tf.saved_model.save(module, str(folder / "small" / "1"), {"serving_default": ask})
    return folder


def starlette_route() -> None:
    """`predict` as a Starlette route that is an ASGI function: no request object, FastAPI's middleware around it."""
    from starlette.routing import Route

    from seis_tf.serve import local_server
    from seis_tf.serve.server.errors import Refused
    from seis_tf.serve.server.rest import RestApp, _respond, error_body

    class App(RestApp):
        def __init__(self, core: Any, extend: Any = ()) -> None:
            super().__init__(core, extend)
            for choice in ("/labels/{label}", "/versions/{version:int}", ""):
                path = "/v1/models/{name}" + choice + ":predict"
                self._fastapi.router.routes.insert(0, Route(path, _Endpoint(self, core), methods=["POST"]))

        async def _route(self, scope: Any, receive: Any, send: Any) -> None:
            self._origins.check(scope)
            await self._fastapi(scope, receive, send)

    class _Endpoint:
        def __init__(self, app: RestApp, core: Any) -> None:
            self.app, self.core = app, core

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            asked = scope["path_params"]
            status = 200
            try:
                with self.core.counted(asked["name"], "REST"):
                    body = await self.app._bodies.read(scope, receive)
                    servable = self.core.store.find(asked["name"], asked.get("version"), asked.get("label"))
                    content = await self.app._predict(servable, body)
            except Refused as err:
                status, content = err.http_status, error_body(err)
            await _respond(send, status, content, False)

    local_server.RestApp = App


def fastapi_route() -> None:
    """`predict` as FastAPI routes."""
    from fastapi import Request, Response

    from seis_tf.serve import local_server
    from seis_tf.serve.server.rest import RestApp

    class App(RestApp):
        def __init__(self, core: Any, extend: Any = ()) -> None:
            super().__init__(core, extend)

            async def predict(
                request: Request, name: str, version: int | None = None, label: str | None = None
            ) -> Response:
                with core.counted(name, "REST"):
                    body = await self._bodies.read(request.scope, request.receive)
                    servable = core.store.find(name, version, label)
                    return Response(await self._predict(servable, body), media_type="application/json")

            # As FastAPI resolves a route's annotations by name
            predict.__annotations__.update(request=Request, name=str, version=int | None, label=str | None)
            predict.__annotations__["return"] = Response
            routes = self._fastapi.router.routes
            for choice in ("/labels/{label}", "/versions/{version}", ""):
                path = "/v1/models/{name}" + choice + ":predict"
                self._fastapi.add_api_route(path, predict, methods=["POST"])
                routes.insert(0, routes.pop())

        async def _route(self, scope: Any, receive: Any, send: Any) -> None:
            self._origins.check(scope)
            await self._fastapi(scope, receive, send)

    local_server.RestApp = App


def graph_batching() -> None:
    """TensorFlow's batching op instead of `Batcher`; a call blocks until its batch is done, so each has a thread."""
    import tensorflow as tf

    from seis_tf.serve.server import core

    class GraphBatcher:
        def __init__(self, signature: Any, settings: Any, executor: Any, at_once: int = 1, observe: Any = None) -> None:
            names, outputs = list(signature.inputs), list(signature.outputs)

            @tf.nondifferentiable_batch_function(
                num_batch_threads=at_once,
                max_batch_size=settings.max_batch_size,
                batch_timeout_micros=round(settings.delay_s * 1e6),
                max_enqueued_batches=100,
            )
            def batched(*tensors: Any) -> list[Any]:
                answer = signature.function(**dict(zip(names, tensors, strict=True)))
                return [answer[name] for name in outputs]

            specs = [tf.TensorSpec(spec.shape, spec.dtype) for spec in signature.inputs.values()]
            self._batched, self._names, self._outputs = tf.function(batched, input_signature=specs), names, outputs
            self._threads = ThreadPoolExecutor(64)

        def _call(self, inputs: Any) -> Any:
            answer = self._batched(*[inputs[name] for name in self._names])
            return {name: tensor.numpy() for name, tensor in zip(self._outputs, answer, strict=True)}

        async def answer(self, inputs: Any, rows: int, timeout_s: float | None) -> Any:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._call, inputs)

        async def drained(self) -> None:
            pass

    core.Batcher = GraphBatcher


def loads(variants: dict[str, str], clients: tuple[int, ...], rounds: int, seconds: float) -> dict[int, Rows]:
    """Servers of all variants side by side, one after the other under load, by number of clients."""
    records = np.random.default_rng(0).integers(-9, 9, (64, WIDTH)).astype(np.float32)
    context = multiprocessing.get_context("spawn")
    measured: dict[int, Rows] = {number: {name: [] for name in variants} for number in clients}
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        models = small_model(Path(place))
        servers = {name: stack.enter_context(Server(models, before=code)) for name, code in variants.items()}
        for number in clients:
            for turn in range(-1, rounds):
                for name, server in servers.items():
                    queue = context.Queue()
                    arguments = (server.rest_port, "small", records, number, seconds if turn >= 0 else 1, queue)
                    process, before_s = context.Process(target=rest_load, args=arguments), server.processor_s()
                    process.start()
                    times, errors = queue.get()
                    process.join()
                    if errors:
                        raise ValueError(f"{name}: expected answers, received {errors[0]}")
                    if turn >= 0:  # the first is for warming up
                        measured[number][name].append({
                            "answers/s": len(times) / seconds,
                            "p50 us": 1e6 * statistics.median(times),
                            "p99 us": 1e6 * float(np.percentile(times, 99)),
                            "server's processor us/answer": 1e6 * (server.processor_s() - before_s) / len(times),
                        })  # fmt: skip
    return measured


def slow_senders(variants: dict[str, str], wait_s: float = 12) -> Rows:
    """Twenty connections that send half a header, and whether another client is answered meanwhile.

    Limits: 2 s to read a request, 16 connections.
    """
    measured: Rows = {}
    with tempfile.TemporaryDirectory() as place:
        models = small_model(Path(place))
        for name, code in variants.items():
            with (
                Server(models, before=code, read_timeout_s=2, max_connections=16) as server,
                contextlib.ExitStack() as stack,
            ):
                senders = []
                for _ in range(20):
                    sender = stack.enter_context(socket.create_connection(("127.0.0.1", server.rest_port)))
                    sender.sendall(b"POST /v1/models/small:predict HTTP/1.1\r\nHost: local")
                    sender.setblocking(False)
                    senders.append(sender)
                time.sleep(wait_s)
                open_still = 0
                for sender in senders:
                    try:
                        open_still += bool(sender.recv(1))
                    except BlockingIOError:
                        open_still += 1
                with socket.create_connection(("127.0.0.1", server.rest_port), timeout=10) as other:
                    other.sendall(b"GET /v1/models/small HTTP/1.1\r\nHost: localhost\r\n\r\n")
                    status = int(other.recv(100).split()[1])
                measured[name] = [{f"open after {wait_s:g} s": open_still, "status for another client": status}]
    return measured


def report(title: str, rows: Rows) -> None:
    """Median and spread of each number of each variant."""
    print(title)
    for name, rounds in rows.items():
        parts = []
        for key in rounds[0]:
            values = [row[key] for row in rounds]
            spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            parts.append(f"{key} {statistics.median(values):.4g}{spread}")
        print(f"  {name}: " + ", ".join(parts), flush=True)


def main() -> None:
    """Parses the command line and runs one comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["route", "batching", "senders"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=4)
    options = parser.parse_args()
    patched = "import server_replacements as r; r."
    if options.what == "route":
        variants = {"ASGI function": "", "Starlette route": f"{patched}starlette_route()"}
        variants |= {"FastAPI route": f"{patched}fastapi_route()"}
        for clients, rows in loads(variants, (1, 32), options.rounds, options.seconds).items():
            report(f"{clients} clients", rows)
    elif options.what == "batching":
        variants = {"batching.py": "", "nondifferentiable_batch_function": f"{patched}graph_batching()"}
        for clients, rows in loads(variants, (1, 32), options.rounds, options.seconds).items():
            report(f"{clients} clients", rows)
    else:
        plain = "import seis_tf.serve.local_server as s; s.patient_protocol = lambda seconds: "
        variants = {"ours": "", "uvicorn, httptools": f"{plain}'httptools'", "uvicorn, h11": f"{plain}'h11'"}
        report("clients that never finish their headers", slow_senders(variants))


if __name__ == "__main__":
    main()
