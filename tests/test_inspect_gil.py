"""Who has the GIL and who waits for it: CPython says so itself since 3.15; before, and in
cores, it is told by the futex that a thread sleeps in."""

import os
import signal
from pathlib import Path

import pytest
from inspect_programs import states, threads_by_name, wait_for, waiting
from inspect_targets import gcore, inspected

SYSTEM_CALL_FUTEX = {"x86_64": "202", "aarch64": "98"}


def relations(document):
    return {name: thread["gil"]["relation"] if isinstance(thread["gil"], dict) else thread["gil"]
            for name, thread in threads_by_name(document).items()}


EXPECTED = {"MainThread": "holds", "reader": "not_needed", "counter 0": "waits",
            "counter 1": "waits", "counter 2": "waits"}  # fmt: skip


@pytest.fixture
def target(each_python):
    with waiting(each_python, "gil.py") as (process, _):
        yield process


def wait_until_seen(target, command):
    """A thread that waits looks at the GIL each 5 ms: then it is neither here nor there."""
    wait_for(lambda: relations(inspected(command, target.pid, "--looks", "1")) == EXPECTED,
             "the GIL's holder and those who wait")


def test_DB9_who_holds_the_gil_and_who_waits_for_it(target, command):
    wait_until_seen(target, command)


def stop_where_threads_wait(target):
    """Stops it while two at least are in futex: those that wait for the GIL. On a busy machine
    all may have woken up, and not yet got a CPU to go on waiting."""
    def stopped():
        os.kill(target.pid, signal.SIGSTOP)
        wait_for(lambda: states(target.pid) == {"T"}, "its stop")
        calls = [Path(f"/proc/{target.pid}/task/{task}/syscall").read_text().split()[0]
                 for task in os.listdir(f"/proc/{target.pid}/task")]
        if calls.count(SYSTEM_CALL_FUTEX[os.uname().machine]) >= 2:
            return True
        os.kill(target.pid, signal.SIGCONT)
        return False

    wait_for(stopped, "threads that wait for the GIL")


def test_DB9_the_same_from_a_core(target, command, tmp_path):
    wait_until_seen(target, command)
    stop_where_threads_wait(target)
    document = inspected(command, gcore(target.pid, tmp_path / "core"))
    seen = relations(document)
    # Those that looked at the GIL just then are not known to wait.
    assert seen["MainThread"] == "holds" and seen["reader"] == "not_needed"
    counters = [seen[f"counter {number}"] for number in range(3)]
    assert "waits" in counters and set(counters) <= {"waits", "unknown", "not_needed"}
