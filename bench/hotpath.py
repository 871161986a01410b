#!/usr/bin/env python3
"""How many instructions one birth and its death cost, counted by valgrind.

A clock on a shared machine tells a tenth at best; instructions repeat to a few
in a thousand, so this is the check to run before and after a change of the hot
path. A workload runs with few and with many iterations, untraced, with the
empty callback and with reftracer; what the additional iterations cost more than
untraced, divided by the births among them, is the figure. Only the program's
thread counts; ticks are another thread's. `--functions` says which functions the
agent spends it in (exclusive of what they call)."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parent.parent
FEW, MANY = 2_000, 22_000


@dataclass(frozen=True)
class Probe:
    title: str
    births: int  # births (each with its death) in one iteration
    source: str  # gets `n`, the number of iterations


SHARED = """
import sys
n = int(sys.argv[1])
class Point:
    __slots__ = ("x",)
def below(frames, call):
    return below(frames - 1, call) if frames else call()
"""

PROBES = (
    Probe("one line, list", 1, """
def loop():
    for _ in [None] * n:
        []
loop()"""),
    Probe("one line, float", 1, """
def loop(x=1.5):
    for _ in [None] * n:
        x + x
loop()"""),
    Probe("one line, instance with slots", 1, """
def loop():
    for _ in [None] * n:
        Point()
loop()"""),
    Probe("eight lines in turn, four types", 8, """
def loop(x=1.5):
    for _ in [None] * n:
        []
        {}
        (x, x)
        x + x
        []
        {}
        (x, x)
        x + x
loop()"""),
    Probe("one line, 30 frames deep", 1, """
def loop():
    for _ in [None] * n:
        []
below(28, loop)"""),
    Probe("a call and a birth in it, 30 frames deep", 1, """
def make():
    []
def loop():
    for _ in [None] * n:
        make()
below(27, loop)"""),
    Probe("kept first, dropped later", 1, """
def loop():
    kept = []
    for _ in [None] * n:
        kept.append([])
    kept.clear()
loop()"""),
)


def valgrind(python, source, iterations, environment_, scratch, tag):
    """Instructions of the first thread, and the file with the details."""
    for old in scratch.glob(f"{tag}.*"):
        old.unlink()
    trace = scratch / "trace.rft"
    trace.unlink(missing_ok=True)
    output = scratch / f"{tag}.out"
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--error-exitcode=0",
         f"--callgrind-out-file={output}", python, "-I", "-S", "-c", source, str(iterations)],
        env={"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", **environment_},
        capture_output=True, text=True, errors="replace")
    first = Path(f"{output}-01")
    if done.returncode != 0 or not first.exists():
        raise SystemExit(f"hotpath: valgrind {python} failed with {done.returncode}:\n"
                         + done.stderr[-2000:])
    if environment_ and not trace.exists():
        raise SystemExit("hotpath: the program was not traced under valgrind:\n" + done.stderr[-2000:])
    totals = re.findall(r"^(?:summary|totals): (\d+)", first.read_text(errors="replace"), re.M)
    return int(totals[-1]), first


def annotated(file):
    """Instructions by function of the agent (exclusive)."""
    text = subprocess.run(["callgrind_annotate", "--threshold=100", "--auto=no", str(file)],
                          capture_output=True, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        match = re.match(r"\s*([\d,]+) \(.*?\)\s+(?:\S*?):(\S+) \[.*libreftracer-agent[^\]]*\]", line)
        if match:
            name = match[2].split("'")[0]
            found[name] = found.get(name, 0) + int(match[1].replace(",", ""))
    return found


def main():
    parser = argparse.ArgumentParser(prog="bench/hotpath.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="CPython 3.13+ (default: 3.14)")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--only", metavar="TEXT", default="", help="probes whose name contains TEXT")
    parser.add_argument("--functions", action="store_true", help="also by function of the agent")
    parser.add_argument("--at-most", type=float, metavar="N",
                        help="exit with 1 if a probe costs more than N instructions")
    options = parser.parse_args()
    python = options.python or environment.default_python()
    build = options.build.resolve()
    if subprocess.run(["which", "valgrind"], capture_output=True).returncode != 0:
        raise SystemExit("hotpath: valgrind is missing: apt-get install -y valgrind")

    worst = 0.0
    print("instructions per birth and death    untraced    empty callback  reftracer adds")
    with tempfile.TemporaryDirectory(prefix="reftracer-hotpath-") as folder:
        scratch = Path(folder)
        for probe in PROBES:
            if options.only not in probe.title:
                continue
            source = SHARED + probe.source
            cost, by_function = {}, {}
            for tag, agent in (("untraced", ""), ("empty", "libreftracer-agent-empty.so"),
                               ("reftracer", "libreftracer-agent.so")):
                variables = {} if not agent else {
                    "LD_PRELOAD": str(build / agent),
                    "REFTRACER_OUTPUT": str(scratch / "trace.rft"),
                    "REFTRACER_STATUS": str(scratch / "status"),
                }
                few, few_file = valgrind(python, source, FEW, variables, scratch, f"{tag}-few")
                many, many_file = valgrind(python, source, MANY, variables, scratch, f"{tag}-many")
                births = (MANY - FEW) * probe.births
                cost[tag] = (many - few) / births
                if options.functions and tag == "reftracer":
                    before = annotated(few_file)
                    by_function = {name: (count - before.get(name, 0)) / births
                                   for name, count in annotated(many_file).items()}
            added = cost["reftracer"] - cost["untraced"]
            worst = max(worst, added)
            print(f"{probe.title:<42} {cost['untraced']:6.0f} {cost['empty'] - cost['untraced']:+17.0f} "
                  f"{added:+15.0f}", flush=True)
            for name, count in sorted(by_function.items(), key=lambda item: -item[1]):
                if count >= 0.5:
                    print(f"    {count:8.1f}  {name}")
    return 1 if options.at_most is not None and worst > options.at_most else 0


if __name__ == "__main__":
    sys.exit(main())
