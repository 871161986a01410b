"""Thread-specific storage beside CPython's own, and what threads leave behind.

Unit tests are in tests/unit/test_tss.c and stress_tss.c."""

import subprocess

import pytest
from conftest import BUILD, ROOT, run_command
from library_build import compile_c

COMPARE = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
for name in ("answers_of_reftracer", "answers_of_cpython"):
    getattr(library, name).restype = ctypes.c_char_p
    print(getattr(library, name)(sys.argv[2].encode()).decode())
"""

# What each step of a row answers: 0 and - are numbers, y and n truths.
ANSWERS = {
    "TS1": "nn0yn",
    "TS2": "yny",
    "TS3": "nyn",
    "TS4": "000y",
    "TS5": "00n0yyy",
    "TS6": "y0y0yy0y",
    "TS7": "yy0y0yy0y0y",
}


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory):
    source = ROOT / "tests" / "library" / "tss_scenarios.c"
    return compile_c(source, tmp_path_factory.mktemp("tss") / "scenarios.so")


@pytest.fixture(params=ANSWERS)
def row(request):
    return request.param


@pytest.mark.free_threaded
def test_TS11_answers_are_those_of_cpython(any_python, scenarios, row):
    done = run_command([any_python, "-c", COMPARE, scenarios, row])
    assert done.returncode == 0, done.stderr
    ours, theirs = done.stdout.decode().split()
    assert ours == theirs == ANSWERS[row]


def test_TS8_threads_leave_no_memory(tmp_path):
    program = compile_c(ROOT / "tests" / "library" / "tss_threads.c", tmp_path / "threads")
    done = subprocess.run(
        ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=all",
         "--errors-for-leak-kinds=all", "--error-exitcode=9", program, "10000"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Values at the end, destructors run, and pages that were mapped meanwhile.
    assert done.stdout == "0 values, 10000 destroyed, 0 more mappings\n"


def test_TS7_the_library_needs_no_python(tmp_path):
    """The program has none: libreftracer finds CPython at run time, if there is one."""
    needed = subprocess.run(
        ["readelf", "--wide", "-d", BUILD / "libreftracer.so"],
        stdout=subprocess.PIPE, check=True, text=True,
    ).stdout  # fmt: skip
    assert "python" not in needed
    program = compile_c(ROOT / "tests" / "library" / "tss_threads.c", tmp_path / "threads")
    done = run_command([program, "10"])
    assert (done.returncode, done.stdout) == (0, b"0 values, 10 destroyed, 0 more mappings\n")
