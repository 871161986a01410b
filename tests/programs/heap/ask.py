"""Asks the agent why random objects are alive. Each step of each path is gone again with the
collector's own functions, from the root to the object, and the path may not be longer than the
one that objgraph finds. Prints "asked N, P paths, O of objgraph" or what is wrong."""

import asyncio  # noqa: F401
import collections
import ctypes
import email.message  # noqa: F401
import gc
import json  # noqa: F401
import logging.config  # noqa: F401
import random
import sqlite3  # noqa: F401
import sys
import types
import unittest.mock  # noqa: F401

import objgraph

ask = ctypes.PyDLL(sys.argv[1]).reftracer_why
ask.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint]
ask.restype = ctypes.c_char_p


def unescaped(field):
    """Tab, newline and backslash are escaped as in C."""
    parts = field.split("\\\\")
    return "\\".join(part.replace("\\t", "\t").replace("\\n", "\n") for part in parts)


def why(asked, paths=3):
    """([path, ...], [holder, ...], {line: fields}); steps are (kind, type, label, index)."""
    found, holders, heads = [], [], {}
    for line in ask(id(asked), 1, 30_000, paths).decode("utf-8", "surrogatepass").splitlines():
        what, *fields = map(unescaped, line.split("\t"))
        if what == "path":
            found.append([])
        elif what == "step":
            found[-1].append(tuple(fields[:4]))
        elif what == "holder":
            holders.append(tuple(fields[:4]))
        else:
            heads[what] = fields
    return found, holders, heads


FROZEN = (frozendict,) if sys.version_info >= (3, 15) else ()  # noqa: F821


def follow(objects, step):
    """All that the step can lead to from these."""
    kind, _, label, index = step
    reached = {}
    for one in objects:
        table = dict(one) if isinstance(one, (dict, *FROZEN)) else None
        if table is not None and kind == "dict value" and label and not label.startswith("<"):
            some = [v for k, v in table.items() if label in (str(k)[:120], repr(k))]
        elif table is not None and kind == "dict key":
            some = list(table)
        elif kind == "item" and isinstance(one, (list, tuple, collections.deque)):
            some = [one[int(index)]] if int(index) < len(one) else []
        elif kind == "type":
            some = [type(one)]
        elif kind == "code" and isinstance(one, types.CodeType):
            if not hasattr(one, label):
                return None  # co_localsplusnames and the like: not shown to Python
            some = [getattr(one, label)]
        else:
            some = gc.get_referents(one)
            if kind == "attribute" and hasattr(one, "__dict__"):
                # What was inside of the instance is in its dict, once that was asked for.
                some += [vars(one), *vars(one).values()]
            if kind == "attribute" and isinstance(one, types.ModuleType):
                some.append(one.__name__)
            if kind in ("type slot", "descriptor") and label.startswith("__"):
                some.append(getattr(one, label, None))
            if label in ("names of attributes", "__subclasses__", "name"):
                return None  # no function gives these
        for other in some:
            reached[id(other)] = other
    return list(reached.values())


def check(asked, path):
    """Whether the path leads to the object; None: can't be told."""
    kind, _, label, _ = path[0]
    if kind != "root module":
        return None
    objects = [sys.modules[label]]
    for step in path[1:]:
        objects = follow(objects, step)
        if objects is None:
            return None
    return any(one is asked for one in objects)


def main():
    gc.collect()
    random.seed(3)
    sample = random.sample(gc.get_objects(), 60)
    sample += random.sample([one for one in gc.get_referents(*random.sample(
        gc.get_objects(), 500)) if isinstance(one, (str, bytes, int, float))], 20)  # fmt: skip
    checked = compared = 0
    for number, asked in enumerate(sample):
        found, holders, heads = why(asked)
        immortal = heads["object"][3] == "1"
        if not found or not (holders or immortal):
            print("no answer for", repr(asked)[:60], found, holders, heads)
            continue
        for path in found:
            right = check(asked, path)
            checked += right is True
            if right is False:
                print("wrong path", path, repr(asked)[:60])
        of_modules = [len(path) for path in found if path[0][0] == "root module"]
        if of_modules != sorted(of_modules):
            print("not the shortest first", found)
        if compared < 3 and found[0][0][0] == "root module":
            ignored = {id(sample), id(locals()), id(found), id(holders)}
            chain = objgraph.find_backref_chain(
                asked, objgraph.is_proper_module, max_depth=12, extra_ignore=ignored)  # fmt: skip
            if objgraph.is_proper_module(chain[0]):
                compared += 1
                if len(chain) < len(found[0]):
                    print("longer than", [type(one) for one in chain], found[0])
    print(f"asked {len(sample)}, {checked} paths, {compared} of objgraph")


main()
