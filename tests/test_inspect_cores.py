"""Core files: of crashes and of gcore, packed, cut, filtered, without their executable; always
compared with what the target said before it died."""

import gzip
import os
import json
import re
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import TIMEOUT, pythons_at_hand, run_command
from inspect_builds import about, copied
from inspect_targets import IDLE, RUNNING, Target, differences, inspected, no_kernel_cores, stack

SIGNALS = {"segv": signal.SIGSEGV, "abort": signal.SIGABRT, "kill": signal.SIGQUIT}
UNLIMITED = resource.RLIM_INFINITY


def need_kernels_cores():
    why = no_kernel_cores()
    if why:
        pytest.skip(why + "; the same crashes are tested with cores written by gdb")


def under_gdb(folder):
    """A wrapper that lets a program crash under gdb, which writes the core."""
    return ["gdb", "-nx", "-nh", "-batch", "--readnever", "-iex", "set auto-solib-add off",
            "-iex", "set debuginfod enabled off",
            "-ex", "handle all nostop noprint pass", "-ex", "handle SIGSEGV SIGABRT SIGQUIT stop",
            "-ex", "run", "-ex", f"generate-core-file {folder}/core", "-ex", "kill", "--args"]


def crashed(python, end, writer, folder, interpreters=(RUNNING, IDLE), **options):
    """A target that has ended with a signal, and left `folder`/core."""
    if writer == "kernel":
        need_kernels_cores()
        options["core_limit"] = options.get("core_limit", UNLIMITED)
    else:
        options["wrapper"] = under_gdb(folder)
    return Target(python, ["names", "plain"], interpreters, end=end, cwd=folder, **options)


@pytest.fixture(scope="module")
def newest(pythons):
    return pythons[-1]


@pytest.fixture(scope="module")
def crash(newest, tmp_path_factory):
    """A target that crashed, and its core, for the tests that only read it."""
    folder = tmp_path_factory.mktemp("crash")
    with crashed(newest, "segv", "gdb" if no_kernel_cores() else "kernel", folder) as target:
        target.path = target.core()
        yield target


# --- crashes ----------------------------------------------------------------------------


@pytest.mark.parametrize("end", list(SIGNALS))
def test_DB7_a_crash_shows_its_signal_thread_and_all_interpreters(
        each_python, end, command, tmp_path):
    check_crash(each_python, end, "kernel", command, tmp_path)


@pytest.mark.parametrize("end", list(SIGNALS))
def test_DB7_a_crash_under_gdb(end, command, tmp_path):
    """With a Python whose threads' stacks gdb can write (Target.dump says which it can't)."""
    check_crash(pythons_at_hand()[0], end, "gdb", command, tmp_path)


def check_crash(python, end, writer, command, tmp_path):
    with crashed(python, end, writer, tmp_path) as target:
        document = inspected(command, target.core())
        assert differences(target, document) == []
        crashing = next(record for record in target.threads if "finish" in
                        [frame["function"] for frame in record["frames"]])
        process = document["process"]
        about = process["signal"]
        assert (about["number"], about["name"]) == (SIGNALS[end], SIGNALS[end].name)
        assert about["thread"] == crashing["native_id"]
        assert process["namespace_pid"] == target.inner_pid
        if end == "segv":
            assert int(about["address"], 16) == 8
        states = {thread["native_id"]: thread["state"]
                  for interpreter in document["interpreters"] for thread in interpreter["threads"]}
        assert states[crashing["native_id"]] == "crashed"
        assert list(states.values()).count("crashed") == 1


def test_DB7_a_crash_in_a_sub_interpreters_thread(python, command, tmp_path):
    need_kernels_cores()
    program = (
        "import _interpreters, threading, faulthandler\n"
        "i = _interpreters.create('isolated')\n"
        "text = 'import os, signal\\ndef dies():\\n    os.kill(os.getpid(), signal.SIGSEGV)\\n"
        "    signal.pause()\\ndies()'\n"
        "t = threading.Thread(target=_interpreters.run_string, args=(i, text)); t.start(); t.join()\n"
    )
    def limits():
        resource.setrlimit(resource.RLIMIT_CORE, (UNLIMITED, UNLIMITED))
    subprocess.run([python, "-c", program], cwd=tmp_path, preexec_fn=limits, timeout=TIMEOUT)
    document = inspected(command, next(tmp_path.glob("core*")))
    by_id = {interpreter["id"]: interpreter for interpreter in document["interpreters"]}
    assert sorted(by_id) == [0, 1]
    functions = [f["function"] for f in by_id[1]["threads"][0]["frames"]]
    assert functions == ["dies", "<module>"]


def test_the_text_of_a_crash_names_signal_and_thread_first(crash, command):
    done = run_command([command, "inspect", crash.path])
    text = done.stdout.decode()
    assert done.returncode == 0
    head = "\n".join(text.splitlines()[:6])
    assert "SIGSEGV" in head, text
    assert "string_at" in text
    assert max(len(line) for line in text.splitlines()) < 200


def test_gcore_as_it_comes(each_python, command, tmp_path):
    """The script of gdb's own, with all its defaults. Where gdb left threads' C stacks out
    (Target.dump), the frames that are shown are the innermost, and the thread says so."""
    with Target(each_python, ["names", "plain"], [RUNNING, IDLE]) as target:
        done = run_command(["gcore", "-o", tmp_path / "core", str(target.pid)])
        core = tmp_path / f"core.{target.pid}"
        assert core.exists(), done.stderr
        document = inspected(command, core)
        assert not document["process"]["signal"]
        # It never can read the page of the kernel's, vsyscall.
        lost = re.findall(rb"section, (\d+) bytes", done.stderr + done.stdout)
        if max(map(int, lost), default=0) <= 4096:
            assert differences(target, document) == []
            return
        said = {(record["interpreter"], record["id"]): stack(record["frames"])
                for record in target.threads}
        whole = 0
        for interpreter in document["interpreters"]:
            for thread in interpreter["threads"]:
                seen = stack(thread["frames"])
                expected = said.pop((interpreter["id"], thread["id"]))
                assert seen == expected[:len(seen)]
                assert seen == expected or thread["problem"]
                whole += seen == expected
        assert said == {} and whole >= 1


# --- packed ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["core.gz", "core.zst", "no-extension-gz", "no-extension-zst"])
def test_packed_cores_are_read_as_they_are(crash, command, tmp_path, name):
    packed = tmp_path / name
    with open(crash.path, "rb") as source, open(packed, "wb") as target:
        tool = ["gzip", "-1"] if "gz" in name else ["zstd", "-1", "-q"]
        subprocess.run(tool, stdin=source, stdout=target, check=True)
    plain, unpacked = inspected(command, crash.path), inspected(command, packed)
    assert differences(crash, unpacked) == []
    assert plain["interpreters"] == unpacked["interpreters"]


@pytest.mark.parametrize("tool", ["gzip", "zstd"])
def test_a_packed_core_that_is_cut_is_said_to_be(crash, command, tmp_path, tool):
    packed = tmp_path / "core"
    with open(crash.path, "rb") as source:
        content = subprocess.run([tool, "-1", "-c"], stdin=source, capture_output=True, check=True).stdout
    for share in (0.0001, 0.3, 0.9):
        packed.write_bytes(content[:int(len(content) * share)])
        ends_well_or_says_why(command, packed)


def time_of_children():
    """Their time on a CPU: how long they wait for one depends on what else the machine does."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ends_well_or_says_why(command, path, seconds=20):
    before = time_of_children()
    done = run_command([command, "inspect", "--json", path])
    assert time_of_children() - before < seconds
    assert done.returncode in (0, 1), (done.returncode, done.stderr)
    if done.returncode == 1:
        message = done.stderr.decode()
        assert message.strip() and len(message) < 2000
        assert "reftracer" in message
    else:
        assert done.stdout.strip().startswith(b"{")
    return done


# --- cut and filtered --------------------------------------------------------------------


def test_DB12_cores_cut_at_any_size(crash, command, tmp_path):
    size = crash.path.stat().st_size
    cut = tmp_path / "core"
    shutil.copy(crash.path, cut)
    points = sorted({size - 1, size - 4096, *(int(size * share / 20) for share in range(20)),
                     0, 1, 4, 16, 63, 64, 65, 120, 4095, 4096, 65536}, reverse=True)
    read = 0
    for point in points:
        os.truncate(cut, point)
        done = ends_well_or_says_why(command, cut)
        if done.returncode == 0:
            read += 1
    assert read >= 2, "of a core that lacks its last bytes most must still be readable"


def test_of_a_core_that_is_cut_no_frame_is_left_out_between_others(crash, command, tmp_path):
    """A frame whose code is not there is shown as such: a caller must not seem to call another."""
    def stacks(core):
        return {thread["address"]: [(frame["frame"], frame["function"]) for frame in thread["frames"]]
                for interpreter in inspected(command, core)["interpreters"]
                for thread in interpreter["threads"]}

    whole = stacks(crash.path)
    size = crash.path.stat().st_size
    cut = tmp_path / "core"
    shutil.copy(crash.path, cut)
    unknown = 0
    for share in range(99, 60, -1):
        os.truncate(cut, size * share // 100)
        done = run_command([command, "inspect", cut])
        if done.returncode != 0:
            assert b"the core is cut" in done.stderr
            continue
        for address, frames in stacks(cut).items():
            assert [at for at, _ in frames] == [at for at, _ in whole[address]][:len(frames)]
            assert all(name in (wanted, "?") for (_, name), (_, wanted)
                       in zip(frames, whole[address]))
            unknown += sum(name == "?" for _, name in frames)
    assert unknown, "no code object was cut off"


@pytest.mark.parametrize("size", [1 << 16, 1 << 20, 1 << 23])
def test_a_core_that_ulimit_has_cut(newest, command, tmp_path, size):
    with crashed(newest, "segv", "kernel", tmp_path, core_limit=size) as target:
        ends_well_or_says_why(command, target.core())


# Bits: 0 private anonymous, 1 shared anonymous, 2 private files, 3 shared files, 4 ELF headers
# (core(5)). What Python has written to is private and anonymous.
@pytest.mark.parametrize("bits", ["0x1", "0x11", "0x23", "0x33", "0x7f", "0x0", "0x10"])
def test_coredump_filter(newest, command, tmp_path, bits):
    wrapper = ["sh", "-c", f'echo {bits} >/proc/self/coredump_filter && exec "$@"', "sh"]
    need_kernels_cores()
    with Target(newest, ["names", "plain"], [RUNNING, IDLE], end="segv", cwd=tmp_path,
                core_limit=UNLIMITED, wrapper=wrapper) as target:
        core = target.core()
        if int(bits, 16) & 1:
            assert differences(target, inspected(command, core)) == []
        else:
            done = ends_well_or_says_why(command, core)
            assert done.returncode == 0 or b"coredump_filter" in done.stderr


# --- without the files -------------------------------------------------------------------


def shared_and_static():
    found = {}
    for python in pythons_at_hand():
        if python.version >= (3, 12) and not python.debug:
            found.setdefault(about(python)[3], python)
    return list(found.values())


@pytest.mark.parametrize("file_python", shared_and_static(), ids=lambda python: python.name)
@pytest.mark.parametrize("fate", ["missing", "replaced", "text", "folder"])
def test_the_executable_is_not_what_it_was(file_python, fate, command, tmp_path):
    layout, file = copied(file_python, tmp_path, "python")
    with Target(file_python, ["names", "plain"], [RUNNING, IDLE], executable=layout.command,
                environment=layout.environment) as target:
        core = target.dump(tmp_path / "core")
        executable = Path(layout.command[0])
        for path in {executable, file}:
            path.unlink()
            if fate == "replaced":
                shutil.copy("/bin/true", path)
            elif fate == "text":
                path.write_text("#!/bin/sh\n")
            elif fate == "folder":
                path.mkdir()
        document = inspected(command, core)
        assert differences(target, document) == []
        assert document["process"]["missing"], "it must say what is missing"
        assert file.name in document["process"]["missing"] or executable.name in \
            document["process"]["missing"]


def test_exe_and_sysroot_where_the_files_have_moved(newest, command, tmp_path):
    layout, file = copied(newest, tmp_path, "python")
    moved = tmp_path / "moved-away"
    with Target(newest, ["names", "plain"], [RUNNING, IDLE], executable=layout.command,
                environment=layout.environment) as target:
        core = target.dump(tmp_path / "core")
        file.rename(moved)
        document = inspected(command, core, "--exe", str(moved))
        assert differences(target, document) == []
        assert str(file) not in (document["process"]["missing"] or "")
        root = tmp_path / "root"
        (root / str(file).lstrip("/")).parent.mkdir(parents=True)
        moved.rename(root / str(file).lstrip("/"))
        document = inspected(command, core, "--sysroot", str(root))
        assert differences(target, document) == []
        assert f"{file} " not in (document["process"]["missing"] or "")


def test_a_wrong_exe_changes_nothing_but_is_said(newest, crash, command):
    done = run_command([command, "inspect", "--json", "--exe", "/bin/true", crash.path])
    assert done.returncode in (0, 1)
    if done.returncode == 0:
        document = json.loads(done.stdout)
        assert differences(crash, document) == []
        assert "true" in done.stderr.decode() + document["process"]["missing"]
    else:
        assert "/bin/true" in done.stderr.decode()


# --- no core at all ------------------------------------------------------------------------


def test_what_is_no_core_is_refused_by_name(command, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no core\n" * 1000)
    empty = tmp_path / "empty"
    empty.touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    for subject in (text, empty, folder, Path("/bin/true"), tmp_path / "absent"):
        done = run_command([command, "inspect", subject])
        assert done.returncode == 1, subject
        assert subject.name in done.stderr.decode(), done.stderr
        assert done.stdout == b""


def test_a_core_without_python_is_refused(command, tmp_path):
    with subprocess.Popen(["sleep", "3600"]) as process:
        try:
            run_command(["gdb", "-nx", "-batch", "-p", str(process.pid), "-ex",
                         f"generate-core-file {tmp_path}/core"])
        finally:
            process.kill()
    done = run_command([command, "inspect", tmp_path / "core"])
    assert done.returncode == 1
    assert b"Python" in done.stderr


def test_the_core_of_many_threads_and_interpreters(python, command, tmp_path):
    with Target(python, ["plain", "names"] * 20, [IDLE, RUNNING] * 10) as target:
        core = target.dump(tmp_path / "core")
        assert differences(target, inspected(command, core)) == []
        core.unlink()
