"""The five functions of reftracer/runtime.h, through ctypes: Library().process(pid) and
.core(path) are context managers that give a Runtime."""

import contextlib
import ctypes

from conftest import BUILD


class Facts(ctypes.Structure):
    """struct rft_runtime_facts"""

    _fields_ = [
        ("address", ctypes.c_uint64),
        ("version", ctypes.c_uint32),
        ("free_threaded", ctypes.c_bool),
        ("debug_build", ctypes.c_bool),
        ("version_text", ctypes.c_char * 32),
    ]


class ErrorStructure(ctypes.Structure):
    """struct rft_error"""

    _fields_ = [("code", ctypes.c_int), ("os_errno", ctypes.c_int), ("message", ctypes.c_char_p)]


class Error(Exception):
    """What a function of libreftracer returned: code and text."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Library:
    def __init__(self):
        self.functions = ctypes.CDLL(str(BUILD / "libreftracer.so"))
        self.functions.rft_runtime_facts.restype = ctypes.POINTER(Facts)
        self.functions.rft_runtime_facts.argtypes = [ctypes.c_void_p]
        for name in ("rft_error_destroy", "rft_space_destroy", "rft_runtime_destroy"):
            getattr(self.functions, name).argtypes = [ctypes.c_void_p]
            getattr(self.functions, name).restype = None

    def call(self, name, *arguments):
        """Calls a function that returns an error and has its result in a last argument."""
        function = getattr(self.functions, name)
        function.restype = ctypes.POINTER(ErrorStructure)
        error = function(*arguments)
        if error:
            code, text = error.contents.code, error.contents.message.decode()
            self.functions.rft_error_destroy(error)
            raise Error(code, text)

    @contextlib.contextmanager
    def runtime_in(self, create, *arguments):
        space, runtime = ctypes.c_void_p(), ctypes.c_void_p()
        self.call(create, *arguments, ctypes.byref(space))
        try:
            self.call("rft_runtime_create", space, ctypes.byref(runtime))
            try:
                yield Runtime(self, runtime)
            finally:
                self.functions.rft_runtime_destroy(runtime)
        finally:
            self.functions.rft_space_destroy(space)

    def process(self, pid):
        return self.runtime_in("rft_space_create_process", ctypes.c_int(pid))

    def core(self, path):
        return self.runtime_in("rft_space_create_core", str(path).encode(), None)


class Runtime:
    def __init__(self, library, pointer):
        self.library, self.pointer = library, pointer

    def _address(self, name, *of):
        result = ctypes.c_uint64()
        self.library.call(name, self.pointer, *[ctypes.c_uint64(a) for a in of], ctypes.byref(result))
        return result.value

    def facts(self):
        return self.library.functions.rft_runtime_facts(self.pointer).contents

    def head(self):
        return self._address("rft_interpreter_head")

    def main(self):
        return self._address("rft_interpreter_main")

    def walk(self):
        """[(interpreter, [thread, ...]), ...]"""
        found = []
        interpreter = self.head()
        while interpreter:
            threads = []
            thread = self._address("rft_interpreter_thread_head", interpreter)
            while thread:
                threads.append(thread)
                thread = self._address("rft_thread_next", thread)
            found.append((interpreter, threads))
            interpreter = self._address("rft_interpreter_next", interpreter)
        return found

    def unmoved(self):
        """Whether nothing has moved since the last snapshot."""
        function = self.library.functions.rft_snapshot_unmoved
        function.restype = ctypes.c_bool
        now = ctypes.c_uint64()
        return function(self.pointer, ctypes.byref(now)) and now.value > 0

    def snapshot(self, flags=0):
        """struct rft_snapshot as the document that the command prints, as far as the tests
        compare it."""
        pointer = ctypes.POINTER(Snapshot)()
        self.library.call("rft_snapshot_take", self.pointer, ctypes.c_uint(flags),
                          ctypes.byref(pointer))
        return pointer.contents.document()


def structure(name, *fields, document=None):
    """A ctypes structure with a method `document`. Fields: "type name"."""
    types = {
        "address": ctypes.c_uint64, "u64": ctypes.c_uint64, "i64": ctypes.c_int64,
        "size": ctypes.c_size_t, "int": ctypes.c_int, "unsigned": ctypes.c_uint,
        "bool": ctypes.c_bool, "text": ctypes.c_char_p, "pointer": ctypes.c_void_p,
    }
    pairs = [(field.split()[1], types[field.split()[0]]) for field in fields]
    made = type(name, (ctypes.Structure,), {"_fields_": pairs})

    def plain(self):
        values = {}
        for key, _ in pairs:
            value = getattr(self, key)
            values[key] = value.decode() if isinstance(value, bytes) else value
        return document(self, values) if document else values

    made.document = plain
    return made


def array(kind, address, count):
    if not count:
        return []
    return [item.document() for item in (kind * count).from_address(address)]


STATES = ("unknown", "running", "blocked", "disk", "stopped", "gone", "crashed")

Frame = structure(
    "Frame", "int kind", "text function", "text file", "int line", "int column", "int end_line",
    "int end_column", "address frame", "address code", "pointer locals", "size local_count")

Thread = structure(
    "Thread", "address address", "u64 id", "i64 native_id", "i64 namespace_native_id", "text name",
    "int state", "int gil", "bool gil_requested", "bool main", "bool waits_timed", "text exception", "text waits_in",
    "pointer frames", "size frame_count", "bool truncated", "text problem", "address waits_on",
    "pointer waits_for",
    document=lambda self, values: {
        **values, "state": STATES[self.state],
        "frames": array(Frame, self.frames, self.frame_count)})

Interpreter = structure(
    "Interpreter", "address address", "i64 id", "bool main", "bool idle", "bool finalizing",
    "bool gil_own", "bool gil_enabled", "bool gil_locked", "bool gil_requested", "address gil",
    "address gil_holder", "bool gc_running", "pointer threads", "size thread_count",
    "pointer tasks", "size task_count", "text problem",
    document=lambda self, values: {
        **values, "threads": array(Thread, self.threads, self.thread_count)})

Snapshot = structure(
    "Snapshot", "bool consistent", "unsigned attempts", "bool finalizing", "u64 taken_ns",
    "u64 duration_ns", "u64 stopped_ns", "pointer interpreters", "size interpreter_count",
    "text problem",
    document=lambda self, values: {
        **values, "schema": 0,
        "interpreters": array(Interpreter, self.interpreters, self.interpreter_count)})
