"""Who may include whom: each room of src/ knows only the rooms below it."""

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import BUILD, ROOT

SRC = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)

# Room: the rooms whose headers its files may include, besides its own. The public headers
# in include/reftracer are open to all. src/trace has two sides, which know nothing of each
# other but the format.
BELOW = {
    "base": set(),
    # Libraries that the command loads when it needs them.
    "late": set(),
    "tss": {"base"},
    "space": {"base", "late"},
    "layout": {"base", "space"},
    "runtime": {"base", "late", "space", "layout"},
    # The tracer takes the kinds of types and of losses from the format, so that nobody has to
    # translate them.
    "tracer": {"base", "tss", "space", "layout", "runtime", "trace/format"},
    "trace/format": {"base"},
    "trace/writer": {"base", "trace/format"},
    "trace/reader": {"base", "trace/format"},
    # Who holds what: knows nothing of the tracer, so that a made-up heap can be looked through.
    "heap": {"base", "layout", "trace/format"},
    "agent": {
        "base", "tss", "space", "layout", "runtime", "tracer", "heap", "trace/writer", "trace/format",
    },
    "analyze": {"base", "trace/reader", "trace/format"},
    "report": {"base", "late", "trace/reader", "trace/format", "analyze"},
    "cli": {"base", "late", "trace/reader", "trace/format", "analyze", "report"},
    # A library of its own, for the Python package.
    "arrow": set(),
}

# Files of src/trace by the side they belong to.
SIDES = {"format": "trace/format", "writer": "trace/writer"}


def room_of(path):
    """The room of a file of src/, given relative to src/."""
    room = path.parts[0]
    if room == "trace":
        return SIDES.get(path.stem.split("_")[0], "trace/reader")
    return room


def sources():
    return sorted(path.relative_to(SRC) for path in SRC.rglob("*.[ch]"))


def included_files(path):
    """The files of src/ that a file of src/ includes, and what it includes that is nowhere."""
    found, missing = [], []
    text = (SRC / path).read_text()
    for name in INCLUDE.findall(text):
        for candidate in (SRC / path.parent / name, SRC / name):
            if candidate.exists():
                found.append(candidate.resolve().relative_to(SRC))
                break
        else:
            if f'"{name}"' in text and not (ROOT / "include" / name).exists():
                missing.append(name)
    return found, missing


def test_every_file_is_in_a_known_room():
    assert sources()
    assert {room_of(path) for path in sources()} <= set(BELOW)


@pytest.mark.parametrize("room", BELOW)
def test_a_room_includes_only_rooms_below(room):
    wrong = []
    for path in sources():
        if room_of(path) != room:
            continue
        found, missing = included_files(path)
        wrong += [f"{path} includes {name}, which does not exist" for name in missing]
        wrong += [
            f"{path} includes {other}"
            for other in found
            if room_of(other) != room and room_of(other) not in BELOW[room]
        ]
    assert wrong == []


def test_public_headers_include_no_room():
    for header in (ROOT / "include").rglob("*.h"):
        for name in INCLUDE.findall(header.read_text()):
            assert not (SRC / name).exists(), f"{header} includes {name}"


def test_no_file_needs_python_h():
    for path in sources():
        assert "Python.h" not in INCLUDE.findall((SRC / path).read_text()), path


@pytest.mark.parametrize("agent", ["libreftracer-agent", "libreftracer-agent-empty"])
def test_the_agent_is_made_of_nothing_that_reads_or_reports(agent):
    allowed = BELOW["agent"] | {"agent"}
    compiled = set()
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        output = Path(entry.get("output") or shlex.split(entry["command"])[-2])
        if any(part == f"{agent}.so.p" for part in output.parts):
            source = (Path(entry["directory"]) / entry["file"]).resolve()
            compiled.add(source.relative_to(SRC))
    assert compiled, f"{agent} is not built"
    assert {room_of(path) for path in compiled} <= allowed
