"""A trace as plain objects: what ``reftracer report --json`` says of it.

Counts are objects, sizes are bytes, times are seconds since the trace began. Nothing in
here refers to an object of the traced program.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Union

from reftracer._command import ReftracerError, output_of
from reftracer._table import Columns, Row, Table

#: Anything that names a file.
Path = Union[str, "os.PathLike[str]"]

SCHEMA = "reftracer-report/1"


@dataclass(frozen=True)
class Frame:
    """One frame of the stack that made an object."""

    file: str
    line: int | None  #: None: not known
    function: str  #: qualified name

    def __str__(self) -> str:
        return f"{self.file}:{self.line or '?'} {self.function}"


@dataclass(frozen=True)
class Mark:
    """A moment that the program has named."""

    label: str
    time: float  #: seconds since the start of the (first) program
    pid: int

    def __str__(self) -> str:
        return f"{self.label!r} after {self.time:.3f} s"


def stack_columns(stack: tuple[Frame, ...]) -> dict[str, Any]:
    """The columns that tell a place."""
    frame = stack[0] if stack else Frame("", None, "")
    return {
        "file": frame.file,
        "line": frame.line,
        "function": frame.function,
        "stack": "\n".join(str(frame) for frame in stack),
    }


PLACE_COLUMNS: Columns = (
    ("file", "text"),
    ("line", "int"),
    ("function", "text"),
    ("stack", "text"),
)


@dataclass(frozen=True, repr=False)
class Placed(Row):
    """Objects of one type, made by one stack."""

    type: str  #: with its module
    stack: tuple[Frame, ...]  #: innermost first; empty: no Python frame ran

    @property
    def place(self) -> str:
        """The innermost frame, as text."""
        return str(self.stack[0]) if self.stack else "(no Python frame)"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


@dataclass(frozen=True, repr=False)
class Survivors(Placed):
    """Objects of one site that are alive: one type, made by one stack, in one thread."""

    thread: str | None
    live: int
    live_bytes: int | None  #: None: not known before the trace's end, as sizes differ

    COLUMNS: ClassVar[Columns] = (
        ("type", "text"),
        *PLACE_COLUMNS,
        ("thread", "text"),
        ("live", "int"),
        ("live_bytes", "int"),
    )

    def row(self) -> dict[str, Any]:
        """Plain columns: COLUMNS names them."""
        return {
            "type": self.type,
            **stack_columns(self.stack),
            "thread": self.thread,
            "live": self.live,
            "live_bytes": self.live_bytes,
        }

    def __str__(self) -> str:
        size = "" if self.live_bytes is None else f"  {self.live_bytes:,} bytes"
        return f"{self.live:,} alive{size}  {self.type}  {self.place}"


@dataclass(frozen=True, repr=False)
class Site(Placed):
    """Who makes what where: one type, made by one stack, in one thread and interpreter."""

    thread: str | None
    interpreter: int | None
    births: int
    deaths: int
    live: int  #: survivors
    live_bytes: int
    dead_bytes: int
    died_at_once: int  #: within a millisecond
    growth: str  #: none, startup, step, saturated, cyclic, turnover, slowing or growing

    COLUMNS: ClassVar[Columns] = (
        ("type", "text"),
        *PLACE_COLUMNS,
        ("thread", "text"),
        ("interpreter", "int"),
        ("births", "int"),
        ("deaths", "int"),
        ("live", "int"),
        ("live_bytes", "int"),
        ("dead_bytes", "int"),
        ("died_at_once", "int"),
        ("growth", "text"),
    )

    def row(self) -> dict[str, Any]:
        """Plain columns: COLUMNS names them."""
        return {
            "type": self.type,
            **stack_columns(self.stack),
            "thread": self.thread,
            "interpreter": self.interpreter,
            "births": self.births,
            "deaths": self.deaths,
            "live": self.live,
            "live_bytes": self.live_bytes,
            "dead_bytes": self.dead_bytes,
            "died_at_once": self.died_at_once,
            "growth": self.growth,
        }

    def __str__(self) -> str:
        return f"{self.live:,} alive of {self.births:,} {self.type}  {self.place}"


@dataclass(frozen=True, repr=False)
class Growth(Site):
    """A site that keeps growing, with all that were added up with it."""

    objects_per_second: float = 0.0
    bytes_per_second: float = 0.0
    since: float = 0.0  #: seconds, when it began to grow
    never_die_share: float = 0.0  #: of those born since then, 0 to 1
    grown: int = 0  #: objects since then
    grown_bytes: int = 0
    sites: int = 1  #: added up: the same type and line, other callers or threads

    COLUMNS: ClassVar[Columns] = (
        *Site.COLUMNS,
        ("objects_per_second", "float"),
        ("bytes_per_second", "float"),
        ("since", "float"),
        ("never_die_share", "float"),
        ("grown", "int"),
        ("grown_bytes", "int"),
        ("sites", "int"),
    )

    def row(self) -> dict[str, Any]:
        """Plain columns: COLUMNS names them."""
        return {
            **super().row(),
            "objects_per_second": self.objects_per_second,
            "bytes_per_second": self.bytes_per_second,
            "since": self.since,
            "never_die_share": self.never_die_share,
            "grown": self.grown,
            "grown_bytes": self.grown_bytes,
            "sites": self.sites,
        }

    def __str__(self) -> str:
        return (
            f"{self.type}  {self.objects_per_second:+,.0f} objects/s  "
            f"{self.bytes_per_second / 1024:+,.1f} KiB/s  {self.place}"
        )


@dataclass(frozen=True, repr=False)
class Report:
    """One or several traces, added up."""

    births: int
    deaths: int
    live: int
    live_bytes: int
    peak_live: int
    older_deaths: int  #: deaths of objects older than the trace; not among `deaths`
    exact: bool
    exact_reasons: tuple[str, ...]  #: why not, one sentence each
    #: worst first; empty: nothing keeps growing
    growing: Table[Growth]
    #: most bytes alive first
    sites: Table[Site]
    marks: tuple[Mark, ...]  #: what the program has named, and the tracer's own
    data: Mapping[str, Any]  #: the whole document, docs/JSON-SCHEMA.md
    paths: tuple[str, ...]

    def __repr__(self) -> str:
        return (
            f"<Report {self.births:,} born, {self.deaths:,} died, {self.live:,} alive"
            f"{'' if self.exact else ', inexact'}; growing: {len(self.growing)}>"
        )

    def survivors(self, type: str | None = None, since: str | None = None) -> Table[Survivors]:
        """What is alive at the end, by site, most objects first.

        type: only of this type, by its full name (``app.Node``) or its last part (``Node``).
        since: only what was born after this mark, exactly; of several marks with this label,
            the last one.

        Raises ReftracerError if there is no such mark, or if a process had no census (it was
        killed, or still runs): then it is not known when its survivors were born.
        """
        after = None if since is None else self._marks_since(since)
        found = []
        for site, entry in zip(self.sites, self.data["sites"]):
            live, size = site.live, site.live_bytes
            if live and after is not None:
                if entry["live_by_mark"] is None:
                    raise ReftracerError(
                        f"when the survivors were born is not known: {', '.join(self.paths)} has "
                        "no census, because the process was killed or still runs"
                    )
                later = [span for span in entry["live_by_mark"] if span["mark"] in after]
                live = sum(span["live"] for span in later)
                size = sum(span["bytes"] for span in later)
            if live and is_type(site.type, type):
                found.append(Survivors(site.type, site.stack, site.thread, live, size))
        return survivors_table(found, since)

    def _marks_since(self, label: str) -> set[int]:
        """Numbers of the marks that are not before the one with this label."""
        times = [mark.time for mark in self.marks if mark.label in (label, _told(label))]
        if not times:
            known = ", ".join(repr(mark.label) for mark in self.marks) or "none"
            raise ReftracerError(f"the trace has no mark {label!r}; it has: {known}")
        return {number for number, mark in enumerate(self.marks) if mark.time >= times[-1]}

    def summary(self) -> str:
        """The terminal report, as text.

        Raises ReftracerError if the traces are no longer there.
        """
        return output_of(["report", *self.paths])

    def rows(self) -> Iterator[dict[str, Any]]:
        """One dict of plain columns for each site."""
        return iter(self.sites.rows())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The sites, by the Arrow PyCapsule interface."""
        return self.sites.__arrow_c_stream__(requested_schema)


def is_type(name: str, wanted: str | None) -> bool:
    """Whether a type's full name is the wanted one, or ends in it."""
    return wanted is None or name == wanted or name.rpartition(".")[2] == wanted


#: What would not be told as it is (is_control() in src/base/text.c).
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def _told(label: str) -> str:
    """A mark's label as a trace that has ended tells it: control characters are escaped, and its
    text ends with a NUL."""
    return _CONTROL.sub(
        lambda found: found[0].encode("unicode_escape").decode("ascii"),
        label.encode("utf-8", "replace").decode("utf-8").partition("\0")[0],
    )


def survivors_table(found: list[Survivors], since: str | None) -> Table[Survivors]:
    """Most objects first."""
    remark = "" if since is None else f", born since {since!r}"
    ordered = sorted(found, key=lambda site: -site.live)
    return Table(Survivors, ordered, "sites of survivors", remark)


class Stacks:
    """Stacks of a document. What the document shares is shared here too, so it must live as
    long as this."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}  # by the id of the JSON's
        self._stacks: dict[int, tuple[Frame, ...]] = {}

    def of(self, frames: list[dict[str, Any]]) -> tuple[Frame, ...]:
        stack = self._stacks.get(id(frames))
        if stack is None:
            stack = self._stacks[id(frames)] = tuple(map(self._frame, frames))
        return stack

    def _frame(self, frame: dict[str, Any]) -> Frame:
        known = self._frames.get(id(frame))
        if known is None:
            known = Frame(frame["file"], frame["line"], frame["function"])
            self._frames[id(frame)] = known
        return known


def _site_fields(site: Mapping[str, Any], stacks: Stacks) -> dict[str, Any]:
    return {
        "type": site["type"],
        "stack": stacks.of(site["stack"]),
        "thread": site["thread"],
        "interpreter": site["interpreter"],
        "births": site["births"],
        "deaths": site["deaths"],
        "live": site["live"],
        "live_bytes": site["live_bytes"],
        "dead_bytes": site["dead_bytes"],
        "died_at_once": site["died_at_once"],
        "growth": site["growth"],
    }


class _SharedStacks:
    """Turns the numbers of `--shared-stacks` into lists of frames, which have the same
    objects: written out, stacks are most of the document, and may be gigabytes."""

    #: The bounds of a document with whole stacks (docs/JSON-SCHEMA.md).
    USUAL, LATER, FRAMES = 1000, 100, 4_000_000

    def __init__(self) -> None:
        self._places: list[dict[str, Any]] = []

    def see(self, made: dict[str, Any]) -> dict[str, Any]:
        """For json.loads(object_hook=…)."""
        if type(made.get("stack")) is int:
            self._places.append(made)
        return made

    def write_out(self, data: dict[str, Any]) -> None:
        frames, stacks = data.pop("frames"), data.pop("stacks")
        known: dict[int, list[Any]] = {}
        written = 0
        for place in self._places:
            number = place["stack"]
            if number not in known:
                limit = self.USUAL if written < self.FRAMES else self.LATER
                stack: list[Any] = []
                known[number] = stack
                caller = number
                while caller and len(stack) < limit:
                    frame, caller = stacks[caller]
                    stack.append(frames[frame])
                written += len(stack)
            place["stack"] = known[number]
        self._places.clear()


def document(arguments: list[str], schema: str) -> dict[str, Any]:
    """The JSON that a command writes.

    Raises ReftracerError if it fails, or writes another schema.
    """
    shared = _SharedStacks()
    data: dict[str, Any] = json.loads(output_of(arguments), object_hook=shared.see)
    if data.get("schema") != schema:
        raise ReftracerError(
            f"the reftracer command writes {data.get('schema')!r}, this package reads {schema!r}; "
            "install both from the same release"
        )
    if "stacks" in data:
        shared.write_out(data)
    return data


def load(*paths: Path) -> Report:
    """Reads traces.

    paths: at least one file; several, as of a program and its children, are added up.

    Raises ReftracerError if a file can't be read, is no trace, or needs a newer reftracer.
    """
    if not paths:
        raise ReftracerError("load() needs at least one trace")
    names = tuple(os.fspath(path) for path in paths)
    data = document(["report", "--json", "--shared-stacks", "--", *names], SCHEMA)
    totals = data["totals"]
    stacks = Stacks()
    growing = (
        Growth(
            **_site_fields(entry, stacks),
            objects_per_second=entry["objects_per_second"],
            bytes_per_second=entry["bytes_per_second"],
            since=entry["since"],
            never_die_share=entry["never_die_share"],
            grown=entry["grown"],
            grown_bytes=entry["grown_bytes"],
            sites=entry["sites"],
        )
        for entry in data["growing"]
    )
    return Report(
        births=totals["births"],
        deaths=totals["deaths"],
        live=totals["live"],
        live_bytes=totals["live_bytes"],
        peak_live=totals["peak_live"],
        older_deaths=data["losses"]["unseen_births"],
        exact=data["exact"],
        exact_reasons=tuple(data["exact_reasons"]),
        growing=Table(Growth, growing, "sites that keep growing"),
        sites=Table(Site, (Site(**_site_fields(site, stacks)) for site in data["sites"]), "sites"),
        marks=tuple(Mark(mark["label"], mark["time"], mark["pid"]) for mark in data["marks"]),
        data=data,
        paths=names,
    )
