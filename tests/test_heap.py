"""What src/heap says an object refers to, against what CPython says: refcounts, the collector's
own functions, and names that a program can be asked for."""

import json
import subprocess

import pytest
from conftest import ROOT, TIMEOUT
from library_build import compile_extension

PROGRAMS = ROOT / "tests" / "programs" / "heap"


# The files that know what one object refers to.
ROOM = {
    "edges.c", "frame_edges.c", "greenlets.c", "known_types.c", "label.c", "prepare.c", "refs.c", "roots.c", "roots_threads.c",
    "roots_types.c", "shape.c", "text.c",
}  # fmt: skip


@pytest.fixture(scope="module")
def probe(python, tmp_path_factory):
    """Runs a program of tests/programs/heap that can import `probe`."""
    folder = tmp_path_factory.mktemp("probe")
    sources = [*sorted((ROOT / "src" / "heap").glob("*.c")), *(ROOT / "src" / "layout").glob("*.c")]
    needed = [path for path in sources if path.name in ROOM or path.parent.name == "layout"]
    compile_extension(python, folder / "probe.so", PROGRAMS / "probe.c", *needed)

    def run(program, *arguments):
        done = subprocess.run(
            [python, PROGRAMS / program, *arguments], timeout=TIMEOUT,
            env={"PYTHONPATH": str(folder)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_the_references_found_in_a_heap_are_its_refcounts(probe):
    counted = json.loads(probe("audit.py"))
    assert counted["objects"] > 50_000
    # Never more references than the refcount has: that would accuse code of a release too many.
    assert counted["fewer"] == []
    # C code has some: the caller's arguments, static variables of extensions.
    assert sum(counted["more"].values()) < counted["objects"] / 1000


@pytest.mark.parametrize("seed", ["1", "2"])
def test_holders_of_1000_random_objects_are_those_that_the_collector_knows(probe, seed):
    assert probe("agree.py", seed) == "agreed 1000\n"


def test_references_are_called_by_the_names_that_the_program_has_for_them(probe):
    assert probe("names.py").strip() == "all named"
