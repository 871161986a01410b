"""Threads with names, and in the middle of exceptions; on each line of input it renames one
thread and starts another, and says so."""

import json
import sys
import threading

import settled

ready = threading.Semaphore(0)
for_ever = threading.Lock()
for_ever.acquire()


class Failure(LookupError):
    pass


def wait():
    ready.release()
    for_ever.acquire()


def handles():
    try:
        raise Failure("handled")
    except Failure:
        wait()


def handles_in_generator():
    def steps():
        try:
            {}["missing"]
        except KeyError:
            yield 1

    suspended = steps()
    next(suspended)  # its exception is its own while it is suspended
    wait()


def handles_around_generator():
    def steps():
        wait()
        yield 1

    try:
        int("no number")
    except ValueError:
        next(steps())


def is_over():
    try:
        raise Failure("over")
    except Failure:
        pass
    wait()


def last_resort():
    try:
        raise OSError("on its way")
    finally:
        wait()


def start(target, name):
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    ready.acquire()
    return thread


def main():
    threading.main_thread().name = "the main one"
    exceptions = {"plain": "", "handles": "Failure", "suspended": "", "around": "ValueError",
                  "over": "", "finally": "OSError", "Ünïcode-\U0001f600": ""}
    targets = [wait, handles, handles_in_generator, handles_around_generator, is_over, last_resort, wait]
    threads = [start(target, name) for target, name in zip(targets, exceptions)]
    idents = {thread.ident: thread.name for thread in threading.enumerate()}
    settled.wait_until_inside(futex=len(threads))
    print(json.dumps({"exceptions": exceptions, "idents": idents}), flush=True)
    for number, _ in enumerate(sys.stdin, 1):
        threads[0].name = "renamed"
        start(wait, "started later")
        settled.wait_until_inside(futex=len(threads) + number)
        print(json.dumps({"idents": {t.ident: t.name for t in threading.enumerate()}}), flush=True)


main()
