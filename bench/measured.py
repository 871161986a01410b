"""Run one workload in this process and write down what it took.

usage: measured.py WORKLOAD LOOPS TRACER RESULT [ARGUMENT...]

WORKLOAD is a file of bench/workloads (`float_loop`) or a program of pyperformance
(`pyperformance:richards`), called LOOPS times. TRACER is what is started here,
before the workload: `none`, `tracemalloc:N` or `memray:FILE`. RESULT is a file
that gets one JSON object. Start-up, imports and the end of the process are not
part of the figure: it is the CPU time of the whole process, all threads, between
the workload's first and last instruction."""

import importlib
import json
import os
import resource
import sys
import time


def peak_kib():
    # The peak of this program image only; ru_maxrss also knows of the process
    # that started this one.
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def load(workload, arguments):
    here = os.path.dirname(os.path.abspath(__file__))
    if workload.startswith("pyperformance:"):
        sys.path.insert(0, here)
        import pyperf_stand_in

        return pyperf_stand_in.load(workload.partition(":")[2], arguments)
    sys.path.insert(0, os.path.join(here, "workloads"))
    run = importlib.import_module(workload).run

    def calls(loops):
        result = None
        for _ in range(loops):
            result = run()
        return result  # growth must still be alive when its peak is read

    return calls


def below(frames, calls, loops):
    """Call with `frames` more frames on the stack."""
    if frames > 0:
        return below(frames - 1, calls, loops)
    return calls(loops)


def timed(calls, loops):
    frames = int(os.environ.get("BENCH_FRAMES", "0"))
    wall, cpu = time.perf_counter(), time.process_time()
    kept = below(frames, calls, loops)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    del kept
    return {"cpu": cpu, "wall": wall}


def main():
    workload, loops, tracer, result, *arguments = sys.argv[1:]
    calls = load(workload, arguments)
    name, _, argument = tracer.partition(":")
    if name == "tracemalloc":
        import tracemalloc

        tracemalloc.start(int(argument))
        figures = timed(calls, int(loops))
        figures["peak_kib"] = peak_kib()
    elif name == "memray":
        import memray

        destination = memray.FileDestination(argument, overwrite=True,
                                             compress_on_exit=False)
        with memray.Tracker(destination=destination, track_object_lifetimes=True):
            figures = timed(calls, int(loops))
        figures["peak_kib"] = peak_kib()
    else:
        figures = timed(calls, int(loops))
        figures["peak_kib"] = peak_kib()
    figures["python"] = sys.version.split()[0]
    with open(result, "w", encoding="utf-8") as file:
        json.dump(figures, file)


main()
