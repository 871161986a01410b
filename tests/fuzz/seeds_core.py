"""Writes small core files into the folder given: where the fuzzer starts from. They have every
kind of note, memory with a CPython's cookie or first words, and a mapped object."""

import struct
import sys
from pathlib import Path

folder = Path(sys.argv[1])
PRSTATUS, PRPSINFO, AUXV, SIGINFO, FILE = 1, 3, 6, 0x53494749, 0x46494C45
DATA, TEXT = 0x10000, 0x20000


def note(kind, content):
    return struct.pack("<3I", 5, len(content), kind) + b"CORE\0\0\0\0" + content + b"\0" * (-len(content) % 4)


def thread(number, signal):
    content = bytearray(336)
    struct.pack_into("<h", content, 12, signal)
    struct.pack_into("<i", content, 32, number)
    return note(PRSTATUS, bytes(content))


def files(*ranges):
    table = struct.pack("<2Q", len(ranges), 4096)
    table += b"".join(struct.pack("<3Q", *numbers) for numbers, _ in ranges)
    return note(FILE, table + b"".join(path + b"\0" for _, path in ranges))


def core(notes, *segments):
    """segments: (address, flags, size in memory, bytes)"""
    at = 64 + 56 * (1 + len(segments))
    programs = [struct.pack("<2I6Q", 4, 0, at, 0, 0, len(notes), 0, 4)]
    at += len(notes)
    for address, flags, size, content in segments:
        programs.append(struct.pack("<2I6Q", 1, flags, at, address, 0, len(content), size, 1))
        at += len(content)
    header = b"\x7fELF\2\1\1" + b"\0" * 9 + struct.pack(
        "<2HI3QI6H", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(programs), 0, 0, 0)
    return header[:64] + b"".join(programs) + notes + b"".join(s[3] for s in segments) + b"\0"


image = b"\x7fELF\2\1\1" + b"\0" * 9 + struct.pack("<2HI3QI6H", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
image += struct.pack("<2I6Q", 1, 5, 0, 0, 0, 4096, 4096, 4096)
image += struct.pack("<2I6Q", 2, 6, 256, 256, 0, 96, 96, 8)
image = image.ljust(256, b"\0") + struct.pack("<10Q", 6, 400, 5, 500, 10, 64, 0x6FFFFEF5, 600, 0, 0)
image = image.ljust(640, b"\0")

process = note(PRPSINFO, bytes(24) + struct.pack("<i", 100) + b"\0" * 28 + b"python3 app.py".ljust(80, b"\0"))
signal = note(SIGINFO, struct.pack("<3iiQ", 11, 0, 1, 0, 0xDEAD0).ljust(128, b"\0"))
auxiliary = note(AUXV, struct.pack("<4Q", 3, TEXT + 64, 0, 0))
mapped = files(((TEXT, TEXT + 4096, 0), b"/no/such/python3"), ((DATA, DATA + 4096, 5), b"/no/such/python3"))
notes = thread(101, 11) + process + signal + auxiliary + mapped + thread(102, 11)
with_cookie = (b"\0" * 64 + b"xdebugpy" + struct.pack("<2Q", 0x030E0AF0, 0)).ljust(1200, b"\0")
older = (b"\0" * 64 + struct.pack("<5i", 1, 0, 1, 1, 1)).ljust(600, b"\0")

(folder / "cookie").write_bytes(core(notes, (DATA, 6, 4096, with_cookie), (TEXT, 5, 4096, image)))
(folder / "older").write_bytes(core(notes, (DATA, 6, 4096, older), (TEXT, 5, 4096, image)))
(folder / "no-notes").write_bytes(core(b"", (DATA, 6, 600, older)))
(folder / "as-it-is").write_bytes(core(notes, (DATA, 6, 600, older))[:-1] + b"\1")
