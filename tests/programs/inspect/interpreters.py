"""A Python with the interpreters and threads of a plan, which says what they are and waits.

usage: interpreters.py SAYING PIPE PLAN

SAYING  file to which each thread appends a line of JSON (holding.py)
PIPE    file descriptor to wait on; when its other end is closed, all ends
PLAN    JSON:
        {"threads": ["plain", "deep"],          shapes of the main interpreter's threads,
                                                the last one for the main thread
         "interpreters": [                      in the order of their creation
            {"threads": [], "gil": "own"},      nothing runs in it: idle
            {"threads": ["names"], "gil": "shared"}],
         "end": "return"}                       how the main thread ends: return, segv, abort

Before the main thread waits it says, from CPython's own functions, the addresses of all
interpreters and thread states.
"""

import json
import os
import signal
import sys
import threading
import time

import holding

try:
    import ctypes
except ImportError:  # a static Python that exports no symbols for extension modules
    ctypes = None

try:
    import _interpreters
except ImportError:
    try:
        import _xxsubinterpreters as _interpreters
    except ImportError:
        _interpreters = None


def create(gil):
    if sys.version_info >= (3, 13):
        return _interpreters.create("isolated" if gil == "own" else "legacy")
    if sys.version_info >= (3, 12):
        return _interpreters.create(isolated=gil == "own")
    if sys.version_info >= (3, 9):
        return _interpreters.create(isolated=False)
    return _interpreters.create()


def occupy(interpreter, shapes):
    """Runs the shapes in the interpreter, while this thread waits in run_string."""
    text = (
        "import sys\n"
        f"sys.path.insert(0, {os.path.dirname(os.path.abspath(__file__))!r})\n"
        "import holding\n"
        f"holding.begin({holding.SAYING!r}, {holding.PIPE}, {int(interpreter)})\n"
        f"holding.run({shapes!r})\n"
    )
    holding.say("_interpreters.run_string(interpreter, text)"); _interpreters.run_string(interpreter, text)


def declared(name, result, *arguments):
    function = getattr(ctypes.pythonapi, name)
    function.restype = result
    function.argtypes = arguments
    return function


def addresses():
    """CPython's own answers: {"head", "main", "interpreters": [{"address", "id", "threads"}]}."""
    facts = {
        "version": sys.version.split()[0], "hexversion": sys.hexversion, "pid": os.getpid(),
        "executable": sys.executable,
    }
    if ctypes is None:
        threads = [None] * threading.active_count()
        return {"head": None, "main": None, **facts,
                "interpreters": [{"address": None, "id": 0, "threads": threads}]}
    pointer = ctypes.c_void_p
    head = declared("PyInterpreterState_Head", pointer)
    main = declared("PyInterpreterState_Main", pointer)
    following = declared("PyInterpreterState_Next", pointer, pointer)
    identity = declared("PyInterpreterState_GetID", ctypes.c_int64, pointer)
    thread_head = declared("PyInterpreterState_ThreadHead", pointer, pointer)
    thread_next = declared("PyThreadState_Next", pointer, pointer)
    found = []
    interpreter = head()
    while interpreter:
        threads = []
        thread = thread_head(interpreter)
        while thread:
            threads.append(thread)
            thread = thread_next(thread)
        found.append({"address": interpreter, "id": identity(interpreter), "threads": threads})
        interpreter = following(interpreter)
    return {
        "head": head(), "main": main(), "interpreters": found, **facts,
    }


def said():
    with open(holding.SAYING, "rb") as file:
        return file.read().count(b"\n")


def until(lines):
    limit = time.monotonic() + 180
    while said() < lines:
        if time.monotonic() > limit:
            sys.exit(f"interpreters.py: {said()} of {lines} threads said where they are")
        time.sleep(0.002)


def settle(waiting):
    """Returns when so many other threads are where they said: in read(2)."""
    read = {"x86_64": "0", "aarch64": "63"}[os.uname().machine]
    while True:
        inside = 0
        for task in set(os.listdir("/proc/self/task")) - {str(threading.get_native_id())}:
            with open("/proc/self/task/" + task + "/syscall") as file:
                inside += file.read().split()[0] == read
        if inside >= waiting:
            return
        time.sleep(0.002)


def finish(how):
    if how == "segv":
        holding.say("ctypes.string_at(8)"); ctypes.string_at(8)
    elif how == "abort":
        holding.say("os.abort()"); os.abort()
    elif how == "kill":
        holding.say("os.kill(os.getpid(), signal.SIGQUIT)"); os.kill(os.getpid(), signal.SIGQUIT)


def main():
    saying, pipe, plan = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    holding.begin(saying, pipe, 0)
    threads = []
    expected = 0
    created = []
    for wanted in plan["interpreters"]:
        created.append(create(wanted["gil"]))
        if wanted["threads"]:
            # At once, not after all are created: so an idle one can be the newest, or not.
            thread = threading.Thread(
                target=occupy, args=(created[-1], wanted["threads"]), name=f"runs {int(created[-1])}"
            )
            thread.start()
            threads.append(thread)
            expected += 1 + len(wanted["threads"])
            until(expected)
    shapes = plan["threads"]
    for number, shape in enumerate(shapes[:-1]):
        thread = threading.Thread(target=holding.SHAPES[shape], name=f"{shape} {number}")
        thread.start()
        threads.append(thread)
    expected += len(shapes) - 1
    until(expected)
    holding.write(addresses())
    end = plan.get("end", "return")
    if end != "return":
        settle(sum(len(wanted["threads"]) for wanted in plan["interpreters"]) + len(shapes) - 1)
    finish(end)
    holding.SHAPES[shapes[-1]]()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
