"""Threads that have locks, and threads that wait for them, in many ways. Writes one line: of each
thread that waits, whom it waits for, what kind of thing that is and in which lines that took it."""

import contextlib
import importlib
import json
import multiprocessing
import os
import sys
import tempfile
import threading

import settled

EXPECTED = {}
rest = threading.Event()  # whoever is not to wait for a lock of somebody's waits here


with open(__file__) as source:
    LINES = {line.split("# took by ")[1].strip(): number
             for number, line in enumerate(source, 1) if "# took by " in line}


def start(name, what, *arguments):
    """Starts a thread; goes on when it has what it shall have."""
    there = threading.Event()
    thread = threading.Thread(target=what, args=(there, *arguments), name=name, daemon=True)
    thread.start()
    there.wait()
    return thread


def expect(name, kind, holder, block=None):
    """block: the comment in the line of the `with`."""
    EXPECTED[name] = {"kind": kind, "holder": holder, "line": LINES[block] if block else None}


def wants(there, lock):
    there.set()
    lock.acquire()


# --- two locks, the other way round ---------------------------------------------------

left, right = threading.Lock(), threading.Lock()
both = threading.Barrier(2)


def cross(there, first, second):
    there.set()
    with first:  # took by cross
        for _ in range(1):
            try:
                both.wait()
                with second:
                    pass
            finally:
                pass


expect("one", "lock", "two", "cross")
expect("two", "lock", "one", "cross")
start("one", cross, left, right)
start("two", cross, right, left)

# --- a block around other blocks, one of which was left with an exception -------------------

outer, inner = threading.Lock(), threading.Lock()


def nested(there):
    with contextlib.suppress(KeyError), outer, open(os.devnull):  # took by nested
        with inner:
            pass
        try:
            with inner:
                1 / 0
        except ZeroDivisionError:
            there.set()
            rest.wait()


start("nested", nested)
expect("wants outer", "lock", "nested", "nested")
start("wants outer", wants, outer)
inner.acquire()  # by this thread; "nested" has left it
expect("wants inner", "lock", None)
start("wants inner", wants, inner)

# --- RLocks say who has them -------------------------------------------------------------------

recursive = threading.RLock()


def acquires(there):
    recursive.acquire()
    recursive.acquire()
    there.set()
    rest.wait()


start("acquires", acquires)
expect("wants recursive", "rlock", "acquires")
start("wants recursive", wants, recursive)


def enters(there, lock):
    with lock:  # took by enters
        with lock:
            there.set()
            rest.wait()


again = threading.RLock()
start("enters", enters, again)
expect("wants again", "rlock", "enters", "enters")
start("wants again", wants, again)

# --- generators -----------------------------------------------------------------------------------

generated = threading.Lock()


@contextlib.contextmanager
def held(lock):
    with lock:
        yield


def generates(there):
    with held(generated):  # took by generates
        there.set()
        rest.wait()


start("generates", generates)
expect("wants generated", "lock", "generates", "generates")
start("wants generated", wants, generated)

# --- conditions: who waits for one does not have its lock --------------------------------------------

plain = threading.Lock()
condition = threading.Condition(plain)
around = threading.Lock()
let_go = threading.Event()


def waits(there):
    with around:  # took by waits
        with condition:
            there.set()
            condition.wait()


def takes(there):
    with condition:  # took by takes
        there.set()
        rest.wait()


start("waits", waits)
start("takes", takes)
expect("wants plain", "lock", "takes", "takes")
start("wants plain", wants, plain)
expect("wants around", "lock", "waits", "waits")
start("wants around", wants, around)

# --- threads and modules ----------------------------------------------------------------------------------


def joins(there, thread):
    there.set()
    thread.join()


joined = next(thread for thread in threading.enumerate() if thread.name == "nested")
expect("joins", "thread", "nested")
start("joins", joins, joined)

MODULE = "reftracer_test_module"
folder = tempfile.TemporaryDirectory()
sys.path.insert(0, folder.name)
with open(os.path.join(folder.name, MODULE + ".py"), "w") as file:
    file.write("import sys\nsys.modules['__main__'].imported.set()\n"
               "sys.modules['__main__'].rest.wait()\n")
imported = threading.Event()


def imports(there):
    there.set()
    importlib.import_module(MODULE)


start("imports", imports)
imported.wait()
expect("imports too", "module", "imports")
start("imports too", imports)

# --- a lock that processes share -------------------------------------------------------------------------

shared = multiprocessing.get_context("fork").Lock()
shared.acquire()
expect("wants shared", "shared", None)
start("wants shared", wants, shared)

# --- itself ---------------------------------------------------------------------------------------------------


def twice(there):
    mine = threading.Lock()
    with mine:  # took by twice
        there.set()
        with mine:
            pass


expect("twice", "lock", "twice", "twice")
start("twice", twice)

settled.wait_until_inside(futex=threading.active_count() - 1)
print(json.dumps(EXPECTED), flush=True)
sys.stdin.read()
folder.cleanup()
os._exit(0)
