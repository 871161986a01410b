"""Figures to ratios, means, targets and Markdown."""

import math
from dataclasses import dataclass

from columns import COLUMNS
from programs import GROWTH, GROWTH_LIVE, PROGRAMS

# A tracer "adds something" from this share of the untraced time on; below it the
# difference is mostly the clock's noise, and a ratio of two such would be too.
ADDS_SOMETHING = 0.03


@dataclass(frozen=True)
class Target:
    text: str
    value: float
    bound: float
    at_most: bool
    unit: str = "×"

    @property
    def met(self):
        return self.value <= self.bound if self.at_most else self.value >= self.bound

    def line(self):
        sign = "≤" if self.at_most else "≥"
        return (f"{self.text}: {self.value:.2f}{self.unit} "
                f"(target {sign} {self.bound:g}{self.unit}: {'met' if self.met else 'MISSED'})")


def geometric_mean(values):
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


class Results:
    """best[(program title, column key)][figure]: the smallest of all rounds."""

    def __init__(self):
        self.best = {}
        self.rounds = {}

    def add(self, program, column, figures):
        key = program.title, column.key
        best = self.best.setdefault(key, dict(figures))
        for name, value in figures.items():
            if isinstance(value, (int, float)):
                best[name] = min(best[name], value)
        self.rounds.setdefault(key, []).append(figures["cpu"])

    def has(self, program, *keys):
        return all((program.title, key) in self.best for key in keys)

    def get(self, program, key, figure="cpu"):
        return self.best[program.title, key][figure]

    def ratio(self, program, key, against="untraced", figure="cpu"):
        return self.get(program, key, figure) / self.get(program, against, figure)

    def programs(self, *keys):
        return [program for program in PROGRAMS if self.has(program, *keys)]

    def mean_ratio(self, key, against="untraced", figure="cpu"):
        return geometric_mean(self.ratio(program, key, against, figure)
                              for program in self.programs(key, against))

    def added_time(self, key, against="reftracer"):
        """Mean of added(key) / added(against), and over how many programs."""
        values = []
        for program in self.programs(key, against, "untraced"):
            base = self.get(program, "untraced")
            added, less = (self.get(program, each) - base for each in (key, against))
            if min(added, less) >= ADDS_SOMETHING * base:
                values.append(added / less)
        return geometric_mean(values), len(values)


def targets(results, recursion):
    lines = []
    if results.programs("reftracer"):
        lines.append(Target("CPU time, geometric mean, against untraced",
                            results.mean_ratio("reftracer"), 1.6, True))
    if results.programs("reftracer", "empty"):
        lines.append(Target("CPU time, geometric mean, against the empty callback",
                            results.mean_ratio("reftracer", "empty"), 1.35, True))
    for key, name in (("memray", "memray"), ("tracemalloc25", "tracemalloc(25)")):
        value, count = results.added_time(key)
        if count:
            lines.append(Target(f"time that {name} adds, against what reftracer adds, geometric "
                                f"mean of {count} workloads", value, 10, False))
    if results.has(GROWTH, "reftracer", "untraced"):
        added = results.get(GROWTH, "reftracer", "peak_kib") - results.get(GROWTH, "untraced", "peak_kib")
        lines.append(Target(f"peak memory added at {GROWTH_LIVE // 1_000_000} M live objects",
                            added * 1024 / GROWTH_LIVE, 16, True, " bytes per live object"))
    for kind, text in (("loop", "in a loop"), ("calls", "in a called function")):
        if (kind, 10) in recursion and (kind, 1_000) in recursion:
            lines.append(Target(f"allocation {text} below 1,000 frames, against below 10",
                                recursion[kind, 1_000]["cpu"] / recursion[kind, 10]["cpu"], 3, True))
    return lines


def columns_of(results):
    return [column for column in COLUMNS
            if any(results.has(program, column.key) for program in PROGRAMS)]


def table(header, rows, alignments=None):
    alignments = alignments or ["---"] + ["--:"] * (len(header) - 1)
    lines = [header, alignments, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(value):
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def ratio_table(results, figure="cpu"):
    columns = columns_of(results)
    rows = []
    for program in results.programs("untraced"):
        row = [program.title]
        for column in columns:
            if column.key == "untraced":
                row.append(f"{results.get(program, 'untraced', figure):.3f} s")
            elif results.has(program, column.key):
                row.append(times(results.ratio(program, column.key, figure=figure)))
            else:
                row.append("failed")
        rows.append(row)
    rows.append(["**geometric mean**", *(
        "" if column.key == "untraced" else f"**{times(results.mean_ratio(column.key, figure=figure))}**"
        for column in columns)])
    return table(["workload", *(column.title for column in columns)], rows)


def memory_table(results, programs=None):
    columns = columns_of(results)
    rows = []
    for program in programs or results.programs("untraced"):
        rows.append([program.title, *(
            f"{results.get(program, column.key, 'peak_kib') / 1024:.0f}"
            if results.has(program, column.key) else "failed" for column in columns)])
    return table(["peak memory, MiB", *(column.title for column in columns)], rows)


def recursion_table(recursion):
    depths = sorted({depth for _, depth in recursion})
    kinds = list(dict.fromkeys(kind for kind, _ in recursion))
    rows = []
    for kind in kinds:
        row = [kind]
        for depth in depths:
            measured = recursion.get((kind, depth))
            base = recursion.get((kind, depths[0]))
            row.append("failed" if not measured or not base else
                       f"{measured['cpu']:.2f} s ({times(measured['cpu'] / base['cpu'])}; "
                       f"untraced {measured['untraced']:.2f} s)")
        rows.append(row)
    return table(["allocation", *(f"depth {depth:,}" for depth in depths)], rows)


def spread(results):
    """The largest (worst - best) / best of any figure: how noisy the machine was."""
    return max(((max(rounds) - min(rounds)) / min(rounds)
                for rounds in results.rounds.values()), default=0.0)
