"""The text of a leak, and of the summary of a session."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from _pytest._code.code import (
    ExceptionChainRepr,
    ReprEntryNative,
    ReprFileLocation,
    ReprTraceback,
)

from reftracer._holders import parse, text_of
from reftracer._leaks import Agent, Leak, Place, Verdict

#: Leaks of a test that are told in full, and frames of each.
LEAKS, FRAMES = 8, 6


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def by_type(leaks: Sequence[Leak]) -> list[str]:
    """What leaks, as "2 × app.Node", most first."""
    counts: Counter[str] = Counter()
    for leak in leaks:
        counts[leak.type] += leak.per_run
    return [f"{count:,} × {kind}" for kind, count in counts.most_common()]


# --- who holds it


def find_holders(tracer: Agent, leaks: Sequence[Leak]) -> None:
    """Who holds an example of each leak that is told."""
    for leak in _told(leaks):
        held = parse(tracer.why(leak))
        if held is None or not held.paths:
            continue
        path = held.paths[0]
        if path[0].kind == "root C" and len(path) == 1:
            references = _count(max(1, held.surplus), "reference")
            leak.holder = (f"by C code: it has {references}, and no Python object has any",)
        else:
            leak.holder = (text_of(path),)
            if held.surplus:
                more = _count(held.surplus, "reference")
                leak.holder += (f"and by C code: {more} more than Python objects have",)


# --- one test


def _told(leaks: Sequence[Leak]) -> list[Leak]:
    """Those that no other one owns, the heads of what leaks."""
    return [leak for leak in leaks if leak.owner is None][:LEAKS]


def _where(place: Place, root: str) -> str:
    file = place.file
    _, packages, tail = file.rpartition("-packages" + os.sep)
    if packages:
        file = tail
    else:
        for folder in (root, os.path.dirname(os.__file__)):
            file = file.removeprefix(folder + os.sep)
    return f"{file}:{place.line} in {place.function}"


def stack_lines(stack: Sequence[Place], root: str, is_program: Callable[[str], bool]) -> list[str]:
    """The program's own frames, innermost first, and what it had called."""
    program = [place for place in stack if is_program(place.file)]
    own = [p for p in program if "-packages" + os.sep not in p.file] or program
    first = stack.index(own[0]) if own else 0
    lines = [_where(place, root) for place in own[:FRAMES]]
    if len(own) > FRAMES:
        lines.append(f"(and {_count(len(own) - FRAMES, 'more frame')})")
    if lines and first > 0:
        lines[0] += f"  (by way of {_where(stack[0], root)})"
    return lines or ["by pytest, for the test" if not stack else "(no Python code)"]


def _runs(leak: Leak) -> str:
    low, high = min(leak.runs), max(leak.runs)
    return f"{low:,} × {leak.type}" if low == high else f"{low:,} to {high:,} × {leak.type}"


def _leak_lines(leak: Leak, root: str, is_program: Callable[[str], bool]) -> list[str]:
    lines = [f"{_runs(leak)} per run"]
    for number, line in enumerate(stack_lines(leak.stack, root, is_program)):
        lines.append(("    born  " if number == 0 else "          ") + line)
    if leak.thread not in ("MainThread", "?"):
        lines.append(f"    in    thread {leak.thread}")
    for number, step in enumerate(leak.holder):
        lines.append(("    held  " if number == 0 else "          ") + step)
    if leak.owned:
        lines.append("    with  " + ", ".join(by_type(leak.owned)))
    return lines


def leak_text(
    verdict: Verdict, allowed: int, root: str, is_program: Callable[[str], bool]
) -> list[str]:
    """The failure text of a test."""
    leaks = verdict.leaks
    total = sum(leak.per_run for leak in leaks)
    limit = f", {allowed:,} allowed" if allowed else ""
    objects, warmup = _count(total, "object"), _count(verdict.warmup + 1, "run")
    lines = [
        f"Each run of this test leaves {objects} behind{limit}, alive after gc.collect().",
        f"Seen in each of {verdict.runs} runs, after {warmup} to warm up.",
    ]
    told = _told(leaks)
    for leak in told:
        lines += ["", *_leak_lines(leak, root, is_program)]
    rest = sum(1 for leak in leaks if leak.owner is None) - len(told)
    if rest > 0:
        lines += ["", f"and {_count(rest, 'more place')}."]
    return lines


def longrepr(
    nodeid: str,
    path: str,
    line: int | None,
    verdict: Verdict,
    allowed: int,
    root: str,
    is_program: Callable[[str], bool],
) -> ExceptionChainRepr:
    """The same as what pytest shows, and sends from worker to controller."""
    text = [part + "\n" for part in leak_text(verdict, allowed, root, is_program)]
    told = ", ".join(by_type([leak for leak in verdict.leaks if leak.owner is None])[:3])
    total = sum(leak.per_run for leak in verdict.leaks)
    message = f"leaks {_count(total, 'object')} per run: {told}"
    crash = ReprFileLocation(path, (line or 0) + 1, message)
    traceback = ReprTraceback([ReprEntryNative(text)], None, "native")
    return ExceptionChainRepr([(traceback, crash, None)])


# --- the session

TESTS, NOTES = 10, 10


def summary(
    refused: str,
    seen: int,
    measured: int,
    leaking: Sequence[dict[str, Any]],
    notes: Sequence[dict[str, Any]],
    report: str,
) -> list[str]:
    """Lines of the summary section."""
    if refused:
        return [f"Not traced, the tests ran as usual: {refused}"]
    lines = [f"{measured:,} of {_count(seen, 'test')} measured, {len(leaking):,} leaking."]
    if leaking:
        lines.append("Objects per run:")
        worst = sorted(leaking, key=lambda leak: -int(leak["objects"]))
        for leak in worst[:TESTS]:
            lines.append(f"{leak['objects']:>9,}  {leak['test']}  ({', '.join(leak['types'][:3])})")
        if len(worst) > TESTS:
            lines.append(f"           and {_count(len(worst) - TESTS, 'more test')}")
    unmeasured = [note for note in notes if "note" in note]
    for note in unmeasured[:NOTES]:
        lines.append(f"{note['test']}: {note['note']}")
    if len(unmeasured) > NOTES:
        lines.append(f"and {_count(len(unmeasured) - NOTES, 'more test')} not measured")
    dismissed = Counter(text for note in notes for text in note.get("dismissed", ()))
    if dismissed:
        lines.append("What stays in caches is no leak:")
        lines += [f"    {text}  ({_count(n, 'test')})" for text, n in dismissed.most_common(NOTES)]
    if report:
        lines.append(f"Traces: {report}  (reftracer report FILE)")
    return lines
