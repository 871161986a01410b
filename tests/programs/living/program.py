"""Lives with another tool: argv is LIBRARY|AGENT, the tool, the moment, the driver.

LIBRARY: a subscriber of libreftracer is checked after each step. AGENT: `reftracer run`
traces this, and its report is what is checked. The last line that is printed is how many
gaps the library has counted."""

import ctypes
import os
import sys
import tempfile
import threading
import time

from tools import TOOLS, make

us, tool_name, moment, path = sys.argv[1:]

driver = ctypes.PyDLL(path)
for name in ("births", "deaths", "removals", "wrong"):
    getattr(driver, "seen_" + name).restype = ctypes.c_long
    getattr(driver, "seen_" + name).argtypes = [ctypes.c_void_p]
driver.seen_new.restype = ctypes.c_void_p
for name in ("driver_add", "driver_remove", "foreign_set", "foreign_is_in_slot"):
    getattr(driver, name).argtypes = [ctypes.c_void_p]
driver.driver_state.restype = ctypes.c_long


def state(what):
    return ctypes.CDLL(path).driver_state(what.encode())


class Library:
    def start(self):
        self.seen = driver.seen_new()
        assert driver.driver_add(self.seen) == 0

    def settle(self):
        """The slot is ours again: within a second (a tool that fights gets longer pauses) on a
        machine that has time for it."""
        limit = time.monotonic() + 120
        while state("in_slot") != 1:
            assert time.monotonic() < limit, "the slot stays lost"
            time.sleep(0.001)

    def check(self):
        for _ in range(100):  # the grabber takes the slot at any moment
            self.settle()
            before = driver.seen_births(self.seen)
            make(1000)
            if driver.seen_births(self.seen) - before >= 1000:
                return
            assert tool_name == "grabber", "births are missing without a gap"
        raise AssertionError("the subscriber sees nothing")

    def stop(self):
        assert driver.driver_remove(self.seen) == 0
        assert driver.seen_wrong(self.seen) == 0
        assert driver.seen_removals(self.seen) == 1


class Agent:
    def start(self):
        pass

    def check(self):
        time.sleep(0.05)
        make(1000)

    settle = stop = start


ours = {"LIBRARY": Library, "AGENT": Agent}[us]()
folder = tempfile.TemporaryDirectory()
tool = TOOLS[tool_name](driver, folder.name)


def before():
    tool.start()
    ours.start()
    ours.check()
    assert tool.sees()
    tool.stop()
    ours.check()
    ours.stop()


def after():
    ours.start()
    tool.start()
    ours.check()
    assert tool.sees()
    ours.stop()
    assert tool.sees()
    tool.stop()


def nested():
    ours.start()
    for _ in range(3):
        tool.start()
        ours.check()
        assert tool.sees()
        tool.stop()
        ours.check()
    ours.stop()


def in_a_thread():
    done = threading.Event()
    failures = []

    def other():
        try:
            for _ in range(3):
                tool.start()
                make(5000)
                ours.settle()
                assert tool.sees()
                tool.stop()
        except BaseException as error:
            failures.append(error)
        done.set()

    ours.start()
    thread = threading.Thread(target=other)
    thread.start()
    while not done.is_set():
        make(1000)
    thread.join()
    if failures:
        raise failures[0]
    ours.check()
    ours.stop()


{"before": before, "after": after, "nested": nested, "in a thread": in_a_thread}[moment]()
if us == "LIBRARY":
    assert driver.foreign_is_in_slot(None) == 2, "the slot is not left empty"
things = [object() for _ in range(1000)]  # these are alive at the end
folder.cleanup()
print(state("gaps"))
