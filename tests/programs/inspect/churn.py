"""Calls, returns, and makes and ends threads and sub-interpreters as fast as it can, until its
input ends. Its functions call each other in one way only: a1 is called by a0, a2 by a1, and
so on; the same for b, and for the generators c; a0, b0 and c0 by `turn`."""

import json
import os
import sys
import threading
import types

SOURCE = """
def build(letter, depth):
    code = []
    for level in range(depth):
        then = f"{letter}{level + 1}(n - 1)" if level + 1 < depth else "None"
        code.append(f"def {letter}{level}(n):\\n    if n:\\n        {then}\\n    x = n\\n    return x\\n")
    return "".join(code)

def build_generators(depth):
    code = []
    for level in range(depth):
        then = (f"yield from c{level + 1}(n - 1)" if level + 1 < depth else "yield n")
        code.append(f"def c{level}(n):\\n    if n:\\n        {then}\\n    yield n\\n")
    return "".join(code)

functions = {}
exec(build("a", 24) + build("b", 24) + build_generators(8), functions)
a0, b0, c0 = functions["a0"], functions["b0"], functions["c0"]

def turn(rounds):
    for n in range(rounds):
        a0(n % 23)
        b0(n % 17)
        for _ in c0(n % 7):
            pass
"""
module = types.ModuleType("calls")
exec(compile(SOURCE, "calls", "exec"), module.__dict__)
turn = module.turn

try:
    import _interpreters as interpreters
except ImportError:
    try:
        import _xxsubinterpreters as interpreters
    except ImportError:
        interpreters = None

stop = threading.Event()


def stay():
    while not stop.is_set():
        turn(50)


def come_and_go():
    while not stop.is_set():
        thread = threading.Thread(target=turn, args=(20,), name="short")
        thread.start()
        thread.join()


def interpreters_come_and_go():
    while not stop.is_set():
        one = interpreters.create()
        interpreters.run_string(one, SOURCE + "turn(30)")
        interpreters.destroy(one)


def end_with_the_input():
    sys.stdin.read()
    os._exit(0)  # sub-interpreters of 3.8 and 3.9 crash in an orderly end under load


threading.Thread(target=end_with_the_input, daemon=True).start()
threads = [threading.Thread(target=stay), threading.Thread(target=come_and_go)]
if interpreters and "interpreters" in sys.argv:
    threads.append(threading.Thread(target=interpreters_come_and_go))
for thread in threads:
    thread.start()
print(json.dumps({"interpreters": len(threads) > 2}), flush=True)
