"""A function in a child process: what comes back, and what becomes of those that hang, swell or die.

The functions are of the standard library and NumPy: the child finds them by name.
"""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from seis_tf import isolated
from seis_tf.isolated import NoAnswer, call


def _child() -> int:
    return call(os.getpid)


def test_a_result_comes_back_from_another_process_which_is_used_again():
    child = _child()
    assert child != os.getpid()
    assert call(divmod, 17, 5) == (3, 2)
    assert _child() == child


def test_arrays_come_back_whole_and_can_be_written_to():
    fortran = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    given = {
        "plain": np.arange(1000, dtype=np.int32),
        "fortran": fortran,
        "part": np.arange(10)[::3],
        "none": np.empty(0),
    }
    back = call(dict, given)
    for name, array in given.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)
    back["plain"][0] = 7


def test_what_takes_too_long_is_killed():
    child = _child()
    with pytest.raises(NoAnswer, match=r"^expected an answer within 0\.2 s, received none: given up$"):
        call(time.sleep, 600, seconds=0.2)
    assert _gone(child)
    assert call(abs, -1) == 1


def test_what_waits_for_a_fifo_is_killed(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NoAnswer, match="within 0.2 s"):
        call(np.fromfile, str(tmp_path / "fifo"), seconds=0.2)


def test_what_takes_too_much_memory_is_refused_and_the_next_call_has_its_full_share():
    with pytest.raises(NoAnswer, match="^expected to need at most 100 MB of memory, received more: given up$"):
        call(bytearray, 200_000_000, memory_mb=100)
    assert len(call(bytes, 50_000_000, memory_mb=200)) == 50_000_000


def test_a_process_that_dies_is_said():
    with pytest.raises(NoAnswer, match=r"^expected an answer, received the end of its process \(signal SIGSEGV\)$"):
        call(signal.raise_signal, signal.SIGSEGV)
    with pytest.raises(NoAnswer, match=r"\(status 3\)$"):
        call(os._exit, 3)
    assert call(abs, -1) == 1


def test_the_functions_own_errors_arrive_as_they_are():
    with pytest.raises(ValueError, match="invalid literal for int") as raised:
        call(int, "three")
    assert type(raised.value) is ValueError
    with pytest.raises(ZeroDivisionError) as raised:
        call(divmod, 1, 0)
    assert "in a child process" in raised.value.__notes__[0]


def test_an_error_that_pickle_cannot_send_keeps_its_text():
    with pytest.raises(ValueError, match="Expecting value"):
        call(eval, "__import__('json').loads('')")
    # Its constructor takes other arguments than its text.
    with pytest.raises(ValueError, match="can't decode byte 0xff"):
        call(bytes.decode, b"\xff")
    with pytest.raises(RuntimeError, match="^Odd: a b$"):
        call(exec, "class Odd(Exception): pass\nraise Odd('a b')")


def test_tensorflow_and_the_main_script_stay_out():
    assert call(eval, "'tensorflow' in __import__('sys').modules") is False


def test_stop_frees_who_waits():
    failed = []

    def wait() -> None:
        try:
            call(time.sleep, 600, seconds=600)
        except NoAnswer as err:
            failed.append(str(err))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    # A child of an earlier test that is dead by now is replaced, and is not the one that is meant.
    while not any(worker.alive() for worker in isolated.at_work()):
        time.sleep(0.01)
    isolated.stop()
    thread.join(20)
    assert failed == ["expected an answer, received the end of its process (signal SIGKILL)"]


def test_a_script_without_a_guard_is_run_once_and_its_children_end_with_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal\nfrom seis_tf.isolated import call\nprint('here', flush=True)\n"
        "print(call(os.getpid), flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split()[0] == "here" and done.stdout.count("here") == 1, done.stderr
    assert done.returncode == -signal.SIGKILL
    assert _gone(int(done.stdout.split()[1]))


def test_a_child_whose_caller_dies_in_the_middle_of_a_call_ends_too(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import os, signal, threading, time\nfrom seis_tf import isolated\n"
        "print(isolated.call(os.getpid), flush=True)\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "isolated.call(time.sleep, 600, seconds=0.5)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert _gone(int(done.stdout))


def test_a_forked_process_has_children_of_its_own():
    child = _child()
    read, write = os.pipe()
    forked = os.fork()
    if not forked:
        os.write(write, str(_child()).encode())
        isolated.stop()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        assert int(answer.read()) != child
    os.waitpid(forked, 0)
    assert _child() == child


def _gone(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process ends (one that nobody waited for is a zombie: gone as well)."""
    for _ in range(int(seconds / 0.05)):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.05)
    return False
