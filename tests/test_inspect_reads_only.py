"""Inspection reads: its system calls, seen by strace, neither stop nor change the target."""

import os
import re
import signal
import subprocess

import pytest
from conftest import run_command
from inspect_programs import states, wait_for
from inspect_targets import PROGRAMS

PROGRAM = """
import threading, time
threads = [threading.Thread(target=time.sleep, args=(3600,), daemon=True) for _ in range(5)]
for thread in threads: thread.start()
print(flush=True)
time.sleep(3600)
"""

# What could stop, change or signal another process.
FORBIDDEN = "ptrace,process_vm_writev,kill,tkill,tgkill,pidfd_send_signal,process_madvise"


@pytest.mark.free_threaded
def test_DB11_a_target_is_neither_stopped_nor_written_to(each_python, command, tmp_path):
    log = tmp_path / "strace.txt"
    with subprocess.Popen([each_python, "-c", PROGRAM], stdout=subprocess.PIPE) as target:
        try:
            target.stdout.readline()
            done = run_command(
                ["strace", "-f", "-qq", "-o", log, "-e", f"trace={FORBIDDEN},openat,open,process_vm_readv",
                 command, "inspect", str(target.pid)]
            )  # fmt: skip
            assert done.returncode == 0, done.stderr.decode()
            assert b"time.sleep" in done.stdout or b"<module>" in done.stdout
        finally:
            target.send_signal(signal.SIGKILL)
    calls = log.read_text().splitlines()
    names = {found[1] for call in calls if (found := re.match(r"\d+ +(\w+)\(", call))}
    assert names & {"openat", "open"}  # strace has seen something
    assert names & set(FORBIDDEN.split(",")) == set()
    writable = [call for call in calls if f"/proc/{target.pid}/" in call and "O_RDONLY" not in call]
    assert [call for call in writable if "open" in call] == []


MANY = """
import settled, threading
stop = threading.Lock()
stop.acquire()
threads = [threading.Thread(target=stop.acquire, daemon=True) for _ in range(200)]
for thread in threads: thread.start()
settled.wait_until_inside(futex=200)
print(flush=True)
stop.acquire()
"""


def test_many_threads_are_read_with_few_system_calls(python, command, tmp_path):
    """Lists, stacks, code objects and names are read for many threads at once. One by one it
    would be more than six reads for each thread."""
    log = tmp_path / "strace.txt"
    with subprocess.Popen([python, "-c", MANY], stdout=subprocess.PIPE,
                          env={**os.environ, "PYTHONPATH": str(PROGRAMS)}) as target:
        try:
            target.stdout.readline()
            wait_for(lambda: states(target.pid) == {"S"}, "the main thread")
            done = run_command(["strace", "-qq", "-o", log, "-e", "trace=process_vm_readv",
                                command, "inspect", str(target.pid), "--looks", "1"])  # fmt: skip
            assert done.returncode == 0, done.stderr.decode()
        finally:
            target.send_signal(signal.SIGKILL)
    assert b"201 threads" in done.stdout
    assert 0 < log.read_text().count("process_vm_readv(") < 600
