"""Objects that a finalizer written in C brings back: it shows them to code that keeps them.
Those of Python's __del__ are in test_behaviour.py."""

import textwrap

import pytest
from sites import assert_exact, counts, is_at, line_of

# Each kind dies 20 times while `saved` grows: `kept` then keeps 10 of these to the end.
SOURCE = textwrap.dedent(
    """
    import _socket
    import asyncio
    import os
    import sys
    import warnings

    class Unawaited:
        def __init__(self):
            self.coroutine = wait()  # coroutine

    async def wait():
        pass

    async def count():
        yield 1

    def begun():
        generator = count()  # async_generator
        try:
            generator.asend(None).send(None)
        except StopIteration:
            pass

    def self_aware():
        try:
            yield
        finally:
            found = getattr(sys._getframe(), "f_generator", None)
            if found is not None:
                saved.append(found)

    def left():
        generator = self_aware()  # generator
        next(generator)

    def unclosed_file():
        open("/dev/null", "rb", buffering=0)  # _io.FileIO

    def unclosed_text():
        open("/dev/null")  # _io.TextIOWrapper

    def unclosed_socket():
        _socket.socket()  # _socket.socket

    def unclosed_folder():  # of a type that the cycle collector does not know
        next(os.scandir("/"))  # posix.ScandirIterator

    def unretrieved():
        future = asyncio.Future(loop=loop)  # _asyncio.Future
        future.set_exception(ValueError())

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: saved.append(context["future"]))
    sys.set_asyncgen_hooks(finalizer=lambda generator: saved.append(generator))
    kept = []
    for die in (Unawaited, begun, left, unclosed_file, unclosed_text, unclosed_socket,
                unclosed_folder, unretrieved):
        saved = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(20):
                die()
        saved.extend(warning.source for warning in caught)
        if die is not left or sys.version_info >= (3, 14):
            assert len(saved) == 20, (die, saved)
        kept.extend(saved[::2])
    del saved, caught
    loop.close()
    """
)
TYPES = (
    "coroutine", "async_generator", "generator", "_io.FileIO", "_io.TextIOWrapper", "_socket.socket",
    "posix.ScandirIterator", "_asyncio.Future",
)  # fmt: skip


@pytest.mark.free_threaded
def test_what_a_finalizer_in_c_shows_to_code_that_keeps_it_is_alive(
    python, trace, read_report, tmp_path
):
    program = tmp_path / "revived.py"
    program.write_text(SOURCE)
    traced = trace(python, "-X", "utf8", program)
    assert traced.status == 0, traced.stderr.decode()
    report = read_report(traced.path, options=["--filter", "revived.py"]).report
    assert_exact(report)
    found = {}
    for name in TYPES:
        line = line_of(SOURCE, name)
        sites = [
            site
            for site in report["sites"]
            if site["type"] == name and any(is_at(f, program, line) for f in site["stack"])
        ]
        found[name] = counts(sites)
    expected = {name: (20, 10, 10) for name in TYPES}
    if python.version < (3, 14):
        expected["generator"] = (20, 20, 0)  # its frame does not tell it from inside
    assert found == expected
