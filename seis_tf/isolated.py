"""A function called in a child process that can be killed: for reading files that somebody else made.

Readers of ObsPy, SciPy and HDF5 can hang, eat all memory or end the whole process on a damaged or hostile file. In a
child process none of this reaches the caller: it gets the result, the function's own error, or `NoAnswer`.

It is no sandbox: the child may open every file that the caller may open.

The child is a Python of its own that imports what the function needs and nothing else (no TensorFlow, unless the
function's module does), and never the caller's main script. It waits for the next call when one is done, and ends when
the caller's process ends. Neither pebble nor `concurrent.futures` fits: both start workers through `multiprocessing`,
which runs a main script without `if __name__ == "__main__"` again in each of them, and both need threads, after which
`writer` can't fork.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from multiprocessing.spawn import get_executable
from typing import Any, TypeVar

Result = TypeVar("Result")

_COMMAND = "import sys; sys.path[:] = {path!r}; from seis_tf import isolated; isolated._work({handle})"
# More threads would only take address space, which is what is limited.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_START_SECONDS = 60.0  # for the child's Python to start, on a busy machine
_MOST_IDLE = max(os.cpu_count() or 1, 2)
_MOST_CALLS = 500  # then a fresh one: what libraries leak over damaged files must not add up
# A child whose caller was killed in the middle of a call ends by itself so long after the time limit.
_ORPHAN_SECONDS = 2.0


class NoAnswer(ValueError):
    """The function took too long or too much memory, or its process died; the message says which, in one line."""


def call(function: Callable[..., Result], *args: Any, seconds: float = 20.0, memory_mb: int = 1024) -> Result:
    """Calls a function in a child process; blocks. May be called by several threads at the same time.

    Args:
        function: one that pickle finds by its name: of a module, not of a script or a notebook.
        *args: of the function; what pickle can send. Arrays come back without being copied into the pickle.
        seconds: after which the child is killed.
        memory_mb: that the call may take on top of what its process holds before it.

    Returns:
        What the function returns.

    Raises:
        NoAnswer: time or memory ran out, or the process died.
        Exception: whatever the function raises, as it is.
    """
    payload = pickle.dumps((function, args), protocol=5)
    worker = _take()
    try:
        done, value = worker.ask(payload, seconds, memory_mb)
    except BaseException:
        worker.end()
        raise
    _give_back(worker)
    if not done:
        raise value
    return value


def stop() -> None:
    """Kills all children; who waits for one gets `NoAnswer`. The next call starts a new one."""
    with _lock:
        idle, busy = list(_idle), at_work()
        _idle.clear()
    for worker in busy:
        worker.kill()  # its caller does the rest
    for worker in idle:
        worker.end()


class _Worker:
    """A child process, seen from the caller's."""

    def __init__(self) -> None:
        self.calls = 0
        self._connection, theirs = Pipe()
        with theirs:
            command = _COMMAND.format(path=sys.path, handle=theirs.fileno())
            self._process = subprocess.Popen(
                [get_executable(), "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=os.environ | _ONE_THREAD,
                pass_fds=(theirs.fileno(),),
            )
        try:
            self._await(_START_SECONDS)
            self._connection.recv_bytes()
        except (EOFError, OSError) as err:
            self.end()
            raise NoAnswer(f"expected a child process that starts, received {self._how_it_ended()}") from err

    def ask(self, payload: bytes, seconds: float, memory_mb: int) -> tuple[bool, Any]:
        """Whether the function returned, and what; else its error."""
        self.calls += 1
        try:
            self._connection.send((seconds, memory_mb, payload))
            self._await(seconds)
            return _receive(self._connection)
        except (EOFError, OSError) as err:
            raise NoAnswer(f"expected an answer, received {self._how_it_ended()}") from err

    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        with _lock:
            _workers.discard(self)
        self._process.kill()

    def end(self) -> None:
        """Ends the process and what belongs to it here."""
        self.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # the kernel itself waits for a device
            self._process.wait(1.0)
        self._connection.close()

    def forget(self) -> None:
        """In a forked process: lets go of a child that is not its own."""
        self._process.returncode = 0
        self._connection.close()

    def _await(self, seconds: float) -> None:
        if not self._connection.poll(seconds):
            raise NoAnswer(f"expected an answer within {seconds:g} s, received none: given up")

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1.0)
        code = self._process.returncode
        if code is None:
            return "no more from its process"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        return f"the end of its process ({how})"


_lock = threading.RLock()
_workers: set[_Worker] = set()
_idle: list[_Worker] = []


def at_work() -> set[_Worker]:
    """The child processes that a call is waiting for."""
    return _workers.difference(_idle)


def _take() -> _Worker:
    while True:
        with _lock:
            worker = _idle.pop() if _idle else None
        if worker is None:
            worker = _Worker()
            with _lock:
                _workers.add(worker)
            return worker
        if worker.alive():
            return worker
        with _lock:
            killed = worker not in _workers  # known before the process ends, so that it is asked for afterwards
        if killed:
            return worker  # by `stop`: it is not replaced, its caller is to learn of it
        worker.end()


def _give_back(worker: _Worker) -> None:
    with _lock:
        if worker in _workers and worker.calls < _MOST_CALLS and len(_idle) < _MOST_IDLE:
            _idle.append(worker)
            return
    worker.end()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    for worker in _workers:
        worker.forget()
    _workers.clear()
    _idle.clear()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(stop)


def _work(handle: int) -> None:
    """The child process: answers one call after the other until the caller's process is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both: the caller decides
    connection = Connection(handle)
    with contextlib.suppress(EOFError, OSError):
        connection.send_bytes(b"")
        while True:
            seconds, memory_mb, payload = connection.recv()
            # Its default action ends the process without any help of Python's.
            signal.setitimer(signal.ITIMER_REAL, seconds + _ORPHAN_SECONDS)
            for part in _answer(payload, memory_mb):
                connection.send_bytes(part)
            signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(payload: bytes, memory_mb: int) -> list[Any]:
    """What is sent back."""
    try:
        function, args = pickle.loads(payload)
        with _at_most(memory_mb):
            return _parts((True, function(*args)))
    except MemoryError:
        error: Exception = NoAnswer(f"expected to need at most {memory_mb} MB of memory, received more: given up")
    except Exception as err:
        error = _portable(err)
    return _parts((False, error))


@contextlib.contextmanager
def _at_most(memory_mb: int) -> Iterator[None]:
    """The address space that the process may take in this block, on top of what it has. Only Linux tells how much."""
    if not os.path.exists("/proc/self/statm"):
        yield
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        most = int(file.read().split()[0]) * resource.getpagesize() + memory_mb * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _portable(err: Exception) -> Exception:
    """The error as it is, where pickle can send it; else its text."""
    if not isinstance(err, ValueError):
        err.add_note("in a child process:\n" + "".join(traceback.format_exception(err)))
    try:
        pickle.loads(pickle.dumps(err))
    except Exception:
        kind = ValueError if isinstance(err, ValueError) else RuntimeError
        return kind(f"{type(err).__name__}: {err}" if kind is RuntimeError else str(err))
    return err


def _parts(value: Any) -> list[Any]:
    """A value as messages: the sizes of its arrays, the pickle without them, the arrays."""
    buffers: list[pickle.PickleBuffer] = []
    content = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    return [pickle.dumps([view.nbytes for view in views]), content, *(view for view in views if view.nbytes)]


def _receive(connection: Connection) -> Any:
    sizes, content = pickle.loads(connection.recv_bytes()), connection.recv_bytes()
    buffers = [bytearray(size) for size in sizes]
    for buffer in buffers:
        if buffer:
            connection.recv_bytes_into(buffer)
    return pickle.loads(content, buffers=buffers)
