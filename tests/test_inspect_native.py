"""C frames among Python frames, as `reftracer inspect --native` shows them, and what it does
to a process for that."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import run_command
from inspect_programs import is_traced, main_interpreter, states, threads_by_name, wait_for, waiting
from inspect_targets import inspected, no_kernel_cores

pytestmark = pytest.mark.free_threaded

EVALUATION = ("_PyEval_EvalFrameDefault", "_TAIL_CALL_")


def status(pid, field):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].strip()
    raise KeyError(field)


def python_frames(thread):
    return [(frame["function"], frame["file"], frame["line"], frame["frame"])
            for frame in thread["frames"] if frame["kind"] == "python"]


def words(thread):
    """The stack, innermost first: Python functions by their name, C ones of a library by the
    name of that, and "C" for others; one word for neighbours that are alike."""
    found = []
    for frame in thread["frames"]:
        if frame["kind"] == "python":
            word = frame["function"].split(".")[-1]
        elif (frame["function"] or "").lstrip("_").startswith(("qsort", "msort")):
            word = "qsort"
        else:
            word = "C"
        if not found or word != found[-1]:
            found.append(word)
    return found


@pytest.fixture(scope="module")
def program(each_python):
    with waiting(each_python, "native.py", "wait") as (process, _):
        yield process.pid


@pytest.fixture(scope="module")
def native(command, program):
    return inspected(command, program, "--native")


def test_python_frames_are_those_of_a_look_without(command, program, native):
    plain = threads_by_name(inspected(command, program))
    merged = threads_by_name(native)
    assert {name: python_frames(thread) for name, thread in merged.items()} == {
        name: python_frames(thread) for name, thread in plain.items()}


def test_no_thread_has_a_problem(native):
    assert {name: thread["problem"] for name, thread in threads_by_name(native).items()
            if thread["problem"]} == {}
    assert not native["problem"]


def test_every_stack_begins_and_ends_in_c(native):
    for thread in main_interpreter(native)["threads"]:
        assert thread["frames"][0]["kind"] == thread["frames"][-1]["kind"] == "native"


def test_the_evaluation_itself_is_not_shown(native):
    for thread in main_interpreter(native)["threads"]:
        for frame in thread["frames"]:
            assert frame["kind"] == "python" or not (frame["function"] or "").startswith(EVALUATION)


def test_c_functions_are_between_the_python_functions_that_call_and_are_called(native):
    threads = threads_by_name(native)

    def without_c(thread):
        found = [word for word in words(thread) if word != "C"]
        return [word for i, word in enumerate(found) if not i or word != found[i - 1]]

    ends = ["run", "_bootstrap_inner", "_bootstrap"]
    assert without_c(threads["sorts"]) == ["innermost", "compared", "qsort", "sorts", *ends]
    assert without_c(threads["nested"]) == [
        "innermost", "compared", "qsort", "sorts", "sorts_again", "qsort", "nested", *ends]
    assert without_c(threads["deep"]) == [
        "innermost", "compared", "qsort", "sorts", "deep", "<lambda>", *ends]


def test_c_is_where_python_enters_through_a_slot_or_a_generator(native):
    threads = threads_by_name(native)
    found = words(threads["list"])
    assert found[found.index("__lt__"):found.index("through_list_sort") + 1] == [
        "__lt__", "C", "through_list_sort"]
    found = words(threads["generator"])
    assert found[found.index("generator"):found.index("through_generator") + 1] == [
        "generator", "C", "through_generator"]


def test_it_says_how_long_the_process_was_stopped(command, program, native):
    assert 0 < native["stopped_ns"] < native["duration_ns"]
    assert inspected(command, program)["stopped_ns"] == 0


def test_the_process_goes_on_untraced(command, program):
    inspected(command, program, "--native")
    for task in os.listdir(f"/proc/{program}/task"):
        assert status(task, "TracerPid") == "0"
        assert status(task, "State")[0] in "SR"


def test_a_process_that_was_stopped_stays_stopped(command, each_python):
    with waiting(each_python, "native.py", "wait") as (process, _):
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: states(process.pid) == {"T"})
        document = inspected(command, process.pid, "--native")
        assert all(thread["frames"][0]["kind"] == "native"
                   for thread in main_interpreter(document)["threads"])
        # A thread that is let go of runs into its stop again by itself: some microseconds.
        wait_for(lambda: states(process.pid) == {"T"})
        os.kill(process.pid, signal.SIGCONT)
        wait_for(lambda: states(process.pid) <= {"R", "S"})


def test_a_killed_inspect_leaves_the_process_running(command, python):
    with waiting(python, "native.py", "spin", reads=False) as (process, _):
        for delay in range(30):
            inspecting = subprocess.Popen([command, "inspect", "--native", "--watch=0.01", str(process.pid)],
                                          stdout=subprocess.DEVNULL)
            if delay % 3 == 0:  # while it has the process, however long it takes to get there
                wait_for(lambda: is_traced(process.pid), "its tracer")
            else:
                time.sleep(0.005 + delay / 500)
            assert inspecting.poll() is None
            inspecting.kill()
            inspecting.wait()
            assert status(process.pid, "TracerPid") == "0"
            wait_for(lambda: states(process.pid) <= {"S", "R"}, "a process that runs")


def test_no_signal_is_lost(command, python):
    with waiting(python, "native.py", "signals") as (process, _):
        def sent():
            process.stdin.write(b"how many\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())["sent"]

        watch = subprocess.Popen([command, "inspect", "--native", "--json", "--watch=0.01", str(process.pid)],
                                 stdout=subprocess.PIPE)
        begun = watch.stdout.readline() and sent()
        looks = 0
        while looks < 100 or sent() - begun < 1000:
            assert watch.stdout.readline()
            looks += 1
        watch.kill()
        watch.communicate()
        process.stdin.close()
        counted = json.loads(process.stdout.readline())
    assert counted["sent"] == counted["come"] > 1000


def test_stacks_of_a_running_thread_belong_together(command, each_python):
    """Functions of the target call each other in one way only."""
    callers = {"leaf": {"caller"}, "caller": {"spin"}, "spin": {"<module>"}, "<module>": set()}
    with waiting(each_python, "native.py", "spin", reads=False) as (process, _):
        for _ in range(20):
            (thread,) = main_interpreter(inspected(command, process.pid, "--native"))["threads"]
            functions = [frame["function"] for frame in thread["frames"] if frame["kind"] == "python"]
            assert functions[-2:] == ["spin", "<module>"]
            for called, caller in zip(functions, functions[1:]):
                assert caller in callers[called], functions
            assert not thread["problem"]


def test_a_thread_that_gets_no_cpu_for_a_while_is_waited_for(command, python):
    """It stops when it has one. Here the first question whether it has stopped takes 0.3 s, and is
    answered with no."""
    with waiting(python, "native.py", "spin", reads=False) as (process, _):
        done = run_command(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=wait4", "-e",
                            "inject=wait4:retval=0:delay_enter=300000:when=1", command, "inspect",
                            "--json", "--native", str(process.pid)])  # fmt: skip
    if b"ptrace" in done.stderr and b"Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here: " + done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    (thread,) = main_interpreter(json.loads(done.stdout))["threads"]
    assert not thread["problem"]
    assert thread["frames"][-1]["kind"] == "native"


def test_a_thread_that_has_a_tracer_says_so(command, python):
    with waiting(python, "native.py", "wait") as (process, _):
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(process.pid)])
        try:
            wait_for(lambda: is_traced(process.pid), "strace")
            for thread in main_interpreter(inspected(command, process.pid, "--native"))["threads"]:
                assert f"process {tracer.pid}" in thread["problem"]
                assert python_frames(thread)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait()


def test_a_core_has_the_same_stacks(command, tmp_path, each_python):
    """A core of the kernel. (gcore of older gdb leaves out stacks that a newer C library has
    guarded by MADV_GUARD_INSTALL.)"""
    if no_kernel_cores():
        pytest.skip(no_kernel_cores())

    def limit():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    def stacks(seen):
        return {name: [(frame["kind"], frame["function"], frame["file"], frame["line"])
                       for frame in thread["frames"]] for name, thread in threads_by_name(seen).items()}

    with waiting(each_python, "native.py", "wait", cwd=tmp_path, preexec_fn=limit) as (process, _):
        live = stacks(inspected(command, process.pid, "--native"))
        os.kill(process.pid, signal.SIGABRT)
        assert process.wait(60) == -signal.SIGABRT
    (core,) = tmp_path.glob("core*")
    document = inspected(command, core, "--native")
    core.unlink()
    assert document["stopped_ns"] == 0
    seen = stacks(document)
    for name in live:  # one of them has got the signal, in a function of the kernel or C library
        assert [one for one in seen[name] if one[0] == "python"] == [
            one for one in live[name] if one[0] == "python"]
        assert seen[name][-10:] == live[name][-10:]
        assert seen[name] == live[name] or name == "MainThread"
