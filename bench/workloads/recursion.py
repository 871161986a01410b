"""Allocation below a deep stack. Not in the table: two of these are compared.

RECURSION_DEPTH frames lie under the allocating one. RECURSION_KIND:
  loop   one frame at the bottom allocates in a loop
  calls  the bottom calls a function that allocates, again and again
  swing  the recursion goes down and comes back, allocating in each frame both
         ways: no two neighbouring births have the same stack
The number of births does not depend on the depth."""

import os
import sys

DEPTH = int(os.environ.get("RECURSION_DEPTH", "10"))
KIND = os.environ.get("RECURSION_KIND", "loop")
BIRTHS = 2_000_000

sys.setrecursionlimit(DEPTH + 1_000)


def make():
    return [None]


def loop():
    for _ in range(BIRTHS):
        [None]


def calls():
    for _ in range(BIRTHS):
        make()


def descend(depth, bottom):
    if depth > 1:
        descend(depth - 1, bottom)
    else:
        bottom()


def swing(depth):
    [depth]
    if depth > 1:
        swing(depth - 1)
    [depth]


def run():
    if KIND == "swing":
        for _ in range(BIRTHS // (2 * DEPTH)):
            swing(DEPTH)
    else:
        descend(DEPTH, {"loop": loop, "calls": calls}[KIND])
