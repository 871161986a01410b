"""Living with others: tools that take CPython's one slot for a reference tracer, started
before us, after us, nested and in a thread. `us` is libreftracer, and then the agent under
`reftracer run`. The matrix is printed at the end of the run (tests/matrix.py)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, ROOT, run_command
from environments import environment
from library_build import compile_c

FOLDER = Path(__file__).parent / "programs" / "living"
REQUIREMENTS = FOLDER / "requirements.txt"
TOOLS = ["tracemalloc", "memray", "copy", "grabber"]
MOMENTS = ["before", "after", "nested", "in a thread"]


@pytest.fixture(scope="module")
def living_python(python):
    """A virtual environment's python with memray; made once and kept in the cache."""
    return environment(python, f"living-{python.name}", REQUIREMENTS)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The driver, and a second copy of the library."""
    folder = tmp_path_factory.mktemp("living")
    driver = compile_c(ROOT / "tests" / "library" / "tracer_driver.c", folder / "driver.so")
    copy = folder / "copy" / "libreftracer.so"
    copy.parent.mkdir()
    shutil.copy(BUILD / "libreftracer.so", copy)
    return driver, {**os.environ, "COPY": str(copy)}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("tool", TOOLS)
def test_TR8_TR9_the_library_lives_with(python, living_python, parts, tool, moment, record_property):
    driver, environment = parts
    done = run_command(
        [living_python, FOLDER / "program.py", "LIBRARY", tool, moment, driver], env=environment
    )
    assert done.returncode == 0, done.stderr.decode()
    gaps = int(done.stdout)
    # Who takes the slot after us, or empties it, leaves a gap; another copy does neither.
    assert (gaps > 0) == (tool != "copy"), gaps
    record_property("matrix", ("libreftracer", python.name, tool, moment, f"{gaps} gaps"))


IN_THE_SLOT = """
import ctypes
get = ctypes.pythonapi.PyRefTracer_GetTracer
get.restype = ctypes.c_void_p
function = get(None)
for line in open("/proc/self/maps"):
    ends, _, offset, _, _, *path = line.split()
    begin, end = (int(end, 16) for end in ends.split("-"))
    if begin <= function < end:
        print(path[0], function - begin + int(offset, 16))
"""


def test_the_agents_callback_is_itself_in_the_slot(python, trace):
    """Sharing costs one subscriber nothing: CPython calls the tracer, and nobody between."""
    path, offset = trace(python, "-c", IN_THE_SLOT).stdout.decode().split()
    symbols = subprocess.run(
        ["nm", "--defined-only", path], check=True, capture_output=True, text=True
    ).stdout
    # The text segment of the agent lies in the file as it does in memory.
    names = {int(line.split()[0], 16): line.split()[2] for line in symbols.splitlines()}
    assert names[int(offset)].startswith("rft_on_event")


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment != "before"])
@pytest.mark.parametrize("tool", TOOLS)
def test_TR8_TR9_a_traced_program_lives_with(
    python, living_python, parts, trace, tool, moment, record_property
):
    """Nothing can be before an agent that is preloaded, but -X tracemalloc: test_behaviour."""
    driver, environment = parts
    traced = trace(
        living_python, FOLDER / "program.py", "AGENT", tool, moment, driver, env=environment
    )
    assert traced.status == 0, traced.stderr.decode()
    report = traced.report
    gaps = report["losses"]["slot_gaps"]["count"]
    assert (gaps > 0) == (tool != "copy"), report["losses"]
    if tool == "copy":
        assert report["exact"] is True, report["losses"]
    record_property(
        "matrix", ("reftracer run", python.name, tool, moment, f"{gaps} gaps")
    )
