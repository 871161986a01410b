"""One thread keeps the GIL in a C call that sleeps, the others wait for it. Says so first."""

import ctypes
import json
import sys
import threading

import settled

WAITING = 3
inside = threading.Barrier(WAITING + 1)


def count():
    inside.wait()
    while True:
        sum(range(1000))


for number in range(WAITING):
    threading.Thread(target=count, name=f"counter {number}", daemon=True).start()
threading.Thread(target=sys.stdin.read, name="reader", daemon=True).start()
settled.wait_until_inside(read=1)
inside.wait()
print(json.dumps({"waiting": WAITING}), flush=True)
ctypes.PyDLL(None).sleep(600)
