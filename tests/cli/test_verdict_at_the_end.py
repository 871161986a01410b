"""The verdict on growth, and what the agent does as an interpreter ends: it looks through the
heap, collects and counts, which is no part of the program's life. Traces made by hand."""

import pytest

from rftwrite import Trace, births, deaths

INTERPRETER_END = 2
COLLECTION = "final gc.collect()"
TICKS = 100


def busy(trace):
    return trace.site([("app.py", "main", 3), ("app.py", "work", 30)], "str")


@pytest.mark.parametrize("look, collection", [(2000, 0), (0, 2000), (900, 1500)])
def test_what_main_held_has_grown_though_the_agent_took_long_afterwards(growing, look, collection):
    trace = Trace()
    other = busy(trace)
    leak = trace.site([("app.py", "main", 3), ("app.py", "request", 9)], "app.Ticket")
    for tick in range(1, TICKS):
        trace.tick(tick * 100, {leak: births(5), other: births(50) | deaths(50)})
    over = TICKS * 100
    trace.tick(over, {leak: deaths(5 * (TICKS - 1), bucket=9)})
    if look:
        trace.heap(over, pause=look)
    trace.mark(over + look, COLLECTION)
    trace.tick(over + look + collection, {other: births(1) | deaths(1)})
    trace.census(over + look + collection, {})
    trace.end(over + look + collection)
    assert list(growing(trace)) == ["app.Ticket"]


def with_interpreter_that_ends(ends_at, leak_deaths, own_garbage=0):
    """One of whose tickets some die; garbage of the sub-interpreter waits for its end."""
    trace = Trace()
    other = busy(trace)
    leak = trace.site([("app.py", "main", 3), ("app.py", "request", 9)], "app.Ticket")
    own = trace.site([("part.py", "<module>", 1)], "part.Cycle", interpreter=1)
    number = trace.interpreter(1)
    survivors = []
    for tick in range(1, TICKS + 1):
        happened = {other: births(50) | deaths(50)}
        if tick <= ends_at and own_garbage:
            happened[own] = births(own_garbage)
        happened[leak] = births(5) | (deaths(leak_deaths) if leak_deaths else {})
        survivors.append(((tick - 1) * 100, 100, 5 - leak_deaths, 48 * (5 - leak_deaths)))
        trace.tick(tick * 100, happened)
        if tick == ends_at:
            trace.mark(tick * 100, COLLECTION)
            if own_garbage:
                trace.tick(tick * 100 + 10, {own: deaths(own_garbage * ends_at, bucket=9)})
            trace.census(tick * 100 + 10, {}, kind=INTERPRETER_END, interpreter=number)
    trace.mark(TICKS * 100, COLLECTION)
    trace.tick(TICKS * 100 + 5, {other: births(1) | deaths(1)})
    trace.census(TICKS * 100 + 5, {leak: survivors})
    trace.end(TICKS * 100 + 5)
    return trace


@pytest.mark.parametrize("ends_at", [5, 50, 95])
def test_what_dies_after_a_sub_interpreters_end_was_no_garbage(growing, ends_at):
    found = growing(with_interpreter_that_ends(ends_at, leak_deaths=4))
    assert list(found) == ["app.Ticket"]


def test_garbage_of_a_sub_interpreter_that_its_end_collects_is_no_growth(growing):
    found = growing(with_interpreter_that_ends(95, leak_deaths=4, own_garbage=6))
    assert list(found) == ["app.Ticket"]


def with_garbage_that_waits(born, dying, garbage, survivors):
    """Births and deaths of a tick, and garbage that is born in it and waits for the collection."""
    trace = Trace()
    other = busy(trace)
    site = trace.site([("app.py", "main", 3), ("app.py", "request", 9)], "app.Ticket")
    waiting = 0
    for tick in range(TICKS):
        waiting += garbage(tick)
        happened = births(born(tick) + garbage(tick))
        if dying(tick):
            happened |= deaths(dying(tick), bucket=9)
        trace.tick((tick + 1) * 100, {site: happened, other: births(50) | deaths(50)})
    over = TICKS * 100
    trace.mark(over, COLLECTION)
    trace.tick(over + 5, {site: deaths(waiting, bucket=9), other: births(1) | deaths(1)})
    trace.census(over + 5, {site: [(tick * 100, 100, count, 48 * count)
                                   for tick, count in survivors]})  # fmt: skip
    trace.end(over + 5)
    return trace


def test_garbage_that_waits_at_the_end_makes_no_leak_of_a_full_cache(growing):
    full = 40  # ticks; from then on the oldest go
    found = growing(with_garbage_that_waits(
        born=lambda tick: 20,
        dying=lambda tick: 20 if tick >= full else 0,
        garbage=lambda tick: 15 if tick >= 70 else 0,
        survivors=[(tick, 20) for tick in range(TICKS - full, TICKS)],
    ))  # fmt: skip
    assert not found


@pytest.mark.parametrize("since, garbage", [(0, 4), (40, 6), (70, 10)])
def test_garbage_that_waits_at_the_end_hides_no_leak(growing, since, garbage):
    found = growing(with_garbage_that_waits(
        born=lambda tick: 5,
        dying=lambda tick: 0,
        garbage=lambda tick: garbage if tick >= since else 0,
        survivors=[(tick, 5) for tick in range(TICKS)],
    ))  # fmt: skip
    assert list(found) == ["app.Ticket"]
