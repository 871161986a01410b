"""A program that moves as fast as it can is read as fast as it goes: no crash, no hang, and no
stack that can't have been is said to be consistent.

REFTRACER_STRESS_STACKS=1000000 reads so many; by default it is a few seconds' worth."""

import os
import subprocess

import pytest
from conftest import ROOT
from inspect_programs import waiting
from library_build import compile_c

pytestmark = pytest.mark.free_threaded

STACKS = int(os.environ.get("REFTRACER_STRESS_STACKS", "20000"))
# What hangs is ended then; how long the others need depends on what else the machine does.
SECONDS = max(240, STACKS // 100)


@pytest.fixture(scope="session")
def read_stacks(tmp_path_factory):
    return compile_c(ROOT / "tests" / "library" / "read_stacks.c",
                     tmp_path_factory.mktemp("stress") / "read_stacks")


def read_while_it_moves(each_python, read_stacks, what):
    with waiting(each_python, "churn.py", what) as (process, _):
        done = subprocess.run([read_stacks, str(process.pid), str(STACKS), str(SECONDS)],
                              capture_output=True, text=True, timeout=SECONDS + 60)
        assert process.poll() is None
    assert done.returncode == 0, done.stderr
    looks, stacks, inconsistent, problems, impossible = map(int, done.stdout.split())
    print(f"{each_python.name}: {stacks:,} stacks in {looks:,} looks, "
          f"{inconsistent / looks:.1%} of them not consistent, {problems} stacks with a problem")
    assert impossible == 0, done.stderr
    assert looks > 100
    # With too few looks of one moment nothing would have been shown.
    assert looks - inconsistent > 100
    # Most looks are good, or the tool would be of no use on a busy program.
    assert inconsistent < looks * 0.9


@pytest.mark.timeout(SECONDS + 600)
def test_DB10_no_impossible_stack_is_said_to_be_consistent(each_python, read_stacks):
    read_while_it_moves(each_python, read_stacks, "threads")


@pytest.mark.timeout(SECONDS + 600)
def test_nor_beside_interpreters_that_come_and_go(each_python, read_stacks):
    if each_python.version < (3, 10):
        pytest.skip("sub-interpreters of 3.8 and 3.9 crash by themselves when made that often")
    read_while_it_moves(each_python, read_stacks, "interpreters")
