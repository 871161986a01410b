"""Threads' names and their exceptions, seen from outside."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from inspect_programs import main_interpreter, waiting
from inspect_targets import RUNNING, Target, inspected

pytestmark = pytest.mark.free_threaded


@pytest.fixture(scope="module")
def seen(command, each_python):
    with waiting(each_python, "names.py") as (process, said):
        yield said, main_interpreter(inspected(command, process.pid))["threads"]


def test_threads_have_the_names_that_threading_knows(seen):
    said, threads = seen
    assert {str(thread["id"]): thread["name"] for thread in threads} == said["idents"]


def test_threads_have_the_exception_that_they_raise_or_handle(seen):
    said, threads = seen
    names = {thread["name"]: thread["exception"] or "" for thread in threads}
    assert {name: names[name] for name in said["exceptions"]} == said["exceptions"]


def test_without_threading_a_thread_has_the_name_of_the_os(command, each_python):
    process = subprocess.Popen(
        [each_python, "-ISc", "import sys; assert 'threading' not in sys.modules\n"
         "sys.stdout.write('ready\\n'); sys.stdout.flush(); sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
        (thread,) = main_interpreter(inspected(command, process.pid))["threads"]
        assert thread["name"] == comm
    finally:
        process.kill()
        process.communicate()


def test_threads_of_each_interpreter_have_its_own_names(command, each_python):
    with Target(each_python, threads=["names"], interpreters=[RUNNING]) as target:
        document = inspected(command, target.pid)
        names = [[thread["name"] for thread in one["threads"]] for one in document["interpreters"]]
    assert all(names) and all(name for interpreter in names for name in interpreter)


def test_a_watch_sees_renamed_and_new_threads(command, each_python):
    """Names are remembered between looks; what is remembered must not outlive the truth."""
    with waiting(each_python, "names.py") as (process, said):
        watch = subprocess.Popen([command, "inspect", "--json", "--watch=0.05", str(process.pid)],
                                 stdout=subprocess.PIPE)
        try:
            decoder, text = json.JSONDecoder(), ""

            def next_look():
                nonlocal text
                while True:
                    try:
                        document, end = decoder.raw_decode(text)
                    except json.JSONDecodeError:
                        text += watch.stdout.readline().decode()
                        continue
                    text = text[end:].lstrip()
                    return {str(thread["id"]): thread["name"]
                            for thread in main_interpreter(document)["threads"]}

            assert next_look() == said["idents"]
            process.stdin.write(b"go on\n")
            process.stdin.flush()
            wanted = json.loads(process.stdout.readline())["idents"]
            assert wanted != said["idents"]
            # A rename is seen after a second, and then in each look.
            end = time.monotonic() + 120
            while next_look() != wanted:
                assert time.monotonic() < end
            assert [next_look() for _ in range(20)] == [wanted] * 20
        finally:
            watch.kill()
            watch.communicate()
