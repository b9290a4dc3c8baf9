"""What REST, gRPC and the page share: from a request's tensors to the answer's, with limits and counts."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from seis_tf.serve.batching import Batcher, read_batching
from seis_tf.serve.errors import Refused
from seis_tf.serve.metrics import Metrics
from seis_tf.serve.models import ModelStore
from seis_tf.serve.servable import Arrays, Servable, Signature
from seis_tf.settings.serving import ServerSettings

log = logging.getLogger(__name__)
# Batches of one signature that are computed at the same time: with more they would be small.
_MOST_AT_ONCE = 4


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

    def close(self) -> None:
        """Ends the threads; calls under way are finished first."""
        self.executor.shutdown()
        self._loader.shutdown()
