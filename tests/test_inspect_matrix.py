"""`reftracer inspect` on every CPython, live and from a core, with and without
sub-interpreters: compared with what the target says about itself.

The test of the table prints it, one row for each CPython: `pytest -s -k table`.
"""

import pytest

from conftest import ROOT, pythons_at_hand
from inspect_targets import (
    IDLE, IDLE_SHARED, RUNNING, RUNNING_SHARED, Failed, Target, differences, inspected, timeless,
)
from inspect_library import Library

pytestmark = pytest.mark.free_threaded

CASES = {
    "none": [],
    "idle": [IDLE, IDLE],
    "running": [RUNNING, RUNNING],
    "running, newest idle": [RUNNING, IDLE],
}
KINDS = ("live", "core")


def test_the_versions_that_are_promised_are_at_hand(request):
    if request.config.getoption("--pythons"):
        pytest.skip("--pythons asks for fewer")
    minors = {p.version[:2] for p in pythons_at_hand()}
    # 3.8 to 3.12 are pyenv's, which not every machine has; Debian has the others.
    assert {(3, 13), (3, 14), (3, 15)} <= minors


def documented(python):
    """{case: the kinds that are right} of docs/INSPECT.md; None if it says nothing of that
    build."""
    name = "%d.%d" % python.version[:2]
    name += " debug" if python.debug else ""
    name += " free-threaded" if python.free_threaded else ""
    for line in (ROOT / "docs" / "INSPECT.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == name and len(cells) == 1 + len(CASES):
            return dict(zip(CASES, cells[1:]))
    return None


def looked_at(command, target, folder, case):
    """{kind: differences} of one target, and the two documents."""
    found, documents = {}, {}
    subjects = {"live": target.pid, "core": None}
    for kind in KINDS:
        try:
            if kind == "core":
                subjects[kind] = target.dump(folder / f"core.{case.replace(' ', '-')}")
            documents[kind] = inspected(command, subjects[kind])
            found[kind] = differences(target, documents[kind])
        except (Failed, KeyError, TypeError) as failure:
            found[kind] = [repr(failure)]
    if subjects["core"]:
        subjects["core"].unlink()
    return found, documents


def test_DB7_DB8_table_of_versions_live_and_core(each_python, command, tmp_path, capsys):
    """One row of the table: no sub-interpreter, two idle, two running, one running and the
    newest idle, each live and from a core of the same moment."""
    cells, wrong, right = [], [], {}
    for case, interpreters in CASES.items():
        with Target(each_python, ["plain", "names", "deep"], interpreters) as target:
            found, documents = looked_at(command, target, tmp_path, case)
        right[case] = ", ".join(kind for kind in KINDS if not found[kind])
        for kind in KINDS:
            cells.append(f"{case}, {kind}: {'right' if not found[kind] else 'WRONG'}")
            wrong += [f"{case}, {kind}: {text}" for text in found[kind]]
        if len(documents) == 2 and timeless(documents["live"]) != timeless(documents["core"]):
            wrong.append(f"{case}: live and core of the same moment differ: "
                         + unequal(timeless(documents["live"]), timeless(documents["core"])))
    with capsys.disabled():
        print(f"\n{each_python.name:>8}  " + " | ".join(cells), end="")
    assert wrong == [], "\n".join(wrong)
    page = documented(each_python)
    assert page == right or (page is None and (each_python.debug or each_python.free_threaded))


def unequal(one, other, path=""):
    """Where two documents differ first."""
    if type(one) is not type(other):
        return f"{path}: {one!r} / {other!r}"
    if isinstance(one, dict):
        for key in one.keys() | other.keys():
            if one.get(key) != other.get(key):
                return unequal(one.get(key), other.get(key), f"{path}.{key}")
    if isinstance(one, list):
        for index, (a, b) in enumerate(zip(one, other)):
            if a != b:
                return unequal(a, b, f"{path}[{index}]")
    return f"{path}: {one!r} / {other!r}"


SHAPES = ["names", "generator", "generator_expression", "coroutine", "asyncio_run", "through_c",
          "finalizer", "handling", "class_body", "odd_names", "large_code", "deep", "plain"]


def test_DB9_every_shape_of_stack(each_python, command):
    """Functions, qualified names, files, lines and columns of generators, coroutines,
    callbacks through C, finalizers, class bodies, names that are not ASCII."""
    with Target(each_python, SHAPES, [{"threads": SHAPES, "gil": "own"}]) as target:
        assert differences(target, inspected(command, target.pid)) == []


def test_DB9_stacks_of_twenty_thousand_frames(each_python, command):
    with Target(each_python, ["very_deep", "plain"]) as target:
        assert differences(target, inspected(command, target.pid)) == []


def test_DB8_fifty_interpreters(python, command):
    """Idle, running, with a GIL of their own and without, in turn."""
    kinds = [IDLE, RUNNING, IDLE_SHARED, RUNNING_SHARED, {"threads": ["plain", "deep"], "gil": "own"}]
    with Target(python, ["plain"], [kinds[n % 5] for n in range(50)]) as target:
        document = inspected(command, target.pid)
        assert differences(target, document) == []
        assert len(document["interpreters"]) == 51


def test_DB9_five_hundred_threads(python, command):
    with Target(python, ["plain"] * 500) as target:
        document = inspected(command, target.pid)
        assert differences(target, document) == []
        assert len(document["interpreters"][0]["threads"]) == 500


# --- addresses: the five functions of runtime.h -----------------------------------------


def test_DB1_to_DB5_DB7_addresses_live_and_core(each_python, command, tmp_path):
    """Each function returns from outside, live and from a core, what CPython's own function
    returned inside."""
    with Target(each_python, ["plain", "plain"], [IDLE, RUNNING, IDLE_SHARED]) as target:
        library = Library()

        def check(space):
            with space as runtime:
                assert runtime.head() == target.addresses["head"]
                assert runtime.main() == target.addresses["main"]
                assert runtime.walk() == [
                    (interpreter["address"], interpreter["threads"])
                    for interpreter in target.addresses["interpreters"]
                ]
                facts = runtime.facts()
                assert facts.version == target.addresses["hexversion"]
                assert facts.version_text.decode() == target.addresses["version"].rstrip("+")
                assert facts.debug_build == each_python.debug

        check(library.process(target.pid))
        check(library.core(target.dump(tmp_path / "core")))


def test_DB7_addresses_with_500_threads_and_50_interpreters(python, command):
    with Target(python, ["plain"] * 500, [IDLE, RUNNING] * 25) as target:
        with Library().process(target.pid) as runtime:
            assert runtime.walk() == [
                (interpreter["address"], interpreter["threads"])
                for interpreter in target.addresses["interpreters"]
            ]
