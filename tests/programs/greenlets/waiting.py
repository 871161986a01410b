"""Greenlets that wait, some of them below C code and in a generator, have their objects; the heap is
looked through after the first 40, and at the end."""

import ctypes
import sys

import greenlet

look = ctypes.PyDLL(None).reftracer_holders
look.argtypes, look.restype = [ctypes.c_char_p, ctypes.c_uint], ctypes.c_char_p


class Argument:
    pass


class Local:
    pass


class Below:
    pass


class Yielding:
    pass


def below(value):
    found = Below()
    greenlet.getcurrent().parent.switch()
    return found is value


def generator():
    own = Yielding()
    yield below(own)


def run(argument):
    local = Local()
    list(map(below, generator()))
    return argument, local


class Deep:
    pass


def deep(depth):
    own = Deep()
    return deep(depth - 1) if depth > 0 else greenlet.getcurrent().parent.switch(own)


waiting = []


def main(times):
    for _ in range(times):
        one = greenlet.greenlet(run)
        one.switch(Argument())
        waiting.append(one)


main(40)
assert look(b"early", 60_000) is None
main(160)
sys.setrecursionlimit(10_000)
recursion = greenlet.greenlet(deep)
recursion.switch(4999)
