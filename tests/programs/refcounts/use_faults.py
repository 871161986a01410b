"""Calls each faulty function of faults.c 200 times, from a line of its own, and the correct one
too. What a call leaks is born on the line whose comment names it. The heap is looked through
after the first 40 calls, and at the end."""

import ctypes

import faults

look = ctypes.PyDLL(None).reftracer_holders
look.argtypes, look.restype = [ctypes.c_char_p, ctypes.c_uint], ctypes.c_char_p


class Argument:
    pass


class Released:
    pass


class Hidden:
    pass


class Enclosed:
    pass


class Mender:
    """Has the objects that were released too often, each in a list and in a tuple, with a
    refcount of 1. Gives them their references back before they are torn down, which is after
    the last look through the heap."""

    def __init__(self):
        self.lists, self.tuples = [], []
        self.take_again = faults.take_again

    def add(self, one):
        self.lists.append([one])
        self.tuples.append((one,))
        del one
        faults.release_too_often(self.lists[-1])

    def __del__(self):
        for one in self.lists:
            self.take_again(one)


def raises():
    raise KeyError("kept by C")  # born: exception


def main(times):
    for i in range(times):
        faults.leak_argument(Argument())  # born: argument
        faults.leak_result()  # born: result
        try:
            faults.leak_on_error("no int")  # born: error
        except TypeError:
            pass
        faults.leak_on_error(i)
        faults.leak_into_container(filled)  # born: container
        faults.leak_type()  # born: type
        faults.leak_exception(raises)
        faults.correct(right)  # born: correct
        opaque.append(faults.hide(Hidden()))  # born: hidden
        opaque.append(faults.hide_and_leak(Hidden()))  # born: hidden and leaked
        opaque.append(faults.enclose(Enclosed()))  # born: enclosed
        opaque.append(faults.enclose_and_leak(Enclosed()))  # born: enclosed and leaked
        _mender.add(Released())  # born: released


_mender = Mender()
filled, right, opaque = [], [], []
main(40)
assert look(b"early", 60_000) is None
main(160)
