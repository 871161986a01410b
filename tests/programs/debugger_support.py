"""Walks this interpreter's own lists with CPython's five functions and with ours.

usage: debugger_support.py LIBREFTRACER INTERPRETERS THREADS

Prints one JSON object: for each function, the list of [address of CPython's, address of ours],
and the version that ours has found. Runs in 3.8 to 3.15.
"""

import ctypes
import json
import os
import sys
import threading

library, interpreters, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def theirs(name, *types):
    function = getattr(ctypes.pythonapi, name)
    function.restype = ctypes.c_void_p
    function.argtypes = types
    return lambda *arguments: function(*arguments) or 0


head = theirs("PyInterpreterState_Head")
main = theirs("PyInterpreterState_Main")
next_interpreter = theirs("PyInterpreterState_Next", ctypes.c_void_p)
thread_head = theirs("PyInterpreterState_ThreadHead", ctypes.c_void_p)
next_thread = theirs("PyThreadState_Next", ctypes.c_void_p)

rft = ctypes.CDLL(library)


class Facts(ctypes.Structure):
    _fields_ = [
        ("address", ctypes.c_uint64),
        ("version", ctypes.c_uint32),
        ("free_threaded", ctypes.c_bool),
        ("debug_build", ctypes.c_bool),
        ("version_text", ctypes.c_char * 32),
    ]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("errno", ctypes.c_int), ("message", ctypes.c_char_p)]


def check(error):
    if error:
        sys.exit(ctypes.cast(error, ctypes.POINTER(Error)).contents.message.decode())


def declare(name, *types):
    function = getattr(rft, name)
    function.restype = ctypes.c_void_p
    function.argtypes = types
    return function


space, runtime = ctypes.c_void_p(), ctypes.c_void_p()
check(declare("rft_space_create_self", ctypes.c_void_p)(ctypes.byref(space)))
create = declare("rft_runtime_create", ctypes.c_void_p, ctypes.c_void_p)
check(create(space, ctypes.byref(runtime)))


def ours(name, count):
    function = declare(name, ctypes.c_void_p, *[ctypes.c_uint64] * count, ctypes.c_void_p)

    def call(*arguments):
        result = ctypes.c_uint64()
        check(function(runtime, *arguments, ctypes.byref(result)))
        return result.value

    return call


rft_head = ours("rft_interpreter_head", 0)
rft_main = ours("rft_interpreter_main", 0)
rft_next_interpreter = ours("rft_interpreter_next", 1)
rft_thread_head = ours("rft_interpreter_thread_head", 1)
rft_next_thread = ours("rft_thread_next", 1)

if interpreters > 1:
    try:
        import _interpreters
    except ImportError:
        import _xxsubinterpreters as _interpreters
    kept = [_interpreters.create() for _ in range(interpreters - 1)]

done = threading.Event()
started = threading.Barrier(threads)


def wait():
    started.wait()
    done.wait()


threading.stack_size(256 * 1024)
for _ in range(threads - 1):
    threading.Thread(target=wait, daemon=True).start()
started.wait()

found = {"DB1": [[head(), rft_head()]], "DB2": [[main(), rft_main()]], "DB3": [], "DB4": [], "DB5": []}
interpreter = head()
while interpreter:
    found["DB4"].append([thread_head(interpreter), rft_thread_head(interpreter)])
    thread = thread_head(interpreter)
    while thread:
        found["DB5"].append([next_thread(thread), rft_next_thread(thread)])
        thread = next_thread(thread)
    found["DB3"].append([next_interpreter(interpreter), rft_next_interpreter(interpreter)])
    interpreter = next_interpreter(interpreter)

describe = declare("rft_runtime_facts", ctypes.c_void_p)
describe.restype = ctypes.POINTER(Facts)
facts = describe(runtime).contents
found["version"] = facts.version == sys.hexversion
found["debug"] = facts.debug_build == hasattr(sys, "gettotalrefcount")
print(json.dumps(found), flush=True)
# Without finalization: up to 3.12 it aborts if there are sub-interpreters and threads.
os._exit(0)
