"""What is run: the table of workloads.

To add one: a file in bench/workloads with a function `run()`, and a line here;
or a line here that names a program of pyperformance. `loops` is fixed, so that
every tracer is asked for the same work; choose it for 0.2 to 0.4 s untraced."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Program:
    title: str
    workload: str  # as bench/measured.py takes it
    loops: int
    arguments: tuple = ()


def pyperformance(name, loops, *arguments, title=None):
    return Program(title or name, f"pyperformance:{name}", loops, arguments)


GROWTH = Program("growth to 6 M live objects", "growth_to_6m", 1)
GROWTH_LIVE = 6_000_000

PROGRAMS = (
    Program("float loop (15 M births)", "float_loop", 1),
    Program("binary trees", "binary_trees", 10),
    Program("json round trips", "json_round_trips", 1),
    Program("small instances", "small_instances", 1),
    Program("recursive calls, no objects", "recursive_calls", 2),
    Program("string building", "string_building", 1),
    GROWTH,
    pyperformance("chaos", 6),
    pyperformance("deepcopy", 900),
    pyperformance("deltablue", 100),
    pyperformance("go", 3),
    pyperformance("hexiom", 50),
    pyperformance("logging", 4000, "format", title="logging (format)"),
    pyperformance("nbody", 4),
    pyperformance("pickle", 50, "--pure-python", "pickle", title="pickle (pure Python)"),
    pyperformance("pyflate", 1),
    pyperformance("raytrace", 1),
    pyperformance("regex_compile", 2),
    pyperformance("richards", 8),
)

# (kind, depth, whether the depth is one that a target is set for)
RECURSIONS = tuple(
    (kind, depth)
    for kind in ("loop", "calls", "swing")
    for depth in (10, 1_000, 10_000, 50_000)
)
