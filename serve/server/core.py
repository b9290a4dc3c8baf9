"""What REST, gRPC and the page share: a request's arrays in, the answer's arrays out, within limits and counted."""

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
# Batches of one signature that are computed at the same time; with more of them batches would be small.
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
        # One core stays free for the event loop.
        self._at_once = min(max((os.cpu_count() or 1) - 1, 1), _MOST_AT_ONCE)
        self.executor = ThreadPoolExecutor(self._at_once + 1, thread_name_prefix="model")
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        # Two pools, so that slow uploads delay no large request.
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
        """Calls a function in a thread, because it would block the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._requests, function, *args)

    async def upload(self, function: Callable[..., Result], *args: Any) -> Result:
        """As `in_thread`, for functions that read uploads.

        Raises:
            Refused: UNAVAILABLE; too many uploads are being read.
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
        """Counts a request and its time; names of models that aren't served are not counted, as clients choose them."""
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
        """Reads the folder once; versions that are gone are released when their last request is answered.

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
        gc.collect()  # a loaded graph has reference cycles

    async def poll(self) -> None:
        """Reads the folder every `poll_s` seconds, for ever."""
        reason = ""
        while True:
            await asyncio.sleep(self.settings.poll_s)
            try:
                await self.scan()
                reason = ""
            except (ValueError, OSError) as err:
                if str(err) != reason:
                    log.error("%s; what was served before is still served", err)
                reason = str(err)

    def close(self, timeout_s: float) -> bool:
        """Ends the threads; work that waits for a thread is cancelled.

        Returns:
            Whether all of them ended in time; a thread that didn't would keep the process from ending.
        """
        executors = (self.executor, self._loader, self._requests, self._uploads)
        for executor in executors:
            executor.shutdown(wait=False, cancel_futures=True)
        waiting = threading.Thread(target=lambda: [executor.shutdown() for executor in executors], daemon=True)
        waiting.start()
        waiting.join(timeout_s)
        return not waiting.is_alive()
