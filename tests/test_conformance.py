"""docs/CONFORMANCE.md: written by the run of the tests, and current in its rows."""

import re
from pathlib import Path

import pytest
from conftest import ROOT
from environments import CACHE

ROWS = [
    line.split("\t")
    for line in (ROOT / "tests" / "conformance" / "rows.tsv").read_text().splitlines()
]
PAGE = (ROOT / "docs" / "CONFORMANCE.md").read_text()


def cells(row):
    found = re.search(rf"^\| {row} \|(.*)\|$", PAGE, re.MULTILINE)
    assert found, f"{row} is not in docs/CONFORMANCE.md"
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", found[1])]


def test_the_rows_are_all_there_and_no_other():
    assert re.findall(r"^\| ((?:TR|DB|TS)\d+) \|", PAGE, re.MULTILINE) == [row for row, *_ in ROWS]
    for row, text, own in ROWS:
        assert cells(row)[:2] == [text, own]


@pytest.mark.parametrize("row", [row for row, *_ in ROWS])
def test_a_row_has_passed_on_each_cpython(row):
    results = cells(row)[2:]
    assert len(results) >= 4
    assert set(results) == {"pass"}


def minor_of(version):
    """3.14.10 and 3.14.11 are both a 3.14; 3.14.10t is a 3.14t."""
    return re.sub(r"^(3\.\d+)\.\d+(t?)$", r"\1\2", version)


def test_every_cpython_that_is_fetched_has_a_column(pythons):
    """A machine's own Pythons have one in the page that their tests write, and so has a release
    that came since: in this page it is that of its minor version."""
    fetched = [python for python in pythons if CACHE in Path(python).parents]
    if not fetched:
        pytest.skip("all CPythons at hand are the machine's own")
    for part in ("TR1", "DB1", "TS1"):
        table = PAGE[: PAGE.index(f"| {part} |")].rsplit("| | what holds", 1)[1]
        columns = {minor_of(cell.strip()) for cell in table.splitlines()[0].split("|")}
        assert {minor_of(python.name) for python in fetched} <= columns
