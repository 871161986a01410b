"""Other tools that use CPython's one slot for a reference tracer. Each is started and
stopped; `sees()` is true if it gets events now. Used by tests/test_living.py."""

import ctypes
import itertools
import os
import threading
import time


class Thing:
    pass


def make(count):
    for _ in itertools.repeat(None, count):
        Thing()


class Tracemalloc:
    """Its tracer sees what comes from a freelist: a float that is born again there."""

    def __init__(self, driver, folder):
        import tracemalloc

        self.module = tracemalloc

    def start(self):
        self.module.start()

    def stop(self):
        self.module.stop()

    def sees(self):
        def first():
            return [i + 0.25 for i in range(20)]

        def second():
            return [i + 0.75 for i in range(20)]

        # The freelist has 100 of before the start, whose memory tracemalloc does not know.
        used_up = [i + 0.5 for i in range(200)]
        first()  # and dropped: now it has 20 that it knows
        lines = {self.module.get_object_traceback(number)[0].lineno for number in second()}
        assert len(used_up) == 200
        return lines == {second.__code__.co_firstlineno + 1}


class Memray:
    def __init__(self, driver, folder):
        import memray

        self.module = memray
        self.folder = folder
        self.number = 0

    def start(self):
        self.number += 1
        name = os.path.join(self.folder, f"{self.number}.bin")
        self.tracker = self.module.Tracker(name, track_object_lifetimes=True)
        self.tracker.__enter__()
        self.kept = []

    def stop(self):
        wanted = {id(thing) for thing in self.kept}
        self.tracker.__exit__(None, None, None)
        found = {id(thing) for thing in self.tracker.get_surviving_objects()}
        assert wanted <= found, f"memray has {len(wanted & found)} of {len(wanted)}"
        self.tracker = self.kept = None

    def sees(self):
        """That is known when it stops."""
        self.kept += [Thing() for _ in range(50)]
        return True


class Copy:
    """A second libreftracer in the process, at another path."""

    def __init__(self, driver, folder):
        self.library = ctypes.CDLL(os.environ["COPY"])
        self.driver = driver
        self.id = ctypes.c_uint64()

    def start(self):
        self.seen = self.driver.seen_new()
        add = ctypes.PyDLL(os.environ["COPY"]).rft_tracer_add
        assert add(self.driver.count_events, ctypes.c_void_p(self.seen), ctypes.byref(self.id), None) == 0

    def stop(self):
        assert self.library.rft_tracer_remove(self.id, None) == 0
        assert self.driver.seen_wrong(self.seen) == 0
        assert self.driver.seen_removals(self.seen) == 1

    def sees(self):
        before = self.driver.seen_births(self.seen)
        make(100)
        return self.driver.seen_births(self.seen) - before >= 100


class Grabber:
    """A tool that sets the slot in a loop."""

    def __init__(self, driver, folder):
        self.driver = driver

    def start(self):
        self.seen = self.driver.seen_new()
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        limit = time.monotonic() + 120
        while not self.sees():  # until it has had a turn
            assert time.monotonic() < limit, "the grabber never got the slot"
            time.sleep(0.001)

    def run(self):
        while not self.stopping:
            self.driver.foreign_set(self.seen)
            time.sleep(0.002)

    def stop(self):
        self.stopping = True
        self.thread.join()
        self.driver.foreign_set(None)

    def sees(self):
        before = self.driver.seen_births(self.seen)
        make(100)
        return self.driver.seen_births(self.seen) - before >= 100


TOOLS = {"tracemalloc": Tracemalloc, "memray": Memray, "copy": Copy, "grabber": Grabber}
