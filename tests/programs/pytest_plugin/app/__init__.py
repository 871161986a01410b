"""A small program with faults, for tests of the pytest plugin."""

import weakref


class Listener:
    def __init__(self, name):
        self.name = name


class Bus:
    def __init__(self):
        self._listeners = []

    def subscribe(self, name):
        listener = Listener(name)
        self._listeners.append(listener)
        return listener


bus = Bus()
cache = {}


def remember(key):
    """A cache by a key that is new each time: it only grows."""
    if key not in cache:
        cache[key] = bytearray(100)
    return cache[key]


class Plugin:
    registry = []

    def __init__(self):
        Plugin.registry.append(self)


class Proper:
    alive = weakref.WeakSet()

    def __init__(self):
        Proper.alive.add(self)


errors = []


def risky(number):
    context = [number]  # what the traceback's frame keeps
    try:
        raise ValueError(context)
    except ValueError as error:
        errors.append(error)


last = None


def latest(value):
    global last
    last = [value]


recent = []


def bounded(value):
    """A cache of ten, that throws the oldest away."""
    recent.append([value])
    del recent[:-10]
