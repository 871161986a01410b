"""`reftracer inspect` finds CPython in every kind of file: stripped, without section
headers, deleted, replaced, renamed, embedded; in other namespaces; of other users."""

import os
import shutil
import signal
import subprocess

import pytest

from conftest import pythons_at_hand, run_command
from inspect_builds import LAYOUTS, NotForThis, about, copied, embedded_dlopen
from inspect_programs import wait_for
from inspect_targets import (
    IDLE, PROGRAMS, RUNNING, Target, differences, in_read, inspected,
)

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make namespaces")


def pytest_generate_tests(metafunc):
    if "layout_python" not in metafunc.fixturenames:
        return
    asked = metafunc.config.getoption("--pythons")
    found = []
    for python in pythons_at_hand():
        if asked and not any((python.name + ".").startswith(v + ".") for v in asked.split(",")):
            continue
        for name, make in LAYOUTS.items():
            found.append(pytest.param(python, make, id=f"{python.name}-{name}"))
    metafunc.parametrize("layout_python, make", found)


def test_every_kind_of_file(layout_python, make, command, tmp_path):
    try:
        layout = make(layout_python, tmp_path)
    except NotForThis as reason:
        pytest.skip(str(reason))
    # The static ones load no extension module, so they have no sub-interpreters.
    interpreters = [] if "static" in make.__name__ else [RUNNING, IDLE]
    with Target(layout_python, ["names", "plain"], interpreters, executable=layout.command,
                environment=layout.environment) as target:
        assert differences(target, inspected(command, target.pid)) == []
        core = target.dump(tmp_path / "core")
        assert differences(target, inspected(command, core)) == []


def changed_while_running(python, command, tmp_path, change):
    layout, file = copied(python, tmp_path, "python")
    with Target(python, ["names"], [RUNNING, IDLE], executable=layout.command,
                environment=layout.environment) as target:
        change(file)
        document = inspected(command, target.pid)
        assert differences(target, document) == []
        core = target.dump(tmp_path / "core")
        assert differences(target, inspected(command, core)) == []


def shared_and_static():
    """A Python with the runtime in a shared library (if there is one), and one without."""
    found = {}
    for python in pythons_at_hand():
        if python.version >= (3, 12) and not python.debug:
            found.setdefault(about(python)[3], python)
    return list(found.values())


@pytest.fixture(params=shared_and_static(), ids=lambda python: python.name)
def file_python(request):
    return request.param


def test_the_file_was_deleted(file_python, command, tmp_path):
    changed_while_running(file_python, command, tmp_path, os.unlink)


def test_the_file_was_replaced_by_another_program(file_python, command, tmp_path):
    def replace(file):
        shutil.copy("/bin/true", f"{file}.new")
        os.replace(f"{file}.new", file)

    changed_while_running(file_python, command, tmp_path, replace)


def test_the_file_was_replaced_by_another_python(file_python, pythons, command, tmp_path):
    other = next(p for p in pythons if p.version[:2] != file_python.version[:2])

    def replace(file):
        shutil.copy(os.path.realpath(other), f"{file}.new")
        os.replace(f"{file}.new", file)

    changed_while_running(file_python, command, tmp_path, replace)


def test_the_file_was_renamed(file_python, command, tmp_path):
    changed_while_running(file_python, command, tmp_path,
                          lambda file: os.rename(file, tmp_path / "elsewhere"))


def test_the_file_was_replaced_by_a_fifo_and_nobody_waits_for_it(file_python, command, tmp_path):
    def replace(file):
        os.unlink(file)
        os.mkfifo(file)

    changed_while_running(file_python, command, tmp_path, replace)


@pytest.mark.parametrize("options", [
    ["-X", "dev"], ["-E", "-S"], ["-X", "disable-remote-debug"], ["-X", "importtime"], ["-O"],
], ids=" ".join)
def test_options_of_python(python, command, options):
    with Target(python, ["names", "generator"], [RUNNING, IDLE],
                executable=[python, *options]) as target:
        assert differences(target, inspected(command, target.pid)) == []


@pytest.mark.parametrize("allocator", ["malloc", "debug", "malloc_debug"])
def test_allocators_of_python(python, command, allocator):
    with Target(python, ["names", "generator"], [],
                environment={"PYTHONMALLOC": allocator}) as target:
        assert differences(target, inspected(command, target.pid)) == []


# --- not initialized ----------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["wait-before", "wait-after"])
def test_a_python_that_is_not_initialized_has_no_interpreter(python, command, tmp_path, moment):
    layout = embedded_dlopen(python, tmp_path)
    with subprocess.Popen([*layout.command, moment], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={**os.environ, **layout.environment}) as process:
        try:
            assert process.stdout.readline() == b"waiting\n"
            document = inspected(command, process.pid)
            assert document["interpreters"] == []
        finally:
            process.kill()


# --- namespaces and users -------------------------------------------------------------------

# In a chroot, and in some containers, root may not either.
namespaces_only = pytest.mark.skipif(
    subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode != 0,
    reason="no mount namespace can be made here")


@root_only
@namespaces_only
def test_in_another_pid_namespace_and_its_own_mounts(each_python, command, tmp_path):
    """Native ids are shown as we know them, and as the target does. As process 1, as in a container:
    small numbers, that stand elsewhere too in what the C library knows of a thread."""
    with Target(each_python, ["names", "plain"], [RUNNING, IDLE],
                wrapper=["unshare", "-p", "-f", "--mount-proc"]) as target:
        assert target.pid != target.inner_pid
        document = inspected(command, target.pid)
        assert differences(target, document) == []
        ours = {thread["native_id"] for interpreter in document["interpreters"]
                for thread in interpreter["threads"]}
        assert ours == {int(task) for task in os.listdir(f"/proc/{target.pid}/task")}


FORK = """
import ctypes, os, settled, sys, threading
never = threading.Lock()
never.acquire()
def hold():
    never.acquire()
def wait():
    print(os.getpid(), flush=True)
    sys.stdin.read()
threading.Thread(target=hold, name="left behind", daemon=True).start()
# Nobody tells CPython of the fork: what the thread has just then, the GIL's mutex too, stays taken.
settled.wait_until_inside(futex=1)
child = ctypes.PyDLL(None).fork()
if child == 0:
    wait()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_child_of_a_fork_by_c_code_of_which_python_knows_nothing(each_python, command):
    """As uWSGI's workers: CPython has still the parent's ids, and threads that are not there."""
    with subprocess.Popen([each_python, "-c", FORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": str(PROGRAMS)}) as process:
        try:
            child = int(process.stdout.readline())
            wait_for(lambda: in_read(child) == 1)
            document = inspected(command, child)
        finally:
            process.stdin.close()
            process.wait()
    left, main = document["interpreters"][0]["threads"]
    assert (main["native_id"], main["state"], main["waits_in"]) == (child, "blocked", "read")
    assert [frame["function"] for frame in main["frames"]] == ["wait", "<module>"]
    assert left["native_id"] is None and left["state"] in ("gone", "unknown")


@root_only
@namespaces_only
def test_in_a_mount_namespace_where_the_files_are_elsewhere(python, command, tmp_path):
    """The executable's path names another file for us."""
    layout, file = copied(python, tmp_path, "python")
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    os.rename(file, hidden / "python")
    shutil.copy("/bin/true", inside / "python")
    script = f'mount --bind {hidden} {inside} && exec {inside}/python "$@"'
    with Target(python, ["names", "plain"], [RUNNING, IDLE],
                environment=layout.environment, executable=["sh", "-c", script, "sh"],
                wrapper=["unshare", "-m"]) as target:
        assert differences(target, inspected(command, target.pid)) == []


@root_only
def test_another_users_process_is_readable_for_root(python, command, tmp_path):
    os.chmod(tmp_path, 0o755)
    done = subprocess.run(["setpriv", "--reuid=65534", "--clear-groups", python, "-c", ""],
                          capture_output=True)
    if done.returncode != 0:
        pytest.skip("user 65534 can't execute this Python")
    process = subprocess.Popen(
        ["setpriv", "--reuid=65534", "--clear-groups", python, "-c",
         "def wait():\n  print(flush=True); input()\nwait()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with process:
        process.stdout.readline()
        try:
            document = inspected(command, process.pid)
            frames = document["interpreters"][0]["threads"][0]["frames"]
            assert [frame["function"] for frame in frames] == ["wait", "<module>"]
        finally:
            process.kill()


@root_only
def test_a_process_that_may_not_be_read_is_refused_with_the_cause(python, command, tmp_path):
    """The command as another user, on a process of root's."""
    shutil.copy(command, tmp_path / "reftracer")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and "pytest-of-" in str(folder):
            os.chmod(folder, 0o755)
    with Target(python) as target:
        done = run_command(["setpriv", "--reuid=65534", "--clear-groups",
                            tmp_path / "reftracer", "inspect", str(target.pid)])
        assert done.returncode == 1
        message = done.stderr.decode()
        assert str(target.pid) in message and "Traceback" not in message
        assert "user" in message or "root" in message, message


def test_no_such_process(command):
    done = run_command([command, "inspect", "4194304"])
    assert done.returncode == 1
    assert b"4194304" in done.stderr


def test_a_process_without_python(command):
    with subprocess.Popen(["sleep", "3600"]) as process:
        try:
            done = run_command([command, "inspect", str(process.pid)])
        finally:
            process.kill()
    assert done.returncode == 1
    assert b"Python" in done.stderr and b"sleep" in done.stderr


def test_a_child_of_fork_has_the_forking_thread_only(python, command):
    """The parent's other threads and their states are gone."""
    program = (
        "import os, sys, threading\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "def child():\n"
        "    print(os.getpid(), flush=True)\n"
        "    sys.stdin.read()\n"
        "def forks():\n"
        "    if os.fork() == 0: child(); os._exit(0)\n"
        "    os.wait()\n"
        "forks()\n"
    )
    process = subprocess.Popen([python, "-W", "ignore", "-c", program], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    with process:
        child = int(process.stdout.readline())
        try:
            document = inspected(command, child)
            threads = document["interpreters"][0]["threads"]
            assert len(threads) == 1
            assert [f["function"] for f in threads[0]["frames"]] == ["child", "forks", "<module>"]
            assert threads[0]["native_id"] == child
            parents = inspected(command, process.pid)["interpreters"][0]["threads"]
            assert len(parents) == 2
        finally:
            os.kill(child, signal.SIGKILL)
            process.kill()
