"""Writes small traces, which between them have every kind of chunk, into the folder given:
where the fuzzer starts from."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import rftwrite as rft

folder = Path(sys.argv[1])
FRAMES = [("app.py", "main", 3), ("app.py", "Node.__init__", 9)]


def everything():
    trace = rft.Trace()
    site = trace.site(FRAMES, "__main__.Node")
    other = trace.site(FRAMES[:1], "dict", thread="worker", interpreter=1, kind=2)
    trace.tick(100, {site: rft.births(50) | rft.deaths(10, bucket=3, size=480), other: rft.births(5)})
    trace.tick(200, {other: rft.deaths(3, size=700), site: {"revived": ([(3, 2)], 96)}})
    trace.census(250, {site: [(0, 100, 30, 1440), (100, 100, 12, 576)], other: [(0, 100, 2, 464)]})
    trace.loss(rft.SLOT_GAP, 120, 30, 0, "tracemalloc")
    trace.mark(130, "loaded")
    trace.end(260)
    return trace


def table():
    trace = rft.Trace(flags=5, arguments=())
    lines = rft.location_table([4, 5, 5, 9, 2], 4)
    code = trace._id(rft.CODES, "f", rft.v(trace.string("f.py"), trace.string("f"), 4) + rft.text(lines))
    trace._id(rft.STACKS, "f", rft.v(0, code, 3))
    trace.end(10, rft.END_STOPPED)
    return trace


def heap():
    trace = rft.Trace()
    site = trace.site(FRAMES, "__main__.Node")
    trace.tick(100, {site: rft.births(50)})
    for at in (150, 200):
        path = [rft.root(rft.ROOT_MODULE, "app"), rft.edge(rft.ATTRIBUTE, "module", "cache"),
                rft.edge(rft.DICT_VALUE, "dict", "key"), rft.edge(rft.LEFT_OUT, None, index=9),
                rft.edge(rft.ITEM, "list", index=17)]
        local = [rft.root(rft.ROOT_LOCAL, "rows", "main in thread MainThread")]
        trace.heap(at, label="half", garbage=(2, 96), collector=(12, 2))
        trace.holders(at, {site: (50, 2400, 50, 2, [(30, path), (18, local)])})
        trace.refcounts(at, {site: {-1: 1, 0: 40, 1: 9}})
        trace.garbage(at, {site: (2, 96)}, [(site, 1, 2, [rft.edge(rft.ATTRIBUTE, "__main__.Node", "me")])])
        trace.retainers(at, [(site, "__main__.Node", 48, 2400, 51, path)])
    trace.end(260)
    return trace


(folder / "everything").write_bytes(everything().bytes() + b"\0")
(folder / "as-it-is").write_bytes(everything().bytes() + b"\1")
(folder / "heap").write_bytes(heap().bytes() + b"\0")
(folder / "table").write_bytes(table().bytes() + b"\0")
(folder / "header").write_bytes(rft.Trace().header + b"\0")
