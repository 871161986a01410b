"""``%load_ext reftracer``: the cell magic ``%%reftrace``."""

from __future__ import annotations

import argparse
import ast
import shlex
from collections.abc import Iterable
from typing import Any

from reftracer._command import ReftracerError
from reftracer._report import Placed, Site
from reftracer._trace import Trace, trace

#: Rows of each list.
SHOWN = 10


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> Any:  # instead of sys.exit()
        raise ReftracerError(f"%%reftrace: {message}; %%reftrace? shows its options")


def _parser() -> _Options:
    parser = _Options(prog="%%reftrace", add_help=False)
    parser.add_argument("-o", "--output", metavar="FILE.rft")
    parser.add_argument("-f", "--overwrite", action="store_true")
    parser.add_argument("-n", "--name", metavar="VARIABLE")
    parser.add_argument("--no-gc", action="store_true")
    return parser


def _place(site: Placed, cell: str) -> str | None:
    """Where the objects of a site were born, as seen from the cell; None: not by it."""
    for depth, frame in enumerate(site.stack):
        if frame.file == cell:
            line = f"line {frame.line}" if frame.line else "the cell"
            if depth == 0:
                return f"{line} {frame.function}"
            return f"{site.place}, called in {line}"
    return None


def _print_rows(heading: str, rows: Iterable[tuple[str, Placed]], cell: str) -> None:
    placed = [(count, site, _place(site, cell)) for count, site in rows]
    made_here = [(count, site, place) for count, site, place in placed if place is not None]
    if made_here:
        print(heading)
    for count, site, place in made_here[:SHOWN]:
        print(f"  {count}  {site.type}  {place}")
    if len(made_here) > SHOWN:
        print(f"  … and {len(made_here) - SHOWN:,} sites more")


def _print(of: Trace, cell: str) -> None:
    """What stays and what was garbage, of what the cell has made."""
    living = of.survivors()
    if of.window:
        print(f"Part of the trace that goes on: {of.path}")
        garbage: list[Site] = []
    else:
        report = of.report()
        print(
            f"{report.births:,} born, {report.deaths:,} died, {report.live:,} alive at the end "
            f"({report.live_bytes:,} bytes)"
        )
        for reason in report.exact_reasons:
            print(f"Not exact: {reason}")
        garbage = sorted(report.sites, key=lambda site: -site.died_at_once)
    alive = (
        (
            f"{site.live:,}" + ("" if site.live_bytes is None else f" ({site.live_bytes:,} bytes)"),
            site,
        )
        for site in living
    )
    _print_rows("Alive, born in this cell:", alive, cell)
    died = ((f"{site.died_at_once:,}", site) for site in garbage if site.died_at_once)
    _print_rows("Died within 1 ms, born in this cell:", died, cell)


def load_ipython_extension(ipython: Any) -> None:
    """What ``%load_ext reftracer`` calls: adds the magic ``%%reftrace``."""

    def reftrace(line: str, cell: str) -> Any:
        """Traces the objects of a cell, and prints what stays and what was garbage.

        %%reftrace [-o FILE.rft [-f]] [-n VARIABLE] [--no-gc]

        -o, --output FILE.rft  keep the trace
        -f, --overwrite        replace the file
        -n, --name VARIABLE    put the Trace into this variable
        --no-gc                no gc.collect() before the end of the cell's trace
        """
        options = _parser().parse_args(shlex.split(line))
        source = ipython.transform_cell(cell)
        name = ipython.compile.cache(source, ipython.execution_count, raw_code=cell)
        tree = ipython.compile.ast_parse(source, filename=name)
        value = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):  # its value is the cell's
            last = ast.Expression(tree.body.pop().value)
            value = ipython.compile(last, name, "eval")
        body = ipython.compile(tree, name, "exec")
        namespace = ipython.user_ns
        result = None
        traced = trace(options.output, gc=not options.no_gc, overwrite=options.overwrite)
        traced.start()
        try:
            exec(body, namespace)  # noqa: S102
            if value is not None:
                result = eval(value, namespace)
        finally:
            traced.stop()
            if options.name:
                namespace[options.name] = traced
            _print(traced, name)
        return result

    ipython.register_magic_function(reftrace, magic_kind="cell", magic_name="reftrace")


def unload_ipython_extension(ipython: Any) -> None:
    """What ``%unload_ext reftracer`` calls: takes the magic away."""
    ipython.magics_manager.magics["cell"].pop("reftrace", None)
