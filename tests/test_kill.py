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

PROGRAM = """
import threading, time

class Thing:
    pass

kept = []

def work(n):
    number = 0
    while True:
        number += 1
        exec(f"def f{n}_{number}(): return [Thing() for _ in range(20)]\\n"
             f"kept.append(f{n}_{number}())", {"kept": kept, "Thing": Thing})
        time.sleep(0.001)

for n in range(2):
    threading.Thread(target=work, args=(n,)).start()
"""


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
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not output.exists() and started.poll() is None:
            time.sleep(0.001)
        assert output.exists(), "no trace was begun"
        seconds = moments.random() * 0.7
        time.sleep(seconds)
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        return number, seconds, output

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, range(KILLS)))


def test_every_trace_of_a_killed_process_is_readable(killed, read_report):
    for number, seconds, output in killed:
        read = read_report(output, options=["--top", "100"])
        assert read.status == 0, (number, seconds, read.stderr)
        assert_balanced(read.report)


def test_a_killed_process_is_traced_up_to_its_last_tick(killed, read_report):
    """A tick is 100 ms: who lived for half a second has some."""
    for number, seconds, output in killed:
        if seconds > 0.5:
            report = read_report(output, options=["--filter", "Thing"]).report
            assert any(site["type"] == "__main__.Thing" for site in report["sites"]), number
