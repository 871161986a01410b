"""Calls and nothing else: what tracing costs where no object is made."""


def descend(depth):
    if depth:
        descend(depth - 1)
        descend(depth - 1)


def run():
    for _ in range(12):
        descend(18)
