"""The verdict on programs that have no processor at times. Traces made by hand."""

import pytest

from rftwrite import Trace, births, deaths

USUAL = 50  # births of the rest of the program, each 100 ms


class Run:
    """A trace that is written tick by tick, of a program with one site."""

    def __init__(self):
        self.trace = Trace()
        self.site = self.trace.site([("app.py", "main", 3), ("app.py", "request", 9)], "app.Ticket")
        self.busy = self.trace.site([("app.py", "main", 3), ("app.py", "work", 30)], "str")
        self.at, self.survivors = 0, {}

    def tick(self, born, died=0, share=1.0, late=0, kept=None):
        """100 ms, and `late` ms in which nothing ran."""
        usual = round(USUAL * share)
        happened = {self.busy: births(usual) | deaths(usual)}
        if born or died:
            happened[self.site] = births(born) | (deaths(died, bucket=9) if died else {})
        kept = born if kept is None else kept
        if kept:
            self.survivors.setdefault(self.site, []).append((self.at, 100 + late, kept, 48 * kept))
        self.at += 100 + late
        self.trace.tick(self.at, happened)

    def end(self):
        self.trace.census(self.at, self.survivors)
        self.trace.end(self.at)
        return self.trace


@pytest.mark.parametrize("fast", [range(6, 8), range(8, 12), range(0, 30, 10)])
def test_of_what_never_dies_all_never_died_though_the_program_was_slow(growing, fast):
    """Where it had a processor it did several times as much."""
    run = Run()
    for tick in range(30):
        share = 1 if tick in fast else 0.1
        run.tick(round(50 * share), share=share)
    found = growing(run.end())
    assert list(found) == ["app.Ticket"]
    assert found["app.Ticket"]["never_die_share"] == 1


LEVEL = 6  # ticks that a session lives


def sessions(stop_at, stopped):
    """Of 24 in each tick a third stays for ever, beside a level of those that expire."""
    run = Run()
    for tick in range(34):
        late = stopped if tick == stop_at else 0
        run.tick(24, 16 if tick >= LEVEL else 0, late=late, kept=8 if tick < 34 - LEVEL else 24)
    return run.end()


@pytest.mark.parametrize("stop_at", range(4, 33, 2))
@pytest.mark.parametrize("stopped", [0, 300, 400, 500, 700, 900, 3000])
def test_a_stop_makes_no_leak_slower(growing, stop_at, stopped):
    assert list(growing(sessions(stop_at, stopped))) == ["app.Ticket"]


@pytest.mark.parametrize("ticks", range(30, 44))
def test_numbers_of_a_cache_that_is_full_at_two_fifths_of_the_run(growing, ticks):
    """However many windows the run has. Small numbers are not born: the others still come, the
    last of them just before the end."""
    trace, size, each, survivors = Trace(), 480, 1200 // ticks, {}
    rows = trace.site([("app.py", "main", 3), ("app.py", "find", 9)], "dict")
    numbers = trace.site([("app.py", "main", 3)], "int")
    full, begin = size // each, ticks - 1 - size // each
    for tick in range(ticks):
        happened = {rows: births(each)}
        if tick >= full:
            happened[rows] |= deaths(each, bucket=9)
        if tick >= begin:
            happened[numbers] = births(each)
        for site in happened:
            first = max(begin, ticks - full) if site == numbers else ticks - full
            if tick >= first:
                survivors.setdefault(site, []).append((tick * 100, 100, each, 48 * each))
        if tick >= begin + full:
            happened[numbers] |= deaths(each, bucket=9)
        trace.tick((tick + 1) * 100, happened)
    trace.census(ticks * 100, survivors)
    trace.end(ticks * 100)
    assert growing(trace) == {}


# Strings of which the cache of look-ups comes to hold 1,800; `more` each 100 ms seem to stay beside,
# 40 of them times that in all, of `born`.
@pytest.mark.parametrize("born, more, accused", [
    (4000, 8, False),
    (4000, 22, False),
    (4000, 30, True),
    (150, 8, True),
], ids=["as in a slow run", "under half of the names", "more than that", "many of its strings"])
def test_what_the_cache_of_look_ups_lets_seem_to_grow(growing, born, more, accused):
    trace, held, at, survivors = Trace(), 0, 0, []
    site = trace.site([("app.py", "main", 3), ("app.py", "page", 9)], "str")
    busy = trace.site([("app.py", "main", 3), ("app.py", "work", 30)], "dict")
    trace.names(0, {site: 0})
    for tick in range(40):
        named = 100 if tick < 18 else 0
        stay = named + more
        trace.tick(at + 100, {site: births(born) | deaths(born - stay), busy: births(50) | deaths(50)})
        survivors.append((at, 100, stay, 48 * stay))
        held, at = held + named, at + 100
        trace.names(at, {site: held})
    trace.census(at, {site: survivors})
    trace.end(at)
    assert list(growing(trace)) == (["str"] if accused else [])
