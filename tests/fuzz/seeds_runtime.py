"""Writes inputs of fuzz_runtime that once failed into the folder that is the argument, so that
each run begins with them."""

import sys
from pathlib import Path

FAILED = {
    # An offset of a code object's field that says it is behind all that is read of one.
    "code-field-far-away": "9da80100ffff01af000000dada",
    # A string's head that is so long that a name of sys and its NUL behind it just don't fit.
    "names-of-sys-too-long": "9da8f10040a2a200000040a2a2000000",
}

for name, text in FAILED.items():
    (Path(sys.argv[1]) / name).write_bytes(bytes.fromhex(text))
