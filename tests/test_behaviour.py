"""Counts stay exact, and the program undisturbed, whatever the program does."""

import ctypes
import json
import os
import re
import select
import subprocess
import textwrap
from pathlib import Path

import pytest
from conftest import TIMEOUT
from inspect_programs import wait_for
from sites import assert_balanced, assert_exact, bare, born_at, counts, counts_at, line_of

THING = """
class Thing:
    pass
"""


class Program:
    """A program's text and file; markers at the ends of lines name the lines."""

    def __init__(self, path, source):
        self.path = path
        self.source = source
        path.write_text(source, encoding="utf-8", errors="surrogateescape")

    def line(self, marker):
        return line_of(self.source, marker)


@pytest.fixture
def program(tmp_path):
    def write(source, name="program.py", prologue=THING):
        return Program(tmp_path / name, prologue + textwrap.dedent(source))

    return write


def things(report, *args, **kwargs):
    return counts_at(report, "__main__.Thing", *args, **kwargs)


# Threads, coroutines, generators, recursion


@pytest.mark.free_threaded
def test_births_are_counted_by_the_thread_that_made_them(python, trace, program):
    source = program(
        """
        import threading
        kept = []
        def work(n):
            for _ in range(n):
                kept.append(Thing())  # kept
                Thing()  # dropped
        threads = [threading.Thread(target=work, args=(n,), name=f"maker {n}")
                   for n in (500, 1000, 1500, 2000)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert things(report, source.path, source.line("kept")) == (5000, 0, 5000)
    assert things(report, source.path, source.line("dropped")) == (5000, 5000, 0)
    by_thread = {}
    for site in born_at(report, "__main__.Thing"):
        by_thread[str(site["thread"])] = by_thread.get(str(site["thread"]), 0) + site["births"]
    assert sorted(by_thread.values()) == [1000, 2000, 3000, 4000]


@pytest.mark.free_threaded
def test_objects_made_in_one_thread_and_freed_in_another(python, trace, program):
    source = program(
        """
        import queue, threading
        channel = queue.Queue(maxsize=50)
        def make():
            for _ in range(5000):
                channel.put(Thing())  # made
            channel.put(None)
        def drop():
            while channel.get() is not None:
                pass
        threads = [threading.Thread(target=make) for _ in range(3)]
        threads += [threading.Thread(target=drop) for _ in range(3)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert things(report, source.path, source.line("made")) == (15000, 15000, 0)


@pytest.mark.free_threaded
def test_a_thousand_threads_that_live_for_a_moment(python, trace, program):
    source = program(
        """
        import threading
        kept = []
        def work():
            kept.append(Thing())  # kept
            for _ in range(9):
                Thing()  # dropped
        for _ in range(100):
            threads = [threading.Thread(target=work) for _ in range(10)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert things(report, source.path, source.line("kept")) == (1000, 0, 1000)
    assert things(report, source.path, source.line("dropped")) == (9000, 9000, 0)


@pytest.mark.free_threaded
def test_coroutines_have_their_own_stacks(python, trace, program):
    source = program(
        """
        import asyncio
        kept = []
        async def leaf(n):
            await asyncio.sleep(0)
            kept.append(Thing())  # kept
            await asyncio.sleep(0)
            Thing()  # dropped
            return n
        async def branch(n):
            return await leaf(n)  # awaits
        async def main():
            await asyncio.gather(*(branch(n) for n in range(1000)))
        asyncio.run(main())
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert things(report, source.path, source.line("kept")) == (1000, 0, 1000)
    assert things(report, source.path, source.line("dropped")) == (1000, 1000, 0)
    for site in born_at(report, "__main__.Thing"):
        inner = [(frame["function"], frame["line"]) for frame in site["stack"][:2]]
        assert inner[0][0] == "leaf"
        assert inner[1] == ("branch", source.line("awaits"))


@pytest.mark.free_threaded
def test_a_generator_that_outlives_the_frame_that_made_it(python, trace, program):
    source = program(
        """
        kept = []
        def make():
            def numbers():
                while True:
                    kept.append(Thing())  # kept
                    yield
            return numbers()
        def use(generator):
            for _ in range(100):
                next(generator)  # used
        generator = make()
        use(generator)
        del generator
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    (site,) = born_at(report, "__main__.Thing")
    assert [(f["function"], f["line"]) for f in site["stack"][:2]] == [
        ("make.<locals>.numbers", source.line("kept")),
        ("use", source.line("used")),
    ]
    assert [f["function"] for f in site["stack"][2:]] == ["<module>"]
    assert counts([site]) == (100, 0, 100)


@pytest.mark.free_threaded
def test_a_stack_of_50000_frames_is_complete(python, trace, program, read_report):
    source = program(
        """
        import sys
        sys.setrecursionlimit(60000)
        depth = [None] * 50000
        kept = []
        def down():
            if depth:
                depth.pop()
                down()  # call
            else:
                kept.append(Thing())  # bottom
        down()  # start
        """
    )
    traced = trace(python, source.path)
    (site,) = born_at(traced.report, "__main__.Thing")
    assert (site["stack_depth"], len(site["stack"])) == (50_002, 1000)
    report = read_report(traced.path, options=["--stack-limit", "0"]).report
    assert_exact(report)
    (site,) = born_at(report, "__main__.Thing")
    lines = [frame["line"] for frame in site["stack"]]
    assert lines[0] == source.line("bottom")
    assert lines[1:-1] == [source.line("call")] * 50000
    assert lines[-1] == source.line("start")


@pytest.mark.free_threaded
def test_births_at_every_depth_of_a_recursion(python, trace, program):
    source = program(
        """
        kept = []
        def down(n):
            kept.append(Thing())  # birth
            if n:
                down(n - 1)
        for _ in range(50):
            down(199)
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    sites = born_at(report, "__main__.Thing")
    assert sorted(len(site["stack"]) for site in sites) == list(range(2, 202))
    assert {counts([site]) for site in sites} == {(50, 0, 50)}


# Sub-interpreters


SUB_INTERPRETERS = """
import sys
if sys.version_info >= (3, 14):
    import _interpreters
else:
    import _interpreters
CODE = '''
class Thing: pass
def make():
    return [Thing() for _ in range(100)]
kept = make()
for _ in range(900):
    Thing()
'''
def life(config):
    interpreter = _interpreters.create(config)
    failed = _interpreters.exec(interpreter, CODE)
    assert failed is None, failed
    _interpreters.destroy(interpreter)
"""


@pytest.mark.free_threaded
@pytest.mark.parametrize("config", ["legacy", "isolated"])
def test_sub_interpreters_that_come_and_go(python, trace, program, config):
    """'legacy' shares the GIL of the main interpreter, 'isolated' has its own."""
    source = program(
        f"""
        for _ in range(10):
            life({config!r})
        """,
        prologue=SUB_INTERPRETERS,
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    report = traced.report
    assert_exact(report)
    assert things(report) == (10000, 9000, 1000)
    per_interpreter = {}
    for site in born_at(report, "__main__.Thing"):
        key = str(site["interpreter"])
        per_interpreter[key] = per_interpreter.get(key, 0) + site["births"]
    assert list(per_interpreter.values()) == [1000] * 10


@pytest.mark.free_threaded
def test_sub_interpreters_with_their_own_gil_at_the_same_time(python, trace, program):
    source = program(
        """
        import threading
        def run():
            for _ in range(5):
                life("isolated")
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        """,
        prologue=SUB_INTERPRETERS,
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert things(traced.report) == (20000, 18000, 2000)


@pytest.mark.free_threaded
@pytest.mark.parametrize("config", ["legacy", "isolated"])
def test_an_interpreter_in_the_place_of_an_ended_one_is_traced_from_its_beginning(
    python, trace, program, config
):
    """What it makes before its first line, too: its thread state is at the address of the other's."""
    source = program(
        f"""
        for _ in range(6):
            life({config!r})
        """,
        prologue=SUB_INTERPRETERS,
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    births = {}
    for site in traced.report["sites"]:
        births[site["interpreter"]] = births.get(site["interpreter"], 0) + site["births"]
    _, first, *others = (births[number] for number in sorted(births))
    assert len(others) == 5
    assert [count for count in others if not 0.9 * first < count < 1.1 * first] == [], births


@pytest.mark.free_threaded
def test_a_sub_interpreter_that_is_alive_at_exit(python, trace, program):
    source = program(
        """
        interpreter = _interpreters.create("isolated")
        _interpreters.exec(interpreter, CODE)
        """,
        prologue=SUB_INTERPRETERS,
    )
    plain = source_run(python, source.path)
    traced = trace(python, source.path)
    assert traced.status == plain.returncode
    assert_exact(traced.report)
    assert things(traced.report) == (1000, 900, 100)


# Processes


@pytest.mark.free_threaded
def test_fork_in_a_thread(python, trace, program):
    source = program(
        """
        import os, threading, warnings
        warnings.simplefilter("ignore")
        kept = [Thing() for _ in range(10)]  # before
        def work():
            global child_kept
            child = os.fork()
            if child == 0:
                child_kept = [Thing() for _ in range(100)]  # child
                kept.clear()
                os._exit(7)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 7
            kept.extend([Thing() for _ in range(50)])  # parent
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    report = traced.report
    assert_exact(report)
    assert things(report, source.path, source.line("before")) == (10, 0, 10)
    assert things(report, source.path, source.line("parent")) == (50, 0, 50)
    assert things(report, source.path, source.line("child")) == (0, 0, 0)
    (child,) = traced.children
    assert_balanced(child)
    assert things(child, source.path, source.line("child")) == (100, 0, 100)
    assert things(child, source.path, source.line("parent")) == (0, 0, 0)


@pytest.mark.free_threaded
def test_a_child_forked_in_a_thread_ends_with_that_thread(python, trace, program):
    """Nobody calls exit() there: the last thread has ended, and the agent's is none of the program's."""
    source = program(
        """
        import os, threading, time
        def is_watched():
            return any(open(f"/proc/self/task/{task}/comm").read() == "reftracer\\n"
                       for task in os.listdir("/proc/self/task"))
        def work():
            child = os.fork()
            if child == 0:
                kept = [Thing() for _ in range(100)]  # child
                limit = time.monotonic() + 120
                while not is_watched() and time.monotonic() < limit:
                    time.sleep(0.001)
            else:
                print(os.waitpid(child, 0)[1])
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """
    )
    traced = trace(python, "-W", "ignore", source.path)
    assert (traced.status, traced.stdout) == (0, b"0\n"), traced.stderr
    (child,) = traced.children
    assert_balanced(child)
    assert things(child, source.path, source.line("child"))[0] == 100


@pytest.mark.free_threaded
def test_a_forked_child_that_ends_normally(python, trace, program):
    source = program(
        """
        import os, sys
        child = os.fork()
        if child == 0:
            kept = [Thing() for _ in range(100)]  # child
            for _ in range(300):
                Thing()  # dropped
            sys.exit(0)
        os.waitpid(child, 0)
        """
    )
    traced = trace(python, source.path)
    assert_exact(traced.report)
    assert things(traced.report) == (0, 0, 0)
    (child,) = traced.children
    assert_balanced(child)
    assert things(child, source.path, source.line("child")) == (100, 0, 100)
    assert things(child, source.path, source.line("dropped")) == (300, 300, 0)


def test_children_are_not_traced_when_not_wanted(python, trace, program):
    source = program(
        """
        import os, subprocess, sys
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        """
    )
    traced = trace(python, source.path, options=["--no-children"])
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert traced.children == []


@pytest.mark.free_threaded
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(python, trace, program, method):
    source = program(
        f"""
        import multiprocessing
        kept = []
        def work(queue, n):
            for _ in range(n):
                kept.append(Thing())  # kept
                Thing()  # dropped
            queue.put(n)
        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            queue = context.Queue()
            workers = [context.Process(target=work, args=(queue, n)) for n in (100, 200)]
            for worker in workers: worker.start()
            done = sorted(queue.get() for _ in workers)
            for worker in workers: worker.join()
            print(done, [worker.exitcode for worker in workers])
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert traced.stdout.decode() == "[100, 200] [0, 0]\n"
    assert_exact(traced.report)
    seen = []
    for child in traced.children:
        assert_balanced(child)
        kept = counts_at(child, None, source.path, source.line("kept"), function="work")
        found = [
            site
            for marker in ("kept", "dropped")
            for site in born_at(child, None, source.path, source.line(marker))
            if site["type"].endswith("main__.Thing")
        ]
        if found:
            kept = [site for site in found if site["stack"][0]["line"] == source.line("kept")]
            seen.append((counts(found), counts(kept)))
    assert sorted(seen) == [
        ((200, 100, 100), (100, 0, 100)),
        ((400, 200, 200), (200, 0, 200)),
    ]


def test_exec_of_another_python(python, trace, program, pythons):
    other = next((p for p in pythons if p != python), python)
    second = program(
        """
        kept = [Thing() for _ in range(30)]  # second
        """,
        name="second.py",
    )
    source = program(
        f"""
        import os
        kept = [Thing() for _ in range(20)]  # first
        os.execv({str(other)!r}, [{str(other)!r}, {str(second.path)!r}])
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_balanced(traced.report)
    assert things(traced.report, source.path, source.line("first")) == (20, 0, 20)
    (after,) = traced.children
    assert_exact(after)
    assert things(after, second.path, second.line("second")) == (30, 0, 30)


def test_a_subprocess_that_is_no_python_runs_as_ever(python, trace, program):
    source = program(
        """
        import subprocess
        print(subprocess.run(["sh", "-c", "echo out; echo err >&2; exit 5"],
                             capture_output=True))
        """
    )
    plain = source_run(python, source.path)
    traced = trace(python, source.path)
    assert traced.stdout == plain.stdout
    assert traced.children == []


# Other tools in the program


@pytest.mark.free_threaded
def test_tracemalloc_takes_the_slot_and_the_gap_is_stated(python, trace, program):
    source = program(
        """
        import ctypes, time, tracemalloc
        in_slot = ctypes.pythonapi.PyRefTracer_GetTracer
        in_slot.restype = ctypes.c_void_p
        before = [Thing() for _ in range(100)]  # before
        tracemalloc.start()
        during = [Thing() for _ in range(100)]
        assert tracemalloc.take_snapshot().statistics("lineno")
        tracemalloc.stop()
        limit = time.monotonic() + 120
        while in_slot(None) is None:  # it is looked after each 10 ms, on a machine that is idle
            assert time.monotonic() < limit
            time.sleep(0.01)
        after = [Thing() for _ in range(100)]  # after
        for _ in range(500):
            Thing()  # dropped
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    report = traced.report
    assert_balanced(report)
    assert report["exact"] is False
    assert "gap" in json.dumps(report["losses"])
    assert things(report, source.path, source.line("before")) == (100, 0, 100)
    assert things(report, source.path, source.line("after")) == (100, 0, 100)
    assert things(report, source.path, source.line("dropped")) == (500, 500, 0)


@pytest.mark.free_threaded
def test_tracemalloc_on_for_the_whole_run(python, trace, program):
    source = program("kept = [Thing() for _ in range(100)]")
    traced = trace(python, "-X", "tracemalloc=5", source.path)
    assert traced.status == 0, traced.stderr
    assert_balanced(traced.report)


TOOLS = {
    "sys.setprofile": "sys.setprofile(lambda *args: None)",
    "sys.settrace": "sys.settrace(tracer)",
    "threading.setprofile_all_threads": "threading.setprofile_all_threads(lambda *args: None)",
    "sys.monitoring": """
sys.monitoring.use_tool_id(2, "test")
sys.monitoring.register_callback(2, sys.monitoring.events.LINE, lambda *args: None)
sys.monitoring.set_events(2, sys.monitoring.events.LINE | sys.monitoring.events.CALL)
""",
    "cProfile": "import cProfile; profile = cProfile.Profile(); profile.enable()",
    "faulthandler": "import faulthandler; faulthandler.dump_traceback_later(3600)",
    "gc.DEBUG_SAVEALL": "gc.set_debug(gc.DEBUG_SAVEALL)",
    "gc.callbacks": "gc.callbacks.append(lambda *args: None)",
    "an audit hook": "sys.addaudithook(lambda *args: None)",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_counts_are_exact_while_the_program_uses(python, trace, program, tool):
    source = program(
        f"""
        import gc, sys, threading
        def tracer(*args):
            return tracer
        {TOOLS[tool].strip().replace(chr(10), chr(10) + " " * 8)}
        kept = []
        def make():
            for _ in range(1000):
                kept.append(Thing())  # kept
                Thing()  # dropped
        make()
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert things(traced.report, source.path, source.line("kept")) == (2000, 0, 2000)
    assert things(traced.report, source.path, source.line("dropped")) == (2000, 2000, 0)


@pytest.mark.free_threaded
def test_another_reference_tracer_of_the_program_keeps_its_events(python, trace, program):
    """_testcapi has one that counts; it is not in every build."""
    source = program(
        """
        import os
        try:
            import _testcapi
        except ImportError:
            raise SystemExit(99)
        # After a fork the agent's thread is not there for 50 ms. Else it comes, now and then, in
        # front of the visitor, who then takes the place from us twice.
        child = os.fork()
        if child == 0:
            os._exit(0)
        _testcapi.test_reftracer()
        os.waitpid(child, 0)
        kept = [Thing() for _ in range(100)]
        """
    )
    plain = source_run(python, source.path)
    if plain.returncode == 99:
        pytest.skip("this CPython has no _testcapi")
    traced = trace(python, source.path)
    assert traced.status == plain.returncode
    assert_balanced(traced.report)
    if python.version >= (3, 15):  # which tells that it came; it has put us back at once
        assert traced.report["losses"]["slot_gaps"]["count"] == 1
        assert traced.report["exact"] is False


def test_a_tracer_that_puts_the_one_before_it_back_is_never_called_again(python, trace, program):
    source = program(
        """
        import ctypes, mmap, platform, time
        code = {"x86_64": b"\\x31\\xc0\\xc3", "aarch64": b"\\0\\0\\x80\\x52\\xc0\\x03\\x5f\\xd6"}
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page[:8] = code[platform.machine()].ljust(8, b"\\0")  # returns 0
        function = ctypes.addressof(ctypes.c_char.from_buffer(page))
        api = ctypes.pythonapi
        api.PyRefTracer_GetTracer.restype = ctypes.c_void_p
        get = lambda: api.PyRefTracer_GetTracer(None)
        set = lambda tracer: api.PyRefTracer_SetTracer(ctypes.c_void_p(tracer), None)
        before = get()
        set(function)
        end = time.monotonic() + 60
        while get() == function and time.monotonic() < end:
            time.sleep(0.001)  # until the agent stands in front of it
        in_front = get()
        set(before)
        page.close()  # another call would end in no memory
        assert in_front not in (function, before)
        kept = [Thing() for _ in range(100)]  # kept
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr.decode()
    assert things(traced.report, source.path, source.line("kept")) == (100, 0, 100)


# Odd lives and ends of objects


@pytest.mark.free_threaded
def test_resurrection_is_no_death(python, trace, program):
    source = program(
        """
        saved = []
        class Phoenix:
            def __del__(self):
                saved.append(self)
        class Mayfly:
            def __del__(self):
                global last
                last = self
        def make():
            for _ in range(100):
                Phoenix()  # stays
            for _ in range(100):
                Mayfly()  # goes
        make()
        last = None
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert counts_at(report, "__main__.Phoenix", source.path, source.line("stays")) == (
        100,
        0,
        100,
    )
    assert counts_at(report, "__main__.Mayfly", source.path, source.line("goes")) == (
        100,
        100,
        0,
    )


@pytest.mark.free_threaded
def test_resurrection_by_the_garbage_collector_is_no_death(python, trace, program):
    source = program(
        """
        import gc
        saved = []
        class Phoenix:
            def __init__(self):
                self.me = self
            def __del__(self):
                saved.append(self)
        def make():
            for _ in range(100):
                Phoenix()
        make()
        gc.collect()
        assert len(saved) == 100
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert counts_at(traced.report, "__main__.Phoenix") == (100, 0, 100)


@pytest.mark.free_threaded
def test_deeply_nested_containers_die_completely(python, trace, program):
    """The trashcan defers their deallocation."""
    source = program(
        """
        class Cell(list): pass
        def nest(n):
            cell = None
            for _ in range(n):
                cell = Cell((cell,))  # cell
            pair = None
            for _ in range(n):
                pair = (pair,)  # pair
            inner = None
            for _ in range(n):
                inner = {"inner": inner}  # dict
        for _ in range(5):
            nest(20000)
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert counts_at(report, "__main__.Cell", source.path, source.line("cell")) == (
        100000,
        100000,
        0,
    )
    assert counts_at(report, "tuple", source.path, source.line("pair")) == (100000, 100000, 0)
    assert counts_at(report, "dict", source.path, source.line("dict")) == (100000, 100000, 0)


@pytest.mark.free_threaded
def test_resizing_in_place_leaves_one_object(python, trace, program):
    source = program(
        """
        def make():
            text = "" .join(["x"] * 300)  # text
            for _ in range(2000):
                text += "y"  # grows
            data = bytes(300)
            for _ in range(300):
                data += b"z"
            return text, data, tuple(None for _ in range(1000))
        kept = [make() for _ in range(10)]
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    born = born_at(report, "str", source.path)
    assert sum(site["live"] for site in born if site["stack"][0]["function"] == "make") == 10


@pytest.mark.free_threaded
def test_memory_error(python, trace, program):
    source = program(
        """
        kept = []
        def make():
            for size in (1 << 62, 1 << 61):
                for make in (bytearray, bytes, lambda n: [None] * n, lambda n: "x" * n):
                    try:
                        make(size)
                    except (MemoryError, OverflowError):
                        kept.append(Thing())  # caught
        make()
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert things(traced.report, source.path, source.line("caught")) == (8, 0, 8)


def test_memory_error_at_every_allocation_of_a_piece_of_code(python, trace, program):
    source = program(
        """
        try:
            import _testcapi
        except ImportError:
            raise SystemExit(99)
        def make():
            return [Thing() for _ in range(3)], {"a": [1.5 * n for n in range(5)]}, "x" * 100
        make()
        for number in range(1, 60):
            try:
                _testcapi.set_nomemory(number, number + 1)
                made = make()
                _testcapi.remove_mem_hooks()
            except MemoryError:
                _testcapi.remove_mem_hooks()
        made = make()
        """
    )
    plain = source_run(python, source.path)
    if plain.returncode == 99:
        pytest.skip("this CPython has no _testcapi")
    traced = trace(python, source.path)
    assert traced.status == plain.returncode
    assert_exact(traced.report)
    assert things(traced.report)[2] == 3


# Names


@pytest.mark.free_threaded
def test_type_names_carry_their_module(python, trace, program):
    source = program(
        """
        import collections
        class Outer:
            class Inner:
                pass
        def local():
            class Local:
                pass
            return Local()
        kept = [Outer.Inner(), local(), collections.OrderedDict(), collections.Counter(),
                Exception(), bytearray(b"x")]  # names
        """
    )
    report = trace(python, source.path).report
    types = {bare(site["type"]) for site in report["sites"] if site["live"]}
    assert types >= {
        "__main__.Outer.Inner",
        "__main__.local.<locals>.Local",
        "collections.OrderedDict",
        "collections.Counter",
        "Exception",
        "bytearray",
        "list",
        "dict",
        "str",
    }


@pytest.mark.free_threaded
def test_classes_and_code_that_are_gone_keep_their_names(python, trace, program):
    source = program(
        """
        import gc
        def generation(n):
            space = {}
            text = f"class G{n}: pass\\ndef make{n}():\\n    for _ in range(10): G{n}()\\nmake{n}()\\n"
            exec(compile(text, f"<generated {n}>", "exec"), space)
        for n in range(200):
            generation(n)
            if n % 50 == 0:
                gc.collect()
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    for n in range(200):
        found = [s for s in report["sites"] if s["type"].split(".")[-1] == f"G{n}"]
        assert counts(found) == (10, 10, 0), n
        for site in found:
            assert [(f["file"], f["line"], f["function"]) for f in site["stack"][:2]] == [
                (f"<generated {n}>", 3, f"make{n}"),
                (f"<generated {n}>", 4, "<module>"),
            ]


@pytest.mark.free_threaded
def test_code_objects_at_recycled_addresses_are_told_apart(python, trace, program):
    source = program(
        """
        for n in range(3000):
            eval(compile("Thing()", f"<expression {n}>", "eval"))
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    births = {}
    for site in born_at(report, "__main__.Thing"):
        file = site["stack"][0]["file"]
        births[file] = births.get(file, 0) + site["births"]
    assert births == {f"<expression {n}>": 1 for n in range(3000)}


def test_names_outside_ascii(python, trace, program):
    source = program(
        """
        class Größe:
            def 生成(self):
                return [Größe() for _ in range(5)]  # birth
        kept = Größe().生成()
        """,
        name="größe_файл_🐍.py",
    )
    report = trace(python, source.path).report
    assert_exact(report)
    (site,) = born_at(report, "__main__.Größe", source.path, source.line("birth"))
    assert counts([site]) == (5, 0, 5)
    assert site["stack"][0]["function"] == "Größe.生成"


def test_a_file_name_that_is_no_utf8_is_readable_in_the_report(python, trace, program):
    source = program(
        """
        exec(compile("kept = [Thing()]", "caf\\udce9.py", "exec"))
        exec(compile("kept2 = [Thing()]", "quote\\"back\\\\slash\\nnewline", "exec"))
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    files = {site["stack"][0]["file"] for site in born_at(report, "__main__.Thing")}
    assert any(file.startswith("caf") for file in files)
    assert 'quote"back\\slash\\nnewline' in files


# Ends of the program


def test_signals_are_handled_as_ever(python, trace, program):
    source = program(
        """
        import signal, time
        seen = []
        def handler(number, frame):
            seen.append(Thing())  # handler
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        while len(seen) < 200:
            [Thing() for _ in range(10)]
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(len(seen))
        """
    )
    traced = trace(python, source.path)
    assert_exact(traced.report)
    count = int(traced.stdout)
    assert things(traced.report, source.path, source.line("handler")) == (count, 0, count)


def test_ctrl_c_reaches_the_program(python, trace, program):
    source = program(
        """
        import os, signal, time
        kept = [Thing() for _ in range(10)]
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(600)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    traced = trace(python, source.path)
    assert (traced.status, traced.stdout) == (0, b"interrupted\n")
    assert_exact(traced.report)
    assert things(traced.report) == (10, 0, 10)


@pytest.mark.free_threaded
def test_daemon_threads_that_are_alive_at_exit(python, trace, program):
    source = program(
        """
        import threading, time
        kept = [Thing() for _ in range(100)]  # kept
        class Other: pass
        def spin():
            while True:
                [Other() for _ in range(100)]
        waiting = threading.Semaphore(0)
        def wait():
            inner = [Other() for _ in range(10)]  # waiting
            waiting.release()
            threading.Event().wait()
        threads = [threading.Thread(target=target, daemon=True) for target in (spin, wait, wait)]
        for thread in threads: thread.start()
        waiting.acquire(); waiting.acquire()
        time.sleep(0.1)
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_balanced(traced.report)
    assert things(traced.report, source.path, source.line("kept")) == (100, 0, 100)
    waiting = counts_at(traced.report, "__main__.Other", source.path, source.line("waiting"))
    assert waiting == (20, 0, 20)


@pytest.mark.free_threaded
def test_a_census_while_daemon_threads_make_and_free_objects(python, trace, program):
    """Without a GIL these would go on while the census reads what they free."""
    source = program(
        """
        import threading, time
        def churn():
            live = []
            while True:
                live.append([{str(i): [i] * 50} for i in range(50)])
                Thing()
                if len(live) > 20:
                    live = live[10:]
        for _ in range(4):
            threading.Thread(target=churn, daemon=True).start()
        time.sleep(0.2)
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)


@pytest.mark.free_threaded
def test_os_exit(python, trace, program):
    source = program(
        """
        import os
        kept = [Thing() for _ in range(100)]  # kept
        for _ in range(50):
            Thing()  # dropped
        os._exit(3)
        """
    )
    traced = trace(python, source.path)
    assert traced.status == 3
    assert_exact(traced.report)
    assert things(traced.report, source.path, source.line("kept")) == (100, 0, 100)
    assert things(traced.report, source.path, source.line("dropped")) == (50, 50, 0)


@pytest.mark.free_threaded
@pytest.mark.parametrize(
    "end",
    [
        "sys.exit()",
        "sys.exit(0)",
        "sys.exit(7)",
        "sys.exit(255)",
        "sys.exit('a text')",
        "raise SystemExit([1, 2])",
        "raise ValueError('unhandled')",
        "raise KeyboardInterrupt",
        "import atexit; atexit.register(lambda: 1 / 0)",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.abort()",
        "import ctypes; ctypes.string_at(0)",
    ],
)
def test_the_program_ends_as_it_does_untraced(python, trace, program, end):
    source = program(
        f"""
        import os, resource, signal, sys
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        kept = [Thing() for _ in range(100)]
        print("before")
        sys.stdout.flush()
        {end}
        """
    )
    plain = source_run(python, source.path)
    traced = trace(python, source.path)
    expected = plain.returncode if plain.returncode >= 0 else 128 - plain.returncode
    assert traced.status == expected
    assert traced.stdout == plain.stdout
    assert without_addresses(plain.stderr) in without_addresses(traced.stderr)
    assert_balanced(traced.report)


@pytest.mark.free_threaded
def test_what_atexit_callbacks_make_is_counted(python, trace, program):
    source = program(
        """
        import atexit
        late = []
        @atexit.register
        def last():
            late.extend([Thing() for _ in range(10)])  # late
        import threading
        thread = threading.Thread(target=lambda: late.append(Thing()))
        thread.start()
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    assert things(report, source.path, source.line("late")) == (10, 0, 10)
    assert things(report) == (11, 0, 11)


# The program's surroundings


SURROUNDINGS = """
import gc, os, signal, stat, sys, threading, warnings
print(sys.argv, sys.path, sys.flags, sys.warnoptions)
print(gc.get_threshold(), gc.isenabled(), gc.get_debug(), gc.callbacks, gc.get_freeze_count())
print([t.name for t in threading.enumerate()], threading.active_count(), sys.getprofile(), sys.gettrace())
print(sys.getswitchinterval(), sys.getrecursionlimit(), sys.is_finalizing())
print([str(signal.getsignal(s)) for s in signal.valid_signals()])
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
print(sorted(name for name in sys.modules if "reftracer" in name))
print(os.getcwd(), os.umask(0o22), os.getpgrp() == os.getpid())
first = os.open(os.devnull, os.O_RDONLY)
print("next descriptor", first)
for n in range(3):
    kind = os.fstat(n)
    print(n, stat.filemode(kind.st_mode), os.get_inheritable(n))
print(sys.stdin.read())
sys.stdout.flush()
os.write(1, bytes(range(256)) * 1000)
print("error", file=sys.stderr)
"""


@pytest.mark.free_threaded
def test_the_program_sees_the_same_and_says_the_same(python, trace, program):
    source = program(SURROUNDINGS, prologue="")
    given = b"a line\n\xc3\xa4\n" * 1000
    arguments = [source.path, "--flag", "", "two words", "ä"]
    plain = source_run(python, *arguments, input=given)
    traced = trace(python, *arguments, input=given)
    assert plain.returncode == 0, plain.stderr
    assert traced.status == 0, traced.stderr
    assert without_addresses(traced.stdout) == without_addresses(plain.stdout)
    assert plain.stderr in traced.stderr


def test_children_of_the_program_inherit_no_descriptor(python, trace, program):
    source = program(
        """
        import os, subprocess, sys
        def descriptors():
            return subprocess.run(
                ["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True
            ).stdout
        print(len(descriptors().splitlines()))
        print([d.split()[-3] for d in descriptors().splitlines()[1:]])
        """
    )
    plain = source_run(python, source.path)
    traced = trace(python, source.path)
    assert traced.status == 0, traced.stderr
    assert traced.stdout == plain.stdout


@pytest.mark.free_threaded
def test_fork_emits_no_warning_about_threads(python, trace, program):
    """CPython warns of a fork in a process of several threads: there is only the program's."""
    source = program(
        """
        import os
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        print("forked")
        """
    )
    traced = trace(python, "-W", "always", source.path)  # up to 3.14, as an error it would be lost
    assert (traced.status, traced.stdout) == (0, b"forked\n"), traced.stderr
    assert b"Warning" not in traced.stderr


def test_fork_emits_no_warning_while_the_agents_thread_ends(python, command, program, tmp_path):
    """The kernel counts a thread for a while after others have seen it end, here as long as a
    debugger keeps it."""
    source = program(
        """
        import os, sys, time
        def agent():
            for task in os.listdir("/proc/self/task"):
                with open(f"/proc/self/task/{task}/comm") as name:
                    if name.read() == "reftracer\\n":
                        return task
        while (task := agent()) is None:
            time.sleep(0.001)
        print(task, os.getpid(), flush=True)
        sys.stdin.readline()
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        print("forked")
        """
    )
    seize, wait_for_threads = 0x4206, 0x40000000  # PTRACE_SEIZE, __WALL
    traced = subprocess.Popen(
        [command, "run", "-q", "-o", tmp_path / "trace.rft", "--", python, "-W", "always", source.path],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        task, pid = map(int, traced.stdout.readline().split())
        if ctypes.CDLL(None, use_errno=True).ptrace(seize, task, None, None) != 0:
            pytest.skip("not permitted to trace a process")
        traced.stdin.write(b"\n")
        traced.stdin.flush()
        stat = Path(f"/proc/{pid}/task/{task}/stat")
        wait_for(lambda: stat.read_text().rpartition(") ")[2][0] == "Z", "the thread's end")
        select.select([traced.stdout], [], [], 0.3)  # who does not wait is through with it
        os.waitpid(task, wait_for_threads)
        said, errors = traced.communicate(timeout=TIMEOUT)
    finally:
        traced.kill()
    assert (traced.returncode, said, errors) == (0, b"forked\n", b"")


def test_a_process_that_closes_all_descriptors_goes_on(python, trace, program):
    """As daemons do; the numbers are then used for files of the program's."""
    source = program(
        """
        import os, time
        kept = [Thing() for _ in range(10)]
        os.closerange(3, 4096)
        files = [open(f"file{n}", "w+b") for n in range(300)]
        time.sleep(0.4)
        kept += [Thing() for _ in range(10)]
        print({os.fstat(f.fileno()).st_size for f in files})
        """
    )
    traced = trace(python, source.path)
    assert (traced.status, traced.stdout) == (0, b"{0}\n"), traced.stderr
    assert_balanced(traced.report)


def test_closed_stderr(python, trace, program):
    source = program(
        """
        import os, sys
        kept = [Thing() for _ in range(100)]
        try:
            os.write(2, b"text for nobody")
        except OSError as error:
            print(error.errno)
        print(sys.stderr)
        """
    )
    plain = source_run(python, source.path, preexec_fn=lambda: os.close(2), stderr=None)
    traced = trace(python, source.path, preexec_fn=lambda: os.close(2), stderr=None)
    assert traced.status == 0
    assert traced.stdout == plain.stdout
    assert_exact(traced.report)
    assert things(traced.report) == (100, 0, 100)


def test_a_working_folder_where_nothing_can_be_written(python, trace, program):
    source = program("kept = [Thing() for _ in range(100)]")
    traced = trace(python, source.path, cwd="/proc/self")
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert things(traced.report) == (100, 0, 100)


def limit(which, value):
    def apply():
        import resource

        resource.setrlimit(getattr(resource, which), (value, value))

    return apply


@pytest.mark.parametrize("megabytes", [100, 200, 400, 1000, 4000])
def test_a_limited_address_space(python, trace, program, megabytes):
    """Too small an address space is said; the program runs in any case."""
    source = program(
        """
        kept = [Thing() for _ in range(1000)]
        print("done")
        """
    )
    set_limit = limit("RLIMIT_AS", megabytes << 20)
    plain = source_run(python, source.path, preexec_fn=set_limit)
    if plain.returncode != 0:
        pytest.skip("too small for this CPython itself")
    traced = trace(python, source.path, preexec_fn=set_limit)
    assert traced.stdout == b"done\n", traced.stderr
    if traced.status == 0:
        assert_exact(traced.report)
        assert things(traced.report) == (1000, 0, 1000)
    else:
        assert traced.status == 125
        assert b"address space" in traced.stderr


def test_memory_that_runs_out_while_tracing(python, trace, program):
    source = program(
        """
        import resource
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20),) * 2)
        kept = []
        reserve = bytearray(4 << 20)
        def fill():
            while True:
                kept.append([None] * 100)
        try:
            fill()
        except MemoryError:
            del reserve
            del kept[100:]
        print(len(kept))
        """
    )
    traced = trace(python, source.path)
    assert (traced.status, traced.stdout) == (0, b"100\n"), traced.stderr
    assert_balanced(traced.report)


MANY_SITES = """
import sys
space = {}
for n in range(4000):
    exec(compile(f"def f{n}(): return [Thing(), 'x' * {n}]\\nkept{n} = f{n}()", f"<file {n}>",
                 "exec"), {"Thing": Thing}, space)
print("done")
"""


def assert_stopped_early(report):
    assert not report["exact"]
    assert any("stopped before" in reason for reason in report["exact_reasons"])
    assert not any("killed" in reason for reason in report["exact_reasons"])


def test_a_full_disk_stops_the_trace_and_not_the_program(python, trace, program, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("not permitted to mount a small file system")
    try:
        source = program(MANY_SITES)
        traced = trace(python, source.path, output=folder / "trace.rft")
        assert (traced.status, traced.stdout) == (0, b"done\n"), traced.stderr
        assert b"No space left on device" in traced.stderr
        assert_balanced(traced.report)
        assert_stopped_early(traced.report)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)  # whoever still has it open


def test_a_limit_of_file_size_stops_the_trace_and_not_the_program(python, trace, program):
    source = program(MANY_SITES)
    traced = trace(python, source.path, preexec_fn=limit("RLIMIT_FSIZE", 40960))
    assert (traced.status, traced.stdout) == (0, b"done\n"), traced.stderr
    assert b"File too large" in traced.stderr
    assert_balanced(traced.report)
    assert_stopped_early(traced.report)


# A program that lets SIGPIPE end it, as command-line tools do, too.
@pytest.mark.parametrize("prelude", ["", "import signal; signal.signal(signal.SIGPIPE, signal.SIG_DFL)"],
                         ids=["ignored", "default"])
def test_a_reader_of_stderr_that_is_gone_changes_no_status(command, python, program, tmp_path, prelude):
    source = program(prelude + "\nraise SystemExit(7)")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [command, "run", "-o", tmp_path / "trace.rft", "--", python, source.path],
            stderr=writer, preexec_fn=limit("RLIMIT_FSIZE", 4096), timeout=TIMEOUT,
        )
    finally:
        os.close(writer)
    assert done.returncode == 7


@pytest.mark.free_threaded
@pytest.mark.parametrize("flags", [["-I"], ["-S"], ["-E"], ["-O"], ["-B"], ["-u"], ["-X", "dev"]], ids="".join)
def test_flags_of_the_interpreter(python, trace, program, flags):
    source = program("kept = [Thing() for _ in range(100)]")
    traced = trace(python, *flags, source.path)
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert things(traced.report) == (100, 0, 100)


def test_another_user(python, trace, program, command_for_all):
    """The command and the program run as nobody, in a folder of nobody's."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    import pwd
    import shutil
    import tempfile

    nobody = pwd.getpwnam("nobody")
    folder = Path(tempfile.mkdtemp())
    try:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        source = Program(folder / "program.py", THING + "kept = [Thing() for _ in range(100)]\n")

        def become():
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)

        plain = source_run(python, source.path, preexec_fn=become, cwd=folder)
        if plain.returncode != 0:
            pytest.skip("another user can't run this CPython")
        traced = trace(
            python,
            source.path,
            preexec_fn=become,
            cwd=folder,
            output=folder / "trace.rft",
            command=command_for_all,
        )
        assert traced.status == 0, traced.stderr
        assert (folder / "trace.rft").stat().st_uid == nobody.pw_uid
        assert things(traced.report) == (100, 0, 100)
    finally:
        shutil.rmtree(folder)


def test_the_trace_is_readable_by_its_owner_only(python, trace, program):
    source = program(
        """
        import os
        if os.fork() == 0:
            kept = [Thing() for _ in range(10)]
            os._exit(0)
        os.wait()
        """
    )
    traced = trace(python, source.path, preexec_fn=lambda: os.umask(0))
    files = list(traced.path.parent.glob("*.rft"))
    assert len(files) == 2
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


# Time


@pytest.mark.free_threaded
def test_ages_tell_at_once_from_later(python, trace, program):
    source = program(
        """
        import time
        def at_once():
            for _ in range(1000):
                Thing()  # at once
        def later():
            kept = [Thing() for _ in range(100)]  # later
            time.sleep(1.2)
            # A thread looks at the clock each 256 births at least. The agent's, which has it look
            # sooner, may have had no processor for as long as the program.
            others = [float(number) for number in range(300)]
        at_once()
        later()
        """
    )
    report = trace(python, source.path).report
    assert_exact(report)
    (at_once,) = born_at(report, "__main__.Thing", source.path, source.line("at once"))
    (later,) = born_at(report, "__main__.Thing", source.path, source.line("later"))
    # Not all: now and then the clock moves on between a birth and its death.
    assert at_once["died_at_once"] > 800
    assert later["died_at_once"] == 0


def test_nothing_grows_in_a_program_that_does_nothing(python, trace):
    traced = trace(python, "-c", "import time; time.sleep(1)")
    assert traced.status == 0, traced.stderr
    assert_exact(traced.report)
    assert traced.report["growing"] == []


def without_addresses(output):
    return re.sub(rb"0x[0-9a-f]+", b"0x", output)


def source_run(python, *arguments, **options):
    """Runs the program untraced."""
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("cwd", None)
    options.setdefault("timeout", TIMEOUT)
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    if options["cwd"] is None:
        options["cwd"] = Path(arguments[0]).parent if arguments else None
    return subprocess.run(
        [str(python), *map(str, arguments)], stdout=subprocess.PIPE, **options
    )
