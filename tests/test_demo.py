"""The report on the example service names its leak first, does not accuse its cache, and
names its garbage."""

from pathlib import Path

import pytest
from sites import assert_exact, passed_by

DEMO = Path(__file__).parent.parent / "examples" / "demo"


def leak_line():
    """The line where the listener is born that is then subscribed for ever."""
    lines = (DEMO / "basket.py").read_text().splitlines()
    (subscribed,) = [n for n, line in enumerate(lines) if "# the leak" in line]
    assert "guard = PriceGuard(" in lines[subscribed - 1]
    return subscribed


@pytest.fixture(scope="module")
def demo(python, trace):
    traced = trace(python, DEMO / "service.py", "--requests", "4500")
    assert traced.status == 0, traced.stderr
    return traced


def test_thousands_of_requests_are_served(demo):
    served = int(demo.stdout.split()[1])
    assert served == 4500
    assert b" 0 failed" in demo.stdout
    assert_exact(demo.report)


def test_the_leak_is_first_and_alone(demo):
    growing = demo.report["growing"]
    assert growing[0]["type"] == "basket.PriceGuard"
    assert [s for s in growing if not passed_by(s, DEMO / "basket.py", leak_line())] == []


def test_the_terminal_report_names_the_leak_first_and_the_garbage(demo, reftracer):
    text = reftracer("report", demo.path).stdout.decode()
    assert f"basket.py:{leak_line()}" in text
    assert "pages.py:" in text
    assert text.index(f"basket.py:{leak_line()}") < text.index("pages.py:")


def test_most_of_the_garbage_is_that_of_the_search_pages(demo):
    rows = [
        site
        for site in demo.report["sites"]
        if site["type"] == "pages.SearchRow" and site["births"]
    ]
    assert sum(site["live"] for site in rows) == 0
    assert sum(site["births"] for site in rows) > 10_000
    by_file = {}
    for site in demo.report["sites"]:
        own = next((f["file"] for f in site["stack"] if f["file"].startswith(str(DEMO))), "")
        name = Path(own).name
        by_file[name] = by_file.get(name, 0) + site["deaths"]
    assert max(by_file, key=by_file.get) in ("pages.py", "service.py", "load.py")
