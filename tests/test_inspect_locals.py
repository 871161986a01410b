"""Local variables, as `reftracer inspect --locals` shows them: what the target says of its own
variables must be what is seen from outside."""

import pytest
from inspect_programs import frame_of, threads_by_name, waiting
from inspect_targets import inspected

pytestmark = pytest.mark.free_threaded

# Names that CPython puts into every class body.
OF_EVERY_BODY = {"__module__", "__qualname__", "__firstlineno__"}


@pytest.fixture(scope="module")
def seen(command, each_python):
    with waiting(each_python, "locals.py") as (process, said):
        yield said, threads_by_name(inspected(command, process.pid, "--locals"))


def shown(thread, function):
    return {one["name"]: one for one in frame_of(thread, function)["locals"]
            if one["name"] not in OF_EVERY_BODY}


@pytest.mark.parametrize("thread, function", [
    ("holder", "holder"), ("arguments", "arguments"), ("rest", "arguments"), ("closures", "closures"),
    ("closures", "inner"), ("generator", "generator"), ("body", "Body")])
def test_a_frame_has_the_variables_that_the_target_says(seen, thread, function):
    said, threads = seen
    expected = said[thread][function]
    variables = shown(threads[thread], function)
    assert set(variables) == set(expected)
    for name, wanted in expected.items():
        one = variables[name]
        got = {"type": one["type"], "value": one["value"] or None, "argument": one["argument"]}
        assert got == wanted, name


def test_arguments_come_first_and_in_their_order(seen):
    _, threads = seen
    names = [one["name"] for one in frame_of(threads["arguments"], "arguments")["locals"]]
    assert names == ["first", "second", "only", "rest", "others", "later"]


def test_an_argument_in_a_closure_is_at_its_place(seen):
    _, threads = seen
    names = [one["name"] for one in frame_of(threads["closures"], "closures")["locals"]]
    assert names[:2] == ["argument", "plain"]


def test_variables_without_a_value_are_left_out(seen):
    _, threads = seen
    assert "unbound" not in shown(threads["arguments"], "arguments")
    assert "gone" not in shown(threads["closures"], "closures")
    assert "values" not in shown(threads["holder"], "holder")


def test_nothing_is_shown_unless_it_is_asked_for(command, each_python):
    with waiting(each_python, "locals.py") as (process, _):
        for thread in threads_by_name(inspected(command, process.pid)).values():
            assert not any(frame.get("locals") for frame in thread["frames"])
