"""CPython's own tests pass or fail traced as they do untraced, and while they do all that
a Python program can do, births - deaths stays equal to live.

REFTRACER_TEST_FULL=1 runs the long ones too, and each module whole."""

import os
import re
import subprocess

import pytest
from sites import assert_balanced, assert_exact

FULL = bool(os.environ.get("REFTRACER_TEST_FULL"))

# Module, and in a normal run only these of its test classes (None: none of it).
ALL = ()
MODULES = {
    "test_asyncgen": ALL,
    "test_asyncio.test_events": None,
    "test_asyncio.test_futures": ALL,
    "test_asyncio.test_locks": ALL,
    "test_asyncio.test_queues": ALL,
    "test_asyncio.test_runners": ALL,
    "test_asyncio.test_streams": ALL,
    "test_asyncio.test_taskgroups": None,
    "test_asyncio.test_tasks": ("CTask_CFuture_Tests",),
    "test_asyncio.test_timeouts": ALL,
    "test_atexit": ALL,
    "test_bytes": ALL,
    "test_code": ALL,
    "test_collections": ALL,
    "test_concurrent_futures.test_thread_pool": None,
    "test_context": ALL,
    "test_coroutines": ALL,
    "test_csv": ALL,
    "test_ctypes": ALL,
    "test_dataclasses": ALL,
    "test_decimal": None,
    "test_deque": ALL,
    "test_descr": None,
    "test_dict": ALL,
    "test_enum": None,
    "test_exceptions": ALL,
    "test_finalization": ALL,
    "test_float": ALL,
    "test_frame": ALL,
    "test_functools": ALL,
    "test_gc": ALL,
    "test_generators": ALL,
    "test_import": None,
    "test_int": ALL,
    "test_interpreters": None,
    "test__interpreters": ALL,
    "test__interpchannels": ALL,
    "test_io": ("CBufferedReaderTest", "CTextIOWrapperTest", "CMiscIOTest"),
    "test_itertools": None,
    "test_json": ("TestCDump", "TestCScanstring", "TestCRecursion", "TestCPass1", "TestCEncode"),
    "test_list": ALL,
    "test_long": None,
    "test_memoryview": ALL,
    "test_monitoring": ALL,
    "test_multiprocessing_fork.test_processes": (
        "WithProcessesTestQueue",
        "WithProcessesTestProcess",
    ),
    "test_multiprocessing_fork.test_manager": None,
    "test_multiprocessing_fork.test_misc": None,
    "test_multiprocessing_fork.test_threads": None,
    "test_multiprocessing_forkserver.test_misc": None,
    "test_multiprocessing_spawn.test_misc": None,
    "test_ordered_dict": ALL,
    "test_pickle": None,
    "test_queue": None,
    "test_re": ALL,
    "test_sched": ALL,
    "test_selectors": None,
    "test_set": ALL,
    "test_signal": None,
    "test_sqlite3": ALL,
    "test_ssl": ("BasicSocketTests", "ContextTests", "SSLErrorTests", "MemoryBIOTests"),
    "test_str": None,
    "test_struct": ALL,
    "test_subprocess": None,
    "test_sys_setprofile": ALL,
    "test_sys_settrace": ALL,
    "test_thread": ALL,
    "test_threading": ("ThreadTests",),
    "test_threading_local": ALL,
    "test_traceback": None,
    "test_tuple": ALL,
    "test_typing": ALL,
    "test_unittest": ("Test_Assertions", "Test_TestCase", "Test_TestSuite", "Test_TestLoader"),
    "test_weakref": ALL,
    "test_weakset": ALL,
    "test_xml_etree": None,
    "test_zipfile": None,
    "test_zlib": ALL,
}

# Tests that fail now and then untraced too, so they tell nothing of us.
RACES_OF_THEIR_OWN = {
    # A signal that comes when the child has set the event but does not sleep yet is seen only
    # after the 100 seconds of its sleep, and the test waits for 30: 5 of 23 runs of 3.15.2.
    "test_multiprocessing_fork.test_processes": ("test_interrupt",),
}

SELECTED = [name for name, classes in MODULES.items() if FULL or classes is not None]


def outcome(output):
    """How many tests ran, failed and were skipped: the line that regrtest ends with."""
    found = re.search(rb"^Total tests: .*$", output, re.MULTILINE)
    return found[0].decode() if found else output[-2000:].decode(errors="replace")


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("module", SELECTED)
def test_cpythons_own_tests_are_not_disturbed(python, trace, read_report, tmp_path, module):
    arguments = ["-m", "test", "-q", module]
    if not FULL:
        for name in MODULES.get(module, ALL):
            arguments += ["-m", name]
    for name in RACES_OF_THEIR_OWN.get(module, ()):
        arguments += ["-i", name]
    traced = trace(python, *arguments, cwd=tmp_path, timeout=1000)
    if traced.status != 0 or FULL:
        untraced = subprocess.run(
            [str(python), *arguments],
            cwd=tmp_path,
            # test_subprocess leaves out a test of vfork where anything is preloaded.
            env={**os.environ, "LD_PRELOAD": "libdl.so.2"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        said = traced.stdout + traced.stderr
        assert (traced.status, outcome(said)) == (
            untraced.returncode,
            outcome(untraced.stdout),
        ), said[-4000:].decode(errors="replace")
    # The sums are over all sites; to write out every site would take much longer.
    report = read_report(traced.path, options=["--top", "100"]).report
    assert_exact(report)
    for path in traced.child_paths:
        child = read_report(path, options=["--top", "100"])
        # A child that its parent kills as soon as it starts leaves a trace without records.
        if child.status == 1 and b"killed before" in child.stderr:
            continue
        assert_balanced(child.report)


FREE_THREADED = ["test_gc", "test_thread", "test_free_threading.test_type", "test_free_threading.test_list"]


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("module", SELECTED if FULL else FREE_THREADED)
def test_a_free_threaded_cpythons_own_tests_are_not_disturbed(
    free_threaded_python, trace, read_report, tmp_path, module
):
    test_cpythons_own_tests_are_not_disturbed(
        free_threaded_python, trace, read_report, tmp_path, module
    )


LOSING = SELECTED if FULL else ["test_coroutines", "test_gc", "test_ordered_dict", "test_weakref"]


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("module", LOSING)
def test_a_cpython_that_loses_deaths_passes_too_and_losses_are_stated(
    losing_python, trace, read_report, tmp_path, module
):
    if subprocess.run([losing_python, "-c", f"import test.{module}"], cwd=tmp_path).returncode:
        pytest.skip(f"this CPython has no test.{module}")
    traced = trace(
        losing_python, "-m", "test", "-q", module, cwd=tmp_path, timeout=1000
    )
    assert traced.status == 0, traced.stdout[-4000:].decode(errors="replace")
    report = read_report(traced.path, options=["--top", "100"]).report
    assert report["exact"] is False
    assert report["losses"]["inferred_deaths"] > 0
    assert_balanced(report)


def test_forty_modules_are_run():
    assert len(SELECTED) >= 40
