"""Writes .rft traces, from docs/TRACE-FORMAT.md alone: the reader's tests are
not to share the agent's mistakes.

    trace = Trace(start_ns=1_700_000_000 * 10**9)
    site = trace.site([("app.py", "main", 3), ("app.py", "Node.__init__", 9)], "__main__.Node")
    trace.tick(100, {site: births(50) | deaths(10, bucket=3, size=480)})
    trace.census(100, {site: [(0, 100, 40, 1920)]})
    trace.end(100)
    trace.write("app.rft")
"""

import struct

MAGIC = b"\x89RFT\r\n\x1a\n"
MARK = b"\x89rft"
PROGRAM, STRINGS, CODES, TYPES, STACKS, THREADS, INTERPRETERS, SITES = range(1, 9)
TICK, CENSUS, LOSS, MARK_LABEL, END = range(9, 14)
HEAP, HOLDERS, REFCOUNTS, GARBAGE, RETAINERS, NAMES = range(14, 20)
BIRTHS, AT_ONCE, AGED, BYTES, REVIVED = 1, 2, 4, 8, 16
EXIT_CENSUS = 1
SLOT_GAP, DROPPED, STALE, STOPPED, TRUNCATED_STACK, LATE_CENSUS = range(1, 7)
END_EXIT, END_OS_EXIT, END_EXEC, END_STOPPED = range(1, 5)
HEAP_EXIT, HEAP_REQUEST = 1, 2
(REFERENCE, ATTRIBUTE, DICT_KEY, DICT_VALUE, ITEM, MEMBER, CELL, LOCAL, STACK, CLOSURE, GLOBALS,
 FUNCTION, SELF, CALLBACK, TYPE, TYPE_SLOT, MODULE_STATE, FRAME, EXCEPTION, DEFAULT, CODE,
 DESCRIPTOR, LEFT_OUT) = range(23)
(ROOT_MODULE, ROOT_LOCAL, ROOT_STACK, ROOT_BUILTINS, ROOT_SYS, ROOT_INTERPRETER, ROOT_THREAD,
 ROOT_STATIC_TYPE, ROOT_ATEXIT, ROOT_C, ROOT_INTERNED, ROOT_GARBAGE) = range(64, 76)


def _crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def v(*numbers):
    """Unsigned LEB128 varints."""
    out = bytearray()
    for number in numbers:
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)
    return bytes(out)


def text(value):
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogatepass")
    return v(len(value)) + value


def z(number):
    """A zigzag varint."""
    return v(number << 1 if number >= 0 else (-number << 1) - 1)


def root(kind, label=None, detail=None):
    """The first step of a path."""
    return (kind, None, label, None, detail)


def edge(kind, holder, label=None, index=None):
    """A later step: an object of type `holder` refers to the next one."""
    return (kind, holder, label, index, None)


def births(count):
    return {"births": count}


def deaths(count, bucket=0, size=0):
    """Deaths in one age bucket; 0 is "at once"."""
    return {"at_once": count, "bytes": size} if bucket == 0 else {
        "aged": [(bucket, count)], "bytes": size}


def location_table(line_of_unit, first_line):
    """A co_linetable in which each code unit has its line (no columns)."""
    out, last = bytearray(), first_line
    for line in line_of_unit:
        delta = line - last
        number = delta << 1 if delta >= 0 else -delta << 1 | 1
        out.append(0x80 | 13 << 3)
        while number >= 0x40:
            out.append(number & 0x3F | 0x40)
            number >>= 6
        out.append(number)
        last = line
    return bytes(out)


class Trace:
    def __init__(self, *, version=0x030E0AF0, start_ns=1_700_000_000 * 10**9, tick_ms=100, pid=4711,
                 arguments=("python3", "app.py"), flags=0, format_version=1, min_reader=1,
                 features=0):
        self.chunks = []
        self.sequence = 0
        self.header = self._header(format_version, min_reader, features, pid)
        self.ids = {kind: {} for kind in (STRINGS, CODES, TYPES, STACKS, THREADS, INTERPRETERS,
                                          SITES)}
        self.pending = {}
        self.births = self.deaths = 0
        self.chunk(PROGRAM, v(version, flags, pid, 1, start_ns, tick_ms)
                   + text("3.14.10 (main)") + text("0.1.0") + text("/usr/bin/python3")
                   + text("/srv") + v(len(arguments)) + b"".join(map(text, arguments)))

    @staticmethod
    def _header(version, min_reader, features, pid):
        head = MAGIC + struct.pack("<HHIQI", version, min_reader, 32, features, pid)
        return head + struct.pack("<I", crc32c(head))

    def chunk(self, kind, payload):
        head = MARK + struct.pack("<B3xII", kind, len(payload), self.sequence)
        self.sequence += 1
        self.chunks.append(head + struct.pack("<I", crc32c(head + payload)) + payload)

    def _id(self, kind, key, record):
        known = self.ids[kind]
        if key not in known:
            known[key] = len(known) + 1
            self.pending.setdefault(kind, (len(known), []))[1].append(record)
        return known[key]

    def string(self, value):
        return self._id(STRINGS, value, text(value))

    def type(self, name, kind=0, basic=48, item=0):
        return self._id(TYPES, name, v(self.string(name), kind, basic, item))

    def stack(self, frames, inside=0):
        """Frames are (file, function, line), outermost first; `inside` is the stack that they
        are called from, 0 for none."""
        node = inside
        for file, function, line in frames:
            code = self._id(CODES, (file, function, line),
                            v(self.string(file), self.string(function), line) + text(b""))
            node = self._id(STACKS, (node, code), v(node, code, 0))
        return node

    def thread(self, name="MainThread", native=4711, start=0, end=None):
        return self._id(THREADS, (name, native), (native, name, start, end))

    def interpreter(self, number=0):
        return self._id(INTERPRETERS, number, (number, 0, None))

    def site(self, frames, type_name, *, inside=0, thread="MainThread", interpreter=0,
             **type_details):
        key = (self.stack(frames, inside), self.type(type_name, **type_details), self.thread(thread),
               self.interpreter(interpreter))
        return self._id(SITES, key, v(*key))

    def define(self):
        """Write what was named since the last chunk."""
        pending = self.pending
        if THREADS in pending:
            first, threads = pending[THREADS]
            names = [self.string(name) for _, name, _, _ in threads]
        for kind in (STRINGS, CODES, TYPES, STACKS):
            if kind in pending:
                first, records = pending[kind]
                self.chunk(kind, v(first, len(records)) + b"".join(records))
        if THREADS in pending:
            first, threads = pending[THREADS]
            self.chunk(THREADS, v(len(threads)) + b"".join(
                v(first + i, native, name, start, 0 if end is None else end + 1)
                for i, ((native, _, start, end), name) in enumerate(zip(threads, names))))
        if INTERPRETERS in pending:
            first, records = pending[INTERPRETERS]
            self.chunk(INTERPRETERS, v(len(records)) + b"".join(
                v(first + i, number, start, 0 if end is None else end + 1)
                for i, (number, start, end) in enumerate(records)))
        if SITES in pending:
            first, records = pending[SITES]
            self.chunk(SITES, v(first, len(records)) + b"".join(records))
        self.pending = {}

    def tick(self, time, sites, *, unseen=0, inferred=0, dropped=0):
        self.define()
        out, last = bytearray(v(time, unseen, inferred, dropped, len(sites))), 0
        for site in sorted(sites):
            happened = sites[site]
            flags, body = 0, b""
            if happened.get("births"):
                flags |= BIRTHS
                body += v(happened["births"])
                self.births += happened["births"]
            if happened.get("at_once"):
                flags |= AT_ONCE
                body += v(happened["at_once"])
                self.deaths += happened["at_once"]
            if happened.get("aged"):
                flags |= AGED
                body += v(len(happened["aged"]))
                for bucket, count in happened["aged"]:
                    body += v(bucket, count)
                    self.deaths += count
            if happened.get("bytes"):
                flags |= BYTES
                body += v(happened["bytes"])
            if happened.get("revived"):
                pairs, size = happened["revived"]
                flags |= REVIVED
                body += v(len(pairs))
                for bucket, count in pairs:
                    body += v(bucket, count)
                    self.deaths -= count
                body += v(size)
            out += v(site - last) + bytes([flags]) + body
            last = site
        self.chunk(TICK, bytes(out))

    def names(self, time, sites):
        """A look at the cache of look-ups: for each site the strings that only it holds."""
        self.define()
        out, last = bytearray(v(time, len(sites))), 0
        for site in sorted(sites):
            out += v(site - last, sites[site])
            last = site
        self.chunk(NAMES, bytes(out))

    def census(self, time, sites, *, kind=EXIT_CENSUS, interpreter=0):
        """For each site a list of (birth time, interval, survivors, bytes)."""
        self.define()
        out, last = bytearray([kind]) + v(time, interpreter, len(sites)), 0
        for site in sorted(sites):
            out += v(site - last, len(sites[site]))
            last, last_birth = site, 0
            for birth, length, survivors, size in sorted(sites[site]):
                out += v(birth - last_birth, length, survivors, size)
                last_birth = birth
        self.chunk(CENSUS, bytes(out))

    def _path(self, steps):
        out = bytearray(v(len(steps)))
        for kind, holder, label, index, detail in steps:
            out += bytes([kind]) + v(self.type(holder) if holder else 0,
                                     self.string(label) if label is not None else 0)
            out += v(0 if index is None else index + 1)
            if kind >= ROOT_MODULE:
                out += v(self.string(detail) if detail is not None else 0)
        return bytes(out)

    def _sites(self, kind, time, interpreter, sites, record, after=b""):
        out, last = bytearray(), 0
        for site in sorted(sites):
            out += v(site - last) + record(sites[site])
            last = site
        number = self.interpreter(interpreter)
        self.define()
        self.chunk(kind, v(time, number, len(sites)) + bytes(out) + after)

    def heap(self, time, *, kind=HEAP_EXIT, interpreter=0, objects=1000, references=3000,
             size=1 << 20, pause=5, flags=0, garbage=(0, 0), collector=(0, 0), label=""):
        """What was looked through at `time`; then holders(), refcounts(), ..."""
        number = self.interpreter(interpreter)
        self.define()
        self.chunk(HEAP, v(time, kind, number, objects, references, size, pause, flags, *garbage,
                           *collector) + text(label))

    def holders(self, time, sites, *, interpreter=0):
        """For each site (objects, retained bytes, sampled, unreachable, patterns), the
        patterns being (objects, [root(...), edge(...), ...])."""
        def record(site):
            *numbers, patterns = site
            return v(*numbers, len(patterns)) + b"".join(
                v(objects) + self._path(path) for objects, path in patterns)
        self._sites(HOLDERS, time, interpreter, sites, record)

    def refcounts(self, time, sites, *, interpreter=0):
        """For each site {surplus: objects}."""
        def record(pairs):
            return v(sum(pairs.values()), len(pairs)) + b"".join(
                z(surplus) + v(pairs[surplus]) for surplus in sorted(pairs))
        self._sites(REFCOUNTS, time, interpreter, sites, record)

    def garbage(self, time, sites, cycles=(), *, interpreter=0):
        """For each site (objects, bytes); cycles are (site, how many, objects, steps)."""
        after = v(len(cycles)) + b"".join(
            v(site, count, objects) + self._path(steps) for site, count, objects, steps in cycles)
        self._sites(GARBAGE, time, interpreter, sites, lambda site: v(*site), after)

    def retainers(self, time, objects, *, interpreter=0):
        """Objects are (site, type, own bytes, retained bytes, retained objects, path)."""
        number = self.interpreter(interpreter)
        out = v(time, number, len(objects)) + b"".join(
            v(site, self.type(name), own, retained, count) + self._path(path)
            for site, name, own, retained, count, path in objects)
        self.define()
        self.chunk(RETAINERS, out)

    def loss(self, kind, time=0, duration=0, count=0, why=""):
        self.chunk(LOSS, v(kind, time, duration, count) + text(why))

    def mark(self, time, label):
        self.chunk(MARK_LABEL, v(time) + text(label))

    def end(self, time, reason=END_EXIT):
        self.define()
        self.chunk(END, v(reason, time, self.births, self.deaths, self.births - self.deaths))

    def bytes(self):
        return self.header + b"".join(self.chunks)

    def write(self, path):
        with open(path, "wb") as file:
            file.write(self.bytes())
