"""The verdict on growth is right for programs that leak and for programs that only
look as if they did. Each program says in a comment what is expected of it."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sites import assert_exact, bare, passed_by

PROGRAMS = sorted((Path(__file__).parent / "programs" / "verdict").glob("*.py"))
EXPECTED = re.compile(r"^# expect: (?:none|leak line (\d+) type (\S+))$", re.MULTILINE)


def leave_small_thread_ids():
    """Numbers up to 1,024 are not born. Where the machine's ids begin anew while a program makes
    threads, the numbers of these come, come not, and come again: no other thing grows so."""
    most, ids = int(Path("/proc/sys/kernel/pid_max").read_text()), []
    while not ids or not 1024 < ids[-1] < most - 3000:
        thread = threading.Thread(target=lambda: ids.append(threading.get_native_id()))
        thread.start()
        thread.join()


@pytest.fixture(scope="module")
def verdicts(python, trace, read_report):
    """The report of each program. They sleep most of the time: several run at once."""

    def judge(path):
        leave_small_thread_ids()
        traced = trace(python, path)
        assert traced.status == 0, traced.stderr
        return read_report(traced.path, options=["--top", "100"]).report

    with ThreadPoolExecutor(4) as pool:
        reports = {path.stem: pool.submit(judge, path) for path in PROGRAMS}
        return {name: future.result() for name, future in reports.items()}


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_verdict_on(path, verdicts):
    source = path.read_text()
    (expected,) = EXPECTED.finditer(source)
    report = verdicts[path.stem]
    assert_exact(report)
    growing = report["growing"]
    if expected[1] is None:
        assert growing == []
        return
    line, type_name = int(expected[1]), expected[2]
    assert source.splitlines()[line - 1].endswith("# leak"), "the comment names a wrong line"
    assert growing, "nothing grows, says the report"
    assert passed_by(growing[0], path, line)
    assert type_name in {bare(site["type"]) for site in growing if passed_by(site, path, line)}
    # Nothing else is accused but what the leaked objects keep alive.
    others = [site for site in growing if not passed_by(site, path, line)]
    assert [site for site in others if not passed_by(site, path, kept_with_it(source))] == []


def kept_with_it(source):
    """The line whose objects (numbers of requests) live as long as the leaked ones."""
    marked = [n for n, text in enumerate(source.splitlines(), 1) if text.endswith("# kept with it")]
    return marked[0] if marked else 0


CLASS_ATTRIBUTES = """
import time
class Forms: pass
def names(first):
    return [f"form_{number}_" + "x" * (number % 40) for number in range(first, first + 400)]
slow = {SLOW}
for first in range(0, 400 * 40, 400):
    for name in names(first):
        getattr(Forms, name, None)
        if name in slow:
            time.sleep(0.5)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("slow", [(), ("form_8000_",)], ids=["", "seen in a list"])
def test_names_of_class_attributes_are_known_as_the_caches(python, trace, tmp_path, slow):
    """They are looked up in the metaclass as well: the cache has each of them twice. A tick may also
    come while 400 of them are in a list."""
    path = tmp_path / "program.py"
    path.write_text(CLASS_ATTRIBUTES.replace("{SLOW}", repr(slow)))
    # As the collection empties the cache, the strings would be gone.
    report = trace(python, path, options=["--no-gc"]).report
    (site,) = [site for site in report["sites"] if site["live"] > 300 and bare(site["type"]) == "str"
               and passed_by(site, path, 5)]  # fmt: skip
    assert site["growth"] == "saturated"
