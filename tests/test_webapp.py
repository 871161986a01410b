"""A Flask and a Django application under 10,000 requests: a planted leak is found, and
without it nothing is accused."""

from pathlib import Path

import pytest
from environments import environment
from sites import assert_exact, line_of, passed_by

FOLDER = Path(__file__).parent / "programs" / "webapp"
REQUIREMENTS = FOLDER / "requirements.txt"


@pytest.fixture(scope="module")
def web_python(python):
    """A virtual environment's python with Flask and Django; made once and kept in the cache."""
    return environment(python, f"webapp-{python.name}", REQUIREMENTS)


@pytest.mark.parametrize("leak", [[], ["--leak"]], ids=["sound", "leaking"])
@pytest.mark.parametrize("name", ["shop.py", "board.py"], ids=["flask", "django"])
def test_verdict_on_a_web_application(web_python, trace, read_report, name, leak):
    program = FOLDER / name
    traced = trace(web_python, program, *leak, options=["--holders"] if leak else [])
    assert traced.status == 0, traced.stderr
    assert traced.stdout == b"10000 of 10000 requests answered\n"
    report = read_report(traced.path, options=["--top", "100"]).report
    assert_exact(report)
    if not leak:
        assert report["growing"] == []
    else:
        line = line_of(program.read_text(), "leak")
        assert passed_by(report["growing"][0], program, line)
        assert report["growing"][0]["type"] == "__main__.Visit"
        assert [s for s in report["growing"] if not passed_by(s, program, line)] == []
        # Who keeps them, in the program's own word.
        [held] = report["growing"][0]["holders"]
        assert held["path"] == "__main__.visits[*]"
        assert not report["growing"][0]["refcounts"]["leaked"]
