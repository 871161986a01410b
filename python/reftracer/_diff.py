"""What one run has more of than another: ``reftracer diff --json`` as plain objects."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Union

from reftracer._command import ReftracerError, output_of
from reftracer._report import PLACE_COLUMNS, Path, Placed, Report, Stacks, document, stack_columns
from reftracer._table import Columns, Row, Table
from reftracer._trace import Trace

SCHEMA = "reftracer-diff/1"

#: A run: its trace, or what was made of it.
Run = Union[Path, Report, Trace]

COUNT_COLUMNS: Columns = (
    ("births_a", "int"),
    ("births_b", "int"),
    ("live_a", "int"),
    ("live_b", "int"),
    ("live_bytes_a", "int"),
    ("live_bytes_b", "int"),
)


@dataclass(frozen=True)
class Counts:
    """Objects of one type or place in one run."""

    births: int
    deaths: int
    live: int
    live_bytes: int
    died_at_once: int


def _counts(entry: Mapping[str, int]) -> Counts:
    return Counts(
        entry["births"],
        entry["deaths"],
        entry["live"],
        entry["live_bytes"],
        entry["died_at_once"],
    )


def _count_columns(a: Counts, b: Counts) -> dict[str, int]:
    return {
        "births_a": a.births,
        "births_b": b.births,
        "live_a": a.live,
        "live_b": b.live,
        "live_bytes_a": a.live_bytes,
        "live_bytes_b": b.live_bytes,
    }


def _change(a: Counts, b: Counts) -> str:
    return (
        f"{b.live - a.live:+,} alive  {b.live_bytes - a.live_bytes:+,} bytes  "
        f"{b.births - a.births:+,} born"
    )


@dataclass(frozen=True, repr=False)
class TypeChange(Row):
    """A type in both runs."""

    type: str
    a: Counts
    b: Counts

    COLUMNS: ClassVar[Columns] = (("type", "text"), *COUNT_COLUMNS)

    def row(self) -> dict[str, Any]:
        """Plain columns: COLUMNS names them."""
        return {"type": self.type, **_count_columns(self.a, self.b)}

    def __str__(self) -> str:
        return f"{_change(self.a, self.b)}  {self.type}"

    def __repr__(self) -> str:
        return f"<TypeChange {self}>"


@dataclass(frozen=True, repr=False)
class SiteChange(Placed):
    """A place in both runs. Its stack is that of b, unless only a has it."""

    a: Counts
    b: Counts
    moved: bool  #: its lines differ; type, files and functions were enough to match it
    growth_a: str | None  #: as Site.growth; None: the run does not have the place
    growth_b: str | None

    COLUMNS: ClassVar[Columns] = (
        ("type", "text"),
        *PLACE_COLUMNS,
        *COUNT_COLUMNS,
        ("moved", "bool"),
        ("growth_a", "text"),
        ("growth_b", "text"),
    )

    def row(self) -> dict[str, Any]:
        """Plain columns: COLUMNS names them."""
        return {
            "type": self.type,
            **stack_columns(self.stack),
            **_count_columns(self.a, self.b),
            "moved": self.moved,
            "growth_a": self.growth_a,
            "growth_b": self.growth_b,
        }

    def __str__(self) -> str:
        return f"{_change(self.a, self.b)}  {self.type}  {self.place}"


@dataclass(frozen=True, repr=False)
class Diff:
    """What run b has more (+) or less (-) of than run a."""

    types: Table[TypeChange]  #: largest difference of bytes alive first
    sites: Table[SiteChange]  #: likewise
    data: Mapping[str, Any]  #: the whole document, docs/JSON-SCHEMA.md
    paths: tuple[str, str]

    def growing(self) -> Table[SiteChange]:
        """Places that keep growing in b and did not in a."""
        return Table(
            SiteChange,
            (site for site in self.sites if site.growth_b == "growing" != site.growth_a),
            "places that grow in b only",
        )

    def summary(self) -> str:
        """What ``reftracer diff`` prints, as text.

        Raises ReftracerError if the traces are no longer there.
        """
        return output_of(["diff", *self.paths])

    def __repr__(self) -> str:
        a, b = self.data["a"]["totals"], self.data["b"]["totals"]
        return (
            f"<Diff {b['live'] - a['live']:+,} alive, "
            f"{b['live_bytes'] - a['live_bytes']:+,} bytes; "
            f"{len(self.sites):,} places, newly growing: {len(self.growing())}>"
        )


def _path(run: Run) -> str:
    if isinstance(run, Trace):
        return run.report().paths[0]
    if isinstance(run, Report):
        if len(run.paths) != 1:
            raise ReftracerError(f"diff() compares single traces; {run!r} adds up {run.paths}")
        return run.paths[0]
    return os.fspath(run)


def diff(a: Run, b: Run) -> Diff:
    """Compares two runs, before and after.

    a, b: traces: paths, or what load() or trace() gave.

    Raises ReftracerError if a file can't be read or is no trace.
    """
    paths = (_path(a), _path(b))
    data = document(["diff", "--json", "--", *paths], SCHEMA)
    stacks = Stacks()
    types = (
        TypeChange(entry["type"], _counts(entry["a"]), _counts(entry["b"]))
        for entry in data["types"]
    )
    sites = (
        SiteChange(
            entry["type"],
            stacks.of(entry["stack"]),
            _counts(entry["a"]),
            _counts(entry["b"]),
            entry["moved"],
            entry["a_growth"],
            entry["b_growth"],
        )
        for entry in data["sites"]
    )
    return Diff(Table(TypeChange, types, "types"), Table(SiteChange, sites, "places"), data, paths)
