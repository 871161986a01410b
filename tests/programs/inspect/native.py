"""Stacks in which Python and C take turns: threads that call C functions that call Python.

usage: native.py wait|spin|signals

wait      all threads wait
spin      the main thread calls and returns for ever
signals   the main thread sends itself real-time signals for ever; at each line of its input it
          says how many it has sent, and at the end of it how many have come too
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time

import settled

libc = ctypes.CDLL(None)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
ready = threading.Semaphore(0)
for_ever = threading.Lock()
for_ever.acquire()


def innermost():
    ready.release()
    for_ever.acquire()


def compared(one, other):
    innermost()
    return 0


def sorts():
    """Python, qsort() of the C library, Python."""
    array = (ctypes.c_int * 2)(2, 1)
    libc.qsort(array, 2, ctypes.sizeof(ctypes.c_int), COMPARE(compared))


def sorts_again(one, other):
    sorts()
    return 0


def nested():
    """The same twice, one in the other."""
    array = (ctypes.c_int * 2)(2, 1)
    libc.qsort(array, 2, ctypes.sizeof(ctypes.c_int), COMPARE(sorts_again))


class Key:
    def __lt__(self, other):
        innermost()
        return True


def through_list_sort():
    """Python, list.sort(), a slot of a class."""
    [Key(), Key()].sort()


def generator():
    yield 1
    innermost()


def through_generator():
    return sum(generator())


def deep(n):
    if n:
        return deep(n - 1)
    return sorts()


THREADS = {"sorts": sorts, "nested": nested, "list": through_list_sort, "generator": through_generator,
           "deep": lambda: deep(200), "plain": innermost}


def wait():
    for name, function in THREADS.items():
        threading.Thread(target=function, name=name, daemon=True).start()
        ready.acquire()
    settled.wait_until_inside(futex=len(THREADS))
    print(json.dumps({"threads": list(THREADS)}), flush=True)
    sys.stdin.read()


def leaf(n):
    return n + 1


def caller(n):
    return leaf(n) + sorted([3, 1, 2], key=leaf)[0]


def spin():
    print(json.dumps({}), flush=True)
    while True:
        caller(1)


def signals():
    come = sent = 0

    def count(*_):
        nonlocal come
        come += 1

    signal.signal(signal.SIGRTMIN, count)
    over = threading.Event()

    def answer():
        for _ in sys.stdin:
            print(json.dumps({"sent": sent}), flush=True)
        over.set()

    threading.Thread(target=answer, daemon=True).start()
    print(json.dumps({}), flush=True)
    while not over.is_set():
        libc.sigqueue(os.getpid(), int(signal.SIGRTMIN), None)
        sent += 1
        limit = time.monotonic() + 60
        while come < sent and time.monotonic() < limit:
            pass
    print(json.dumps({"sent": sent, "come": come}), flush=True)


{"wait": wait, "spin": spin, "signals": signals}[sys.argv[1]]()
