"""rft_snapshot_unmoved: whether anything has moved since a snapshot."""

import os
import subprocess
import time

import pytest
from inspect_library import Library
from inspect_programs import wait_for
from inspect_targets import PROGRAMS, in_read

WAITING = """
import settled, sys, threading
lock, ready = threading.Lock(), threading.Semaphore(0)
lock.acquire()
def wait():
    ready.release()
    lock.acquire()
for _ in range(3):
    threading.Thread(target=wait, daemon=True).start()
for _ in range(3):
    ready.acquire()
settled.wait_until_inside(futex=3)
print(flush=True)
sys.stdin.readline()  # further on, the main thread waits at another place
print(flush=True)
sys.stdin.readline()
"""

COMPUTING = """
def add(a, b):
    return a + b
print(flush=True)
number = 0
while True:
    number = add(number, 1)
"""

SECONDS = 60


def comes_true(condition):
    """At the latest after a minute: what is waited for happens when the machine has time for it."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"did not come true within {SECONDS} s")
    return True


@pytest.fixture
def target(each_python):
    processes = []

    def start(program):
        process = subprocess.Popen([each_python, "-c", program], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE,
                                   env={**os.environ, "PYTHONPATH": str(PROGRAMS)})  # fmt: skip
        processes.append(process)
        process.stdout.readline()
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def stands(runtime):
    """A snapshot, and again nothing has moved."""
    runtime.snapshot()
    return runtime.unmoved()


@pytest.mark.free_threaded
def test_threads_that_wait_have_not_moved_until_one_does(target):
    process = target(WAITING)
    # Who has no processor just now does not move either: wait until it is where it stays.
    wait_for(lambda: in_read(process.pid) == 1)
    with Library().process(process.pid) as runtime:
        assert comes_true(lambda: stands(runtime))
        assert runtime.unmoved() and runtime.unmoved()  # as often as one asks
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert not runtime.unmoved()
        assert comes_true(lambda: stands(runtime))


@pytest.mark.free_threaded
def test_a_thread_that_computes_has_moved(target):
    process = target(COMPUTING)
    with Library().process(process.pid) as runtime:
        assert comes_true(lambda: not stands(runtime))


def test_without_a_snapshot_nothing_is_known(target):
    process = target(WAITING)
    with Library().process(process.pid) as runtime:
        assert not runtime.unmoved()
