"""Who holds an object, in one line: what the agent's reftracer_why says, for a leak's text."""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: How contextvars keeps its variables (src/trace/format.h): left out, a context has them itself.
_CONTEXT_TREE = "its tree of variables"

#: Who has the value of a fixture in pytest.
_FIXTURE = "_pytest.fixtures.FixtureDef"

#: Steps that are the same, from so many on, are told once.
CHAIN = 4


@dataclass(frozen=True)
class Step:
    """One reference of a path: its kind, the holder's type, its name and index."""

    kind: str
    type: str
    label: str
    index: str
    detail: str


@dataclass(frozen=True)
class Held:
    """Why an object is alive."""

    paths: tuple[tuple[Step, ...], ...]  #: from a root on, shortest first; none: nobody holds it
    surplus: int  #: references that nothing known to Python accounts for


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    raw: bytes = codecs.escape_decode(text.encode("utf-8", "surrogatepass"))[0]
    return raw.decode("utf-8", "replace")


def parse(answer: str) -> Held | None:
    """The agent's answer; None if it has none."""
    paths: list[list[Step]] = []
    surplus, partial = 0, False
    for line in filter(None, answer.split("\n")):
        what, *fields = [_unescape(field) for field in line.split("\t")]
        if what == "error":
            return None
        if what == "heap":
            partial = fields[3] != "0"
        elif what == "object" and fields[3] == "0":
            surplus = max(0, int(fields[1]) - int(fields[2]))
        elif what == "path":
            paths.append([])
        elif what == "step" and paths:
            paths[-1].append(Step(*(fields + [""] * 5)[:5]))
    # What was not found in the time that there was may be held by anybody.
    return Held(tuple(tuple(path) for path in paths if path), 0 if partial else surplus)


def _name(kind: str) -> str:
    return kind.rpartition(".")[2]


def text_of(path: Sequence[Step]) -> str:
    """``module app → bus → Bus._listeners → list [17]``."""
    words: list[str] = []
    namespace, before = False, ""  # whether the next dict is one of names, and whose
    context = ""  # the type that has the tree of variables which the steps lead through
    for number, step in enumerate(path):
        kind, label = step.kind, step.label
        after = path[number + 1] if number + 1 < len(path) else None
        if label == _CONTEXT_TREE and after is not None:
            context = context or step.type
            continue
        if context:
            words.append(f"{_name(context)} [{label}]")
            context = ""
        elif kind == "root module":
            words.append(f"module {label}")
        elif kind == "root C":
            words.append("C code")
        elif label == "cached_result" and step.type == _FIXTURE:  # (value, key, exception)
            words = [f"fixture {_fixture(path[:number])}".rstrip()]
        elif number > 0 and path[number - 1].label == "cached_result" and kind == "item":
            continue
        elif number > 0 and path[number - 1].label == "funcargs" and kind == "dict value":
            words = [f"fixture {label}"]  # of the test that runs
        elif kind.startswith("root "):
            what = kind.removeprefix("root ")
            name = f" {label!r}" if what == "local" else f" {label}" if label else ""
            words.append(what + name + (f" of {step.detail}" if step.detail else ""))
        elif label == "__dict__" and after is not None and after.kind == "dict value":
            namespace, before = True, before if step.type == "type" else _name(step.type)
            if step.type == "module":
                before = ""
            continue
        elif kind == "dict value" and namespace:
            words.append(f"{before}.{label}" if before else label)
        elif kind == "dict value":
            words.append(f"{_name(step.type)} [{label or step.index}]")
        elif kind == "dict key":
            words.append(f"{_name(step.type)} key {label or step.index}")
        elif kind == "item":
            words.append(f"{_name(step.type)} [{step.index}]")
        elif kind == "closure":
            if after is not None and after.kind == "closure":
                continue
            words.append(f"closure {label!r}" if label else "closure")
        elif kind == "cell" and path[number - 1].kind == "closure":
            continue
        elif kind == "local":
            words.append(f"local {label!r} of a {_name(step.type)}")
        elif kind == "descriptor" and " " in label:
            words.append(f"{_name(step.type)}: {label}")
        elif kind in ("attribute", "exception", "type slot", "descriptor", "code") and label:
            words.append(f"{_name(step.type)}.{label}")
        else:
            words.append(f"{_name(step.type)}" + (f" ({kind} {label})" if label else f" ({kind})"))
        namespace, before = False, label if label.isidentifier() else ""
    return " → ".join(_in_short(words))


def _fixture(path: Sequence[Step]) -> str:
    """The name of pytest's fixture that a path has come to."""
    for step, after in zip(reversed(path[:-1]), reversed(path)):
        if after.kind == "dict value" and step.kind == "attribute" and step.type != "module":
            return after.label
    return ""


def _in_short(words: Sequence[str]) -> Iterator[str]:
    """A chain of steps that are the same, as of a linked list, once."""
    for word, same in itertools.groupby(words):
        several = list(same)
        if len(several) < CHAIN:
            yield from several
        else:
            yield f"{word} ({len(several):,} times)"
