"""Outcomes that are not for us, and tests that can't be run again."""

import app
import pytest


def test_fails():
    app.bus.subscribe("fails")
    assert 1 == 2


@pytest.mark.xfail(reason="known")
def test_xfail():
    app.bus.subscribe("xfail")
    raise KeyError


@pytest.mark.xfail(reason="thought to fail")
def test_xpass():
    pass


@pytest.mark.skip(reason="not here")
def test_skipped():
    pass


def test_skips_itself():
    pytest.skip("at run time")


def test_passes_once():
    assert not hasattr(app, "been_here")
    app.been_here = True


def test_skips_the_second_time():
    if hasattr(app, "been_there"):
        pytest.skip("only once")
    app.been_there = True


@pytest.fixture
def broken_teardown():
    yield
    raise OSError("teardown")


def test_teardown_fails(broken_teardown):
    pass


@pytest.fixture
def ends_badly_once():
    yield
    app.ended = getattr(app, "ended", 0) + 1
    assert app.ended > 1, "its first end"


def test_ends_badly_once(ends_badly_once):
    pass


@pytest.fixture(scope="module")
def broken_module_teardown():
    yield
    raise OSError("module teardown")


def test_module_teardown_fails(broken_module_teardown):
    pass
