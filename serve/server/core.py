"""What REST, gRPC and the page share: from a request's tensors to the answer's, with limits and counts."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from seis_tf import isolated
from seis_tf.serve.server.batching import Batcher, read_batching
from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.metrics import Metrics
from seis_tf.serve.server.models import ModelStore
from seis_tf.serve.server.servable import Arrays, Servable, Signature
from seis_tf.settings.serving import ServerSettings

log = logging.getLogger(__name__)
Result = TypeVar("Result")
# Batches of one signature that are computed at the same time: with more they would be small.
_MOST_AT_ONCE = 4
_UPLOADS_AT_ONCE = 2


class Core:
    """The models of a folder, ready to answer.

    Args:
        models_folder: MODELS.
        settings: limits.

    Raises:
        ValueError: `batching.config` is wrong.
    """

    def __init__(self, models_folder: Path, settings: ServerSettings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.batching = settings.batching or read_batching(models_folder)
        # One core is left to the event loop.
        self._at_once = min(max((os.cpu_count() or 1) - 1, 1), _MOST_AT_ONCE)
        self.executor = ThreadPoolExecutor(self._at_once + 1, thread_name_prefix="model")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        # Threads of their own: uploads that take long keep no large request waiting.
        self._requests = ThreadPoolExecutor(4, thread_name_prefix="request")
        self._uploads = ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload")
        self._uploading = 0
        self.store = ModelStore(models_folder, self._give_batchers)

    def _give_batchers(self, servable: Servable) -> None:
        observe = functools.partial(self.metrics.batch, servable.name)
        for name, signature in servable.signatures.items():
            servable.batchers[name] = Batcher(signature, self.batching, self.executor, self._at_once, observe)

    async def predict(
        self, servable: Servable, signature: Signature, inputs: Arrays, rows: int, timeout_s: float | None = None
    ) -> Arrays:
        """Answers a request that was checked against the signature.

        Raises:
            Refused: as `Batcher.answer`.
        """
        limit_s = self.settings.request_timeout_s
        limit_s = limit_s if timeout_s is None else min(timeout_s, limit_s)
        return await servable.batchers[signature.name].answer(inputs, rows, limit_s)

    async def in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        """Calls what would hold the event loop up in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._requests, function, *args)

    async def upload(self, function: Callable[..., Result], *args: Any) -> Result:
        """As `in_thread`, for what reads uploads.

        Raises:
            Refused: UNAVAILABLE; too many are being read.
        """
        if self._uploading >= self.settings.max_uploads:
            raise Refused("UNAVAILABLE", f"too many files at one time; {self._uploading} are being read")
        self._uploading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._uploads, function, *args)
        finally:
            self._uploading -= 1

    def isolated(self, function: Callable[..., Result], *args: Any) -> Result:
        """Calls a function in a child process, within the limits for uploads; blocks.

        Raises:
            NoAnswer: as `isolated.call`.
        """
        limits = {"seconds": self.settings.upload_timeout_s, "memory_mb": self.settings.upload_memory_mb}
        return isolated.call(function, *args, **limits)

    @contextmanager
    def counted(self, model: str, entrypoint: str) -> Iterator[None]:
        """Counts a request and how long it took; names that aren't served are not counted, for they could be any."""
        started, code = time.perf_counter(), "OK"
        try:
            yield
        except Refused as err:
            code = err.code
            raise
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        finally:
            if self.store.serves(model):
                self.metrics.request(model, entrypoint, code, time.perf_counter() - started)

    async def scan(self) -> None:
        """Looks at the folder once; versions that are gone are let go when their last request is answered.

        Raises:
            ValueError: the folder or `models.config` can't be read.
        """
        gone = await asyncio.get_running_loop().run_in_executor(self._loader, self.store.scan)
        if not gone:
            return
        while gone:
            for batcher in gone[-1].batchers.values():
                await batcher.drained()
            self.store.unloaded(gone.pop())
        gc.collect()  # a loaded graph is full of cycles

    async def poll(self) -> None:
        """Looks at the folder again and again."""
        reason = ""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            try:
                await self.scan()
                reason = ""
            except (ValueError, OSError) as err:
                if str(err) != reason:
                    log.error("%s; what was served before goes on", err)
                reason = str(err)

    def close(self, timeout_s: float) -> bool:
        """Ends the threads; what waits for one is given up.

        Returns:
            Whether all of them ended in time; those that didn't hang, and so would the end of the process.
        """
        executors = (self.executor, self._loader, self._requests, self._uploads)
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)
        waiting = threading.Thread(target=lambda: [executor.shutdown() for executor in executors], daemon=True)
        waiting.start()
        waiting.join(timeout_s)
        return not waiting.is_alive()
