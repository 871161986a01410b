"""Programs of programs/inspect that say what is in them, and wait to be looked at."""

import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from inspect_targets import PROGRAMS, in_read


@contextlib.contextmanager
def waiting(python, program, *arguments, environment=(), reads=True, **options):
    """Starts a program that writes one line of JSON when it is ready and ends with its input;
    gives its process and what it has said.

    reads: a thread of it reads its input from then on. It may lose its CPU between the one and
    the other, and would be seen at the one place now and at the other later."""
    process = subprocess.Popen(
        [str(python), str(PROGRAMS / program), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, **dict(environment)}, start_new_session=True, **options)
    try:
        line = process.stdout.readline()
        if not line:
            pytest.fail(f"{python} {program}: {process.stderr.read().decode(errors='replace')}")
        if reads:
            wait_for(lambda: in_read(process.pid), "the thread that reads the input")
        yield process, json.loads(line)
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()
        process.wait()


def wait_for(condition, what="that"):
    """Waits for a state that comes by itself; only what hangs gets to the limit."""
    limit = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < limit, f"waited for {what} in vain"
        time.sleep(0.005)
    return found


def states(pid):
    """The states of a process' threads: {"S", "R"}."""
    found = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            stat = Path(f"/proc/{pid}/task/{task}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        found.add(stat.rpartition(") ")[2][0])
    return found


def is_traced(pid):
    """Whether each of its threads has a tracer."""
    return all("TracerPid:\t0\n" not in Path(f"/proc/{pid}/task/{task}/status").read_text()
               for task in os.listdir(f"/proc/{pid}/task"))


def main_interpreter(document):
    return next(one for one in document["interpreters"] if one["main"])


def threads_by_name(document):
    return {thread["name"]: thread
            for interpreter in document["interpreters"] for thread in interpreter["threads"]}


def frame_of(thread, function):
    """The innermost Python frame of a function, by the last part of its qualified name."""
    return next(frame for frame in thread["frames"]
                if frame["kind"] == "python" and frame["function"].split(".")[-1] == function)
