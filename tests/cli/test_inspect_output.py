"""What `reftracer inspect` says of processes that hang, compute, and are many."""

import contextlib
import json
import re
import subprocess
import time

import pytest

from conftest import ROOT
from inspect_targets import Target

DEADLOCK = """
import threading
first, second = threading.Lock(), threading.Lock()
both = threading.Barrier(2)
def take(a, b):
    a.acquire()
    both.wait()

    b.acquire()
threads = [threading.Thread(target=take, args=pair, name=name)
           for name, pair in (("one", (first, second)), ("two", (second, first)))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

CIRCLE = DEADLOCK.replace("    a.acquire()", "    with a:").replace(
    "    both", "        both").replace("\n\n    b.acquire()", "\n        with b:\n            pass")

IDLE = """
import threading
never = threading.Event()
for _ in range(2):
    threading.Thread(target=never.wait, args=(3600,)).start()
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""

QUEUE = """
import queue, threading
tasks = queue.Queue()
tasks.put(1)
def work():
    tasks.get()
    tasks.get()
threading.Thread(target=work, name="worker").start()
tasks.join()
"""

SHARED = """
import multiprocessing
lock = multiprocessing.get_context("fork").Lock()
lock.acquire()
lock.acquire()
"""

LONG_CALL = """
import threading, time
def tick():
    while True:
        time.sleep(0.001)
def compute():
    sum(range(10**12))
threading.Thread(target=tick, name="ticker", daemon=True).start()
compute()
"""

HOSTILE = """
import os, threading, time
def work(): time.sleep(3600)
thread = threading.Thread(target=work, name="\\x1b[31m\\u202ered\\r\\n\\ud800" + "x" * 300)
thread.start()
thread.join()
"""


@contextlib.contextmanager
def running(python, program):
    with subprocess.Popen([python, "-c", program]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def look(reftracer):
    def run(process, *options, **more):
        done = reftracer("inspect", str(process.pid), *options, text=True, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def wait_until(condition, seconds=120):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail(f"did not come true within {seconds} s")


def hints(look, process, *options):
    """{kind: text}"""
    document = document_of(look, process, *options)
    return {hint["kind"]: hint["text"] for hint in document["hints"]} if document else {}


def document_of(look, process, *options):
    """None while the process is no Python yet."""
    try:
        return json.loads(look(process, "--json", *options))
    except AssertionError:
        return None


def test_a_deadlock_is_said_and_who_waits_where(each_python, look):
    # While they start, too, all that there are may wait, or one of them may just get there.
    words = ("'MainThread'", "'one'", "'two'", "<string>:9 take", "unmoved for 2 looks")
    with running(each_python, DEADLOCK) as process:
        text = wait_until(lambda: all(word in (hint := hints(look, process).get("deadlock", ""))
                                      for word in words) and hint)
    assert "All 3 threads wait for locks, unmoved for 2 looks" in text
    assert "without a time limit: no thread can run, likely a deadlock" in text


def test_a_deadlock_of_with_blocks_is_said_with_who_has_what(each_python, look):
    def both_wait():
        """As it stays: not in looks of which the first has seen them on their way."""
        hint = hints(look, process).get("deadlock", "")
        return "Deadlock of 2 threads, unmoved for 3 looks " in hint and hint

    def joins():
        """The main thread too may still be on its way."""
        return "waits for 'one'" in " ".join((seen := look(process)).split()) and seen

    with running(each_python, CIRCLE) as process:
        text = wait_until(both_wait)
        page = wait_until(joins)
        check_schema(json.loads(look(process, "--json")), ())
    taken = "took at <string>:6 take" if each_python.version >= (3, 11) else "has, by `with` in "
    assert text.startswith("Deadlock of 2 threads, unmoved for 3 looks ")
    for words in ("'one'", "'two'", "<string>:8 take waits for the Lock that ", taken):
        assert words in text
    assert "waits for 'one'" in " ".join(page.split())  # the main thread


PING_PONG = """
import queue, threading
there, back = queue.Queue(), queue.Queue()
def work(get, put):
    while True:
        put(get())
there.put(1)
for get, put in ((there.get, back.put), (back.get, there.put)):
    threading.Thread(target=work, args=(get, put), daemon=True).start()
print(flush=True)
lock = threading.Lock()
lock.acquire()
lock.acquire()
"""


def test_threads_that_wake_each_other_are_no_deadlock(python, look):
    """They are at the same places in each look, and asked one after the other both may sleep."""
    with subprocess.Popen([python, "-c", PING_PONG], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        seen = [hints(look, process) for _ in range(60)]
        process.kill()
    assert not [one["deadlock"] for one in seen if "deadlock" in one]


def test_a_deadlock_names_the_programs_own_lines_not_the_librarys(each_python, look):
    names = ("Queue.join", "Queue.get") if each_python.version >= (3, 11) else ("join", "get")
    words = (f"<string>:9 <module> ({names[0]})", f"<string>:7 work ({names[1]})")
    with running(each_python, QUEUE) as process:
        text = wait_until(lambda: all(word in (hint := hints(look, process).get("deadlock", ""))
                                      for word in words) and hint)
    assert "threading.py" not in text and "queue.py" not in text


def test_a_lock_of_multiprocessing_may_be_released_by_another_process(each_python, look):
    with running(each_python, SHARED) as process:
        document = wait_until(lambda: (seen := document_of(look, process)) and seen["hints"]
                              and "share" in seen["hints"][0]["text"] and seen)
        page = look(process)
    (hint,) = document["hints"]
    assert hint["kind"] == "lock"
    assert hint["text"].startswith("The only thread waits for a semaphore that processes share")
    wait = document["interpreters"][0]["threads"][0]["waits_for"]
    assert (wait["kind"], wait["holder"], wait["object"]) == ("shared", None, None)
    assert "waits for a semaphore that processes share" in " ".join(page.split())


def test_an_idle_program_whose_threads_wait_for_a_time_is_no_deadlock(each_python, look):
    def all_wait(document):
        """Not while they start: then, too, all that there are may wait."""
        threads = [thread for one in document["interpreters"] for thread in one["threads"]]
        return [thread["waits_in"] for thread in threads] == ["futex"] * 3 and \
            [hint["kind"] for hint in document["hints"]] == ["lock"]

    with running(each_python, IDLE) as process:
        document = wait_until(lambda: (seen := document_of(look, process)) and all_wait(seen) and seen)
        text = document["hints"][0]["text"]
    assert "with a time limit: nothing runs until one is over" in text
    assert [hint["kind"] for hint in document["hints"]] == ["lock"]
    threads = document["interpreters"][0]["threads"]
    assert [(thread["waits_in"], thread["waits_timed"]) for thread in threads] == [
        ("futex", True), ("futex", True), ("futex", False)]


POOL = """
import sys, threading
lock = threading.Lock()
lock.acquire()
for number in range(12):
    threading.Thread(target=lock.acquire, name=f"worker {number}", daemon=True).start()
print(flush=True)
sys.stdin.read()
"""


def test_threads_at_the_same_place_have_one_stack_in_the_text(python, reftracer):
    with subprocess.Popen([python, "-c", POOL], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        environment = {"COLUMNS": "80", "LC_ALL": "C.UTF-8"}

        def all_wait():
            done = reftracer("inspect", str(process.pid), text=True, env=environment)
            return "and 11 more threads" in done.stdout and done.stdout

        text = wait_until(all_wait)
        apart = reftracer("inspect", str(process.pid), "--locals", text=True, env=environment).stdout
        document = json.loads(reftracer("inspect", str(process.pid), "--json").stdout)
        process.kill()
    assert text.count("Thread._bootstrap_inner") == 1
    words = " ".join(text.split())
    assert "'worker 1'" in words and "'worker 6'" in words and "'worker 7'" not in words
    assert max(map(len, text[text.index("\nInterpreter"):].splitlines())) <= 80
    assert apart.count("Thread._bootstrap_inner") == 12
    assert len(document["interpreters"][0]["threads"]) == 13


NUMBERS = """
import sys
def wait():
    number_of_a_very_long_name_that_leaves_no_room = 1234567890123456789
    fits = 5
    print(flush=True)
    sys.stdin.read()
wait()
"""


def test_a_value_that_is_cut_says_so(python, look):
    """1234567 would be another number."""
    with subprocess.Popen([python, "-c", NUMBERS], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        pages = {locale: look(process, "--locals", env={"COLUMNS": "70", "LC_ALL": locale})
                 for locale in ("C.UTF-8", "C")}
        process.kill()
    for locale, mark in (("C.UTF-8", "…"), ("C", "..")):
        cut, fits = (line.strip() for line in pages[locale].splitlines() if ": int" in line)
        assert re.fullmatch(r"number_\w+_room: int = 12\d*" + re.escape(mark), cut), cut
        assert fits == "fits: int = 5"
        assert max(map(len, pages[locale].splitlines())) <= 70


def test_a_long_call_that_keeps_the_gil_is_said(python, look):
    with running(python, LONG_CALL) as process:
        # Not while it starts, or has just come there: in the call is where it stays.
        text = wait_until(lambda: "<string>:7 compute, unmoved for 10 looks" in (
            hint := hints(look, process, "--looks", "10").get("gil", "")) and hint)
        document = json.loads(look(process, "--json"))
    assert f"'MainThread' ({process.pid}) holds the GIL" in text
    assert "<string>:7 compute" in text
    assert "on a CPU" in text and "long C call" in text
    gil = document["interpreters"][0]["gil"]
    assert (gil["locked"], gil["holder"]) == (True, process.pid)


def test_names_of_a_target_do_not_steer_the_terminal(python, look):
    with running(python, HOSTILE) as process:
        text = wait_until(
            lambda: "Thread.run" in (seen := look_or_nothing(look, process)) and seen)
        document = json.loads(look(process, "--json"))
    tree = text[text.index("\nInterpreter"):]
    assert max(map(len, tree.splitlines())) <= 100 and "xxx..." in tree, tree
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    names = [thread["name"] for thread in document["interpreters"][0]["threads"]]
    assert any("red" in name for name in names), names
    assert not any(re.search("[\x00-\x1f\u202e\ud800-\udfff]", name) for name in names)


def look_or_nothing(look, process, *options):
    try:
        return look(process, *options)
    except AssertionError:
        return ""


def test_all_shows_what_runs_and_nothing_that_is_no_python(python, reftracer):
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(python, "import time; time.sleep(3600)"))
                     for _ in range(4)]
        other = stack.enter_context(subprocess.Popen(["sleep", "3600"]))
        stack.callback(other.kill)

        def seen():
            done = reftracer("inspect", "--all", "--json", text=True)
            assert done.returncode == 0, done.stderr
            document = json.loads(done.stdout)
            pids = {one["process"]["pid"] for one in document["processes"]}
            return document if pids >= {process.pid for process in processes} else None

        def told():
            """The text, once all have started so far that their thread is there."""
            text = reftracer("inspect", "--all", text=True).stdout
            lines = [rf"^{process.pid}  Python {python.name}, 1 thread: " for process in processes]
            return text if all(re.search(line, text, re.MULTILINE) for line in lines) else None

        document = wait_until(seen)
        assert wait_until(told)
    assert document["schema"] == "reftracer-inspect-all/1"
    assert other.pid not in {one["process"]["pid"] for one in document["processes"]}
    assert all(one["schema"] == "reftracer-inspect/1" for one in document["processes"])


@pytest.mark.parametrize("width", [60, 80, 120])
def test_lines_fit_the_width(python, look, width):
    with Target(python, threads=["names", "plain"]) as target:
        text = look(target, env={"COLUMNS": str(width), "LC_ALL": "C.UTF-8"})
    tree = text[text.index("\nInterpreter"):]
    assert max(map(len, tree.splitlines())) <= width


# --- the schema -------------------------------------------------------------------------

OBJECTS = {"`reftracer-inspect/1`": "document", "process": "process", "interpreter": "interpreter",
           "thread": "thread", "lock": "lock", "frame": "frame", "task": "task"}


def documented():
    """{object: {key: type}} of docs/INSPECT-JSON.md."""
    keys, at = {}, None
    for line in (ROOT / "docs" / "INSPECT-JSON.md").read_text().splitlines():
        if line.startswith("#"):
            at = OBJECTS.get(line.lstrip("# "))
        elif at is not None and line.startswith("| `"):
            _, names, types, *_ = (cell.strip() for cell in line.split("|"))
            names = re.findall(r"`(\w+)`", names)
            types = types.split(", ")
            for number, name in enumerate(names):
                keys.setdefault(at, {})[name] = types[min(number, len(types) - 1)]
    return keys


TYPES = {"string": str, "bool": bool, "number": int, "object": dict, "list": list,
         "list of strings": list, "list of objects": list}
# What the third column of the page says of objects within these.
INNER = {
    "hints": {"kind", "interpreter", "text"},
    "gil": {"enabled", "own", "locked", "requested", "holder", "holder_address", "address"},
    "gc": {"running"},
    "looks": {"present", "unmoved", "waits_for_gil", "holds_gil"},
    "signal": {"number", "name", "code", "cause", "address", "thread"},
    "locals": {"name", "type", "value", "argument", "object"},
}
WORDS = {
    "kind": {"process", "core", "python", "native", "lock", "rlock", "thread", "module",
             "shared"},
    "state": {"running", "blocked", "disk", "stopped", "gone", "crashed", "unknown"},
    "gil": {"holds", "waits", "not_needed", "none", "unknown"},
}


def check_schema(document, options):
    keys = documented()
    optional = {"tasks": "--tasks", "locals": "--locals"}

    def check(kind, found):
        expected = {key for key in keys[kind] if optional.get(key, "") in ("", *options)}
        if found.get("kind") == "native":
            expected.discard("locals")
        assert set(found) == expected, kind
        for key, value in found.items():
            wanted = keys[kind][key].removesuffix(" or null")
            if value is None:
                assert keys[kind][key].endswith(" or null"), (kind, key)
                continue
            assert type(value) is TYPES[wanted], (kind, key, value)
            if wanted == "string" and key in WORDS:
                assert value in WORDS[key]
            if key.endswith("address") and wanted == "string" or key == "frame":
                assert re.fullmatch("0x[0-9a-f]+", value)
            for inner in value if wanted.startswith("list") else [value]:
                if key in INNER and isinstance(inner, dict):
                    assert set(inner) == INNER[key], key

    check("document", document)
    check("process", document["process"])
    for interpreter in document["interpreters"]:
        check("interpreter", interpreter)
        for thread in interpreter["threads"]:
            check("thread", thread)
            if thread["waits_for"] is not None:
                check("lock", thread["waits_for"])
            for frame in thread["frames"]:
                check("frame", frame)
        for task in interpreter.get("tasks", ()):
            check("task", task)
            for frame in task["frames"]:
                check("frame", frame)


@pytest.mark.parametrize("options", [(), ("--locals", "--tasks", "--native")])
def test_the_schema_is_as_documented_and_the_same_for_live_and_core(
    python, reftracer, tmp_path, options
):
    with Target(python, threads=["names", "handling", "asyncio_run"],
                interpreters=[{"threads": [], "gil": "own"}]) as target:
        live = reftracer("inspect", "--json", str(target.pid), *options)
        core = reftracer("inspect", "--json", target.gcore(tmp_path / "core"), *options)
    for done in (live, core):
        assert done.returncode == 0, done.stderr
        check_schema(json.loads(done.stdout), options)
    assert json.loads(core.stdout)["process"]["kind"] == "core"
    assert json.loads(live.stdout)["schema"] == json.loads(core.stdout)["schema"]
