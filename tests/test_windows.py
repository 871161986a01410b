"""Windows: what was born since a moment and is alive, asked of a process that runs."""

import json
import os

import pytest
from conftest import BUILD, ROOT, run_command

PROGRAM = """
import gc, os, sys, threading
from agent import addresses, agent, begin, start, survivors

class Node: pass
class Box:
    __slots__ = ("x",)

def make(count):
    return [Node() for _ in range(count)]

def boxes(count):
    return [Box() for _ in range(count)]

start(sys.argv[1])
"""


@pytest.fixture
def ask(tmp_path):
    """Runs a program that asks the agent about itself; it must end well."""

    def run(python, source):
        path = tmp_path / "program.py"
        path.write_text(PROGRAM + source)
        environment = {
            "PATH": os.environ["PATH"],
            "REFTRACER_AGENT": str(BUILD / "libreftracer-agent.so"),
            "PYTHONPATH": str(ROOT / "tests" / "programs" / "windows"),
        }
        done = run_command([python, path, tmp_path / "program.rft"], env=environment)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


def test_a_window_has_what_was_born_in_it_to_the_object(python, ask):
    ask(python, """
kept, windows = make(7), []
for number in range(1, 30):
    windows.append(begin())
    kept += make(number)       # 29 windows in about as many milliseconds
windows.append(0)
for number, (window, until) in enumerate(zip(windows, windows[1:]), 1):
    live, *_, file, line = survivors(window, until)["Node", "make"]
    assert live == number, (live, number)
    assert os.path.basename(file) == "program.py" and line == 10, (file, line)
assert survivors(windows[0])["Node", "make"][0] == sum(range(1, 30))
del kept[7 + 1:]               # one of the first window stays
assert survivors(windows[0])["Node", "make"][0] == 1
assert ("Node", "make") not in survivors(windows[1])
""")


def test_objects_of_other_threads_and_freed_by_other_threads_are_in_it(python, ask):
    ask(python, """
kept, turn = [], threading.Barrier(2)
def work():
    for _ in range(3):
        turn.wait()
        kept.extend(boxes(100))
        turn.wait()
thread = threading.Thread(target=work)
thread.start()
for round in range(3):
    window = begin()
    turn.wait(); turn.wait()
    assert survivors(window)["Box", "boxes"][0] == 100
    del kept[-60:]             # here, not where they were made
    assert survivors(window)["Box", "boxes"][0] == 40
thread.join()
""")


def test_births_deaths_and_bytes_of_a_window_that_counts(python, ask):
    ask(python, """
def some(count): return boxes(count)
some(5)
window = begin(counts=1)
kept = [some(count) for count in (30, 20)][1]
later = begin()
live, births, deaths, size, *_ = survivors(window)["Box", "boxes"]
assert (live, births, deaths) == (20, 50, 30)
assert size == 20 * sys.getsizeof(kept[0])
assert survivors(window, until=later)["Box", "boxes"][1] is None
agent.reftracer_window_end(window)
assert survivors(window)["Box", "boxes"][:3] == (20, None, None)
assert survivors(window, least=21).get(("Box", "boxes")) is None
""")


def test_addresses_of_a_window_are_its_objects(python, ask):
    ask(python, """
old = make(10)
window = begin()
new = make(25)
site = survivors(window)["Node", "make"][4]
assert sorted(addresses(window, site)) == sorted(map(id, new))
listed = agent.reftracer_window_list(window, 0, site, 100)
assert sorted(map(id, listed)) == sorted(map(id, new))
assert len(agent.reftracer_window_list(window, 0, site, 7)) == 7
before = sys.getrefcount(new[0])
del listed
assert sys.getrefcount(new[0]) == before - 1
""")


def test_births_while_muted_are_not_counted(python, ask):
    ask(python, """
window = begin()
kept = make(3)
assert agent.reftracer_mute(1) == 0
kept += make(1000)
assert agent.reftracer_mute(0) == 1
kept += make(4)
assert survivors(window)["Node", "make"][0] == 7
""")


def test_lines_are_told_after_the_code_is_gone(python, ask):
    ask(python, """
window = begin()
space = {"Node": Node}
exec(compile("\\n" * 40 + "def f():\\n\\n  return [Node() for _ in range(5)]", "gone.py", "exec"), space)
kept = space.pop("f")()
space.clear()
gc.collect()
live, *_, file, line = survivors(window)["Node", "f"]
assert (live, file, line) == (5, "gone.py", 43), (live, file, line)
""")


def test_a_trace_that_ended_answers_nothing_and_the_next_one_begins_anew(python, ask):
    ask(python, """
window = begin(counts=1)
kept = make(3)
assert agent.reftracer_stop() is None
assert agent.reftracer_window_begin(0) == -1
assert agent.reftracer_window_survivors(window, 0, 1, 1) is None
assert agent.reftracer_mute(1) == 0
start(sys.argv[1] + ".second.rft")
window = begin()
kept += make(4)
assert survivors(window)["Node", "make"][0] == 4
""")


def test_each_trace_of_a_process_counts_once_beside_another_tool(python, ask):
    ask(python, """
import time, tracemalloc
def seen_again():              # the ticker has come in front of tracemalloc
    window = begin()
    kept = make(1)
    return ("Node", "make") in survivors(window)
for number in range(3):
    tracemalloc.start()
    limit = time.monotonic() + 120
    while not seen_again():
        assert time.monotonic() < limit
        time.sleep(0.001)
    window = begin(counts=1)
    kept = make(100)
    counted = survivors(window)["Node", "make"][:3]
    assert counted == (100, 100, 0), (number, counted)
    tracemalloc.stop()
    assert agent.reftracer_stop() is None
    start(f"{sys.argv[1]}.{number}.rft")
""")


def test_a_trace_after_one_that_found_no_room_is_written_as_it_goes(python, ask):
    ask(python, """
import resource, time
def until(condition):
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)
def grow():                    # names that are new to the trace
    for _ in range(100):
        exec(f"def f{len(seen)}(): return [Node()]\\nf{len(seen)}()", {"Node": Node})
        seen.append(0)
seen = []
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
until(lambda: grow() or not agent.reftracer_is_tracing())
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
until(lambda: len(os.listdir("/proc/self/task")) == 1)  # the ticker has noticed
second = sys.argv[1] + ".second.rft"
start(second)
size = os.path.getsize(second)
until(lambda: grow() or os.path.getsize(second) > size)
assert agent.reftracer_stop() is None
""")


def test_a_child_whose_parents_trace_has_ended_may_begin_one(python, ask):
    ask(python, """
for ended in (False, True):    # one that is traced, too
    if ended:
        assert agent.reftracer_stop() is None
    child = os.fork()
    if child == 0:
        start(f"{sys.argv[1]}.{ended}.rft")
        window = begin()
        kept = make(4)
        assert survivors(window)["Node", "make"][0] == 4
        assert agent.reftracer_stop() is None
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
""")


def test_marks_in_the_trace_are_a_millisecond_apart(python, ask, tmp_path, reftracer):
    ask(python, """
agent.reftracer_mark.restype = __import__("ctypes").c_char_p
kept = make(50)
for name in (b"one", b"two", b"three"):
    assert agent.reftracer_mark(name) is None
    kept += make(10)
assert agent.reftracer_stop() is None
""")
    dump = reftracer("report", "--json", tmp_path / "program.rft")
    report = json.loads(dump.stdout)
    marks = [mark for mark in report["marks"] if mark["label"] in ("one", "two", "three")]
    assert len({mark["time"] for mark in marks}) == 3, marks
