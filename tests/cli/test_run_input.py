"""What `reftracer run` does with a command line, a program or an output that is wrong:
a clear message on stderr, nothing on stdout, and the exit code that its help states."""

import os
import resource
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from conftest import TIMEOUT, run_command

FAILED, NOT_EXECUTABLE, NOT_FOUND, USAGE = 125, 126, 127, 2


@pytest.fixture
def run(reftracer, tmp_path):
    """run(*arguments) -> CompletedProcess with text, in an empty folder."""

    def run(*arguments, **more):
        more.setdefault("cwd", tmp_path)
        return reftracer("run", *arguments, text=True, **more)

    return run


def refused(done, code, *words):
    assert done.returncode == code, done
    assert done.stdout == ""
    assert done.stderr.startswith("reftracer: ")
    for word in words:
        assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
    return True


# ---- command line ----


def test_no_command_at_all(reftracer):
    done = reftracer(text=True)
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert "reftracer run" in done.stderr and "reftracer report" in done.stderr


def test_an_unknown_command_is_told_from_a_program_to_run(reftracer):
    done = reftracer("app.py", text=True)
    assert done.returncode == USAGE
    assert "reftracer run -- app.py" in done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_is_on_stdout(reftracer, arguments):
    done = reftracer(*arguments, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "reftracer run" in done.stdout


@pytest.mark.parametrize("name", ["run", "report", "diff"])
def test_each_command_has_help_that_states_its_exit_codes(reftracer, name):
    done = reftracer(name, "--help", text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Exit code" in done.stdout
    assert done.stdout == reftracer("help", name, text=True).stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 100


def test_version(reftracer):
    done = reftracer("--version", text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("reftracer ")


def test_no_program(run):
    assert refused(run(), USAGE, "which program?")
    assert refused(run("--"), USAGE, "which program?")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-x", "--", "true"], ["no option -x"]),
        (["--frobnicate", "--", "true"], ["--frobnicate"]),
        (["-o"], ["-o needs a value"]),
        (["-o", "", "--", "true"], ["-o needs"]),
        (["-m"], ["-m needs a value"]),
        (["-c"], ["-c needs a value"]),
    ],
)
def test_options_that_make_no_sense(run, arguments, words):
    assert refused(run(*arguments), USAGE, *words)


# ---- the program ----


@pytest.mark.parametrize("name", ["no-such-program", "./no-such-program", "/no/such/program", ""])
def test_a_program_that_is_not_there(run, name):
    assert refused(run("--", name), NOT_FOUND, name)


def test_a_python_that_is_not_there(run, tmp_path):
    assert refused(run("--python", "python9.99", "-c", "1"), NOT_FOUND, "python9.99")
    (tmp_path / "app.py").write_text("")
    done = run("app.py", env={"PATH": str(tmp_path)})
    assert refused(done, NOT_FOUND, "python3", "--python")


def test_a_script_that_is_not_there(run):
    assert refused(run("app.py"), NOT_FOUND, "app.py")


def test_a_program_that_may_not_be_executed(run, tmp_path):
    (tmp_path / "program").write_text("#!/bin/sh\n")
    assert refused(run("./program"), NOT_EXECUTABLE, "./program", "Permission denied")
    assert refused(run("program", env={"PATH": str(tmp_path)}), NOT_EXECUTABLE, "permission denied")


def test_a_folder_is_no_program(run, tmp_path):
    assert refused(run("--", str(tmp_path)), NOT_EXECUTABLE, "is a folder", "python3")


def test_a_script_whose_interpreter_is_missing(run, tmp_path):
    script = tmp_path / "program"
    script.write_text("#!/no/such/interpreter -x\n")
    script.chmod(0o755)
    assert refused(run("./program"), NOT_FOUND, "/no/such/interpreter")


def test_a_file_that_is_no_program_of_this_machine(run, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    program.chmod(0o755)
    done = run("-q", "./program")
    assert done.returncode == NOT_EXECUTABLE
    assert "cannot execute ./program" in done.stderr


def test_a_script_without_a_first_line_runs_in_the_shell(run, tmp_path):
    script = tmp_path / "program"
    script.write_text("echo from the shell; exit 3\n")
    script.chmod(0o755)
    done = run("./program")
    assert (done.returncode, done.stdout) == (3, "from the shell\n")


def test_a_program_that_is_no_python(run, tmp_path):
    done = run("-o", "app.rft", "--", "true")
    assert refused(done, FAILED, "nothing was traced", "CPython 3.13")
    assert list(tmp_path.iterdir()) == []


def test_the_status_of_a_program_that_is_no_python_is_passed_on(run):
    done = run("--", "sh", "-c", "exit 42")
    assert done.returncode == 42
    assert "nothing was traced" in done.stderr


def test_a_python_that_is_too_old(run, old_python, tmp_path):
    done = run("-o", "app.rft", "--", old_python, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (FAILED, "ran\n")
    assert "CPython " + old_python.name in done.stderr
    assert "3.13 or newer" in done.stderr
    assert not (tmp_path / "app.rft").exists()
    assert run("--", old_python, "-c", "raise SystemExit(7)").returncode == 7


@pytest.fixture
def static_program(tmp_path):
    source = tmp_path / "static.c"
    source.write_text("int main(void) { return 0; }\n")
    built = subprocess.run(["cc", "-static", "-o", tmp_path / "static", source], capture_output=True)
    if built.returncode != 0:
        pytest.skip("no static C library is installed")
    return "./static"


def test_a_statically_linked_program_is_named_before_it_starts(run, static_program):
    done = run("-o", "app.rft", "--", static_program)
    before, after = done.stderr.splitlines()
    assert done.returncode == FAILED
    assert "statically linked" in before and "warning" in before
    assert "statically linked" in after and "nothing was traced" in after


def test_a_set_uid_program_is_named_before_it_starts(run, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    try:
        os.chown(program, 12345, -1)
    except PermissionError:
        pytest.skip("needs root")
    program.chmod(0o4755)
    done = run("-o", "app.rft", "--", "./program")
    assert done.returncode == FAILED
    assert "set-uid" in done.stderr.splitlines()[0]


# ---- the output ----


@pytest.mark.parametrize("output", ["no/such/folder/app.rft", "/no/such/app.rft"])
def test_a_folder_that_is_not_there(run, output):
    assert refused(run("-o", output, "--", "true"), FAILED, "does not exist", "mkdir -p")


def test_a_folder_in_place_of_a_file(run, tmp_path):
    (tmp_path / "folder").mkdir()
    assert refused(run("-o", "folder", "--", "true"), FAILED, "is a folder", "folder/app.rft")
    assert refused(run("-o", "folder/", "--", "true"), FAILED, "is a folder")


def test_a_folder_that_is_a_file(run, tmp_path):
    (tmp_path / "file").write_text("")
    assert refused(run("-o", "file/app.rft", "--", "true"), FAILED, "file/app.rft")


def test_a_folder_that_may_not_be_written_to(command_for_all):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        # Root may write anywhere; pytest's own folders are closed to others.
        more = {"user": 65534, "group": 65534} if os.getuid() == 0 else {}
        done = run_command(
            [command_for_all, "run", "-o", f"{folder}/app.rft", "--", "true"],
            cwd="/",
            text=True,
            **more,
        )
    assert refused(done, FAILED, folder, "Permission denied", "-o FILE")


def test_a_working_folder_that_may_not_be_written_to_is_not_asked_for(command_for_all, pythons):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        more = {"user": 65534, "group": 65534} if os.getuid() == 0 else {}
        environment = {**os.environ, "TMPDIR": folder}
        done = run_command(
            [command_for_all, "run", "--", pythons[-1], "-c", "1"],
            cwd="/proc",
            env=environment,
            text=True,
            **more,
        )
        assert done.returncode == 0, done
        assert f"wrote {folder}/reftracer-code." in done.stderr


def test_a_limit_of_file_size_that_leaves_no_room_is_named_before_the_program_starts(run):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))
    done = run("--", "echo", "started", preexec_fn=limit)
    assert refused(done, FAILED, "1024 bytes", "ulimit -f")


def test_without_a_descriptor_for_messages_the_trace_itself_tells(run, pythons):
    """The trace takes the last one; the program finds no file to run, as it says itself."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4, 4))
    done = run("-o", "app.rft", "--", pythons[-1], "-c", "pass", preexec_fn=limit)
    assert "was no CPython" not in done.stderr
    assert "wrote app.rft" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root may take /proc away")
def test_the_agent_is_found_without_proc(command, tmp_path, pythons):
    without_proc = ["unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]
    if run_command([*without_proc, "true"]).returncode != 0:
        pytest.skip("this machine lets nobody take /proc away")
    done = run_command(
        [*without_proc, command, "run", "-o", "app.rft", "--", pythons[-1], "-c", "print(1)"],
        cwd=tmp_path,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "1\n"), done
    assert "wrote app.rft" in done.stderr


def test_an_existing_output_is_kept(run, tmp_path):
    trace = tmp_path / "app.rft"
    trace.write_text("precious")
    done = run("-o", "app.rft", "--", "touch", "started")
    assert refused(done, FAILED, "app.rft exists already", "-f")
    assert trace.read_text() == "precious"
    assert not (tmp_path / "started").exists()


def test_force_removes_the_traces_of_the_run_before_and_nothing_else(run, tmp_path):
    old = ["app.rft", "app.1.rft", "app.4711.rft", "app.4711-2.rft"]
    kept = ["app.new.rft", "app.4711.rft.bak", "app.12a.rft", "apple.12.rft", "app.4711", "app..rft"]
    for name in old + kept:
        (tmp_path / name).write_text("")
    run("-f", "-o", "app.rft", "--", "true")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_force_never_removes_what_is_no_file(run, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    done = run("-f", "-o", "pipe", "--", "true")
    assert refused(done, FAILED, "no regular file")
    assert (tmp_path / "pipe").is_fifo()


# ---- the agent ----


def test_an_agent_that_is_not_there(run, tmp_path):
    environment = {**os.environ, "REFTRACER_AGENT": "/no/such/agent.so"}
    done = run("--", "true", env=environment)
    assert refused(done, FAILED, "/no/such/agent.so", "REFTRACER_AGENT")


def test_a_command_that_was_moved_without_its_agent(command, tmp_path):
    moved = tmp_path / "reftracer"
    moved.write_bytes(command.read_bytes())
    moved.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if k != "REFTRACER_AGENT"}
    if list(Path("/usr/local/lib").glob("**/reftracer/libreftracer-agent.so")):
        pytest.skip("reftracer is installed on this machine")
    done = subprocess.run([moved, "run", "true"], capture_output=True, text=True, env=environment)
    assert refused(done, FAILED, "libreftracer-agent.so", "REFTRACER_AGENT")


def test_an_agent_whose_path_the_loader_cannot_be_told(command, run, tmp_path):
    agent = tmp_path / "with space.so"
    agent.write_bytes(b"")
    done = run("--", "true", env={**os.environ, "REFTRACER_AGENT": str(agent)})
    assert refused(done, FAILED, "LD_PRELOAD")


# ---- signals and descriptors ----


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_sent_to_the_command_reach_the_program(command, tmp_path, number):
    script = f"trap 'echo got; exit 9' {int(number)}; echo ready; while :; do sleep 0.02; done"
    with subprocess.Popen(
        [command, "run", "-q", "--", "sh", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        assert process.stdout.read() == "got\n"
        assert process.wait(TIMEOUT) == 9


def test_a_program_that_a_signal_ends(run):
    assert run("--", "sh", "-c", "kill -SEGV $$").returncode == 128 + signal.SIGSEGV


def test_what_the_command_was_told_to_ignore_the_program_ignores(command, tmp_path):
    done = subprocess.run(
        ["sh", "-c", f"trap '' HUP; exec {command} run -q -- sh -c 'kill -HUP $$; echo alive'"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout == "alive\n"


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]])
def test_closed_descriptors_stay_closed(command, tmp_path, closed):
    """Neither the command's own files nor its stand-ins show up in the program."""
    closing = " ".join(f"{number}>&-" for number in closed)
    listing = f"for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n >> {tmp_path}/open; done; exit 5"
    line = f"{command} run -q -- sh -c '{listing}' {closing}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, stderr=subprocess.PIPE)
    assert done.returncode == 5
    shown = (tmp_path / "open").read_text().split() if (tmp_path / "open").exists() else []
    assert shown == [str(number) for number in range(3) if number not in closed]


def test_quiet_says_nothing_about_a_run_that_went_well(run, pythons):
    done = run("-q", "-o", "app.rft", "--", pythons[-1], "-c", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_last_lines_say_what_was_written_and_what_to_do_next(run, pythons):
    done = run("-o", "app.rft", "--", pythons[-1], "-c", "1")
    wrote, then = done.stderr.splitlines()
    assert wrote.startswith("reftracer: wrote app.rft (") and " births, " in wrote
    assert then == "reftracer: now see what grows: reftracer report app.rft"


def test_traces_of_children_are_counted_in_the_last_lines(run, pythons):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', '1'])"
    done = run("-o", "app.rft", "--", pythons[-1], "-c", code)
    wrote, then = done.stderr.splitlines()
    assert "and 1 more of child processes" in wrote
    assert then.endswith("reftracer report app.rft app.*.rft")


@pytest.mark.parametrize("name", ["two words.rft", "it's.rft", "new\nline\\.rft", b"\xfe.rft"])
def test_the_line_that_says_what_to_do_next_can_be_given_to_a_shell(
    reftracer, command, tmp_path, pythons, name
):
    code = "import os; os.fork() or exit(); os.wait()"
    done = reftracer("run", "-o", name, "--", pythons[-1], "-c", code, cwd=tmp_path)
    wrote, then = done.stderr.splitlines()
    assert wrote.startswith(b"reftracer: wrote ") and b"and 1 more of child processes" in wrote
    _, line = then.split(b"reftracer report ")
    report = os.fsencode(command) + b" report " + line
    done = subprocess.run(["bash", "-c", report], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b" and 1 process more" in done.stdout
    # So can those of the report.
    hint = [at for at in done.stdout.splitlines() if at.endswith(b"all garbage (--group-by line)")]
    words = hint[0].split(b"reftracer report ")[1].split(b" --view churn")[0]
    again = os.fsencode(command) + b" report --view churn " + words
    assert subprocess.run(["bash", "-c", again], cwd=tmp_path, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    "arguments, name",
    [
        (["-c", "1"], "code"),
        (["-m", "this"], "this"),
        (["app.py"], "app"),
    ],
)
def test_without_a_name_the_trace_is_called_after_the_program(
    run, tmp_path, pythons, arguments, name
):
    (tmp_path / "app.py").write_text("")
    done = run("--python", pythons[-1], *arguments)
    assert done.returncode == 0, done
    (trace,) = tmp_path.glob("*.rft")
    head, given, pid, tail = trace.name.replace("reftracer-", "reftracer.").split(".")
    assert (given, tail) == (name, "rft")
    assert pid.isdigit()


def test_arguments_are_passed_as_they_are(run, tmp_path, pythons):
    (tmp_path / "app.py").write_text("import sys; print(sys.argv)")
    words = ["-o", "--", "-f", "", "a b", "*"]
    done = run("-q", "--python", pythons[-1], "app.py", *words)
    assert done.stdout == f"{['app.py', *words]}\n"
    done = run("-q", "--python", pythons[-1], "-c", "import sys; print(sys.argv)", *words)
    assert done.stdout == f"{['-c', *words]}\n"
