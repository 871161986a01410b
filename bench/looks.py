#!/usr/bin/env python3
"""What a look at another process costs: reftracer's library and command against CPython's
own _remote_debugging (3.15), PyStack, py-spy and Austin, on processes with 1 to 1,000
threads of 20 frames. Run by `make bench`; fills in its part of docs/BENCHMARKS.md."""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import environment

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- inspect:begin -->", "<!-- inspect:end -->"
PEERS = ("pystack", "py-spy", "austin-dist")
THREADS = (1, 10, 100, 1000)

# Threads wait in a lock at the bottom of 20 frames, the main thread among them.
TARGET = """
import sys, threading
count = int(sys.argv[1])
stop, ready = threading.Lock(), threading.Semaphore(0)
stop.acquire()
def descend(left):
    if left:
        descend(left - 1)
    else:
        ready.release()
        stop.acquire()
threading.stack_size(256 * 1024)
for _ in range(count - 1):
    threading.Thread(target=descend, args=(16,), daemon=True).start()
for _ in range(count - 1):
    ready.acquire()
print("ready", flush=True)
descend(18)
"""

# A thread that computes: rounds per second of its own CPU time, until its input ends.
WORKER = """
import sys, threading, time
threading.Thread(target=lambda: (sys.stdin.read(), setattr(sys, "done", True)), daemon=True).start()
def add(a, b):
    return a + b
sys.done = False
rounds, start = 0, time.thread_time()
print("ready", flush=True)
while not sys.done:
    for i in range(1000):
        add(i, i)
    rounds += 1
print(rounds / (time.thread_time() - start))
"""

# CPython's own, by the same CPython: microseconds of the best of many calls.
OWN = """
import sys, time, _remote_debugging
unwinder = _remote_debugging.RemoteUnwinder(int(sys.argv[1]), all_threads=True{options})
best, end = 1e9, time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    start = time.perf_counter()
    unwinder.get_stack_trace()
    best = min(best, time.perf_counter() - start)
print(best * 1e6)
"""

# PyStack's library: the same. It stops the process for each look.
PYSTACK = """
import sys, time
from pystack.engine import get_process_threads, StackMethod
best, end = 1e9, time.monotonic() + float(sys.argv[2])
while True:
    start = time.perf_counter()
    threads = list(get_process_threads(int(sys.argv[1]), stop_process={stop}))
    best = min(best, time.perf_counter() - start)
    if time.monotonic() > end:
        break
assert threads
print(best * 1e6)
"""


def target(python, threads):
    process = subprocess.Popen([python, "-c", TARGET, str(threads)], stdout=subprocess.PIPE)
    if process.stdout.readline() != b"ready\n":
        raise SystemExit(f"bench: {python} did not start {threads} threads")
    time.sleep(0.2)
    return process


def number_of(command, place=0):
    """The number that a command prints, or None if it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    try:
        return float(done.stdout.split()[place]) if done.returncode == 0 else None
    except (IndexError, ValueError):
        return None


def command_time(command, rounds):
    """Milliseconds of the best of some runs of a command; None if it fails."""
    best = None
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        took = (time.perf_counter() - start) * 1e3
        if done.returncode != 0:
            return None
        best = took if best is None else min(best, took)
    return best


def peers_python():
    """The python of a venv that has the peers."""
    base = environment.default_python()
    venv = environment.cache() / "bench" / "inspect"
    inside, stamp = venv / "bin" / "python", venv / "requirements"
    if not stamp.exists() or stamp.read_text() != "\n".join(PEERS):
        shutil.rmtree(venv, ignore_errors=True)
        about = environment.describe(base)
        environment.run([base, "-m", "venv", "--without-pip", str(venv)], "making a venv")
        pip = environment.pip_of(str(inside), about["base"])
        def install(peer):
            subprocess.run([*pip, "install", "-q", "--no-input", "--only-binary", ":all:", peer],
                           capture_output=True)

        for peer in PEERS:  # one that has no wheel for this Python is left out
            install(peer)
        austin = venv / "bin" / "austin"  # 4.0 wants a glibc newer than Debian 12's
        if austin.exists() and subprocess.run([austin, "--version"],
                                              capture_output=True).returncode != 0:
            install("austin-dist<4")
        stamp.write_text("\n".join(PEERS))
    return inside


def peers_releases(peers):
    """"pystack 1.7.2, py-spy 0.4.3, ..." of what is there."""
    done = subprocess.run([peers, "-c", "import importlib.metadata as m, sys\nfor name in sys.argv[1:]:"
                           "\n try: print(name, m.version(name))\n except m.PackageNotFoundError: pass",
                           *PEERS], capture_output=True, text=True)
    return ", ".join(done.stdout.splitlines())


def library_columns(build, python, peers):
    columns = {"reftracer": lambda pid, seconds: number_of([build / "snapshot", pid, seconds], 3)}
    columns["_remote_debugging"] = lambda pid, seconds: number_of(
        [python, "-c", OWN.format(options=""), pid, seconds])
    columns["_remote_debugging, cached"] = lambda pid, seconds: number_of(
        [python, "-c", OWN.format(options=", cache_frames=True"), pid, seconds])
    columns["PyStack"] = lambda pid, seconds: number_of(
        [peers, "-c", PYSTACK.format(stop="True"), pid, seconds])
    columns["PyStack, not stopping"] = lambda pid, seconds: number_of(
        [peers, "-c", PYSTACK.format(stop="False"), pid, seconds])
    return columns


def command_columns(build, python, peers):
    folder = peers.parent
    return {
        "reftracer inspect": lambda pid: [build / "reftracer", "inspect", pid],
        "profiling.sampling dump": lambda pid: [python, "-m", "profiling.sampling", "dump", "-a",
                                                pid],
        "pystack remote": lambda pid: [folder / "pystack", "remote", pid],
        "py-spy dump": lambda pid: [folder / "py-spy", "dump", "--pid", pid],
        "austin -w": lambda pid: [folder / "austin", "-w", pid],
    }


def table(title, counts, results):
    lines = [f"| {title} | " + " | ".join(f"{n:,}" for n in counts) + " |",
             "| --- |" + " --: |" * len(counts)]
    for name, row in results.items():
        cells = ["–" if value is None else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
                 for value in row]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def slow_down(build, python, rate, rounds=5, seconds=2):
    """CPU time of a computing program that is looked at, as a multiple of the same without:
    the best of both, in turns."""
    best = {0: 0.0, rate: 0.0}
    for _ in range(rounds):
        for looks in best:
            process = subprocess.Popen([python, "-c", WORKER], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
            process.stdout.readline()
            looker = looks and subprocess.Popen(
                [build / "snapshot", str(process.pid), str(seconds), str(looks)],
                stdout=subprocess.DEVNULL)
            time.sleep(seconds)
            if looker:
                looker.wait()
            out, _ = process.communicate(b"")
            best[looks] = max(best[looks], float(out))
    return best[0] / best[rate]


def measure(build, python, seconds, rounds, counts):
    peers = peers_python()
    library = {name: [] for name in library_columns(build, python, peers)}
    command = {name: [] for name in command_columns(build, python, peers)}
    for count in counts:
        process = target(python, count)
        try:
            # In turns, so that what else the machine does hits all alike.
            looks = {name: [] for name in library}
            runs = {name: [] for name in command}
            for _ in range(rounds):
                for name, call in library_columns(build, python, peers).items():
                    looks[name].append(call(process.pid, seconds / rounds))
                for name, make in command_columns(build, python, peers).items():
                    runs[name].append(command_time(make(process.pid), 3))
            for rows, found in ((library, looks), (command, runs)):
                for name, values in found.items():
                    values = [value for value in values if value is not None]
                    rows[name].append(min(values) if values else None)
        finally:
            process.kill()
            process.wait()
    return library, command


def fill(path, text):
    """Puts the text between the page's two marks."""
    page = path.read_text()
    begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
    path.write_text(page[:begin] + "\n" + text + "\n" + page[end:])


def main():
    parser = argparse.ArgumentParser(prog="bench/looks.py", description=__doc__)
    parser.add_argument("--python", help="the CPython that is looked at (default: 3.15)")
    parser.add_argument("--build", type=Path, default=ROOT / "build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="for each figure of a library")
    parser.add_argument("--write", action="store_true", help="into docs/BENCHMARKS.md and README.md")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    fetched = environment.cache() / "cpython" / "bin"
    versions = [options.python] if options.python else [
        str(fetched / "python3.15"), str(fetched / "python3.13")]
    subprocess.run(["ninja", "-C", str(options.build), "snapshot"], check=True,
                   stdout=subprocess.DEVNULL)
    parts, figures = [], {}
    for python in versions:
        release = environment.describe(python)["release"]
        library, command = measure(options.build, python, options.seconds, options.rounds, THREADS)
        library = {name: row for name, row in library.items() if any(v is not None for v in row)}
        command = {name: row for name, row in command.items() if any(v is not None for v in row)}
        if not parts:
            short = table(f"threads, CPython {release}", THREADS, library)
        figures[release] = {"library_us": library, "command_ms": command}
        parts.append(f"CPython {release}, threads of 20 frames. A look by the library, µs, the "
                     "best of all:\n\n" + table("threads", THREADS, library))
        parts.append("The whole command, ms, the best of "
                     f"{options.rounds * 3}:\n\n" + table("threads", THREADS, command))
    slower = slow_down(options.build, versions[0], 1000)
    figures["slow_down"] = slower
    parts.append(f"A computing thread that is looked at 1,000 times a second needs {slower:.3f} "
                 "times its CPU time.")
    text = "\n\n".join(parts)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    if options.write:
        fill(ROOT / "README.md", "A look at a process, by the library, µs "
             "([more](docs/BENCHMARKS.md)):\n\n" + short)
        stamp = (f"{peers_releases(peers_python())}; {environment.machine()}; "
                 f"{time.strftime('%Y-%m-%d')}; `make bench`.")
        fill(ROOT / "docs" / "BENCHMARKS.md", text + "\n\n" + stamp)
    return 0


if __name__ == "__main__":
    sys.exit(main())
