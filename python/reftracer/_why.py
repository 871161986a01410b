"""Why is this object alive? The agent looks through the heap; nothing is kept of it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from reftracer._agent import library
from reftracer._command import ReftracerError
from reftracer._table import Columns, Row, Table

#: Those of ask() and its caller's, which hold the object too.
OWN_FRAMES = 2

#: ms that the agent takes as a limit, at most.
LONGEST = 0xFFFFFFFF

#: Kinds of steps that say what the holder calls the object, without further words.
_ATTRIBUTE = "attribute"

#: Names of steps that are words of ours: Python has no attribute for them.
_DESCRIPTOR = "descriptor"

#: How contextvars keeps its variables (src/trace/format.h): left out, a context has them itself.
_CONTEXT_TREE = "its tree of variables"


@dataclass(frozen=True)
class Step(Row):
    """One reference on the way from a root to the object."""

    kind: str  #: "dict value", "attribute", "item", "cell", … ; of a root: "root module", …
    holder: str  #: type of the object that refers; "" of a root
    name: str  #: what the holder calls it: key, attribute, variable, module
    index: int | None  #: of a list or tuple
    detail: str  #: of a local variable: function and thread

    COLUMNS: ClassVar[Columns] = (
        ("kind", "text"),
        ("holder", "text"),
        ("name", "text"),
        ("index", "int"),
        ("detail", "text"),
    )

    def row(self) -> dict[str, Any]:
        """Plain columns: COLUMNS names them."""
        return {
            "kind": self.kind,
            "holder": self.holder,
            "name": self.name,
            "index": self.index,
            "detail": self.detail,
        }

    @property
    def is_root(self) -> bool:
        """Whether the path begins here."""
        return self.kind.startswith("root ")

    def __str__(self) -> str:
        if self.is_root:
            words = self.kind[len("root ") :].replace("C", "C code")
            words += f" {self.name}" if self.name else ""
            return f"{words} of {self.detail}" if self.detail else words
        if self.kind == _DESCRIPTOR and " " in self.name:
            return f"{self.holder}: {self.name}"
        name = f" {self.name!r}" if self.name else ""
        index = "" if self.index is None else f" [{self.index}]"
        kind = (
            "" if (self.kind == "item" and index) or self.kind == self.holder else f" {self.kind}"
        )
        return f"{self.holder}{kind}{name}{index}"


@dataclass(frozen=True, repr=False)
class HolderPath:
    """A way from a root to the object: a root first, each next step a reference."""

    steps: tuple[Step, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        """Namespaces and dicts in short: ``module app → app.cache['k'] → list [17]``."""
        words: list[str] = []
        place = ""  # what the last word can be continued from
        skip = False
        context = ""  # type of the context whose tree the steps lead through
        for step in self.steps:
            if step.name == _CONTEXT_TREE and step.kind == _DESCRIPTOR and step != self.steps[-1]:
                context = context or step.holder
                continue
            mapping = step.holder == "dict" or bool(context)
            if context:
                step = replace(step, holder=context)
                context = ""
            namespace = step.name == "__dict__" and step.kind == _ATTRIBUTE
            if namespace and place:
                skip = True
                continue
            identifier = bool(re.fullmatch(r"\w+(\.\w+)*", step.name))
            if (
                place
                and identifier
                and (step.kind == _ATTRIBUTE or (skip and step.kind == "dict value"))
            ):
                place = f"{place}.{step.name}"
                if "." in place and len(words) > 1:
                    words[-1] = place
                else:
                    words.append(place)
            elif place and step.kind == "dict value" and step.name and mapping:
                key = step.name if step.name.startswith("<") else repr(step.name)
                place = f"{place}[{key}]"
                words[-1] = place
            else:
                words.append(str(step))
                place = ""
            if step.kind == "root module":
                place = step.name
            skip = False
        return " → ".join(words)

    def __repr__(self) -> str:
        return f"<HolderPath {self}>"


@dataclass(frozen=True, repr=False)
class Why:
    """Who holds an object."""

    type: str  #: of the object, with its module
    refcount: int
    references: int  #: that were found in the heap; what is missing is held by C code
    immortal: bool  #: its refcount says nothing
    #: shortest first; empty: nobody holds it but who asks
    paths: tuple[HolderPath, ...]
    holders: Table[Step]  #: each direct reference, at most 100 or so
    objects: int  #: in the heap that was looked through
    duration: float  #: seconds that the program stood still
    partial: bool  #: the time limit ended the search: there may be shorter paths

    @property
    def path(self) -> HolderPath | None:
        """The shortest one; None: nobody holds it but who asks."""
        return self.paths[0] if self.paths else None

    @property
    def held_by_c(self) -> int:
        """References that no Python object has: C code holds them. 0 of immortal objects, and if
        not all of the heap was looked through."""
        return 0 if self.immortal or self.partial else max(self.refcount - self.references, 0)

    def __repr__(self) -> str:
        lines = [str(path) for path in self.paths]
        if not lines and not self.partial:
            lines.append("nobody holds it but the question")
        if self.held_by_c:
            lines.append(f"C code holds {self.held_by_c} of {self.refcount} references")
        if self.partial:
            lines.append("(not all of the heap: the time limit was reached)")
        return "\n  ".join([f"{self.type} is held by:", *lines])


def _unescaped(field: str) -> str:
    r"""\xNN and the like too."""
    if "\\" not in field:
        return field

    def character(match: re.Match[str]) -> str:
        text = match.group(1)
        if text[0] == "x":
            return chr(int(text[1:], 16))
        return {"t": "\t", "n": "\n", "r": "\r"}.get(text, text)

    return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", character, field)


def _step(fields: list[str]) -> Step:
    kind, holder, name, index, detail = fields
    return Step(kind, holder, name, int(index) if index else None, detail)


def why(obj: object, *, paths: int = 3, timeout: float = 60.0) -> Why:
    """Why an object is alive: the shortest paths to it from where the program keeps things, and
    who refers to it directly.

    obj: any object, also one that the cycle collector does not know (str, int, …).
    paths: at most so many, 1 to 16.
    timeout: in seconds; the program stands still for at most so long, some 50 ms for each
        100,000 objects.

    The asker's own frames and arguments are only named if nothing else holds it. No trace is
    needed. No Python code of the program runs, and the answer holds no object.

    Raises ReftracerError if this CPython's heap can't be looked through (older than 3.13,
    unknown, free-threaded), or for want of memory or time.
    """
    return ask(obj, paths, timeout)


def ask(obj: object, paths: int = 3, timeout: float = 60.0) -> Why:
    """What why() does, called by a function of the package that the program calls."""
    agent_why = library().reftracer_why
    agent_why.restype = ctypes.c_char_p
    # By its address, for ctypes would hold it too; made odd, or ctypes' copy of the address would
    # be taken for a reference.
    agent_why.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint]
    ms = int(min(max(timeout * 1000, 1), LONGEST))
    answer: bytes = agent_why(id(obj) | 1, OWN_FRAMES, ms, max(paths, 1))
    heap = [0, 0, 0, 0]
    about = ["", "0", "0", "0"]
    found: list[list[Step]] = []
    holders: list[Step] = []
    for line in answer.decode("utf-8", "backslashreplace").split("\n"):
        what, *fields = (_unescaped(field) for field in line.split("\t"))
        if what == "error":
            raise ReftracerError(f"asking why an object is alive: {fields[0]}")
        if what == "heap":
            heap = [int(field) for field in fields]
        elif what == "object":
            about = fields
        elif what == "path":
            found.append([])
        elif what == "step":
            found[-1].append(_step(fields))
        elif what == "holder":
            holders.append(_step(fields))
    return Why(
        type=about[0],
        refcount=int(about[1]),
        references=int(about[2]),
        immortal=about[3] == "1",
        paths=tuple(HolderPath(tuple(steps)) for steps in found),
        holders=Table(Step, holders, "references to it"),
        objects=heap[0],
        duration=heap[2] / 1000,
        partial=bool(heap[3]),
    )
