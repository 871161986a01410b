"""Columns as an Arrow C stream, in a capsule: what pyarrow, polars and others take.

src/arrow/stream.c has the other half, which must not be Python: consumers call it while an
exception is on its way, and after Python's end.
"""

from __future__ import annotations

import array
import ctypes
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from reftracer._command import ReftracerError, native_library

_FORMATS = {"text": b"U", "int": b"l", "float": b"g", "bool": b"b"}


class _Column(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("format", ctypes.c_char_p),
        ("nulls", ctypes.c_int64),
        ("buffer_count", ctypes.c_int64),
        ("buffers", ctypes.c_char_p * 3),
        ("sizes", ctypes.c_uint64 * 3),
    ]


_loaded: Any = None


def _library() -> Any:
    global _loaded
    if _loaded is None:
        path = native_library("libreftracer-arrow.so")
        try:
            library = ctypes.PyDLL(path)
        except OSError as error:
            raise ReftracerError(f"loading {path}: {error}") from error
        library.reftracer_arrow_capsule.restype = ctypes.py_object
        library.reftracer_arrow_capsule.argtypes = [
            ctypes.POINTER(_Column),
            ctypes.c_size_t,
            ctypes.c_int64,
        ]
        _loaded = library
    return _loaded


def _bits(values: Sequence[Any]) -> bytes:
    """A bitmap, least significant bit first."""
    bits = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        if value:
            bits[i // 8] |= 1 << i % 8
    return bytes(bits)


def _buffers(kind: str, values: Sequence[Any]) -> list[bytes]:
    """The buffers of a column, without that of validity."""
    if kind == "text":
        texts = [
            b"" if value is None else str(value).encode("utf-8", "replace") for value in values
        ]
        offsets = array.array("q", itertools.accumulate(map(len, texts), initial=0))
        return [offsets.tobytes(), b"".join(texts)]
    if kind == "bool":
        return [_bits(values)]
    code = "q" if kind == "int" else "d"
    return [array.array(code, [0 if value is None else value for value in values]).tobytes()]


def stream_capsule(
    columns: Sequence[tuple[str, str]], values: Mapping[str, Sequence[Any]]
) -> object:
    """A capsule with an ArrowArrayStream of one batch.

    columns: name and kind of each, "text", "int", "float" or "bool". values: the columns'
    values, all of one length; None is null.

    Raises MemoryError, and ReftracerError if the native library can't be loaded.
    """
    library = _library()
    native = (_Column * len(columns))()
    rows = 0
    for i, (name, kind) in enumerate(columns):
        column = values[name]
        rows = len(column)
        nulls = sum(value is None for value in column)
        validity = _bits([value is not None for value in column]) if nulls else None
        native[i].name = name.encode()
        native[i].format = _FORMATS[kind]
        native[i].nulls = nulls
        for k, buffer in enumerate([validity, *_buffers(kind, column)]):
            native[i].buffer_count = k + 1
            native[i].buffers[k] = buffer
            native[i].sizes[k] = len(buffer or b"")
    capsule: object = library.reftracer_arrow_capsule(native, len(columns), rows)
    return capsule
