"""Nothing that the agent or the reader does is a fault to ASan, UBSan or valgrind.

The agent is built with ASan and UBSan, CPython is not; ASan's library is preloaded in front
of everything, and CPython takes its objects from ASan's allocator (PYTHONMALLOC=malloc), so
that a look at freed memory of CPython's is found too."""

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

import conftest
import pytest
from rftwrite import MARK, Trace, births, deaths
from sites import assert_balanced

PROGRAM = Path(__file__).parent / "programs" / "sanitized" / "everything.py"


@pytest.fixture(scope="module")
def sanitized_build():
    """The folder of the build with ASan and UBSan, made or brought up to date."""
    folder = conftest.ROOT / "build-asan"
    options = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
    with open(conftest.ROOT / "tools" / "build") as script:
        fcntl.flock(script, fcntl.LOCK_EX)  # other workers of pytest want it too
        subprocess.run([script.name, folder.name, *options], check=True)
    return folder


@pytest.fixture(scope="module")
def asan_library(sanitized_build):
    """The runtime that the agent was linked with."""
    needed = subprocess.run(
        ["ldd", sanitized_build / "libreftracer-agent.so"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = re.search(r"libasan\S* => (\S+)", needed)
    assert found, f"the agent in {sanitized_build} has no shared ASan:\n{needed}"
    return found[1]


def trace_sanitized(build, library, python, folder):
    """The traced run; what the sanitizers found is in its output or in findings.*"""
    findings = folder / "findings"
    environment = os.environ | {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",
        # `run` puts the agent in front of ASan's library. CPython frees little at its end.
        "ASAN_OPTIONS": f"verify_asan_link_order=0:detect_leaks=0:log_path={findings}",
        "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={findings}",
    }
    done = conftest.run_command(
        [build / "reftracer", "run", "--holders", "-o", folder / "all.rft", "--", python, PROGRAM],
        env=environment,
        cwd=folder,
    )
    found = "".join(path.read_text(errors="replace") for path in folder.glob("findings*"))
    assert not found, found
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert done.stdout.startswith(b"done")


def check_trace(python, folder, build, library):
    trace_sanitized(build, library, python, folder)
    traces = sorted(folder.glob("*.rft"))
    # Two forks and one of them exec's, a subprocess, a fork in a thread.
    assert len(traces) == 6
    for path in traces:
        report = conftest.ReportRead(build / "reftracer", [path], ["--top", "100"]).report
        assert_balanced(report)
    diff = conftest.run_command([build / "reftracer", "diff", *traces[:2]])
    assert diff.returncode == 0, diff.stderr


def test_an_agent_with_asan_and_ubsan_has_no_findings(
    python, tmp_path, sanitized_build, asan_library
):
    check_trace(python, tmp_path, sanitized_build, asan_library)


def test_nor_has_it_in_a_debug_build(debug_python, tmp_path, sanitized_build, asan_library):
    check_trace(debug_python, tmp_path, sanitized_build, asan_library)


def test_nor_has_it_where_deaths_are_lost(losing_python, tmp_path, sanitized_build, asan_library):
    check_trace(losing_python, tmp_path, sanitized_build, asan_library)


# valgrind on the reader


@pytest.fixture(scope="module")
def valgrind(command):
    """valgrind(*arguments): the command under memcheck, whose findings and lost memory are
    exit code 99."""
    program = shutil.which("valgrind")
    assert program, "valgrind is missing; `tools/setup test` installs it"

    def run(*arguments):
        done = conftest.run_command(
            [program, "-q", "--error-exitcode=99", "--leak-check=full"]
            + ["--errors-for-leak-kinds=definite,indirect,possible", command, *arguments],
        )
        assert done.returncode != 99, done.stderr.decode(errors="replace")
        return done

    return run


@pytest.fixture(scope="module")
def real_traces(pythons, trace):
    """Two traces of one short program, of the newest CPython."""
    source = "import json\nkept = [json.loads('[1, {\"a\": 2.5}]') for _ in range(%d)]\n"
    return [trace(pythons[-1], "-I", "-S", "-c", source % count).path for count in (50, 80)]


def growing_trace(path):
    trace = Trace()
    site = trace.site([("/srv/app.py", "main", 3), ("/srv/app.py", "Node.make", 9)], "app.Node")
    for number in range(1, 51):
        trace.tick(100 * number, {site: births(10) | deaths(4, size=192)})
    trace.census(5000, {site: [(0, 5000, 300, 14400)]})
    trace.end(5000)
    trace.write(path)
    return path


VIEWS = ["summary", "leaks", "churn", "types", "sites", "ages"]


def test_the_reader_has_no_findings_in_valgrind(valgrind, real_traces):
    for options in ([], ["--json"]):
        done = valgrind("report", *options, real_traces[0])
        assert done.returncode == 0, done.stderr
        assert done.stdout


def test_nor_has_it_on_any_view(valgrind, tmp_path):
    app = growing_trace(tmp_path / "app.rft")
    for view in VIEWS:
        assert valgrind("report", "--view", view, "--filter", "node", app).returncode == 0


def test_nor_on_traces_that_are_cut_or_damaged(valgrind, real_traces, tmp_path):
    whole = real_traces[0].read_bytes()
    cut = tmp_path / "cut.rft"
    for length in (0, 20, len(whole) // 3, len(whole) * 2 // 3, len(whole) - 1):
        if whole[length:].startswith(MARK):
            length -= 1  # between two records it would be the trace of a process that was killed
        cut.write_bytes(whole[:length])
        done = valgrind("report", "--json", cut)
        assert done.returncode in (0, 1), done.stderr
        assert done.stderr.startswith(b"reftracer: ")
    changed = bytearray(whole)
    for at in range(len(whole) // 10, len(whole), len(whole) // 5):
        changed[at] ^= 0x55
    cut.write_bytes(changed)
    assert valgrind("report", cut).returncode == 0


def test_nor_when_several_are_merged_or_compared(valgrind, real_traces):
    assert valgrind("report", *real_traces).returncode == 0
    for options in ([], ["--json"]):
        done = valgrind("diff", *options, *real_traces)
        assert done.returncode == 0, done.stderr
        assert done.stdout
