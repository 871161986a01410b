#!/usr/bin/env python3
"""What tracing costs: reftracer against no tracer, an empty callback, tracemalloc
and memray. Every figure comes from a process of its own; the columns take turns,
and the best of all rounds counts."""

import argparse
import datetime
import json
import sys
import tempfile
import time
from pathlib import Path

import environment
import summary
from columns import COLUMNS, Failed, available, measure
from programs import GROWTH, PROGRAMS, RECURSIONS, Program

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def arguments():
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--python", metavar="PYTHON",
                        help="CPython 3.13+ to measure (default: 3.14)")
    parser.add_argument("--build", type=Path, default=ROOT / "build", metavar="FOLDER",
                        help="where reftracer was built (default: build)")
    parser.add_argument("--repeat", type=int, default=5, metavar="N",
                        help="rounds; the best counts (default: 5)")
    parser.add_argument("--quick", action="store_true", help="two rounds, for a first look")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT",
                        help="only workloads whose name contains TEXT; may be given again")
    parser.add_argument("--columns", metavar="NAMES",
                        help="comma-separated, of: " + ", ".join(c.key for c in COLUMNS))
    parser.add_argument("--frames", type=int, default=0, metavar="N",
                        help="put N more Python frames below each workload, as a service or a "
                             "test runner does (default: 0)")
    parser.add_argument("--no-recursion", action="store_true",
                        help="leave the deep stacks out")
    parser.add_argument("--write", action="store_true",
                        help="put the tables into README.md and docs/BENCHMARKS.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, for programs")
    parser.add_argument("--check", action="store_true",
                        help="exit with 1 if a target is missed")
    options = parser.parse_args()
    if options.repeat < 1:
        parser.error("--repeat takes a number from 1")
    if options.quick:
        options.repeat = 2
    if options.write and (options.only or options.columns or options.no_recursion or options.quick
                          or options.frames):
        parser.error("--write needs the whole benchmark as it is: leave out --only, --columns, "
                     "--frames, --no-recursion and --quick")
    if options.check and options.only:
        parser.error("--check needs all workloads: leave out --only")
    options.build = options.build.resolve()
    return options


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def chosen_columns(options):
    columns = available(options.build)
    if options.columns:
        names = options.columns.split(",")
        unknown = set(names) - {column.key for column in COLUMNS}
        if unknown:
            raise SystemExit(f"bench: no column {', '.join(sorted(unknown))}; there are "
                             + ", ".join(column.key for column in COLUMNS))
        columns = [column for column in columns if column.key in names]
    return columns


def chosen_programs(options):
    programs = [program for program in PROGRAMS
                if not options.only or any(text in program.title for text in options.only)]
    if not programs:
        raise SystemExit("bench: no workload has such a name; there are: "
                         + "; ".join(program.title for program in PROGRAMS))
    return programs


class Bench:
    def __init__(self, options, python, scratch):
        self.options, self.python, self.scratch = options, python, scratch
        self.failures = {}

    def measure(self, column, program, variables=()):
        try:
            return measure(column, program, self.python, self.options.build, self.scratch,
                           variables)
        except Failed as failure:
            key = program.title, column.title
            if key not in self.failures:
                progress("")
                print(f"bench: {failure}", file=sys.stderr)
            self.failures[key] = str(failure)
            return None

    def workloads(self, programs, columns):
        results = summary.Results()
        frames = {"BENCH_FRAMES": str(self.options.frames)}
        begun = time.monotonic()
        for turn in range(self.options.repeat):
            for program in programs:
                # Another column goes first each round: none always follows the
                # one that leaves the caches or the disk in a special state.
                shift = turn % len(columns)
                for column in columns[shift:] + columns[:shift]:
                    progress(f"round {turn + 1} of {self.options.repeat}: {program.title}, "
                             f"{column.title} ({time.monotonic() - begun:.0f} s)")
                    figures = self.measure(column, program, frames)
                    if figures:
                        results.add(program, column, figures)
            if not sys.stderr.isatty():
                print(f"bench: round {turn + 1} of {self.options.repeat} done after "
                      f"{time.monotonic() - begun:.0f} s", file=sys.stderr)
        progress("")
        return results

    def recursions(self, columns):
        by_key = {column.key: column for column in columns}
        if not {"untraced", "reftracer"} <= by_key.keys():
            return {}
        best = {}
        for turn in range(self.options.repeat):
            for kind, depth in RECURSIONS:
                program = Program(f"recursion: {kind}, depth {depth:,}", "recursion", 1)
                variables = {"RECURSION_KIND": kind, "RECURSION_DEPTH": str(depth)}
                progress(f"round {turn + 1} of {self.options.repeat}: {program.title}")
                for key, figure in (("untraced", "untraced"), ("reftracer", "cpu")):
                    figures = self.measure(by_key[key], program, variables)
                    if figures:
                        figure_of = best.setdefault((kind, depth), {})
                        figure_of[figure] = min(figure_of.get(figure, figures["cpu"]), figures["cpu"])
        progress("")
        return {key: value for key, value in best.items() if len(value) == 2}


def replaced(path, text):
    """Put `text` between the two markers of a file."""
    content = path.read_text(encoding="utf-8") if path.exists() else ""
    if content.count(BEGIN) != 1 or content.count(END) != 1:
        raise SystemExit(f"bench: {path} must have one line {BEGIN} and one line {END}: "
                         "the tables go between them.")
    before, _, rest = content.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def report(options, about, results, recursion, goals):
    """The short text for the README and the full one for docs/BENCHMARKS.md."""
    when = datetime.date.today().isoformat()
    where = (f"CPython {about['release']}, {', '.join(r.replace('==', ' ') for r in environment.REQUIREMENTS)}; "
             f"{environment.machine()}; best of {options.repeat}; {when}.")
    if options.frames:
        where += f" Each workload ran below {options.frames} more Python frames."
    intro = ("CPU time of the workload as a multiple of the untraced run "
             "(first column: its seconds).")
    goal_lines = "\n".join(f"- {goal.line()}" for goal in goals)
    growth = summary.memory_table(results, [GROWTH]) if results.has(GROWTH, "untraced") else ""
    short = "\n\n".join(filter(None, (intro, summary.ratio_table(results), growth, goal_lines, where)))
    full = [intro, summary.ratio_table(results), *filter(None, [goal_lines]), where,
            f"Largest spread between rounds of one figure: {summary.spread(results) * 100:.0f} %.",
            "### The whole process",
            "CPU time from exec to the end: start-up, the final census and writing the trace "
            "(or memray's file) included.",
            summary.ratio_table(results, "total_cpu"),
            "### Peak memory",
            summary.memory_table(results)]
    if recursion:
        full += ["### Deep stacks",
                 "CPU time traced; in brackets as a multiple of depth 10, and untraced.",
                 summary.recursion_table(recursion)]
    return short, "\n\n".join(full)


def main():
    options = arguments()
    columns = chosen_columns(options)
    programs = chosen_programs(options)
    python, about = environment.prepared(options.python or environment.default_python())
    if options.write and len(columns) < len(COLUMNS):
        raise SystemExit("bench: --write needs all columns.")
    with tempfile.TemporaryDirectory(prefix="reftracer-bench-") as scratch:
        bench = Bench(options, python, Path(scratch))
        results = bench.workloads(programs, columns)
        recursion = {} if options.no_recursion else bench.recursions(columns)
    # The targets are for all workloads together; a part of them tells nothing.
    goals = [] if options.only else summary.targets(results, recursion)
    short, full = report(options, about, results, recursion, goals)
    print(full, flush=True)
    if options.json:
        options.json.write_text(json.dumps({
            "python": about, "machine": environment.machine(), "repeat": options.repeat,
            "best": [{"workload": title, "column": key, **figures}
                     for (title, key), figures in results.best.items()],
            "recursion": [{"kind": kind, "depth": depth, **figures}
                          for (kind, depth), figures in recursion.items()],
            "targets": [{"text": goal.text, "value": goal.value, "bound": goal.bound,
                         "met": goal.met} for goal in goals],
            "failures": [{"workload": title, "column": column, "text": text}
                         for (title, column), text in bench.failures.items()],
        }, indent=1), encoding="utf-8")
    if options.write:
        replaced(ROOT / "README.md", short)
        replaced(ROOT / "docs" / "BENCHMARKS.md", full)
    if bench.failures:
        return 1
    return 1 if options.check and not all(goal.met for goal in goals) else 0


if __name__ == "__main__":
    sys.exit(main())
