"""What `run --holders` looks for in the heap: the agent's numbers, by what programs do."""

import os
import resource
import sys

import pytest
import rftheap
from rftheap import heaps_of, words
from sites import counts_at

LEAK = """
class Listener:
    def __init__(self, number):
        self.number = number
        self.data = [str(number) * 20]
class Bus:
    def __init__(self):
        self._listeners = []
        self.pages = {}
bus = Bus()
def leak():
    for number in range(1000):
        bus._listeners.append(Listener(number))
        bus.pages[f"page {number}"] = bytes(100 + number)
leak()
"""


def looked(trace, python, code, *options, **more):
    traced = trace(python, "-c", code, options=options or ("--holders",), **more)
    assert traced.status == 0, traced.stderr.decode(errors="replace")
    return traced, heaps_of(traced.path)


def holders_of(heap, site):
    rows = [row for row in heap["holders"] if row["site"] == site]
    assert len(rows) == 1, (site, [row["site"] for row in heap["holders"]])
    return rows[0]


def patterns_of(heap, site):
    row = holders_of(heap, site)
    assert sum(objects for objects, _ in row["patterns"]) == row["sampled"]
    return [(objects, words(path)) for objects, path in row["patterns"]]


def test_survivors_are_held_by_the_programs_own_variable(python, trace):
    _, (heap,) = looked(trace, python, LEAK)
    assert heap["flags"] == 0
    assert heap["kind"] == 1
    assert heap["objects"] > 3000
    bus = "module __main__ > attribute __dict__ > value bus > attribute "
    assert patterns_of(heap, ("__main__.Listener", "leak")) == [(200, bus + "_listeners > item")]
    # Objects that the collector does not know: str and bytes.
    assert patterns_of(heap, ("str", "Listener.__init__")) == [
        (200, bus + "_listeners > item > attribute data > item")
    ]
    assert patterns_of(heap, ("bytes", "leak")) == [(200, bus + "pages > value")]
    assert patterns_of(heap, ("str", "leak")) == [(200, bus + "pages > key")]


def test_retained_bytes_are_those_that_the_leak_costs(python, trace):
    _, (heap,) = looked(trace, python, LEAK)
    listeners = holders_of(heap, ("__main__.Listener", "leak"))
    own = listeners["retained"]
    strings = holders_of(heap, ("str", "Listener.__init__"))["retained"]
    assert listeners["objects"] == 1000
    assert own > strings > 1000 * 60
    biggest = heap["retainers"][0]
    assert biggest["type"] == "__main__.Bus"
    assert words(biggest["path"]) == "module __main__ > attribute __dict__ > value bus"
    assert biggest["retained"] > own
    types = [row["type"] for row in heap["retainers"][:3]]
    assert types == ["__main__.Bus", "dict", "list"]  # pages, _listeners


def test_refcounts_of_a_quiet_program_add_up(python, trace):
    _, (heap,) = looked(trace, python, "import json, re, sqlite3, asyncio, unittest\n" + LEAK)
    audited = sum(row["audited"] for row in heap["refcounts"])
    right = sum(row["surplus"].get(0, 0) for row in heap["refcounts"])
    assert audited > 10_000
    assert right >= 0.99 * audited
    for type_, function in (("__main__.Listener", "leak"), ("bytes", "leak")):
        (row,) = [row for row in heap["refcounts"] if row["site"] == (type_, function)]
        assert row["surplus"] == {0: 1000}


def test_references_that_c_code_keeps_are_a_surplus(python, trace):
    code = """
import ctypes
class Kept: pass
class Lost: pass
kept = []
def make():
    for _ in range(100):
        one = Kept()
        kept.append(one)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(Lost()))
make()
"""
    _, (heap,) = looked(trace, python, code)
    surplus = {row["site"]: row["surplus"] for row in heap["refcounts"]}
    assert surplus["__main__.Kept", "make"] == {1: 100}
    assert surplus["__main__.Lost", "make"] == {1: 100}
    assert patterns_of(heap, ("__main__.Lost", "make")) == [(100, "C")]
    assert patterns_of(heap, ("__main__.Kept", "make")) == [
        (100, "module __main__ > attribute __dict__ > value kept > item")
    ]


GARBAGE = """
import gc
gc.collect()
gc.disable()
class Node: pass
def itself():
    for _ in range(50):
        node = Node()
        node.me = node
def pair():
    for _ in range(30):
        node = Node()
        node.children = [node]
        node.name = str(node)
itself()
pair()
"""


def test_garbage_is_what_the_collector_finds_with_its_cycles(python, trace):
    _, (heap,) = looked(trace, python, GARBAGE)
    rows = {site: objects for site, objects, _ in heap["garbage"]}
    assert rows["__main__.Node", "itself"] == 50
    assert rows["__main__.Node", "pair"] == 30
    assert rows["list", "pair"] == 30
    assert rows["str", "pair"] == 30  # hangs on it
    shapes = {words(path): (cycles, objects) for _, cycles, objects, path in heap["cycles"]}
    assert shapes["attribute me"] == (50, 50)
    (pair,) = [shape for shape in shapes if "children" in shape]
    assert shapes[pair][0] == 30
    # The collector itself counts the objects that it tracks; the str are none of these.
    counted = trace(python, "-c", GARBAGE + "print(gc.collect())")
    assert heap["garbage_objects"] - 30 == int(counted.stdout)


def test_the_collectors_time_is_what_its_callbacks_see(python, trace):
    code = """
import gc, time
kept = [[number] for number in range(200_000)]
spent = begun = 0
def watch(phase, _):
    global spent, begun
    if phase == "start":
        begun = time.perf_counter()
    else:
        spent += time.perf_counter() - begun
gc.callbacks.append(watch)
while spent < 0.2:
    gc.collect()
print(spent * 1000)
"""
    traced, (heap,) = looked(trace, python, code)
    if python.version >= (3, 15):
        assert heap["collector_known"] == 2
        # The collections before the callback are not in its sum.
        assert heap["collector_ms"] >= 0.9 * float(traced.stdout)
    else:
        assert heap["collector_known"] == 1  # how many samples hit depends on the machine's load


def test_looking_changes_no_count(python, trace):
    code = LEAK + GARBAGE + "import json; json.loads(json.dumps([1, {'a': 2.5}]))"
    same = {**os.environ, "PYTHONHASHSEED": "0"}
    plain = trace(python, "-c", code, env=same).report
    looked_at, _ = looked(trace, python, code, env=same)
    for type_ in ("__main__.Listener", "__main__.Node", "bytes", "dict", "list", "float"):
        assert counts_at(looked_at.report, type_) == counts_at(plain, type_), type_


def test_a_program_that_leaves_through_os_exit_is_looked_at(python, trace):
    _, (heap,) = looked(trace, python, LEAK + "import os; os._exit(0)")
    assert holders_of(heap, ("__main__.Listener", "leak"))["objects"] == 1000


def test_each_interpreter_is_looked_at_by_itself(python, trace):
    code = """
import textwrap
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
class Outer: pass
outer = [Outer() for _ in range(40)]
own = interpreters.create()
interpreters.run_string(own, textwrap.dedent('''
    class Inner: pass
    inner = [Inner() for _ in range(30)]
'''))
interpreters.destroy(own)
"""
    _, heaps = looked(trace, python, code)
    assert len(heaps) == 2
    assert heaps[0]["interpreter"] != heaps[1]["interpreter"]
    inner = {row["site"][0]: row["objects"] for row in heaps[0]["holders"]}
    outer = {row["site"][0]: row["objects"] for row in heaps[1]["holders"]}
    assert inner["__main__.Inner"] == 30 and "__main__.Outer" not in inner
    assert outer["__main__.Outer"] == 40 and "__main__.Inner" not in outer
    for heap in heaps:
        surplus = [row["surplus"] for row in heap["refcounts"] if row["site"][0].startswith("__m")]
        assert all(list(pairs) == [0] for pairs in surplus), surplus


def test_a_running_program_can_be_asked(python, trace):
    code = LEAK + """
import ctypes
agent = ctypes.PyDLL(None)
agent.reftracer_holders.restype = ctypes.c_char_p
print(agent.reftracer_holders(b"in the middle", 60000))
bus._listeners.clear()
"""
    traced = trace(python, "-c", code)
    assert traced.status == 0
    assert traced.stdout.strip() == b"None"
    (heap,) = heaps_of(traced.path)
    assert (heap["kind"], heap["label"]) == (2, "in the middle")
    assert holders_of(heap, ("__main__.Listener", "leak"))["objects"] == 1000
    assert counts_at(traced.report, "__main__.Listener") == (1000, 1000, 0)


def test_a_free_threaded_heap_is_not_looked_at(free_threaded_python, trace):
    _, (heap,) = looked(trace, free_threaded_python, LEAK)
    assert heap["flags"] == rftheap.REFUSED
    assert "free-threaded" in heap["label"]


def test_a_look_that_may_take_no_time_tells_so(python, trace):
    code = "kept = [[number] for number in range(300_000)]"
    _, (heap,) = looked(trace, python, code, "--holders=0.001")
    assert heap["flags"] & rftheap.CUT_TIME
    assert heap["flags"] & rftheap.NO_REFCOUNTS
    assert "refcounts" not in heap
    assert heap["objects"] < 300_000  # it went no further than it had to


def test_without_memory_the_program_goes_on(python, trace):
    def little_memory():
        # The live map and the program's own objects fit, the graph does not.
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    code = "kept = [[number] for number in range(1_500_000)]\nprint('done')"
    traced = trace(python, "-c", code, options=["--holders"], preexec_fn=little_memory)
    assert traced.status == 0, traced.stderr
    assert traced.stdout.strip() == b"done"
    (heap,) = heaps_of(traced.path)
    assert heap["flags"] & rftheap.CUT_MEMORY
    assert "refcounts" not in heap
    for row in heap.get("holders", []):
        for _, path in row["patterns"]:  # of what it did not see it knows nothing
            assert path[0][0] not in ("C", "garbage"), path


def test_a_list_of_a_million_links_is_one_pattern(python, trace):
    code = """
class Link:
    __slots__ = ("next",)
def chain():
    first = None
    for _ in range(1_000_000):
        link = Link()
        link.next = first
        first = link
    return first
first = chain()
"""
    # Its own end would take a million nested deallocations: left to os._exit.
    _, (heap,) = looked(trace, python, code + "import os; os._exit(0)")
    row = holders_of(heap, ("__main__.Link", "chain"))
    assert row["objects"] == 1_000_000
    assert len(row["patterns"]) <= 2
    objects, path = row["patterns"][0]
    assert words(path).startswith("module __main__ > attribute __dict__ > value first")
    links = [row for row in heap["retainers"] if row["type"] == "__main__.Link"]
    assert len(links) == 1
    assert links[0]["objects"] >= 999_999


@pytest.mark.parametrize("value", ["0", "-1", "x", "3601", "1s", "nan"])
def test_a_bound_of_time_that_makes_no_sense_is_refused(command, value):
    from conftest import run_command

    done = run_command([command, "run", f"--holders={value}", "--", sys.executable, "-c", ""])
    assert done.returncode == 2
    assert b"--holders" in done.stderr
