"""A pyperf that runs nothing by itself.

The programs of pyperformance hand their function to pyperf.Runner, which would
start worker processes and decide on its own how often to call it. Here the
first function that a program hands over is kept, to be called a fixed number of
times in this process, under whichever tracer is being measured."""

import argparse
import asyncio
import platform
import runpy
import sys
import time
import types
from pathlib import Path


class Runner:
    kept = None  # the first function a program hands over: loops -> None

    def __init__(self, add_cmdline_args=None, **_):
        self.metadata = {}
        self.argparser = argparse.ArgumentParser()
        self.args = None

    def parse_args(self, args=None):
        self.args = self.argparser.parse_args(args)
        return self.args

    def keep(self, call):
        if Runner.kept is None:
            Runner.kept = call

    def bench_func(self, name, function, *args, inner_loops=None, metadata=None):
        def call(loops):
            for _ in range(loops):
                function(*args)

        self.keep(call)

    def bench_time_func(self, name, function, *args, inner_loops=None, metadata=None):
        self.keep(lambda loops: function(loops, *args))

    def bench_async_func(self, name, function, *args, loop_factory=None, **_):
        async def calls(loops):
            for _ in range(loops):
                await function(*args)

        self.keep(lambda loops: asyncio.run(calls(loops)))


def load(program, arguments):
    """The function (loops -> None) of pyperformance's benchmark `program`."""
    stand_in = types.ModuleType("pyperf")
    stand_in.Runner = Runner
    stand_in.perf_counter = time.perf_counter
    stand_in.python_implementation = lambda: platform.python_implementation().lower()
    stand_in.python_has_jit = lambda: False
    sys.modules["pyperf"] = stand_in

    import pyperformance

    script = (
        Path(pyperformance.__file__).parent
        / "data-files" / "benchmarks" / f"bm_{program}" / "run_benchmark.py"
    )
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")
    if Runner.kept is None:
        raise SystemExit(f"{script} handed no function to pyperf.Runner; "
                         "this version of pyperformance does it in another way.")
    return Runner.kept
