"""What the tests of `reftracer inspect` and of runtime.h need: targets that say what they
are (programs/inspect), core files of them, and the comparison of what they said with what
was seen from outside.

    with Target(python, threads=["plain"], interpreters=[IDLE, RUNNING]) as target:
        seen = inspected(command, target.pid)           # the command, --json
        assert differences(target, seen) == []
        core = target.gcore(folder / "core")
        assert differences(target, inspected(command, core)) == []
"""

import json
import os
import resource
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from conftest import TIMEOUT, run_command

PROGRAMS = Path(__file__).resolve().parent / "programs" / "inspect"

IDLE = {"threads": [], "gil": "own"}
IDLE_SHARED = {"threads": [], "gil": "shared"}
RUNNING = {"threads": ["names"], "gil": "own"}
RUNNING_SHARED = {"threads": ["names"], "gil": "shared"}

# CPython's: `read` on x86-64 and on the generic table of aarch64.
SYSTEM_CALL_READ = {"x86_64": "0", "aarch64": "63"}


class Target:
    """A program of programs/inspect that waits at a known point until the `with` ends."""

    def __init__(self, python, threads=("plain",), interpreters=(), end="return", *,
                 executable=None, program="interpreters.py", environment=(), wrapper=(), cwd=None,
                 core_limit=None):
        self.python = python
        self.plan = {"threads": list(threads), "interpreters": list(interpreters), "end": end}
        self.executable = executable or [str(python)]
        self.program = program
        self.environment = {**os.environ, **dict(environment)}
        self.wrapper = list(wrapper)
        self.cwd = cwd
        if core_limit is None and not no_kernel_cores():
            core_limit = resource.RLIM_INFINITY
        self.core_limit = core_limit
        # What waits: each thread of the plan, and the main interpreter's thread that is in
        # run_string.
        self.waiting = len(self.plan["threads"]) + sum(
            len(interpreter["threads"]) for interpreter in interpreters)
        self.records = self.waiting + sum(bool(i["threads"]) for i in interpreters) + 1

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="reftracer-target-")
        self.saying = Path(self.folder.name) / "said"
        self.saying.touch()
        self.errors = Path(self.folder.name) / "stderr"
        reading, self.pipe = os.pipe()
        limits = None
        if self.core_limit is not None:
            def limits():
                resource.setrlimit(resource.RLIMIT_CORE, (self.core_limit, self.core_limit))
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                [*self.wrapper, *self.executable, str(PROGRAMS / self.program), str(self.saying),
                 str(reading), json.dumps(self.plan)],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, pass_fds=[reading],
                env=self.environment, start_new_session=True, cwd=self.cwd or self.folder.name,
                preexec_fn=limits)
        os.close(reading)
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        os.close(self.pipe)
        # Threads of sub-interpreters may keep a Python from ending at all (3.12).
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.folder.cleanup()

    def _said(self):
        return [json.loads(line) for line in self.saying.read_text().splitlines()]

    def _problem(self, text):
        pytest.fail(f"{self.executable} {self.plan}: {text}\n{self.errors.read_text(errors='replace')}")

    def _wait(self):
        limit = time.monotonic() + 180
        while self.saying.read_bytes().count(b"\n") < self.records:
            if self.process.poll() is not None or time.monotonic() > limit:
                if self.plan["end"] != "return" and self.saying.read_bytes().count(b"\n") == self.records:
                    break
                self._problem(f"only {self.saying.read_bytes().count(bytes([10]))} of "
                              f"{self.records} records, status {self.process.returncode}")
            time.sleep(0.005)
        said = self._said()
        self.addresses = next(record for record in said if "head" in record)
        self.threads = [record for record in said if "head" not in record]
        self.inner_pid = self.addresses["pid"]
        self.pid = self.process.pid
        if self.plan["end"] != "return":
            self.process.wait(180)
            return
        if self.wrapper:
            self.pid = host_pid(self.process.pid, self.inner_pid)
        # All have said where they are; now they must also be there.
        while in_read(self.pid) < self.waiting:
            if self.process.poll() is not None or time.monotonic() > limit:
                self._problem(f"{in_read(self.pid)} of {self.waiting} threads wait in read()")
            time.sleep(0.002)

    def gcore(self, path):
        """A core of the waiting target."""
        return gcore(self.pid, path)

    def dump(self, path):
        """A core of the target as it waits, complete: the kernel's, which ends the target, or
        gdb's where the kernel's can't be had.

        gdb leaves the C stack of a thread out as a whole if its guard pages were made with
        MADV_GUARD_INSTALL (glibc 2.42, Linux 6.13): reading them fails, and gdb then writes
        zeros for the mapping. In such a core a frame that lies on the C stack is lost."""
        if no_kernel_cores():
            return self.gcore(path)
        os.kill(self.pid, signal.SIGQUIT)
        self.process.wait(180)
        self.core().rename(path)
        return Path(path)

    def core(self):
        """The core file that the kernel has written of a target that crashed."""
        found = sorted(Path(self.cwd or self.folder.name).glob("core*"))
        assert len(found) == 1, found
        return found[0]


def gcore(pid, path):
    """What `gcore` of gdb does, without its reading of debug information, which a core does
    not need."""
    done = run_command(
        ["gdb", "-nx", "-nh", "-batch", "--readnever", "-iex", "set auto-solib-add off",
         "-iex", "set debuginfod enabled off",
         "-p", str(pid), "-ex", f"generate-core-file {path}"])
    assert Path(path).exists(), (done.stdout + done.stderr).decode(errors="replace")
    return Path(path)


def no_kernel_cores():
    """Why the kernel's own core files can't be had on this machine; "" if they can.
    They are written where core_pattern says, for the whole machine."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith(("|", "/")) or not pattern:
        return (f"core_pattern of this machine is {pattern!r}: the kernel's core files do not end "
                "up with us (`sysctl kernel.core_pattern=core` changes that)")
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    if hard != resource.RLIM_INFINITY:
        return f"RLIMIT_CORE may not be raised above {hard} here"
    return ""


def host_pid(ancestor, inner):
    """Our id of the descendant of `ancestor` that knows itself as `inner`."""
    waiting = [ancestor]
    while waiting:
        pid = waiting.pop()
        try:
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("NSpid:") and line.split()[-1] == str(inner):
                    executable = os.readlink(f"/proc/{pid}/exe")
                    if not os.path.basename(executable).startswith("unshare"):
                        return pid
            for task in os.listdir(f"/proc/{pid}/task"):
                waiting += [int(child) for child in
                            Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    raise AssertionError(f"no descendant of {ancestor} knows itself as {inner}")


def in_read(pid):
    """How many threads of a process are in read()."""
    call = SYSTEM_CALL_READ[os.uname().machine]
    count = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            count += Path(f"/proc/{pid}/task/{task}/syscall").read_text().split()[0] == call
        except (FileNotFoundError, ProcessLookupError):
            pass
    return count


# --- the command ------------------------------------------------------------------------


class Failed(AssertionError):
    """`reftracer inspect` ended with another status than expected."""


def inspected(command, subject, *options, status=0, timeout=TIMEOUT):
    """The JSON that `reftracer inspect` prints of a process or a core."""
    done = run_command([command, "inspect", "--json", *options, str(subject)], timeout=timeout)
    if done.returncode != status:
        raise Failed(f"reftracer inspect {' '.join(options)} {subject}: status {done.returncode}\n"
                     + done.stderr.decode(errors="replace"))
    return json.loads(done.stdout)


# --- what was said against what was seen -------------------------------------------------


def stack(frames):
    return [(frame["function"], frame["file"], frame["line"]) for frame in frames]


def columns(frames):
    return [-1 if frame["column"] is None else frame["column"] for frame in frames]


def first_difference(said, seen, names=""):
    for depth, (ours, theirs) in enumerate(zip(said, seen)):
        if ours != theirs:
            return f"frame {depth}{names}: said {ours}, seen {theirs}"
    return f"{len(said)} frames said, {len(seen)} seen; the first more: {(said + seen)[min(len(said), len(seen)):][:1]}"


def differences(target, document, *, names=True, native=True):
    """Sentences on whatever is not as the target said. [] if all is right.

    names: compare the threads' names (which lie in threading's dictionaries).
    native: compare the native ids with those that the target knows."""
    found = []
    said_of = {}
    for record in target.threads:
        said_of.setdefault(record["interpreter"], []).append(record)
    expected = target.addresses["interpreters"]
    seen_ids = [interpreter["id"] for interpreter in document["interpreters"]]
    if seen_ids != [interpreter["id"] for interpreter in expected]:
        found.append(f"interpreters (newest first): said {[i['id'] for i in expected]}, seen {seen_ids}")
    if not document["consistent"]:
        found.append("not consistent, although all threads wait")
    seen_of = {interpreter["id"]: interpreter for interpreter in document["interpreters"]}
    for interpreter in expected:
        seen = seen_of.get(interpreter["id"])
        if seen is None:
            continue
        where = f"interpreter {interpreter['id']}"
        said = said_of.get(interpreter["id"], [])
        if seen["main"] != (interpreter["id"] == 0):
            found.append(f"{where}: main is {seen['main']}")
        if seen["idle"] != (not said):
            found.append(f"{where}: idle is {seen['idle']}, {len(said)} threads run in it")
        if seen.get("problem"):
            found.append(f"{where}: problem: {seen['problem']}")
        if len(seen["threads"]) != len(interpreter["threads"]):
            found.append(f"{where}: {len(interpreter['threads'])} thread states said, "
                         f"{len(seen['threads'])} seen")
        threads = list(seen["threads"])
        # Before 3.13 an interpreter keeps the thread state it was created with.
        for thread in seen["threads"]:
            if not thread["frames"] and not said and target.python.version < (3, 13):
                threads.remove(thread)
        for record in said:
            matching = [thread for thread in threads if matches(target, record, thread)]
            if len(matching) != 1:
                found.append(f"{where}: {len(matching)} threads seen for {record['name']!r} "
                             f"({record['id']}, native {record['native_id']}), of "
                             f"{[(t['id'], t['native_id']) for t in threads]}")
                continue
            thread = matching[0]
            threads.remove(thread)
            found += thread_differences(f"{where}, {record['name']!r}", target, record, thread,
                                        names, native)
        for thread in threads:
            found.append(f"{where}: a thread {thread['id']} that nobody said, "
                         f"{stack(thread['frames'])[:3]}")
    return found


def creators_id(target, record):
    """Whether the thread state has the ids of the thread that created the interpreter: up to
    3.12 run_string uses the thread state of the creation, in whichever thread it runs
    (Modules/_xxsubinterpretersmodule.c)."""
    return (target.python.version < (3, 13) and record["interpreter"] != 0
            and stack(record["frames"])[-1][0] == "<module>")


def matches(target, record, thread):
    if creators_id(target, record):
        return stack(record["frames"])[-1:] == stack(thread["frames"])[-1:]
    return record["id"] == thread["id"]


def thread_differences(where, target, record, thread, names, native):
    found = []
    said, seen = stack(record["frames"]), stack(thread["frames"])
    if target.plan["end"] == "segv" and said[0][0] == "finish" and seen[:1] and \
            seen[0][0] == "string_at":
        # It crashed one Python function further in: ctypes.string_at.
        seen, thread = seen[1:], {**thread, "frames": thread["frames"][1:]}
    if said != seen:
        found.append(f"{where}: {first_difference(said, seen)}")
    elif columns(record["frames"]) != columns(thread["frames"]):
        found.append(f"{where}: {first_difference(columns(record['frames']), columns(thread['frames']), ' (column)')}")
    if thread.get("problem"):
        found.append(f"{where}: problem: {thread['problem']}")
    if names and not creators_id(target, record) and thread["name"] != record["name"]:
        found.append(f"{where}: name {thread['name']!r}")
    if native and not creators_id(target, record):
        if thread.get("namespace_native_id", record["native_id"]) != record["native_id"]:
            found.append(f"{where}: namespace_native_id {thread['namespace_native_id']}, "
                         f"said {record['native_id']}")
        if target.pid == target.inner_pid and thread["native_id"] != record["native_id"]:
            found.append(f"{where}: native_id {thread['native_id']}, said {record['native_id']}")
    return found


def timeless(document):
    """A document without what may differ between a look at a live process and at its core."""
    interpreters = []
    for interpreter in document["interpreters"]:
        threads = []
        for thread in interpreter["threads"]:
            # What the kernel says of a thread is not in a core.
            # Nor is the name of a thread that `threading` has none for.
            kernels = ("state", "waits_in", "name")
            threads.append({key: value for key, value in thread.items() if key not in kernels})
        interpreters.append({**interpreter, "threads": threads})
    return {"schema": document["schema"], "interpreters": interpreters}
