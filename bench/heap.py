#!/usr/bin/env python3
"""What looking through a heap costs: time, and memory at its peak.

A program with 5 million objects from 100 lines and 15 million references between them is
traced twice, with and without --holders. The targets: all of it (paths of the survivors of 100
lines, dominators, refcounts, garbage) in at most 10 s, which is also the program's pause, and
in less than 1 GB besides what the traced program has anyway."""

import argparse
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import environment
from trace_size import Checks, finished

ROOT = Path(__file__).resolve().parent.parent
HEAP_CHUNK = 14
SITES = 100

# One call makes 4 objects that stay (an instance, a list, a str, an int or a dict).
FUNCTION = """
class Thing{n}:
    def __init__(self, number, before):
        self.number = number + {n} * 1000003 + 1000
        self.items = [before, kept, Thing{n}, Thing{n}.__init__, kept, make_{n}]
        self.name = "thing {n} %d" % number
        self.before = before
def make_{n}(rounds, before=None):
    store = kept.setdefault("store {n}", [])
    for number in range(rounds):
        before = Thing{n}(number, before)
        store.append(before)
"""


def program(objects):
    groups = SITES // 4
    rounds = objects // (groups * 4)
    source = "import gc\ngc.disable()\nkept = {}\n"
    source += "".join(FUNCTION.format(n=n) for n in range(groups))
    return source + "".join(f"make_{n}({rounds})\n" for n in range(groups))


def heap_chunks(path):
    """The HEAP chunks of a trace, as lists of numbers: docs/TRACE-FORMAT.md."""
    content = path.read_bytes()
    at, found = struct.unpack_from("<I", content, 12)[0], []
    while at + 20 <= len(content):
        kind, length = content[at + 4], struct.unpack_from("<I", content, at + 8)[0]
        if kind == HEAP_CHUNK:
            numbers, value, shift = [], 0, 0
            for byte in content[at + 20 : at + 20 + length]:
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    numbers.append(value)
                    value = shift = 0
            found.append(numbers)
        at += 20 + length
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=None, help="a CPython 3.13 or newer")
    parser.add_argument("--objects", type=int, default=5_000_000)
    parser.add_argument("--command", default=ROOT / "build" / "reftracer")
    options = parser.parse_args()
    python = options.python or environment.default_python()
    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "heap.py"
        script.write_text(program(options.objects))
        peaks = {}
        for name, more in (("without", []), ("with", ["--holders"])):
            trace = Path(folder) / f"{name}.rft"
            command = [os.fspath(options.command), "run", "-q", "--no-gc", *more, "-o", trace, "--",
                       python, script]
            status, seconds, peaks[name] = finished(command, subprocess.DEVNULL)
            if status != 0:
                raise SystemExit(f"bench: {command} ended with {status}")
            print(f"{name} --holders: {seconds:.1f} s, {peaks[name] / 1024:.0f} MB")
        heaps = heap_chunks(Path(folder) / "with.rft")
        if len(heaps) != 1:
            raise SystemExit(f"bench: {len(heaps)} heaps in the trace instead of 1")
        _, _, _, objects, references, _, pause, flags, *_ = heaps[0]
    checks.at_least("objects", objects, options.objects)
    checks.at_least("references", references, 3 * options.objects)
    checks.at_most("flags: what was left out", flags, 0, "")
    checks.at_most("pause", pause / 1000, 10, "s")
    checks.at_most("memory besides", (peaks["with"] - peaks["without"]) / 1024, 1000, "MB")
    sys.exit(checks.missed > 0)


if __name__ == "__main__":
    main()
