"""Some hundred each of many kinds of objects, of Python's and of C code's: all of them have the
references that they should have."""

import array
import ast
import asyncio
import collections
import concurrent.futures
import contextvars
import dataclasses
import datetime
import decimal
import enum
import functools
import hashlib
import itertools
import logging
import re
import socket
import sqlite3
import struct
import typing
import xml.etree.ElementTree as ElementTree
import zlib

TIMES = 200

logging.basicConfig()
elements = ElementTree.fromstring("<a>" + "<b c='d'>x</b>" * TIMES + "</a>")
connection = sqlite3.connect(":memory:")
connection.execute("create table t(a, b)")
connection.executemany("insert into t values(?, ?)", [(n, str(n)) for n in range(TIMES)])
rows = connection.execute("select * from t").fetchall()
patterns = [re.compile(f"a{n}") for n in range(TIMES)]
decimals = [decimal.Decimal(n) / 7 for n in range(TIMES)]
moments = [datetime.datetime.now() for _ in range(TIMES)]
arrays = [array.array("i", range(10)) for _ in range(TIMES)]
partials = [functools.partial(print, n) for n in range(TIMES)]
chains = [itertools.chain([n], [2]) for n in range(TIMES)]
views = [memoryview(bytes(10)) for _ in range(TIMES)]
generators = [(n for n in range(3)) for _ in range(TIMES)]
for generator in generators:
    next(generator)


@functools.lru_cache(None)
def cached(_):
    return object()


results = [cached(n) for n in range(TIMES)]
queue = collections.deque(object() for _ in range(TIMES))
ordered = collections.OrderedDict((object(), object()) for _ in range(TIMES))
lists = collections.defaultdict(list)
for number in range(TIMES):
    lists[number].append(number)
contexts = [contextvars.copy_context() for _ in range(TIMES)]


async def wait():
    await asyncio.sleep(0)
    return object()


async def wait_for_all():
    return await asyncio.gather(*[wait() for _ in range(TIMES)])


awaited = asyncio.run(wait_for_all())
with concurrent.futures.ThreadPoolExecutor(3) as pool:
    futures = [pool.submit(lambda number=number: [number]) for number in range(TIMES)]
with open(__file__) as file:
    tree = ast.parse(file.read())
hashes = [hashlib.sha256(b"x") for _ in range(TIMES)]
compressors = [zlib.compressobj() for _ in range(30)]
structs = [struct.Struct(f"<I{n}s") for n in range(1, TIMES)]
enums = [enum.Enum(f"E{n}", "a b") for n in range(30)]


@dataclasses.dataclass
class Point:
    x: int
    y: str


points = [Point(n, str(n)) for n in range(TIMES)]
variables = [typing.TypeVar(f"T{n}") for n in range(TIMES)]
aliases = [list[int] for _ in range(TIMES)]
sockets = [socket.socket() for _ in range(30)]
