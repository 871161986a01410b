"""Leaking programs under `run --holders`: the report says who holds what grows, in the names
that the program itself has."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "programs" / "verdict"
REFCOUNTS = Path(__file__).parent / "programs" / "refcounts"

# The leaked type and how its objects are held.
HELD = {
    "leak_asyncio_tasks": ("_asyncio.Task", "__main__.BACKGROUND → member"),
    "leak_class_registry": ("type", "__main__.REGISTRY[*]"),
    "leak_closure": ("__main__.Call", "__main__.handle → variable history[*]"),
    "leak_del_cycle": ("__main__.Connection", "__main__.IDLE[*]"),
    "leak_kept_exceptions": ("ValueError", "__main__.ERRORS[*]"),
    "leak_listener_list": ("__main__.Listener", "__main__.bus.listeners[*]"),
    "leak_module_dict": ("__main__.Session", "__main__.SESSIONS[*]"),
    "leak_kept_futures": ("concurrent.futures._base.Future", "__main__.jobs[*]"),
    "leak_thread_per_request": ("__main__.Record", "__main__.AUDIT[*]"),
}
# Keys that are no str or number have their type.
PARTLY = {
    "leak_lru_unbounded": ("__main__.Quote", "__main__.quote → cached results[", "]"),
    "leak_thread_local": ("__main__.Context", "__main__.local → values of each thread[", "['contexts'][*]"),
    "leak_weak_key_cycle": ("__main__.User", "__main__.rights.data[", "]['owner']"),
}
THREE_PLACES = """
import queue, time

class Session:
    def __init__(self, number):
        self.user = User(number)

class User:
    def __init__(self, number):
        self.names = [f"user {number}"]

class Job:
    pass

class Record:
    pass

sessions, jobs, history = {}, queue.SimpleQueue(), []

def turn(number):
    sessions[number] = Session(number)
    jobs.put(Job())
    history.append(Record())

for number in range(700):
    turn(number)
    time.sleep(0.003)
"""
# 700 places have 100 objects each, as after imports of large packages; a leak has 80.
MANY_PLACES = """
import time

class Listener:
    pass

since = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / 100
names = {}
exec("\\n".join(f"names[{n}] = [bytearray(99) for _ in range(100)]" for n in range(700)))
listeners = []
turns = 80
pause = max(0.02, 4 * (time.clock_gettime(time.CLOCK_BOOTTIME) - since) / turns)
for _ in range(turns):
    listeners.append(Listener())
    time.sleep(pause)
"""
OTHERS = ["leak_c_reference", "leak_held_by_main"]


@pytest.fixture(scope="module")
def reports(python, trace, read_report):
    """Each program's report, traced with --holders. They sleep most of the time: several run
    at once."""

    def run(name):
        traced = trace(python, FOLDER / f"{name}.py", options=["--holders"])
        assert traced.status == 0, traced.stderr
        return traced, read_report(traced.path).report

    with ThreadPoolExecutor(4) as pool:
        names = [*HELD, *PARTLY, *OTHERS]
        return dict(zip(names, pool.map(run, names)))


def growing_of(reports, name, type_name):
    return one_of(reports[name][1], type_name)


def one_of(report, type_name):
    entries = [entry for entry in report["growing"] if entry["type"] == type_name]
    assert len(entries) == 1, [entry["type"] for entry in report["growing"]]
    return entries[0]


@pytest.mark.parametrize("name", HELD)
def test_the_holder_is_named_as_the_program_names_it(reports, name):
    type_name, path = HELD[name]
    entry = growing_of(reports, name, type_name)
    [first, *others] = entry["holders"]
    assert first["path"] == path
    assert first["objects"] >= 0.95 * entry["sampled"] > 0
    assert entry["retained_bytes"] >= entry["grown_bytes"] / 2
    refcounts = entry["refcounts"]
    assert (refcounts["leaked"], refcounts["piled"], refcounts["too_few"]) == (False,) * 3


def test_what_grows_in_step_but_is_kept_in_other_variables_stands_for_itself(
    python, trace, read_report, tmp_path
):
    """Each turn leaves one object in each of three places: who mends one has not mended two."""
    program = tmp_path / "app.py"
    program.write_text(THREE_PLACES)
    traced = trace(python, program, options=["--holders"])
    assert traced.status == 0, traced.stderr
    growing = read_report(traced.path).report["growing"]
    held = {entry["type"]: entry["holders"][0]["path"] for entry in growing}
    assert held == {
        "__main__.Job": "__main__.jobs → member",
        "__main__.Record": "__main__.history[*]",
        "__main__.Session": "__main__.sessions[*]",
    }
    [session] = [entry for entry in growing if entry["type"] == "__main__.Session"]
    assert "__main__.User" in [kin["type"] for kin in session["companions"]]


def test_holders_of_a_small_leak_are_told_where_many_places_have_more_objects(
    python, trace, read_report, tmp_path
):
    program = tmp_path / "app.py"
    program.write_text(MANY_PLACES)
    traced = trace(python, program, options=["--holders"])
    assert traced.status == 0, traced.stderr
    entry = one_of(read_report(traced.path).report, "__main__.Listener")
    assert [held["path"] for held in entry["holders"]] == ["__main__.listeners[*]"]


@pytest.mark.parametrize("name", PARTLY)
def test_what_c_code_holds_is_named_up_to_there(reports, name):
    type_name, beginning, end = PARTLY[name]
    path = growing_of(reports, name, type_name)["holders"][0]["path"]
    assert path.startswith(beginning) and path.endswith(end)


def test_objects_that_c_code_leaks_are_held_by_nobody_else(reports, reftracer):
    traced, report = reports["leak_c_reference"]
    entry = growing_of(reports, "leak_c_reference", "__main__.Message")
    assert [held["path"] for held in entry["holders"]] == ["C code alone"]
    assert entry["refcounts"]["surpluses"] == [{"surplus": 1, "objects": 450}]
    assert entry["refcounts"]["leaked"]
    accused = [place["type"] for place in report["heap"]["places"]
               if place["refcounts"] and place["refcounts"]["leaked"]]
    assert accused == ["__main__.Message"]
    output = reftracer("report", traced.path, "--view", "refcounts").stdout.decode()
    assert "450 __main__.Message objects born at " in output
    assert "have 1 reference that no Python object holds: leaked by C code" in " ".join(output.split())


def test_what_main_held_is_gone_when_it_returns(reports, reftracer):
    traced, _ = reports["leak_held_by_main"]
    entry = growing_of(reports, "leak_held_by_main", "__main__.Ticket")
    assert entry["holders"] == []
    output = reftracer("report", traced.path).stdout.decode()
    assert "none was left when the heap was looked through" in output


@pytest.fixture
def views(trace, reftracer, tmp_path):
    """views(python, text, *views) -> what these views say of a program, each in one line."""

    def run(python, text, *names):
        program = tmp_path / "app.py"
        program.write_text(text)
        traced = trace(python, program, options=["--holders"])
        return [
            " ".join(reftracer("report", traced.path, "--view", name).stdout.decode().split())
            for name in names
        ]

    return run


def test_garbage_that_nobody_collects_is_said_to_be_that(python, views):
    """The collector is off, as in some servers: what grows is held by nobody."""
    [summary] = views(
        python,
        "import gc, time\n"
        "class Parent: pass\n"
        "gc.disable()\n"
        "for _ in range(400):\n"
        "    parent = Parent()\n"
        "    parent.child = [parent]\n"
        "    time.sleep(0.003)\n",
        "summary",
    )
    assert "held by: nobody: 399 waited in cycles for the collector (--view garbage);" in summary


def test_a_free_threaded_build_says_why_nobody_is_named(free_threaded_python, views):
    summary, holders = views(
        free_threaded_python,
        "import time\n"
        "class Kept: pass\n"
        "kept = []\n"
        "for _ in range(300):\n"
        "    kept.append(Kept())\n"
        "    time.sleep(0.003)\n",
        "summary",
        "holders",
    )
    assert "who holds them is not known: that needs a CPython with a GIL" in summary
    assert "none was left" not in summary
    assert "Heap: not looked through, that needs a CPython with a GIL" in holders


def test_nobody_is_accused_whose_refcounts_are_right(reports):
    for name in [*HELD, *PARTLY, "leak_held_by_main"]:
        for place in reports[name][1]["heap"]["places"]:
            refcounts = place["refcounts"] or {}
            verdicts = [refcounts.get(verdict) for verdict in ("leaked", "piled", "too_few")]
            assert not any(verdicts), (name, place["type"], place["stack"][:1], refcounts)


def test_the_summary_says_who_holds_it_on_a_page_of_80_columns(reports, reftracer):
    traced, _ = reports["leak_listener_list"]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "COLUMNS": "80"}
    output = reftracer("report", traced.path, env=environment).stdout.decode()
    held = [line for line in output.splitlines() if "held by: " in line]
    assert held == ["     held by: __main__.bus.listeners[*] (all 200 looked at)"]


def accused(report):
    """{(type, verdict): refcounts}"""
    return {(place["type"], verdict): place["refcounts"]
            for place in report["heap"]["places"]
            for verdict in ("leaked", "suspected", "piled", "too_few")
            if place["refcounts"] and place["refcounts"][verdict]}


def test_of_many_kinds_of_objects_none_is_accused(python, trace):
    traced = trace(python, REFCOUNTS / "clean.py", options=["--holders"])
    assert traced.status == 0, traced.stderr
    assert accused(traced.report) == {}
    audited = sum(place["refcounts"]["audited"]
                  for place in traced.report["heap"]["places"] if place["refcounts"])
    assert audited > 10_000


def test_one_object_to_which_references_pile_up_is_found(python, trace):
    code = """
import ctypes
class Shared: pass
shared = Shared()
for _ in range(2000):
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(shared))
"""
    report = trace(python, "-c", code, options=["--holders"]).report
    assert list(accused(report)) == [("__main__.Shared", "piled")]
    [refcounts] = accused(report).values()
    assert refcounts["surpluses"] == [{"surplus": 2000, "objects": 1}]
