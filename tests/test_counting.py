"""Births, deaths and survivors are exact, line by line."""

from pathlib import Path

import pytest
from sites import assert_balanced, assert_exact, counts_at, line_of

PROGRAM = Path(__file__).parent / "programs" / "counting.py"
SOURCE = PROGRAM.read_text()
KEPT = line_of(SOURCE, "kept")
DROPPED = line_of(SOURCE, "dropped")


@pytest.mark.free_threaded
def test_counts_are_exact_by_line(python, trace):
    traced = trace(python, PROGRAM)
    assert traced.status == 0
    report = traced.report
    assert_exact(report)
    assert counts_at(report, "__main__.Node", PROGRAM, KEPT) == (1000, 0, 1000)
    assert counts_at(report, "__main__.Node", PROGRAM, DROPPED) == (5000, 5000, 0)
    assert counts_at(report, "__main__.Node") == (6000, 5000, 1000)


@pytest.mark.free_threaded
def test_the_stack_of_a_site_is_complete(python, trace):
    report = trace(python, PROGRAM).report
    stacks = {
        tuple((Path(f["file"]).name, f["line"], f["function"]) for f in site["stack"])
        for site in report["sites"]
        if site["type"] == "__main__.Node"
    }
    lines = SOURCE.splitlines()
    assert stacks == {
        (
            ("counting.py", KEPT, "keep"),
            ("counting.py", lines.index("kept = keep()") + 1, "<module>"),
        ),
        (
            ("counting.py", DROPPED, "drop"),
            ("counting.py", lines.index("drop()") + 1, "<module>"),
        ),
    }


def test_dropped_at_once_and_kept_are_told_apart(python, trace):
    report = trace(python, PROGRAM).report
    (dropped,) = [
        s for s in report["sites"] if s["type"] == "__main__.Node" and s["deaths"] == 5000
    ]
    # Not all: now and then the clock moves on between a birth and its death.
    assert dropped["died_at_once"] > 4000
    (kept,) = [s for s in report["sites"] if s["type"] == "__main__.Node" and s["live"] == 1000]
    assert kept["died_at_once"] == 0


def test_a_cpython_that_loses_deaths_is_reported_as_not_exact(losing_python, trace):
    """3.13.0 does not report every death (gh-130382)."""
    traced = trace(losing_python, PROGRAM)
    assert traced.status == 0
    report = traced.report
    assert_balanced(report)
    assert report["exact"] is False
    assert counts_at(report, "__main__.Node") == (6000, 5000, 1000)
    assert counts_at(report, "__main__.Node", PROGRAM, KEPT) == (1000, 0, 1000)
