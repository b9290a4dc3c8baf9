"""Joins requests that arrive together into one call of the model: arrays in, each request's outputs out.

A batcher belongs to one signature of one version and runs on the server's event loop; the model runs in a thread. While
a batch is computed the next requests gather, so that batches grow with the load, and a single request is not delayed
(unless `delay_s` asks for it).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from seis_tf.serve.server.errors import Refused
from seis_tf.serve.server.servable import Arrays, Signature
from seis_tf.settings.base import first_error
from seis_tf.settings.serving import BatchingSettings

_SERVING_MAX_BATCH_SIZE = 1000  # TensorFlow Serving's, where its file names none
_SPLITS = re.compile(r"enable_large_batch_splitting\s*(?::|\{\s*value\s*:)\s*(?i:true|t|1)\b")
_VALUE = re.compile(r"(\w+)\s*(?::|\{\s*value\s*:)\s*(\d+)")


@dataclass(eq=False)
class _Waiting:
    """A request in the queue or in a batch; `since` is the event loop's time of its arrival in s."""

    inputs: Arrays
    rows: int
    key: tuple
    since: float
    answer: asyncio.Future = field(repr=False)


class Batcher:
    """Joins the requests to one signature.

    Args:
        signature: of the requests.
        settings: sizes and delay.
        executor: its threads run the model.
        at_once: batches that may be computed at the same time.
        observe: called with the number of records and the seconds of each call of the model.
    """

    def __init__(
        self,
        signature: Signature,
        settings: BatchingSettings,
        executor: Executor,
        at_once: int = 1,
        observe: Callable[[int, float], None] = lambda rows, seconds: None,
    ) -> None:
        self._signature, self._settings, self._executor, self._observe = signature, settings, executor, observe
        self._waiting: deque[_Waiting] = deque()
        self._running, self._at_once = 0, at_once
        self._planned: asyncio.Handle | None = None

    async def answer(self, inputs: Arrays, rows: int, timeout_s: float | None) -> Arrays:
        """Waits for a request's turn and returns its outputs.

        Args:
            inputs: checked against the signature.
            rows: records in them.
            timeout_s: how long the caller waits; None for ever.

        Raises:
            Refused: INVALID_ARGUMENT (more records than the settings allow), UNAVAILABLE (too many requests wait),
                DEADLINE_EXCEEDED, or the model's error for this request.
        """
        if self._settings.max_rows is not None and rows > self._settings.max_rows:
            raise Refused(
                "INVALID_ARGUMENT",
                f"Task size {rows} is larger than maximum input batch size {self._settings.max_rows}; send fewer "
                "records in a request, or raise max_batch_size in batching.config",
            )
        if len(self._waiting) >= self._settings.max_waiting:
            raise Refused(
                "UNAVAILABLE",
                f"The batch scheduling queue to which this task was submitted is full; {len(self._waiting)} wait",
            )
        loop = asyncio.get_running_loop()
        key = tuple((name, array.shape[1:]) for name, array in inputs.items())
        request = _Waiting(inputs, rows, key, loop.time(), loop.create_future())
        self._waiting.append(request)
        self._plan(loop)
        try:
            async with asyncio.timeout(timeout_s):
                return await request.answer
        except TimeoutError as err:
            raise Refused("DEADLINE_EXCEEDED", f"expected an answer within {timeout_s:.3g} s") from err

    async def drained(self) -> None:
        """Returns when nothing waits and nothing runs."""
        while self._waiting or self._running:
            await asyncio.sleep(0.02)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Starts the next batch as soon as it may start."""
        if self._running >= self._at_once or not self._waiting:
            return
        planned, delay = self._planned, 0.0
        if self._settings.delay_s and sum(request.rows for request in self._waiting) < self._settings.max_batch_size:
            delay = self._waiting[0].since + self._settings.delay_s - loop.time()
        if delay > 0 and planned is None:
            self._planned = loop.call_later(delay, self._start, loop)
        elif delay <= 0 and (planned is None or isinstance(planned, asyncio.TimerHandle)):
            if planned is not None:
                planned.cancel()
            # In the loop's next turn: requests that this turn has read join the batch.
            self._planned = loop.call_soon(self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._planned = None
        batch = self._take()
        if not batch:
            return
        self._running += 1
        call = loop.run_in_executor(self._executor, self._compute, batch)
        call.add_done_callback(lambda done: self._finish(loop, batch, done))
        self._plan(loop)

    def _take(self) -> list[_Waiting]:
        """The next requests that fit into one batch, in the order of their arrival; others keep their places."""
        batch: list[_Waiting] = []
        rest: deque[_Waiting] = deque()
        rows, capacity = 0, self._capacity()
        while self._waiting and rows < capacity:
            request = self._waiting.popleft()
            if request.answer.done():
                continue  # given up by its caller
            fits = not batch or (
                self._signature.batched and request.key == batch[0].key and rows + request.rows <= capacity
            )
            if fits:
                batch.append(request)
                rows += request.rows
            else:
                rest.append(request)
        self._waiting.extendleft(reversed(rest))
        return batch

    def _capacity(self) -> int:
        """Records that the next batch may have.

        The next larger allowed size where the records that wait fill over three quarters of it; else the next smaller
        one, because padding would then add more than a third to the work.
        """
        waiting, sizes = sum(request.rows for request in self._waiting), self._settings.allowed_sizes
        if not sizes or waiting >= self._settings.max_batch_size:
            return self._settings.max_batch_size
        above = min(size for size in sizes if size >= waiting)
        below = max((size for size in sizes if size <= waiting), default=above)
        return above if 4 * waiting > 3 * above else below

    def _finish(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], done: asyncio.Future) -> None:
        self._running -= 1
        self._plan(loop)
        answers = [done.exception()] * len(batch) if done.exception() else done.result()
        for request, answer in zip(batch, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, BaseException):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)

    def _compute(self, batch: list[_Waiting]) -> list[Arrays | Refused]:
        """Answers of a batch, in its order (runs in a thread)."""
        if len(batch) > 1:
            rows = [request.rows for request in batch]
            joined = {name: np.concatenate([r.inputs[name] for r in batch]) for name in batch[0].inputs}
            try:
                return _split(self._call(joined, sum(rows)), rows)
            except Refused:
                pass  # a request of the batch is at fault: each is called alone, so that the others get their answers
        return [self._alone(request) for request in batch]

    def _alone(self, request: _Waiting) -> Arrays | Refused:
        try:
            return self._call(request.inputs, request.rows)
        except Refused as err:
            return err

    def _call(self, inputs: Arrays, rows: int) -> Arrays:
        if not self._signature.batched:
            return self._run(inputs, 1)
        parts = []
        for first in range(0, rows, self._settings.max_batch_size):
            part = {name: array[first : first + self._settings.max_batch_size] for name, array in inputs.items()}
            count = min(rows - first, self._settings.max_batch_size)
            padded, padded_count = _padded(part, count, self._settings.allowed_sizes)
            outputs = self._run(padded, count)
            for name, array in outputs.items():
                if array.shape[:1] != (padded_count,):
                    expected = f"a record for each of {padded_count}"
                    raise Refused("INTERNAL", f"{name}: expected {expected}, received shape {list(array.shape)}")
            parts.append({name: array[:count] for name, array in outputs.items()})
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _run(self, inputs: Arrays, rows: int) -> Arrays:
        started = time.perf_counter()
        outputs = self._signature.run(inputs)
        self._observe(rows, time.perf_counter() - started)
        return outputs


def _padded(inputs: Arrays, rows: int, allowed_sizes: tuple[int, ...]) -> tuple[Arrays, int]:
    """Repeats the last record up to the next allowed size, so that a compiled graph sees few sizes.

    Returns:
        The inputs and their number of records.
    """
    size = min((size for size in allowed_sizes if size >= rows), default=rows)
    if size == rows:
        return inputs, rows
    return {name: np.concatenate([a, np.repeat(a[-1:], size - rows, axis=0)]) for name, a in inputs.items()}, size


def _split(outputs: Arrays, rows: list[int]) -> list[Arrays | Refused]:
    """The outputs of each of the joined requests, which have so many `rows`."""
    ends = list(accumulate(rows))
    slices = [slice(end - count, end) for end, count in zip(ends, rows, strict=True)]
    return [{name: array[part] for name, array in outputs.items()} for part in slices]


def read_batching(models_folder: Path) -> BatchingSettings:
    """Settings from MODELS/batching.config, TensorFlow Serving's file; the defaults where there is none.

    Raises:
        ValueError: a value is out of range; names the file.
    """
    path = models_folder / "batching.config"
    if not path.is_file():
        return BatchingSettings()
    text = re.sub(r"#.*", "", path.read_text())
    pairs = [(key, int(value)) for key, value in _VALUE.findall(text)]
    given = dict(pairs)
    # TensorFlow Serving refuses requests of more than max_batch_size records and calls the model with up to as many;
    # only where it may split requests, max_execution_batch_size limits a call.
    at_once = given.get("max_batch_size", _SERVING_MAX_BATCH_SIZE)
    settings: dict[str, Any] = {"max_rows": at_once, "max_batch_size": at_once}
    if _SPLITS.search(text):
        settings["max_batch_size"] = given.get("max_execution_batch_size", at_once)
    if "batch_timeout_micros" in given:
        settings["delay_s"] = given["batch_timeout_micros"] * 1e-6
    if "max_enqueued_batches" in given:
        settings["max_waiting"] = given["max_enqueued_batches"] * settings["max_batch_size"]
    sizes = sorted(value for key, value in pairs if key == "allowed_batch_sizes")
    if settings["max_batch_size"] < at_once:  # no call is larger than a part
        sizes = [size for size in sizes if size <= settings["max_batch_size"]]
    settings["allowed_sizes"] = tuple(sizes)
    try:
        return BatchingSettings(**settings)
    except ValidationError as err:
        raise ValueError(f"{path}: {first_error(err)}") from err
