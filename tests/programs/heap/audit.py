"""Counts the references to each object of a quiet heap and compares with the refcounts.
Prints a JSON object: objects, those whose refcount is higher than the references found, by
type, and those whose is lower (which must not be)."""

import asyncio
import collections
import ctypes  # noqa: F401
import datetime
import email.message  # noqa: F401
import functools
import gc
import json
import logging.config  # noqa: F401
import sqlite3
import threading
import typing  # noqa: F401
import unittest.mock  # noqa: F401
import weakref
import zoneinfo

import probe


class Slots:
    __slots__ = ("one", "two")


class Plain:
    pass


class Listed(list):
    pass


@functools.lru_cache(maxsize=10)
def cached(x):
    return [x]


def generator():
    local = ["in a generator"]
    yield local


async def forever():
    await asyncio.Event().wait()


def kept():
    slots = Slots()
    slots.one, slots.two = [1], {2: "two"}
    plain = Plain()
    plain.a, plain.b = "a" * 20, [3]
    seen = Plain()
    seen.dict = vars(seen)
    listed = Listed([["a"], ["b"]])
    listed.name = "x" * 30
    for i in range(20):
        cached(i)
    suspended = generator()
    next(suspended)
    ended = generator()
    list(ended)
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a)")
    try:
        raise ValueError("kept")
    except ValueError as e:
        error = e
    return [
        slots, plain, seen, listed, suspended, ended, connection, error,
        collections.deque([[i] for i in range(200)]), collections.OrderedDict(a=[1], b=[2]),
        collections.defaultdict(list, a=[1]), collections.namedtuple("Pair", "a b")([1], [2]),
        datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=1), "one")),
        datetime.time(1, tzinfo=datetime.timezone.utc), weakref.ref(plain, print),
        {i: [i] for i in range(50)}, {(i,) for i in range(50)}, frozenset({(1,), (2,)}),
        functools.partial(print, [1], end=[]), plain.__init__, [].append, range(10**9, 10**10),
        slice([1], [2]), property(lambda self: 1, doc="d" * 30), super(Listed, listed),
        type("Made", (Plain,), {"attribute": [1]})(), memoryview(bytearray(b"abc")),
        iter([[1]]), reversed([1]), enumerate([[2]]), zip([1], [2]), map(str, [1]),
        re_match(), 2**70, 1.5, "text" * 9, b"bytes" * 9, (1, [2]), forever(),
    ]  # fmt: skip


def re_match():
    import re

    return re.match("(a)(b*)", "abbb")


def other_thread(ready, go):
    inside = [["local of another thread"]]
    ready.set()
    go.wait()
    return inside


def main():
    ready, go = threading.Event(), threading.Event()
    thread = threading.Thread(target=other_thread, args=(ready, go), name="other")
    thread.start()
    ready.wait()
    everything = kept()
    gc.collect()
    probe.audit()  # what a first call makes is there at the second
    objects, wrong = probe.audit()
    more, fewer = collections.Counter(), []
    for _, name, refcount, found in wrong:
        if refcount > found:
            more[name] += 1
        else:
            fewer.append([name, refcount, found])
    print(json.dumps({"objects": objects, "more": more, "fewer": fewer}))
    go.set()
    thread.join()
    everything[-1].close()


main()
