"""Chunks 14 to 18 of a trace as plain dicts: what the agent wrote, without what a report makes
of it (docs/TRACE-FORMAT.md)."""

import struct

KINDS = {
    0: "reference", 1: "attribute", 2: "key", 3: "value", 4: "item", 5: "member", 6: "cell",
    7: "local", 8: "stack", 9: "closure", 10: "globals", 11: "function", 12: "self",
    13: "callback", 14: "type", 15: "type slot", 16: "module state", 17: "frame", 18: "exception",
    19: "default", 20: "code", 21: "descriptor", 22: "left out", 64: "module", 65: "local root",
    66: "stack root", 67: "builtins", 68: "sys", 69: "interpreter", 70: "thread",
    71: "static type", 72: "atexit", 73: "C", 74: "interned", 75: "garbage",
}
FIRST_ROOT = 64
STRINGS, CODES, TYPES, STACKS, SITES = 2, 3, 4, 5, 8
HEAP, HOLDERS, REFCOUNTS, GARBAGE, RETAINERS = range(14, 19)
CUT_MEMORY, CUT_TIME, NO_RETAINED, NO_REFCOUNTS, NO_GARBAGE, REFUSED = 1, 2, 4, 8, 16, 32


class Chunk:
    def __init__(self, payload):
        self.payload = payload
        self.at = 0

    def v(self):
        value = shift = 0
        while True:
            byte = self.payload[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def numbers(self, count):
        return [self.v() for _ in range(count)]

    def z(self):
        value = self.v()
        return (value >> 1) ^ -(value & 1)

    def text(self):
        length = self.v()
        self.at += length
        return self.payload[self.at - length : self.at].decode(errors="replace")

    def byte(self):
        self.at += 1
        return self.payload[self.at - 1]


class HeapsRead:
    def __init__(self, path):
        self.strings, self.types, self.codes = {0: None}, {0: None}, {}
        self.stacks, self.sites = {}, {0: None}
        self.heaps = []
        content = path.read_bytes()
        at = struct.unpack_from("<I", content, 12)[0]
        while at + 20 <= len(content):
            kind, length = content[at + 4], struct.unpack_from("<I", content, at + 8)[0]
            self.read(kind, Chunk(content[at + 20 : at + 20 + length]))
            at += 20 + length

    def read(self, kind, chunk):
        if kind in (STRINGS, CODES, TYPES, STACKS, SITES):
            first, count = chunk.numbers(2)
            for number in range(first, first + count):
                self.define(kind, number, chunk)
        elif kind == HEAP:
            names = ("time", "kind", "interpreter", "objects", "references", "bytes", "pause_ms",
                     "flags", "garbage_objects", "garbage_bytes", "collector_ms",
                     "collector_known")
            heap = dict(zip(names, chunk.numbers(len(names))))
            heap["label"] = chunk.text()
            self.heaps.append(heap)
        elif kind in (HOLDERS, REFCOUNTS, GARBAGE, RETAINERS):
            heap = self.heaps[-1]
            assert chunk.numbers(2) == [heap["time"], heap["interpreter"]]
            getattr(self, {HOLDERS: "holders", REFCOUNTS: "refcounts", GARBAGE: "garbage",
                           RETAINERS: "retainers"}[kind])(chunk, heap)
            assert chunk.at == len(chunk.payload)

    def define(self, kind, number, chunk):
        if kind == STRINGS:
            self.strings[number] = chunk.text()
        elif kind == CODES:
            _, name, _ = chunk.numbers(3)
            chunk.text()
            self.codes[number] = self.strings[name]
        elif kind == TYPES:
            self.types[number] = self.strings[chunk.numbers(4)[0]]
        elif kind == STACKS:
            self.stacks[number] = chunk.numbers(3)[1]
        else:
            stack, type_, _, _ = chunk.numbers(4)
            function = self.codes.get(self.stacks.get(stack), "")
            self.sites[number] = (self.types[type_], function)

    def path(self, chunk):
        """Steps as (kind, type of the holder, label, index or None, detail)."""
        steps = []
        for _ in range(chunk.v()):
            kind = chunk.byte()
            holder, label, index = chunk.numbers(3)
            detail = chunk.v() if kind >= FIRST_ROOT else 0
            steps.append((KINDS[kind], self.types[holder], self.strings[label],
                          index - 1 if index else None, self.strings[detail]))
        return steps

    def each_site(self, chunk):
        site = 0
        for _ in range(chunk.v()):
            site += chunk.v()
            yield self.sites[site]

    def holders(self, chunk, heap):
        rows = heap["holders"] = []
        for site in self.each_site(chunk):
            objects, retained, sampled, unreachable, patterns = chunk.numbers(5)
            rows.append({"site": site, "objects": objects, "retained": retained,
                         "sampled": sampled, "unreachable": unreachable,
                         "patterns": [(chunk.v(), self.path(chunk)) for _ in range(patterns)]})

    def refcounts(self, chunk, heap):
        rows = heap["refcounts"] = []
        for site in self.each_site(chunk):
            audited, pairs = chunk.numbers(2)
            rows.append({"site": site, "audited": audited,
                         "surplus": {chunk.z(): chunk.v() for _ in range(pairs)}})

    def garbage(self, chunk, heap):
        heap["garbage"] = [(site, *chunk.numbers(2)) for site in self.each_site(chunk)]
        heap["cycles"] = []
        for _ in range(chunk.v()):
            site, cycles, objects = chunk.numbers(3)
            heap["cycles"].append((self.sites[site], cycles, objects, self.path(chunk)))

    def retainers(self, chunk, heap):
        heap["retainers"] = []
        for _ in range(chunk.v()):
            site, type_, own, retained, objects = chunk.numbers(5)
            heap["retainers"].append({"site": self.sites[site], "type": self.types[type_],
                                      "bytes": own, "retained": retained, "objects": objects,
                                      "path": self.path(chunk)})


def heaps_of(path):
    return HeapsRead(path).heaps


def words(steps):
    """A path as one line: each step's kind with its label."""
    return " > ".join(f"{kind} {label}" if label else kind for kind, _, label, _, _ in steps)
