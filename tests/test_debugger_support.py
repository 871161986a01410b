"""The five functions of CPython's *Advanced debugger support*, and ours, in the same process.

DB1 PyInterpreterState_Head, DB2 _Main, DB3 _Next, DB4 _ThreadHead, DB5 PyThreadState_Next: for
each one CPython's own address and rft_*'s, pointer for pointer (DB6), in every CPython at hand.
"""

import json
import subprocess

import pytest
from conftest import BUILD, ROOT, TIMEOUT, pythons_at_hand

PROGRAM = ROOT / "tests" / "programs" / "debugger_support.py"


@pytest.fixture(params=pythons_at_hand(), ids=lambda python: python.name)
def every_python(request):
    return request.param


def walk(python, interpreters, threads):
    done = subprocess.run(
        [python, PROGRAM, BUILD / "libreftracer.so", str(interpreters), str(threads)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("interpreters", [1, 50])
@pytest.mark.parametrize("threads", [1, 500])
def test_DB1_to_DB6_each_address_is_what_cpython_returns(every_python, interpreters, threads):
    found = walk(every_python, interpreters, threads)
    for row in ("DB1", "DB2", "DB3", "DB4", "DB5"):
        assert all(theirs == ours for theirs, ours in found[row]), row
    # All of them, and each list ends with NULL.
    assert len(found["DB3"]) == len(found["DB4"]) == interpreters
    assert [theirs for theirs, _ in found["DB3"]].index(0) == interpreters - 1
    assert len(found["DB5"]) >= threads
    assert found["DB1"][0][0] != 0 and found["DB2"][0][0] != 0
    if interpreters == 1:
        assert found["DB1"] == found["DB2"]
    elif every_python.version >= (3, 13):
        # An interpreter that runs nothing has no thread since 3.13: NULL, and no error.
        assert [theirs for theirs, _ in found["DB4"]].count(0) == interpreters - 1
    assert found["version"] and found["debug"]
