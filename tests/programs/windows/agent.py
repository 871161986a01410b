"""The agent's functions for windows, as the Python package calls them."""

import ctypes
import os

agent = ctypes.PyDLL(os.environ["REFTRACER_AGENT"])
agent.reftracer_start.restype = ctypes.c_char_p
agent.reftracer_stop.restype = ctypes.c_char_p
agent.reftracer_window_begin.restype = ctypes.c_longlong
agent.reftracer_window_end.argtypes = [ctypes.c_longlong]
agent.reftracer_window_survivors.restype = ctypes.c_char_p
agent.reftracer_window_survivors.argtypes = [
    ctypes.c_longlong, ctypes.c_longlong, ctypes.c_uint, ctypes.c_uint]  # fmt: skip
agent.reftracer_window_objects.restype = ctypes.c_longlong
agent.reftracer_window_objects.argtypes = [
    ctypes.c_longlong, ctypes.c_longlong, ctypes.c_uint,
    ctypes.POINTER(ctypes.c_uint64), ctypes.c_size_t]  # fmt: skip

agent.reftracer_window_list.restype = ctypes.py_object
agent.reftracer_window_list.argtypes = [
    ctypes.c_longlong, ctypes.c_longlong, ctypes.c_uint, ctypes.c_uint]  # fmt: skip


def start(path):
    error = agent.reftracer_start(os.fsencode(path), 0)
    assert error is None, error


def begin(counts=0):
    window = agent.reftracer_window_begin(counts)
    assert window > 0
    return window


def survivors(window, until=0, least=1, depth=1):
    """{(type, function): (live, births, deaths, bytes, site, file, line)}; added up over callers,
    with the newest one's site."""
    found = {}
    text = agent.reftracer_window_survivors(window, until, least, depth).decode()
    site = None
    for line in text.splitlines():
        fields = line.split("\t")
        if fields[0] == "S" and len(fields) == 8:
            site = fields
        else:
            _, number, live, births, deaths, size, kind, _ = site
            file, row, function = fields
            key = kind.rpartition(".")[2], function
            counts = [None if n == "-" else int(n) for n in (live, births, deaths, size)]
            if key in found:
                counts = [None if b is None else a + b for a, b in zip(found[key], counts)]
            found[key] = (*counts, int(number), file, int(row))
    return found


def addresses(window, site, until=0, capacity=10000):
    room = (ctypes.c_uint64 * capacity)()
    count = agent.reftracer_window_objects(window, until, site, room, capacity)
    return room[:count]
