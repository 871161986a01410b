"""Bytes of the living and of the dead are what sys.getsizeof says.

Instances of Python classes also own the room for their attributes' values, which lies
behind them and which sys.getsizeof leaves out: that is added (not for subclasses of list,
dict, set, str and bytearray, whose own buffers count). Its first byte is its
capacity, which CPython makes smaller with each new instance of a class (_PyDictValues in
pycore_dict.h, _PyInlineValuesSize in pycore_object.h)."""

import json

import pytest
from sites import bare, born_at

# kind: what is made of each n, the expression that makes it, what is done to it then.
# Only the expression's line counts, and on it only objects of the resulting type.
KINDS = {
    "list": ("(None,) * n", "list(a)", ""),
    "list literal": ("n", "[a, a, a]", ""),
    "list that grew": ("n", "[]", "append(m, a)"),
    "list that shrank": ("(None,) * n", "list(a)", "del m[1:]"),
    "list sorted": ("NAMES[:n]", "list(a)", "m.sort(reverse=True)"),
    "dict of ints": ("range(n)", "dict.fromkeys(a)", ""),
    "dict of strings": ("NAMES[:n]", "dict.fromkeys(a)", ""),
    "dict of tuples": ("[(k,) for k in range(n)]", "dict.fromkeys(a)", ""),
    "dict empty": ("n", "{}", ""),
    "dict that was emptied": ("range(n)", "dict.fromkeys(a)", "m.clear()"),
    "dict that grew": ("n", "{}", "insert(m, a)"),
    "dict with holes": ("range(n)", "dict.fromkeys(a)", "m.pop(0), m.update({-1: 1})"),
    "set": ("range(n)", "set(a)", ""),
    "set empty": ("n", "set()", ""),
    "set that was emptied": ("range(n)", "set(a)", "m.clear()"),
    "frozenset": ("range(n)", "frozenset(a)", ""),
    "tuple": ("[None] * n", "tuple(a)", ""),
    "bytes": ("n", "bytes(a)", ""),
    "bytearray": ("n", "bytearray(a)", ""),
    "bytearray empty": ("n", "bytearray()", ""),
    "bytearray that grew": ("n", "bytearray()", "append(m, 1)"),
    "bytearray cut in front": ("n", "bytearray(a)", "del m[:1]"),
    "int": ("3 * n + 12", "1 << a", ""),
    "int negative": ("-(1 << (3 * n + 12))", "a - 1", ""),
    "float": ("n", "a * 0.25", ""),
    "complex": ("n", "complex(a, a)", ""),
    "str ASCII": ("n", "'a' * a", ""),
    "str Latin-1": ("n", "'\\xe4' * a", ""),
    "str UCS-2": ("n", "'\\u0416' * a", ""),
    "str UCS-4": ("n", "'\\U0001d538' * a", ""),
    "str with its UTF-8 form": ("n", "'\\u0416' * a", "compile(m, 'name', 'eval')"),
    "str interned": ("n", "'b' * a", "sys.intern(m)"),
    "instance": ("n", "Plain(a)", ""),
    "instance without attributes": ("n", "Empty()", ""),
    "instance with slots": ("n", "Slotted(a)", ""),
    "instance with many attributes": ("n", "Many()", "attributes(m, min(a, 40))"),
    "instance whose __dict__ was taken": ("n", "Seen(a)", "m.__dict__"),
    "list subclass": ("(None,) * n", "MyList(a)", "m.x = 1"),
    "dict subclass": ("range(n)", "MyDict.fromkeys(a)", ""),
    "set subclass": ("range(n)", "MySet(a)", ""),
    "str subclass": ("'a' * n", "MyStr(a)", ""),
    "bytes subclass": ("b'a' * n", "MyBytes(a)", ""),
    "bytearray subclass": ("b'a' * n", "MyBytearray(a)", ""),
    "tuple subclass": ("[None] * n", "MyTuple(a)", ""),
    "int subclass": ("1 << (3 * n + 12)", "MyInt(a)", ""),
    "float subclass": ("n", "MyFloat(a)", ""),
    "exception": ("n", "ValueError()", ""),
    "slice": ("n", "slice(a, a + 0)", ""),
    "function": ("n", "lambda: a", ""),
    "class": ("NAMES[n]", "type(a, (), {})", ""),
}

PROLOGUE = """
import ctypes, json, sys

LENGTHS = [2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 200, 256, 300,
           1000, 4000]
NAMES = [f"name{n}" for n in range(5000)]
sizes = {}

def size(made):
    cls = type(made)
    # Subclasses of types that own a buffer are as big as sys.getsizeof says.
    builtin = isinstance(made, (list, dict, set, str, bytearray))
    if builtin or not cls.__flags__ & 1 << 2:  # Py_TPFLAGS_INLINE_VALUES
        return sys.getsizeof(made)
    capacity = ctypes.string_at(id(made) + cls.__basicsize__, 1)[0]
    return sys.getsizeof(made) + (capacity + 7) // 8 * 8 + (capacity + 1) * 8

def append(made, n):
    for _ in range(50):
        made.append(1)

def insert(made, n):
    for k in range(min(n, 300)):
        made[k] = None

def attributes(made, n):
    for k in range(n):
        setattr(made, NAMES[k], None)

class Plain:
    def __init__(self, n):
        self.a = None
        self.b = None

class Slotted:
    __slots__ = ("a", "b", "c")
    def __init__(self, n):
        self.a = None

class Seen(Plain): pass
class Empty: pass
class Many: pass
class MyList(list): pass
class MyDict(dict): pass
class MySet(set): pass
class MyStr(str): pass
class MyBytes(bytes): pass
class MyBytearray(bytearray): pass
class MyTuple(tuple): pass
class MyInt(int): pass
class MyFloat(float): pass
"""

FUNCTION = """
def make{number}(made):
    for i, a in enumerate(given{number}):
        made[i] = {expression}
        m = made[i]
        {after}
    return made

given{number} = [{given} for n in LENGTHS]
kept{number} = make{number}([None] * len(LENGTHS))
dropped = make{number}([None] * len(LENGTHS))
sizes[{kind!r}] = (
    type(dropped[0]).__name__,
    sum(map(size, kept{number})),
    sum(map(size, dropped)),
)
dropped = None
"""

@pytest.fixture(scope="module")
def measured(python, trace, tmp_path_factory):
    """The report of a program that makes objects of each kind in many lengths, some to
    keep and some to drop; and what sys.getsizeof said of them in that program."""
    source = PROLOGUE
    lines = {}
    for number, (kind, (given, expression, after)) in enumerate(KINDS.items()):
        lines[kind] = source.count("\n") + 4
        source += FUNCTION.format(
            number=number, kind=kind, given=given, expression=expression, after=after or "pass"
        )
    source += "import gc; gc.collect()\nprint(json.dumps(sizes))\n"
    program = tmp_path_factory.mktemp("sizes") / "sizes.py"
    program.write_text(source)
    traced = trace(python, program)
    assert traced.status == 0, traced.stderr
    return traced.report, program, lines, json.loads(traced.stdout)


@pytest.mark.free_threaded
@pytest.mark.parametrize("kind", KINDS)
def test_bytes_are_what_getsizeof_says(measured, kind):
    report, program, lines, sizes = measured
    name, kept, dropped = sizes[kind]
    found = [
        site
        for site in born_at(report, file=program, line=lines[kind])
        if bare(site["type"]).split(".")[-1] == name
    ]
    assert found, [s["type"] for s in born_at(report, file=program, line=lines[kind])]
    assert sum(site["live_bytes"] for site in found) == kept
    assert sum(site["dead_bytes"] for site in found) == dropped


FRAMES = """
import sys
def frames(n):
    frame = sys._getframe()
    return frame.f_back is not None and (n == 0 or frames(n - 1))
for _ in range(100):
    frames(5)
print(type(sys._getframe()).__basicsize__)
"""


@pytest.mark.free_threaded
def test_a_frame_is_no_bigger_than_its_structure(python, trace, tmp_path):
    """It has an item size, and where others have their number of items a pointer: f_back."""
    program = tmp_path / "frames.py"
    program.write_text(FRAMES)
    traced = trace(python, program)
    basic = int(traced.stdout)
    frames = [site for site in traced.report["sites"] if site["type"] == "frame"]
    deaths = sum(site["deaths"] for site in frames)
    assert deaths >= 600
    assert basic <= sum(site["dead_bytes"] for site in frames) / deaths <= basic + 16
