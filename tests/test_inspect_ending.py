"""Threads that end between the reading of Python's list of them and of the system's."""

import json

import pytest
from conftest import run_command
from inspect_programs import threads_by_name, wait_for, waiting

pytestmark = pytest.mark.free_threaded


def look_with_pauses(command, pid, pause):
    """A look with a pause at some system calls."""
    done = run_command(["strace", "-qq", "-o", "/dev/null", "-e", "trace=" + pause.split(":")[0],
                        "-e", "inject=" + pause, command, "inspect", "--json", "--looks", "1",
                        str(pid)])  # fmt: skip
    if b"ptrace" in done.stderr and b"Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here: " + done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_thread_that_has_just_ended_has_left_nothing_behind(each_python, command):
    """Python has no state of it any more: it is not one that was killed, or lost by a fork."""
    def one_has_ended():
        # Before the system's list of threads is read.
        document = look_with_pauses(command, process.pid, "getdents64:delay_enter=50000")
        assert "gone" not in [hint["kind"] for hint in document["hints"]]
        threads = threads_by_name(document).values()
        assert "gone" not in [thread["state"] for thread in threads]
        ended = [thread for thread in threads
                 if "it ended while it was looked at" in (thread["problem"] or "")]
        assert all((thread["native_id"], thread["state"]) == (None, "unknown") for thread in ended)
        return ended

    with waiting(each_python, "ending.py") as (process, _):
        for _ in range(5):
            wait_for(one_has_ended, "a thread that ends")


def test_a_thread_that_has_just_ended_has_not_the_name_of_the_next(each_python, command):
    """The next one has its pthread_t, by which names are found."""
    with waiting(each_python, "ending.py") as (process, _):
        for _ in range(30):
            document = look_with_pauses(command, process.pid, "process_vm_readv:delay_exit=500")
            for name, thread in threads_by_name(document).items():
                functions = {frame["function"] for frame in thread["frames"]} & {"even", "odd"}
                assert name not in ("even", "odd") or functions <= {name}, thread
