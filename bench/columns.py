"""What is measured against what: the table of columns, and how each is started.

To add one: a line in COLUMNS. `tracer` is what bench/measured.py starts in the
process; `wrap` is how the process itself is started."""

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TIME_LIMIT = 600  # seconds for one run; the slowest takes under 30


class Failed(Exception):
    pass


def plain(command, build, trace):
    return command, {}


def reftracer(command, build, trace):
    return [str(build / "reftracer"), "run", "-q", "-o", str(trace), "--", *command], {}


def empty_callback(command, build, trace):
    command, _ = reftracer(command, build, trace)
    return command, {"REFTRACER_AGENT": str(build / "libreftracer-agent-empty.so")}


@dataclass(frozen=True)
class Column:
    key: str
    title: str
    tracer: str = "none"
    wrap: object = plain
    needs: str = ""  # file of the build folder


COLUMNS = (
    Column("untraced", "untraced"),
    Column("empty", "empty callback", wrap=empty_callback, needs="libreftracer-agent-empty.so"),
    Column("reftracer", "reftracer", wrap=reftracer, needs="reftracer"),
    Column("tracemalloc1", "tracemalloc(1)", tracer="tracemalloc:1"),
    Column("tracemalloc25", "tracemalloc(25)", tracer="tracemalloc:25"),
    Column("memray", "memray, objects", tracer="memray:{scratch}/memray.bin"),
)


def measure(column, program, python, build, scratch, variables=()):
    """One run in a process of its own: cpu (the workload's), total_cpu (the whole
    process's, start, end and `reftracer run` included), peak_kib."""
    result, trace = scratch / "result.json", scratch / "trace.rft"
    for left in scratch.iterdir():
        left.unlink()
    command = [python, str(BENCH / "measured.py"), program.workload, str(program.loops),
               column.tracer.format(scratch=scratch), str(result), *program.arguments]
    command, needed = column.wrap(command, build, trace)
    log = scratch / "log"
    clean = {name: value for name, value in os.environ.items()
             if not name.startswith(("PYTHON", "REFTRACER_", "LD_PRELOAD"))}
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            env=clean | needed | dict(variables) | {"PYTHONHASHSEED": "0"},
            start_new_session=True)
        timer_set = signal.signal(signal.SIGALRM, lambda *_: os.killpg(process.pid, signal.SIGKILL))
        signal.alarm(TIME_LIMIT)
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, timer_set)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not result.exists():
        tail = log.read_text(encoding="utf-8", errors="replace").strip()[-1500:]
        raise Failed(f"{program.title}, {column.title}: exit status {process.returncode}\n{tail}")
    if column.needs and not trace.exists():
        raise Failed(f"{program.title}, {column.title}: it was not traced: no {trace.name} was "
                     f"written\n{log.read_text(encoding='utf-8', errors='replace')[-1500:]}")
    figures = json.loads(result.read_text(encoding="utf-8"))
    figures["total_cpu"] = usage.ru_utime + usage.ru_stime
    # The peak of the whole life (a final census comes after the workload). wait4
    # also knows of this process, from before the exec: take it only above that.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if usage.ru_maxrss > own:
        figures["peak_kib"] = max(figures["peak_kib"], usage.ru_maxrss)
    figures["trace_bytes"] = trace.stat().st_size if trace.exists() else 0
    return figures


def available(build):
    """The columns that this build folder can run, and what is missing."""
    missing = [column for column in COLUMNS
               if column.needs and not (build / column.needs).exists()]
    for column in missing:
        print(f"bench: no column '{column.title}': {build / column.needs} is not there; "
              "`make build` makes it.", file=sys.stderr)
    return [column for column in COLUMNS if column not in missing]
