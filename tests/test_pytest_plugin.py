"""pytest --reftracer: tests that leak fail, with a text that says what; clean ones pass."""

import json
import os
import re
from pathlib import Path

import pytest
from conftest import BUILD, ROOT, run_command
from environments import environment
from library_build import compile_extension

PROGRAMS = ROOT / "tests" / "programs" / "pytest_plugin"
REQUIREMENTS = PROGRAMS / "requirements.txt"

# What each test that leaks is accused of, per run.
LEAKS = {
    "test_fixture_that_leaks": "1 object per run: 1 × app.Listener",
    "test_module_cache": "2 objects per run: .*bytearray.*",
    "test_parametrised[kept]": "1 object per run: 1 × app.Listener",
    "test_async": "1 object per run: 1 × app.Listener",
    "test_anyio": "1 object per run: 1 × app.Listener",
    "test_class_registry": "1 object per run: 1 × app.Plugin",
    "test_keeps_its_instance": "1 object per run: 1 × test_leaks.TestRegistry",
    "test_fixture_of_the_module": "1 object per run: 1 × list",
    "test_signal_handlers": "1 object per run: 1 × object",
    "test_logging_handler": r"\d+ objects per run: 1 × logging.NullHandler",
    "test_class_that_stays": r"\d+ objects per run: 1 × type",
    "test_exception_with_traceback": r"\d+ objects per run: 1 × ValueError",
    "test_c_extension": "1 object per run: 1 × list",
    "test_unittest": "1 object per run: 1 × app.Listener",
    "test_more_than_allowed": "2 objects per run: 2 × app.Listener",
    "test_cycle_that_is_held": "3 objects per run: 1 × test_leaks.Parent",
}


@pytest.fixture(scope="module")
def pytest_python(python):
    """An environment's python with pytest and its plugins; made once and kept in the cache."""
    return environment(python, f"pytest-{python.name}", REQUIREMENTS)


@pytest.fixture(scope="module")
def extension(python, tmp_path_factory):
    """The folder of the module `faults`, whose functions leak in C."""
    folder = tmp_path_factory.mktemp("extension")
    compile_extension(python, folder / "faults.so", ROOT / "tests/programs/refcounts/faults.c")
    return folder


def run(python, *arguments, cwd=PROGRAMS, path=(), plugin=True):
    """pytest with the plugin of this checkout, in a process of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "python", *path, PROGRAMS))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "REFTRACER_COMMAND": str(BUILD / "reftracer"),
        "COLUMNS": "200",
    }
    given = ["-p", "reftracer.pytest_plugin"] if plugin else []
    done = run_command(
        [python, "-m", "pytest", "-p", "no:cacheprovider", "-rA", *given, *arguments],
        cwd=cwd, env=environment,
    )  # fmt: skip
    done.stdout = done.stdout.decode()
    assert "INTERNALERROR" not in done.stdout, done.stdout
    return done


def outcomes(text):
    """{test: (outcome, message)} of pytest's short summary."""
    found = {}
    for outcome, test, message in re.findall(
        r"^(PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (\S+)(?: - (.*))?$", text, re.MULTILINE
    ):
        found.setdefault(test.rpartition("::")[2], (outcome, message))
    return found


def test_each_leak_is_found_and_told(pytest_python, extension):
    done = run(pytest_python, "--reftracer", "test_leaks.py", path=[extension])
    found = outcomes(done.stdout)
    assert found.pop("test_parametrised[dropped]")[0] == "PASSED"
    assert set(found) == set(LEAKS), done.stdout
    for test, (outcome, message) in found.items():
        assert outcome == "FAILED" and re.fullmatch("leaks " + LEAKS[test], message), done.stdout
    text = done.stdout
    assert re.search(
        r"1 × app.Listener per run\n"
        r"    born  app/__init__.py:16 in Bus.subscribe\n"
        r"          test_leaks.py:17 in subscribed\n"
        r"    held  module app → bus → Bus._listeners → list \[\d+\]\n", text), text  # fmt: skip
    assert re.search(r"    held  module app → Plugin → Plugin.registry → list \[\d+\]", text), text
    assert re.search(r"1 × ValueError per run\n(.*\n)*    with  2 × frame", text), text
    assert re.search(r"1 × test_leaks.TestRegistry per run\n    born  by pytest, for the test\n"
                     r"    held  module app → errors → list", text), text  # fmt: skip
    assert "    held  fixture names → list [" in text, text
    # What C code has is the first of a chain, not the object itself.
    assert "    held  C code → function (default __defaults__) → tuple [0] → list [" in text, text
    assert "17 of 17 tests measured, 16 leaking." in text
    assert re.search(r"1 × list per run\n    born  test_leaks.py:\d+ in test_c_extension\n"
                     r"    held  by C code: it has 1 reference, and no", text), text  # fmt: skip


def test_clean_tests_are_not_accused(pytest_python):
    done = run(pytest_python, "--reftracer", "test_clean.py")
    found = outcomes(done.stdout)
    assert {outcome for outcome, _ in found.values()} == {"PASSED"}, done.stdout
    assert "30 of 31 tests measured, 0 leaking." in done.stdout
    assert "the cache of re" in done.stdout and "maxsize=64" in done.stdout
    # What a test recorded or printed, it did once.
    assert done.stdout.count("Captured stdout call") == 0


def test_whoever_runs_the_tests_they_are_measured(pytest_python):
    """A flaky test keeps its further chances, a leak is no flaw that goes away, and subtests are
    told once."""
    done = run(pytest_python, "--reftracer", "-q", "--reruns", "2", "test_drivers.py")
    found = outcomes(done.stdout)
    leaks = {
        "test_passes_the_third_time_and_leaks": "leaks 1 object per run: 1 × app.Listener",
        "test_subtests_that_leak": "leaks 2 objects per run: 2 × app.Listener",
    }
    assert {test: text for test, (outcome, text) in found.items() if outcome == "FAILED"} == leaks
    assert found["test_passes_the_third_time"][0] == "PASSED"
    assert "5 of 5 tests measured, 2 leaking." in done.stdout, done.stdout
    # Each leak stands in the list once, however often the test was run.
    assert len(re.findall(r"test_drivers.py::\w+  \(", done.stdout)) == 2, done.stdout
    assert "8 subtests passed" in done.stdout, done.stdout


def test_outcomes_are_those_of_the_first_run(pytest_python):
    plain = run(pytest_python, "test_outcomes.py").stdout
    done = run(pytest_python, "--reftracer", "test_outcomes.py")
    assert outcomes(done.stdout) == outcomes(plain)
    # Of fixtures that end badly too, though the test itself has passed.
    assert re.findall("^ERROR .*", done.stdout, re.M) == re.findall("^ERROR .*", plain, re.M)
    assert "test_passes_once: not measured: run again, it failed in its call: Assertion" in done.stdout
    assert "test_skips_the_second_time: not measured: run again, it skipped" in done.stdout


def test_workers_of_xdist_trace_for_themselves(pytest_python, tmp_path):
    done = run(pytest_python, "--reftracer", "-n", "2", "-k", "fixture_that or class_registry or test_json",
               f"--reftracer-report={tmp_path / 'traces'}")  # fmt: skip
    found = outcomes(done.stdout)
    failed = {test for test, (outcome, _) in found.items() if outcome == "FAILED"}
    assert failed == {"test_fixture_that_leaks", "test_class_registry"}, done.stdout
    assert "2 leaking" in done.stdout and "    born  app/__init__.py:16" in done.stdout
    traces = sorted(path.name for path in (tmp_path / "traces").iterdir())
    assert traces == ["pytest-gw0.rft", "pytest-gw1.rft"]


SUITE = """
import pytest
kept = []

class Node:
    pass

def test_one():
    kept.append(Node())

@pytest.mark.leaks(repeat=4, warmup=1)
def test_two():
    kept.append(Node())
"""


def suite(tmp_path, ini="", source=SUITE):
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n" + ini
    )
    return tmp_path


def test_limits_come_from_options_ini_file_module_and_marker(pytest_python, tmp_path):
    def verdicts(*options, ini="", source=SUITE):
        done = run(pytest_python, "--reftracer", *options, cwd=suite(tmp_path, ini, source))
        return {test: outcome for test, (outcome, _) in outcomes(done.stdout).items()}

    both = {"test_one": "FAILED", "test_two": "FAILED"}
    assert verdicts() == both
    assert verdicts(ini="reftracer_allowed = 1") == dict.fromkeys(both, "PASSED")
    assert verdicts(ini="reftracer_ignore = *.Node") == dict.fromkeys(both, "PASSED")
    assert verdicts(ini="reftracer_types = dict") == dict.fromkeys(both, "PASSED")
    assert verdicts(ini="reftracer_repeat = 0") == {"test_one": "PASSED", "test_two": "FAILED"}
    assert verdicts("--reftracer-repeat=0") == {"test_one": "PASSED", "test_two": "FAILED"}
    module = SUITE.replace("kept =", "pytestmark = pytest.mark.leaks(allowed=1)\nkept =")
    assert verdicts(source=module) == dict.fromkeys(both, "PASSED")
    closer = module.replace("warmup=1", "warmup=1, allowed=0")
    assert verdicts(source=closer) == {"test_one": "PASSED", "test_two": "FAILED"}


def test_a_marker_or_an_option_that_makes_no_sense_is_refused(pytest_python, tmp_path):
    source = SUITE.replace("repeat=4", "repeats=4")
    done = run(pytest_python, "--reftracer", cwd=suite(tmp_path, source=source))
    assert done.returncode != 0 and "the marker leaks has no repeats" in done.stdout + done.stderr.decode()


def test_without_the_option_nothing_is_imported_or_traced(pytest_python, tmp_path):
    source = SUITE + """
def test_nothing():
    import sys
    assert "reftracer._leaks" not in sys.modules
    assert not any("libreftracer" in line for line in open("/proc/self/maps"))
"""
    done = run(pytest_python, "--strict-markers", cwd=suite(tmp_path, source=source))
    assert done.returncode == 0, done.stdout
    assert "reftracer" not in done.stdout.partition("collected")[2]


def test_a_python_that_cannot_be_traced_says_so_and_runs_the_tests(pytest_python, tmp_path):
    (tmp_path / "old.py").write_text("import sys\nsys.implementation.name = 'pypy'\n")
    done = run(pytest_python, "-p", "old", "--reftracer", cwd=suite(tmp_path), path=[tmp_path])
    assert done.returncode == 0, done.stdout
    assert "Not traced, the tests ran as usual: pypy has no reference tracer" in done.stdout


def test_the_trace_is_kept_and_can_be_read(pytest_python, tmp_path, reftracer):
    folder = tmp_path / "new" / "traces"
    done = run(pytest_python, "--reftracer", f"--reftracer-report={folder}", cwd=suite(tmp_path))
    assert f"Traces: {folder}" in done.stdout
    read = reftracer("report", "--json", "--filter", "test_it", folder / "pytest.rft")
    assert read.returncode == 0, read.stderr
    assert any(site["type"] == "test_it.Node" for site in json.loads(read.stdout)["sites"])


def test_a_trace_that_runs_already_is_used(pytest_python, tmp_path, reftracer):
    trace = tmp_path / "outer.rft"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = reftracer("run", "-o", trace, "--", pytest_python, "-m", "pytest", "-p",
                     "reftracer.pytest_plugin", "--reftracer", cwd=suite(tmp_path),
                     env={**environment, "REFTRACER_COMMAND": str(BUILD / "reftracer")})  # fmt: skip
    assert b"2 of 2 tests measured, 2 leaking." in done.stdout, done.stdout
    # All of pytest's own places, with whole stacks, would be 900 MB.
    read = reftracer("report", "--json", "--filter", "test_it", trace)
    assert any(site["type"] == "test_it.Node" for site in json.loads(read.stdout)["sites"])


def test_doctests_are_measured(pytest_python, tmp_path):
    """Each of their runs has the module's names, which a run clears."""
    source = '''
kept = []

def leaks():
    """
    >>> kept.append([1])
    """

def clean():
    """
    >>> sorted(kept[:0] + [2, 1])
    [1, 2]
    """
'''
    done = run(pytest_python, "--reftracer", "--doctest-modules", cwd=suite(tmp_path, source=source))
    found = {test: outcome for test, (outcome, _) in outcomes(done.stdout).items()}
    assert found == {"test_it.leaks": "FAILED", "test_it.clean": "PASSED"}, done.stdout
    assert "2 of 2 tests measured, 1 leaking." in done.stdout, done.stdout


NAMES = """
class A: pass
def test_names_are_looked_up():
    for i in range(40):
        getattr(A(), "visit_%d" % i, None)
"""

NO_LOOK_THROUGH_THE_HEAP = """
import reftracer._leaks
def look(*given): raise AssertionError("looked through the heap for a name")
reftracer._leaks._is_name_looked_up = look
"""


def test_names_that_were_looked_up_cost_no_look_through_the_heap(pytest_python, tmp_path):
    (tmp_path / "test_names.py").write_text(NAMES)
    (tmp_path / "no_look.py").write_text(NO_LOOK_THROUGH_THE_HEAP)
    done = run(pytest_python, "--reftracer", "-p", "no_look", "test_names.py",
               cwd=tmp_path, path=[tmp_path])  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "the cache of attribute look-ups" in done.stdout


PARTIAL = """
from reftracer._holders import parse

def surplus(partial):
    answer = f"heap\\t90000\\t0\\t5000\\t{partial}\\nobject\\tapp.Node\\t2\\t0\\t0\\n"
    return parse(answer + "path\\nstep\\troot module\\t\\tapp\\t\\t\\n").surplus

assert (surplus(0), surplus(1)) == (2, 0)
"""


def test_nothing_is_said_of_c_code_if_there_was_too_little_time(python):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    done = run_command([python, "-c", PARTIAL], env=environment)
    assert done.returncode == 0, done.stderr


BOUNDED = """
recent = []

def test_keeps_the_last_ten():
    recent.append([len(recent)])
    del recent[:-10]
"""

SLOW_JUDGEMENT = """
import types
import reftracer._leaks as leaks

clock = 0.0
def held_by_caches(groups, judge=leaks.held_by_caches):
    global clock
    clock += 100
    return judge(groups)

leaks.held_by_caches = held_by_caches
leaks.time = types.SimpleNamespace(process_time=lambda: 0.0, monotonic=lambda: clock)
"""


def test_a_judgement_that_takes_long_takes_no_run_from_a_test(pytest_python, tmp_path):
    """As where others use the processors: the runs tell a leak from what keeps the last ten."""
    (tmp_path / "slow_judgement.py").write_text(SLOW_JUDGEMENT)
    done = run(pytest_python, "--reftracer", "-p", "slow_judgement",
               cwd=suite(tmp_path, source=BOUNDED), path=[tmp_path])  # fmt: skip
    assert "1 of 1 test measured, 0 leaking." in done.stdout, done.stdout
