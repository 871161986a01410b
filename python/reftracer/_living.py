"""The trace of this process while it runs, whoever began it."""

from __future__ import annotations

import os

from reftracer._agent import check, is_tracing, library, lines, muted
from reftracer._command import ReftracerError
from reftracer._report import (
    Frame,
    Report,
    Survivors,
    is_type,
    load,
    survivors_table,
)
from reftracer._table import Table

#: Frames of a stack, at most.
DEPTH = 1000

# Marks that this process has set: label → number of the window that begins there.
_marks: dict[str, int] = {}
_marks_pid = 0


def need_trace(doing: str) -> None:
    if not is_tracing():
        raise ReftracerError(
            f"{doing}: this process is not being traced; begin with reftracer.trace(), or start "
            "the program with: python -m reftracer run"
        )


def forget_marks() -> None:
    """Another trace has begun."""
    _marks.clear()


def path() -> str:
    """The file of the trace that runs.

    Raises ReftracerError if none does.
    """
    found: bytes | None = library().reftracer_path()
    if found is None:
        raise ReftracerError("this process is not being traced")
    return os.fsdecode(found)


def window() -> int:
    """Begins a window, and returns its number."""
    number: int = library().reftracer_window_begin(0)
    if number < 0:
        raise ReftracerError("beginning a window: the trace has ended, or there is no memory")
    return number


def mark(label: str) -> int:
    """Names this moment in the trace that runs, for survivors(since=label). Takes up to 1 ms.
    Returns the number of the window that begins here.

    Raises ReftracerError if this process is not being traced.
    """
    global _marks_pid
    if not isinstance(label, str):
        raise TypeError(f"a label of a mark is a str, not {type(label).__name__}")
    need_trace(f"marking {label!r}")
    check("marking the trace", library().reftracer_mark(label.encode("utf-8", "replace")))
    number = window()
    if _marks_pid != os.getpid():  # a forked child has a trace of its own
        _marks.clear()
        _marks_pid = os.getpid()
    _marks[label] = number
    return number


def number_of(label: str) -> int:
    """The window that begins at a mark of this process.

    Raises ReftracerError if there is none.
    """
    if _marks_pid != os.getpid() or label not in _marks:
        known = ", ".join(map(repr, _marks)) or "none"
        raise ReftracerError(f"this process has set no mark {label!r}; it has: {known}")
    return _marks[label]


def _number(field: str) -> int | None:
    return None if field == "-" else int(field)


def survivors(since: int, label: str | None) -> Table[Survivors]:
    """What was born since a window began and is alive, from the agent's counters.

    since: number of the window; 0: the trace's beginning. label: for the table's title.
    """
    found = []
    with muted():
        answer = library().reftracer_window_survivors(since, 0, 1, DEPTH)
        site: list[str] = []
        stack: list[Frame] = []

        def add() -> None:
            if site:
                live, size, type_name, thread = (site[2], site[5], site[6], site[7])
                found.append(
                    Survivors(type_name, tuple(stack), thread or None, int(live), _number(size))
                )

        for fields in lines(answer, "asking what is alive"):
            if len(fields) > 3:
                add()
                site, stack = fields, []
            else:
                file, line, function = fields
                stack.append(Frame(file, int(line) or None, function))
        add()
        return survivors_table(found, label)


def of_type(table: Table[Survivors], type: str | None, label: str | None) -> Table[Survivors]:
    """Those of one type."""
    if type is None:
        return table
    return survivors_table([site for site in table if is_type(site.type, type)], label)


def report() -> Report:
    """The trace that runs, up to now. Counts are right; bytes of the living are estimates.

    Raises ReftracerError if this process is not being traced.
    """
    need_trace("reading the trace")
    check("writing the trace", library().reftracer_flush())
    with muted():
        return load(path())
