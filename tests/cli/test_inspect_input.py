"""What `reftracer inspect` does with processes, files and options that are wrong."""

import json
import os
import pathlib
import pty
import shutil
import signal
import subprocess
import time

import pytest

from conftest import TIMEOUT
from rftwrite import Trace

UNREADABLE, USAGE = 1, 2


@pytest.fixture
def inspect(reftracer, tmp_path):
    def run(*arguments, **more):
        more.setdefault("cwd", tmp_path)
        return reftracer("inspect", *arguments, text=True, **more)

    return run


@pytest.fixture
def sleeper(pythons):
    """A Python that sleeps: in the kernel, not on its way there."""
    program = "import time; print(flush=True); time.sleep(3600)"
    with subprocess.Popen([pythons[-1], "-c", program], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        while pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2][0] != "S":
            time.sleep(0.005)
        yield process
        process.kill()


def refused(done, code, *words):
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.startswith("reftracer: ")
    for word in words:
        assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
    return True


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], ["which process or core", "inspect --help"]),
        (["1", "2"], ["one process", "2 is too much"]),
        ([""], ["empty"]),
        (["--unknown", "1"], ["--unknown"]),
        (["--looks", "0", "1"], ["--looks", "from 1"]),
        (["--looks", "many", "1"], ["many"]),
        (["--interpreter", "main", "1"], ["--interpreter", "main"]),
        (["--thread", "0x", "1"], ["--thread"]),
        (["--watch=0", "1"], ["--watch", "seconds"]),
        (["--watch=nan", "1"], ["--watch", "seconds"]),
        (["--watch", "core"], ["live process"]),
        (["--exe", "/bin/true", "1"], ["--exe", "core files", "./1"]),
        (["--all", "1"], ["--all"]),
        (["--all", "--watch"], ["--watch"]),
        (["--stacks", "1"], ["--stacks"]),
    ],
)
def test_command_lines_that_make_no_sense(inspect, arguments, words):
    assert refused(inspect(*arguments), USAGE, *words)


def test_the_help_names_every_option_and_the_exit_codes(inspect):
    done = inspect("--help")
    assert done.returncode == 0
    for word in ("--all", "--json", "--watch", "--locals", "--native", "--tasks", "--exe",
                 "--sysroot", "--interpreter", "--thread", "--no-color", "--looks", "Exit code"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 90


# --- processes -------------------------------------------------------------------------


def ended_pid():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_a_process_that_is_not_there(inspect):
    pid = ended_pid()
    assert refused(inspect(pid := str(pid)), UNREADABLE, pid, "No such process")
    assert refused(inspect("4294967297"), UNREADABLE, "no process id")


def test_a_file_named_like_a_process_that_is_not_there(inspect, tmp_path):
    pid = str(ended_pid())
    (tmp_path / pid).write_text("a core?")
    assert refused(inspect(pid), UNREADABLE, f"./{pid}")
    assert refused(inspect(f"./{pid}"), UNREADABLE, "core")


def test_a_process_that_is_no_python(inspect):
    with subprocess.Popen(["sleep", "3600"]) as process:
        assert refused(inspect(str(process.pid)), UNREADABLE, "no CPython", "sleep")
        process.kill()


@pytest.mark.parametrize(
    "name, called", [("python2.7", "Python 2.7"), ("python3.7", "Python 3.7"), ("pypy3", "PyPy")]
)
def test_other_pythons_are_named(inspect, tmp_path, name, called):
    shutil.copy(shutil.which("sleep"), tmp_path / name)
    with subprocess.Popen([tmp_path / name, "3600"]) as process:
        assert refused(inspect(str(process.pid)), UNREADABLE, called, "3.8")
        process.kill()


def test_a_python_that_has_only_just_been_started(inspect, tmp_path):
    shutil.copy(shutil.which("sleep"), tmp_path / "python3.12")
    with subprocess.Popen([tmp_path / "python3.12", "3600"]) as process:
        assert refused(inspect(str(process.pid)), UNREADABLE, "no CPython", "by its name", "again")
        process.kill()


def test_a_zombie(inspect):
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert refused(inspect(str(process.pid)), UNREADABLE, "zombie")
    process.wait()


def test_a_process_that_may_not_be_read(command, sleeper, tmp_path):
    if os.getuid() != 0:
        pytest.skip("only root can become another user, who may then not read root's process")
    copy = tmp_path / "reftracer"
    shutil.copy(command, copy)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o755)
    done = subprocess.run([copy, "inspect", str(sleeper.pid)], user=65534, group=65534,
                          extra_groups=[], cwd="/", capture_output=True, text=True, timeout=TIMEOUT)
    assert refused(done, UNREADABLE, "another user", "as root")


def test_a_thread_or_interpreter_that_is_not_in_it(inspect, sleeper):
    assert refused(inspect(str(sleeper.pid), "--thread", "1"), UNREADABLE, "no such thread")
    assert refused(inspect(str(sleeper.pid), "--interpreter", "7"), UNREADABLE,
                   "no such interpreter")


# --- files ---------------------------------------------------------------------------------


def test_files_that_are_no_core(inspect, tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("not a core\n" * 100)
    os.mkfifo(tmp_path / "pipe")
    Trace().write(tmp_path / "app.rft")
    assert refused(inspect("missing"), UNREADABLE, "missing", "No such file")
    assert refused(inspect("empty"), UNREADABLE, "empty")
    assert refused(inspect("text"), UNREADABLE, "text", "core")
    assert refused(inspect("."), UNREADABLE, "folder")
    assert refused(inspect("pipe"), UNREADABLE, "no regular file")
    assert refused(inspect("/dev/zero"), UNREADABLE, "no regular file")
    assert refused(inspect("app.rft"), UNREADABLE, "reftracer report app.rft")
    assert refused(inspect("/bin/true"), UNREADABLE, "core")


def test_names_of_files_do_not_steer_the_terminal(inspect):
    done = inspect("core\x1b[31m\nx")
    assert refused(done, UNREADABLE)
    assert "\x1b" not in done.stderr


def test_an_executable_or_sysroot_that_is_not_there(inspect, tmp_path):
    (tmp_path / "core").write_bytes(b"\x7fELF")
    assert refused(inspect("core", "--exe", "no/python"), UNREADABLE, "no/python", "No such file")
    assert refused(inspect("core", "--sysroot", "no/root"), UNREADABLE, "no/root")


# --- output, and processes that end --------------------------------------------------------------


def test_a_pipe_that_is_closed_ends_the_command(command, sleeper):
    for options in ([], ["--watch=0.01"], ["--json", "--watch=0.01"]):
        process = subprocess.Popen([command, "inspect", *options, str(sleeper.pid)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        assert process.wait(TIMEOUT) in (-signal.SIGPIPE, 0)
        assert process.stderr.read() == b""
        process.stderr.close()


def test_a_disk_that_is_full_is_told(command, sleeper):
    with open("/dev/full", "w") as full:
        done = subprocess.run([command, "inspect", str(sleeper.pid), "--watch=0.01"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=TIMEOUT)
    assert done.returncode == UNREADABLE
    assert "No space left" in done.stderr


def test_watching_ends_with_the_process(command, sleeper):
    watch = subprocess.Popen([command, "inspect", "--watch", "0.02", str(sleeper.pid), "--json"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [watch.stdout.readline() for _ in range(3)]
    sleeper.kill()
    sleeper.wait()
    rest, errors = watch.communicate(timeout=TIMEOUT)
    assert watch.returncode == 0
    assert f"process {sleeper.pid} has ended" in errors

    documents = [json.loads(line) for line in lines + rest.splitlines()]
    assert [document["looks"] for document in documents[:3]] == [1, 2, 3]
    assert documents[2]["interpreters"][0]["threads"][0]["looks"]["unmoved"] == 3


def test_watching_ends_cleanly_with_ctrl_c(command, sleeper):
    for number in (signal.SIGINT, signal.SIGTERM):
        watch = subprocess.Popen([command, "inspect", str(sleeper.pid), "--watch", "0.05"],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert watch.stdout.readline()
        watch.send_signal(number)
        _, errors = watch.communicate(timeout=TIMEOUT)
        assert (watch.returncode, errors) == (0, "")


def test_watching_on_a_terminal_draws_on_the_second_screen_and_leaves_it(command, sleeper):
    ours, theirs = pty.openpty()
    watch = subprocess.Popen([command, "inspect", str(sleeper.pid), "--watch=0.05"],
                             stdout=theirs, stderr=theirs, stdin=theirs, close_fds=True,
                             env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    seen = b""
    while seen.count(b"\x1b[H") < 3:
        seen += os.read(ours, 65536)
    watch.send_signal(signal.SIGINT)
    try:
        while part := os.read(ours, 65536):
            seen += part
    except OSError:
        pass  # the terminal has no other side any more
    os.close(ours)
    assert watch.wait(TIMEOUT) == 0
    assert seen.startswith(b"\x1b[?1049h")
    assert seen.rindex(b"\x1b[?1049l") > seen.rindex(b"\x1b[H")
    assert b"<module>" in seen[seen.rindex(b"\x1b[?1049l"):]


def test_no_colours_unless_on_a_terminal(command, inspect, sleeper):
    assert "\x1b" not in inspect(str(sleeper.pid)).stdout

    def on_terminal(*options, **variables):
        ours, theirs = pty.openpty()
        subprocess.run([command, "inspect", str(sleeper.pid), *options], stdout=theirs, check=True,
                       timeout=TIMEOUT, env={**os.environ, "TERM": "xterm", **variables})
        os.close(theirs)
        text = os.read(ours, 65536)
        os.close(ours)
        return text

    assert b"\x1b[" in on_terminal()
    assert b"\x1b[" not in on_terminal("--no-color")
    assert b"\x1b[" not in on_terminal(NO_COLOR="1")


def test_a_process_that_ends_while_we_look_is_no_crash(command, pythons):
    """Looks at processes that live for some milliseconds, at all moments of their lives."""
    statuses = set()
    for wait in range(30):
        with subprocess.Popen([pythons[-1], "-S", "-c", "pass"]) as process:
            time.sleep(wait / 1500)
            done = subprocess.run([command, "inspect", str(process.pid)], capture_output=True,
                                  text=True, timeout=TIMEOUT)
            statuses.add(done.returncode)
            assert done.returncode in (0, UNREADABLE), done
            assert (done.returncode == 0) == (done.stderr == "")
    assert statuses
