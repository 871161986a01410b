"""Asks the agent about objects of its own; prints what is not as expected, then "as expected"."""

import ctypes
import gc
import sys
import threading
import warnings

ask = ctypes.PyDLL(sys.argv[1]).reftracer_why
ask.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint, ctypes.c_uint]
ask.restype = ctypes.c_char_p


def why(asked, paths=3):
    return ask(id(asked), 1, 30_000, paths).decode()


class Thing:
    pass


class Listener:
    def __init__(self, callback):
        self.callback = callback


class Bus:
    def __init__(self):
        self._listeners = []


def subscribe(subscriber):
    def on_event():
        return subscriber

    bus._listeners.append(Listener(on_event))


bus, cache, wrong = Bus(), {}, []


def expect(answer, *lines, absent=()):
    got = answer.splitlines()
    for line in lines:
        if line not in got:
            wrong.append(f"no {line!r} in:\n{answer}")
    for text in absent:
        if text in answer:
            wrong.append(f"{text!r} in:\n{answer}")


def lists_of_the_free_list():
    """3.13 has addresses of freed lists, of which some live again. A warning puts the filters of
    the moment into the interpreter, by which that place is found."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn("any", stacklevel=1)
    freed = [[] for _ in range(200)]
    del freed
    listed = Thing()
    again = [[listed] for _ in range(200)]
    expect(why(listed), absent=["internal state"])
    del again


def arrays_where_keys_were():
    """3.13 also has addresses of keys of dicts, which a full collection gives back. An array of
    classes that lie in low memory begins as an object does."""
    freed = [{f"key{n}": n} for n in range(200)]
    del freed
    gc.collect()

    class Low:
        pass

    arrays = [[Low] * 16 for _ in range(2000)]
    expect(why(Low, 200), absent=["internal state"])
    del arrays


def test():
    thing = Thing()
    subscribe(Thing())
    subscribe(thing)
    cache["k\t1"] = [thing]
    _, name, refcount, found, _ = why(thing).splitlines()[1].split("\t")
    if name != "__main__.Thing" or refcount != found:
        wrong.append(f"{refcount} references of {name}, found {found}")
    expect(
        why(thing),
        "step\troot module\t\t__main__\t\t",
        "step\tdict value\tdict\tcache\t\t",
        "step\tdict value\tdict\tk\\t1\t\t",
        "step\tattribute\t__main__.Bus\t_listeners\t\t",
        "step\titem\tlist\t\t1\t",
        "step\tattribute\t__main__.Listener\tcallback\t\t",
        "step\tclosure\ttuple\tsubscriber\t\t",
        "step\tcell\tcell\tsubscriber\t\t",
        "holder\tcell\tcell\t\t\t",
        "holder\titem\tlist\t\t0\t",
        absent=["root local", "why in thread"],
    )
    only_local = Thing()
    expect(
        why(only_local),
        "step\troot local\t\tonly_local\t\ttest in thread MainThread",
        "holder\troot local\t\tonly_local\t\ttest in thread MainThread",
    )
    expect(why(Thing()), absent=["path", "holder"])
    lists_of_the_free_list()
    arrays_where_keys_were()

    def generator():
        held = Thing()
        yield held

    cache["generator"] = generator()
    expect(why(next(cache["generator"])), "step\tframe\tgenerator\theld\t\t")

    alone = Thing()
    alone.itself = alone
    address = id(alone)
    del alone
    expect(
        ask(address, 1, 30_000, 3).decode(),
        "step\troot garbage\t\t\t\t",
        "holder\tattribute\t__main__.Thing\titself\t\t",
    )
    gc.collect()

    ready, go = threading.Event(), threading.Event()
    shared = []

    def waits():
        in_thread = Thing()
        shared.append(id(in_thread))
        ready.set()
        go.wait()

    thread = threading.Thread(target=waits, name="worker")
    thread.start()
    ready.wait()
    expect(
        ask(shared[0], 1, 30_000, 3).decode(),
        "step\troot local\t\tin_thread\t\ttest.<locals>.waits in thread worker",
    )
    go.set()
    thread.join()
    held_by_c = Thing()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held_by_c))
    address = id(held_by_c)
    del held_by_c
    expect(ask(address, 1, 30_000, 3).decode(), "step\troot C\t\t\t\t")


test()
print("\n".join(wrong))
print("as expected" if not wrong else "wrong")
