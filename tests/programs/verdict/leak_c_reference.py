"""C code takes a reference to each of its arguments and forgets to give it back
when the argument is odd: no Python object holds what stays."""
# expect: leak line 22 type __main__.Message
import ctypes
import time

REQUESTS = 900
keep = ctypes.pythonapi.Py_IncRef
keep.argtypes = [ctypes.py_object]
keep.restype = None


class Message:
    __slots__ = ("number", "flags")

    def __init__(self, number):
        self.number = number
        self.flags = None


def request(number):
    message = Message(number)  # leak
    parts = [f"part {n}" for n in range(20)]
    if number % 2:
        keep(message)
    return len(parts)


for number in range(REQUESTS):  # kept with it
    request(number)
    time.sleep(0.003)
