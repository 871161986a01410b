"""A trace is readable whenever its process was killed."""

import os
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sites import assert_balanced

KILLS = 100
AFTER_START = 20_000  # births: the start of Python and the imports have 14,000

PROGRAM = """
import threading, time

class Thing:
    pass

kept = []

def work(n):
    number = 0
    while True:
        number += 1
        if number == 300:
            print("at work", flush=True)
        exec(f"def f{n}_{number}(): return [Thing() for _ in range(20)]\\n"
             f"kept.append(f{n}_{number}())", {"kept": kept, "Thing": Thing})
        time.sleep(0.001)

for n in range(2):
    threading.Thread(target=work, args=(n,)).start()
"""


def is_begun(output):
    """Whether the header and the record of the program, with its long path, are there."""
    return output.exists() and output.stat().st_size > 128


@pytest.fixture(scope="module")
def killed(pythons, command, tmp_path_factory):
    """Runs the program KILLS times, kills it with SIGKILL each time after another while,
    and returns for each: the seconds it had, its trace and what `report` makes of it."""
    folder = tmp_path_factory.mktemp("kill")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    moments = random.Random(5)

    def run(number):
        output = folder / f"{number}.rft"
        started = subprocess.Popen(
            [command, "run", "-o", output, "--", pythons[number % len(pythons)], program],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not is_begun(output) and started.poll() is None:
            time.sleep(0.001)
        assert is_begun(output), "no trace was begun"
        if number % 5 == 0:  # some when they have been at work for a tick, however slow they are
            assert started.stdout.readline() == b"at work\n"
            size = output.stat().st_size
            while output.stat().st_size == size and started.poll() is None:
                time.sleep(0.001)
        seconds = moments.random() * 0.7
        time.sleep(seconds)
        os.killpg(started.pid, signal.SIGKILL)
        started.communicate()
        return number, seconds, output

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, range(KILLS)))


def test_every_trace_of_a_killed_process_is_readable(killed, read_report):
    for number, seconds, output in killed:
        read = read_report(output, options=["--top", "100"])
        assert read.status == 0, (number, seconds, read.stderr)
        assert_balanced(read.report)


def test_a_killed_process_is_traced_up_to_its_last_tick(killed, read_report):
    """Who has a tick of a time at which the program was at its work has things of it."""
    late = 0
    for number, seconds, output in killed:
        report = read_report(output, options=["--filter", "Thing"]).report
        if report["totals"]["births"] > AFTER_START:
            late += 1
            assert any(site["type"] == "__main__.Thing" for site in report["sites"]), number
    assert late >= KILLS // 5
