"""Threads with local variables of all kinds; says what must be seen of them.

What a variable must look like is made here, from the values themselves and Python's own
repr() and len(), not from knowledge of how they lie in memory.
"""

import collections
import json
import sys
import threading

import settled

SHOWN = 60
ready = threading.Semaphore(0)
for_ever = threading.Lock()
for_ever.acquire()
said = {}


def text(value):
    """What is to be shown of a value."""
    if value is None or isinstance(value, bool):
        return repr(value)
    if isinstance(value, int):
        if value.bit_length() <= 240:
            return int.__repr__(value)
        hexadecimal = "%x" % abs(value)
        return ("-" if value < 0 else "") + "0x%s… %d bits" % (hexadecimal[:16], value.bit_length())
    if isinstance(value, float):
        return float.__repr__(value)
    if isinstance(value, str):
        quoted = "".join(character(c) for c in value[:SHOWN])
        return "'%s'" % quoted + ("… len %d" % len(value) if len(value) > SHOWN else "")
    if isinstance(value, bytes):
        quoted = "".join(character(chr(c), True) for c in value[:SHOWN])
        return "b'%s'" % quoted + ("… len %d" % len(value) if len(value) > SHOWN else "")
    if isinstance(value, (list, tuple, dict, set, frozenset)):
        return "len %d" % len(value)
    return None


def character(c, byte=False):
    if c in "\\'":
        return "\\" + c
    if c in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[c]
    code = ord(c)
    if code < 0x20 or 0x7F <= code < (0x100 if byte else 0xA0):
        return "\\x%02x" % code
    if code in (0x2028, 0x2029, 0x202E) or 0xD800 <= code < 0xE000:
        return "\\u%04x" % code
    return c


def describe(names, values, arguments=()):
    return {name: {"type": type(values[name]).__name__, "value": text(values[name]),
                   "argument": name in arguments} for name in names}


class Thing:
    pass


class Text(str):
    pass


class Number(int):
    pass


class Mapping(dict):
    pass


class Ratio(float):
    pass


Pair = collections.namedtuple("Pair", "a b")

VALUES = {
    "s_empty": "", "s_ascii": "say \"hi\", it's\\", "s_control": "a\n\t\r\x00\x1b\x7f",
    "s_latin": "é\xff\x80", "s_two": "€\u202e\u2028Ω", "s_four": "😀\U0010ffff", "s_lone": "\udc80\ud800",
    "s_sixty": "x" * 60, "s_long": "y" * 61, "s_wide": "Ω" * 5000, "s_class": Text("of a class"),
    "b_empty": b"", "b_all": bytes(range(0, 60)), "b_high": bytes(range(120, 180)), "b_long": b"z" * 100,
    "i_zero": 0, "i_small": -5, "i_one_digit": 2**30 - 1, "i_two_digits": 2**30, "i_negative": -(2**60),
    "i_word": 2**64, "i_many": 10**71, "i_minus": -(10**71), "i_zeros": 10**9, "i_more": 10**18 + 1,
    "i_bits": 2**400, "i_huge": -(12345**2000), "i_class": Number(77),
    "f_tenth": 0.1, "f_e16": 1e16, "f_e15": 1e15, "f_small": 1e-5, "f_smaller": 0.0001, "f_minus": -0.0,
    "f_inf": float("inf"), "f_minus_inf": float("-inf"), "f_nan": float("nan"), "f_plain": 123456789.125,
    "f_e22": 1e22, "f_least": 5e-324, "f_most": 1.7976931348623157e308, "f_hundred": 100.0,
    "f_thirds": 2 / 3, "f_class": Ratio(0.5),
    "t": True, "f": False, "none": None,
    "l": [1, 2, 3], "l_empty": [], "tu": (1, 2), "d": {1: 2}, "d_class": Mapping(a=1, b=2),
    "se": {1, 2, 3, 4}, "fs": frozenset([1]), "pair": Pair(1, 2),
    "o": Thing(), "cls": Thing, "function": describe, "queue": collections.deque([1]),
}


def make_holder():
    """A function whose variables are VALUES, each one an ordinary local."""
    body = ["def holder(values):"]
    body += ["    %s = values[%r]" % (name, name) for name in VALUES]
    body += ["    del values", "    wait()"]
    namespace = {"wait": wait}
    exec(compile("\n".join(body), __file__, "exec"), namespace)
    return namespace["holder"]


def wait():
    ready.release()
    for_ever.acquire()


def arguments(first, second=2, *rest, only=4.5, **others):
    later = "later"
    unbound = 1
    del unbound
    wait()
    return first, second, rest, only, others, later


def closures(argument, plain):
    shared = "shared"
    gone = "gone"

    def inner(own):
        mine = [argument]
        wait()
        return own, mine, shared, gone

    del gone
    inner(1.5)


def generator(limit):
    step = 7
    wait()
    yield limit + step


def through_generator(n):
    return list(generator(n))


def of_a_class():
    class Body:
        attribute = "in a body"
        number = 5
        wait()
    return Body


def main():
    threads = {
        "holder": (make_holder(), (VALUES,), {}),
        "arguments": (arguments, ("one",), {"only": 9.5, "more": 1}),
        "rest": (arguments, (1, None, "x", "y"), {}),
        "closures": (closures, ("of a closure", True), {}),
        "generator": (through_generator, (10**20,), {}),
        "body": (of_a_class, (), {}),
    }
    for name, (function, positional, named) in threads.items():
        threading.Thread(target=function, args=positional, kwargs=named, name=name, daemon=True).start()
        ready.acquire()
    said["holder"] = {"holder": describe(VALUES, VALUES)}
    everything = dict(first="one", second=2, rest=(), only=9.5, others={"more": 1}, later="later")
    names = ("first", "second", "rest", "only", "others")
    said["arguments"] = {"arguments": describe(everything, everything, names)}
    everything = dict(first=1, second=None, rest=("x", "y"), only=4.5, others={}, later="later")
    said["rest"] = {"arguments": describe(everything, everything, names)}
    everything = dict(argument="of a closure", plain=True, shared="shared", inner=describe)
    said["closures"] = {
        "closures": describe(everything, everything, ("argument", "plain")),
        "inner": describe(["own", "mine", "argument", "shared"],
                          dict(own=1.5, mine=[1], argument="of a closure", shared="shared"), ("own",)),
    }
    said["generator"] = {"generator": describe(["limit", "step"], dict(limit=10**20, step=7), ("limit",))}
    said["body"] = {"Body": describe(["attribute", "number"], dict(attribute="in a body", number=5))}
    settled.wait_until_inside(futex=len(threads))
    print(json.dumps(said), flush=True)
    sys.stdin.read()


main()
