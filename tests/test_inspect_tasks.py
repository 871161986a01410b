"""asyncio tasks, as `reftracer inspect --tasks` shows them, live and in a core file."""

import re

import pytest
from inspect_programs import main_interpreter, waiting
from inspect_targets import gcore, inspected

pytestmark = pytest.mark.free_threaded

LEAF = ["leaf"]
MIDDLE = ["leaf", "middle"]

# What each task of a scene waits in (innermost first) and who waits for it.
SCENE = {
    "group": (["TaskGroup._aexit", "TaskGroup.__aexit__", "group"], []),
    "gather": (["gatherer"], []),
    "generator": (["leaf", "numbers", "waits_for_generator"], []),
    "anext": (["leaf", "numbers", "waits_for_anext"], []),
    "shared Ω": (MIDDLE, [f"waiter {i}" for i in range(5)]),
    **{f"waiter {i}": (["waiter"], []) for i in range(5)},
}
OF_EACH = {
    "of group 1": (MIDDLE, ["group"]),
    "of group 2": (["leaf", "Awaitable.__await__", "waits_for_object"], ["group"]),
    **{f"gathered {i}": (MIDDLE, ["gather"]) for i in range(3)},
}


def functions(task):
    return [frame["function"] for frame in task["frames"]]


def waiters(task, tasks):
    names = {one["address"]: one["name"] for one in tasks}
    return sorted(names[address] for address in task["awaited_by"])


def wrong_tasks(document):
    """What differs from what the program makes, as sentences."""
    interpreter = main_interpreter(document)
    tasks = interpreter["tasks"]
    wrong = []
    loops = {}
    for prefix in ("a ", "b "):
        for name, (stack, awaited) in SCENE.items():
            found = [task for task in tasks if task["name"] == prefix + name]
            if len(found) != 1:
                wrong.append(f"{len(found)} tasks {prefix + name!r}")
                continue
            loops.setdefault(prefix, set()).add(found[0]["loop_thread"])
            if functions(found[0]) != stack:
                wrong.append(f"{prefix + name!r} waits in {functions(found[0])}")
            if waiters(found[0], tasks) != sorted(prefix + one for one in awaited):
                wrong.append(f"{prefix + name!r} is awaited by {waiters(found[0], tasks)}")
    for name, (stack, awaited) in OF_EACH.items():
        found = [task for task in tasks if task["name"] == name]
        if len(found) != 2:
            wrong.append(f"{len(found)} tasks {name!r}")
        for task in found:
            if functions(task) != stack:
                wrong.append(f"{name!r} waits in {functions(task)}")
            if [one[2:] for one in waiters(task, tasks)] != awaited:
                wrong.append(f"{name!r} is awaited by {waiters(task, tasks)}")
    threads = {thread["address"]: thread for thread in interpreter["threads"]}
    if [len(loops[prefix]) for prefix in sorted(loops)] != [1, 1] or loops["a "] == loops["b "]:
        wrong.append(f"loops' threads: {loops}")
    elif threads[loops["b "].copy().pop()]["name"] != "MainThread":
        wrong.append("the second loop is not the main thread's")
    return wrong


@pytest.fixture(scope="module")
def program(task_python):
    with waiting(task_python, "tasks.py") as (process, said):
        yield process.pid, said


@pytest.fixture(scope="module")
def live(command, program):
    return inspected(command, program[0], "--tasks")


@pytest.fixture(scope="module")
def core(command, program, tmp_path_factory):
    path = tmp_path_factory.mktemp("core") / "core"
    gcore(program[0], path)
    yield inspected(command, path, "--tasks")
    path.unlink()


def test_each_task_has_its_stack_and_those_who_wait_for_it(live):
    assert wrong_tasks(live) == []


def test_a_core_has_the_same_tasks(live, core):
    assert wrong_tasks(core) == []

    def told(document):
        return [[(task["address"], task["name"], task["running"], functions(task), task["awaited_by"])
                 for task in interpreter["tasks"]] for interpreter in document["interpreters"]]

    assert told(core) == told(live)


def test_the_running_task_has_the_stack_of_its_thread(live):
    tasks = main_interpreter(live)["tasks"]
    running = [task for task in tasks if task["running"]]
    assert [task["name"] for task in running] == ["b runs"]
    assert functions(running[0]) == ["deepest"] * 4 + ["runs"]


def test_a_task_of_a_thread_that_has_ended_is_still_there(live):
    left = [task for task in main_interpreter(live)["tasks"] if task["name"] == "left over"]
    assert [functions(task) for task in left] == [["leaf", "orphans.<locals>.lonely"]]
    living = {thread["address"] for thread in main_interpreter(live)["threads"]}
    assert left[0]["loop_thread"] not in living


def test_a_task_without_a_name_has_its_number(live):
    nameless = [task for task in main_interpreter(live)["tasks"] if functions(task) == LEAF]
    assert len(nameless) == 2
    assert all(re.fullmatch(r"Task-\d+", task["name"]) for task in nameless)


def test_tasks_of_sub_interpreters(live, program):
    assert program[1]["interpreters"]
    (other,) = [one for one in live["interpreters"] if not one["main"]]
    tasks = {task["name"]: task for task in other["tasks"]}
    assert functions(tasks["of a sub-interpreter"]) == ["below"]
    assert waiters(tasks["of a sub-interpreter"], other["tasks"]) != []


def test_a_program_without_asyncio_has_no_tasks_and_no_problem(command, each_python):
    with waiting(each_python, "names.py") as (process, _):
        document = inspected(command, process.pid, "--tasks")
    assert [one["tasks"] for one in document["interpreters"]] == [[]]
    assert not document["problem"] and not document["interpreters"][0]["problem"]


def test_who_does_not_ask_for_tasks_is_told_of_them(command, each_python):
    if each_python.version < (3, 14):
        pytest.skip("asyncio's tasks can be seen since 3.14")
    with waiting(each_python, "tasks.py") as (process, _):
        kinds = [[hint["kind"] for hint in inspected(command, process.pid, *options)["hints"]]
                 for options in ((), ("--tasks",))]
    assert "asyncio" in kinds[0] and "asyncio" not in kinds[1]
