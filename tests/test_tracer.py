"""reftracer/tracer.h in each CPython: rows TR1 to TR11 of docs/CONFORMANCE.md.

Programs load tests/library/tracer_driver.c with ctypes; `d` is that library. What has no
CPython in it is in tests/unit/stress_share.c."""

import textwrap

import pytest
from conftest import ROOT, run_command
from library_build import compile_c

pytestmark = pytest.mark.free_threaded

PRELUDE = """
import ctypes, gc, itertools, os, sys, threading, time
d = ctypes.PyDLL(sys.argv[1])
outside = ctypes.CDLL(sys.argv[1])  # calls that give up the GIL
for name in ("births", "deaths", "removals", "wrong", "watched_deaths"):
    getattr(d, "seen_" + name).restype = ctypes.c_long
    getattr(d, "seen_" + name).argtypes = [ctypes.c_void_p]
d.seen_new.restype = ctypes.c_void_p
d.seen_watch.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
for library in d, outside:
    for name in ("driver_set", "cpython_set", "driver_add", "driver_remove", "foreign_set",
                 "foreign_is_in_slot", "driver_stubborn", "driver_outside"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    for name in ("driver_get", "cpython_get"):
        getattr(library, name).argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.driver_state.restype = library.changers_stop.restype = ctypes.c_long
    library.changers_changes.restype = ctypes.c_long
    library.last_message.restype = library.driver_outside.restype = ctypes.c_char_p
def state(what):
    return outside.driver_state(what.encode())
class Thing:
    pass
def make(count):
    for _ in itertools.repeat(None, count):  # makes no objects itself
        Thing()
def until(condition):
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)
LOSES = {}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    source = ROOT / "tests" / "library" / "tracer_driver.c"
    return compile_c(source, tmp_path_factory.mktemp("tracer") / "driver.so")


@pytest.fixture
def program(driver, tmp_path):
    """Runs a program with the driver; its assertions are the test's."""

    def run(python, text, expected=b"done\n", **more):
        path = tmp_path / "program.py"
        losing = repr(getattr(python, "loses_deaths", False))
        path.write_text(
            PRELUDE.replace("LOSES = {}", f"LOSES = {losing}")
            + textwrap.dedent(text)
            + "print('done')\n"
        )
        done = run_command([python, path, driver], **more)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr.decode()
        return done

    return run


def test_TR1_each_birth_and_each_death_once(any_python, program):
    program(
        any_python,
        """
        gc.collect()  # garbage of the start would die in between
        seen = d.seen_new()
        assert d.driver_set(seen) == 0
        make(10000)
        things = [Thing() for _ in itertools.repeat(None, 1000)]
        d.seen_watch(seen, id(things[0]))
        del things
        assert d.driver_set(None) == 0
        births, deaths = d.seen_births(seen), d.seen_deaths(seen)
        assert d.seen_wrong(seen) == 0
        assert 11000 <= births <= 11100, births
        assert LOSES or abs(births - deaths) < 50, (births, deaths)
        assert d.seen_watched_deaths(seen) == 1
        """,
    )


ORACLE = """
        def answers(set, get):
            a, b = d.seen_new(), d.seen_new()
            result = [get(a, 1), set(a), get(a, 1), get(a, 0), get(b, 1)]
            make(100)
            result += [set(b), get(b, 1), get(a, 1), set(b), get(b, 1), set(None), get(b, 1), get(b, 0)]
            result += [set(None), get(b, 1), d.seen_births(a) >= 100, d.seen_births(b) >= 0]
            return result
        ours = answers(d.driver_set, d.driver_get)
        theirs = answers(d.cpython_set, d.cpython_get)
        assert ours == theirs, (ours, theirs)
        """


def test_TR2_TR3_set_and_get_answer_as_cpythons(any_python, program):
    program(any_python, ORACLE)


def test_TR4_without_a_thread_state_there_is_an_error_and_no_crash(any_python, program):
    program(
        any_python,
        """
        seen = d.seen_new()
        # set, get, add, remove, state; 13 is RFT_ERROR_NO_THREAD_STATE
        assert d.driver_outside(seen) == b"-13 -13 -13 0 1", d.driver_outside(seen)
        assert outside.driver_set(seen) == -13
        assert b"PyGILState_Ensure" in outside.last_message()
        assert outside.driver_get(seen, 0) == -13
        assert d.driver_set(seen) == 0
        # Once the slot is known, adding and removing need no thread state.
        assert d.driver_outside(d.seen_new()) == b"-13 -13 0 0 1"
        make(100)
        assert d.seen_births(seen) >= 100
        """,
    )


def test_TR5_a_tracer_is_told_that_it_is_removed(any_python, program):
    program(
        any_python,
        """
        a, b, c = d.seen_new(), d.seen_new(), d.seen_new()
        assert d.driver_set(a) == 0
        assert d.seen_removals(a) == 0
        assert d.driver_set(b) == 0
        assert (d.seen_removals(a), d.seen_removals(b)) == (1, 0)
        births = d.seen_births(a)
        make(100)
        assert d.seen_births(a) == births
        assert d.driver_set(b) == 0      # also when it replaces itself
        assert d.seen_removals(b) == 1
        assert d.driver_set(None) == 0
        assert d.seen_removals(b) == 2
        assert d.driver_add(c) == 0 and d.driver_remove(c) == 0
        assert (d.seen_removals(c), d.seen_wrong(a), d.seen_wrong(c)) == (1, 0, 0)
        assert d.driver_remove(c) == -3  # RFT_ERROR_ARGUMENT
        assert d.driver_stubborn(d.seen_new()) == 0  # one that raises stays
        """,
    )


def test_TR6_an_older_cpython_is_refused_by_name(old_python, program):
    program(
        old_python,
        """
        version = "%d.%d.%d" % sys.version_info[:3]
        for call in d.driver_set, d.driver_add:
            assert call(d.seen_new()) == -12  # RFT_ERROR_UNSUPPORTED
            message = d.last_message().decode()
            assert "CPython " + version in message and "3.13" in message, message
        assert d.driver_get(None, 1) == -12
        assert state("version") == -12
        """,
    )


def test_TR6_a_release_that_loses_deaths_is_known(any_python, program):
    program(
        any_python,
        """
        assert state("version") == sys.hexversion
        issue = d.last_message().decode()
        assert bool(issue) == LOSES, issue
        if LOSES:
            assert ("gh-130382" if sys.version_info < (3, 13, 3) else "gh-156371") in issue
        """,
    )


def test_TR6_lost_deaths_are_proved_in_a_trace(losing_python, trace, tmp_path):
    source = tmp_path / "program.py"
    source.write_text("for i in range(200000):\n    float(i) + 0.5\n")
    report = trace(losing_python, source).report
    assert report["exact"] is False
    assert any("gh-" in text for text in _texts(report))


def test_TR7_subscribers_come_and_go_while_events_flow(any_python, program):
    program(
        any_python,
        """
        staying = d.seen_new()
        assert d.driver_add(staying) == 0
        before = d.seen_births(staying)
        outside.changers_start()
        threads = [threading.Thread(target=make, args=(20000,)) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        until(lambda: make(1000) or outside.changers_changes() > 8)
        changes = outside.changers_stop()
        assert changes > 8, changes
        assert d.driver_remove(staying) == 0
        assert d.seen_births(staying) - before >= 80000
        assert d.seen_wrong(staying) == 0
        assert state("subscribers") == 0
        """,
    )


def test_TR7_each_subscriber_sees_each_event(any_python, program):
    program(
        any_python,
        """
        seen = [d.seen_new() for _ in range(20)]
        for s in seen: assert d.driver_add(s) == 0
        first = d.seen_births(seen[0]), d.seen_births(seen[19])
        make(1000)
        last = d.seen_births(seen[0]), d.seen_births(seen[19])
        assert 1000 <= last[0] - first[0] <= 1020
        assert abs((last[0] - first[0]) - (last[1] - first[1])) <= 8
        for s in seen[::2] + seen[1::2]: assert d.driver_remove(s) == 0
        assert all(d.seen_wrong(s) == 0 and d.seen_removals(s) == 1 for s in seen)
        """,
    )


def test_TR8_a_tool_that_was_there_before_keeps_its_events_and_its_place(any_python, program):
    program(
        any_python,
        """
        foreign, ours = d.seen_new(), d.seen_new()
        assert d.foreign_set(foreign) == 0
        assert d.driver_add(ours) == 0
        assert state("foreign") == 1
        before = d.seen_births(foreign), d.seen_births(ours)
        make(1000)
        assert d.seen_births(foreign) - before[0] >= 1000
        assert d.seen_births(ours) - before[1] >= 1000
        assert d.driver_remove(ours) == 0
        assert d.seen_removals(foreign) == 0
        assert d.foreign_is_in_slot(foreign) == 1
        make(1000)
        assert d.seen_births(foreign) - before[0] >= 2000
        d.foreign_set(None)
        """,
    )


def test_TR9_the_slot_is_taken_again_and_the_gap_is_counted(any_python, program):
    program(
        any_python,
        """
        foreign, ours = d.seen_new(), d.seen_new()
        assert d.driver_add(ours) == 0
        for gap in range(1, 6):
            start = time.monotonic_ns()
            assert d.foreign_set(foreign if gap % 2 else None) == 0
            until(lambda: state("gaps") == gap and state("in_slot") == 1)
            assert state("gap_ns") > 0
            assert state("foreign") == gap % 2
            before = d.seen_births(ours), d.seen_births(foreign)
            make(1000)
            assert d.seen_births(ours) - before[0] >= 1000
            assert (d.seen_births(foreign) - before[1] >= 1000) == (gap % 2 == 1)
        assert d.driver_remove(ours) == 0
        assert d.foreign_is_in_slot(foreign) == 1
        if sys.version_info >= (3, 15):
            assert d.seen_removals(foreign) == 2  # told by CPython, through us
        """,
    )


def test_TR9_a_tool_that_sets_the_slot_in_a_loop_is_not_fought_endlessly(any_python, program):
    program(
        any_python,
        """
        foreign, ours = d.seen_new(), d.seen_new()
        assert d.driver_add(ours) == 0
        begun = time.monotonic()
        while time.monotonic() < begun + 2 or (state("gaps") == 0 and time.monotonic() < begun + 120):
            d.foreign_set(foreign)
            make(10)
            time.sleep(0.001)
        gaps, seconds = state("gaps"), time.monotonic() - begun
        assert 1 <= gaps <= 23 + 20 * seconds, (gaps, seconds)  # 20 a second
        assert state("gap_ns") > 0
        until(lambda: state("in_slot") == 1)
        before = d.seen_births(ours), d.seen_births(foreign)
        make(1000)
        assert d.seen_births(ours) - before[0] >= 1000
        assert d.seen_births(foreign) - before[1] >= 1000
        d.driver_remove(ours)
        assert d.foreign_is_in_slot(foreign) == 1
        """,
    )


def test_TR10_resurrection_and_resize_leave_the_count_exact(python, trace, tmp_path):
    source = tmp_path / "program.py"
    source.write_text(textwrap.dedent("""
        kept = []
        class Phoenix:
            def __del__(self):
                if len(kept) < 50:
                    kept.append(self)
        for _ in range(100):
            Phoenix()
        for i in range(100):
            text = b""
            for _ in range(20):
                text += b"0123456789"
    """))
    report = trace(python, source).report
    assert report["exact"] is True, report["losses"]


def test_TR10_lost_deaths_are_inferred_and_counted_apart(losing_python, trace, tmp_path):
    source = tmp_path / "program.py"
    source.write_text("for i in range(200000):\n    float(i) + 0.5\n")
    report = trace(losing_python, source).report
    assert "nferred" in str(report)


SUBINTERPRETERS = """
        if sys.version_info >= (3, 14):
            from concurrent import interpreters
            create, run, close = interpreters.create, lambda i, code: i.exec(code), lambda i: i.close()
        else:
            import _interpreters
            create = lambda: _interpreters.create("isolated")
            run, close = _interpreters.exec, _interpreters.destroy
        """


def test_TR11_sub_interpreters_with_their_own_gil(any_python, program):
    program(
        any_python,
        SUBINTERPRETERS
        + """
        seen = [d.seen_new() for _ in range(3)]
        for s in seen: assert d.driver_add(s) == 0
        outside.changers_start()
        def work():
            mine = create()
            run(mine, "for _ in range(30000): object()")
            close(mine)
        before = d.seen_births(seen[0])
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        until(lambda: make(1000) or outside.changers_changes() > 0)
        assert outside.changers_stop() > 0
        for s in seen: assert d.driver_remove(s) == 0
        assert all(d.seen_births(s) - before >= 120000 for s in seen)
        assert all(d.seen_wrong(s) == 0 for s in seen)
        """,
    )


def test_TR11_fork(any_python, program):
    program(
        any_python,
        """
        import warnings
        warnings.simplefilter("error")  # Python warns if a process with threads forks
        seen = d.seen_new()
        assert d.driver_add(seen) == 0
        for _ in range(20):
            child = os.fork()
            if child == 0:
                before = d.seen_births(seen)
                make(1000)
                time.sleep(0.06)
                make(100)
                assert d.seen_births(seen) - before >= 1100
                assert d.driver_remove(seen) == 0
                assert d.foreign_is_in_slot(None) == 2
                os._exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        before = d.seen_births(seen)
        make(1000)
        assert d.seen_births(seen) - before >= 1000
        time.sleep(0.06)
        make(1)  # the slot is looked after again
        d.foreign_set(None)
        until(lambda: state("in_slot") == 1)
        """,
    )


def test_TR11_a_thread_that_forks(any_python, program):
    program(
        any_python,
        """
        seen = d.seen_new()
        assert d.driver_add(seen) == 0
        def fork():
            make(10)
            child = os.fork()
            if child == 0:
                before = d.seen_births(seen)
                make(1000)
                os._exit(7 if d.seen_births(seen) - before >= 1000
                         and d.driver_remove(seen) == 0 else 1)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        statuses = []
        busy = threading.Thread(target=make, args=(200000,))
        busy.start()
        for _ in range(5):
            thread = threading.Thread(target=fork)
            thread.start()
            thread.join()
        busy.join()
        assert statuses == [7] * 5, statuses
        """,
    )


def test_TR11_finalize_and_initialize(any_python, driver, tmp_path):
    """In a library that is preloaded into this CPython, and runs before its main()."""
    embed = compile_c(
        ROOT / "tests" / "library" / "tracer_embed.c", tmp_path / "embed.so", driver,
        f"-Wl,-rpath,{driver.parent}",
    )  # fmt: skip
    prefix = run_command([any_python, "-c", "import sys; print(sys.base_prefix, end='')"]).stdout
    done = run_command(
        [any_python, "-c", "raise SystemExit('main() was reached')"],
        env={"LD_PRELOAD": str(embed), "PYTHONHOME": prefix.decode(), "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout) == (0, b"5 times\n"), done.stderr.decode()


def _texts(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def test_TR11_a_child_forked_in_a_thread_ends_with_that_thread(any_python, program):
    """Nobody calls exit() there: the thread that looks after the slot must not stay alone."""
    program(
        any_python,
        """
        import warnings
        warnings.simplefilter("ignore")  # the program itself has threads
        seen = d.seen_new()
        assert d.driver_add(seen) == 0
        is_watched = lambda: any(
            open(f"/proc/self/task/{task}/comm").read() == "reftracer-slot\\n"
            for task in os.listdir("/proc/self/task"))
        def work():
            child = os.fork()
            if child == 0:
                limit = time.monotonic() + 120
                while not is_watched() and time.monotonic() < limit:
                    make(1)
                    time.sleep(0.001)
                if not is_watched():
                    os._exit(1)
            else:
                assert os.waitpid(child, 0)[1] == 0
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert d.driver_remove(seen) == 0
        """,
    )
