"""Who refers to 1,000 random objects of a heap with many modules: probe.holders() against what
the collector's own functions say. Prints "agreed N" or what differs."""

import asyncio  # noqa: F401
import ctypes  # noqa: F401
import email.message  # noqa: F401
import gc
import http.client  # noqa: F401
import json  # noqa: F401
import logging.config  # noqa: F401
import random
import sqlite3  # noqa: F401
import sys
import types
import typing  # noqa: F401
import unittest.mock  # noqa: F401

import probe

# What an object owns though tp_traverse does not visit it. Kinds of trace/format.h.
DICT_KEY, TYPE_SLOT, DESCRIPTOR, ATTRIBUTE, TYPE = 2, 15, 21, 1, 14


def untold(holder, target):
    """Is this a reference that tp_traverse leaves out, and that is there nevertheless?"""
    kind, _, label = probe.label(holder, target)
    if kind == DICT_KEY:
        return any(key is target for key in holder)
    if kind == TYPE_SLOT:
        if label == "__subclasses__":
            return isinstance(target, dict)
        return isinstance(target, (str, tuple)) and label in (
            "__name__", "__qualname__", "__slots__", "names of attributes")  # fmt: skip
    if kind == DESCRIPTOR:
        return label in ("__name__", "__qualname__") and isinstance(target, str)
    if kind == ATTRIBUTE and isinstance(holder, types.ModuleType):
        return label == "name" and isinstance(target, str)
    if kind == ATTRIBUTE:
        return label in ("cached call", "origin or finalizer")
    # A C type without Py_VISIT(Py_TYPE(self)) owns its type nevertheless.
    return kind == TYPE and type(holder) is target


def main():
    gc.collect()
    random.seed(int(sys.argv[1]) if len(sys.argv) > 1 else 17)
    tracked = random.sample(gc.get_objects(), 700)
    atomic = {
        id(one): one
        for holder in random.sample(gc.get_objects(), 3000)
        for one in gc.get_referents(holder)
        if isinstance(one, (str, bytes, float, int)) and not gc.is_tracked(one)
    }
    asked = [*tracked, *random.sample(list(atomic.values()), 300)]
    del atomic
    ours = probe.holders(asked)
    everyone = gc.get_objects()
    wanted = {id(one): number for number, one in enumerate(asked)}
    theirs = [{} for _ in asked]
    for holder in everyone:
        for target in gc.get_referents(holder):
            number = wanted.get(id(target))
            if number is not None:
                theirs[number][id(holder)] = holder
    # The lists of this program itself, which differ in the two moments.
    mine = {id(one) for one in (asked, tracked, ours, everyone, theirs, wanted, *ours, *theirs)}
    frames = {id(sys._getframe())}
    # The dict of interned strings, which the collector tracks since 3.14, keeps none alive.
    frames |= {
        id(one)
        for one in everyone
        if type(one) is dict and len(one) > 1000 and all(k is v for k, v in one.items())
    }
    bad = 0
    for number, target in enumerate(asked):
        our_ids = {id(one): one for one in ours[number]}
        missing = theirs[number].keys() - our_ids.keys() - mine - frames
        more = our_ids.keys() - theirs[number].keys() - mine - frames
        more = [one for one in more if not untold(our_ids[one], target)]
        if missing or more:
            bad += 1
            for one in missing:
                print("missing", type(theirs[number][one]), "of", type(target), repr(target)[:80])
            for one in more:
                print("more", type(our_ids[one]), probe.label(our_ids[one], target), "of",
                      type(target), repr(target)[:80])  # fmt: skip
    # The index above is the same as CPython's own answer.
    known = {id(one) for one in everyone} - mine - frames
    for number in random.sample(range(700), 30):
        said = {id(one) for one in gc.get_referrers(asked[number])} & known
        if said != theirs[number].keys() & known:
            bad += 1
            print("gc.get_referrers differs for", repr(asked[number])[:80])
    print("agreed", len(asked) - bad)


main()
