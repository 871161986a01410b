"""Tests that leak: each has its verdict in EXPECTED of tests/test_pytest_plugin.py."""

import asyncio
import itertools
import logging
import signal
import unittest

import app
import pytest

numbers = itertools.count(1000)


@pytest.fixture
def subscribed():
    yield app.bus.subscribe("fixture")  # and never unsubscribed


def test_fixture_that_leaks(subscribed):
    assert subscribed.name == "fixture"


def test_module_cache():
    assert len(app.remember(next(numbers))) == 100


@pytest.mark.parametrize("name", ["kept", "dropped"])
def test_parametrised(name):
    if name == "kept":
        app.bus.subscribe(name)


async def test_async():
    await asyncio.sleep(0)
    app.bus.subscribe("async")


@pytest.mark.anyio
async def test_anyio():
    app.bus.subscribe("anyio")


class TestRegistry:
    def test_class_registry(self):
        assert app.Plugin()


    def test_keeps_its_instance(self):
        app.errors.append(self)


def test_fixture_of_the_module(names):
    names.append([len(names)])


@pytest.fixture(scope="module")
def names():
    return []


def test_signal_handlers():
    handler = signal.getsignal(signal.SIGUSR1)
    handler.__defaults__[0].append(object())


def test_logging_handler():
    logging.getLogger("app").addHandler(logging.NullHandler())


def test_class_that_stays():
    class Local:
        pass

    app.errors.append(Local)


def test_exception_with_traceback():
    app.risky(1)


def test_c_extension():
    faults = pytest.importorskip("faults")
    faults.leak_result()


class Case(unittest.TestCase):
    def setUp(self):
        self.listener = app.bus.subscribe("unittest")

    def test_unittest(self):
        self.assertEqual(self.listener.name, "unittest")


@pytest.mark.leaks(allowed=1)
def test_more_than_allowed():
    app.bus.subscribe("a")
    app.bus.subscribe("b")


class Parent:
    def __init__(self):
        self.children = []


def test_cycle_that_is_held():
    parent = Parent()
    parent.children.append((parent,))
    app.errors.append(parent)


signal.signal(signal.SIGUSR1, lambda number, frame, kept=[]: None)  # C code alone has it
