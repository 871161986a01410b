"""The Python package in a program that traces itself, or that `reftracer run` traces."""

import subprocess

import pytest
from conftest import BUILD, ROOT, run_command

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "PYTHONPATH": str(ROOT / "python"),
    "REFTRACER_COMMAND": str(BUILD / "reftracer"),
}


def run(python, program, folder, *options, **more):
    """Runs a program that says "fine" and nothing else."""
    (folder / "program.py").write_text(program)
    environment = {**ENVIRONMENT, **more}
    done = run_command(
        [python, *options, "program.py"], cwd=folder, text=True, env=environment
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


IN_PROCESS = """
import threading
import reftracer

class Node: pass

kept = []
def work(count):
    for _ in range(count):
        kept.append(Node())

turns = [threading.Event() for _ in range(4)]
def other_thread():
    for turn, count in ((0, 10), (2, 20)):
        turns[turn].wait()
        work(count)
        turns[turn + 1].set()

def nodes(trace):
    return {(site.stack[0].line, site.thread): (site.births, site.live)
            for site in trace.report().sites if site.type == "__main__.Node"}

older = [Node() for _ in range(5)]
thread = threading.Thread(target=other_thread, name="other")
thread.start()
with reftracer.trace("first.rft") as first:
    work(100)
    turns[0].set(); turns[1].wait()
    first.mark("half")
    [Node() for _ in range(50)]
    del older
assert first.report().exact, first.report().exact_reasons
assert nodes(first) == {(10, "MainThread"): (100, 100), (10, "other"): (10, 10),
                        (30, "MainThread"): (50, 0)}, nodes(first)
assert first.report().marks[0].label == "half"
assert first.report().older_deaths >= 5
assert first.report().data["program"]["end"] == "asked"

# Threads that the first trace knew, in another one.
with reftracer.trace() as second:
    turns[2].set(); turns[3].wait()
    work(7)
assert nodes(second) == {(10, "MainThread"): (7, 7), (10, "other"): (20, 20)}, nodes(second)
assert second.report().exact
thread.join()
for _ in range(20):
    with reftracer.trace() as again:
        work(1)
    assert nodes(again) == {(10, "MainThread"): (1, 1)}, nodes(again)
try:
    reftracer.trace("first.rft").start()
except reftracer.ReftracerError as error:
    assert "exists" in str(error)
with reftracer.trace("first.rft", overwrite=True) as last:
    raised = None
    try:
        raise KeyError("mine")
    except KeyError as error:
        raised = error
assert raised.args == ("mine",)
reftracer.trace("unfinished.rft").start()   # nobody ends it: the interpreter's end does
work(3)
print("fine")
"""


def test_a_process_traces_itself_again_and_again(python, reftracer, read_report, tmp_path):
    run(python, IN_PROCESS, tmp_path, "-X", "dev")
    report = read_report(tmp_path / "unfinished.rft").report
    assert report["program"]["end"] == "exit"
    nodes = [site for site in report["sites"] if site["type"] == "__main__.Node"]
    assert [(site["births"], site["live"]) for site in nodes] == [(3, 3)]


def test_a_python_without_a_tracer_is_told(old_python, tmp_path):
    done = subprocess.run(
        [str(old_python), "-c", """
import reftracer
try:
    reftracer.trace("old.rft").start()
except reftracer.ReftracerError as error:
    print(error)
"""],
        cwd=tmp_path, capture_output=True, text=True, env=ENVIRONMENT,
    )  # fmt: skip
    assert "CPython 3.13 or newer is needed" in done.stdout, done.stderr


SINCE = """
import gc, sys, threading, weakref
import reftracer

class Node: pass
class Leaf:
    __slots__ = ("__weakref__",)

kept = []
def work(count, kind=Node):
    kept.extend([kind() for _ in range(count)])

def live(table):
    return {(site.type, site.stack[0].function): site.live for site in table}

work(7)
with reftracer.trace("since.rft") as t:
    work(3)
    t.mark("first")
    work(20)
    t.mark("second")
    work(100)
    thread = threading.Thread(target=work, args=(1000,), name="other"); thread.start(); thread.join()
    t.mark("second")  # the last one of this name counts
    work(4000, Leaf)
    del kept[7 + 3 + 5:7 + 3 + 20]  # of those after the first mark 5 stay
    expected = {None: 1108, "first": 1105, "second": 0}
    node = ("__main__.Node", "work")
    for since, count in expected.items():  # while it runs
        assert sum(s.live for s in t.survivors("Node", since=since)) == count, since
    assert {s.thread for s in t.survivors("__main__.Node")} == {"MainThread", "other"}
    assert live(t.survivors("Leaf", since="second")) == {("__main__.Leaf", "work"): 4000}
    assert t.survivors("Leaf")[0].live_bytes == 4000 * sys.getsizeof(Leaf()) \
        or t.survivors("Leaf")[0].live_bytes is None
    try:
        t.survivors(since="third")
    except reftracer.ReftracerError as error:
        assert "no mark 'third'; it has: 'first', 'second'" in str(error), error
    else:
        raise AssertionError
for of in (t, t.report(), reftracer.load("since.rft")):  # and afterwards
    for since, count in expected.items():
        found = of.survivors("Node", since=since)
        assert sum(s.live for s in found) == count, (of, since, found)
        assert sum(s.live_bytes for s in found) >= 40 * count
    assert live(of.survivors("Leaf", since="second")) == {("__main__.Leaf", "work"): 4000}
    assert not any(s.live == 0 for s in of.survivors(since="first"))
    try:
        of.survivors(since="third")
    except reftracer.ReftracerError as error:
        assert "no mark 'third'" in str(error), error
    else:
        raise AssertionError
for site in t.report().data["sites"]:
    assert sum(span["live"] for span in site["live_by_mark"]) == site["live"]

# Nothing of the results holds an object of the program.
watched = weakref.ref(kept[-1])
kept.clear()
gc.collect()
assert watched() is None
print("fine")
"""


def test_survivors_born_since_a_mark_are_exact(python, tmp_path):
    run(python, SINCE, tmp_path)


WINDOW = """
import os, sys, warnings
import reftracer

class Node: pass

kept = []
def work(count):
    kept.extend([Node() for _ in range(count)])

def nodes(table):
    return sum(site.live for site in table if site.type == "__main__.Node")

def inner():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with reftracer.trace("mine.rft") as t:
            assert t.window and t.running and t.path == path, t
            work(10)
            t.mark("half")
            work(5)
            [Node() for _ in range(50)]
            assert (nodes(t.survivors()), nodes(t.survivors("Node", since="half"))) == (15, 5)
    assert [str(w.message).split(":")[0] for w in caught] == \
        [f"this process is traced already, into {path}"], [str(w.message) for w in caught]
    assert not os.path.exists("mine.rft")
    work(1)  # not in the window any more
    return t

work(100)
path = sys.argv[1] if len(sys.argv) > 1 else outer.path
t = inner()
assert (nodes(t.survivors()), nodes(t.survivors(since="half"))) == (15, 5)
others = [s for s in t.survivors() if s.type != "__main__.Node"]
assert not any("reftracer" in s.place for s in others), others  # the tool's own work
assert t.summary().startswith("15 objects were born in this window and are alive"), t.summary()
reftracer.mark("late")
work(2)
assert nodes(reftracer.survivors()) == 118
assert nodes(reftracer.survivors("Node", since="late")) == 2
assert nodes(reftracer.survivors(since="half")) == 8
assert "Nothing keeps growing" in reftracer.summary()
assert len(reftracer.growing()) == 0
assert t.report().births > 160 and not t.report().exact
with reftracer.trace() as t, reftracer.trace() as u:  # windows in windows
    work(1)
assert nodes(t.survivors()) == nodes(u.survivors()) == 1
"""


def test_a_trace_in_a_traced_program_is_a_window(python, trace, read_report, tmp_path):
    (tmp_path / "program.py").write_text(WINDOW)
    output = tmp_path / "outer.rft"
    traced = trace(
        python, tmp_path / "program.py", str(output), output=output,
        env=ENVIRONMENT, cwd=tmp_path,
    )  # fmt: skip
    assert traced.status == 0, traced.stderr.decode()
    report = read_report(output, options=["--filter", "__main__.Node"]).report
    nodes = [site for site in report["sites"] if site["type"] == "__main__.Node"]
    assert sum(site["live"] for site in nodes) == 119
    assert report["program"]["end"] == "exit"
    assert report["exact"]
    assert not traced.children  # the package's own questions are no part of the program


def test_a_trace_in_a_trace_is_a_window(python, tmp_path):
    program = (
        "import reftracer\nouter = reftracer.trace('outer.rft')\nouter.start()\n"
        + WINDOW
        + "outer.stop()\nassert nodes(outer.survivors()) == 119\nprint('fine')\n"
    )
    run(python, program, tmp_path)


LIVES = """
import os, sys, tempfile
import reftracer

for ask in (reftracer.summary, reftracer.growing, reftracer.survivors,
            lambda: reftracer.mark("x"), lambda: reftracer.trace().mark("x"),
            lambda: reftracer.trace().summary()):
    try:
        ask()
    except reftracer.ReftracerError as error:
        assert "not being traced" in str(error) or "not " in str(error), error
    else:
        raise AssertionError(ask)

with reftracer.trace() as t:  # a forked child leaves its parent's trace and file alone
    pid = os.fork()
    if pid == 0:
        t.stop()
        try:
            reftracer.mark("child")
        except reftracer.ReftracerError:
            sys.exit(0)
        sys.exit(3)
    assert os.waitpid(pid, 0)[1] == 0
assert t.report().births and os.path.exists(t.path)
folder = os.path.dirname(t.path)
del t
assert not os.path.exists(folder)
try:
    reftracer.trace("/nowhere/at/all.rft").start()
except reftracer.ReftracerError as error:
    assert "no folder /nowhere/at" in str(error)
try:
    reftracer.trace("/", overwrite=True).start()
except reftracer.ReftracerError as error:
    assert "/ is a folder" in str(error), error
with reftracer.trace("labels.rft") as t:
    labels = ["a\\tb", "a\\nb\\rc", "\\x1b[1m\\x9b", "\\u202eright to left\\u2028", "a\\\\b é",
              "half \\ud800", "to\\0here"]
    kept = []
    for number, label in enumerate(labels):
        t.mark(label)
        kept.append(bytearray(20))
    for ask in (t.mark, reftracer.mark):
        try:
            ask(3)
        except TypeError as error:
            assert str(error) == "a label of a mark is a str, not int", error
        else:
            raise AssertionError(ask)
for number, label in enumerate(labels):  # as the program has called them, though told escaped
    assert sum(site.live for site in t.survivors("bytearray", label)) == len(labels) - number, label
a, b = reftracer.trace("a.rft"), reftracer.trace("b.rft")
with a:
    x = [bytearray(10) for _ in range(10)]
with b:
    y = [bytearray(10) for _ in range(30)]
diff = reftracer.diff(a, b)
change, = (c for c in diff.types if c.type == "bytearray")
assert (change.a.live, change.b.live) == (10, 30) and change.row()["live_b"] == 30
place, = (c for c in diff.sites if c.type == "bytearray")  # the same, on another line
assert (place.a.live, place.b.live, place.moved) == (10, 30, True), place
assert "bytearray" in diff.summary() and len(diff.growing()) == 0
assert reftracer.diff(a.report(), "b.rft").types == diff.types
for thing in (diff, a, a.report(), a.survivors(), a.report().sites, diff.sites, diff.sites[0],
              a.report().growing, a.survivors()[:0]):
    assert 0 < len(repr(thing)) < 4000 and " object at " not in repr(thing), repr(thing)
print("fine")
"""


def test_a_trace_lives_with_forks_errors_and_others(python, tmp_path):
    run(python, LIVES, tmp_path, "-W", "ignore")


def test_an_agent_of_another_version_is_told(python, tmp_path):
    """One that was preloaded by a `reftracer run` which knows less than the package."""
    source = tmp_path / "old.c"
    source.write_text("int reftracer_is_tracing(void) { return 1; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", tmp_path / "old.so", source], check=True)
    program = """
import reftracer
try:
    reftracer.mark("x")
except reftracer.ReftracerError as error:
    assert "of another version" in str(error), error
print("fine")
"""
    run(python, program, tmp_path, LD_PRELOAD=str(tmp_path / "old.so"))


WHY = """
import gc, random
import asyncio, email.message, json, logging, sqlite3, unittest
import reftracer

class Node: pass
cache = {"k": [Node() for _ in range(20)]}

w = reftracer.why(cache["k"][17])
assert str(w.path) == "module __main__ → __main__.cache['k'] → list [17]", repr(w)
assert [(s.kind, s.index) for s in w.holders] == [("item", 17)] and w.held_by_c == 0, w.holders
assert repr(w).splitlines()[0] == "__main__.Node is held by:" and not w.partial
assert reftracer.why(Node()).path is None

# What Python has no attribute for is called in words, and a context has its variables itself.
import contextvars
request, context = contextvars.ContextVar("request"), contextvars.Context()
context.run(request.set, Node())
assert str(reftracer.why(context[request]).path) == "module __main__ → __main__.context['request']"
pairs = zip([Node()], [1])
[node] = [one for one in gc.get_objects() if type(one) is Node and one not in cache["k"] and one is not context[request]]
where, node = id(node), None
import ctypes
told = str(reftracer.why(ctypes.cast(where, ctypes.py_object).value).path)
assert told == "module __main__ → __main__.pairs → zip: its iterators → tuple [0] → list_iterator: what is iterated → list [0]", told
local = (lambda here: reftracer.why(here))(Node())
assert local.path.steps[0].kind == "root local" and local.path.steps[0].name == "here", local
assert "text" in reftracer.why(cache["k"][17].__dict__.setdefault("text", "t" * 50)).path.steps[-1].name
with reftracer.trace() as t:
    assert str(t.why(cache["k"][17]).path) == str(w.path)

# A reference that C code forgot to give back. That the question has the address is no reference.
leaked = [Node()]
ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked[0]))
w = reftracer.why(leaked[0])
assert (w.held_by_c, len(w.holders)) == (1, 1) and "C code holds 1 of" in repr(w), w

# With no time to look, nothing is said of C code, and nobody is said to hold it.
w = reftracer.why(cache["k"][17], timeout=-1)
assert w.partial, w
assert w.held_by_c == 0 and "C code" not in repr(w) and "nobody" not in repr(w), w
assert len(reftracer.why(cache["k"][17], paths=0, timeout=float("inf")).paths) == 1

# As many direct holders as the collector's own function finds, by type.
def name(kind):
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"

objects = gc.get_objects()
random.Random(1).shuffle(objects)
del objects[40:]
for number in range(len(objects)):
    held = [r for r in gc.get_referrers(objects[number]) if r is not objects and r is not globals()]
    if len(held) > 50:
        continue
    answer = reftracer.why(objects[number])
    found = sorted(s.holder for s in answer.holders if not s.is_root)
    for kind in {type(r) for r in held if type(r).__name__ != "frame"}:
        assert found.count(name(kind)) or len(answer.holders) >= 50, (kind, answer.holders)
print("fine")
"""


def test_why_names_the_programs_own_variables(python, tmp_path):
    run(python, WHY, tmp_path)


CUT = """
import reftracer

class Node: pass
many = [[number] for number in range(200_000)]
cache = {"k": [Node()]}
for step in range(20):
    try:
        w = reftracer.why(cache["k"][0], timeout=step * 0.025)
    except reftracer.ReftracerError as error:
        assert "the time was over" in str(error), error
        continue
    assert [str(path) for path in w.paths] in ([], ["module __main__ → __main__.cache['k'] → list [0]"]), w
    assert w.held_by_c == 0 and (w.paths or w.partial), w
print("fine")
"""


def test_why_with_too_little_time_calls_nothing_garbage(python, tmp_path):
    """Wherever the search is cut."""
    run(python, CUT, tmp_path)


LEAKING = """
import json, time
class Node: pass
bus = []
def cycle():
    a = Node(); a.self = a
for _ in range(100):
    bus.extend(Node() for _ in range(10)); cycle(); time.sleep(0.01)
"""

LOADED = """
import json, os, subprocess, reftracer
plain = subprocess.run([os.environ["REFTRACER_COMMAND"], "report", "--json", "leaking.rft"],
                       check=True, capture_output=True).stdout
report = reftracer.load("leaking.rft")
assert report.data == json.loads(plain)
assert report.growing[0].type == "__main__.Node" and report.growing[0].stack[0].line == 8
assert all(report.data["heap"][key] for key in ("places", "cycles", "retainers")), report.data["heap"]
print("fine")
"""


def test_a_loaded_report_has_what_the_json_says(python, trace, tmp_path):
    traced = trace(python, "-c", LEAKING, options=["--holders"], output=tmp_path / "leaking.rft")
    assert traced.status == 0
    run(python, LOADED, tmp_path)
