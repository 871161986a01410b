"""What a piece of a program leaves behind each time it runs: the pytest plugin's measure.

It is run a few times to warm up, then a few times more with a window of the agent's around
each run. A site (stack and type) of which *every* run has left objects that are still alive
at the end grows. A cache that fills up, or that keeps the last few results, does not: its
older windows are empty at the end, or its newer ones.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from reftracer._caches import held_by_caches
from reftracer._command import ReftracerError, agent
from reftracer._holders import parse

#: Suspects are made to run on before they are accused: so many times, or only the fewer ones
#: when that takes longer than so many seconds of the processor. A test that takes minutes is
#: not, so after so many seconds of the wall clock it ends all the same.
CONFIRM_RUNS, CONFIRM_RUNS_SLOW = 24, 12
CONFIRM_SECONDS, CONFIRM_SECONDS_WALL = 2.0, 60.0
#: Objects of a site that are looked at, and places of a test that are.
OBJECTS, PLACES = 400, 60
#: Texts of a place that may be names, asked about one by one.
NAMES = 3
#: Time that the question who holds something may take, in ms.
WHY_MS = 5000


class Unrepeatable(Exception):
    """The piece of program came out otherwise than the first time; str() says how."""


@dataclass(frozen=True)
class Place:
    """A frame of the stack of a birth."""

    file: str
    line: int
    function: str


@dataclass(eq=False)
class Leak:
    """Objects of one type and stack that each run adds."""

    type: str
    thread: str
    stack: tuple[Place, ...]  #: innermost first
    runs: list[int]  #: objects alive at the end, by the run that made them
    sites: set[int] = field(default_factory=set)
    owner: Leak | None = None  #: the leak whose objects refer to these
    owned: list[Leak] = field(default_factory=list)
    holder: tuple[str, ...] = ()  #: who holds one of them

    @property
    def per_run(self) -> int:
        """Objects that each run adds, at least."""
        return min(self.runs)


@dataclass
class Verdict:
    """What came of it."""

    leaks: list[Leak]
    warmup: int
    runs: int
    dismissed: list[tuple[str, str]] = field(default_factory=list)  #: (type, why it is no leak)


class Agent:
    """The agent in this process, and the trace that this class began, if it did."""

    def __init__(self) -> None:
        path = agent()
        try:
            library = ctypes.PyDLL(path)
            self._declare(library)
        except (OSError, AttributeError) as error:
            raise ReftracerError(f"loading the agent {path}: {error}") from error
        self._library = library
        self._began = False

    @staticmethod
    def _declare(library: Any) -> None:
        long, uint = ctypes.c_longlong, ctypes.c_uint
        for name, result, arguments in (
            ("reftracer_start", ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_int]),
            ("reftracer_stop", ctypes.c_char_p, []),
            ("reftracer_mark", ctypes.c_char_p, [ctypes.c_char_p]),
            ("reftracer_is_tracing", ctypes.c_int, []),
            ("reftracer_window_begin", long, [ctypes.c_int]),
            ("reftracer_window_survivors", ctypes.c_char_p, [long, long, uint, uint]),
            ("reftracer_window_list", ctypes.py_object, [long, long, uint, uint]),
            ("reftracer_site", ctypes.c_char_p, [uint, uint]),
            ("reftracer_why", ctypes.c_char_p, [ctypes.c_void_p, uint, uint, uint]),
            ("reftracer_name_lookups", uint, [ctypes.c_void_p]),
            ("reftracer_loses_deaths", ctypes.c_int, []),
            ("reftracer_mute", ctypes.c_int, [ctypes.c_int]),
        ):
            function = getattr(library, name)
            function.restype = result
            function.argtypes = arguments

    def start(self, path: str) -> None:
        """Begins a trace, unless one runs. Raises ReftracerError where that can't be."""
        if self._library.reftracer_is_tracing():
            return
        error = self._library.reftracer_start(os.fsencode(path), 0)
        if error is not None:
            raise ReftracerError(f"beginning a trace in {path}: {error.decode()}")
        self._began = True

    def stop(self) -> None:
        """Ends the trace that start() began."""
        if self._began:
            self._began = False
            self._library.reftracer_stop()

    @property
    def tracing(self) -> bool:
        return bool(self._library.reftracer_is_tracing())

    def mark(self, label: str) -> None:
        self._library.reftracer_mark(label.encode("utf-8", "replace"))

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Births of this thread are not counted."""
        before = self._library.reftracer_mute(1)
        try:
            yield
        finally:
            self._library.reftracer_mute(before)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Births of this thread are counted."""
        before = self._library.reftracer_mute(0)
        try:
            yield
        finally:
            self._library.reftracer_mute(before)

    def window(self) -> int:
        """Begins a window. Raises ReftracerError if tracing has stopped."""
        window = int(self._library.reftracer_window_begin(0))
        if window < 0:
            raise ReftracerError("tracing has stopped: out of memory or disk, as stderr says")
        return window

    def survivors(self, begin: int, end: int = 0) -> dict[int, int]:
        """Objects alive that were born from one window's begin to another's, by site."""
        text = self._library.reftracer_window_survivors(begin, end, 1, 0)
        if text is None:
            raise ReftracerError("tracing has stopped: out of memory or disk, as stderr says")
        found = {}
        for line in text.splitlines():
            _, site, live, _ = line.split(b"\t", 3)
            found[int(site)] = int(live)
        return found

    def names(self, site: int, depth: int = 200) -> tuple[str, str, tuple[Place, ...]]:
        """Type, thread and stack of a site."""
        text = self._library.reftracer_site(site, depth) or b"?\t?\n"
        rows = [
            [_unescape(part) for part in line.split("\t")]
            for line in text.decode("utf-8", "replace").split("\n")[:-1]
        ]
        stack = tuple(Place(file, int(line), function) for file, line, function in rows[1:])
        return rows[0][0], rows[0][1], stack

    def objects(self, site: int, begin: int, limit: int = OBJECTS) -> list[Any]:
        """Objects of a site that were born since a window's begin and are alive."""
        try:
            found = self._library.reftracer_window_list(begin, 0, site, limit)
        except ValueError:  # NULL: no memory
            return []
        return found if isinstance(found, list) else []

    def why(self, leak: Leak, paths: int = 1, only: int | None = None) -> str:
        """Who holds an object of a leak, or the one with this id, as the agent tells it; "" if
        there is none."""
        for site in leak.sites:
            found = [one for one in self.objects(site, 0) if only is None or id(one) == only]
            if found:
                # Of our frames this one and its caller know the object. The address is odd, or
                # its copy in ctypes would be taken for a reference.
                answer = self._library.reftracer_why(id(found[-1]) | 1, 2, WHY_MS, paths)
                return str(answer.decode("utf-8", "replace"))
        return ""

    def is_only_looked_up(self, names: list[Any], at: int) -> bool:
        """Whether a str has no references but this list's and those of CPython's cache of
        attribute look-ups; if not, it is for why() to tell."""
        lookups = self._library.reftracer_name_lookups(id(names[at]))
        fresh = [object()]
        counts = [sys.getrefcount(one) for one in (fresh[0], names[at])]
        return bool(counts[1] == counts[0] + lookups)

    @property
    def loses_deaths(self) -> bool:
        """Whether this CPython release does not report every death."""
        return bool(self._library.reftracer_loses_deaths())


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    parts = text.split("\\\\")
    for letter, meant in (("t", "\t"), ("n", "\n"), ("r", "\r")):
        parts = [part.replace("\\" + letter, meant) for part in parts]
    return "\\".join(parts)


def collect(thoroughly: bool) -> None:
    """Frees cyclic garbage: the young, which is nearly all that a run of a test leaves and costs
    little; or all of it, and what finalizers held.

    Only what is alive when the windows are read matters, so this is not needed between runs.
    """
    if not thoroughly:
        gc.collect(1)
        return
    for _ in range(3):
        if gc.collect() == 0:
            return


class _Names:
    """What sites are, asked once. Stacks that differ in what lies outside of the program, as
    the tool's own frames, are one place."""

    def __init__(self, tracer: Agent, concerns: Callable[[Leak], bool]) -> None:
        self._tracer, self._concerns = tracer, concerns
        self._known: dict[int, tuple[str, str, tuple[Place, ...]] | None] = {}

    def __call__(self, site: int) -> tuple[str, str, tuple[Place, ...]] | None:
        """Type, thread and stack, or None if it does not concern us."""
        if site not in self._known:
            leak = Leak(*self._tracer.names(site), [])
            concerned = self._concerns(leak)  # it cuts the stack
            self._known[site] = (leak.type, leak.thread, leak.stack) if concerned else None
        return self._known[site]


def _growing(tracer: Agent, windows: Sequence[int], names: _Names) -> list[Leak]:
    """What each window has objects of, most objects first."""
    found: dict[tuple[str, str, tuple[Place, ...]], Leak] = {}
    for number, (begin, end) in enumerate(zip(windows, windows[1:])):
        for site, live in tracer.survivors(begin, end).items():
            name = names(site)
            if name is None or (number > 0 and name not in found):
                continue
            leak = found.setdefault(name, Leak(*name, []))
            if len(leak.runs) == number:
                leak.runs.append(0)
            if len(leak.runs) == number + 1:
                leak.runs[number] += live
                leak.sites.add(site)
        found = {name: leak for name, leak in found.items() if len(leak.runs) == number + 1}
    return sorted(found.values(), key=lambda leak: -leak.per_run)


def measure(
    tracer: Agent,
    run: Callable[[], None],
    *,
    warmup: int,
    repeat: int,
    allowed: int,
    concerns: Callable[[Leak], bool],
) -> Verdict:
    """Runs something again and again, and tells what each run leaves behind.

    run: must do the same each time; may raise Unrepeatable.
    warmup, repeat: runs before the measure begins, and in it, at least 2. If something grows,
        up to CONFIRM_RUNS more: more runs tell a leak from a cache that still fills.
    allowed: objects that each run may add, all leaks together.
    concerns: whether a site is the program's, and one that was asked about; cuts its stack.

    The caller has muted this thread; `run` unmutes it for what is to be measured.
    """
    for _ in range(warmup):
        run()
    names = _Names(tracer, concerns)
    windows: list[int] = []
    runs, most, begun = repeat, repeat + CONFIRM_RUNS, 0.0
    wall = 0.0  # of the runs alone: where others use the processors, the judgement takes long

    def enough() -> bool:
        more = len(windows) - 1 - repeat
        spent = time.process_time() - begun
        return (more >= CONFIRM_RUNS_SLOW and spent > CONFIRM_SECONDS) or (
            more >= 1 and wall > CONFIRM_SECONDS_WALL
        )

    windows.append(tracer.window())
    while True:
        while len(windows) <= runs:
            before = time.monotonic()
            run()
            wall += time.monotonic() - before
            windows.append(tracer.window())
            if enough():
                break
        for thoroughly in (False, True):
            collect(thoroughly)
            verdict = Verdict([], warmup, len(windows) - 1)
            if sum(leak.per_run for leak in _growing(tracer, windows, names)) <= allowed:
                return verdict
        leaks = _judge(tracer, windows, names, verdict)
        if sum(leak.per_run for leak in leaks) <= allowed:
            return verdict
        if runs == most or (len(windows) - 1 > repeat and enough()):
            verdict.leaks = leaks
            return verdict
        if runs == repeat:
            begun, wall = time.process_time(), 0.0
        runs = min(2 * runs, most)


def _judge(tracer: Agent, windows: Sequence[int], names: _Names, verdict: Verdict) -> list[Leak]:
    """What grows and is not explained by a cache."""
    leaks = _growing(tracer, windows, names)
    if not leaks:
        return []
    objects = {
        id(leak): [one for site in leak.sites for one in tracer.objects(site, windows[0])]
        for leak in leaks[:PLACES]
    }
    cached = held_by_caches(list(objects.values()))
    kept = []
    for leak in leaks:
        found = objects.get(id(leak), [])
        unexplained = [at for at, one in enumerate(found) if id(one) not in cached]
        if tracer.loses_deaths and len(found) < min(len(leak.runs), OBJECTS):
            verdict.dismissed.append((leak.type, "gone, unreported by this CPython release"))
        elif found and not unexplained:
            verdict.dismissed.append((leak.type, cached[id(found[0])]))
        elif leak.type == "str" and (
            all(
                tracer.is_only_looked_up(found, at)
                or _is_name_looked_up(tracer, leak, id(found[at]))
                for at in unexplained[-NAMES:]
            )
            if found
            else _is_name_looked_up(tracer, leak, None)
        ):
            verdict.dismissed.append((leak.type, "the cache of attribute look-ups"))
        else:
            kept.append(leak)
    _find_owners(kept, objects)
    return kept


def _is_name_looked_up(tracer: Agent, leak: Leak, one: int | None) -> bool:
    """Whether CPython's cache of attribute look-ups (4,096 entries, Objects/typeobject.c) holds a
    leak's str (with this id, if given), and nobody else: the copy of a name that something was
    last looked up by. Or nobody at all but this measure: a look-up since has taken its entry."""
    held = parse(tracer.why(leak, 4, one))
    return (
        held is not None
        and bool(held.paths)
        and all(
            path[0].kind == "root interned"
            or (path[0].kind == "root interpreter" and "cache" in path[0].label)
            or (path[0].kind == "root local" and path[0].detail.startswith("_judge in "))
            for path in held.paths
        )
    )


def _find_owners(leaks: list[Leak], objects: dict[int, list[Any]]) -> None:
    """Which of the leaks are only there because others refer to them, or are referred to by
    their weak references."""
    home = {id(one): leak for leak in leaks for one in objects.get(id(leak), ())}
    below: dict[Leak, set[Leak]] = {leak: set() for leak in leaks}
    for leak in leaks:
        for one in objects.get(id(leak), ())[:50]:
            for target in gc.get_referents(one):
                below[leak].add(home.get(id(target), leak))
            owner = home.get(_watched(one))
            if owner is not None:
                below[owner].add(leak)
    for leak in leaks:  # all ways: there are few leaks, and most have none
        ahead = list(below[leak])
        while ahead:
            new = below[ahead.pop()] - below[leak]
            below[leak] |= new
            ahead += new

    def above(leak: Leak) -> list[Leak]:
        return [one for one in leaks if leak in below[one] and one not in below[leak]]

    for leak in leaks:
        owners = [one for one in above(leak) if not above(one)] or [leak]
        # If they refer to each other, the one that says most stands for all.
        circle = [one for one in leaks if one in below[owners[0]] and owners[0] in below[one]]
        top = min(
            circle or owners[:1],
            key=lambda one: (_telling(one.type), one.per_run, leaks.index(one)),
        )
        if top is not leak:
            leak.owner = top
            top.owned.append(leak)


def _telling(kind: str) -> int:
    """How little the name of a type tells: an instance of a class most, a tuple little."""
    if "." in kind:
        return 0
    return {"type": 1, "function": 2, "generator": 2, "coroutine": 2}.get(kind, 3)


def _watched(one: Any) -> int:
    """The id of the object that something goes away with: what a weak container has of it, or
    its base class. 0: of none."""
    if type(one) is int:  # the key of that: type.tp_subclasses
        return one
    if type(one) is weakref.ref:
        target = one()
        if one.__callback__ is not None or issubclass(type(target), type):
            return id(target)
    return 0


def supported() -> str:
    """Why this Python can't be traced, or ""."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} has no reference tracer; CPython 3.13 or newer has one"
    if sys.version_info < (3, 13):
        version = ".".join(map(str, sys.version_info[:3]))
        return f"CPython {version} has no reference tracer; CPython 3.13 or newer has one"
    return ""
