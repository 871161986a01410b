"""Threads that say what their stack is, and then stay in exactly that place.

A thread says its stack and waits in one line, so that what it said stays true: each
record is a line of JSON, written at once to the end of the file `saying`. The threads
wait in read() on a pipe whose other end the test has; when the test closes it, all
go on and end.

It is used in sub-interpreters too, so it imports nothing that some of them refuse.
"""

import _thread
import json
import os
import sys
import threading

PIPE = None
SAYING = None
INTERPRETER = 0

# A waiting line is `say(...); os.read(PIPE, 1)`: where it waits begins here.
WAIT = "os.read(PIPE, 1)"


def begin(saying, pipe, interpreter):
    global SAYING, PIPE, INTERPRETER
    SAYING, PIPE, INTERPRETER = saying, pipe, interpreter


def write(record):
    file = os.open(SAYING, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, (json.dumps(record) + "\n").encode())
    finally:
        os.close(file)


def location(frame):
    """[line, column, end line, end column] of the instruction that the frame is at."""
    code = frame.f_code
    if hasattr(code, "co_positions"):
        for index, (line, end_line, column, end_column) in enumerate(code.co_positions()):
            if index == frame.f_lasti // 2:
                return [line, -1 if column is None else column, end_line or 0,
                        -1 if end_column is None else end_column]
    return [frame.f_lineno, -1, 0, -1]


def described(frame):
    code = frame.f_code
    line, column, end_line, end_column = location(frame)
    return {
        "function": getattr(code, "co_qualname", code.co_name),
        "file": code.co_filename,
        "line": line, "column": column, "end_line": end_line, "end_column": end_column,
    }


def say(waiting=WAIT):
    """What this thread's stack is while its line goes on with `waiting`."""
    frames = []
    frame = sys._getframe(1)
    while frame is not None:
        frames.append(described(frame))
        frame = frame.f_back
    if hasattr(say.__code__, "co_positions"):
        # The innermost frame will be at the other call of its line.
        import linecache

        text = linecache.getline(frames[0]["file"], frames[0]["line"])
        column = text.rindex(waiting)
        frames[0].update(column=column, end_column=column + len(waiting))
    current = threading.current_thread()
    write({
        "interpreter": INTERPRETER,
        "id": threading.get_ident(),
        "native_id": threading.get_native_id(),
        "name": current.name,
        "main": current is threading.main_thread(),
        "frames": frames,
    })


# --- shapes of stacks -------------------------------------------------------------


def hold():
    say(); os.read(PIPE, 1)


class Shape:
    """Qualified names: methods, properties, nested functions, lambdas."""

    def method(self):
        return self.prop

    @property
    def prop(self):
        return Shape.static()

    @staticmethod
    def static():
        def nested():
            return (lambda: [hold() for _ in range(1)])()

        return nested()


def plain():
    hold()


def names():
    Shape().method()


def generator_inner():
    yield 1
    hold()
    yield 2


def generator_outer():
    yield from generator_inner()


def generator():
    for _ in generator_outer():
        pass


def generator_expression():
    return list(value for value in generator_outer())


async def coroutine_inner():
    hold()


async def coroutine_outer():
    await coroutine_inner()


def coroutine():
    """A coroutine's frames, driven by hand."""
    try:
        coroutine_outer().send(None)
    except StopIteration:
        pass


def asyncio_run():
    import asyncio

    asyncio.run(coroutine_outer())


def descend(left):
    if left == 0:
        hold()
        return
    descend(left - 1)


def deep():
    descend(800)


def very_deep():
    sys.setrecursionlimit(30000)
    descend(20000 if sys.version_info >= (3, 11) else 5000)


class Key:
    """Python that is called from C, which is called from Python, several times over."""

    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return list(map(self.compare, [other]))[0]

    def compare(self, other):
        hold()
        return True


def through_c():
    sorted([Key(1), Key(2)])


class Dying:
    def __del__(self):
        hold()


def finalizer():
    dying = Dying()
    del dying


def handling():
    try:
        raise LookupError("held")
    except LookupError:
        hold()


def class_body():
    class Body:
        hold()


def größe_日本():
    hold()


def odd_names():
    """Names that are not ASCII, and a file name that needs care in a terminal."""
    namespace = {"called": größe_日本}
    source = "\n\ndef 名前():\n    called()\n\n名前()\n"
    exec(compile(source, "<größe 日本 \U0001f40d>", "exec"), namespace)


def large_code():
    """A line and an instruction beyond what small encodings hold."""
    namespace = {"hold": hold}
    lines = ["def big(x=0):"] + [f"    x = x + {n % 200}" for n in range(3000)] + ["    hold()", "big()"]
    exec(compile("\n" * 70000 + "\n".join(lines) + "\n", "<big>", "exec"), namespace)


SHAPES = {
    name: value
    for name, value in list(globals().items())
    if callable(value) and name in (
        "plain", "names", "generator", "generator_expression", "coroutine", "asyncio_run", "deep",
        "very_deep", "through_c", "finalizer", "handling", "class_body", "odd_names", "large_code",
    )
}


def run(shapes):
    """The last shape in this thread, each of the others in a thread of its own.
    Returns when the test has let go."""
    if "very_deep" in shapes:
        threading.stack_size(256 << 20)
    threads = [
        threading.Thread(target=SHAPES[shape], name=f"{shape}-{number}")
        for number, shape in enumerate(shapes[:-1])
    ]
    for thread in threads:
        thread.start()
    SHAPES[shapes[-1]]()
    for thread in threads:
        thread.join()


def start_native(shape):
    """A thread that `threading` knows nothing of."""
    _thread.start_new_thread(SHAPES[shape], ())
