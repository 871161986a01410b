"""Who has the lock that others wait for: what the program says of its locks must be what is seen
from outside, live and in a core."""

import os
import resource
import signal
import time

import pytest
from inspect_programs import threads_by_name, waiting
from inspect_targets import inspected, no_kernel_cores

pytestmark = pytest.mark.free_threaded


def seen_waits(document, names):
    """What the document says of the threads with these names."""
    threads = threads_by_name(document)
    by_address = {thread["address"]: thread["name"] for thread in threads.values()}
    found = {}
    for name in names:
        wait = threads.get(name, {}).get("waits_for")
        if wait is not None:
            assert wait["module"] == ("reftracer_test_module" if wait["kind"] == "module" else None)
            found[name] = {"kind": wait["kind"], "holder": by_address.get(wait["holder_address"]),
                           "line": wait["line"]}
            holder = next((one for one in threads.values()
                           if one["address"] == wait["holder_address"]), {})
            assert wait["holder"] == holder.get("native_id")
    return found


def wanted(said, python):
    """Up to 3.10 it is not known in which line a block began."""
    if python.version >= (3, 11):
        return said
    return {name: {**wait, "line": None} for name, wait in said.items()}


@pytest.fixture
def target(each_python, tmp_path):
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
    folder = os.getcwd()
    os.chdir(tmp_path)
    try:
        with waiting(each_python, "waits.py") as (process, said):
            yield process, wanted(said, each_python)
    finally:
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_CORE, limit)


def test_DB9_who_has_the_lock_that_others_wait_for(target, each_python, command, tmp_path):
    process, said = target
    seen, end = None, time.monotonic() + 60
    while seen != said and time.monotonic() < end:  # until all are where they shall wait
        document = inspected(command, process.pid)
        seen = seen_waits(document, said)
    assert seen == said
    texts = {hint["kind"]: [] for hint in document["hints"]}
    for hint in document["hints"]:
        texts[hint["kind"]].append(hint["text"])
    itself, circle = sorted(texts["deadlock"])
    assert "'twice'" in itself and "likely a deadlock: a Lock can't be taken twice" in itself
    assert circle.startswith("Deadlock of 2 threads, unmoved for 3 looks ")
    assert "unless somebody else releases a Lock" in circle
    for name, wait in said.items():
        if wait["holder"] and wait["kind"] != "thread" and name not in ("one", "two", "twice"):
            assert any(f"'{name}'" in text and f"'{wait['holder']}'" in text
                       for text in texts["lock"]) or len(texts["lock"]) == 4, name
    if no_kernel_cores():
        return
    os.kill(process.pid, signal.SIGQUIT)
    process.wait(60)
    (core,) = tmp_path.glob("core*")
    assert seen_waits(inspected(command, core), said) == said
