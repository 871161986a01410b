#!/usr/bin/env python3
"""How large a trace gets, and how long its report takes.

Two programs are generated, traced and reported on:
  churn      100 million births from 10,000 lines in turn, all dropped at once:
             every tick names every site
  survivors  5 million objects from 1,000 lines that all stay alive
The targets are docs/TRACE-FORMAT.md's: the first trace is under 10 MB and its
report takes under 2 s; the second report takes under 5 s and 1 GB of memory."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parent.parent
LINES_A_FUNCTION = 100


def program(sites, rounds, line, before=""):
    """Source of a program with `sites` lines that each make one object a round."""
    functions = [
        f"def birth_{number}():\n" + f"    {line}\n" * LINES_A_FUNCTION
        for number in range(sites // LINES_A_FUNCTION)
    ]
    calls = "".join(f"        birth_{number}()\n" for number in range(len(functions)))
    return (f"{before}\n" + "\n".join(functions)
            + f"\ndef main():\n    for _ in range({rounds}):\n{calls}\nmain()\n")


def finished(command, output):
    """Exit status, seconds and peak KiB of a command."""
    begun = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.monotonic() - begun, usage.ru_maxrss


class Checks:
    def __init__(self):
        self.missed = 0

    def at_most(self, text, value, bound, unit):
        met = value <= bound
        self.missed += not met
        print(f"{text}: {value:.2f} {unit} (target ≤ {bound:g} {unit}: {'met' if met else 'MISSED'})",
              flush=True)

    def at_least(self, text, value, expected):
        met = value >= expected
        self.missed += not met
        print(f"{text}: {value:,} (at least {expected:,}: {'met' if met else 'MISSED'})", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="bench/trace_size.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="CPython 3.13+ (default: 3.14)")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--scale", type=float, default=1.0,
                        help="a fraction of the births, for a first look (default: 1)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave programs and traces there")
    options = parser.parse_args()
    python = options.python or environment.default_python()
    reftracer = options.build.resolve() / "reftracer"
    if not reftracer.exists():
        raise SystemExit(f"trace_size: {reftracer} is not there; `make build` makes it.")

    churn_births = int(100_000_000 * options.scale)
    survivors = int(5_000_000 * options.scale)
    cases = (
        ("churn", program(10_000, churn_births // 10_000, "[]"), "deaths", churn_births, 10, 2, 1024),
        ("survivors",
         program(1_000, survivors // 1_000, "keep([])", "kept = []\nkeep = kept.append"),
         "live", survivors, None, 5, 1024),
    )
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="reftracer-size-") as folder:
        scratch = options.keep.resolve() if options.keep else Path(folder)
        scratch.mkdir(parents=True, exist_ok=True)
        for name, source, counted, expected, megabytes, seconds, mebibytes in cases:
            script, trace = scratch / f"{name}.py", scratch / f"{name}.rft"
            script.write_text(source, encoding="utf-8")
            status, untraced, _ = finished([python, str(script)], subprocess.DEVNULL)
            if status == 0:
                status, traced, _ = finished(
                    [str(reftracer), "run", "-q", "-f", "-o", str(trace), "--", python, str(script)],
                    subprocess.DEVNULL)
            if status != 0:
                raise SystemExit(f"trace_size: {script} ended with status {status}")
            size = trace.stat().st_size / 1e6
            print(f"{name}: {untraced:.1f} s untraced, {traced:.1f} s traced, trace {size:.2f} MB")
            if megabytes:
                checks.at_most(f"{name}: trace", size, megabytes, "MB")
            for text, extra in (("report", []), ("report --json", ["--json"])):
                target = scratch / f"{name}{''.join(extra)}.txt"
                with open(target, "wb") as output:
                    status, took, peak = finished([str(reftracer), "report", *extra, str(trace)], output)
                if status != 0:
                    raise SystemExit(f"trace_size: {text} of {trace} ended with status {status}")
                checks.at_most(f"{name}: {text}", took, seconds, "s")
                checks.at_most(f"{name}: {text}, peak memory", peak / 1024, mebibytes, "MiB")
            totals = json.loads((scratch / f"{name}--json.txt").read_text(encoding="utf-8"))["totals"]
            checks.at_least(f"{name}: {counted} in the report", totals[counted], expected)
    return 1 if checks.missed else 0


if __name__ == "__main__":
    sys.exit(main())
