"""Tests that leak nothing, or what they may."""

import collections
import copy
import dataclasses
import decimal
import enum
import functools
import gc
import importlib
import itertools
import json
import logging
import pickle
import random
import re
import sqlite3
import struct
import sys
import threading
import typing
import unittest
import warnings
import weakref
from datetime import datetime

import app
import pytest


@pytest.fixture(scope="module")
def module_state():
    return [app.Listener("module")]


@pytest.fixture(scope="class")
def class_state(request):
    request.cls.state = [app.Listener("class")]


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Set up anew in each run: otherwise the second run would find the file."""
    path = tmp_path / "once"
    assert not path.exists()
    path.write_text("x")
    monkeypatch.setattr(app, "last", path)
    return path


def test_fixtures_are_set_up_anew(fresh, module_state):
    assert fresh.read_text() == "x" and len(module_state) == 1


def test_folders_to_import_from(tmp_path, monkeypatch):
    (tmp_path / "reftracer_once.py").write_text("made = [object()]")
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("reftracer_once")
    del sys.modules["reftracer_once"]


def test_a_plugin_is_put_out_and_in_again(pytestconfig):
    plugin = pytestconfig.pluginmanager.unregister(name="logging-plugin")
    pytestconfig.pluginmanager.register(plugin, "logging-plugin")


@pytest.mark.usefixtures("class_state")
class TestScopes:
    def test_class_scope(self):
        assert len(self.state) == 1


def test_re():
    assert re.fullmatch(f"a{random.random()}|b+", "bbb")


def test_typing():
    class Local(typing.Generic[typing.TypeVar("T")]):
        pass

    assert typing.get_args(typing.List[Local[int]])


@functools.lru_cache(maxsize=64)
def squared(number):
    return [number * number]


def test_functools():
    assert squared(random.random())

    @functools.singledispatch
    def generic(value):
        return value

    class Local:
        pass

    generic.register(Local, lambda value: [value])
    assert generic(Local())


def test_logging(caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("app").info("number %s", random.random())
    assert "number" in caplog.text


def test_json():
    rows = [{"name": str(n), "value": n / 3} for n in range(20)]
    assert json.loads(json.dumps(rows)) == rows


def test_sqlite3():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a, b)")
    connection.executemany("insert into t values (?, ?)", [(n, str(n)) for n in range(10)])
    assert connection.execute(f"select count(*) from t -- {random.random()}").fetchone() == (10,)
    connection.close()


def test_warnings():
    warnings.warn(f"number {random.random()}", UserWarning, stacklevel=1)


def test_many_parts_of_the_library():
    Point = collections.namedtuple("Point", "x y")
    Made = dataclasses.make_dataclass("Made", ["x"])
    Color = enum.Enum("Color", "RED GREEN")
    assert copy.deepcopy([Point(1, 2)]) and Made(3).x == 3 and Color.RED
    assert pickle.loads(pickle.dumps({"a": decimal.Decimal("1.5")}))
    assert datetime.strptime("2024-01-02", "%Y-%m-%d").year == 2024


def test_cycles_are_no_leak():
    class Node:
        pass

    one, two = Node(), Node()
    one.other, two.other = two, one


def test_the_last_result_is_no_leak():
    app.latest(random.random())


def test_a_bounded_cache_is_no_leak():
    app.bounded(random.random())


last_fifty = collections.deque(maxlen=50)


def test_a_bounded_deque_is_no_leak():
    last_fifty.append({"number": random.random()})


numbers = itertools.count(100)


def test_keys_of_caches_are_no_leak(tmp_path, monkeypatch):
    struct.pack(f"{next(numbers)}s", b"")
    with pytest.raises(LookupError):
        "".encode(f"codec{next(numbers)}")
    name = f"fresh{next(numbers)}"  # asked for, and remembered, by pytest's import hook
    (tmp_path / f"{name}.py").write_text("made = []")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.import_module(name)
    del sys.modules[name]


class Nameless(type):
    @property
    def __name__(cls):
        raise AttributeError("no name")

    @property
    def __module__(cls):
        raise AttributeError("no module")


class Odd(metaclass=Nameless):
    pass


odd = Odd()


def test_classes_with_names_of_their_own_do_no_harm():
    squared(random.random())  # something grows, so caches are looked for


class TestInstances:
    def test_each_run_has_its_own(self):
        if not hasattr(self, "items"):
            self.items = []
        self.items.append([random.random()])
        assert len(self.items) == 1


def test_weak_references_are_no_leak():
    thing = app.Proper()
    weakref.finalize(thing, list)  # atexit=True, but the thing is gone before


def test_threads():
    done = []
    threads = [threading.Thread(target=done.append, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 3


def test_an_exception_that_is_caught():
    with pytest.raises(ZeroDivisionError):
        1 / 0


def test_recorded(record_property, capsys):
    record_property("number", str(random.random()))
    print("seen")
    assert capsys.readouterr().out == "seen\n"


async def test_async():
    assert [n async for n in counted()] == [0, 1, 2]


async def counted():
    for n in range(3):
        yield n


class Case(unittest.IsolatedAsyncioTestCase):
    async def test_unittest_async(self):
        self.assertEqual([n async for n in counted()], [0, 1, 2])


@pytest.mark.leaks(allowed=2)
def test_allowed():
    app.bus.subscribe("allowed")


@pytest.mark.leaks(ignore="app.Listener")
def test_ignored_type():
    app.bus.subscribe(None)


@pytest.mark.leaks(ignore=["app/__init__.py:Bus.*", "app/__init__.py:Listener.*"])
def test_ignored_place():
    app.bus.subscribe(None)


@pytest.mark.leaks(types=[dict])
def test_other_types():
    app.bus.subscribe(None)


@pytest.mark.leaks(repeat=0)
def test_not_repeated():
    app.bus.subscribe("once")


def test_collector_is_left_as_it_was():
    assert gc.isenabled()
