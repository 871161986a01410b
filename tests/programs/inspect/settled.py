"""Waits until other threads are where they stay: to say so before would be a race.

What /proc says of a thread's system call is enough: who waits for the GIL is in futex too, but
with a time limit."""

import os
import threading
import time

CALLS = {
    "x86_64": {"read": ("0",), "futex": ("202",), "epoll": ("232", "281", "441")},
    "aarch64": {"read": ("63",), "futex": ("98",), "epoll": ("22", "441")},
}[os.uname().machine]


def calls_of_others():
    """The words of /proc/TID/syscall of each other thread: number, six arguments, ..."""
    me = str(threading.get_native_id())
    for task in os.listdir("/proc/self/task"):
        if task != me:
            try:
                with open("/proc/self/task/" + task + "/syscall") as file:
                    yield file.read().split()
            except (FileNotFoundError, ProcessLookupError):
                pass


def inside(words, name):
    if not words or words[0] not in CALLS[name]:
        return False
    # The fourth argument of FUTEX_WAIT is its time limit.
    return name != "futex" or words[4] == "0x0"


def wait_until_inside(**wanted):
    """Returns when so many other threads are in each call: read=1, epoll=2, and futex=3 for
    those that wait for a lock without a time limit."""
    limit = time.monotonic() + 120
    while True:
        calls = list(calls_of_others())
        found = {name: sum(inside(words, name) for words in calls) for name in wanted}
        if all(found[name] >= count for name, count in wanted.items()):
            return
        if time.monotonic() > limit:
            raise SystemExit("wanted threads in %s, found %s: %s" % (wanted, found, calls))
        time.sleep(0.002)
