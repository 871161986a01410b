"""DB11: a plain look neither stops nor changes its target; checked by strace."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from conftest import run_command
from inspect_programs import is_traced, states, wait_for
from inspect_targets import IDLE, RUNNING, Target, differences, inspected

# System calls that would stop another process, or write to it.
FORBIDDEN = {
    "ptrace", "process_vm_writev", "kill", "tkill", "tgkill", "pidfd_send_signal",
    "rt_sigqueueinfo", "rt_tgsigqueueinfo", "process_madvise", "process_mrelease", "prlimit64",
    "sched_setaffinity", "setpriority", "move_pages", "migrate_pages", "pidfd_getfd",
}


def traced_calls(command, arguments, path):
    """(name, text) of each system call of a command, by strace."""
    done = run_command(["strace", "-f", "-qq", "-o", path, command, *arguments])
    if b"ptrace" in done.stderr and b"Operation not permitted" in done.stderr:
        pytest.skip("strace may not trace here: " + done.stderr.decode())
    assert done.returncode == 0, done.stderr.decode()
    calls = []
    for line in Path(path).read_text(errors="replace").splitlines():
        match = re.match(r"(?:\d+ +)?(\w+)\((.*)", line)
        if match:
            calls.append(match.groups())
    return calls, done


@pytest.mark.parametrize("options", [[], ["--json"], ["--locals"], ["--tasks"]],
                         ids=lambda options: " ".join(options) or "plain")
def test_DB11_strace_shows_no_stop_and_no_write(python, command, tmp_path, options):
    with Target(python, ["names", "asyncio_run", "plain"], [RUNNING, IDLE]) as target:
        calls, done = traced_calls(command, ["inspect", *options, str(target.pid)],
                                   tmp_path / "calls")
    names = {name for name, _ in calls}
    assert "openat" in names or "open" in names, "strace saw nothing"
    assert names & {"process_vm_readv", "pread64", "read"}
    stopping = [(name, text) for name, text in calls if name in FORBIDDEN]
    # prlimit64 on itself (pid 0), to read, is what libc does at its start.
    stopping = [(name, text) for name, text in stopping
                if not (name == "prlimit64" and text.startswith("0,") and ", NULL, " in text)]
    assert stopping == []
    opened = [text for name, text in calls if name in ("open", "openat", "openat2")]
    of_target = [text for text in opened if f"/proc/{target.pid}" in text]
    assert of_target, "nothing of /proc was opened"
    for text in opened:
        if "/dev/" in text:
            continue
        assert "O_RDONLY" in text, text
        assert not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND", text), text
    # What is written goes to stdout and stderr.
    for name, text in calls:
        if name in ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile"):
            assert re.match(r"[12],", text), (name, text)


def test_DB11_the_targets_memory_and_state_stay_as_they_were(python, command, tmp_path):
    """The writable memory of a waiting target, before and after 20 looks: byte for byte."""
    with Target(python, ["names", "plain"], [RUNNING, IDLE]) as target:
        before = memory(target.pid)
        status = waits(target.pid)
        for _ in range(20):
            inspected(command, target.pid)
        assert waits(target.pid) == status, "the target did not go on waiting in peace"
        after = memory(target.pid)
    assert before.keys() == after.keys()
    assert [area for area in before if before[area] != after[area]] == []


def memory(pid):
    """{area: bytes} of a process' writable memory."""
    areas = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            area, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(part, 16) for part in area.split("-"))
            parts = []
            for at in range(begin, end, 1 << 12):
                file.seek(at)
                try:
                    parts.append(file.read(1 << 12))
                except OSError:  # a guard page (MADV_GUARD_INSTALL)
                    parts.append(b"guard")
            areas[area] = b"".join(parts)
    return areas


def waits(pid):
    """Context switches of each thread: a thread that was stopped or woken has more."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        text = Path(f"/proc/{pid}/task/{task}/status").read_text()
        found[task] = re.findall(r"ctxt_switches:\s*(\d+)", text)
    return found


def test_DB11_a_stopped_target_is_seen_and_stays_stopped(python, command):
    with Target(python, ["names"], [IDLE]) as target:
        os.kill(target.pid, signal.SIGSTOP)
        wait_for(lambda: states(target.pid) == {"T"}, "its stop")
        document = inspected(command, target.pid)
        assert differences(target, document) == []
        assert document["interpreters"][-1]["threads"][0]["state"] == "stopped"
        assert states(target.pid) == {"T"}


def test_DB11_a_traced_target_can_still_be_seen(python, command):
    """Where a debugger has the process already, ptrace would fail."""
    with Target(python, ["names"]) as target:
        debugger = subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(target.pid)],
                                    stderr=subprocess.PIPE)
        try:
            wait_for(lambda: is_traced(target.pid), "strace")
            assert differences(target, inspected(command, target.pid)) == []
        finally:
            debugger.terminate()
            debugger.communicate()
