"""A bit of everything that the agent has code for, in about a second untraced: threads,
interpreters, forks, an exec, deep recursion, generators, own types, code that goes away, a
slot taken by another tool, attributes in dicts and inline, a __del__ that revives."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import tracemalloc
import types

try:
    import _interpreters
except ImportError:  # 3.12's name, still in early 3.13
    import _xxsubinterpreters as _interpreters


class Node:
    def __init__(self, parent=None):
        self.parent, self.children = parent, []


class Slotted:
    __slots__ = ("value", "__weakref__")


class Names(dict):
    pass


class Revived:
    saved = []

    def __del__(self):
        Revived.saved.append(self)


KEPT = []


def work(count):
    for i in range(count):
        node = Node(KEPT and KEPT[-1])
        node.text = f"node {i}"
        if i % 10 == 0:
            KEPT.append(node)
        own = Slotted()
        own.value = [i] * (i % 50)
        names = Names(a=i)
        names.extra = bytearray(b"x" * i)


def threads():
    running = [threading.Thread(target=work, args=(200,), name=f"worker {i}") for i in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    for i in range(100):
        thread = threading.Thread(target=work, args=(5,))
        thread.start()
        thread.join()


def deep(depth):
    if depth == 0:
        return [object() for _ in range(10)]
    value = deep(depth - 1)
    if depth % 1000 == 0:
        value.append(Node())
    return value


def code_that_goes():
    for i in range(200):
        module = types.ModuleType(f"made_{i}")
        exec(f"class C{i}:\n    def method(self): return [object(), {i}]\n", module.__dict__)
        getattr(module, f"C{i}")().method()
    gc.collect()


def interpreters():
    for kind in ("legacy", "isolated"):
        for _ in range(3):
            number = _interpreters.create(kind)
            _interpreters.run_string(
                number, "import json; kept = [json.loads('[1, 2.5, {}]') for _ in range(50)]"
            )
            _interpreters.destroy(number)


def generators():
    def numbers():
        yield from (str(i) for i in range(100))

    suspended = [numbers() for _ in range(50)]
    for generator in suspended:
        next(generator)
    KEPT.extend(suspended[:10])


async def tasks():
    async def one(i):
        await asyncio.sleep(0)
        return Node(i)

    await asyncio.gather(*(one(i) for i in range(200)))


def other_tool():
    tracemalloc.start()
    work(50)
    tracemalloc.stop()
    work(50)


def in_a_child(child):
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def children():
    in_a_child(lambda: work(50))
    thread = threading.Thread(target=in_a_child, args=(lambda: work(50),))
    thread.start()
    thread.join()
    subprocess.run([sys.executable, "-c", "import json; json.dumps([1])"], check=True)
    in_a_child(lambda: os.execv(sys.executable, [sys.executable, "-c", "x = [[]]"]))


sys.setrecursionlimit(30000)
threads()
deep(20000)
code_that_goes()
generators()
asyncio.run(tasks())
other_tool()
interpreters()
children()
for _ in range(20):
    Revived()
gc.collect()
print("done", len(KEPT))
