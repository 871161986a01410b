"""The agent in this process, through ctypes.

There is one in a process, whoever brought it: ``reftracer run`` by preloading it, or this
package. All calls keep the GIL.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from reftracer._command import ReftracerError, agent

_loaded: Any = None

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "reftracer_start": (ctypes.c_char_p, [ctypes.c_char_p, ctypes.c_int]),
    "reftracer_mark": (ctypes.c_char_p, [ctypes.c_char_p]),
    "reftracer_stop": (ctypes.c_char_p, []),
    "reftracer_flush": (ctypes.c_char_p, []),
    "reftracer_path": (ctypes.c_char_p, []),
    "reftracer_is_tracing": (ctypes.c_int, []),
    "reftracer_mute": (ctypes.c_int, [ctypes.c_int]),
    "reftracer_window_begin": (ctypes.c_longlong, [ctypes.c_int]),
    "reftracer_window_end": (None, [ctypes.c_longlong]),
    "reftracer_window_survivors": (
        ctypes.c_char_p,
        [ctypes.c_longlong, ctypes.c_longlong, ctypes.c_uint, ctypes.c_uint],
    ),
}


def _declare(library: Any, path: str) -> Any:
    for name, (result, arguments) in _FUNCTIONS.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise ReftracerError(
                f"the agent {path} is of another version than this package (it has no {name}); "
                "trace with the command that was installed with the package: "
                "python -m reftracer run"
            ) from None
        function.restype = result
        function.argtypes = arguments
    return library


def library() -> Any:
    """The agent, found or loaded once.

    Raises ReftracerError if it can't be loaded.
    """
    global _loaded
    if _loaded is None:
        preloaded = ctypes.PyDLL(None)  # `reftracer run` has put it before all others
        if hasattr(preloaded, "reftracer_is_tracing"):
            _loaded = _declare(preloaded, "that traces this process")
        else:
            path = agent()
            try:
                _loaded = _declare(ctypes.PyDLL(path), path)
            except OSError as error:
                raise ReftracerError(f"loading the agent {path}: {error}") from error
    return _loaded


def check(doing: str, error: bytes | None) -> None:
    """Raises what a function of the agent has returned as its error."""
    if error is not None:
        raise ReftracerError(f"{doing}: {error.decode()}")


def is_tracing() -> bool:
    """Whether a trace of this process runs, whoever began it."""
    return bool(library().reftracer_is_tracing())


@contextmanager
def muted() -> Iterator[None]:
    """What this thread makes within is the tool's own work, and not in the trace."""
    agent_library = library()
    before = agent_library.reftracer_mute(1)
    try:
        yield
    finally:
        agent_library.reftracer_mute(before)


def unescaped(field: str) -> str:
    r"""A field of the agent's answers: \t, \n, \r and \\ stand for what they say."""
    if "\\" not in field:
        return field
    parts = field.split("\\\\")
    return "\\".join(
        part.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r") for part in parts
    )


def lines(answer: bytes | None, doing: str) -> Iterator[list[str]]:
    """The lines of an answer, each a list of its fields."""
    if answer is None:
        raise ReftracerError(f"{doing}: nothing is being traced, or no memory")
    for line in answer.decode("utf-8", "backslashreplace").split("\n"):
        if line:
            yield [unescaped(field) for field in line.split("\t")]
